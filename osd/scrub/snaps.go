package scrub

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Sums are counts of the objects of a group, as the group keeps them too.
type Sums struct {
	Objects   int64 // clones and whiteouts too
	Clones    int64
	Whiteouts int64
	Omap      int64 // objects with one
	Bytes     int64 // of a clone only what it has alone
}

// Checker checks what objects say of each other (scrub_snapshot_metadata): each
// clone must be one that its head knows, and as large as the head says, and no
// clone that the head knows may be missing. It is given the right copies of the
// group's objects, chunk by chunk. Clones come before their head; a chunk may end
// between two of them, so those of the last head wait for it.
type Checker struct {
	format Format
	label  string // "deep-scrub 1.0": begins what is said

	Sums    Sums
	Shallow int // errors
	Bad     []BadSnaps
	Lines   []Line

	clones []Object // whose head has not come; ascending
}

// Line is for the cluster's log.
type Line struct {
	Info bool // else it is an error
	Text string
}

// BadSnaps is a head, or a clone, with what is wrong with it (librados
// inconsistent_snapset_t).
type BadSnaps struct {
	ID      object.ID
	Errors  SnapErrors
	Extra   []object.SnapID // clones that the head does not know
	Missing []object.SnapID // clones that the head knows and that are not there
	SnapSet []byte          // as Ceph would have it
}

// NewChecker begins a check. Mode is "scrub", "deep-scrub" or "repair".
func NewChecker(mode string, pg object.SPG, f Format) *Checker {
	return &Checker{format: f, label: fmt.Sprintf("%s %v", mode, pg)}
}

// Add takes in the next objects; the last call has last set.
func (c *Checker) Add(objects []Object, last bool) {
	for _, o := range objects {
		if n := len(c.clones); n > 0 && c.clones[0].ID.Head() != o.ID.Head() {
			c.check(nil)
		}
		if o.ID.IsHead() {
			c.check(&o)
			continue
		}
		// Of a clone that waits, its info is all that counts.
		info, ok := o.Attrs[AttrInfo]
		if o.Attrs = nil; ok {
			o.Attrs = map[string][]byte{AttrInfo: info}
		}
		c.clones = append(c.clones, o)
	}
	if last && len(c.clones) > 0 {
		c.check(nil)
	}
}

func (c *Checker) errorf(id object.ID, format string, args ...any) {
	c.Shallow++
	c.Lines = append(c.Lines, Line{Text: fmt.Sprintf("%s %v : ", c.label, id) + fmt.Sprintf(format, args...)})
}

// check settles the clones that wait, with their head if there is one. As in Ceph
// it goes from the head to the oldest clone.
func (c *Checker) check(head *Object) {
	clones := c.clones
	c.clones = nil
	var bad BadSnaps
	var known SnapSet
	readable := true
	if head != nil {
		bad.ID = head.ID
		info, ok := c.object(head, &bad)
		if ok {
			c.Sums.Bytes += int64(info.Size)
		}
		c.Sums.Objects++
		if raw, has := head.Attrs[AttrSnaps]; has {
			var err error
			if known, err = c.format.SnapSet(raw); err != nil {
				c.errorf(head.ID, "can't decode 'snapset' attr %v", err)
				bad.Errors |= SnapSetCorrupted
				readable = false
			} else {
				bad.SnapSet = c.format.ForClients(head.ID, head.Attrs)[ClientSnaps]
			}
		} else if len(clones) > 0 {
			c.errorf(head.ID, "no '%s' attr", ClientSnaps)
			bad.Errors |= SnapSetMissing
			readable = false
		}
		if len(known.Clones) > 0 && known.Seq == 0 {
			c.errorf(head.ID, "snaps.seq not set")
			bad.Errors |= SnapSetInconsistent
		}
	}
	before, anyBad := len(c.Bad), false
	expect := slices.Clone(known.Clones)
	missing := 0
	miss := func(k Clone) {
		missing++
		c.errorf(head.ID, "expected clone %v {} missing", head.ID.At(k.ID)) // the braces are Ceph's
		bad.Errors |= SnapCloneMissing
		bad.Missing = append(bad.Missing, k.ID)
	}
	for _, o := range slices.Backward(clones) {
		own := BadSnaps{ID: o.ID}
		info, ok := c.object(&o, &own)
		for n := len(expect); n > 0 && expect[n-1].ID > o.ID.Snap; n-- {
			miss(expect[n-1])
			expect = expect[:n-1]
		}
		n := len(expect)
		if n == 0 || expect[n-1].ID != o.ID.Snap {
			if !readable {
				c.errorf(o.ID, "clone ignored due to missing snapset")
			} else {
				c.errorf(o.ID, "is an unexpected clone")
			}
			own.Errors |= SnapHeadless
			c.Bad = append(c.Bad, own)
			anyBad = true
			if head != nil {
				bad.Errors |= SnapExtraClones
				bad.Extra = append(bad.Extra, o.ID.Snap)
			}
			continue
		}
		c.Sums.Objects++
		c.Sums.Clones++
		k := expect[n-1]
		c.Sums.Bytes += k.Alone
		if ok && info.Size != k.Size {
			c.errorf(o.ID, "size %d != clone_size %d", info.Size, k.Size)
			own.Errors |= SnapSizeMismatch
		}
		expect = expect[:n-1]
		if own.Errors != 0 {
			c.Bad = append(c.Bad, own)
			anyBad = true
		}
	}
	for _, k := range slices.Backward(expect) {
		miss(k)
	}
	if missing > 0 {
		c.Lines = append(c.Lines, Line{Info: true, Text: fmt.Sprintf("%s %v : %d missing clone(s)", c.label, head.ID, missing)})
	}
	if head != nil && (bad.Errors != 0 || anyBad) {
		c.Bad = slices.Insert(c.Bad, before, bad)
	}
}

// object checks an object for itself, and counts what its info says.
func (c *Checker) object(o *Object, bad *BadSnaps) (Info, bool) {
	raw, ok := o.Attrs[AttrInfo]
	if !ok {
		c.errorf(o.ID, "no '%s' attr", ClientInfo)
		bad.Errors |= SnapInfoMissing
		return Info{}, false
	}
	info, err := c.format.Info(raw)
	if err != nil {
		c.errorf(o.ID, "can't decode '%s' attr %v", ClientInfo, err)
		bad.Errors |= SnapInfoCorrupted | SnapInfoMissing
		return Info{}, false
	}
	if info.Size != o.Size {
		c.errorf(o.ID, "on disk size (%d) does not match object info size (%d) adjusted for ondisk to (%d)", o.Size, info.Size, info.Size)
		bad.Errors |= SnapSizeMismatch
	}
	if info.Whiteout {
		c.Sums.Whiteouts++
	}
	if info.Omap {
		c.Sums.Omap++
	}
	return info, true
}

// Encode writes it as librados reads it.
func (b *BadSnaps) Encode(e *wire.Encoder) {
	snaps := func(l []object.SnapID) { wire.EncodeSlice(e, l, func(s object.SnapID) { e.U64(uint64(s)) }) }
	m := e.Begin(2, 1)
	e.U64(uint64(b.Errors))
	encodeName(e, b.ID)
	snaps(b.Extra)
	snaps(b.Missing)
	e.Blob(b.SnapSet)
	e.End(m)
}
