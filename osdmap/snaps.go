package osdmap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// SnapRange is a run of snapshot ids.
type SnapRange struct {
	Begin  object.SnapID
	Length uint64
}

// SnapSet is a set of snapshot ids as ascending runs that neither overlap nor
// touch (interval_set<snapid_t>). Its methods do not change it.
type SnapSet []SnapRange

// NewSnapSet returns the set of the given ids.
func NewSnapSet(ids ...object.SnapID) SnapSet {
	var s SnapSet
	for _, id := range ids {
		s = s.Union(SnapSet{{id, 1}})
	}
	return s
}

// Contains reports whether id is in the set.
func (s SnapSet) Contains(id object.SnapID) bool {
	i, found := slices.BinarySearchFunc(s, id, func(r SnapRange, id object.SnapID) int {
		switch {
		case id < r.Begin:
			return 1
		case uint64(id-r.Begin) >= r.Length:
			return -1
		}
		return 0
	})
	return found && i < len(s)
}

// Size is the number of ids.
func (s SnapSet) Size() (n uint64) {
	for _, r := range s {
		n += r.Length
	}
	return n
}

// Union returns the ids of either set.
func (s SnapSet) Union(t SnapSet) SnapSet {
	all := slices.Concat(s, t)
	slices.SortFunc(all, func(a, b SnapRange) int {
		switch {
		case a.Begin < b.Begin:
			return -1
		case a.Begin > b.Begin:
			return 1
		}
		return 0
	})
	var u SnapSet
	for _, r := range all {
		if n := len(u); n > 0 && uint64(r.Begin) <= u[n-1].end() {
			u[n-1].Length = max(u[n-1].end(), r.end()) - uint64(u[n-1].Begin)
			continue
		}
		u = append(u, r)
	}
	return u
}

// Intersect returns the ids that are in both sets.
func (s SnapSet) Intersect(t SnapSet) SnapSet {
	var u SnapSet
	for i, j := 0, 0; i < len(s) && j < len(t); {
		if lo, hi := max(s[i].Begin, t[j].Begin), min(s[i].end(), t[j].end()); uint64(lo) < hi {
			u = append(u, SnapRange{lo, hi - uint64(lo)})
		}
		if s[i].end() < t[j].end() {
			i++
		} else {
			j++
		}
	}
	return u
}

// First returns the set of the n smallest ids.
func (s SnapSet) First(n uint64) SnapSet {
	for i, r := range s {
		if r.Length >= n {
			u := slices.Clone(s[:i])
			if n > 0 {
				u = append(u, SnapRange{r.Begin, n})
			}
			return u
		}
		n -= r.Length
	}
	return s
}

// Subtract returns the ids of s that are not in t.
func (s SnapSet) Subtract(t SnapSet) SnapSet {
	var u SnapSet
	first := 0 // of t that can matter
	for _, r := range s {
		for first < len(t) && t[first].end() <= uint64(r.Begin) {
			first++
		}
		for _, x := range t[first:] {
			if uint64(x.Begin) >= r.end() {
				break
			}
			if x.Begin > r.Begin {
				u = append(u, SnapRange{r.Begin, uint64(x.Begin - r.Begin)})
			}
			end := r.end()
			r.Begin = object.SnapID(min(x.end(), end))
			r.Length = end - uint64(r.Begin)
		}
		if r.Length > 0 {
			u = append(u, r)
		}
	}
	return u
}

func (r SnapRange) end() uint64 { return uint64(r.Begin) + r.Length }

// String is Ceph's form: [1~1,4~2], in hex.
func (s SnapSet) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, r := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%x~%x", uint64(r.Begin), r.Length)
	}
	b.WriteByte(']')
	return b.String()
}

func (s SnapSet) Encode(e *wire.Encoder) {
	wire.EncodeSlice(e, s, func(r SnapRange) {
		e.U64(uint64(r.Begin))
		e.U64(r.Length)
	})
}

func (s *SnapSet) Decode(d *wire.Decoder) {
	last := uint64(0)
	*s = wire.DecodeSlice(d, 16, func() SnapRange {
		r := SnapRange{object.SnapID(d.U64()), d.U64()}
		if d.Err() == nil && (r.Length == 0 || r.end() < uint64(r.Begin) || uint64(r.Begin) < last) {
			d.Failf("snapshots %d~%d after %d", r.Begin, r.Length, last)
		}
		last = r.end()
		return r
	})
}
