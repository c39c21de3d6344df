package mgrmon

import (
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// report takes an OSD's report, if the session may speak for the OSD.
func (s *Service) report(sess *service.Session, b *msg.OSDReport) {
	if !sess.Capable("osd", "x") || sess.Auth.Type == entity.OSD && sess.Auth.ID != strconv.Itoa(int(b.ID)) {
		return
	}
	s.pgmap().report(b, s.h.Now())
	if o := s.pgmap().osds[b.ID]; o != nil {
		o.sess = sess
	}
	s.osd.Heard(sess, b.ID)
}

// What follows is for the OSD map's service (osdmon.Stats).

// PoolUsage returns the objects and bytes that clients stored in a pool.
func (s *Service) PoolUsage(id int64) (objects, bytes int64, ok bool) {
	sum := s.pgmap().current().pools[id]
	if sum == nil || sum.states[0] > 0 {
		return 0, 0, false
	}
	return sum.Objects.Objects, sum.Objects.Bytes, true
}

// PoolCreated reports whether all groups of a pool have been made.
func (s *Service) PoolCreated(id int64, pgNum uint32) bool {
	q := s.pgmap().pools[id]
	if q == nil || uint64(len(q.groups)) < uint64(pgNum) {
		return false
	}
	for i := range q.groups[:pgNum] {
		if g := &q.groups[i]; unknown(g) || g.State&msg.PGCreating != 0 {
			return false
		}
	}
	return true
}

// LastReport returns when an OSD was last heard of, zero for never.
func (s *Service) LastReport(id int32) time.Time {
	if o := s.pgmap().osds[id]; o != nil {
		return o.seen
	}
	return time.Time{}
}

// Fullness returns the state bits nearfull, backfillfull and full as the OSD
// sees them.
func (s *Service) Fullness(id int32) (osdmap.State, bool) {
	if o := s.pgmap().osds[id]; o != nil {
		return o.full, true
	}
	return 0, false
}

// CleanFloor returns the oldest epoch that a group or an OSD may still need:
// no group was clean later than that, and no OSD that is up is behind it.
func (s *Service) CleanFloor() (uint32, bool) {
	p := s.pgmap()
	floor := p.m.Epoch
	for _, q := range p.pools {
		for i := range q.groups {
			g := &q.groups[i]
			if unknown(g) {
				return 0, false
			}
			floor = min(floor, g.LastEpochClean)
		}
	}
	for o := range p.m.MaxOSD {
		switch r := p.osds[o]; {
		case p.m.IsOut(o):
		case r != nil:
			floor = min(floor, r.epoch)
		case p.m.IsUp(o):
			return 0, false
		}
	}
	return floor, true
}

// Purged returns the snapshots of which no group of a pool has anything left,
// among those that are being removed.
func (s *Service) Purged(id int64) (all osdmap.SnapSet) {
	q := s.pgmap().pools[id]
	if q == nil {
		return nil
	}
	for i := range q.groups {
		var here osdmap.SnapSet
		for _, r := range q.groups[i].Purged {
			here = append(here, osdmap.SnapRange{Begin: r.Start, Length: uint64(r.Len)})
		}
		if all = all.Intersect(here); i == 0 {
			all = here
		}
		if len(all) == 0 {
			return nil
		}
	}
	return all
}

// Seq returns the sequence number of an OSD's last report.
func (s *Service) Seq(id int32) uint64 {
	if o := s.pgmap().osds[id]; o != nil {
		return o.stat.Seq
	}
	return 0
}
