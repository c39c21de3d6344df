package pglog

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Info is a copy's summary of itself (pg_info_t).
type Info struct {
	PG              object.SPG
	Epoch           uint32 // of the newest map that it has taken in and written down
	LastUpdate      object.Version
	LastUserVersion uint64
	LogTail         object.Version // the log has what is above it
	Stats           Stats
	Groups          uint32 // of the pool, by which the objects here were told apart
	SplitTo         uint32 // the number to which the group is being split; 0: it is not
	Forming         bool   // another group is still moving objects here
	History         History
	Purged          osdmap.SnapSet // snapshots that are being removed and of which nothing is left here

	// LastComplete: all objects whose newest entry is not above it are here as the
	// log says. Equal to LastUpdate if nothing is missing.
	LastComplete object.Version
	// LastBackfill: what is said of objects here, by Missing too, holds up to this
	// one; those above have not been copied yet. MaxID: there are none.
	LastBackfill object.ID
	// LastEpochStarted is when this copy noted that the group was active, and
	// LastIntervalStarted the first epoch of that interval. History has when all
	// copies had.
	LastEpochStarted    uint32
	LastIntervalStarted uint32
}

// Empty reports whether nothing was ever written to the copy.
func (i *Info) Empty() bool { return i.LastUpdate.IsZero() }

// Exists reports whether there is a copy at all (the opposite of dne).
func (i *Info) Exists() bool { return i.History.EpochCreated != 0 }

// StartedAs notes that the copy has what another one has, so that it took part in
// whatever start of the group that one did.
func (i *Info) StartedAs(o *Info) {
	if o.LastEpochStarted > i.LastEpochStarted {
		i.LastEpochStarted, i.LastIntervalStarted = o.LastEpochStarted, o.LastIntervalStarted
	}
}

// Incomplete reports whether the copy is still being filled.
func (i *Info) Incomplete() bool { return !i.LastBackfill.Max }

const infoVersion = 3

func (i *Info) Encode(e *wire.Encoder) {
	m := e.Begin(infoVersion, 1)
	i.PG.Encode(e)
	e.U32(i.Epoch)
	i.LastUpdate.Encode(e)
	e.U64(i.LastUserVersion)
	i.LogTail.Encode(e)
	i.Stats.encode(e)
	e.U32(i.Groups)
	e.U32(i.SplitTo)
	e.Bool(i.Forming)
	h := &i.History
	for _, p := range h.epochs() {
		e.U32(*p)
	}
	h.LastScrub.Encode(e)
	h.LastDeepScrub.Encode(e)
	i.Purged.Encode(e)
	i.LastComplete.Encode(e)
	i.LastBackfill.Encode(e)
	e.U32(i.LastEpochStarted)
	e.U32(i.LastIntervalStarted)
	e.End(m)
}

// Decode reads what this or an older version has written. Before version 3 there
// was but one copy, which was whole.
func (i *Info) Decode(d *wire.Decoder) {
	env := d.Begin("pg.Info", infoVersion)
	i.PG.Decode(d)
	i.Epoch = d.U32()
	i.LastUpdate.Decode(d)
	i.LastUserVersion = d.U64()
	i.LogTail.Decode(d)
	i.Stats.decode(d, env.Version)
	i.Groups = d.U32()
	i.SplitTo = d.U32()
	i.Forming = d.Bool()
	h := &i.History
	for _, p := range h.epochs() {
		*p = d.U32()
	}
	h.LastScrub.Decode(d)
	h.LastDeepScrub.Decode(d)
	i.Purged = nil
	if env.Version >= 2 {
		i.Purged.Decode(d)
	}
	if env.Version >= 3 {
		i.LastComplete.Decode(d)
		i.LastBackfill.Decode(d)
		i.LastEpochStarted = d.U32()
		i.LastIntervalStarted = d.U32()
	} else {
		i.LastComplete, i.LastBackfill = i.LastUpdate, object.MaxID
		i.LastEpochStarted, i.LastIntervalStarted = h.LastEpochStarted, h.LastIntervalStarted
	}
	d.End(env)
}

func (i *Info) String() string {
	return fmt.Sprintf("%v( v %v (%v,%v] lb %v local-lis/les=%d/%d n=%d ec=%d/%d lis/c=%d/%d les/c=%d/%d sis=%d)", i.PG, i.LastUpdate,
		i.LogTail, i.LastUpdate, i.LastBackfill, i.LastIntervalStarted, i.LastEpochStarted, i.Stats.Objects,
		i.History.EpochCreated, i.History.EpochPoolCreated, i.History.LastIntervalStarted, i.History.LastIntervalClean,
		i.History.LastEpochStarted, i.History.LastEpochClean, i.History.SameIntervalSince)
}

// History is when things happened, in epochs (pg_history_t). What one copy knows
// is true of the group.
type History struct {
	EpochCreated        uint32 // this group came to be
	EpochPoolCreated    uint32
	LastEpochStarted    uint32 // it was last active: all copies have noted it
	LastIntervalStarted uint32 // first epoch of the interval of that
	LastEpochClean      uint32
	LastIntervalClean   uint32
	LastEpochSplit      uint32
	LastEpochMarkedFull uint32
	SameUpSince         uint32
	SameIntervalSince   uint32
	SamePrimarySince    uint32
	LastScrub           object.Version
	LastDeepScrub       object.Version
}

func (h *History) epochs() []*uint32 {
	return []*uint32{
		&h.EpochCreated, &h.EpochPoolCreated, &h.LastEpochStarted, &h.LastIntervalStarted, &h.LastEpochClean,
		&h.LastIntervalClean, &h.LastEpochSplit, &h.LastEpochMarkedFull, &h.SameUpSince, &h.SameIntervalSince,
		&h.SamePrimarySince,
	}
}

// Merge takes in what another copy knows, and reports whether that was news
// (pg_history_t::merge). The Same* epochs are by the maps, and each copy's own.
func (h *History) Merge(o *History) (news bool) {
	if h.EpochCreated < o.EpochCreated {
		h.EpochCreated, news = o.EpochCreated, true
	}
	for _, p := range []struct{ mine, theirs *uint32 }{
		{&h.EpochPoolCreated, &o.EpochPoolCreated},
		{&h.LastEpochStarted, &o.LastEpochStarted}, {&h.LastIntervalStarted, &o.LastIntervalStarted},
		{&h.LastEpochClean, &o.LastEpochClean}, {&h.LastIntervalClean, &o.LastIntervalClean},
		{&h.LastEpochSplit, &o.LastEpochSplit}, {&h.LastEpochMarkedFull, &o.LastEpochMarkedFull},
	} {
		if *p.mine < *p.theirs {
			*p.mine, news = *p.theirs, true
		}
	}
	if h.LastScrub.Compare(o.LastScrub) < 0 {
		h.LastScrub, news = o.LastScrub, true
	}
	if h.LastDeepScrub.Compare(o.LastDeepScrub) < 0 {
		h.LastDeepScrub, news = o.LastDeepScrub, true
	}
	return news
}
