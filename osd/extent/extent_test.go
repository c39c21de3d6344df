package extent

import (
	"testing"

	"github.com/pulpo-storage/pulpo/wire"
	"pgregory.net/rapid"
)

// byteSet is a set of bytes as simply as it can be said.
type byteSet [64]bool

func (b *byteSet) add(r Set) *byteSet {
	for _, s := range r {
		for i := s.Off; i < s.End; i++ {
			b[i] = true
		}
	}
	return b
}

// genSet draws a set by adding spans to it.
func genSet(t *rapid.T, name string) (r Set, b byteSet) {
	for range rapid.IntRange(0, 6).Draw(t, name) {
		off := rapid.Uint64Range(0, 50).Draw(t, "off")
		n := rapid.Uint64Range(0, 13).Draw(t, "len")
		r = r.Union(Of(off, n))
		b.add(Of(off, n))
	}
	return r, b
}

func TestSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, a := genSet(t, "r")
		s, b := genSet(t, "s")
		for _, c := range []struct {
			name string
			got  Set
			in   func(a, b bool) bool
		}{
			{"r", r, func(a, _ bool) bool { return a }},
			{"s", s, func(_, b bool) bool { return b }},
			{"union", r.Union(s), func(a, b bool) bool { return a || b }},
			{"intersect", r.Intersect(s), func(a, b bool) bool { return a && b }},
			{"subtract", r.Subtract(s), func(a, b bool) bool { return a && !b }},
		} {
			var got, want byteSet
			got.add(c.got)
			n := uint64(0)
			for i := range want {
				if want[i] = c.in(a[i], b[i]); want[i] {
					n++
				}
			}
			if got != want || c.got.Size() != n {
				t.Fatalf("%s of %v and %v: %v, of %d bytes", c.name, r, s, c.got, c.got.Size())
			}
			// What is sound can be read back, and nothing else.
			var again Set
			if err := wire.Unmarshal(wire.Marshal(c.got), &again); err != nil || again.String() != c.got.String() {
				t.Fatalf("%v became %v, %v", c.got, again, err)
			}
		}
	})
}

func TestSetRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []Set{{{4, 4}}, {{4, 8}, {8, 9}}, {{4, 8}, {1, 2}}, {{4, 3}}} {
		var r Set
		if err := wire.Unmarshal(wire.Marshal(bad), &r); err == nil {
			t.Errorf("%v was read as %v", bad, r)
		}
	}
}
