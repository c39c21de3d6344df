package sim

import "container/heap"

// moment is virtual time: nanoseconds since the world began.
type moment int64

// event is something that happens at a moment; those of one moment happen in the
// order in which they were scheduled.
type event struct {
	at  moment
	seq uint64
	do  func()
}

// queue is the future, soonest first.
type queue struct {
	events eventHeap
	seq    uint64
}

func (q *queue) add(at moment, do func()) {
	q.seq++
	heap.Push(&q.events, event{at, q.seq, do})
}

func (q *queue) next() (event, bool) {
	if len(q.events) == 0 {
		return event{}, false
	}
	return heap.Pop(&q.events).(event), true
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}
