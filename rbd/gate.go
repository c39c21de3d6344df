package rbd

import (
	"context"
	"sync"
)

// gate is what writes pass. Who needs an image that nobody writes to, to make a
// snapshot or to hand the image over, shuts it: then no write begins, and those
// that have begun are waited for.
type gate struct {
	mu      sync.Mutex
	inside  int
	shut    int           // how many have shut it
	ended   error         // why nobody may ever enter again
	changed chan struct{} // closed when something of this changed; nil if nobody waits
}

// enter waits until the gate is open and goes in; leave must follow.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.ended != nil {
			g.mu.Unlock()
			return g.ended
		}
		if g.shut == 0 {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		wait := g.wait()
		g.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 {
		g.wake()
	}
}

// close shuts the gate and waits until nobody is inside; open must follow. If
// ctx ends first the gate is not shut.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	g.shut++
	for g.inside > 0 {
		wait := g.wait()
		g.mu.Unlock()
		select {
		case <-wait:
			g.mu.Lock()
		case <-ctx.Done():
			g.open()
			return context.Cause(ctx)
		}
	}
	g.mu.Unlock()
	return nil
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut--; g.shut == 0 {
		g.wake()
	}
}

// end lets nobody in any more; they get the error.
func (g *gate) end(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = err
	g.wake()
}

func (g *gate) wait() chan struct{} {
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	return g.changed
}

func (g *gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}
