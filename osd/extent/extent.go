// Package extent does the arithmetic of sets of bytes of an object
// (interval_set<uint64_t>): which a write changed, which a clone shares with the
// next newer version, which must travel to another OSD.
//
// No compatibility promise.
package extent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/wire"
)

// Span is the bytes [Off, End) of an object.
type Span struct{ Off, End uint64 }

// Set is a set of bytes of an object: spans in order, none empty, none touching
// the next. Its methods leave it as it is.
type Set []Span

// Of returns the bytes [off, off+n).
func Of(off, n uint64) Set {
	if n == 0 {
		return nil
	}
	return Set{{off, off + n}}
}

// Size is the number of bytes.
func (r Set) Size() (n uint64) {
	for _, s := range r {
		n += s.End - s.Off
	}
	return n
}

// Union returns the bytes of either set.
func (r Set) Union(t Set) Set {
	if len(t) == 0 {
		return r
	}
	all := slices.Concat(r, t)
	slices.SortFunc(all, func(a, b Span) int {
		switch {
		case a.Off < b.Off:
			return -1
		case a.Off > b.Off:
			return 1
		}
		return 0
	})
	u := all[:1]
	for _, s := range all[1:] {
		if last := &u[len(u)-1]; s.Off <= last.End {
			last.End = max(last.End, s.End)
		} else {
			u = append(u, s)
		}
	}
	return u
}

// Intersect returns the bytes that are in both.
func (r Set) Intersect(t Set) (u Set) {
	for i, j := 0, 0; i < len(r) && j < len(t); {
		if lo, hi := max(r[i].Off, t[j].Off), min(r[i].End, t[j].End); lo < hi {
			u = append(u, Span{lo, hi})
		}
		if r[i].End < t[j].End {
			i++
		} else {
			j++
		}
	}
	return u
}

// Subtract returns the bytes of r that are not in t.
func (r Set) Subtract(t Set) (u Set) {
	j := 0
	for _, s := range r {
		for ; j < len(t) && t[j].End <= s.Off; j++ {
		}
		for k := j; k < len(t) && t[k].Off < s.End; k++ {
			if t[k].Off > s.Off {
				u = append(u, Span{s.Off, t[k].Off})
			}
			s.Off = min(t[k].End, s.End)
		}
		if s.Off < s.End {
			u = append(u, s)
		}
	}
	return u
}

// String is Ceph's form: [0~10,20~5], in hex.
func (r Set) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range r {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%x~%x", s.Off, s.End-s.Off)
	}
	b.WriteByte(']')
	return b.String()
}

// Encode writes offsets and lengths.
func (r Set) Encode(e *wire.Encoder) {
	wire.EncodeSlice(e, r, func(s Span) { e.U64(s.Off); e.U64(s.End - s.Off) })
}

func (r *Set) Decode(d *wire.Decoder) {
	next := uint64(0) // where a Span may begin
	*r = wire.DecodeSlice(d, 16, func() Span {
		off, n := d.U64(), d.U64()
		if d.Err() == nil && (n == 0 || off+n < off || off < next) {
			d.Failf("bytes %d~%d after %d", off, n, next)
		}
		next = off + n + 1
		return Span{off, off + n}
	})
}
