package metric

import (
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
)

// Scale says how the buckets of an axis grow.
type Scale uint8

const (
	Log2   Scale = iota // each twice as wide as the one before
	Linear              // all equally wide
)

func (s Scale) String() string {
	if s == Linear {
		return "linear"
	}
	return "log2"
}

// Axis is one dimension of a histogram. Bucket 0 is all below Min, the next one
// is Quantum wide, and the last has no upper end.
type Axis struct {
	Name    string // with the unit: "Latency (usec)"
	Min     int64
	Quantum int64
	Buckets int // at least 2
	Scale   Scale
}

// Bucket is where a value belongs.
func (a *Axis) Bucket(v int64) int {
	if v < a.Min {
		return 0
	}
	// The difference may exceed an int64 if Min is negative, never a uint64.
	q := (uint64(v) - uint64(a.Min)) / uint64(a.Quantum)
	if a.Scale == Log2 {
		q = uint64(bits.Len64(q))
	}
	return int(min(q, uint64(a.Buckets-2))) + 1
}

// Range is what bucket i holds, both ends included. Bucket 0 begins at
// math.MinInt64, the last ends at math.MaxInt64.
func (a *Axis) Range(i int) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	if i > 0 {
		lo = a.start(i)
	}
	if i < a.Buckets-1 {
		hi = a.start(i+1) - 1
	}
	return lo, hi
}

func (a *Axis) start(i int) int64 {
	quanta := int64(i - 1)
	if a.Scale == Log2 && i > 1 {
		quanta = 1 << (i - 2)
	}
	return a.Min + quanta*a.Quantum
}

// check refuses axes whose bounds do not fit, so that later sums need no care.
func (a *Axis) check() {
	ok := a.Quantum > 0 && a.Buckets >= 2
	if ok {
		quanta := uint64(a.Buckets - 2)
		if a.Scale == Log2 && a.Buckets > 2 {
			quanta = 1 << min(a.Buckets-3, 63)
		}
		hi, lo := bits.Mul64(quanta, uint64(a.Quantum))
		ok = hi == 0 && lo <= math.MaxInt64 && a.Min+int64(lo) >= a.Min
	}
	if !ok {
		panic(fmt.Sprintf("BUG: metric: axis %+v has no bounds that fit", *a))
	}
}

// Histogram counts values, or tuples of values, in the buckets of its axes
// (PerfHistogram). Rows of the first axis come one after the other.
type Histogram struct {
	axes   []Axis
	counts []atomic.Uint64
	sum    atomic.Int64 // of the values of the first axis
}

func newHistogram(axes []Axis) *Histogram {
	if len(axes) == 0 {
		panic("BUG: metric: histogram without an axis")
	}
	size := 1
	for i := range axes {
		axes[i].check()
		size *= axes[i].Buckets
	}
	return &Histogram{axes: axes, counts: make([]atomic.Uint64, size)}
}

// Add counts one value for each axis.
func (h *Histogram) Add(v ...int64) {
	if len(v) != len(h.axes) {
		panic("BUG: metric: as many values as axes are wanted")
	}
	at := 0
	for i := range h.axes {
		at = at*h.axes[i].Buckets + h.axes[i].Bucket(v[i])
	}
	h.counts[at].Add(1)
	h.sum.Add(v[0])
}

// Axes are the dimensions; not to be changed.
func (h *Histogram) Axes() []Axis { return h.axes }

// Load returns the counts, those of the last axis side by side.
func (h *Histogram) Load() []uint64 {
	n := make([]uint64, len(h.counts))
	for i := range h.counts {
		n[i] = h.counts[i].Load()
	}
	return n
}

// First returns the counts along the first axis, whatever the others say, and
// the sum of its values.
func (h *Histogram) First() (counts []uint64, sum int64) {
	counts = make([]uint64, h.axes[0].Buckets)
	row := len(h.counts) / len(counts)
	for i := range h.counts {
		counts[i/row] += h.counts[i].Load()
	}
	return counts, h.sum.Load()
}

func (h *Histogram) reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.sum.Store(0)
}
