package osd

import (
	"time"

	"github.com/pulpo-storage/pulpo/metric"
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
	groups, primary        *metric.Gauge
	total, used, available *metric.Gauge
}

// opCounters count one kind of requests; nil are those that Ceph does not have.
type opCounters struct {
	n, in, out  *metric.Counter
	latency     *metric.Latency
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
	}
	c.reads = opCounters{
		n:       g.Counter("op_r", "Client read operations", metric.Useful),
		out:     g.Counter("op_r_out_bytes", "Client data read", metric.Useful, metric.Bytes),
		latency: g.Latency("op_r_latency", "Latency of read operation (including queue time)", metric.Useful),
		byOut:   g.Histogram("op_r_latency_out_bytes_histogram", "Histogram of operation latency (including queue time) + data read", opAxes(), metric.Useful),
	}
	c.writes = opCounters{
		n:       g.Counter("op_w", "Client write operations", metric.Useful),
		in:      g.Counter("op_w_in_bytes", "Client data written", metric.Useful, metric.Bytes),
		latency: g.Latency("op_w_latency", "Latency of write operation (including queue time)", metric.Useful),
		byIn:    g.Histogram("op_w_latency_in_bytes_histogram", "Histogram of operation latency (including queue time) + data written", opAxes(), metric.Useful),
	}
	c.rw = opCounters{
		n:       g.Counter("op_rw", "Client read-modify-write operations", metric.Useful),
		in:      g.Counter("op_rw_in_bytes", "Client read-modify-write operations write in", metric.Useful, metric.Bytes),
		out:     g.Counter("op_rw_out_bytes", "Client read-modify-write operations read out", metric.Useful, metric.Bytes),
		latency: g.Latency("op_rw_latency", "Latency of read-modify-write operation (including queue time)", metric.Useful),
		byIn:    g.Histogram("op_rw_latency_in_bytes_histogram", "Histogram of rw operation latency (including queue time) + data written", opAxes(), metric.Useful),
		byOut:   g.Histogram("op_rw_latency_out_bytes_histogram", "Histogram of rw operation latency (including queue time) + data read", opAxes(), metric.Useful),
	}
	c.groups = g.Gauge("numpg", "Placement groups", metric.Nick("pgs"), metric.Useful)
	c.primary = g.Gauge("numpg_primary", "Placement groups for which this osd is primary")
	c.mapMessages = g.Counter("map_messages", "OSD map messages")
	c.mapEpochs = g.Counter("map_message_epochs", "OSD map epochs")
	c.delayed = g.Counter("messages_delayed_for_map", "Operations waiting for OSD map")
	c.total = g.Gauge("stat_bytes", "OSD size", metric.Nick("size"), metric.Useful, metric.Bytes)
	c.used = g.Gauge("stat_bytes_used", "Used space", metric.Nick("used"), metric.Useful, metric.Bytes)
	c.available = g.Gauge("stat_bytes_avail", "Available space", metric.Useful, metric.Bytes)
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
func (c *counters) add(r *pg.Request, took time.Duration) {
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
	c.ops.add(r, took)
	kind.add(r, took)
}

func (k *opCounters) add(r *pg.Request, took time.Duration) {
	k.n.Inc()
	if k.in != nil {
		k.in.Add(uint64(r.InBytes))
	}
	if k.out != nil {
		k.out.Add(uint64(r.OutBytes))
	}
	k.latency.Add(took)
	if k.byIn != nil {
		k.byIn.Add(int64(took), int64(r.InBytes))
	}
	if k.byOut != nil {
		k.byOut.Add(int64(took), int64(r.OutBytes))
	}
}
