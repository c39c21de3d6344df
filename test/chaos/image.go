package chaos

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

const (
	imageOrder = 16 // objects of 64 KiB, so that an image has many
	imagePiece = 1 << imageOrder
	imageMost  = 24 * imagePiece
)

// Disk is all that can be seen of an image. What it holds is never changed, only
// replaced.
type Disk struct {
	Data  []byte
	Snaps []SnapState // in the order in which they were taken
	// parent names the image that it is a clone of; empty once it is flattened.
	// It cannot be seen, but says what may be asked for.
	parent string
}

// SnapState is a snapshot of an image.
type SnapState struct {
	Name string
	Data []byte
}

func (d *Disk) find(snap string) int {
	return slices.IndexFunc(d.Snaps, func(s SnapState) bool { return s.Name == snap })
}

// Disks are images by their names.
type Disks map[string]*Disk

// DiskOp is one operation on an image, as testdata/images.py takes it.
type DiskOp struct {
	Do    string `json:"do"`
	Image string `json:"image"`
	Snap  string `json:"snap,omitempty"`
	Child string `json:"child,omitempty"`
	Off   int    `json:"off"`
	Len   int    `json:"len"`
	Stamp string `json:"stamp,omitempty"` // written again and again
	Order int    `json:"order"`
}

func (o *DiskOp) String() string {
	switch o.Do {
	case "write", "discard":
		return fmt.Sprintf("%s %s %d+%d %s", o.Do, o.Image, o.Off, o.Len, o.Stamp)
	case "create", "resize":
		return fmt.Sprintf("%s %s to %d", o.Do, o.Image, o.Len)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", o.Do, o.Image, o.Snap, o.Child))
}

// apply is what an operation does; the images before it stay as they were.
func (o *DiskOp) apply(before Disks) Disks {
	after := maps.Clone(before)
	d := new(Disk)
	if old := before[o.Image]; old != nil {
		*d = *old
	}
	after[o.Image] = d
	switch o.Do {
	case "create":
		d.Data = make([]byte, o.Len)
	case "write":
		d.Data = bytes.Clone(d.Data)
		copy(d.Data[o.Off:o.Off+o.Len], bytes.Repeat([]byte(o.Stamp), o.Len/len(o.Stamp)+1))
	case "discard":
		d.Data = bytes.Clone(d.Data)
		clear(d.Data[o.Off : o.Off+o.Len])
	case "resize":
		d.Data = padded(d.Data, 0, o.Len)
	case "snapshot":
		d.Snaps = append(slices.Clip(d.Snaps), SnapState{o.Snap, d.Data})
	case "remove snapshot":
		d.Snaps = slices.DeleteFunc(slices.Clone(d.Snaps), func(s SnapState) bool { return s.Name == o.Snap })
	case "roll back":
		d.Data = d.Snaps[d.find(o.Snap)].Data
	case "clone":
		after[o.Child] = &Disk{Data: d.Snaps[d.find(o.Snap)].Data, parent: o.Image}
	case "flatten":
		d.parent = ""
	case "remove":
		delete(after, o.Image)
	default:
		panic("BUG: no operation " + o.Do)
	}
	return after
}

// padded is data from off to end, with zeros after what there is.
func padded(data []byte, off, end int) []byte {
	b := make([]byte, end-off)
	copy(b, data[min(off, len(data)):min(end, len(data))])
	return b
}

// drawDisk chooses the next operation on an image and its clone. What reaches
// over several objects is done object by object; writes and discards stay in one,
// and so are done as a whole or not at all.
//
// A client that may die does not flatten. librbd 16 leaves out of it what its
// object map says is copied, which the map says before it is so, and tells the
// parent that the clone is gone before the clone has forgotten the parent: what a
// death leaves is not whole, on any cluster.
func drawDisk(r *rand.Rand, disks Disks, image string, seq int, flattens bool) *DiskOp {
	child := image + "-child"
	o := &DiskOp{Image: image, Order: imageOrder}
	d := disks[image]
	if d == nil {
		o.Do, o.Len = "create", imageMost
		return o
	}
	c := disks[child]
	if c != nil && r.IntN(3) == 0 {
		o.Image = child
		switch n := r.IntN(20); {
		case n < 2 && len(c.Snaps) == 0:
			o.Do = "remove"
			return o
		case n < 4 && c.parent != "" && flattens:
			o.Do = "flatten"
			return o
		}
		d = c
	}
	switch n := r.IntN(100); {
	case n < 10 && len(d.Snaps) < 6:
		o.Do, o.Snap = "snapshot", fmt.Sprintf("s%d", seq)
		return o
	case n < 18 && len(d.Snaps) > 0:
		o.Do, o.Snap = "remove snapshot", d.Snaps[r.IntN(len(d.Snaps))].Name
		return o
	case n < 21 && len(d.Snaps) > 0:
		o.Do, o.Snap = "roll back", d.Snaps[r.IntN(len(d.Snaps))].Name
		return o
	case n < 28 && len(d.Snaps) > 0 && o.Image == image && c == nil:
		o.Do, o.Snap, o.Child = "clone", d.Snaps[r.IntN(len(d.Snaps))].Name, child
		return o
	case n < 34:
		o.Do, o.Len = "resize", 1+r.IntN(imageMost)
		return o
	case n < 37 && c == nil && len(d.Snaps) == 0:
		o.Do = "remove"
		return o
	case n < 48 && len(d.Data) >= block:
		// Whole blocks: librbd leaves out what is less.
		at := r.IntN(len(d.Data) / block)
		o.Do, o.Off = "discard", at*block
		room := min(imagePiece-o.Off%imagePiece, len(d.Data)-o.Off) / block
		o.Len = (1 + r.IntN(room)) * block
		return o
	}
	o.Do, o.Stamp = "write", fmt.Sprintf("%08x", seq)
	o.Off = offset(r, len(d.Data)-1)
	o.Len = min(1+r.IntN(imagePiece), imagePiece-o.Off%imagePiece, len(d.Data)-o.Off)
	return o
}

// compareDisk compares an image with what it may be: before, or after the
// operation in doubt; either is nil if it may not exist then. A snapshot is
// there as a whole or not at all, and of the image each object is as it was
// before or after.
func compareDisk(before, after, got *Disk) error {
	if got == nil {
		if before != nil && after != nil {
			return fmt.Errorf("does not exist")
		}
		return nil
	}
	if before == nil {
		before = after
	}
	if after == nil {
		after = before
	}
	if before == nil {
		return fmt.Errorf("exists")
	}
	var bad error
	fits := func(d *Disk) bool {
		if len(d.Snaps) != len(got.Snaps) {
			bad = fmt.Errorf("snapshots are %v, want %v", names(got), names(d))
			return false
		}
		for i, s := range d.Snaps {
			g := got.Snaps[i]
			if g.Name != s.Name {
				bad = fmt.Errorf("snapshots are %v, want %v", names(got), names(d))
				return false
			}
			if !bytes.Equal(g.Data, s.Data) {
				bad = fmt.Errorf("snapshot %s: %s", s.Name, difference(s.Data, g.Data))
				return false
			}
		}
		return true
	}
	if !fits(after) && !fits(before) {
		return bad
	}
	if n := len(got.Data); n != len(before.Data) && n != len(after.Data) {
		return fmt.Errorf("size is %d, want %d or %d", n, len(before.Data), len(after.Data))
	}
	for off := 0; off < len(got.Data); off += imagePiece {
		end := min(off+imagePiece, len(got.Data))
		b, a := padded(before.Data, off, end), padded(after.Data, off, end)
		if g := got.Data[off:end]; !bytes.Equal(g, b) && !bytes.Equal(g, a) {
			return fmt.Errorf("object %d: before, %s; after, %s", off/imagePiece, difference(b, g), difference(a, g))
		}
	}
	return nil
}

func names(d *Disk) (out []string) {
	for _, s := range d.Snaps {
		out = append(out, s.Name)
	}
	return out
}

// difference says where data differs first and last.
func difference(want, got []byte) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d bytes, want %d", len(got), len(want))
	}
	first, last := -1, -1
	for i := range want {
		if want[i] != got[i] {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return "equal"
	}
	return fmt.Sprintf("bytes %d to %d differ: %q, want %q", first, last,
		got[first:min(first+16, last+1)], want[first:min(first+16, last+1)])
}
