package osd

import (
	"time"

	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// counters are those of Ceph's OSD that mean the same here, under their names.
// Requests are counted as they end; levels are those of the last report to the
// monitors.
type counters struct {
	group                  *metric.Group
	ops, reads, writes, rw opCounters
	delayed                *metric.Counter
	mapMessages, mapEpochs *metric.Counter
	wip, slow              *metric.Gauge
	beforeTaken            *metric.Latency
	mapDups, copies        *metric.Counter
	objectHits, objects    *metric.Counter
	removing               *metric.Gauge
	groups, primary        *metric.Gauge
	total, used, available *metric.Gauge
}

// opCounters count one kind of requests; nil are those that Ceph does not have.
type opCounters struct {
	n, in, out  *metric.Counter
	latency     *metric.Latency   // from the arrival to the reply
	process     *metric.Latency   // of that, without the time in the queue
	prepare     *metric.Latency   // and without waiting for what was decided
	byIn, byOut *metric.Histogram // by latency and size
}

func newCounters() *counters {
	g := metric.NewGroup("osd")
	c := &counters{group: g}
	c.wip = g.Gauge("op_wip", "Replication operations currently being processed (primary)", metric.Useful)
	c.ops = opCounters{
		n:       g.Counter("op", "Client operations", metric.Nick("ops"), metric.Critical),
		in:      g.Counter("op_in_bytes", "Client operations total write size", metric.Nick("wr"), metric.Interesting, metric.Bytes),
		out:     g.Counter("op_out_bytes", "Client operations total read size", metric.Nick("rd"), metric.Interesting, metric.Bytes),
		latency: g.Latency("op_latency", "Latency of client operations (including queue time)", metric.Nick("l"), metric.Priority(9)),
		process: g.Latency("op_process_latency", "Latency of client operations (excluding queue time)", metric.Useful),
		prepare: g.Latency("op_prepare_latency", "Latency of client operations (excluding queue time and wait for finished)", metric.Useful),
	}
	c.reads = opCounters{
		n:       g.Counter("op_r", "Client read operations", metric.Useful),
		out:     g.Counter("op_r_out_bytes", "Client data read", metric.Useful, metric.Bytes),
		latency: g.Latency("op_r_latency", "Latency of read operation (including queue time)", metric.Useful),
		process: g.Latency("op_r_process_latency", "Latency of read operation (excluding queue time)", metric.Useful),
		prepare: g.Latency("op_r_prepare_latency", "Latency of read operations (excluding queue time and wait for finished)", metric.Useful),
		byOut:   g.Histogram("op_r_latency_out_bytes_histogram", "Histogram of operation latency (including queue time) + data read", opAxes(), metric.Useful),
	}
	c.writes = opCounters{
		n:       g.Counter("op_w", "Client write operations", metric.Useful),
		in:      g.Counter("op_w_in_bytes", "Client data written", metric.Useful),
		latency: g.Latency("op_w_latency", "Latency of write operation (including queue time)", metric.Useful),
		process: g.Latency("op_w_process_latency", "Latency of write operation (excluding queue time)", metric.Useful),
		prepare: g.Latency("op_w_prepare_latency", "Latency of write operations (excluding queue time and wait for finished)", metric.Useful),
		byIn:    g.Histogram("op_w_latency_in_bytes_histogram", "Histogram of operation latency (including queue time) + data written", opAxes(), metric.Useful),
	}
	c.rw = opCounters{
		n:       g.Counter("op_rw", "Client read-modify-write operations", metric.Useful),
		in:      g.Counter("op_rw_in_bytes", "Client read-modify-write operations write in", metric.Useful, metric.Bytes),
		out:     g.Counter("op_rw_out_bytes", "Client read-modify-write operations read out ", metric.Useful, metric.Bytes),
		latency: g.Latency("op_rw_latency", "Latency of read-modify-write operation (including queue time)", metric.Useful),
		process: g.Latency("op_rw_process_latency", "Latency of read-modify-write operation (excluding queue time)", metric.Useful),
		prepare: g.Latency("op_rw_prepare_latency", "Latency of read-modify-write operations (excluding queue time and wait for finished)", metric.Useful),
		byIn:    g.Histogram("op_rw_latency_in_bytes_histogram", "Histogram of rw operation latency (including queue time) + data written", opAxes(), metric.Useful),
		byOut:   g.Histogram("op_rw_latency_out_bytes_histogram", "Histogram of rw operation latency (including queue time) + data read", opAxes(), metric.Useful),
	}
	c.beforeTaken = g.Latency("op_before_dequeue_op_lat", "Latency of IO before calling dequeue_op(already dequeued and get PG lock)")
	c.groups = g.Gauge("numpg", "Placement groups", metric.Nick("pgs"), metric.Useful)
	c.primary = g.Gauge("numpg_primary", "Placement groups for which this osd is primary")
	c.removing = g.Gauge("numpg_removing", "Placement groups queued for local deletion", metric.Nick("pgsr"), metric.Useful)
	c.mapMessages = g.Counter("map_messages", "OSD map messages")
	c.mapEpochs = g.Counter("map_message_epochs", "OSD map epochs")
	c.mapDups = g.Counter("map_message_epoch_dups", "OSD map duplicates")
	c.delayed = g.Counter("messages_delayed_for_map", "Operations waiting for OSD map")
	c.total = g.Gauge("stat_bytes", "OSD size", metric.Nick("size"), metric.Useful, metric.Bytes)
	c.used = g.Gauge("stat_bytes_used", "Used space", metric.Nick("used"), metric.Useful, metric.Bytes)
	c.available = g.Gauge("stat_bytes_avail", "Available space", metric.Bytes)
	c.copies = g.Counter("copyfrom", "Rados \"copy-from\" operations")
	c.objectHits = g.Counter("object_ctx_cache_hit", "Object context cache hits")
	c.objects = g.Counter("object_ctx_cache_total", "Object context cache lookups")
	idleCounters(g)
	// Ours.
	c.slow = g.Gauge("slow_ops", "Operations under way for longer than osd_op_complaint_time", metric.Useful)
	return c
}

// opAxes are those of Ceph's histograms, with its mistake in the name: the
// latency is in nanoseconds.
func opAxes() []metric.Axis {
	return []metric.Axis{
		{Name: "Latency (usec)", Quantum: 100000, Buckets: 32},
		{Name: "Request size (bytes)", Quantum: 512, Buckets: 32},
	}
}

// add counts a request that has ended, if it was executed.
func (c *counters) add(r *pg.Request, now time.Time) {
	c.beforeTaken.Add(max(0, r.Taken.Sub(r.Received)))
	kind := &c.rw
	switch {
	case r.Reads && r.Writes:
	case r.Writes:
		kind = &c.writes
	case r.Reads:
		kind = &c.reads
	default:
		return
	}
	for i := range r.Op.Ops {
		if r.Op.Ops[i].Code == msg.OpCopyFrom || r.Op.Ops[i].Code == msg.OpCopyFrom2 {
			c.copies.Inc()
		}
	}
	c.ops.add(r, now)
	kind.add(r, now)
}

func (k *opCounters) add(r *pg.Request, now time.Time) {
	k.n.Inc()
	if k.in != nil {
		k.in.Add(uint64(r.InBytes))
	}
	if k.out != nil {
		k.out.Add(uint64(r.OutBytes))
	}
	took := now.Sub(r.Received)
	k.latency.Add(took)
	k.process.Add(now.Sub(r.Taken))
	k.prepare.Add(r.Executed.Sub(r.Taken))
	if k.byIn != nil {
		k.byIn.Add(int64(took), int64(r.InBytes))
	}
	if k.byOut != nil {
		k.byOut.Add(int64(took), int64(r.OutBytes))
	}
}

// idleCounters declares what a stock OSD counts and this one has nothing to count
// of: it has no replicas to send to, does not recover, has no tiers, and keeps no
// caches of that kind. Dashboards and exporters ask for them by name.
func idleCounters(g *metric.Group) {
	for _, c := range [][2]string{
		{"subop", "Suboperations"}, {"subop_w", "Replicated writes"}, {"subop_pull", "Suboperations pull requests"},
		{"subop_push", "Suboperations push messages"}, {"pull", "Pull requests sent"}, {"push", "Push messages sent"},
		{"osd_map_cache_hit", "osdmap cache hit"}, {"osd_map_cache_miss", "osdmap cache miss"},
		{"osd_map_cache_miss_low", "osdmap cache miss below cache lower bound"},
		{"osd_map_bl_cache_hit", "OSDMap buffer cache hits"}, {"osd_map_bl_cache_miss", "OSDMap buffer cache misses"},
		{"tier_promote", "Tier promotions"}, {"tier_flush", "Tier flushes"}, {"tier_flush_fail", "Failed tier flushes"},
		{"tier_try_flush", "Tier flush attempts"}, {"tier_try_flush_fail", "Failed tier flush attempts"}, {"tier_evict", "Tier evictions"},
		{"tier_whiteout", "Tier whiteouts"}, {"tier_dirty", "Dirty tier flag set"}, {"tier_clean", "Dirty tier flag cleaned"},
		{"tier_delay", "Tier delays (agent waiting)"}, {"tier_proxy_read", "Tier proxy reads"}, {"tier_proxy_write", "Tier proxy writes"},
		{"agent_wake", "Tiering agent wake up"}, {"agent_skip", "Objects skipped by agent"}, {"agent_flush", "Tiering agent flushes"},
		{"agent_evict", "Tiering agent evictions"},
	} {
		g.Counter(c[0], c[1])
	}
	for _, c := range [][2]string{
		{"subop_in_bytes", "Suboperations total size"}, {"subop_w_in_bytes", "Replicated written data size"},
		{"subop_push_in_bytes", "Suboperations pushed size"}, {"push_out_bytes", "Pushed size"},
	} {
		g.Counter(c[0], c[1], metric.Bytes)
	}
	g.Counter("recovery_ops", "Started recovery operations", metric.Nick("rop"), metric.Interesting)
	g.Counter("recovery_bytes", "recovery bytes", metric.Nick("rbt"), metric.Interesting)
	for _, c := range [][2]string{
		{"subop_latency", "Suboperations latency"}, {"subop_w_latency", "Replicated writes latency"},
		{"subop_pull_latency", "Suboperations pull latency"}, {"subop_push_latency", "Suboperations push latency"},
		{"osd_tier_flush_lat", "Object flush latency"}, {"osd_tier_promote_lat", "Object promote latency"}, {"osd_tier_r_lat", "Object proxy read latency"},
	} {
		g.Latency(c[0], c[1])
	}
	for _, c := range [][2]string{
		{"cached_crc", "Total number getting crc from crc_cache"}, {"cached_crc_adjusted", "Total number getting crc from crc_cache with adjusting"},
		{"missed_crc", "Total number of crc cache misses"}, {"numpg_replica", "Placement groups for which this osd is replica"},
		{"numpg_stray", "Placement groups ready to be deleted from this osd"}, {"heartbeat_to_peers", "Heartbeat (ping) peers we send to"},
	} {
		g.Gauge(c[0], c[1])
	}
}
