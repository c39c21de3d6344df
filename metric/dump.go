package metric

import (
	"fmt"
	"math"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// The numbers of perfcounter_type_d, doc/protocol/admin.md#performance-counters.
const (
	typeTime      = 0x1
	typeU64       = 0x2
	typeAvg       = 0x4
	typeCounter   = 0x8
	typeHistogram = 0x10
)

func (m *Metric) typ() int {
	switch m.Value.(type) {
	case *Counter:
		return typeU64 | typeCounter
	case *Gauge, func() int64:
		return typeU64
	case *Time:
		return typeTime
	case *Latency:
		return typeTime | typeAvg
	case *Average:
		return typeU64 | typeAvg
	case *Histogram:
		return typeU64 | typeCounter | typeHistogram
	}
	panic(fmt.Sprintf("BUG: metric: %s is a %T", m.Name, m.Value))
}

// Commands are those that Command carries out.
var Commands = []string{"perf dump", "perf schema", "perf reset", "perf histogram dump", "perf histogram schema"}

// Command carries out a daemon's command on its counters and writes the answer;
// false: it is none of [Commands]. Of "perf reset" group is what to reset.
func (r *Registry) Command(f *jsonfmt.Formatter, command, group, metric string) bool {
	switch command {
	case "perf dump":
		r.Dump(f, group, metric)
	case "perf schema":
		r.Schema(f)
	case "perf reset":
		r.DumpReset(f, group)
	case "perf histogram dump":
		r.DumpHistograms(f, group, metric)
	case "perf histogram schema":
		r.HistogramSchema(f)
	default:
		return false
	}
	return true
}

// Dump writes "perf dump": the values of all groups but for histograms. With a
// group's name it is that group alone, with a metric's name that one alone, and
// groups that do not have it are empty.
func (r *Registry) Dump(f *jsonfmt.Formatter, group, metric string) {
	r.print(f, group, metric, false, (*Metric).dump)
}

// Schema writes "perf schema": what the metrics of Dump are.
func (r *Registry) Schema(f *jsonfmt.Formatter) { r.print(f, "", "", false, (*Metric).schema) }

// DumpHistograms writes "perf histogram dump".
func (r *Registry) DumpHistograms(f *jsonfmt.Formatter, group, metric string) {
	r.print(f, group, metric, true, (*Metric).dump)
}

// HistogramSchema writes "perf histogram schema".
func (r *Registry) HistogramSchema(f *jsonfmt.Formatter) {
	r.print(f, "", "", true, (*Metric).schema)
}

// DumpReset carries out "perf reset" and writes its answer.
func (r *Registry) DumpReset(f *jsonfmt.Formatter, group string) {
	f.Object("perf_reset", func() {
		if r.Reset(group) {
			f.Str("success", "perf reset "+group)
		} else {
			f.Str("error", "Not find: "+group)
		}
	})
}

func (r *Registry) print(f *jsonfmt.Formatter, group, metric string, histograms bool, one func(*Metric, *jsonfmt.Formatter)) {
	f.OpenObject("perfcounter_collection")
	for g := range r.Groups() {
		if group != "" && g.name != group {
			continue
		}
		f.OpenObject(g.name)
		for i := range g.metrics {
			m := &g.metrics[i]
			if _, h := m.Value.(*Histogram); h == histograms && (metric == "" || metric == m.Name) {
				one(m, f)
			}
		}
		f.Close()
	}
	f.Close()
}

func (m *Metric) schema(f *jsonfmt.Formatter) {
	t := m.typ()
	kind, value := "gauge", "integer"
	if t&typeCounter != 0 {
		kind = "counter"
	}
	switch {
	case t&typeHistogram != 0:
		// Ceph has no other than those of two axes.
		value = fmt.Sprintf("integer-%dd-histogram", len(m.Value.(*Histogram).axes))
	case t&typeAvg != 0 && t&typeTime != 0:
		value = "real-integer-pair"
	case t&typeAvg != 0:
		value = "integer-integer-pair"
	case t&typeTime != 0:
		value = "real"
	}
	f.Object(m.Name, func() {
		f.Int("type", int64(t))
		f.Str("metric_type", kind)
		f.Str("value_type", value)
		f.Str("description", m.Help)
		f.Str("nick", m.Nick)
		f.Int("priority", int64(m.Priority))
		f.Stringer("units", m.Unit)
	})
}

func (m *Metric) dump(f *jsonfmt.Formatter) {
	switch v := m.Value.(type) {
	case *Counter:
		f.Uint(m.Name, v.Load())
	case *Gauge:
		f.Int(m.Name, v.Load())
	case func() int64:
		f.Int(m.Name, v())
	case *Time:
		f.Raw(m.Name, seconds(v.Load()))
	case *Latency:
		n, sum := v.Load()
		f.Object(m.Name, func() {
			f.Uint("avgcount", n)
			f.Raw("sum", seconds(sum))
			f.Raw("avgtime", seconds(sum/time.Duration(max(n, 1))))
		})
	case *Average:
		n, sum := v.Load()
		f.Object(m.Name, func() {
			f.Uint("avgcount", n)
			f.Uint("sum", sum)
		})
	case *Histogram:
		f.Object(m.Name, func() { v.dump(f) })
	}
}

func seconds(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	return fmt.Sprintf("%s%d.%09d", sign, d/time.Second, d%time.Second)
}

func (h *Histogram) dump(f *jsonfmt.Formatter) {
	f.OpenArray("axes")
	for i := range h.axes {
		a := &h.axes[i]
		f.OpenObject("axis")
		f.Str("name", a.Name)
		f.Int("min", a.Min)
		f.Int("quant_size", a.Quantum)
		f.Int("buckets", int64(a.Buckets))
		f.Stringer("scale_type", a.Scale)
		f.OpenArray("ranges")
		for b := range a.Buckets {
			f.OpenObject("bucket")
			lo, hi := a.Range(b)
			if lo != math.MinInt64 {
				f.Int("min", lo)
			}
			if hi != math.MaxInt64 {
				f.Int("max", hi)
			}
			f.Close()
		}
		f.Close()
		f.Close()
	}
	f.Close()
	dumpCounts(f, "values", h.axes, h.Load())
}

func dumpCounts(f *jsonfmt.Formatter, name string, axes []Axis, counts []uint64) {
	f.OpenArray(name)
	row := len(counts) / axes[0].Buckets
	for i := range axes[0].Buckets {
		if len(axes) == 1 {
			f.Uint("value", counts[i])
		} else {
			dumpCounts(f, "values", axes[1:], counts[i*row:(i+1)*row])
		}
	}
	f.Close()
}
