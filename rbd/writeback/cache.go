package writeback

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Store is what a cache is in front of. It is used concurrently, for ranges that
// do not overlap. What it has done is durable.
type Store interface {
	Write(ctx context.Context, p []byte, off int64) error
	Zero(ctx context.Context, off, n int64) error
}

// Options of a cache. All must be set.
type Options struct {
	MaxDirty    int64         // bytes that may be waiting to be written
	TargetDirty int64         // bytes from which on they are written at once
	MaxAge      time.Duration // from which on they are, too
	Block       int64         // bytes; no write crosses a multiple of it
}

// Cache is one. Use New.
type Cache struct {
	o    Options
	kick chan struct{} // there may be something for Run to do; capacity 1

	mu       sync.Mutex
	dirty    []*extent // by offset
	queue    list.List // the same, by since
	writing  []*extent // do not overlap
	held     int64     // cost of both
	reserved int64
	waiting  int    // who wait for room
	last     uint64 // number of the newest change
	barrier  uint64 // up to this all must be written at once
	era      uint64 // how often everything was dropped
	lost     error  // why, if there was something and nobody was told
	fault    error  // the newest write that failed
	faults   uint64
	retry    time.Time     // not before this is anything written
	changed  chan struct{} // closed when something of this changed; nil if nobody waits
}

// extent is bytes, or zeros, that are not in the store yet.
type extent struct {
	off, n int64
	data   []byte // nil: zeros
	holds  int64  // bytes of memory
	since  uint64 // number of the first change in it
	at     time.Time
	era    uint64        // of the cache, while it is being written
	queue  *list.Element // while it is dirty
}

const (
	overhead  = 256         // that an extent costs besides its bytes
	maxAppend = 1 << 20     // bytes that an extent grows to
	maxRun    = 4 << 20     // bytes that are written at a time, of several extents
	width     = 16          // writes at a time
	retryTime = time.Second // after a write that failed
)

// The least that options may be.
const (
	MinDirty = 64 << 10
	MinBlock = 4 << 10
)

func (e *extent) end() int64 { return e.off + e.n }

func (e *extent) cost() int64 { return e.holds + overhead }

func (e *extent) meets(off, end int64) bool { return e.off < end && off < e.end() }

// part is what of e is in a range, which must meet it. The memory is shared.
func (e *extent) part(off, end int64) *extent {
	off, end = max(off, e.off), min(end, e.end())
	p := &extent{off: off, n: end - off, since: e.since, at: e.at, era: e.era}
	if e.data != nil {
		from, to := off-e.off, end-e.off
		p.data, p.holds = e.data[from:to:to], p.n
	}
	return p
}

// New makes an empty cache.
func New(o Options) *Cache {
	if o.MaxDirty < MinDirty || o.TargetDirty < 0 || o.Block < MinBlock {
		panic(fmt.Sprintf("BUG: a cache of %+v", o))
	}
	return &Cache{o: o, kick: make(chan struct{}, 1)}
}

// Chunk is how many bytes to reserve room for and write at a time.
func (c *Cache) Chunk() int64 { return min(maxAppend, c.o.MaxDirty/4) }

// Reserve waits until there is room for a write of n bytes, or for zeros if n is
// 0. The room must be given back when the write was put in, or not. The error is
// the context's, or that of writing what is in the way.
func (c *Cache) Reserve(ctx context.Context, n int64) (room int64, err error) {
	room = n + (n/c.o.Block+4)*overhead // one for each block, and an extent cut in two
	c.mu.Lock()
	defer c.mu.Unlock()
	faults := c.faults
	for c.held+c.reserved+room > c.o.MaxDirty {
		if c.faults != faults {
			return 0, c.fault
		}
		c.waiting++
		c.wakeRun()
		err := c.wait(ctx)
		c.waiting--
		if err != nil {
			return 0, err
		}
	}
	c.reserved += room
	return room, nil
}

// Release gives room back.
func (c *Cache) Release(room int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved -= room
	c.wake()
}

// Era is a number that changes when everything is dropped.
func (c *Cache) Era() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.era
}

// Write puts bytes in, for which there must be room; it keeps nothing of p. If
// the era is over it does nothing and returns false.
func (c *Cache) Write(era uint64, p []byte, off int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era {
		return false
	}
	c.last++
	for len(p) > 0 {
		n := min(int64(len(p)), c.o.Block-off%c.o.Block)
		c.put(p[:n], off)
		off, p = off+n, p[n:]
	}
	c.wakeRun()
	return true
}

// Zero is Write of n zeros, which take no room to speak of.
func (c *Cache) Zero(era uint64, off, n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era {
		return false
	}
	if n == 0 {
		return true
	}
	c.last++
	i := c.cut(off, off+n)
	e := &extent{off: off, n: n, since: c.last, at: time.Now()}
	c.insert(i, e)
	if i+1 < len(c.dirty) {
		c.join(i)
	}
	if i > 0 {
		c.join(i - 1)
	}
	c.wakeRun()
	return true
}

// join makes one extent of two neighbours of zeros; the older one's number stays.
func (c *Cache) join(i int) {
	a, b := c.dirty[i], c.dirty[i+1]
	if a.end() != b.off || a.data != nil || b.data != nil {
		return
	}
	if b.since < a.since {
		a, b = b, a
	}
	a.off, a.n = min(a.off, b.off), a.n+b.n
	c.remove(b)
	c.dirty = slices.Delete(c.dirty, i, i+2)
	c.dirty = slices.Insert(c.dirty, i, a)
}

// put makes bytes of one block dirty.
func (c *Cache) put(p []byte, off int64) {
	n := int64(len(p))
	i := c.find(off)
	if i < len(c.dirty) {
		if e := c.dirty[i]; e.data != nil && e.off <= off && off+n <= e.end() {
			copy(e.data[off-e.off:], p)
			return
		}
	}
	i = c.cut(off, off+n)
	if i > 0 {
		if e := c.dirty[i-1]; e.end() == off && e.data != nil && e.n+n <= maxAppend && off%c.o.Block != 0 {
			c.held -= e.cost()
			e.data = append(e.data, p...)
			e.n, e.holds = e.n+n, e.holds+n
			c.held += e.cost()
			return
		}
	}
	c.insert(i, &extent{off: off, n: n, data: slices.Clone(p), holds: n, since: c.last, at: time.Now()})
}

// find is the first extent that ends behind off.
func (c *Cache) find(off int64) int {
	i, _ := slices.BinarySearchFunc(c.dirty, off, func(e *extent, off int64) int {
		if e.end() <= off {
			return -1
		}
		return 1
	})
	return i
}

// cut takes a range out of what is dirty, and returns where it was.
func (c *Cache) cut(off, end int64) int {
	i := c.find(off)
	for i < len(c.dirty) && c.dirty[i].off < end {
		e := c.dirty[i]
		var rest []*extent
		kept := e.holds // the memory is one piece
		if e.off < off {
			rest = append(rest, e.part(e.off, off))
		}
		if end < e.end() {
			rest = append(rest, e.part(end, e.end()))
		}
		for _, r := range rest {
			kept -= r.holds
		}
		if len(rest) > 0 && kept <= e.holds/2 {
			rest[0].holds += kept
		} else {
			for _, r := range rest {
				r.data = slices.Clone(r.data)
			}
		}
		c.dirty = slices.Replace(c.dirty, i, i+1, rest...)
		at := e.queue
		for _, r := range rest {
			c.held += r.cost()
			r.queue = c.queue.InsertAfter(r, at)
			at = r.queue
		}
		c.remove(e)
		if e.off < off {
			i++
		}
		if end < e.end() {
			break
		}
	}
	return i
}

// insert adds an extent to what is dirty.
func (c *Cache) insert(i int, e *extent) {
	c.dirty = slices.Insert(c.dirty, i, e)
	c.held += e.cost()
	at := c.queue.Back()
	for at != nil && at.Value.(*extent).since > e.since {
		at = at.Prev()
	}
	if at == nil {
		e.queue = c.queue.PushFront(e)
	} else {
		e.queue = c.queue.InsertAfter(e, at)
	}
}

// remove forgets an extent that has left what is dirty.
func (c *Cache) remove(e *extent) {
	c.queue.Remove(e.queue)
	e.queue = nil
	c.held -= e.cost()
}

// Patch is what a cache has of a range.
type Patch struct {
	off, end int64
	parts    []*extent // oldest first
}

// Look returns what there is of n bytes at off. To read them, look first, then
// read the store, then apply the patch.
func (c *Cache) Look(off, n int64) Patch {
	p := Patch{off: off, end: off + n}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.writing {
		if e.meets(p.off, p.end) {
			p.parts = append(p.parts, e.part(p.off, p.end))
		}
	}
	for i := c.find(p.off); i < len(c.dirty) && c.dirty[i].off < p.end; i++ {
		e := c.dirty[i].part(p.off, p.end)
		e.data = slices.Clone(e.data)
		p.parts = append(p.parts, e)
	}
	return p
}

// Whole reports whether the patch covers its range, so that the store need not be
// read.
func (p *Patch) Whole() bool {
	parts := slices.Clone(p.parts)
	slices.SortFunc(parts, func(a, b *extent) int { return int(min(max(a.off-b.off, -1), 1)) })
	at := p.off
	for _, e := range parts {
		if e.off > at {
			return false
		}
		at = max(at, e.end())
	}
	return at >= p.end
}

// Apply writes the patch over its range, or the beginning of it.
func (p *Patch) Apply(to []byte) {
	for _, e := range p.parts {
		if e.off-p.off >= int64(len(to)) {
			continue
		}
		if part := to[e.off-p.off:]; e.data != nil {
			copy(part, e.data)
		} else {
			clear(part[:min(e.n, int64(len(part)))])
		}
	}
}

// Invalidate drops everything, for the bytes in the store are not ours any more.
// If something was dropped the next Flush returns the reason. Writes under way
// may or may not be done.
func (c *Cache) Invalidate(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	if len(c.dirty)+len(c.writing) > 0 {
		c.lost = why
	}
	for _, e := range c.dirty {
		c.remove(e)
	}
	c.dirty = nil
	c.wake()
}

// wait waits until something changed. Called and returns with mu held.
func (c *Cache) wait(ctx context.Context) error {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Cache) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// wakeRun has Run look whether there is something to do.
func (c *Cache) wakeRun() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}
