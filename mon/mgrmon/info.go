package mgrmon

import (
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// DumpInfo writes the statistics that a report has (PGMapDigest::dump).
func (s *Service) DumpInfo(f *jsonfmt.Formatter) {
	p := s.pgmap()
	sum := p.current()
	f.Int("num_pg", int64(sum.all.groups))
	f.Int("num_pg_active", int64(sum.active))
	f.Int("num_pg_unknown", int64(sum.unknown))
	f.Int("num_osd", int64(len(p.osds)))
	f.Object("pool_sum", func() { dumpPool(f, &sum.all.PoolStat) })
	f.Object("osd_sum", func() { dumpOSDStat(f, &sum.osds) })
	f.Object("osd_sum_by_class", func() {
		for _, class := range slices.Sorted(maps.Keys(sum.byClass)) {
			f.Object(class, func() { dumpOSDStat(f, sum.byClass[class]) })
		}
	})
	p.dumpPools(f)
	f.Array("osd_stats", func() {
		for _, o := range p.osdIDs() {
			f.Object("osd_stat", func() {
				f.Int("osd", int64(o))
				f.Uint("seq", p.osds[o].stat.Seq)
			})
		}
	})
	f.Array("num_pg_by_state", func() {
		for _, c := range byCount(sum.all.states) {
			f.Object("count", func() {
				f.Stringer("state", c.state)
				f.Int("num", int64(c.n))
			})
		}
	})
	at := p.placement()
	f.Array("num_pg_by_osd", func() {
		for _, o := range p.osdIDs() {
			n := at.of(o)
			f.Object("count", func() {
				f.Int("osd", int64(o))
				f.Int("num_primary_pg", int64(n.primary))
				f.Int("num_acting_pg", int64(n.acting))
				f.Int("num_up_not_acting_pg", int64(n.upNotActing))
			})
		}
	})
}

// DumpCleanEpochs writes what old maps are kept for (LastEpochClean).
func (s *Service) DumpCleanEpochs(f *jsonfmt.Formatter) {
	p := s.pgmap()
	floor, _ := s.CleanFloor()
	f.Uint("min_last_epoch_clean", uint64(floor))
	f.Object("last_epoch_clean", func() {
		f.Array("per_pool", func() {
			for _, id := range p.poolIDs() {
				if q := p.pools[id]; q != nil {
					f.Object("pool", func() {
						f.Int("poolid", id)
						f.Uint("floor", uint64(q.cleanFloor()))
					})
				}
			}
		})
	})
	f.Array("osd_epochs", func() {
		for _, o := range p.osdIDs() {
			f.Object("osd", func() {
				f.Int("id", int64(o))
				f.Uint("epoch", uint64(p.osds[o].epoch))
			})
		}
	})
}

// cleanFloor is the oldest epoch in which a group of the pool was last clean.
func (q *pool) cleanFloor() (floor uint32) {
	for i := range q.groups {
		if e := q.groups[i].LastEpochClean; i == 0 || e < floor {
			floor = e
		}
	}
	return floor
}
