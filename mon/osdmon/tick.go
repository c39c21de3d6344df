package osdmon

import (
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

const checkInterval = time.Second

// Wake returns when to look again: at once when something waits, else now and
// then.
func (s *Service) Wake() time.Time {
	if len(s.life.retry) > 0 || s.life.news || s.life.since.IsZero() {
		return s.h.Now()
	}
	return s.life.nextRun
}

// Tick stages what follows from the passing of time and from statistics.
func (s *Service) Tick(now time.Time) {
	if s.life.since.IsZero() {
		s.lead(now)
	}
	s.retryBoots()
	if s.life.news {
		s.life.news = false
		s.checkFullness()
		s.checkQuotas()
		s.checkCreated()
		s.growPools()
		s.purgeSnaps()
	}
	if now.Before(s.life.nextRun) {
		return
	}
	s.life.nextRun = now.Add(checkInterval)
	s.markSilentDown(now)
	s.checkFailures(now)
	s.markDownOut(now)
	s.expireBlocklist(now)
	if s.trimTo() != 0 {
		s.stageNone()
	}
}

func (s *Service) retryBoots() {
	again := s.life.retry
	s.life.retry = nil
	for _, r := range again {
		s.boot(r.s, r.b)
	}
}

// markSilentDown marks OSDs down that do not report any more. Their reports are
// their beacons. One whose session ended, and which there are not enough others
// to report, is down sooner: a process that was killed does not say goodbye.
func (s *Service) markSilentDown(now time.Time) {
	timeout := max(s.secondsOption("mon_osd_report_timeout", 900), 2*s.secondsOption("osd_beacon_report_interval", 300))
	grace := s.secondsOption("osd_heartbeat_grace", 20)
	for o := range s.cur.MaxOSD {
		v := s.view()
		if !v.IsUp(o) || !s.mayMarkDown(v, o) {
			continue
		}
		seen := latest(s.stats.LastReport(o), s.life.upAt[o], s.life.since)
		if silent := now.Sub(seen); silent > timeout {
			s.h.Log(msg.LogInfo, "", "osd.%d marked down after no beacon for %.6f seconds", o, silent.Seconds())
			s.setState(o, 0, osdmap.StateUp)
			continue
		}
		if gone, ok := s.life.gone[o]; ok && s.witnesses(v, o) < s.minReporters() {
			if away := now.Sub(latest(gone, s.life.upAt[o])); away > grace {
				s.h.Log(msg.LogInfo, "", "osd.%d failed (no session for %.6f seconds)", o, away.Seconds())
				s.setState(o, 0, osdmap.StateUp)
				delete(s.life.gone, o)
			}
		}
	}
}

// witnesses is the number of parts of the tree from which an OSD can be reported.
func (s *Service) witnesses(v *osdmap.Map, osd int32) int {
	domains := map[string]bool{}
	for o := range v.MaxOSD {
		if o != osd && v.IsUp(o) {
			domains[s.domain(o)] = true
		}
	}
	return len(domains)
}

func latest(ts ...time.Time) time.Time { return slices.MaxFunc(ts, time.Time.Compare) }

// markDownOut gives up waiting for OSDs that are down: their data shall be made
// anew elsewhere.
func (s *Service) markDownOut(now time.Time) {
	interval := s.secondsOption("mon_osd_down_out_interval", 600)
	destroyed := s.secondsOption("mon_osd_destroyed_out_interval", 600)
	for _, o := range slices.Sorted(maps.Keys(s.life.downAt)) {
		v := s.view()
		if !v.Exists(o) || v.IsUp(o) || v.IsOut(o) || !s.mayMarkOut(v, o) {
			continue
		}
		down := now.Sub(latest(s.life.downAt[o], s.life.since))
		wait := interval
		if v.IsDestroyed(o) {
			wait = destroyed
		} else if wait > 0 && s.boolOption("mon_osd_adjust_down_out_interval", true) {
			wait += s.lagOf(&v.XInfo[o], down)
		}
		if wait <= 0 || down < wait {
			continue
		}
		if s.wholeSubtreeDown(v, o) {
			s.life.downAt[o] = now
			continue
		}
		s.editXInfo(o, func(x *osdmap.XInfo) { x.OldWeight = v.Weight[o] })
		s.setWeight(o, osdmap.WeightOut)
		s.setState(o, osdmap.StateAutoOut, 0)
		s.h.Log(msg.LogInfo, "", "Marking osd.%d out (has been down for %d seconds)", o, int(down.Seconds()))
	}
}

func (s *Service) mayMarkOut(v *osdmap.Map, osd int32) bool {
	if v.HasFlag(osdmap.FlagNoOut) || v.NodeFlags(osd)&osdmap.StateNoOut != 0 {
		return false
	}
	total, _, in := v.NumOSDs()
	return total > 0 && float64(in)/float64(total) >= s.floatOption("mon_osd_min_in_ratio", 0.75)
}

// wholeSubtreeDown reports whether everything in the OSD's rack (or what
// mon_osd_down_out_subtree_limit names) is down: someone will repair that
// sooner than the data could be copied.
func (s *Service) wholeSubtreeDown(v *osdmap.Map, osd int32) bool {
	limit := s.h.Option("mon_osd_down_out_subtree_limit")
	typ, ok := v.Crush.TypeID(limit)
	if !ok || typ == 0 {
		return false
	}
	top, ok := v.Crush.ParentOfType(osd, typ)
	return ok && !slices.ContainsFunc(v.Crush.Leaves(top), v.IsUp)
}

func (s *Service) expireBlocklist(now time.Time) {
	expired := func(m map[entity.Addr]time.Time) []entity.Addr {
		var out []entity.Addr
		for a, until := range m {
			if until.Before(now) {
				out = append(out, a)
			}
		}
		slices.SortFunc(out, entity.Addr.Compare)
		return out
	}
	v := s.view()
	for _, a := range expired(v.Blocklist) {
		s.unblock(a)
	}
	for _, a := range expired(v.RangeBlocklist) {
		s.unblockRange(a)
	}
}

// checkCreated clears the flag of pools whose groups have all been made.
func (s *Service) checkCreated() {
	for _, id := range poolIDs(s.view()) {
		if p := s.view().Pools[id]; p.Has(osdmap.PoolFlagCreating) && s.stats.PoolCreated(id, p.PGNum) {
			s.editPool(id).Flags &^= osdmap.PoolFlagCreating
		}
	}
}
