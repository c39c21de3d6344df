package rbd

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/rados/striper"
)

// TestRanges compares with sets of numbers.
func TestRanges(t *testing.T) {
	t.Parallel()
	const limit = 40
	type set [limit]bool
	draw := func(t *rapid.T, name string) (out ranges, s set) {
		for range rapid.IntRange(0, 5).Draw(t, name) {
			off := rapid.Uint64Range(0, limit-1).Draw(t, "off")
			n := rapid.Uint64Range(0, limit-off).Draw(t, "len")
			out = out.union(span(off, n))
			for i := range n {
				s[off+i] = true
			}
		}
		return out, s
	}
	rapid.Check(t, func(t *rapid.T) {
		a, as := draw(t, "a")
		b, bs := draw(t, "b")
		for _, c := range []struct {
			what string
			got  ranges
			want func(x, y bool) bool
		}{
			{"union", a.union(b), func(x, y bool) bool { return x || y }},
			{"without", a.without(b), func(x, y bool) bool { return x && !y }},
			{"within", a.within(b), func(x, y bool) bool { return x && y }},
		} {
			var got set
			last := striper.Range{}
			for i, r := range c.got {
				if r.Length == 0 || i > 0 && r.Offset <= last.End() {
					t.Fatalf("%s of %v and %v: %v is not in order", c.what, a, b, c.got)
				}
				last = r
				for k := range r.Length {
					got[r.Offset+k] = true
				}
			}
			for i := range got {
				if got[i] != c.want(as[i], bs[i]) {
					t.Fatalf("%s of %v and %v: %v", c.what, a, b, c.got)
				}
			}
		}
	})
}
