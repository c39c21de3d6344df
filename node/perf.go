package node

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

// Counters of a daemon that its machine knows nothing of. They are kept by the
// messenger and the store and asked for when somebody looks.

// msgrMetrics are the counters of a daemon's messengers, added up, by the names
// that those of Ceph's have.
func msgrMetrics(name string, of func() msgr.Stats) *metric.Group {
	g := metric.NewGroup(name)
	count := func(name, help string, field func(*msgr.Stats) uint64, opts ...metric.Option) {
		g.CounterFunc(name, help, func() uint64 { s := of(); return field(&s) }, opts...)
	}
	level := func(name, help string, field func(*msgr.Stats) int) {
		g.GaugeFunc(name, help, func() int64 { s := of(); return int64(field(&s)) }, metric.Useful)
	}
	count("msgr_recv_messages", "Network received messages", func(s *msgr.Stats) uint64 { return s.MessagesIn }, metric.Useful)
	count("msgr_send_messages", "Network sent messages", func(s *msgr.Stats) uint64 { return s.MessagesOut }, metric.Useful)
	count("msgr_recv_bytes", "Network received bytes", func(s *msgr.Stats) uint64 { return s.BytesIn }, metric.Bytes, metric.Useful)
	count("msgr_send_bytes", "Network sent bytes", func(s *msgr.Stats) uint64 { return s.BytesOut }, metric.Bytes, metric.Useful)
	count("msgr_created_connections", "Created connection number", func(s *msgr.Stats) uint64 { return s.Accepted + s.Dialled }, metric.Useful)
	level("msgr_active_connections", "Active connection number", func(s *msgr.Stats) int { return s.Sessions })
	// Ours.
	level("msgr_handshakes", "Accepted connections in their handshake", func(s *msgr.Stats) int { return s.Unauthenticated })
	g.GaugeFunc("msgr_held_bytes", "Bytes of received messages that are not done with", func() int64 { return of().Held }, metric.Useful, metric.Bytes)
	count("msgr_refused_connections", "Accepted connections whose handshake failed", func(s *msgr.Stats) uint64 { return s.Refused }, metric.Useful)
	return g
}

// memoryMetrics are about an OSD's share of the memory.
func memoryMetrics(h *osdHost) *metric.Group {
	g := metric.NewGroup("memory")
	g.GaugeFunc("target_bytes", "Memory that the OSD keeps to", func() int64 { return h.target.Load() }, metric.Bytes, metric.Useful)
	g.GaugeFunc("client_request_bytes", "Requests of clients that are not done", h.clients.Held, metric.Bytes, metric.Useful)
	return g
}

// storeMetrics are the counters of an OSD's store.
func storeMetrics(of func() diskstore.Stats) *metric.Group {
	g := metric.NewGroup("diskstore")
	count := func(name, help string, field func(*diskstore.Stats) uint64, opts ...metric.Option) {
		g.CounterFunc(name, help, func() uint64 { s := of(); return field(&s) }, append(opts, metric.Useful)...)
	}
	level := func(name, help string, field func(*diskstore.Stats) int64, opts ...metric.Option) {
		g.GaugeFunc(name, help, func() int64 { s := of(); return field(&s) }, append(opts, metric.Useful)...)
	}
	count("commits", "Transactions made durable", func(s *diskstore.Stats) uint64 { return s.Journal.Records }, metric.Nick("cmt"))
	g.LatencyFunc("commit_latency", "Latency of transactions, from their submission until they are durable",
		func() (uint64, time.Duration) { s := of(); return s.Journal.Records, s.Journal.Latency }, metric.Nick("clat"), metric.Interesting)
	g.AverageFunc("group_size", "Transactions that are made durable by one write",
		func() (uint64, uint64) { s := of(); return s.Journal.Groups, s.Journal.Records }, metric.Useful)
	level("commit_latency_max", "Longest latency of a transaction, in microseconds", func(s *diskstore.Stats) int64 { return s.Journal.MaxLatency.Microseconds() })
	count("journal_bytes", "Bytes written to the journal", func(s *diskstore.Stats) uint64 { return s.Journal.Bytes }, metric.Bytes)
	count("journal_waits", "Transactions that waited for room in the journal", func(s *diskstore.Stats) uint64 { return s.Journal.Waits })
	level("journal_used", "Bytes of the journal that a restart replays", func(s *diskstore.Stats) int64 { return s.JournalUsed }, metric.Bytes)
	level("journal_size", "Bytes that the journal has", func(s *diskstore.Stats) int64 { return s.JournalSize }, metric.Bytes)
	count("direct_bytes", "Data written to its blocks before the commit", func(s *diskstore.Stats) uint64 { return s.Journal.DirectBytes }, metric.Bytes)
	count("deferred_bytes", "Data that went through the journal to its blocks", func(s *diskstore.Stats) uint64 { return s.DeferredBytes }, metric.Bytes)
	level("held_bytes", "Memory of all that waits for a checkpoint", func(s *diskstore.Stats) int64 { return s.HeldBytes }, metric.Bytes)
	level("pending_bytes", "Data in memory that is not in its blocks yet", func(s *diskstore.Stats) int64 { return int64(s.PendingBytes) }, metric.Bytes)
	g.LatencyFunc("checkpoint", "Checkpoints, which give journal space back",
		func() (uint64, time.Duration) { s := of(); return s.Checkpoints, s.CheckpointTime }, metric.Useful)
	count("reads", "Reads of objects", func(s *diskstore.Stats) uint64 { return s.Reads })
	count("checksum_errors", "Blocks that were not what was written", func(s *diskstore.Stats) uint64 { return s.ChecksumErrors })
	count("read_errors", "Reads that the medium failed", func(s *diskstore.Stats) uint64 { return s.ReadErrors })
	count("metadata_errors", "Records of metadata that could not be read", func(s *diskstore.Stats) uint64 { return s.MetaErrors })
	count("cache_hits", "Objects whose metadata was in memory", func(s *diskstore.Stats) uint64 { return s.CacheHits })
	count("cache_misses", "Objects whose metadata was not", func(s *diskstore.Stats) uint64 { return s.CacheMisses })
	level("cache_bytes", "Memory of that cache", func(s *diskstore.Stats) int64 { return int64(s.CacheBytes) }, metric.Bytes)
	level("replayed", "Records replayed when the store was opened", func(s *diskstore.Stats) int64 { return int64(s.Replayed) })
	return g
}

// processMetrics are those of the whole process. All daemons of a cluster share
// one, so only the monitor shows them: sums over daemons stay true.
func processMetrics() *metric.Group {
	g := metric.NewGroup("process")
	g.GaugeFunc("resident_bytes", "Memory that the process has in RAM", residentBytes, metric.Useful, metric.Bytes)
	sample := func(name, help, key string, opts ...metric.Option) {
		g.GaugeFunc(name, help, func() int64 {
			s := []metrics.Sample{{Name: key}}
			metrics.Read(s)
			return int64(s[0].Value.Uint64())
		}, opts...)
	}
	sample("heap_bytes", "Memory in objects of the heap", "/memory/classes/heap/objects:bytes", metric.Useful, metric.Bytes)
	sample("runtime_bytes", "Memory that the runtime has from the system", "/memory/classes/total:bytes", metric.Bytes)
	sample("goroutines", "Goroutines", "/sched/goroutines:goroutines")
	return g
}

// residentBytes is the resident set; 0 where the kernel does not tell.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// perf answers an OSD's commands on counters.
func (h *osdHost) perf(f *jsonfmt.Formatter, command, group, counter string) {
	h.metrics.Command(f, command, group, counter)
}
