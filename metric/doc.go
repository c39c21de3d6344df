// Package metric counts what daemons do: Ceph's PerfCounters, which "ceph daemon
// NAME perf dump" prints and exporters collect.
//
// A part of a daemon declares one [Group] ("osd", "msgr"), keeps the pointers to
// its counters in a struct of its own, and updates them wherever things happen:
// an update is one or two atomic additions, allocates nothing, looks nothing up
// and may come from any goroutine. A daemon has one [Registry]
// (PerfCountersCollection), to which the groups are added; it prints them in
// exactly the shape that stock tools expect and hands their values to exporters,
// of which nothing is known here.
//
//	type counters struct {
//		ops     *metric.Counter
//		latency *metric.Latency
//	}
//
//	g := metric.NewGroup("osd")
//	c := counters{
//		ops:     g.Counter("op", "Client operations", metric.Nick("ops"), metric.Critical),
//		latency: g.Latency("op_latency", "Latency of client operations", metric.Interesting),
//	}
//	registry.Add(g)
//
// What counts by other means is told by a function instead: [Group.CounterFunc],
// GaugeFunc, LatencyFunc, AverageFunc.
//
// A reader sees each number as it is at that moment, not all numbers of one
// moment: the sum of an average may already have a sample that its count has
// not.
//
// The names, in Ceph's words (perf_counters.h):
//
//	Counter    only grows                             U64|COUNTER        10
//	Gauge      a level, up and down                   U64                 2
//	Time       time spent, only grows                 TIME                1
//	Latency    sum and number of time spans           TIME|LONGRUNAVG     5
//	Average    sum and number of other amounts        U64|LONGRUNAVG      6
//	Histogram  counts in a grid of one or more axes   U64|COUNTER|HIST   26
//
// No compatibility promise.
package metric
