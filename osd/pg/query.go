package pg

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Query is what "pg query" tells of a group.
type Query struct {
	Info      Info
	TrimQueue osdmap.SnapSet // snapshots of which clones may be left
	Stat      msg.PGStat
	Epoch     uint32
	Active    bool
	EnterTime time.Time // of the present state
	Scrub     ScrubQuery
	// What some member lacks, and what nobody is known to have.
	Missing   int
	Peers     []PeerCopy // in order
	Progress  Progress
	Unfound   []Unfound
	MightHave []MightHave // of the unfound objects; nil if there are none
}

// PeerCopy is what the primary knows of another OSD's copy.
type PeerCopy struct {
	OSD  int32
	Info Info
}

// Progress is how far recovery is.
type Progress struct {
	Targets  []int32     // that are being filled, in order
	Last     object.ID   // the backfill has come to; MinID: there is none
	Filling  []object.ID // heads that it copies, in order
	Pulls    []Transfer  // by OSD and object
	Pushes   []Transfer
	Transfer []object.ID // all objects that are under way, in order
}

// Transfer is an object on its way from or to another OSD.
type Transfer struct {
	OSD     int32
	Object  object.ID
	Version object.Version
}

// peerCopies are the copies that the primary knows of. Members have all entries of
// the log, and all objects but those that they lack.
func (p *PG) peerCopies() (list []PeerCopy) {
	for _, o := range sortedOSDs(p.peering.peers) {
		q := p.peering.peers[o]
		c := PeerCopy{o, q.info}
		if q.member && q.started {
			c.Info.LastUpdate, c.Info.LogTail = p.info.LastUpdate, p.info.LogTail
			if q.missing.Len() == 0 && !q.info.Incomplete() {
				c.Info.LastComplete = p.committed
			}
		}
		list = append(list, c)
	}
	return list
}

func (p *PG) progress() (g Progress) {
	r := &p.recovery
	g.Targets, g.Last = p.unfilled(), object.MinID
	if r.fill != nil {
		g.Last = r.fill.At()
		g.Filling = slices.SortedFunc(maps.Keys(r.units), object.ID.Compare)
	}
	for _, m := range r.moves {
		t := Transfer{m.osd, m.id, m.version}
		if m.pull {
			g.Pulls = append(g.Pulls, t)
		} else {
			g.Pushes = append(g.Pushes, t)
		}
		g.Transfer = append(g.Transfer, m.id)
	}
	slices.SortFunc(g.Pulls, func(a, b Transfer) int { return cmp.Or(cmp.Compare(a.OSD, b.OSD), a.Object.Compare(b.Object)) })
	slices.SortFunc(g.Pushes, func(a, b Transfer) int { return cmp.Or(a.Object.Compare(b.Object), cmp.Compare(a.OSD, b.OSD)) })
	slices.SortFunc(g.Transfer, object.ID.Compare)
	g.Transfer = slices.Compact(g.Transfer)
	return g
}

// Query describes the group.
func (p *PG) Query() *Query {
	p.updateComplete()
	q := &Query{Info: p.info, TrimQueue: p.trim.queue, Stat: p.stat(), Epoch: p.Epoch(), Active: p.role == roleActive, EnterTime: p.stamps.changed,
		Scrub: p.queryScrub(), Missing: p.numMissing(), Unfound: p.unfoundObjects()}
	if p.isPrimary() {
		q.Peers, q.Progress = p.peerCopies(), p.progress()
	}
	if len(q.Unfound) > 0 {
		q.MightHave = p.mightHave()
	}
	return q
}

// Dump writes the fields into the open object, in Ceph's order.
func (q *Query) Dump(f *jsonfmt.Formatter) {
	s := &q.Stat
	f.Stringer("snap_trimq", q.TrimQueue)
	f.Uint("snap_trimq_len", uint64(s.SnapTrimQueue))
	f.Str("state", s.State.String())
	f.Uint("epoch", uint64(q.Epoch))
	dumpOSDs(f, "up", s.Up)
	dumpOSDs(f, "acting", s.Acting)
	if q.Active {
		f.Array("acting_recovery_backfill", func() {
			for _, o := range s.Acting {
				f.Str("", strconv.Itoa(int(o)))
			}
		})
	}
	f.Object("info", func() { q.dumpInfo(f) })
	f.Array("peer_info", func() {
		for _, c := range q.Peers {
			peer := Query{Info: c.Info, Stat: q.Stat}
			peer.Stat.Version, peer.Stat.LogStart, peer.Stat.OndiskLogStart = c.Info.LastUpdate, c.Info.LogTail, c.Info.LogTail
			f.Object("", func() {
				f.Str("peer", strconv.Itoa(int(c.OSD)))
				peer.dumpInfo(f)
			})
		}
	})
	f.Array("recovery_state", func() { q.dumpRecovery(f) })
	f.Object("scrubber", func() { q.Scrub.dump(f) })
	f.Object("agent_state", func() {})
}

// DumpMightHave writes who may have what is unfound.
func (q *Query) DumpMightHave(f *jsonfmt.Formatter) {
	f.Array("might_have_unfound", func() {
		for _, m := range q.MightHave {
			f.Object("", func() {
				f.Str("osd", strconv.Itoa(int(m.OSD)))
				f.Str("status", m.Status)
			})
		}
	})
}

func dumpOSDs(f *jsonfmt.Formatter, name string, osds []int32) {
	f.Array(name, func() {
		for _, o := range osds {
			f.Int("", int64(o))
		}
	})
}

func (q *Query) dumpInfo(f *jsonfmt.Formatter) {
	i, s := &q.Info, &q.Stat
	f.Str("pgid", i.PG.String())
	f.Stringer("last_update", i.LastUpdate)
	f.Stringer("last_complete", i.LastComplete)
	f.Stringer("log_tail", i.LogTail)
	f.Uint("last_user_version", i.LastUserVersion)
	f.Stringer("last_backfill", i.LastBackfill)
	dumpPurged(f, s.Purged)
	f.Object("history", func() { q.dumpHistory(f) })
	f.Object("stats", func() { q.dumpStats(f) })
	f.Int("empty", b2i(i.LastUpdate.IsZero()))
	f.Int("dne", b2i(i.History.EpochCreated == 0))
	f.Int("incomplete", b2i(i.Incomplete()))
	f.Uint("last_epoch_started", uint64(i.History.LastEpochStarted))
	f.Object("hit_set_history", func() {
		f.Str("current_last_update", "0'0")
		f.Array("history", func() {})
	})
}

func dumpPurged(f *jsonfmt.Formatter, snaps []msg.Interval) {
	f.Array("purged_snaps", func() {
		for _, i := range snaps {
			f.Object("interval", func() {
				f.Uint("start", uint64(i.Start))
				f.Uint("length", uint64(i.Len))
			})
		}
	})
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (q *Query) dumpHistory(f *jsonfmt.Formatter) {
	h, s := &q.Info.History, &q.Stat
	for _, e := range []struct {
		name string
		v    uint32
	}{
		{"epoch_created", h.EpochCreated}, {"epoch_pool_created", h.EpochPoolCreated},
		{"last_epoch_started", h.LastEpochStarted}, {"last_interval_started", h.LastIntervalStarted},
		{"last_epoch_clean", h.LastEpochClean}, {"last_interval_clean", h.LastIntervalClean},
		{"last_epoch_split", h.LastEpochSplit}, {"last_epoch_marked_full", h.LastEpochMarkedFull},
		{"same_up_since", h.SameUpSince}, {"same_interval_since", h.SameIntervalSince}, {"same_primary_since", h.SamePrimarySince},
	} {
		f.Uint(e.name, uint64(e.v))
	}
	f.Stringer("last_scrub", s.LastScrub)
	f.Str("last_scrub_stamp", jsonfmt.Time(s.LastScrubStamp))
	f.Stringer("last_deep_scrub", s.LastDeepScrub)
	f.Str("last_deep_scrub_stamp", jsonfmt.Time(s.LastDeepStamp))
	f.Str("last_clean_scrub_stamp", jsonfmt.Time(s.LastCleanScrub))
	f.Int("prior_readable_until_ub", 0)
}

func (q *Query) dumpStats(f *jsonfmt.Formatter) {
	s := &q.Stat
	f.Stringer("version", s.Version)
	f.Uint("reported_seq", s.ReportedSeq)
	f.Uint("reported_epoch", uint64(s.ReportedEpoch))
	f.Str("state", s.State.String())
	for _, t := range []struct {
		name string
		v    time.Time
	}{
		{"last_fresh", s.LastFresh}, {"last_change", s.LastChange}, {"last_active", s.LastActive}, {"last_peered", s.LastPeered},
		{"last_clean", s.LastClean}, {"last_became_active", s.LastChange}, {"last_became_peered", s.LastChange},
		{"last_unstale", s.LastUnstale}, {"last_undegraded", s.LastUndegraded}, {"last_fullsized", s.LastFullsized},
	} {
		f.Str(t.name, jsonfmt.Time(t.v))
	}
	f.Uint("mapping_epoch", uint64(s.MappingEpoch))
	f.Stringer("log_start", s.LogStart)
	f.Stringer("ondisk_log_start", s.OndiskLogStart)
	f.Uint("created", uint64(s.Created))
	f.Uint("last_epoch_clean", uint64(s.LastEpochClean))
	f.Str("parent", "0.0")
	f.Int("parent_split_bits", 0)
	f.Stringer("last_scrub", s.LastScrub)
	f.Str("last_scrub_stamp", jsonfmt.Time(s.LastScrubStamp))
	f.Stringer("last_deep_scrub", s.LastDeepScrub)
	f.Str("last_deep_scrub_stamp", jsonfmt.Time(s.LastDeepStamp))
	f.Str("last_clean_scrub_stamp", jsonfmt.Time(s.LastCleanScrub))
	f.Int("log_size", s.LogSize)
	f.Int("ondisk_log_size", s.LogSize)
	for _, name := range []string{"stats_invalid", "dirty_stats_invalid", "omap_stats_invalid", "hitset_stats_invalid",
		"hitset_bytes_stats_invalid", "pin_stats_invalid", "manifest_stats_invalid"} {
		f.Bool(name, false)
	}
	f.Uint("snaptrimq_len", uint64(s.SnapTrimQueue))
	f.Object("stat_sum", func() { dumpSums(f, &s.Objects) })
	dumpOSDs(f, "up", s.Up)
	dumpOSDs(f, "acting", s.Acting)
	f.Array("avail_no_missing", func() {})
	f.Array("object_location_counts", func() {})
	dumpOSDs(f, "blocked_by", s.BlockedBy)
	f.Int("up_primary", int64(s.UpPrimary))
	f.Int("acting_primary", int64(s.ActingPrimary))
	dumpPurged(f, s.Purged)
}

func dumpSums(f *jsonfmt.Formatter, o *msg.ObjectStats) {
	for _, s := range []struct {
		name string
		v    int64
	}{
		{"num_bytes", o.Bytes}, {"num_objects", o.Objects}, {"num_object_clones", o.Clones}, {"num_object_copies", o.Copies},
		{"num_objects_missing_on_primary", o.MissingOnPrimary}, {"num_objects_missing", o.Missing},
		{"num_objects_degraded", o.Degraded}, {"num_objects_misplaced", o.Misplaced}, {"num_objects_unfound", o.Unfound},
		{"num_objects_dirty", o.Dirty}, {"num_whiteouts", o.Whiteouts}, {"num_read", o.Reads}, {"num_read_kb", o.ReadKB},
		{"num_write", o.Writes}, {"num_write_kb", o.WriteKB}, {"num_scrub_errors", o.ScrubErrors},
		{"num_shallow_scrub_errors", o.ShallowScrubErrors}, {"num_deep_scrub_errors", o.DeepScrubErrors},
		{"num_objects_recovered", o.ObjectsRecovered}, {"num_bytes_recovered", o.BytesRecovered},
		{"num_keys_recovered", o.KeysRecovered}, {"num_objects_omap", o.Omap}, {"num_objects_hit_set_archive", o.HitSetArchive},
		{"num_bytes_hit_set_archive", o.HitSetArchiveBytes}, {"num_flush", o.Flush}, {"num_flush_kb", o.FlushKB},
		{"num_evict", o.Evict}, {"num_evict_kb", o.EvictKB}, {"num_promote", o.Promote},
		{"num_flush_mode_high", int64(o.FlushHigh)}, {"num_flush_mode_low", int64(o.FlushLow)},
		{"num_evict_mode_some", int64(o.EvictSome)}, {"num_evict_mode_full", int64(o.EvictFull)},
		{"num_objects_pinned", o.Pinned}, {"num_legacy_snapsets", o.LegacySnapsets}, {"num_large_omap_objects", o.LargeOmap},
		{"num_objects_manifest", o.Manifest}, {"num_omap_bytes", o.OmapBytes}, {"num_omap_keys", o.OmapKeys},
		{"num_objects_repaired", o.Repaired},
	} {
		f.Int(s.name, s.v)
	}
}

func (q *Query) dumpRecovery(f *jsonfmt.Formatter) {
	state := "Started/Primary/Active"
	if !q.Active {
		state = "Started/Primary/Peering"
	}
	f.Object("", func() {
		f.Str("name", state)
		f.Str("enter_time", jsonfmt.Time(q.EnterTime))
		if q.Active {
			q.DumpMightHave(f)
			f.Object("recovery_progress", func() { q.Progress.dump(f) })
		}
	})
	f.Object("", func() {
		f.Str("name", "Started")
		f.Str("enter_time", jsonfmt.Time(q.EnterTime))
	})
}

// dump writes what PrimaryLogPG::dump_recovery_info does.
func (g *Progress) dump(f *jsonfmt.Formatter) {
	ids := func(name string, list []object.ID) {
		f.Array(name, func() {
			for _, id := range list {
				f.Stringer("", id)
			}
		})
	}
	f.Array("backfill_targets", func() {
		for _, o := range g.Targets {
			f.Str("", strconv.Itoa(int(o)))
		}
	})
	f.Array("waiting_on_backfill", func() {})
	f.Stringer("last_backfill_started", g.Last)
	f.Object("backfill_info", func() {
		f.Stringer("begin", g.Last)
		f.Stringer("end", g.Last)
		f.Array("objects", func() {})
	})
	f.Array("peer_backfill_info", func() {})
	ids("backfills_in_flight", g.Filling)
	ids("recovering", g.Transfer)
	f.Object("pg_backend", func() {
		f.Array("pull_from_peer", func() {
			for i := 0; i < len(g.Pulls); {
				from := g.Pulls[i].OSD
				f.Object("", func() {
					f.Str("pull_from", strconv.Itoa(int(from)))
					f.Array("pulls", func() {
						for ; i < len(g.Pulls) && g.Pulls[i].OSD == from; i++ {
							f.Object("", func() { g.Pulls[i].dump(f) })
						}
					})
				})
			}
		})
		f.Array("pushing", func() {
			for i := 0; i < len(g.Pushes); {
				o := g.Pushes[i].Object
				f.Object("", func() {
					f.Stringer("object", o)
					f.Array("pushing_to", func() {
						for ; i < len(g.Pushes) && g.Pushes[i].Object == o; i++ {
							f.Object("", func() {
								f.Str("pushing_to", strconv.Itoa(int(g.Pushes[i].OSD)))
								f.Object("push_info", func() { g.Pushes[i].dump(f) })
							})
						}
					})
				})
			}
		})
	})
}

func (t *Transfer) dump(f *jsonfmt.Formatter) {
	f.Object("recovery_info", func() {
		f.Stringer("object", t.Object)
		f.Stringer("at_version", t.Version)
	})
}
