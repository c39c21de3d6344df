package node

import "sync"

// inbox is the queue in front of a machine's loop: many put, one takes all there
// is. Producers that can be held back use put, which waits while the queue is
// full; callbacks that must not block use post.
type inbox[T any] struct {
	mu     sync.Mutex
	room   sync.Cond // items < limit, or closed
	items  []T
	spare  []T
	limit  int
	closed bool
	wake   chan struct{} // has a token when items is not empty
}

func newInbox[T any](limit int) *inbox[T] {
	q := &inbox[T]{limit: limit, wake: make(chan struct{}, 1)}
	q.room.L = &q.mu
	return q
}

// put adds an item once there is room; false after close.
func (q *inbox[T]) put(v T) bool {
	q.mu.Lock()
	for len(q.items) >= q.limit && !q.closed {
		q.room.Wait()
	}
	return q.add(v)
}

// post adds an item at once; false after close.
func (q *inbox[T]) post(v T) bool {
	q.mu.Lock()
	return q.add(v)
}

func (q *inbox[T]) add(v T) bool {
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, v)
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// take returns all items, in order; they are the caller's until its next take.
func (q *inbox[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := q.items
	clear(q.spare)
	q.items = q.spare[:0]
	q.spare = got
	if len(got) >= q.limit {
		q.room.Broadcast()
	}
	return got
}

// close lets nothing more in.
func (q *inbox[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.room.Broadcast()
	q.mu.Unlock()
}
