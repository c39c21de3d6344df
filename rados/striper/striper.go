// Package striper maps a long run of bytes (an image, a file) onto objects of
// limited size, and back (Striper, file_layout_t).
//
// Bytes are dealt out in units of StripeUnit, round robin over StripeCount
// objects; when these are full at ObjectSize bytes each, the next set of
// StripeCount objects follows. With two units per object and three objects in a
// set, units are numbered like this:
//
//	object     0    1    2  |   3    4    5
//	           u0   u1   u2 |   u6   u7   u8
//	           u3   u4   u5 |   u9   u10  u11
//
// The usual layout has one object per set and a unit as long as an object, which
// just cuts the run in pieces. All here is arithmetic.
//
// No compatibility promise.
package striper

import (
	"fmt"
	"math"

	"github.com/pulpo-storage/pulpo/errno"
)

// Layout says how bytes are dealt out. All values are in bytes and above zero,
// and ObjectSize is a multiple of StripeUnit (Check).
type Layout struct {
	ObjectSize, StripeUnit, StripeCount uint64
}

// Plain is the layout of pieces of a size, without striping.
func Plain(objectSize uint64) Layout { return Layout{objectSize, objectSize, 1} }

// Check returns EINVAL for a layout that does not work.
func (l Layout) Check() error {
	if l.ObjectSize == 0 || l.StripeUnit == 0 || l.StripeCount == 0 || l.ObjectSize%l.StripeUnit != 0 || l.StripeCount > math.MaxUint64/l.ObjectSize {
		return fmt.Errorf("striper: objects of %d bytes, units of %d, %d in a set: %w", l.ObjectSize, l.StripeUnit, l.StripeCount, errno.EINVAL)
	}
	return nil
}

// Striped reports whether neighbouring units are in different objects.
func (l Layout) Striped() bool { return l.StripeCount > 1 }

// Range is a run of bytes of the image, or of a buffer.
type Range struct{ Offset, Length uint64 }

// End is the first byte after it.
func (r Range) End() uint64 { return r.Offset + r.Length }

// Extent is a run of bytes in an object, and where they are in the buffer that
// they are read into or written from. Without striping that is one range.
type Extent struct {
	Object uint64 // number
	Range
	Buffer []Range
}

// locate finds a byte: its object, its offset there, and how many bytes follow
// that are in the same object and neighbours of each other.
func (l Layout) locate(off uint64) (object, at, run uint64) {
	if l.StripeCount == 1 {
		return off / l.ObjectSize, off % l.ObjectSize, l.ObjectSize - off%l.ObjectSize
	}
	unit, in := off/l.StripeUnit, off%l.StripeUnit
	row, column := unit/l.StripeCount, unit%l.StripeCount
	rows := l.ObjectSize / l.StripeUnit
	return row/rows*l.StripeCount + column, row%rows*l.StripeUnit + in, l.StripeUnit - in
}

// Extents maps bytes of the image to objects. Each object whose bytes of the
// range are neighbours is there once; extents are in order of their first byte.
func (l Layout) Extents(r Range) []Extent {
	var out []Extent
	var last map[uint64]int // object to its index in out
	if l.Striped() {
		last = map[uint64]int{}
	}
	for done := uint64(0); done < r.Length; {
		object, at, run := l.locate(r.Offset + done)
		run = min(run, r.Length-done)
		piece := Range{done, run}
		done += run
		if i, ok := last[object]; ok && out[i].End() == at {
			out[i].Length += run
			out[i].Buffer = appendRange(out[i].Buffer, piece)
			continue
		}
		if last != nil {
			last[object] = len(out)
		}
		out = append(out, Extent{object, Range{at, run}, []Range{piece}})
	}
	return out
}

// Image maps bytes of an object to the image, in ascending order.
func (l Layout) Image(object uint64, r Range) []Range {
	if l.StripeCount == 1 {
		if r.Length == 0 {
			return nil
		}
		return []Range{{object*l.ObjectSize + r.Offset, r.Length}}
	}
	var out []Range
	rows := l.ObjectSize / l.StripeUnit
	set, column := object/l.StripeCount, object%l.StripeCount
	for at := r.Offset; at < r.End(); {
		row, in := at/l.StripeUnit, at%l.StripeUnit
		n := min(l.StripeUnit-in, r.End()-at)
		unit := (set*rows+row)*l.StripeCount + column
		out = appendRange(out, Range{unit*l.StripeUnit + in, n})
		at += n
	}
	return out
}

func appendRange(s []Range, r Range) []Range {
	if n := len(s); n > 0 && s[n-1].End() == r.Offset {
		s[n-1].Length += r.Length
		return s
	}
	return append(s, r)
}

// Objects is the number of objects that an image of a size has: all of a lower
// number may exist.
func (l Layout) Objects(size uint64) uint64 {
	set := l.ObjectSize * l.StripeCount
	n := size / set * l.StripeCount
	if rest := size % set; rest > 0 {
		n += min((rest+l.StripeUnit-1)/l.StripeUnit, l.StripeCount)
	}
	return n
}

// Length is how many bytes of an object an image of a size uses.
func (l Layout) Length(object, size uint64) uint64 {
	set := l.ObjectSize * l.StripeCount
	begin := object / l.StripeCount * set
	if size <= begin {
		return 0
	}
	rest, column := min(size-begin, set), object%l.StripeCount
	row := l.StripeUnit * l.StripeCount
	n := rest / row * l.StripeUnit
	if rest = rest % row; rest > column*l.StripeUnit {
		n += min(rest-column*l.StripeUnit, l.StripeUnit)
	}
	return n
}
