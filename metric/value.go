package metric

import (
	"sync/atomic"
	"time"
)

// Counter only grows.
type Counter struct {
	n    atomic.Uint64
	from func() uint64 // of a CounterFunc, for which n is what it told at the last reset
}

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Load returns the value.
func (c *Counter) Load() uint64 {
	if c.from != nil {
		return c.from() - c.n.Load()
	}
	return c.n.Load()
}

func (c *Counter) reset() {
	if c.from != nil {
		c.n.Store(c.from())
		return
	}
	c.n.Store(0)
}

// Gauge is a level. Unlike Ceph's it is signed: one that went below zero by a
// mistake prints as what it is, not as 2^64 less.
type Gauge struct{ n atomic.Int64 }

// Set makes n the level.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Add raises the level by n, or lowers it by -n.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Load returns the level.
func (g *Gauge) Load() int64 { return g.n.Load() }

// Time is time spent on something, in all.
type Time struct{ ns atomic.Int64 }

// Add adds d.
func (t *Time) Add(d time.Duration) { t.ns.Add(int64(d)) }

// Load returns the sum.
func (t *Time) Load() time.Duration { return time.Duration(t.ns.Load()) }

// Latency is the number and the sum of time spans.
type Latency struct {
	n    atomic.Uint64
	sum  atomic.Int64
	from func() (n uint64, sum time.Duration) // as Counter.from
}

// Add adds one span.
func (l *Latency) Add(d time.Duration) {
	l.sum.Add(int64(d))
	l.n.Add(1)
}

// Load returns the number of spans and their sum.
func (l *Latency) Load() (n uint64, sum time.Duration) {
	// The count first: a span that ends meanwhile then raises the average
	// instead of making one out of nothing.
	n, sum = l.n.Load(), time.Duration(l.sum.Load())
	if l.from != nil {
		n0, sum0 := n, sum
		n, sum = l.from()
		return n - n0, sum - sum0
	}
	return n, sum
}

func (l *Latency) reset() {
	var n uint64
	var sum time.Duration
	if l.from != nil {
		n, sum = l.from()
	}
	l.n.Store(n)
	l.sum.Store(int64(sum))
}

// Average is the number and the sum of amounts, such as the length of a queue
// each time that it was looked at.
type Average struct {
	n, sum atomic.Uint64
	from   func() (n, sum uint64) // as Counter.from
}

// Add adds one amount.
func (a *Average) Add(v uint64) {
	a.sum.Add(v)
	a.n.Add(1)
}

// Load returns the number of amounts and their sum.
func (a *Average) Load() (n, sum uint64) {
	n, sum = a.n.Load(), a.sum.Load()
	if a.from != nil {
		n0, sum0 := n, sum
		n, sum = a.from()
		return n - n0, sum - sum0
	}
	return n, sum
}

func (a *Average) reset() {
	var n, sum uint64
	if a.from != nil {
		n, sum = a.from()
	}
	a.n.Store(n)
	a.sum.Store(sum)
}
