package metric

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"pgregory.net/rapid"
)

func latencyAxis() Axis {
	return Axis{Name: "Latency (usec)", Quantum: 100000, Buckets: 32}
}

func sizeAxis() Axis {
	return Axis{Name: "Request size (bytes)", Quantum: 512, Buckets: 32}
}

type fixture struct {
	Registry
	ops     *Counter
	latency *Latency
	pgs     *Gauge
	misses  *Average
	running *Time
	hist    *Histogram
	group   *Group
}

func newFixture() *fixture {
	var f fixture
	g := NewGroup("osd")
	f.group = g
	f.ops = g.Counter("op", "Client operations", Nick("ops"), Critical)
	f.latency = g.Latency("op_latency", "Latency of client operations (including queue time)", Nick("l"), Priority(9))
	f.hist = g.Histogram("op_r_latency_out_bytes_histogram", "Histogram of operation latency (including queue time) + data read",
		[]Axis{latencyAxis(), sizeAxis()}, Useful)
	f.pgs = g.Gauge("numpg", "Placement groups", Nick("pgs"), Useful)
	g.GaugeFunc("stat_bytes", "OSD size", func() int64 { return 1 << 40 }, Nick("size"), Useful, Bytes)
	f.misses = g.Average("osd_map_cache_miss_low_avg", "osdmap cache miss, avg distance below cache lower bound")
	f.Add(g)
	m := NewGroup("AsyncMessenger::Worker-0")
	f.running = m.Time("msgr_running_total_time", "The total time of thread running")
	f.Add(m)
	return &f
}

func print(write func(*jsonfmt.Formatter)) string {
	var f jsonfmt.Formatter
	write(&f)
	return f.JSON()
}

// The shapes are those of "ceph daemon osd.0 perf ..." of a stock 16.2.15.
func TestDump(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.ops.Inc()
	f.ops.Add(2)
	f.latency.Add(1500 * time.Millisecond)
	f.latency.Add(time.Nanosecond)
	f.pgs.Set(34)
	f.pgs.Add(-36)
	f.misses.Add(5)
	f.misses.Add(2)
	f.running.Add(46784209)
	dump := func(group, metric string) string {
		return print(func(j *jsonfmt.Formatter) { f.Dump(j, group, metric) })
	}
	const osd = `"osd":{"op":3,"op_latency":{"avgcount":2,"sum":1.500000001,"avgtime":0.750000000},"numpg":-2,` +
		`"stat_bytes":1099511627776,"osd_map_cache_miss_low_avg":{"avgcount":2,"sum":7}}`
	for _, c := range []struct{ group, metric, want string }{
		{"", "", `{"AsyncMessenger::Worker-0":{"msgr_running_total_time":0.046784209},` + osd + `}`},
		{"osd", "", `{` + osd + `}`},
		{"osd", "op", `{"osd":{"op":3}}`},
		{"osd", "nosuch", `{"osd":{}}`},
		{"", "op", `{"AsyncMessenger::Worker-0":{},"osd":{"op":3}}`},
		{"nosuch", "", `{}`},
	} {
		got := dump(c.group, c.metric)
		if got != c.want {
			t.Errorf("perf dump %s %s:\n%s, want\n%s", c.group, c.metric, got, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("not JSON: %s", got)
		}
	}
	if got, want := dump("osd", "op_latency"), `{"osd":{"op_latency":{"avgcount":2,"sum":1.500000001,"avgtime":0.750000000}}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDumpOfNothing(t *testing.T) {
	t.Parallel()
	var r Registry
	if got := print(func(j *jsonfmt.Formatter) { r.Dump(j, "", "") }); got != "{}" {
		t.Errorf("no groups: %s", got)
	}
	f := newFixture()
	got := print(func(j *jsonfmt.Formatter) { f.Dump(j, "osd", "op_latency") })
	if want := `{"osd":{"op_latency":{"avgcount":0,"sum":0.000000000,"avgtime":0.000000000}}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	f := newFixture()
	const want = `{"AsyncMessenger::Worker-0":{` +
		`"msgr_running_total_time":{"type":1,"metric_type":"gauge","value_type":"real","description":"The total time of thread running","nick":"","priority":0,"units":"none"}},` +
		`"osd":{` +
		`"op":{"type":10,"metric_type":"counter","value_type":"integer","description":"Client operations","nick":"ops","priority":10,"units":"none"},` +
		`"op_latency":{"type":5,"metric_type":"gauge","value_type":"real-integer-pair","description":"Latency of client operations (including queue time)","nick":"l","priority":9,"units":"none"},` +
		`"numpg":{"type":2,"metric_type":"gauge","value_type":"integer","description":"Placement groups","nick":"pgs","priority":5,"units":"none"},` +
		`"stat_bytes":{"type":2,"metric_type":"gauge","value_type":"integer","description":"OSD size","nick":"size","priority":5,"units":"bytes"},` +
		`"osd_map_cache_miss_low_avg":{"type":6,"metric_type":"gauge","value_type":"integer-integer-pair","description":"osdmap cache miss, avg distance below cache lower bound","nick":"","priority":0,"units":"none"}}}`
	if got := print(f.Schema); got != want {
		t.Errorf("perf schema:\n%s, want\n%s", got, want)
	}
	const hist = `{"AsyncMessenger::Worker-0":{},"osd":{"op_r_latency_out_bytes_histogram":{"type":26,"metric_type":"counter",` +
		`"value_type":"integer-2d-histogram","description":"Histogram of operation latency (including queue time) + data read","nick":"","priority":5,"units":"none"}}}`
	if got := print(f.HistogramSchema); got != hist {
		t.Errorf("perf histogram schema:\n%s, want\n%s", got, hist)
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	f := newFixture()
	fill := func() {
		f.ops.Inc()
		f.latency.Add(time.Second)
		f.misses.Add(1)
		f.hist.Add(1, 1)
		f.pgs.Set(7)
		f.running.Add(time.Second)
	}
	fill()
	for _, c := range []struct{ name, answer string }{
		{"nosuch", `{"error":"Not find: nosuch"}`},
		{"osd", `{"success":"perf reset osd"}`},
		{"all", `{"success":"perf reset all"}`},
	} {
		if got := print(func(j *jsonfmt.Formatter) { f.DumpReset(j, c.name) }); got != c.answer {
			t.Errorf("perf reset %s: %s", c.name, got)
		}
		switch n, sum := f.latency.Load(); c.name {
		case "nosuch":
			if f.ops.Load() != 1 || n != 1 {
				t.Error("an unknown name resets something")
			}
		case "osd":
			m, amounts := f.misses.Load()
			counts, values := f.hist.First()
			if f.ops.Load()+n+m+amounts+uint64(sum) != 0 || slices.Max(counts) != 0 || values != 0 {
				t.Error("something is left after a reset")
			}
			if f.pgs.Load() != 7 {
				t.Error("a reset changed a level")
			}
			if f.running.Load() != time.Second {
				t.Error("a reset of one group touched another")
			}
			fill()
		case "all":
			if f.ops.Load() != 0 || f.running.Load() != 0 {
				t.Error("something is left after a reset of all")
			}
		}
	}
}

func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	f := newFixture()
	names := func() (s []string) {
		for g := range f.Groups() {
			s = append(s, g.Name())
		}
		return s
	}
	if got := names(); !slices.Equal(got, []string{"AsyncMessenger::Worker-0", "osd"}) {
		t.Errorf("groups %v", got)
	}
	f.Remove(NewGroup("osd")) // another one of that name
	if got := names(); len(got) != 2 {
		t.Errorf("groups %v", got)
	}
	f.Remove(f.group)
	if got := names(); !slices.Equal(got, []string{"AsyncMessenger::Worker-0"}) {
		t.Errorf("groups %v", got)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	f := newFixture()
	for name, do := range map[string]func(){
		"group twice":          func() { f.Registry.Add(NewGroup("osd")) },
		"declared late":        func() { f.group.Counter("late", "") },
		"metric twice":         func() { g := NewGroup("x"); g.Counter("a", ""); g.Gauge("a", "") },
		"too few values":       func() { f.hist.Add(1) },
		"axis without width":   func() { NewGroup("x").Histogram("h", "", []Axis{{Buckets: 4}}) },
		"axis of one bucket":   func() { NewGroup("x").Histogram("h", "", []Axis{{Buckets: 1, Quantum: 1}}) },
		"axis beyond int64":    func() { NewGroup("x").Histogram("h", "", []Axis{{Buckets: 64, Quantum: 1 << 20}}) },
		"minimum beyond that":  func() { NewGroup("x").Histogram("h", "", []Axis{{Min: math.MaxInt64, Buckets: 4, Quantum: 1}}) },
		"histogram of no axes": func() { NewGroup("x").Histogram("h", "", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			do()
		}()
	}
}

// A value is in the bucket whose range holds it, and the ranges leave no gap.
func TestBuckets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := Axis{
			Min:     rapid.Int64Range(-1<<40, 1<<40).Draw(t, "min"),
			Quantum: rapid.Int64Range(1, 1<<24).Draw(t, "quantum"),
			Buckets: rapid.IntRange(2, 38).Draw(t, "buckets"),
			Scale:   Scale(rapid.IntRange(0, 1).Draw(t, "scale")),
		}
		a.check()
		v := rapid.OneOf(rapid.Int64(), rapid.Int64Range(a.Min-5, a.Min+a.Quantum*100)).Draw(t, "value")
		b := a.Bucket(v)
		if lo, hi := a.Range(b); v < lo || v > hi {
			t.Fatalf("%d is in bucket %d, %d to %d", v, b, lo, hi)
		}
		for i := 1; i < a.Buckets; i++ {
			_, before := a.Range(i - 1)
			if lo, hi := a.Range(i); lo != before+1 || hi < lo {
				t.Fatalf("bucket %d is %d to %d after %d", i, lo, hi, before)
			}
		}
	})
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.hist.Add(-1, 511)     // row 0, column 1
	f.hist.Add(99999, 4096) // 1, 5
	f.hist.Add(100000, 0)   // 2, 1
	f.hist.Add(100000, 0)
	f.hist.Add(math.MaxInt64-300000, math.MaxInt64) // 31, 31
	got := print(func(j *jsonfmt.Formatter) { f.DumpHistograms(j, "osd", "") })
	var out map[string]map[string]struct {
		Axes []struct {
			Name      string
			Min       int64
			QuantSize int64 `json:"quant_size"`
			Buckets   int
			ScaleType string `json:"scale_type"`
			Ranges    []struct{ Min, Max *int64 }
		}
		Values [][]uint64
	}
	if err := json.Unmarshal([]byte(got), &out); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	h := out["osd"]["op_r_latency_out_bytes_histogram"]
	if len(h.Axes) != 2 || h.Axes[0].Name != "Latency (usec)" || h.Axes[1].QuantSize != 512 || h.Axes[1].ScaleType != "log2" || h.Axes[0].Buckets != 32 {
		t.Fatalf("axes are %+v", h.Axes)
	}
	r := h.Axes[0].Ranges
	if len(r) != 32 || r[0].Min != nil || *r[0].Max != -1 || *r[1].Min != 0 || *r[1].Max != 99999 || *r[5].Min != 800000 ||
		*r[5].Max != 1599999 || *r[31].Min != 53687091200000 || r[31].Max != nil {
		t.Errorf("ranges are not those of a stock histogram: %s", got)
	}
	total := uint64(0)
	for _, row := range h.Values {
		if len(row) != 32 {
			t.Fatalf("row of %d", len(row))
		}
		for _, n := range row {
			total += n
		}
	}
	v := h.Values
	if total != 5 || v[0][1] != 1 || v[1][5] != 1 || v[2][1] != 2 || v[31][31] != 1 {
		t.Errorf("values are %v", v)
	}
	if first, _ := f.hist.First(); len(first) != 32 || first[0] != 1 || first[1] != 1 || first[2] != 2 || first[31] != 1 {
		t.Errorf("latencies are %v", first)
	}
}

func TestOneAxis(t *testing.T) {
	t.Parallel()
	g := NewGroup("g")
	h := g.Histogram("h", "", []Axis{{Name: "n", Min: 1, Quantum: 2, Buckets: 4, Scale: Linear}})
	for _, v := range []int64{0, 1, 2, 3, 5, 100} {
		h.Add(v)
	}
	var r Registry
	r.Add(g)
	got := print(func(j *jsonfmt.Formatter) { r.DumpHistograms(j, "", "") })
	if want := `{"g":{"h":{"axes":[{"name":"n","min":1,"quant_size":2,"buckets":4,"scale_type":"linear",` +
		`"ranges":[{"max":0},{"min":1,"max":2},{"min":3,"max":4},{"min":5}]}],"values":[1,2,1,2]}}}`; got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
	if counts, sum := h.First(); sum != 111 || !slices.Equal(counts, []uint64{1, 2, 1, 2}) {
		t.Errorf("%v, sum %d", counts, sum)
	}
}

// Nothing is lost when all update at once, and reading meanwhile sees no more
// than there was.
func TestConcurrentUpdates(t *testing.T) {
	t.Parallel()
	f := newFixture()
	const workers, each = 8, 1000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				f.ops.Inc()
				f.latency.Add(time.Microsecond)
				f.hist.Add(1, 1)
				f.pgs.Add(1)
				f.pgs.Add(-1)
			}
		})
	}
	for range 100 {
		n, sum := f.latency.Load()
		if sum < time.Duration(n)*time.Microsecond {
			t.Fatalf("%d spans of 1 us take %v", n, sum)
		}
		f.Registry.Dump(new(jsonfmt.Formatter), "", "")
	}
	wg.Wait()
	n, sum := f.latency.Load()
	counts := f.hist.Load()
	if f.ops.Load() != workers*each || n != workers*each || sum != workers*each*time.Microsecond || f.pgs.Load() != 0 || slices.Max(counts) != workers*each {
		t.Errorf("%d ops, %d spans, %v, %d", f.ops.Load(), n, sum, f.pgs.Load())
	}
}

func TestUpdatesDoNotAllocate(t *testing.T) {
	f := newFixture()
	if n := testing.AllocsPerRun(100, func() {
		f.ops.Inc()
		f.latency.Add(time.Millisecond)
		f.misses.Add(3)
		f.hist.Add(5, 7)
		f.pgs.Add(1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkUpdate(b *testing.B) {
	f := newFixture()
	b.Run("counter", func(b *testing.B) {
		for b.Loop() {
			f.ops.Inc()
		}
	})
	b.Run("latency", func(b *testing.B) {
		for b.Loop() {
			f.latency.Add(time.Millisecond)
		}
	})
	b.Run("histogram", func(b *testing.B) {
		for b.Loop() {
			f.hist.Add(1500000, 4096)
		}
	})
}

// Of what is kept elsewhere a reset only remembers how much there was.
func TestKeptElsewhere(t *testing.T) {
	t.Parallel()
	var n uint64 = 3
	g := NewGroup("store")
	g.CounterFunc("commits", "", func() uint64 { return n })
	g.LatencyFunc("latency", "", func() (uint64, time.Duration) { return n, time.Duration(n) * time.Second })
	g.AverageFunc("size", "", func() (uint64, uint64) { return n, 10 * n })
	var r Registry
	r.Add(g)
	want := func(text string) {
		t.Helper()
		if got := print(func(j *jsonfmt.Formatter) { r.Dump(j, "store", "") }); got != `{"store":`+text+`}` {
			t.Errorf("got %s\nwant %s", got, text)
		}
	}
	want(`{"commits":3,"latency":{"avgcount":3,"sum":3.000000000,"avgtime":1.000000000},"size":{"avgcount":3,"sum":30}}`)
	r.Reset("store")
	n = 5
	want(`{"commits":2,"latency":{"avgcount":2,"sum":2.000000000,"avgtime":1.000000000},"size":{"avgcount":2,"sum":20}}`)
	if got := print(func(j *jsonfmt.Formatter) { r.Schema(j) }); !strings.Contains(got, `"commits":{"type":10,`) {
		t.Error(got)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	f := newFixture()
	f.ops.Inc()
	run := func(cmd, group, metric string) string {
		return print(func(j *jsonfmt.Formatter) {
			if !f.Command(j, cmd, group, metric) {
				t.Errorf("%s is no command", cmd)
			}
		})
	}
	for _, c := range Commands {
		if out := run(c, "osd", ""); !json.Valid([]byte(out)) {
			t.Errorf("%s: %s", c, out)
		}
	}
	if got := run("perf dump", "osd", "op"); got != `{"osd":{"op":0}}` {
		t.Errorf("after perf reset: %s", got)
	}
	if f.Command(new(jsonfmt.Formatter), "perf", "", "") {
		t.Error("a command of no meaning was carried out")
	}
}
