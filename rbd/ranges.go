package rbd

import (
	"slices"

	"github.com/pulpo-storage/pulpo/rados/striper"
)

// ranges is a set of bytes: ranges in ascending order that do not touch
// (interval_set).
type ranges []striper.Range

func span(off, n uint64) ranges {
	if n == 0 {
		return nil
	}
	return ranges{{Offset: off, Length: n}}
}

// union is what is in either.
func (a ranges) union(b ranges) ranges {
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, func(x, y striper.Range) int {
		switch {
		case x.Offset < y.Offset:
			return -1
		case x.Offset > y.Offset:
			return 1
		}
		return 0
	})
	var out ranges
	for _, r := range all {
		if n := len(out); n > 0 && r.Offset <= out[n-1].End() {
			out[n-1].Length = max(out[n-1].End(), r.End()) - out[n-1].Offset
		} else if r.Length > 0 {
			out = append(out, r)
		}
	}
	return out
}

// without is what is in a and not in b.
func (a ranges) without(b ranges) ranges {
	var out ranges
	for _, r := range a {
		for len(b) > 0 && b[0].End() <= r.Offset {
			b = b[1:]
		}
		for _, x := range b {
			if x.Offset >= r.End() {
				break
			}
			if x.Offset > r.Offset {
				out = append(out, striper.Range{Offset: r.Offset, Length: x.Offset - r.Offset})
			}
			if x.End() >= r.End() {
				r.Length = 0
				break
			}
			r = striper.Range{Offset: x.End(), Length: r.End() - x.End()}
		}
		if r.Length > 0 {
			out = append(out, r)
		}
	}
	return out
}

// within is what is in both.
func (a ranges) within(b ranges) ranges { return a.without(a.without(b)) }
