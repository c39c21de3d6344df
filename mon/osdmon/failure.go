package osdmon

import (
	"fmt"
	"math"
	"time"

	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// An OSD that others cannot reach is down once enough of them say so for long
// enough:
//
//   - one report is enough if nobody listens at its address any more: a network
//     that fails does not answer at all;
//   - else mon_osd_min_down_reporters are needed, each in another part of the
//     tree (mon_osd_reporter_subtree_level): one switch or one sick reporter does
//     not bring down the rest;
//   - and it must have been silent for osd_heartbeat_grace, longer if it, or those
//     who report it, were often marked down and then found alive (mon_osd_laggy_*).
//
// Reports are in the leader's memory. Reporters repeat them, so a new leader
// hears of all that still holds.

// failure is what is said of one OSD.
type failure struct {
	since map[int32]time.Time // by reporter: the target's last sign of life
}

// failedSince is when the OSD was last seen by anybody who now reports it.
func (f *failure) failedSince() (t time.Time) {
	for _, since := range f.since {
		if since.After(t) {
			t = since
		}
	}
	return t
}

// failed takes a report of a failure, or its withdrawal.
func (s *Service) failed(sess *service.Session, b *msg.OSDFailure) service.Answer {
	v := s.view()
	if !isOSD(sess, b.ID) || b.ID == b.Target {
		return service.Answer{}
	}
	// Whoever is down himself is no witness, and what is said of an earlier process
	// says nothing of this one.
	failed := b.Flags&msg.FailureFailed != 0
	if !v.Exists(b.ID) || failed && v.IsDown(b.ID) || v.IsDown(b.Target) ||
		!v.ClientAddrs[b.Target].Equal(b.Addrs) || v.Info[b.Target].UpFrom > b.Epoch {
		return service.Answer{}
	}
	s.heard(sess, b.ID)
	switch {
	case !failed:
		s.withdraw(b.Target, b.ID)
	case !s.mayMarkDown(v, b.Target):
	case b.Flags&msg.FailureImmediate != 0:
		s.h.Log(msg.LogDebug, "", "osd.%d reported immediately failed by osd.%d", b.Target, b.ID)
		s.markDead(b.Target, b.ID)
	default:
		f := s.life.failures[b.Target]
		if f == nil {
			f = &failure{since: map[int32]time.Time{}}
			s.life.failures[b.Target] = f
		}
		if _, again := f.since[b.ID]; !again {
			s.h.Log(msg.LogDebug, "", "osd.%d reported failed by osd.%d", b.Target, b.ID)
		}
		f.since[b.ID] = s.h.Now().Add(-time.Duration(b.For) * time.Second)
		s.checkFailure(s.h.Now(), b.Target)
	}
	return service.Answer{}
}

func (s *Service) withdraw(target, reporter int32) {
	f := s.life.failures[target]
	if f == nil {
		return
	}
	if _, ok := f.since[reporter]; !ok {
		return
	}
	s.h.Log(msg.LogDebug, "", "osd.%d failure report canceled by osd.%d", target, reporter)
	delete(f.since, reporter)
	if len(f.since) == 0 {
		delete(s.life.failures, target)
	}
}

// markDead marks an OSD down whose process is gone: nobody need wait for promises
// that it gave.
func (s *Service) markDead(osd, by int32) {
	s.setState(osd, 0, osdmap.StateUp)
	next := s.cur.Epoch + 1
	s.editXInfo(osd, func(x *osdmap.XInfo) { x.DeadEpoch = next })
	s.h.Log(msg.LogInfo, "", "osd.%d failed (%s) (connection refused reported by osd.%d)", osd, s.place(osd), by)
}

// checkFailures looks whether time has made failures of what is reported.
func (s *Service) checkFailures(now time.Time) {
	for osd := range s.cur.MaxOSD {
		if s.life.failures[osd] != nil && s.mayMarkDown(s.view(), osd) {
			s.checkFailure(now, osd)
		}
	}
}

func (s *Service) checkFailure(now time.Time, osd int32) {
	f, v := s.life.failures[osd], s.view()
	for reporter := range f.since {
		if v.IsDown(reporter) {
			delete(f.since, reporter)
		}
	}
	if len(f.since) == 0 {
		delete(s.life.failures, osd)
		return
	}
	if v.IsDown(osd) {
		return
	}
	domains := map[string]bool{}
	for reporter := range f.since {
		domains[s.domain(reporter)] = true
	}
	if len(domains) < s.minReporters() {
		return
	}
	silent, grace := now.Sub(f.failedSince()), s.grace(now, osd, f)
	if silent < grace {
		return
	}
	s.h.Log(msg.LogInfo, "", "osd.%d failed (%s) (%d reporters from different %s after %.6f >= grace %.6f)",
		osd, s.place(osd), len(domains), s.reporterLevel(), silent.Seconds(), grace.Seconds())
	s.setState(osd, 0, osdmap.StateUp)
}

func (s *Service) minReporters() int { return int(s.intOption("mon_osd_min_down_reporters", 2)) }

func (s *Service) reporterLevel() string {
	if level := s.h.Option("mon_osd_reporter_subtree_level"); level != "" {
		return level
	}
	return "host"
}

// domain is the part of the tree that an OSD counts for as a reporter; itself
// if there are no parts of that level above it.
func (s *Service) domain(osd int32) string {
	if name, ok := s.cur.Crush.Location(osd)[s.reporterLevel()]; ok {
		return name
	}
	return fmt.Sprintf("osd.%d", osd)
}

// grace is how long an OSD may be silent.
func (s *Service) grace(now time.Time, osd int32, f *failure) time.Duration {
	grace := s.secondsOption("osd_heartbeat_grace", 20)
	if !s.boolOption("mon_osd_adjust_heartbeat_grace", true) {
		return grace
	}
	v := s.view()
	grace += s.lagOf(&v.XInfo[osd], now.Sub(f.failedSince()))
	// Those who report it stand for its surroundings: if they are known to lag too,
	// this is rather a slow rack than a dead OSD.
	var peers time.Duration
	for reporter := range f.since {
		x := &v.XInfo[reporter]
		peers += s.lagOf(x, now.Sub(x.DownStamp))
	}
	return grace + peers/time.Duration(len(f.since))
}

// lagOf is what is to be allowed to an OSD that was found alive after it had been
// marked down: the length of such times by how likely they are, halved with
// each mon_osd_laggy_halflife that has passed.
func (s *Service) lagOf(x *osdmap.XInfo, passed time.Duration) time.Duration {
	halflife := s.secondsOption("mon_osd_laggy_halflife", 3600)
	if halflife <= 0 || x.LaggyInterval == 0 {
		return 0
	}
	decay := math.Exp2(-passed.Seconds() / halflife.Seconds())
	probability := float64(x.LaggyProbability) / math.MaxUint32
	return time.Duration(decay * probability * float64(x.LaggyInterval) * float64(time.Second))
}

// learnLag notes how a boot came about: by a process that is new, or by one that
// had been running all along while it was marked down.
func (s *Service) learnLag(x *osdmap.XInfo, alive bool, now time.Time) {
	weight := s.floatOption("mon_osd_laggy_weight", 0.3)
	probability, interval := float64(x.LaggyProbability)*(1-weight), float64(x.LaggyInterval)*(1-weight)
	if alive {
		probability += math.MaxUint32 * weight
		if !x.DownStamp.IsZero() {
			down := float64(now.Unix() - x.DownStamp.Unix())
			if most := s.floatOption("mon_osd_laggy_max_interval", 300); most > 0 {
				down = min(down, most)
			}
			interval += max(down, 0) * weight
		}
	}
	x.LaggyProbability, x.LaggyInterval = uint32(min(probability, math.MaxUint32)), uint32(interval)
}

// forgetLag is how many times its halflife a lag is remembered.
const forgetLag = 48

// settleDown completes what is known of OSDs that the pending change marks down.
func (s *Service) settleDown(now time.Time) {
	for osd, flip := range s.p.inc.NewState {
		if flip != 0 && flip&osdmap.StateUp == 0 || osd >= s.cur.MaxOSD || !s.cur.IsUp(osd) || flip&osdmap.StateExists != 0 {
			continue
		}
		old := s.cur.XInfo[osd].DownStamp
		lagged := s.cur.XInfo[osd].LaggyProbability > 0 || s.cur.XInfo[osd].LaggyInterval > 0
		x, edited := s.p.inc.NewXInfo[osd]
		if lagged && !old.IsZero() && now.Sub(old) > forgetLag*s.secondsOption("mon_osd_laggy_halflife", 3600) {
			if !edited {
				x, edited = s.cur.XInfo[osd], true
			}
			x.LaggyProbability, x.LaggyInterval = 0, 0
		}
		// What is stated as a whole comes after what follows from the state.
		if edited {
			x.DownStamp = now
			s.stage().NewXInfo[osd] = x
		}
	}
}

// dead takes the word of an OSD that it serves nobody any more.
func (s *Service) dead(sess *service.Session, b *msg.OSDDead) service.Answer {
	v := s.view()
	if !isOSD(sess, b.ID) || !v.Exists(b.ID) || v.IsUp(b.ID) || b.Epoch > s.cur.Epoch || v.XInfo[b.ID].DeadEpoch >= b.Epoch {
		return service.Answer{}
	}
	s.heard(sess, b.ID)
	s.editXInfo(b.ID, func(x *osdmap.XInfo) { x.DeadEpoch = b.Epoch })
	s.h.Log(msg.LogInfo, "", "osd.%d marked itself dead as of e%d", b.ID, b.Epoch)
	return service.Answer{}
}
