package osd

import (
	"time"

	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// counters are those of Ceph's OSD that mean the same here, under their names.
type counters struct {
	group                  *metric.Group
	ops, reads, writes, rw opCounters
	mapMessages, mapEpochs *metric.Counter
	groups, primary        *metric.Gauge
	total, used, available *metric.Gauge
}

// opCounters count one kind of requests.
type opCounters struct {
	n, in, out *metric.Counter
	latency    *metric.Latency
}

func newCounters() *counters {
	g := metric.NewGroup("osd")
	kind := func(name, what string) opCounters {
		return opCounters{
			n:       g.Counter(name, "Client "+what+" operations", metric.Critical),
			in:      g.Counter(name+"_in_bytes", "Client data written by "+what+" operations", metric.Bytes),
			out:     g.Counter(name+"_out_bytes", "Client data read by "+what+" operations", metric.Bytes),
			latency: g.Latency(name+"_latency", "Latency of "+what+" operations (including queue time)", metric.Interesting),
		}
	}
	return &counters{
		group: g, ops: kind("op", ""), reads: kind("op_r", "read"), writes: kind("op_w", "write"), rw: kind("op_rw", "read-modify-write"),
		mapMessages: g.Counter("map_messages", "OSD map messages"),
		mapEpochs:   g.Counter("map_message_epochs", "OSD map epochs"),
		groups:      g.Gauge("numpg", "Placement groups"),
		primary:     g.Gauge("numpg_primary", "Placement groups for which this osd is primary"),
		total:       g.Gauge("stat_bytes", "OSD size", metric.Bytes),
		used:        g.Gauge("stat_bytes_used", "Used space", metric.Bytes),
		available:   g.Gauge("stat_bytes_avail", "Available space", metric.Bytes),
	}
}

// add counts a request that has ended, if it was executed.
func (c *counters) add(r *pg.Request, took time.Duration) {
	var kind *opCounters
	switch {
	case r.Reads && r.Writes:
		kind = &c.rw
	case r.Writes:
		kind = &c.writes
	case r.Reads:
		kind = &c.reads
	default:
		return
	}
	for _, k := range []*opCounters{&c.ops, kind} {
		k.n.Inc()
		k.in.Add(uint64(r.InBytes))
		k.out.Add(uint64(r.OutBytes))
		k.latency.Add(took)
	}
}
