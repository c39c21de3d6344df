package osd

import (
	"iter"
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// Check panics if an invariant of the shard or of its groups does not hold; tests
// and the simulator call it after each step.
func (s *Shard) Check() {
	for id, p := range s.groups {
		if ShardOf(id.PG, s.count) != s.index {
			panic("BUG: osd: " + id.String() + " is in a shard that is not its own")
		}
		p.Check()
	}
}

// Group returns a group that the shard has; nil if it has none by that name.
func (s *Shard) Group(id object.SPG) *pg.PG { return s.groups[id] }

// Groups yields the shard's groups in order.
func (s *Shard) Groups() iter.Seq[*pg.PG] {
	return func(yield func(*pg.PG) bool) {
		for _, id := range s.ids() {
			if !yield(s.groups[id]) {
				return
			}
		}
	}
}

// Serving yields, in order, the groups of which a client would be answered at a
// time. After [Halt] there are none, whatever the groups themselves think.
func (s *Shard) Serving(now time.Time) iter.Seq[*pg.PG] {
	return func(yield func(*pg.PG) bool) {
		for p := range s.Groups() {
			if !s.halted && p.Serves(now) && !yield(p) {
				return
			}
		}
	}
}
