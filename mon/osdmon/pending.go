package osdmon

import (
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// pending is the change that is being collected.
type pending struct {
	inc     *osdmap.Incremental // nil: nothing
	view    *osdmap.Map         // the committed map with inc; nil: not computed
	meta    map[int32]map[string]string
	oldMeta []int32
	purged  map[int64]osdmap.SnapSet
}

func (p *pending) empty() bool { return p.inc == nil }

// view returns the map as it will be with what is pending. It is read only.
func (s *Service) view() *osdmap.Map {
	if s.p.inc == nil {
		return s.cur
	}
	if s.p.view == nil {
		v, err := s.cur.Apply(s.p.inc)
		if err != nil {
			panic("BUG: pending osdmap: " + err.Error())
		}
		s.p.view = v
	}
	return s.p.view
}

// stage returns the pending incremental to add to.
func (s *Service) stage() *osdmap.Incremental {
	if s.p.inc == nil {
		s.p.inc = osdmap.NewIncremental(s.cur.FSID, s.cur.Epoch+1)
		s.p.meta = map[int32]map[string]string{}
		s.p.purged = map[int64]osdmap.SnapSet{}
	}
	s.p.view = nil
	return s.p.inc
}

// stageNone makes an epoch without changes, if nothing else does.
func (s *Service) stageNone() { s.stage() }

// editPool returns a pool to change in place.
func (s *Service) editPool(id int64) *osdmap.Pool {
	if s.p.inc != nil && s.p.inc.NewPools[id] != nil {
		s.p.view = nil
		return s.p.inc.NewPools[id]
	}
	p := s.view().Pools[id].Clone()
	s.stage().NewPools[id] = p
	return p
}

// stageCrush replaces the CRUSH map.
func (s *Service) stageCrush(c *crush.Map) { s.stage().Crush = c.Encode() }

// baseState is the state of an OSD as it is when the flips of the pending
// incremental are applied: weights come before them.
func (s *Service) baseState(osd int32) osdmap.State {
	var st osdmap.State
	if osd < s.cur.MaxOSD {
		st = s.cur.State[osd]
	}
	if s.p.inc != nil && s.p.inc.NewWeight[osd] > 0 {
		st = st&^(osdmap.StateAutoOut|osdmap.StateNew) | osdmap.StateExists
	}
	return st
}

// setState sets and clears bits of an OSD's state.
func (s *Service) setState(osd int32, set, clear osdmap.State) {
	s.flipTo(osd, s.view().State[osd]&^clear|set)
}

func (s *Service) flipTo(osd int32, want osdmap.State) {
	base := s.baseState(osd)
	inc := s.stage()
	if flip := base ^ want; flip != 0 {
		inc.NewState[osd] = flip
	} else {
		delete(inc.NewState, osd)
	}
}

// setWeight marks an OSD in, out or between.
func (s *Service) setWeight(osd int32, w uint32) {
	want := s.view().State[osd]
	if w > 0 {
		want &^= osdmap.StateAutoOut | osdmap.StateNew
	}
	s.stage().NewWeight[osd] = w
	s.flipTo(osd, want)
}

// editXInfo changes what monitors remember of an OSD.
func (s *Service) editXInfo(osd int32, edit func(*osdmap.XInfo)) {
	x := s.view().XInfo[osd]
	edit(&x)
	s.stage().NewXInfo[osd] = x
}

// removeOSD drops an OSD with all its state.
func (s *Service) removeOSD(osd int32) {
	inc := s.stage()
	delete(inc.NewWeight, osd)
	delete(inc.NewUpClient, osd)
	delete(inc.NewUpCluster, osd)
	delete(inc.NewHBBackUp, osd)
	delete(inc.NewHBFrontUp, osd)
	delete(inc.NewUUID, osd)
	delete(inc.NewXInfo, osd)
	delete(inc.NewState, osd)
	if s.cur.Exists(osd) {
		inc.NewState[osd] = s.cur.State[osd]
	}
	s.dropMetadata(osd)
}

func (s *Service) setMetadata(osd int32, kv map[string]string) {
	s.stage()
	s.p.oldMeta = slices.DeleteFunc(s.p.oldMeta, func(o int32) bool { return o == osd })
	s.p.meta[osd] = kv
}

func (s *Service) dropMetadata(osd int32) {
	s.stage()
	delete(s.p.meta, osd)
	if !slices.Contains(s.p.oldMeta, osd) {
		s.p.oldMeta = append(s.p.oldMeta, osd)
	}
}

// settle completes the pending incremental before it is proposed: what follows
// from the rest, and the times.
func (s *Service) settle(now time.Time) {
	s.cleanExceptions()
	s.settlePoolFlags()
	s.settleDown(now)
	inc := s.stage()
	inc.Modified = now
	for _, st := range inc.NewState {
		if st == 0 || st&osdmap.StateUp != 0 {
			inc.NewLastUpChange = now
		}
	}
	if len(inc.NewUpClient) > 0 {
		inc.NewLastUpChange = now
	}
	for osd, w := range inc.NewWeight {
		was := uint32(osdmap.WeightOut)
		if osd < s.cur.MaxOSD {
			was = s.cur.Weight[osd]
		}
		if (was == osdmap.WeightOut) != (w == osdmap.WeightOut) {
			inc.NewLastInChange = now
		}
	}
}

// cleanExceptions removes the exceptions to CRUSH that mean nothing any more:
// of groups and OSDs that are gone.
func (s *Service) cleanExceptions() {
	s.cleanTemps()
	s.cleanUpmaps()
}

// poolIDs are the pools of a map in the order of their ids.
func poolIDs(m *osdmap.Map) []int64 { return slices.Sorted(maps.Keys(m.Pools)) }
