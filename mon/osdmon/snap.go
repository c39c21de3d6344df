package osdmon

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Snapshots of pools. A pool has either pool snapshots, which the monitors
// name, or unmanaged ones, of which the monitors only give out the ids; which
// of the two, the first snapshot decides for ever.

func (s *Service) poolSnapCommands(t *command.Table) {
	t.Write("osd pool mksnap", s.withPool(s.cmdMkSnap))
	t.Write("osd pool rmsnap", s.withPool(s.cmdRmSnap))
}

func snapByName(p *osdmap.Pool, name string) (object.SnapID, bool) {
	for id, snap := range p.Snaps {
		if snap.Name == name {
			return id, true
		}
	}
	return 0, false
}

// unmanaged reports whether a pool's snapshots are those of clients.
func unmanaged(p *osdmap.Pool) bool { return p.Has(osdmap.PoolFlagSelfmanagedSnaps) }

// managed reports whether a pool has pool snapshots.
func managed(p *osdmap.Pool) bool { return p.Has(osdmap.PoolFlagPoolSnaps) }

// addSnap stages a snapshot of a pool.
func (s *Service) addSnap(pool int64, name string, now time.Time) {
	p := s.editPool(pool)
	p.Flags |= osdmap.PoolFlagPoolSnaps
	p.SnapSeq++
	p.Snaps[p.SnapSeq] = osdmap.PoolSnap{ID: p.SnapSeq, Stamp: now, Name: name}
	p.SnapEpoch = s.cur.Epoch + 1
}

// removeSnap stages the end of one. The number that removal takes up counts as
// purged: nothing was ever written under it.
func (s *Service) removeSnap(pool int64, id object.SnapID) {
	p := s.editPool(pool)
	delete(p.Snaps, id)
	p.SnapSeq++
	p.SnapEpoch = s.cur.Epoch + 1
	s.addRemoved(pool, id)
}

func (s *Service) addRemoved(pool int64, id object.SnapID) {
	inc := s.stage()
	inc.NewRemovedSnaps[pool] = inc.NewRemovedSnaps[pool].Union(osdmap.NewSnapSet(id))
}

// addUnmanagedSnap stages a new id.
func (s *Service) addUnmanagedSnap(pool int64) object.SnapID {
	p := s.editPool(pool)
	p.Flags |= osdmap.PoolFlagSelfmanagedSnaps
	if p.SnapSeq == 0 {
		p.SnapSeq = 1 // 1 is never given out: it marks pools in this mode in old maps
	}
	p.SnapSeq++
	p.SnapEpoch = s.cur.Epoch + 1
	return p.SnapSeq
}

// removeUnmanagedSnap stages the end of an id.
func (s *Service) removeUnmanagedSnap(pool int64, id object.SnapID) {
	p := s.editPool(pool)
	p.Flags |= osdmap.PoolFlagSelfmanagedSnaps
	p.SnapSeq++
	p.SnapEpoch = s.cur.Epoch + 1
	s.addRemoved(pool, id)
	s.p.purged[pool] = s.p.purged[pool].Union(osdmap.NewSnapSet(p.SnapSeq))
}

// purgeSnaps ends the removal of snapshots of which no OSD has anything left, so
// many in an epoch: that they are gone is remembered here, and the map forgets
// them.
func (s *Service) purgeSnaps() {
	limit := uint64(s.intOption("mon_max_snap_prune_per_epoch", 100))
	if limit == 0 {
		limit = math.MaxUint64
	}
	queue := s.cur.RemovedSnapsQueue
	for _, id := range slices.Sorted(maps.Keys(queue)) {
		if s.view().Pools[id] == nil {
			continue
		}
		staged := osdmap.SnapSet(nil)
		if s.p.inc != nil {
			staged = s.p.inc.NewPurgedSnaps[id]
		}
		done := s.stats.Purged(id).Intersect(queue[id]).Subtract(staged).First(limit)
		if len(done) == 0 {
			continue
		}
		inc := s.stage()
		inc.NewPurgedSnaps[id] = staged.Union(done)
		s.p.purged[id] = s.p.purged[id].Union(done)
		if limit -= done.Size(); limit == 0 {
			return
		}
	}
}

// isRemoved reports whether a snapshot is gone or about to.
func (s *Service) isRemoved(pool int64, id object.SnapID) bool {
	return s.view().RemovedSnapsQueue[pool].Contains(id) || s.snaps[pool].Contains(id) || s.p.purged[pool].Contains(id)
}

func (s *Service) cmdMkSnap(c *command.Call, id int64, p *osdmap.Pool) command.Reply {
	pool, name := c.Str("pool"), c.Str("snap")
	_, exists := snapByName(p, name)
	switch {
	case unmanaged(p):
		return command.Fail(errno.EINVAL, "pool %s is in unmanaged snaps mode", pool)
	case exists:
		return command.Say("pool %s snap %s already exists", pool, name)
	case p.TierOf >= 0:
		return command.Fail(errno.EINVAL, "pool %s is a cache tier", pool)
	case p.SnapSeq >= math.MaxUint32:
		return command.Err(errno.EOVERFLOW)
	}
	s.addSnap(id, name, c.Now)
	return command.Committed("created pool %s snap %s", pool, name)
}

func (s *Service) cmdRmSnap(c *command.Call, id int64, p *osdmap.Pool) command.Reply {
	pool, name := c.Str("pool"), c.Str("snap")
	snap, exists := snapByName(p, name)
	switch {
	case unmanaged(p):
		return command.Fail(errno.EINVAL, "pool %s is in unmanaged snaps mode", pool)
	case !exists:
		return command.Say("pool %s snap %s does not exist", pool, name)
	}
	s.removeSnap(id, snap)
	return command.Committed("removed pool %s snap %s", pool, name)
}

// DumpPurged writes, of each pool, the snapshots of which nothing is left.
func (s *Service) DumpPurged(f *jsonfmt.Formatter) {
	for _, id := range poolIDs(s.cur) {
		f.Object("pool_purged_snaps_info", func() {
			f.Int("pool", id)
			f.Object("purged_snaps", func() { s.snaps[id].Dump(f) })
		})
	}
}
