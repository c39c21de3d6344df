package objecter

import "sync"

// queue is effects in the order in which they were decided. Anybody pushes;
// whoever drains an idle queue empties it, while others leave theirs to it.
type queue[T any] struct {
	mu   sync.Mutex
	todo []T
	busy bool
}

func (q *queue[T]) push(x T) {
	q.mu.Lock()
	q.todo = append(q.todo, x)
	q.mu.Unlock()
}

func (q *queue[T]) drain(f func(T)) {
	q.mu.Lock()
	if q.busy {
		q.mu.Unlock()
		return
	}
	q.busy = true
	var spare []T
	for len(q.todo) > 0 {
		todo := q.todo
		q.todo = spare
		q.mu.Unlock()
		for _, x := range todo {
			f(x)
		}
		clear(todo)
		q.mu.Lock()
		spare = todo[:0]
	}
	q.busy = false
	q.todo = spare
	q.mu.Unlock()
}
