package scrub

import (
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// NextChunk returns where a chunk of about n objects ends that begins at from
// (PgScrubber::select_range); object.MaxID if it is the last.
//
// New clones appear just before their head. They must belong to the same chunk as
// the head, which is to be looked at later: so a chunk never ends at a head, but
// before all clones that it may get.
func NextChunk(store objstore.Store, coll objstore.Coll, from object.ID, n int) (end object.ID, err error) {
	ids, next, err := store.List(coll, from, max(n, 1))
	if err != nil || next.Max {
		return object.MaxID, err
	}
	if !next.IsHead() {
		return next, nil
	}
	if last := ids[len(ids)-1]; last.Head() == next {
		return next.At(last.Snap + 1), nil
	}
	return next.At(0), nil
}

// Touches reports whether a change of an object or of its clones may be one of
// the chunk [begin, end).
func Touches(head, begin, end object.ID) bool {
	return head.Head().Compare(begin) >= 0 && head.At(0).Compare(end) < 0
}

// ChunkSize is how many objects the next chunk has, when the one before was
// given up so many times in a row: each time half as many, but some.
func (o *Options) ChunkSize(preempted int) int {
	const least = 3
	return max(least, o.ChunkMin>>preempted, o.ChunkMax>>preempted)
}
