package osdmon

import (
	"slices"

	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// maxPGTemp bounds the OSDs of one wish.
const maxPGTemp = 64

// pgTemp takes the wishes of a primary that its groups be served elsewhere than
// CRUSH has them: by those that have the data, until the others have it too.
func (s *Service) pgTemp(sess *service.Session, b *msg.OSDPGTemp) service.Answer {
	v := s.view()
	if !isOSD(sess, b.ID) || !v.IsUp(b.ID) || v.Info[b.ID].UpFrom > b.Epoch || b.Epoch > s.cur.Epoch {
		return service.Answer{}
	}
	s.heard(sess, b.ID)
	changed := false
	for pg, osds := range b.PGs {
		if s.takesPGTemp(v, b.ID, pg, osds) {
			s.stage().NewPGTemp[pg] = slices.Clone(osds)
			if _, ok := v.PrimaryTemp[pg]; ok {
				s.stage().NewPrimaryTemp[pg] = -1
			}
			changed = true
		}
	}
	if changed {
		// It will want that as well once it has the map.
		s.raiseUpThru(b.ID, b.Epoch)
	}
	return service.Answer{}
}

// takesPGTemp reports whether a wish is the sender's to have, and changes
// anything.
func (s *Service) takesPGTemp(v *osdmap.Map, from int32, pg object.PG, osds []int32) bool {
	p := v.Pools[pg.Pool]
	if p == nil || pg.Seed >= p.PGNum || len(osds) > maxPGTemp || s.cur.PGToUpActing(pg).ActingPrimary != from {
		return false
	}
	known := func(o int32) bool { return o == osdmap.NoOSD || v.Exists(o) }
	if !slices.ContainsFunc(osds, v.IsUp) && len(osds) > 0 || slices.ContainsFunc(osds, func(o int32) bool { return !known(o) }) {
		return false
	}
	was, has := v.PGTemp[pg]
	_, primary := v.PrimaryTemp[pg]
	return primary || has != (len(osds) > 0) || !slices.Equal(was, osds)
}

// raiseUpThru records that an OSD was up in an epoch.
func (s *Service) raiseUpThru(osd int32, epoch uint32) {
	if s.view().Info[osd].UpThru < epoch {
		s.stage().NewUpThru[osd] = epoch
	}
}

// cleanTemps removes the temporary mappings that mean nothing any more: of groups
// that are gone, to nobody who is up, to more OSDs than the pool has replicas,
// or to just where CRUSH has the group, or who leads it anyhow (OSDMap::clean_temps).
func (s *Service) cleanTemps() {
	if len(s.cur.PGTemp)+len(s.cur.PrimaryTemp)+len(s.p.inc.NewPGTemp)+len(s.p.inc.NewPrimaryTemp) == 0 {
		return
	}
	v := s.view()
	drop := map[object.PG]bool{}
	for pg, osds := range v.PGTemp {
		p := v.Pools[pg.Pool]
		drop[pg] = p == nil || pg.Seed >= p.PGNum || !slices.ContainsFunc(osds, v.IsUp) || len(osds) > int(p.Size) ||
			slices.Equal(osds, v.PGToUpActing(pg).Up)
	}
	dropPrimary := map[object.PG]bool{}
	for pg, osd := range v.PrimaryTemp {
		p := v.Pools[pg.Pool]
		at := v.PGToUpActing(pg)
		dropPrimary[pg] = p == nil || pg.Seed >= p.PGNum || !v.IsUp(osd) || at.ActingPrimary == at.UpPrimary
	}
	for pg, gone := range drop {
		if gone {
			s.stage().NewPGTemp[pg] = nil
		}
	}
	for pg, gone := range dropPrimary {
		if gone {
			s.stage().NewPrimaryTemp[pg] = -1
		}
	}
}
