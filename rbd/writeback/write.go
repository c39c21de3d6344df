package writeback

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Flush returns when all that was put in before is durable. The error is that of
// the newest write that failed: then what is not durable stays in the cache; or
// that of Invalidate, once.
func (c *Cache) Flush(ctx context.Context) error {
	err := c.Settle(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost != nil {
		err, c.lost = c.lost, nil
	}
	return err
}

// Settle is Flush for those who do not care for what was lost.
func (c *Cache) Settle(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	target, faults := c.last, c.faults
	c.barrier, c.retry = target, time.Time{}
	c.wakeRun()
	for {
		switch {
		case !c.outstanding(target):
			return nil
		case c.faults != faults:
			return c.fault
		}
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
}

// outstanding reports whether something of the changes up to a number is not
// durable.
func (c *Cache) outstanding(number uint64) bool {
	if el := c.queue.Front(); el != nil && el.Value.(*extent).since <= number {
		return true
	}
	return slices.ContainsFunc(c.writing, func(e *extent) bool { return e.since <= number })
}

// Run writes what is due until the context ends. Each time it enters the store
// first, which may take a while, and leaves it again.
func (c *Cache) Run(ctx context.Context, enter func(ctx context.Context) (s Store, leave func(), err error)) {
	for c.idle(ctx) {
		s, leave, err := enter(ctx)
		if err != nil {
			c.mu.Lock()
			c.failed(err)
			c.mu.Unlock()
			continue
		}
		c.writeAll(ctx, s, c.due)
		leave()
	}
}

// idle waits until something is due; false: the context ended first.
func (c *Cache) idle(ctx context.Context) bool {
	for ctx.Err() == nil {
		c.mu.Lock()
		var next <-chan time.Time
		if el := c.queue.Front(); el != nil {
			e, now := el.Value.(*extent), time.Now()
			at := e.at.Add(c.o.MaxAge)
			if c.due(e, now) {
				at = now
			}
			if at.Before(c.retry) {
				at = c.retry
			}
			if !at.After(now) {
				c.mu.Unlock()
				return true
			}
			next = time.After(at.Sub(now))
		}
		c.mu.Unlock()
		select {
		case <-c.kick:
		case <-next:
		case <-ctx.Done():
		}
	}
	return false
}

// due reports whether an extent should be written now.
func (c *Cache) due(e *extent, now time.Time) bool {
	return e.since <= c.barrier || c.waiting > 0 || c.held > c.o.TargetDirty || now.Sub(e.at) >= c.o.MaxAge
}

// Drain is Settle for who keeps all others out. Nobody writes meanwhile, and Run is not in the store.
func (c *Cache) Drain(ctx context.Context, s Store) error {
	c.mu.Lock()
	faults := c.faults
	c.retry = time.Time{}
	c.mu.Unlock()
	c.writeAll(ctx, s, func(*extent, time.Time) bool { return true })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults != faults {
		return c.fault
	}
	return nil
}

// writeAll writes extents, the oldest first, as long as they are due.
func (c *Cache) writeAll(ctx context.Context, s Store, due func(e *extent, now time.Time) bool) {
	slots := make(chan struct{}, width)
	for {
		var wg sync.WaitGroup
		some := false
		for e := c.take(due); e != nil; e = c.take(due) {
			some = true
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				var err error
				if e.data != nil {
					err = s.Write(ctx, e.data, e.off)
				} else {
					err = s.Zero(ctx, e.off, e.n)
				}
				c.written(e, err)
			})
		}
		wg.Wait()
		if !some {
			return
		}
	}
}

// take returns the next extent to write, with its neighbours; nil: there is none
// now.
func (c *Cache) take(due func(e *extent, now time.Time) bool) *extent {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.retry) {
		return nil
	}
	for el := c.queue.Front(); el != nil; el = el.Next() {
		e := el.Value.(*extent)
		if !due(e, now) {
			return nil
		}
		if !c.meetsWriting(e) {
			e = c.gather(e)
			e.era = c.era
			c.writing = append(c.writing, e)
			return e
		}
	}
	return nil
}

func (c *Cache) meetsWriting(e *extent) bool {
	return slices.ContainsFunc(c.writing, func(w *extent) bool { return w.meets(e.off, e.end()) })
}

// gather takes an extent out of what is dirty, together with its neighbours as far
// as they make one write.
func (c *Cache) gather(e *extent) *extent {
	first := c.find(e.off)
	last, n := first, e.n
	joins := func(a, b, neighbour *extent) bool {
		return a.end() == b.off && b.data != nil && a.data != nil && b.off%c.o.Block != 0 && n+neighbour.n <= maxRun && !c.meetsWriting(neighbour)
	}
	for first > 0 && joins(c.dirty[first-1], c.dirty[first], c.dirty[first-1]) {
		first--
		n += c.dirty[first].n
	}
	for last+1 < len(c.dirty) && joins(c.dirty[last], c.dirty[last+1], c.dirty[last+1]) {
		last++
		n += c.dirty[last].n
	}
	parts := c.dirty[first : last+1]
	all := *parts[0]
	if len(parts) > 1 {
		all.n, all.holds, all.data = n, n, make([]byte, 0, n)
		for _, p := range parts {
			all.data = append(all.data, p.data...)
			all.since = min(all.since, p.since)
			if p.at.Before(all.at) {
				all.at = p.at
			}
		}
	}
	for _, p := range parts {
		c.remove(p)
	}
	c.dirty = slices.Delete(c.dirty, first, last+1)
	all.queue = nil
	c.held += all.cost()
	return &all
}

// written notes what became of a write. What failed is dirty again, but for what
// was overwritten since.
func (c *Cache) written(e *extent, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = slices.DeleteFunc(c.writing, func(w *extent) bool { return w == e })
	c.held -= e.cost()
	defer c.wake()
	if err == nil || e.era != c.era {
		return
	}
	for off := e.off; off < e.end(); {
		i, end := c.find(off), e.end()
		if i < len(c.dirty) {
			end = min(end, c.dirty[i].off)
		}
		if off < end {
			p := e.part(off, end)
			p.data = slices.Clone(p.data) // the store may still look at the former
			c.insert(i, p)
			i++
		}
		if i == len(c.dirty) {
			break
		}
		off = c.dirty[i].end()
	}
	c.failed(err)
}

// failed notes that something could not be written.
func (c *Cache) failed(err error) {
	c.fault = err
	c.faults++
	c.retry = time.Now().Add(retryTime)
	c.wake()
}
