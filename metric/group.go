package metric

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Option is a property of a metric beyond its name and description: a Nick, a
// Priority or a Unit.
type Option interface{ apply(*Desc) }

// Nick is the short column head that "ceph daemonperf" shows.
type Nick string

// Priority says who should see a metric. "ceph daemonperf" shows Interesting and
// above, exporters collect Useful and above.
type Priority int

const (
	Critical      Priority = 10
	Interesting   Priority = 8
	Useful        Priority = 5
	Uninteresting Priority = 2
	Debug         Priority = 0 // where nothing is said
)

// Unit is what a metric's amounts are.
type Unit uint8

const (
	NoUnit Unit = iota
	Bytes
)

func (u Unit) String() string {
	if u == Bytes {
		return "bytes"
	}
	return "none"
}

func (n Nick) apply(d *Desc)     { d.Nick = string(n) }
func (p Priority) apply(d *Desc) { d.Priority = p }
func (u Unit) apply(d *Desc)     { d.Unit = u }

// Desc is what a metric is.
type Desc struct {
	Name, Help, Nick string
	Priority         Priority
	Unit             Unit
}

// Metric is a described value: one of *Counter, *Gauge, *Time, *Latency,
// *Average, *Histogram, or a func() int64 that tells a level.
type Metric struct {
	Desc
	Value any
}

// Group is a named set of metrics (PerfCounters), in the order in which they
// were declared. All are declared before the group is added to a registry.
type Group struct {
	name    string
	metrics []Metric
	added   bool
}

// NewGroup returns an empty group.
func NewGroup(name string) *Group { return &Group{name: name} }

// Name is the group's name.
func (g *Group) Name() string { return g.name }

// Metrics are the group's metrics; not to be changed.
func (g *Group) Metrics() []Metric { return g.metrics }

func declare[V any](g *Group, v V, name, help string, opts []Option) V {
	if g.added {
		panic(fmt.Sprintf("BUG: metric: %s.%s declared after its group was added", g.name, name))
	}
	if slices.ContainsFunc(g.metrics, func(m Metric) bool { return m.Name == name }) {
		panic(fmt.Sprintf("BUG: metric: %s.%s declared twice", g.name, name))
	}
	m := Metric{Desc{Name: name, Help: help}, v}
	for _, o := range opts {
		o.apply(&m.Desc)
	}
	g.metrics = append(g.metrics, m)
	return v
}

// Counter declares a counter.
func (g *Group) Counter(name, help string, opts ...Option) *Counter {
	return declare(g, new(Counter), name, help, opts)
}

// CounterFunc declares a counter that is kept elsewhere: f tells it when it is
// asked for, from any goroutine.
func (g *Group) CounterFunc(name, help string, f func() uint64, opts ...Option) {
	declare(g, &Counter{from: f}, name, help, opts)
}

// Gauge declares a gauge.
func (g *Group) Gauge(name, help string, opts ...Option) *Gauge {
	return declare(g, new(Gauge), name, help, opts)
}

// GaugeFunc declares a gauge whose level f tells when it is asked for, from any
// goroutine.
func (g *Group) GaugeFunc(name, help string, f func() int64, opts ...Option) {
	declare(g, f, name, help, opts)
}

// Time declares a sum of time.
func (g *Group) Time(name, help string, opts ...Option) *Time {
	return declare(g, new(Time), name, help, opts)
}

// Latency declares an average of time spans.
func (g *Group) Latency(name, help string, opts ...Option) *Latency {
	return declare(g, new(Latency), name, help, opts)
}

// LatencyFunc declares an average of time spans that is kept elsewhere.
func (g *Group) LatencyFunc(name, help string, f func() (n uint64, sum time.Duration), opts ...Option) {
	declare(g, &Latency{from: f}, name, help, opts)
}

// Average declares an average.
func (g *Group) Average(name, help string, opts ...Option) *Average {
	return declare(g, new(Average), name, help, opts)
}

// AverageFunc declares an average that is kept elsewhere.
func (g *Group) AverageFunc(name, help string, f func() (n, sum uint64), opts ...Option) {
	declare(g, &Average{from: f}, name, help, opts)
}

// Histogram declares a histogram over at least one axis.
func (g *Group) Histogram(name, help string, axes []Axis, opts ...Option) *Histogram {
	return declare(g, newHistogram(slices.Clone(axes)), name, help, opts)
}

// Registry is all groups of a daemon (PerfCountersCollection). The zero value
// is ready.
type Registry struct {
	mu     sync.Mutex
	groups map[string]*Group
}

// Add adds a group; two of one name are a mistake in the program.
func (r *Registry) Add(g *Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.groups[g.name] != nil {
		panic(fmt.Sprintf("BUG: metric: group %s added twice", g.name))
	}
	if r.groups == nil {
		r.groups = map[string]*Group{}
	}
	g.added = true
	r.groups[g.name] = g
}

// Remove takes a group out, for parts that end before their daemon does.
func (r *Registry) Remove(g *Group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.groups[g.name] == g {
		delete(r.groups, g.name)
	}
}

// Groups yields the groups by name.
func (r *Registry) Groups() iter.Seq[*Group] {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.groups))
	groups := make([]*Group, len(names))
	for i, n := range names {
		groups[i] = r.groups[n]
	}
	return slices.Values(groups)
}

// Reset sets the metrics of a group to zero, or those of all groups by the name
// "all". Levels stay: they are of now. False: there is no such group.
func (r *Registry) Reset(name string) bool {
	found := name == "all"
	for g := range r.Groups() {
		if name == "all" || name == g.name {
			found = true
			g.reset()
		}
	}
	return found
}

func (g *Group) reset() {
	for _, m := range g.metrics {
		switch v := m.Value.(type) {
		case *Counter:
			v.reset()
		case *Time:
			v.ns.Store(0)
		case *Latency:
			v.reset()
		case *Average:
			v.reset()
		case *Histogram:
			v.reset()
		}
	}
}
