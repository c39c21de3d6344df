package scrub

import "sync/atomic"

// Slots are the scrubs that an OSD may take part in at a time, as primary or with
// a copy (osd_max_scrubs). All groups of the OSD share them, also those of
// different loops.
type Slots struct{ most, taken atomic.Int32 }

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
