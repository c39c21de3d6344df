package mgrmon

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// This file writes the structures of the statistics as JSON, field by field as
// Ceph's dump functions do.

var objectFields = []struct {
	name string
	of   func(*msg.ObjectStats) int64
}{
	{"num_bytes", func(o *msg.ObjectStats) int64 { return o.Bytes }},
	{"num_objects", func(o *msg.ObjectStats) int64 { return o.Objects }},
	{"num_object_clones", func(o *msg.ObjectStats) int64 { return o.Clones }},
	{"num_object_copies", func(o *msg.ObjectStats) int64 { return o.Copies }},
	{"num_objects_missing_on_primary", func(o *msg.ObjectStats) int64 { return o.MissingOnPrimary }},
	{"num_objects_missing", func(o *msg.ObjectStats) int64 { return o.Missing }},
	{"num_objects_degraded", func(o *msg.ObjectStats) int64 { return o.Degraded }},
	{"num_objects_misplaced", func(o *msg.ObjectStats) int64 { return o.Misplaced }},
	{"num_objects_unfound", func(o *msg.ObjectStats) int64 { return o.Unfound }},
	{"num_objects_dirty", func(o *msg.ObjectStats) int64 { return o.Dirty }},
	{"num_whiteouts", func(o *msg.ObjectStats) int64 { return o.Whiteouts }},
	{"num_read", func(o *msg.ObjectStats) int64 { return o.Reads }},
	{"num_read_kb", func(o *msg.ObjectStats) int64 { return o.ReadKB }},
	{"num_write", func(o *msg.ObjectStats) int64 { return o.Writes }},
	{"num_write_kb", func(o *msg.ObjectStats) int64 { return o.WriteKB }},
	{"num_scrub_errors", func(o *msg.ObjectStats) int64 { return o.ScrubErrors }},
	{"num_shallow_scrub_errors", func(o *msg.ObjectStats) int64 { return o.ShallowScrubErrors }},
	{"num_deep_scrub_errors", func(o *msg.ObjectStats) int64 { return o.DeepScrubErrors }},
	{"num_objects_recovered", func(o *msg.ObjectStats) int64 { return o.ObjectsRecovered }},
	{"num_bytes_recovered", func(o *msg.ObjectStats) int64 { return o.BytesRecovered }},
	{"num_keys_recovered", func(o *msg.ObjectStats) int64 { return o.KeysRecovered }},
	{"num_objects_omap", func(o *msg.ObjectStats) int64 { return o.Omap }},
	{"num_objects_hit_set_archive", func(o *msg.ObjectStats) int64 { return o.HitSetArchive }},
	{"num_bytes_hit_set_archive", func(o *msg.ObjectStats) int64 { return o.HitSetArchiveBytes }},
	{"num_flush", func(o *msg.ObjectStats) int64 { return o.Flush }},
	{"num_flush_kb", func(o *msg.ObjectStats) int64 { return o.FlushKB }},
	{"num_evict", func(o *msg.ObjectStats) int64 { return o.Evict }},
	{"num_evict_kb", func(o *msg.ObjectStats) int64 { return o.EvictKB }},
	{"num_promote", func(o *msg.ObjectStats) int64 { return o.Promote }},
	{"num_flush_mode_high", func(o *msg.ObjectStats) int64 { return int64(o.FlushHigh) }},
	{"num_flush_mode_low", func(o *msg.ObjectStats) int64 { return int64(o.FlushLow) }},
	{"num_evict_mode_some", func(o *msg.ObjectStats) int64 { return int64(o.EvictSome) }},
	{"num_evict_mode_full", func(o *msg.ObjectStats) int64 { return int64(o.EvictFull) }},
	{"num_objects_pinned", func(o *msg.ObjectStats) int64 { return o.Pinned }},
	{"num_legacy_snapsets", func(o *msg.ObjectStats) int64 { return o.LegacySnapsets }},
	{"num_large_omap_objects", func(o *msg.ObjectStats) int64 { return o.LargeOmap }},
	{"num_objects_manifest", func(o *msg.ObjectStats) int64 { return o.Manifest }},
	{"num_omap_bytes", func(o *msg.ObjectStats) int64 { return o.OmapBytes }},
	{"num_omap_keys", func(o *msg.ObjectStats) int64 { return o.OmapKeys }},
	{"num_objects_repaired", func(o *msg.ObjectStats) int64 { return o.Repaired }},
}

func dumpObjects(f *jsonfmt.Formatter, o *msg.ObjectStats) {
	f.Object("stat_sum", func() {
		for _, field := range objectFields {
			f.Int(field.name, field.of(o))
		}
	})
}

func dumpSpace(f *jsonfmt.Formatter, s *msg.StoreStats) {
	f.Int("total", s.Total)
	f.Int("available", s.Available)
	f.Int("internally_reserved", s.InternallyReserved)
	f.Int("allocated", s.Allocated)
	f.Int("data_stored", s.Stored)
	f.Int("data_compressed", s.Compressed)
	f.Int("data_compressed_allocated", s.CompressedAllocated)
	f.Int("data_compressed_original", s.CompressedOrig)
	f.Int("omap_allocated", s.OmapAllocated)
	f.Int("internal_metadata", s.InternalMetadata)
}

func dumpPool(f *jsonfmt.Formatter, s *msg.PoolStat) {
	dumpObjects(f, &s.Objects)
	f.Object("store_stats", func() { dumpSpace(f, &s.Store) })
	f.Int("log_size", s.LogSize)
	f.Int("ondisk_log_size", s.OndiskLog)
	f.Int("up", int64(s.Up))
	f.Int("acting", int64(s.Acting))
	f.Uint("num_store_stats", uint64(s.NumStoreStat))
}

func dumpOSDs(f *jsonfmt.Formatter, name string, osds []int32) {
	f.Array(name, func() {
		for _, o := range osds {
			f.Int("osd", int64(o))
		}
	})
}

func dumpBrief(f *jsonfmt.Formatter, g *msg.PGStat) {
	f.Stringer("state", g.State)
	dumpOSDs(f, "up", g.Up)
	dumpOSDs(f, "acting", g.Acting)
	f.Int("up_primary", int64(g.UpPrimary))
	f.Int("acting_primary", int64(g.ActingPrimary))
}

// dumpGroup writes a group. What only the OSDs of the stock release know of it
// (since when it is active, which members miss objects) is empty.
func dumpGroup(f *jsonfmt.Formatter, g *msg.PGStat) {
	stamp := func(name string, t time.Time) { f.Str(name, jsonfmt.Time(t)) }
	f.Stringer("version", g.Version)
	f.Uint("reported_seq", g.ReportedSeq)
	f.Uint("reported_epoch", uint64(g.ReportedEpoch))
	f.Stringer("state", g.State)
	stamp("last_fresh", g.LastFresh)
	stamp("last_change", g.LastChange)
	stamp("last_active", g.LastActive)
	stamp("last_peered", g.LastPeered)
	stamp("last_clean", g.LastClean)
	stamp("last_became_active", time.Time{})
	stamp("last_became_peered", time.Time{})
	stamp("last_unstale", g.LastUnstale)
	stamp("last_undegraded", g.LastUndegraded)
	stamp("last_fullsized", g.LastFullsized)
	f.Uint("mapping_epoch", uint64(g.MappingEpoch))
	f.Stringer("log_start", g.LogStart)
	f.Stringer("ondisk_log_start", g.OndiskLogStart)
	f.Uint("created", uint64(g.Created))
	f.Uint("last_epoch_clean", uint64(g.LastEpochClean))
	f.Str("parent", "0.0")
	f.Int("parent_split_bits", 0)
	f.Stringer("last_scrub", g.LastScrub)
	stamp("last_scrub_stamp", g.LastScrubStamp)
	f.Stringer("last_deep_scrub", g.LastDeepScrub)
	stamp("last_deep_scrub_stamp", g.LastDeepStamp)
	stamp("last_clean_scrub_stamp", g.LastCleanScrub)
	f.Int("log_size", g.LogSize)
	f.Int("ondisk_log_size", g.LogSize)
	for _, what := range []string{"", "dirty_", "omap_", "hitset_", "hitset_bytes_", "pin_", "manifest_"} {
		f.Bool(what+"stats_invalid", false)
	}
	f.Uint("snaptrimq_len", uint64(g.SnapTrimQueue))
	dumpObjects(f, &g.Objects)
	dumpOSDs(f, "up", g.Up)
	dumpOSDs(f, "acting", g.Acting)
	f.Array("avail_no_missing", func() {})
	f.Array("object_location_counts", func() {})
	dumpOSDs(f, "blocked_by", g.BlockedBy)
	f.Int("up_primary", int64(g.UpPrimary))
	f.Int("acting_primary", int64(g.ActingPrimary))
	dumpIntervals(f, "purged_snaps", g.Purged)
}

// dumpIntervals writes a set of snapshots.
func dumpIntervals(f *jsonfmt.Formatter, name string, set []msg.Interval) {
	f.Array(name, func() {
		for _, i := range set {
			f.Object("interval", func() {
				f.Uint("start", uint64(i.Start))
				f.Uint("length", uint64(i.Len))
			})
		}
	})
}

// dumpOSDStat writes the numbers of an OSD, or of all.
func dumpOSDStat(f *jsonfmt.Formatter, a *osdSum) {
	kb := func(n int64) int64 { return n >> 10 }
	f.Uint("up_from", uint64(a.upFrom))
	f.Uint("seq", a.seq)
	f.Int("num_pgs", int64(a.pgs))
	f.Int("num_osds", int64(a.osds))
	f.Int("num_per_pool_osds", int64(a.osds))
	f.Int("num_per_pool_omap_osds", int64(a.osds))
	f.Int("kb", kb(a.space.Total))
	f.Int("kb_used", kb(usedRaw(&a.space)))
	f.Int("kb_used_data", kb(a.space.Allocated))
	f.Int("kb_used_omap", kb(a.space.OmapAllocated))
	f.Int("kb_used_meta", kb(a.space.InternalMetadata))
	f.Int("kb_avail", kb(a.space.Available))
	f.Object("statfs", func() { dumpSpace(f, &a.space) })
	dumpOSDs(f, "hb_peers", a.peers)
	f.Uint("snap_trim_queue_len", a.snapTrimQueue)
	f.Uint("num_snap_trimming", a.snapTrimming)
	f.Int("num_shards_repaired", 0)
	f.Object("op_queue_age_hist", func() {
		f.Array("histogram", func() {})
		f.Int("upper_bound", 1)
	})
	f.Object("perf_stat", func() { a.dumpPerf(f) })
	f.Array("alerts", func() {})
	f.Array("network_ping_times", func() {
		for i := range a.pings {
			a.pings[i].Dump(f)
		}
	})
}

func (a *osdSum) dumpPerf(f *jsonfmt.Formatter) {
	f.Uint("commit_latency_ms", uint64(a.commitMS))
	f.Uint("apply_latency_ms", uint64(a.applyMS))
	f.Uint("commit_latency_ns", uint64(a.commitMS)*1e6)
	f.Uint("apply_latency_ns", uint64(a.applyMS)*1e6)
}

// osdVector prints where a group is: [1,0,NONE].
func osdVector(osds []int32) string {
	s := make([]string, len(osds))
	for i, o := range osds {
		if s[i] = strconv.Itoa(int(o)); o == osdmap.NoOSD {
			s[i] = "NONE"
		}
	}
	return "[" + strings.Join(s, ",") + "]"
}

// osdSet prints 0,1,2.
func osdSet(osds []int32) string {
	return strings.Trim(osdVector(slices.Sorted(slices.Values(osds))), "[]")
}
