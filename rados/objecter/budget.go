package objecter

import (
	"context"
	"sync"
)

// budget bounds what is in flight, by number and bytes, in the order of arrival
// (objecter_inflight_ops, objecter_inflight_op_bytes). A request above the
// whole bound gets it all.
type budget struct {
	mu      sync.Mutex
	ops     int
	bytes   int64
	waiting []*claim
	maxOps  int
	maxByte int64
}

type claim struct {
	bytes   int64
	granted chan struct{}
}

func (b *budget) acquire(ctx context.Context, bytes int64) (int64, error) {
	bytes = min(bytes, b.maxByte)
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(bytes) {
		b.take(bytes)
		b.mu.Unlock()
		return bytes, nil
	}
	c := &claim{bytes, make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	select {
	case <-c.granted:
		return bytes, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.grant()
			return 0, context.Cause(ctx)
		}
	}
	return bytes, nil // granted meanwhile
}

func (b *budget) fits(bytes int64) bool { return b.ops < b.maxOps && b.bytes+bytes <= b.maxByte }

func (b *budget) take(bytes int64) {
	b.ops++
	b.bytes += bytes
}

func (b *budget) release(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ops--
	b.bytes -= bytes
	b.grant()
}

// grant serves those who wait, as far as it goes. Called with mu held.
func (b *budget) grant() {
	for len(b.waiting) > 0 && b.fits(b.waiting[0].bytes) {
		b.take(b.waiting[0].bytes)
		close(b.waiting[0].granted)
		b.waiting = b.waiting[1:]
	}
}
