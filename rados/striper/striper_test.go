package striper

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/errno"
)

// place finds one byte the slow way: by counting units.
func place(l Layout, off uint64) (object, at uint64) {
	unit := uint64(0)
	for set := uint64(0); ; set++ {
		for row := uint64(0); row < l.ObjectSize/l.StripeUnit; row++ {
			for column := uint64(0); column < l.StripeCount; column++ {
				if unit == off/l.StripeUnit {
					return set*l.StripeCount + column, row*l.StripeUnit + off%l.StripeUnit
				}
				unit++
			}
		}
	}
}

func drawLayout(t *rapid.T) Layout {
	unit := rapid.Uint64Range(1, 7).Draw(t, "unit")
	return Layout{unit * rapid.Uint64Range(1, 4).Draw(t, "units per object"), unit, rapid.Uint64Range(1, 5).Draw(t, "count")}
}

func TestAgainstCounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		r := Range{rapid.Uint64Range(0, 300).Draw(t, "off"), rapid.Uint64Range(0, 200).Draw(t, "len")}
		type pos struct{ object, at uint64 }
		seen := map[uint64]pos{} // by buffer offset
		ends := map[pos]bool{}
		prev := uint64(0)
		for i, x := range l.Extents(r) {
			n := uint64(0)
			for j, b := range x.Buffer {
				if j > 0 && b.Offset <= x.Buffer[j-1].End() {
					t.Fatalf("ranges %v of %v are not apart", x.Buffer, x)
				}
				for k := range b.Length {
					seen[b.Offset+k] = pos{x.Object, x.Offset + n + k}
				}
				n += b.Length
			}
			if n != x.Length || n == 0 {
				t.Fatalf("%v: buffer of %d bytes", x, n)
			}
			if i > 0 && x.Buffer[0].Offset <= prev {
				t.Fatalf("%v out of order", x)
			}
			prev = x.Buffer[0].Offset
			if ends[pos{x.Object, x.Offset}] {
				t.Fatalf("%v continues another extent of its object", x)
			}
			ends[pos{x.Object, x.End()}] = true
			back := uint64(0)
			for _, m := range l.Image(x.Object, x.Range) {
				for k := range m.Length {
					if o, at := place(l, m.Offset+k); o != x.Object || at != x.Offset+back {
						t.Fatalf("byte %d of object %d is said to be %d", x.Offset+back, x.Object, m.Offset+k)
					}
					back++
				}
			}
			if back != x.Length {
				t.Fatalf("%v: %d bytes of the image", x, back)
			}
		}
		if uint64(len(seen)) != r.Length {
			t.Fatalf("%d bytes mapped of %d", len(seen), r.Length)
		}
		for k, got := range seen {
			if o, at := place(l, r.Offset+k); got != (pos{o, at}) {
				t.Fatalf("byte %d: %v, want %d at %d", r.Offset+k, got, o, at)
			}
		}
	})
}

func TestSizes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLayout(t)
		size := rapid.Uint64Range(0, 400).Draw(t, "size")
		objects, lengths := uint64(0), map[uint64]uint64{}
		for off := range size {
			o, at := place(l, off)
			objects = max(objects, o+1)
			lengths[o] = max(lengths[o], at+1)
		}
		if got := l.Objects(size); got != objects {
			t.Fatalf("%d objects, want %d", got, objects)
		}
		for o := range objects + 3 {
			if got := l.Length(o, size); got != lengths[o] {
				t.Fatalf("object %d has %d bytes, want %d", o, got, lengths[o])
			}
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, l := range []Layout{{}, {4, 0, 1}, {4, 4, 0}, {4, 3, 1}, {0, 4, 1}, {1 << 40, 1, math.MaxUint64}} {
		if err := l.Check(); !errors.Is(err, errno.EINVAL) {
			t.Errorf("%v: %v", l, err)
		}
	}
	if l := Plain(4 << 20); l.Check() != nil || l.Striped() {
		t.Error("plain layout is refused or striped")
	}
}
