package pglog

import (
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Interval is a past interval in which writes may have been acknowledged
// (PastIntervals::pg_interval_t with maybe_went_rw).
type Interval struct {
	First, Last uint32
	Acting      []int32
	Primary     int32
}

// PastIntervals are those since the group was last clean, oldest first. Of those
// with the same members in the same order only the newest is kept: who is to be
// asked is the same for all of them. So there are no more than there are orders of
// members, however often they come and go.
type PastIntervals struct{ List []Interval }

// Add appends an interval.
func (p *PastIntervals) Add(i Interval) {
	p.List = slices.DeleteFunc(p.List, func(o Interval) bool {
		return o.Primary == i.Primary && slices.Equal(o.Acting, i.Acting)
	})
	i.Acting = slices.Clone(i.Acting)
	p.List = append(p.List, i)
}

// Encode writes the intervals.
func (p *PastIntervals) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	wire.EncodeSlice(e, p.List, func(i Interval) {
		e.U32(i.First)
		e.U32(i.Last)
		e.S32(i.Primary)
		wire.EncodeSlice(e, i.Acting, e.S32)
	})
	e.End(m)
}

// Decode reads them.
func (p *PastIntervals) Decode(d *wire.Decoder) {
	env := d.Begin("pg.PastIntervals", 1)
	p.List = wire.DecodeSlice(d, 16, func() (i Interval) {
		i.First = d.U32()
		i.Last = d.U32()
		i.Primary = d.S32()
		i.Acting = wire.DecodeSlice(d, 4, d.S32)
		return i
	})
	d.End(env)
}

// Placement is where a group is by a map.
type Placement struct {
	osdmap.Mapping
	Size, MinSize uint8
	PGNum         uint32
}

// Place returns where a group is by a map; false if its pool is not.
func Place(m *osdmap.Map, g object.PG) (p Placement, ok bool) {
	pool := m.Pools[g.Pool]
	if pool == nil {
		return p, false
	}
	return Placement{m.PGToUpActing(g), pool.Size, pool.MinSize, pool.PGNum}, true
}

// Same reports whether no interval begins between two placements
// (PastIntervals::is_new_interval).
func (p *Placement) Same(q *Placement) bool {
	return p.ActingPrimary == q.ActingPrimary && p.UpPrimary == q.UpPrimary && slices.Equal(p.Acting, q.Acting) &&
		slices.Equal(p.Up, q.Up) && p.Size == q.Size && p.MinSize == q.MinSize && p.PGNum == q.PGNum
}

// MaybeWentRW reports whether writes may have been acknowledged in an interval
// that began at first and of which last is the map of its last epoch: there was a
// primary, there were enough members, and the primary had it on record that it
// was alive then, or the group was even clean.
func (p *Placement) MaybeWentRW(first uint32, last *osdmap.Map, h *History) bool {
	if o := p.ActingPrimary; o < 0 || len(p.Acting) == 0 || len(p.Acting) < int(p.MinSize) {
		return false
	} else if o < last.MaxOSD && last.Info[o].UpThru >= first && last.Info[o].UpFrom <= first {
		return true
	}
	return h.LastEpochClean >= first && h.LastEpochClean <= last.Epoch
}

// Between finds, from maps of which none is left out, the intervals of a group
// since an epoch: from the first map to the last. It returns those that may have
// had writes, and where the present one began, by what.
func Between(maps []*osdmap.Map, g object.PG, h *History) (past PastIntervals, since History) {
	var was Placement
	var first uint32
	for i, m := range maps {
		now, _ := Place(m, g)
		switch {
		case i == 0:
			since.SameUpSince, since.SameIntervalSince, since.SamePrimarySince = m.Epoch, m.Epoch, m.Epoch
			first = m.Epoch
		case !was.Same(&now):
			if was.MaybeWentRW(first, maps[i-1], h) {
				past.Add(Interval{First: first, Last: m.Epoch - 1, Acting: was.Acting, Primary: was.ActingPrimary})
			}
			since.SameIntervalSince, first = m.Epoch, m.Epoch
			if now.UpPrimary != was.UpPrimary || !slices.Equal(now.Up, was.Up) {
				since.SameUpSince = m.Epoch
			}
			if now.ActingPrimary != was.ActingPrimary {
				since.SamePrimarySince = m.Epoch
			}
		}
		was = now
	}
	return past, since
}

// Lasts reports whether no interval of a group has begun since an epoch, from maps
// of which none is left out; not if they do not reach back to it.
func Lasts(maps []*osdmap.Map, g object.PG, since uint32) bool {
	now, ok := Place(maps[len(maps)-1], g)
	if !ok || maps[0].Epoch > since {
		return false
	}
	for _, m := range slices.Backward(maps) {
		if m.Epoch < since {
			break
		}
		if was, ok := Place(m, g); !ok || !was.Same(&now) {
			return false
		}
	}
	return true
}
