package msgr

import "sync/atomic"

// credit bounds the bytes of received messages that a handler holds. One reader
// takes, anybody gives.
type credit struct {
	limit   int64
	shared  *Budget // of which it takes too; may be nil
	held    atomic.Int64
	waiting atomic.Bool
	wake    chan struct{}
}

func newCredit(limit int64, shared *Budget) *credit {
	return &credit{limit: limit, shared: shared, wake: make(chan struct{}, 1)}
}

// take waits until n more bytes are within the limit, or are all there is. It
// reports false if stop was closed before.
func (c *credit) take(n int64, stop <-chan struct{}) bool {
	if !c.fits(n, c.held.Add(n)) && !c.await(n, stop) || !c.shared.take(n, stop) {
		c.held.Add(-n)
		return false
	}
	return true
}

func (c *credit) await(n int64, stop <-chan struct{}) bool {
	c.waiting.Store(true)
	defer c.waiting.Store(false)
	for !c.fits(n, c.held.Load()) {
		select {
		case <-c.wake:
		case <-stop:
			return false
		}
	}
	return true
}

func (c *credit) fits(n, held int64) bool { return held <= c.limit || held == n }

func (c *credit) give(n int64) {
	c.shared.give(n)
	c.held.Add(-n)
	if c.waiting.Load() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}
