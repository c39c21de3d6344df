package recovery

import (
	"cmp"
	"fmt"
	"slices"
)

// Reserver gives out a number of places (AsyncReserver). An OSD has two: one for
// the groups that it is the primary of, one for those that others recover here.
// Both have osd_max_backfills places, so a group has one at each OSD that takes
// part, the primary's first.
//
// The highest priority gets the first place that is free, among equals who asked
// first. Who asks with a priority that is higher than that of one that has a place
// and may be preempted gets its place. A place is held until Cancel.
//
// Invariants: no more than max places are held; nobody waits while a place is
// free, except those below the least priority; an item waits or holds, never both.
type Reserver[T comparable] struct {
	max, min int
	waiting  []Reservation[T] // highest priority first, then by arrival
	held     []Reservation[T] // by arrival
}

// Reservation is a place, or the wish for one.
type Reservation[T any] struct {
	Item        T
	Priority    int
	Preemptible bool
}

// Verdict is news about an item: it has a place, or it has lost it.
type Verdict[T any] struct {
	Item    T
	Granted bool // false: preempted; it may ask again
}

// NewReserver returns a reserver of max places for those with a priority of at
// least min (osd_min_recovery_priority).
func NewReserver[T comparable](max, min int) *Reserver[T] { return &Reserver[T]{max: max, min: min} }

// SetLimits changes what NewReserver was given. Places that are held stay so.
func (r *Reserver[T]) SetLimits(max, min int) []Verdict[T] {
	r.max, r.min = max, min
	return r.grant(nil)
}

// Request asks for a place. To ask again for one that waits or holds changes
// nothing but its priority.
func (r *Reserver[T]) Request(item T, priority int, preemptible bool) []Verdict[T] {
	if r.has(item) {
		return r.SetPriority(item, priority)
	}
	r.enqueue(Reservation[T]{item, priority, preemptible})
	return r.grant(nil)
}

// SetPriority changes that of one that waits or holds (update_priority).
func (r *Reserver[T]) SetPriority(item T, priority int) []Verdict[T] {
	if i := r.find(r.waiting, item); i >= 0 {
		w := r.waiting[i]
		r.waiting = slices.Delete(r.waiting, i, i+1)
		w.Priority = priority
		r.enqueue(w)
	} else if i := r.find(r.held, item); i >= 0 {
		r.held[i].Priority = priority
	}
	return r.grant(nil)
}

// Cancel gives a place back, or the wish for one.
func (r *Reserver[T]) Cancel(item T) []Verdict[T] {
	same := func(x Reservation[T]) bool { return x.Item == item }
	r.waiting = slices.DeleteFunc(r.waiting, same)
	r.held = slices.DeleteFunc(r.held, same)
	return r.grant(nil)
}

// CancelAll gives all places back for which gone is true.
func (r *Reserver[T]) CancelAll(gone func(T) bool) []Verdict[T] {
	which := func(x Reservation[T]) bool { return gone(x.Item) }
	r.waiting = slices.DeleteFunc(r.waiting, which)
	r.held = slices.DeleteFunc(r.held, which)
	return r.grant(nil)
}

// Holds reports whether an item has a place.
func (r *Reserver[T]) Holds(item T) bool { return r.find(r.held, item) >= 0 }

// Limits are the number of places and the least priority.
func (r *Reserver[T]) Limits() (max, min int) { return r.max, r.min }

// Waiting are the wishes, the next first; Held are the places. The lists are the
// reserver's and must not be changed.
func (r *Reserver[T]) Waiting() []Reservation[T] { return r.waiting }
func (r *Reserver[T]) Held() []Reservation[T]    { return r.held }

func (r *Reserver[T]) has(item T) bool {
	return r.find(r.waiting, item) >= 0 || r.find(r.held, item) >= 0
}

func (r *Reserver[T]) find(list []Reservation[T], item T) int {
	return slices.IndexFunc(list, func(x Reservation[T]) bool { return x.Item == item })
}

func (r *Reserver[T]) enqueue(w Reservation[T]) {
	i, _ := slices.BinarySearchFunc(r.waiting, w.Priority, func(x Reservation[T], p int) int {
		if x.Priority >= p {
			return -1
		}
		return 1
	})
	r.waiting = slices.Insert(r.waiting, i, w)
}

// grant gives out what can be given.
func (r *Reserver[T]) grant(v []Verdict[T]) []Verdict[T] {
	for len(r.waiting) > 0 {
		w := r.waiting[0]
		if w.Priority < r.min || r.max <= 0 {
			break
		}
		if len(r.held) >= r.max {
			i := r.victim()
			if i < 0 || r.held[i].Priority >= w.Priority || len(r.held) > r.max {
				break
			}
			v = append(v, Verdict[T]{r.held[i].Item, false})
			r.held = slices.Delete(r.held, i, i+1)
		}
		r.waiting = slices.Delete(r.waiting, 0, 1)
		r.held = append(r.held, w)
		v = append(v, Verdict[T]{w.Item, true})
	}
	return v
}

// victim is the least important that may be preempted; -1: there is none.
func (r *Reserver[T]) victim() int {
	least := -1
	for i, h := range r.held {
		if h.Preemptible && (least < 0 || h.Priority < r.held[least].Priority) {
			least = i
		}
	}
	return least
}

// check panics if an invariant does not hold; limit is the largest max that there
// was since places were given out.
func (r *Reserver[T]) check(limit int) {
	if len(r.held) > limit {
		panic(fmt.Sprintf("BUG: reserver: %d places held of %d", len(r.held), limit))
	}
	if len(r.waiting) > 0 && len(r.held) < r.max && r.waiting[0].Priority >= r.min {
		panic(fmt.Sprintf("BUG: reserver: %v waits, %d of %d places held", r.waiting[0], len(r.held), r.max))
	}
	if !slices.IsSortedFunc(r.waiting, func(a, b Reservation[T]) int { return cmp.Compare(b.Priority, a.Priority) }) {
		panic(fmt.Sprintf("BUG: reserver: order %v", r.waiting))
	}
	seen := map[T]bool{}
	for _, x := range slices.Concat(r.waiting, r.held) {
		if seen[x.Item] {
			panic(fmt.Sprintf("BUG: reserver: %v twice", x.Item))
		}
		seen[x.Item] = true
	}
}
