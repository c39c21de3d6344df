package osd

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// report is when to report to the monitors.
type report struct {
	next time.Time
	now  bool   // something happened that they should hear of at once
	seq  uint64 // of the newest
	// fullEvery so many reports tell of all groups, for monitors that forgot.
	sinceAll int
}

// reportEvery is the distance of reports (mgr_stats_period).
const reportEvery = 5 * time.Second

// reportAllEvery is how many reports tell only of what has changed before one
// tells of everything.
const reportAllEvery = 12

// ask is a question that shards have not all answered.
type ask struct {
	missing int
	answers []Answer
	done    func(now time.Time, answers []Answer)
}

// askAll puts a question to all shards.
func (o *OSD) askAll(q Ask, done func(now time.Time, answers []Answer)) {
	o.nextAsk++
	q.ID = o.nextAsk
	o.asks[q.ID] = &ask{missing: len(o.shards), done: done}
	o.toShard(-1, q)
}

// askOne puts a question to one shard.
func (o *OSD) askOne(shard int, q Ask, done func(now time.Time, a Answer)) {
	o.nextAsk++
	q.ID = o.nextAsk
	o.asks[q.ID] = &ask{missing: 1, done: func(now time.Time, answers []Answer) { done(now, answers[0]) }}
	o.toShard(shard, q)
}

func (o *OSD) answered(now time.Time, a Answer) {
	q := o.asks[a.ID]
	if q == nil {
		return
	}
	q.answers = append(q.answers, a)
	if q.missing--; q.missing > 0 {
		return
	}
	delete(o.asks, a.ID)
	slices.SortFunc(q.answers, func(a, b Answer) int { return a.Shard - b.Shard })
	q.done(now, q.answers)
}

func (o *OSD) reportTick(now time.Time) {
	if o.state != StateActive || now.Before(o.reports.next) && !o.reports.now {
		return
	}
	o.reconfigure()
	all := o.reports.sinceAll >= reportAllEvery
	if o.reports.sinceAll++; all {
		o.reports.sinceAll = 0
	}
	o.sendReport(now, all, nil)
}

// sendReport collects what the shards know and tells the monitors; then it calls
// then, if there is one.
func (o *OSD) sendReport(now time.Time, all bool, then func(now time.Time)) {
	o.reports.now = false
	o.reports.next = now.Add(reportEvery)
	o.askAll(Ask{About: AboutStats, All: all}, func(now time.Time, answers []Answer) {
		o.groupPeers(answers)
		if o.state == StateActive {
			o.ready.ToMon = append(o.ready.ToMon, o.makeReport(answers))
		}
		if then != nil {
			then(now)
		}
	})
}

func (o *OSD) makeReport(answers []Answer) *msg.OSDReport {
	// The epoch in front makes the sequence rise over restarts too.
	o.reports.seq++
	u := o.store.Usage()
	r := &msg.OSDReport{ID: o.cfg.ID, Epoch: o.maps.Map.Epoch, Stat: msg.OSDStat{
		Seq: o.seq(), UpFrom: o.upSince,
		Store: msg.StoreStats{Total: int64(u.Total), Available: int64(u.Available), Allocated: int64(u.Allocated), Stored: int64(u.Stored),
			OmapAllocated: int64(u.Omap), InternalMetadata: int64(u.Metadata)},
	}}
	hb := o.hb.Status()
	r.Stat.Peers, r.Stat.Pings = hb.Peers, hb.Times
	usage, requests, removing := map[int64]pg.Stats{}, 0, 0
	for _, a := range answers {
		removing += a.Removing
		r.PGs = append(r.PGs, a.PGs...)
		r.Stat.PGs += uint32(a.Count)
		r.Stat.SlowOps += uint32(a.Slow)
		requests += a.Requests
		r.Stat.ReadErrors += a.Errors
		r.Stat.ShardsRepaired += a.Repaired
		r.Stat.OldestSlowOp = max(r.Stat.OldestSlowOp, a.Oldest)
		for pool, s := range a.Usage {
			t := usage[pool]
			t.Add(&s)
			usage[pool] = t
		}
	}
	for _, pool := range slices.Sorted(maps.Keys(usage)) {
		s := usage[pool]
		// What a pool's objects take of the medium, as far as we tell pools
		// apart: blocks round up.
		r.Pools = append(r.Pools, msg.PoolUsage{Pool: pool, Store: msg.StoreStats{Stored: s.Bytes, Allocated: s.Bytes}})
	}
	o.counters.wip.Set(int64(requests))
	o.counters.removing.Set(int64(removing))
	o.counters.slow.Set(int64(r.Stat.SlowOps))
	o.counters.groups.Set(int64(r.Stat.PGs))
	o.counters.primary.Set(int64(primaries(answers)))
	o.counters.total.Set(int64(u.Total))
	o.counters.available.Set(int64(u.Available))
	o.counters.used.Set(int64(u.Total - min(u.Total, u.Available)))
	r.Full = uint32(o.fullness(float64(u.Total-min(u.Total, u.Available)), float64(u.Total)))
	return r
}

// seq is the sequence number of the newest report, as "flush_pg_stats" gives it:
// the epoch of our boot, then a count.
func (o *OSD) seq() uint64 { return uint64(o.upSince)<<32 | o.reports.seq }

// fullness is what the OSD thinks of its space, by the ratios of the map.
func (o *OSD) fullness(used, total float64) osdmap.State {
	m := o.maps.Map
	if as := o.pretence.look(); as.state != 0 {
		return as.state
	}
	if total == 0 {
		return 0
	}
	switch ratio := float32(used / total); {
	case m.FullRatio > 0 && ratio >= m.FullRatio:
		return osdmap.StateFull
	case m.BackfillfullRatio > 0 && ratio >= m.BackfillfullRatio:
		return osdmap.StateBackfillFull
	case m.NearfullRatio > 0 && ratio >= m.NearfullRatio:
		return osdmap.StateNearFull
	}
	return 0
}

// reconfigure gives the shards new settings if something has changed: options,
// room in the store, the number of groups that share the log's memory.
func (o *OSD) reconfigure() {
	o.limitPlaces()
	groups := 0
	if m := o.maps.Map; m != nil {
		for _, p := range m.Pools {
			groups += int(p.PGNum)
		}
	}
	if hb := heartbeat.Configuration(o.cfg.Options); hb != o.hbConfig {
		o.hbConfig = hb
		o.beat(heartbeat.Configure{Config: hb})
	}
	c, history := groupConfig(o.cfg.Options, groups, o.cfg.Shards), historyConfig(o.cfg.Options)
	c.Scrub.Busy = o.busy()
	o.slots.SetMost(int(o.cfg.Options.Int("osd_max_scrubs")))
	u := o.store.Usage()
	limit := o.cfg.Options.Float("osd_failsafe_full_ratio")
	full := u.Total > 0 && limit > 0 && float64(u.Total-min(u.Total, u.Available)) >= limit*float64(u.Total)
	full = full || o.pretence.left != 0 && o.pretence.failsafe
	if full && !o.full {
		o.note(NoteCluster, "failsafe full: only deletes pass", nil)
	}
	if full == o.full && history == o.history && sameLimits(c, o.pgConfig) {
		return
	}
	o.pgConfig, o.full, o.history = c, full, history
	o.toShard(-1, Configure{c, full, history})
}

// groupConfig are the settings of groups by the options.
func groupConfig(c *config.Config, groups, shards int) *pg.Config {
	p := pg.DefaultConfig()
	set := func(dst *uint64, name string) {
		if n := c.Int(name); n > 0 {
			*dst = uint64(n)
		}
	}
	setInt := func(dst *int, name string) {
		if n := c.Int(name); n > 0 {
			*dst = int(n)
		}
	}
	set(&p.MaxObjectSize, "osd_max_object_size")
	setInt(&p.MaxNameLen, "osd_max_object_name_len")
	setInt(&p.MaxNamespaceLen, "osd_max_object_namespace_len")
	setInt(&p.MaxAttrNameLen, "osd_max_attr_name_len")
	setInt(&p.MaxAttrSize, "osd_max_attr_size")
	set(&p.MaxOmapEntries, "osd_max_omap_entries_per_request")
	setInt(&p.MaxOmapBytes, "osd_max_omap_bytes_per_request")
	set(&p.MaxList, "osd_max_pgls")
	setInt(&p.MaxWriteReply, "osd_max_write_op_reply_len")
	set(&p.CopyChunk, "osd_copyfrom_max_chunk")
	if n := c.Int("osd_max_write_size"); n > 0 {
		p.MaxWriteSize = int(n) << 20 // the option is in MiB
	}
	if d := c.Seconds("osd_op_complaint_time"); d > 0 {
		p.ComplaintTime = d
	}
	setDuration := func(dst *time.Duration, name string) {
		if n := c.Int(name); n > 0 {
			*dst = time.Duration(n) * time.Second
		}
	}
	setDuration(&p.WatchTimeout, "osd_client_watch_timeout")
	setDuration(&p.NotifyTimeout, "osd_default_notify_timeout")
	setInt(&p.TrimBatch, "osd_pg_max_concurrent_snap_trims")
	setInt(&p.LogTrim, "osd_pg_log_trim_min")
	p.Scrub = scrubConfig(c)
	p.TrimSleep = c.Seconds("osd_snap_trim_sleep")
	recoveryConfig(p, c, shards)
	// The option is for all of the OSD; each shard may do its part, but at least one.
	if n := int(c.Int("osd_max_trimming_pgs")); n > 0 {
		p.TrimGroups = max(1, n/max(1, shards))
	} else {
		p.TrimGroups = 0
	}
	// The log's memory is shared by the groups, and none goes below what the
	// option says. Ceph's own target per OSD is ten times ours.
	const target = 30000
	most := int(c.Int("osd_max_pg_log_entries"))
	least := int(c.Int("osd_min_pg_log_entries"))
	if least > 0 && most >= least {
		p.LogEntries = min(max(target/max(groups, 1), least), most, p.LogEntries*4)
	}
	return p
}

// recoveryMemory bounds what the groups of an OSD hold of objects that they copy,
// in bytes; if its memory was set, an eighth of that does if it is less.
const recoveryMemory = 16 << 20

// recoveryPiece bounds how much of an object is read, sent and written at a time.
// Those who ask for something else meanwhile wait for a piece, never for the object.
const recoveryPiece = 1 << 20

// recoveryConfig are the settings of recovery. Stores are taken for fast ones, if
// there is an option for these.
func recoveryConfig(p *pg.Config, c *config.Config, shards int) {
	first := func(names ...string) int {
		for _, name := range names {
			if n := c.Int(name); n > 0 {
				return int(n)
			}
		}
		return 1
	}
	p.RecoveryMaxActive = first("osd_recovery_max_active", "osd_recovery_max_active_ssd")
	p.RecoveryChunk = min(first("osd_recovery_max_chunk"), recoveryPiece)
	memory := recoveryMemory
	if c.Source("osd_memory_target") != "default" {
		memory = min(memory, int(c.Int("osd_memory_target")/8))
	}
	p.RecoveryBytes = memory / max(1, shards)
	if p.RecoverySleep = c.Seconds("osd_recovery_sleep"); p.RecoverySleep == 0 {
		p.RecoverySleep = c.Seconds("osd_recovery_sleep_ssd")
	}
	p.RecoveryRetry = c.Seconds("osd_recovery_retry_interval")
	p.BackfillScan = first("osd_backfill_scan_max")
	if !c.Bool("osd_recover_clone_overlap") {
		p.CloneOverlapLimit = 0
	}
}

func sameLimits(a, b *pg.Config) bool {
	x, y := *a, *b
	x.DefaultClasses, y.DefaultClasses = nil, nil
	return reflect.DeepEqual(x, y)
}

func primaries(answers []Answer) (n int) {
	for _, a := range answers {
		n += a.Primary
	}
	return n
}
