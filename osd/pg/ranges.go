package pg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/wire"
)

// span is the bytes [off, end) of an object.
type span struct{ off, end uint64 }

// ranges is a set of bytes of an object (interval_set<uint64_t>): spans in
// order, none empty, none touching the next. Its methods leave it as it is.
type ranges []span

// rangeOf returns the bytes [off, off+n).
func rangeOf(off, n uint64) ranges {
	if n == 0 {
		return nil
	}
	return ranges{{off, off + n}}
}

// size is the number of bytes.
func (r ranges) size() (n uint64) {
	for _, s := range r {
		n += s.end - s.off
	}
	return n
}

// union returns the bytes of either set.
func (r ranges) union(t ranges) ranges {
	if len(t) == 0 {
		return r
	}
	all := slices.Concat(r, t)
	slices.SortFunc(all, func(a, b span) int {
		switch {
		case a.off < b.off:
			return -1
		case a.off > b.off:
			return 1
		}
		return 0
	})
	u := all[:1]
	for _, s := range all[1:] {
		if last := &u[len(u)-1]; s.off <= last.end {
			last.end = max(last.end, s.end)
		} else {
			u = append(u, s)
		}
	}
	return u
}

// intersect returns the bytes that are in both.
func (r ranges) intersect(t ranges) (u ranges) {
	for i, j := 0, 0; i < len(r) && j < len(t); {
		if lo, hi := max(r[i].off, t[j].off), min(r[i].end, t[j].end); lo < hi {
			u = append(u, span{lo, hi})
		}
		if r[i].end < t[j].end {
			i++
		} else {
			j++
		}
	}
	return u
}

// subtract returns the bytes of r that are not in t.
func (r ranges) subtract(t ranges) (u ranges) {
	j := 0
	for _, s := range r {
		for ; j < len(t) && t[j].end <= s.off; j++ {
		}
		for k := j; k < len(t) && t[k].off < s.end; k++ {
			if t[k].off > s.off {
				u = append(u, span{s.off, t[k].off})
			}
			s.off = min(t[k].end, s.end)
		}
		if s.off < s.end {
			u = append(u, s)
		}
	}
	return u
}

// String is Ceph's form: [0~10,20~5], in hex.
func (r ranges) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range r {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%x~%x", s.off, s.end-s.off)
	}
	b.WriteByte(']')
	return b.String()
}

// Encode writes offsets and lengths.
func (r ranges) Encode(e *wire.Encoder) {
	wire.EncodeSlice(e, r, func(s span) { e.U64(s.off); e.U64(s.end - s.off) })
}

func (r *ranges) Decode(d *wire.Decoder) {
	next := uint64(0) // where a span may begin
	*r = wire.DecodeSlice(d, 16, func() span {
		off, n := d.U64(), d.U64()
		if d.Err() == nil && (n == 0 || off+n < off || off < next) {
			d.Failf("bytes %d~%d after %d", off, n, next)
		}
		next = off + n + 1
		return span{off, off + n}
	})
}
