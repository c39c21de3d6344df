package pg

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// stamps are when the group was last in a state (pg_stat_t).
type stamps struct {
	fresh, changed, active, peered, clean, unstale, undegraded, fullsized time.Time
	state                                                                 msg.PGState
	past                                                                  []StateSpan // oldest first
}

// StateSpan is a time in a state that is over.
type StateSpan struct {
	State       msg.PGState
	Epoch       uint32
	Enter, Exit time.Time
}

// keepStates is how many are remembered (pg_state_history).
const keepStates = 10

// StateHistory is where a group has been of late.
type StateHistory struct {
	PG   object.PG
	Now  msg.PGState
	Past []StateSpan
}

// StateHistory tells that of the group.
func (p *PG) StateHistory() StateHistory {
	return StateHistory{PG: p.id.PG, Now: p.State(), Past: slices.Clone(p.stamps.past)}
}

// Dump writes it as an object.
func (h *StateHistory) Dump(f *jsonfmt.Formatter) {
	f.Object("pg", func() {
		f.Stringer("pg", h.PG)
		f.Stringer("currently", h.Now)
		f.Array("history", func() {
			for _, s := range h.Past {
				f.Object("entry", func() {
					f.Str("epoch", strconv.FormatUint(uint64(s.Epoch), 10))
					f.Array("states", func() {
						f.Object("state", func() {
							f.Stringer("state", s.State)
							f.Str("enter", jsonfmt.Time(s.Enter))
							f.Str("exit", jsonfmt.Time(s.Exit))
						})
					})
				})
			}
		})
	})
}

func (s *stamps) all(now time.Time) {
	s.fresh, s.changed, s.active, s.peered, s.clean, s.unstale, s.undegraded, s.fullsized = now, now, now, now, now, now, now, now
}

// enter notes a new state, of a map's epoch.
func (s *stamps) enter(now time.Time, epoch uint32, state msg.PGState) {
	s.touch(now)
	if s.state != state {
		s.past = append(s.past, StateSpan{s.state, epoch, s.changed, now})
		s.past = slices.Delete(s.past, 0, max(0, len(s.past)-keepStates))
		s.changed, s.state = now, state
		s.touch(now)
	}
}

// touch notes that the state still holds.
func (s *stamps) touch(now time.Time) {
	s.fresh, s.unstale = now, now
	if s.state&msg.PGActive != 0 {
		s.active, s.peered = now, now
	}
	if s.state&msg.PGClean != 0 {
		s.clean = now
	}
	if s.state&msg.PGDegraded == 0 {
		s.undegraded = now
	}
	if s.state&msg.PGUndersized == 0 {
		s.fullsized = now
	}
}

// Stat returns the group's figures for the monitors; all is false to get them
// only if they have changed since the last time.
func (p *PG) Stat(now time.Time, all bool) (s msg.PGStat, ok bool) {
	if p.osdmap == nil || !p.isPrimary() && p.role != roleSplitting || !all && !p.changed {
		return s, false
	}
	p.changed = false
	p.reportedSeq++
	p.stamps.touch(now)
	return p.stat(), true
}

func (p *PG) stat() msg.PGStat {
	i, h, t, r := &p.info, &p.info.History, &p.stamps, &p.scrub.record
	live := len(p.log.Entries) - p.log.Above(i.LogTail)
	s := msg.PGStat{
		PG: p.id.PG, Version: i.LastUpdate, ReportedSeq: p.reportedSeq, ReportedEpoch: p.Epoch(), State: p.State(),
		LogStart: i.LogTail, OndiskLogStart: i.LogTail, Created: h.EpochCreated, LastEpochClean: h.LastEpochClean,
		LastFresh: t.fresh, LastChange: t.changed, LastActive: t.active, LastPeered: t.peered, LastClean: t.clean,
		LastUnstale: t.unstale, LastUndegraded: t.undegraded, LastFullsized: t.fullsized,
		LastScrub: r.Last, LastDeepScrub: r.LastDeep, LastScrubStamp: r.Stamp, LastDeepStamp: r.DeepStamp, LastCleanScrub: r.CleanStamp,
		LogSize: int64(live), Objects: p.objectStats(), Up: slices.Clone(p.mapping.Up), Acting: slices.Clone(p.mapping.Acting),
		UpPrimary: p.mapping.UpPrimary, ActingPrimary: p.mapping.ActingPrimary, MappingEpoch: h.SameIntervalSince,
		BlockedBy:     p.blockedBy(),
		SnapTrimQueue: uint32(min(p.trim.queue.Size(), math.MaxUint32)),
	}
	for _, r := range i.Purged {
		s.Purged = append(s.Purged, msg.Interval{Start: r.Begin, Len: object.SnapID(r.Length)})
	}
	return s
}

func (p *PG) objectStats() msg.ObjectStats {
	s := &p.info.Stats
	o := msg.ObjectStats{Bytes: s.Bytes, Objects: s.Objects, Copies: s.Objects * int64(max(1, len(p.mapping.Acting))),
		Reads: s.Reads, ReadKB: s.ReadKB, Writes: s.Writes, WriteKB: s.WriteKB, Omap: s.OmapObjects, Dirty: s.Objects,
		Clones: s.Clones, Whiteouts: s.Whiteouts}
	if p.pool != nil {
		o.Copies = s.Objects * int64(max(int(p.pool.Size), len(p.mapping.Up), len(p.mapping.Acting)))
	}
	r := &p.recovery.done
	o.ObjectsRecovered, o.BytesRecovered, o.KeysRecovered = r.ObjectsRecovered, r.BytesRecovered, r.KeysRecovered
	if p.peering.state >= stateActivating {
		o.MissingOnPrimary, o.Unfound = int64(p.missing.Len()), int64(p.numUnfound())
		if !p.clean() || !slices.Equal(p.mapping.Acting, p.mapping.Up) {
			o.Degraded, o.Misplaced = p.census()
		}
	}
	p.scrubStats(&o)
	return o
}
