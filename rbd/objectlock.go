package rbd

import (
	"context"
	"sync"
)

// objectLocks keep apart, object by object, what must not happen to an object
// at once: many may write to it together, but one alone copies it up from the
// parent or removes it, for these do something before and after that must agree
// with whether the object exists. The zero value is ready.
type objectLocks struct {
	mu   sync.Mutex
	held map[uint64]*objectLock
}

type objectLock struct {
	shared  int
	alone   bool
	waiting int
	changed chan struct{}
}

func (l *objectLocks) acquire(ctx context.Context, n uint64, alone bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[uint64]*objectLock{}
	}
	o := l.held[n]
	if o == nil {
		o = &objectLock{changed: make(chan struct{})}
		l.held[n] = o
	}
	for o.alone || alone && o.shared > 0 {
		wait := o.changed
		o.waiting++
		l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
		}
		l.mu.Lock()
		o.waiting--
		if ctx.Err() != nil {
			l.drop(n, o)
			return context.Cause(ctx)
		}
	}
	if alone {
		o.alone = true
	} else {
		o.shared++
	}
	return nil
}

// share lets one write to an object, together with others.
func (l *objectLocks) share(ctx context.Context, n uint64) error { return l.acquire(ctx, n, false) }

// own keeps everybody else off an object.
func (l *objectLocks) own(ctx context.Context, n uint64) error { return l.acquire(ctx, n, true) }

// release ends either.
func (l *objectLocks) release(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.held[n]
	if o.alone {
		o.alone = false
	} else {
		o.shared--
	}
	close(o.changed)
	o.changed = make(chan struct{})
	l.drop(n, o)
}

func (l *objectLocks) drop(n uint64, o *objectLock) {
	if o.shared == 0 && !o.alone && o.waiting == 0 {
		delete(l.held, n)
	}
}
