package rbd

import "sync"

// counter counts what parallel parts of an operation have done.
type counter struct {
	mu       sync.Mutex
	done     uint64
	total    uint64
	progress Progress // may be nil
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
}
