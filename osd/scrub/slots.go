package scrub

import "sync/atomic"

// Slots are the scrubs that an OSD may take part in at a time, as primary or with
// a copy (osd_max_scrubs). All groups of the OSD share them, also those of
// different loops.
type Slots struct{ most, taken, remote atomic.Int32 }

// Held are the slots taken by groups of which this OSD is the primary, those lent
// to primaries elsewhere, and how many there may be together.
func (s *Slots) Held() (local, remote, most int) {
	remote = int(s.remote.Load())
	return max(int(s.taken.Load())-remote, 0), remote, int(s.most.Load())
}

// Lend takes a slot for a primary elsewhere, if there is one; Return gives it back.
func (s *Slots) Lend() bool {
	ok := s.Take()
	if ok {
		s.remote.Add(1)
	}
	return ok
}

// Return gives back a slot that was lent.
func (s *Slots) Return() {
	s.remote.Add(-1)
	s.Free()
}

// SetMost changes how many there are; those taken stay so.
func (s *Slots) SetMost(n int) { s.most.Store(int32(n)) }

// Take takes one, if there is one.
func (s *Slots) Take() bool {
	for {
		n := s.taken.Load()
		if n >= s.most.Load() {
			return false
		}
		if s.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Free gives one back.
func (s *Slots) Free() {
	if s.taken.Add(-1) < 0 {
		panic("BUG: scrub: a slot was given back that was not taken")
	}
}
