package pg

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/wire"
)

// SnapSet is what the group knows of an object's past (SnapSet); attribute "ss"
// of the head. Of an object that no snapshot ever concerned it is empty, and
// there is no attribute. The package comment has the rules.
//
// A SnapSet that others may see is never changed: who changes it takes a clone
// first, and replaces what is in a Clone.
type SnapSet struct {
	// Seq is the newest snapshot that was there when the head was last changed:
	// the head has what the object was at each later one.
	Seq    object.SnapID
	Clones []Clone // ascending
}

// Clone is an object as it once was. Its bytes are an object of the store of
// their own, under the head's name and the clone's id.
type Clone struct {
	ID    object.SnapID
	Size  uint64          // bytes
	Snaps []object.SnapID // that it serves, newest first; never empty
	// Overlap is bytes that the next newer version, a clone or the head, has
	// unchanged. Those bytes are counted there.
	Overlap extent.Set
}

// bytes is what the clone adds to the group's sum (get_clone_bytes).
func (c *Clone) bytes() int64 { return int64(c.Size) - int64(c.Overlap.Size()) }

// empty reports whether there is nothing to write down.
func (s *SnapSet) empty() bool { return s.Seq == 0 && len(s.Clones) == 0 }

// clone returns a set whose list may be changed.
func (s *SnapSet) clone() SnapSet { return SnapSet{s.Seq, slices.Clone(s.Clones)} }

// newest returns the youngest clone, or nil.
func (s *SnapSet) newest() *Clone {
	if n := len(s.Clones); n > 0 {
		return &s.Clones[n-1]
	}
	return nil
}

// index returns the place of the first clone with an id of at least snap.
func (s *SnapSet) index(snap object.SnapID) int {
	i, _ := slices.BinarySearchFunc(s.Clones, snap, func(c Clone, snap object.SnapID) int {
		if c.ID < snap {
			return -1
		}
		return 1
	})
	return i
}

// find returns the clone with that id, or nil.
func (s *SnapSet) find(id object.SnapID) *Clone {
	if i := s.index(id); i < len(s.Clones) && s.Clones[i].ID == id {
		return &s.Clones[i]
	}
	return nil
}

// serving returns the clone that has what the object was at a snapshot not above
// Seq, or nil: the object did not exist then, or the snapshot does not.
func (s *SnapSet) serving(snap object.SnapID) *Clone {
	i := s.index(snap)
	if i == len(s.Clones) || !slices.Contains(s.Clones[i].Snaps, snap) {
		return nil
	}
	return &s.Clones[i]
}

// unchangedSince returns the bytes that have not changed from a clone, the i-th,
// to the head.
func (s *SnapSet) unchangedSince(i int) extent.Set {
	r := s.Clones[i].Overlap
	for _, c := range s.Clones[i+1:] {
		r = r.Intersect(c.Overlap)
	}
	return r
}

// remove takes the i-th clone away. What it shared with its neighbours the older
// one shares with the newer one now.
func (s *SnapSet) remove(i int) {
	if i > 0 {
		s.Clones[i-1].Overlap = s.Clones[i-1].Overlap.Intersect(s.Clones[i].Overlap)
	}
	s.Clones = slices.Delete(s.Clones, i, i+1)
}

// bytes is what all clones add to the group's sum.
func (s *SnapSet) bytes() (n int64) {
	for i := range s.Clones {
		n += s.Clones[i].bytes()
	}
	return n
}

// check says what contradicts the rules, with a head of so many bytes; a
// whiteout has none.
func (s *SnapSet) check(headSize uint64) error {
	last := object.SnapID(0)
	for i := range s.Clones {
		c := &s.Clones[i]
		next := headSize
		if i+1 < len(s.Clones) {
			next = s.Clones[i+1].Size
		}
		switch {
		case c.ID <= last || c.ID > s.Seq:
			return fmt.Errorf("clone %d is not in (%d,%d]", c.ID, last, s.Seq)
		case len(c.Snaps) == 0:
			return fmt.Errorf("clone %d serves no snapshot", c.ID)
		case len(c.Overlap) > 0 && c.Overlap[len(c.Overlap)-1].End > min(c.Size, next):
			return fmt.Errorf("clone %d of %d bytes shares %v with a version of %d", c.ID, c.Size, c.Overlap, next)
		}
		above := c.ID + 1
		for _, n := range c.Snaps {
			if n >= above || n <= last {
				return fmt.Errorf("clone %d serves %v, after clone %d", c.ID, c.Snaps, last)
			}
			above = n
		}
		last = c.ID
	}
	return nil
}

const snapSetVersion = 1

// Encode writes the set as it is kept.
func (s *SnapSet) Encode(e *wire.Encoder) {
	m := e.Begin(snapSetVersion, 1)
	e.U64(uint64(s.Seq))
	wire.EncodeSlice(e, s.Clones, func(c Clone) {
		e.U64(uint64(c.ID))
		e.U64(c.Size)
		wire.EncodeSlice(e, c.Snaps, func(n object.SnapID) { e.U64(uint64(n)) })
		c.Overlap.Encode(e)
	})
	e.End(m)
}

// Decode reads what Encode has written; a set that breaks the rules, as far as
// they can be told without the head, is an error.
func (s *SnapSet) Decode(d *wire.Decoder) {
	env := d.Begin("SnapSet", snapSetVersion)
	s.Seq = object.SnapID(d.U64())
	s.Clones = wire.DecodeSlice(d, 24, func() (c Clone) {
		c.ID = object.SnapID(d.U64())
		c.Size = d.U64()
		c.Snaps = wire.DecodeSlice(d, 8, func() object.SnapID { return object.SnapID(d.U64()) })
		c.Overlap.Decode(d)
		return c
	})
	if d.Err() == nil {
		if err := s.check(1<<64 - 1); err != nil {
			d.Fail(fmt.Errorf("%w: %w", err, errno.EIO))
		}
	}
	d.End(env)
}
