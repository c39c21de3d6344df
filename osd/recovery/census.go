package recovery

import (
	"cmp"
	"slices"
)

// Census is what is known about the copies of a group, to count what is wrong
// with them (PeeringState::update_calc_stats). Numbers are of objects, clones
// among them.
type Census struct {
	Objects    int64
	Size       int // copies that the pool wants
	Up, Acting []int32
	Me         int32           // the primary
	Missing    map[int32]int64 // what each copy lacks that is known; of a backfill target, what has not been copied
	Recovering bool            // the log tells what is missing: Rows say where it is
	Rows       []Located
}

// Located is some objects that are missing somewhere, and where they are.
type Located struct {
	Up, Other int   // copies on OSDs that are in Up, and on others
	Objects   int64 // that have so many
}

// Copies is how many copies of objects there should be, all taken together
// (num_object_copies).
func (c *Census) Copies() int64 {
	return c.Objects * int64(max(c.Size, len(c.Up), len(c.Acting)))
}

// Count returns copies of objects that there should be and that are nowhere, and
// those that are in the wrong place.
func (c *Census) Count() (degraded, misplaced int64) {
	want := max(c.Size, len(c.Up))
	if c.Recovering {
		for _, r := range c.Rows {
			lacking := max(0, len(c.Up)-r.Up)
			elsewhere := min(lacking, r.Other)
			misplaced += r.Objects * int64(elsewhere)
			degraded += r.Objects * int64(lacking-elsewhere)
		}
		return degraded + c.Objects*int64(want-len(c.Up)), misplaced
	}
	// Each copy that should be there takes the place of one that is and should
	// not: what the old one has is misplaced only. The emptiest new ones go
	// with the fullest old ones.
	var targets, sources []int64 // what they lack
	for osd, lacks := range c.Missing {
		switch {
		case slices.Contains(c.Up, osd):
			targets = append(targets, lacks)
		case slices.Contains(c.Acting, osd):
			sources = append(sources, lacks)
		}
	}
	if n := want - len(targets); n > 0 {
		targets = append(targets, c.Objects*int64(n))
	}
	slices.SortFunc(targets, func(a, b int64) int { return cmp.Compare(b, a) })
	slices.Sort(sources)
	for _, t := range targets {
		if len(sources) == 0 {
			degraded += t
			continue
		}
		s := sources[0]
		sources = sources[1:]
		if t >= s {
			misplaced += t - s
			degraded += s
		} else {
			degraded += t
		}
	}
	for _, s := range sources {
		misplaced += max(0, c.Objects-s)
	}
	return degraded, misplaced
}
