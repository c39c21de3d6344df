package mgrmon

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// pgmap is what the OSDs reported (PGMap).
type pgmap struct {
	m     *osdmap.Map // followed
	pools map[int64]*pool
	osds  map[int32]*osd // that reported

	version uint64    // rises with each sample
	stamp   time.Time // of the last sample
	window  window    // of all pools
	sum     *sums     // nil: something changed
}

// pool are the groups of a pool, by seed.
type pool struct {
	groups []msg.PGStat
	lately msg.ObjectStats // what happened since the last sample
	window window
	sum    *poolSum // without the space; nil: something changed
}

// osd is the last report of an OSD.
type osd struct {
	stat  msg.OSDStat
	epoch uint32 // newest map it has
	full  osdmap.State
	seen  time.Time
	sess  *service.Session         // of the report
	space map[int64]msg.StoreStats // by pool

	lately msg.ObjectStats // done to groups that it is the primary of, since the last sample
	window window
}

func newPGMap() pgmap {
	return pgmap{m: osdmap.New(), pools: map[int64]*pool{}, osds: map[int32]*osd{}}
}

// unknown reports whether nobody has told about a group yet.
func unknown(g *msg.PGStat) bool { return g.State == 0 }

// follow brings the statistics in step with the OSD map: groups and OSDs that
// left it go, new groups begin as unknown, and those whose primary is down are
// stale until another one reports.
func (p *pgmap) follow(m *osdmap.Map, now time.Time) {
	if p.m == m {
		return
	}
	p.m, p.sum = m, nil
	maps.DeleteFunc(p.pools, func(id int64, _ *pool) bool { return m.Pools[id] == nil })
	maps.DeleteFunc(p.osds, func(o int32, _ *osd) bool { return !m.Exists(o) })
	for id, mp := range m.Pools {
		q := p.pools[id]
		if q == nil {
			q = &pool{}
			p.pools[id] = q
		}
		if n := int(mp.PGNum); n != len(q.groups) {
			had := min(len(q.groups), n)
			q.groups = slices.Grow(q.groups[:had:had], n-had)[:n]
			for i := had; i < n; i++ {
				q.groups[i] = newGroup(object.PG{Pool: id, Seed: uint32(i)}, m.Epoch, now)
			}
			q.sum = nil
		}
		for i := range q.groups {
			g := &q.groups[i]
			if !unknown(g) && g.State&msg.PGStale == 0 && g.ActingPrimary >= 0 && !m.IsUp(g.ActingPrimary) {
				g.State |= msg.PGStale
				g.LastUnstale = now
				q.sum = nil
			}
		}
	}
}

// newGroup is a group that nobody told about. It is taken for well up to now,
// so that it must stay unknown for a while before it counts as stuck.
func newGroup(pg object.PG, created uint32, now time.Time) msg.PGStat {
	return msg.PGStat{
		PG: pg, Created: created, UpPrimary: -1, ActingPrimary: -1,
		LastFresh: now, LastChange: now, LastActive: now, LastPeered: now, LastClean: now,
		LastUnstale: now, LastUndegraded: now, LastFullsized: now,
	}
}

// report folds an OSD's report in.
func (p *pgmap) report(r *msg.OSDReport, now time.Time) {
	if !p.m.Exists(r.ID) {
		return
	}
	o := p.osds[r.ID]
	if o == nil {
		o = &osd{}
		p.osds[r.ID] = o
	}
	p.sum = nil
	o.seen = now
	if newer := cmp.Or(cmp.Compare(r.Stat.UpFrom, o.stat.UpFrom), cmp.Compare(r.Stat.Seq, o.stat.Seq)); newer >= 0 {
		o.stat, o.epoch, o.full = r.Stat, r.Epoch, osdmap.State(r.Full)
		o.space = make(map[int64]msg.StoreStats, len(r.Pools))
		for _, u := range r.Pools {
			o.space[u.Pool] = u.Store
		}
	}
	for i := range r.PGs {
		g := &r.PGs[i]
		q := p.pools[g.PG.Pool]
		if q == nil || uint64(g.PG.Seed) >= uint64(len(q.groups)) || unknown(g) {
			continue
		}
		old := &q.groups[g.PG.Seed]
		if cmp.Or(cmp.Compare(g.ReportedEpoch, old.ReportedEpoch), cmp.Compare(g.ReportedSeq, old.ReportedSeq)) < 0 {
			continue
		}
		if !unknown(old) {
			d := g.Objects
			d.Sub(&old.Objects)
			q.lately.Add(&d)
			o.lately.Add(&d)
		}
		*old = *g
		q.sum = nil
	}
}

// poolIDs are the pools, newest first.
func (p *pgmap) poolIDs() []int64 {
	ids := slices.Sorted(maps.Keys(p.pools))
	slices.Reverse(ids)
	return ids
}

// osdIDs are the OSDs that reported, highest first.
func (p *pgmap) osdIDs() []int32 {
	ids := slices.Sorted(maps.Keys(p.osds))
	slices.Reverse(ids)
	return ids
}

// group returns one group, nil if there is none of that id.
func (p *pgmap) group(pg object.PG) *msg.PGStat {
	if q := p.pools[pg.Pool]; q != nil && uint64(pg.Seed) < uint64(len(q.groups)) {
		return &q.groups[pg.Seed]
	}
	return nil
}

// groups yields all groups in order.
func (p *pgmap) groups() iter.Seq[*msg.PGStat] {
	return func(yield func(*msg.PGStat) bool) {
		for _, id := range slices.Sorted(maps.Keys(p.pools)) {
			for i := range p.pools[id].groups {
				if !yield(&p.pools[id].groups[i]) {
					return
				}
			}
		}
	}
}

// placed returns a group with where it is; of an unknown group that is where
// the map puts it.
func (p *pgmap) placed(g *msg.PGStat) *msg.PGStat {
	if !unknown(g) {
		return g
	}
	at := p.m.PGToUpActing(g.PG)
	c := *g
	c.Up, c.UpPrimary, c.Acting, c.ActingPrimary, c.MappingEpoch = at.Up, at.UpPrimary, at.Acting, at.ActingPrimary, p.m.Epoch
	return &c
}

// stat returns an OSD's numbers; an OSD that is out counts for nothing.
func (p *pgmap) stat(id int32) (msg.OSDStat, bool) {
	o := p.osds[id]
	if o == nil {
		return msg.OSDStat{}, false
	}
	if p.m.IsOut(id) {
		return msg.OSDStat{Seq: o.stat.Seq, UpFrom: o.stat.UpFrom}, true
	}
	return o.stat, true
}
