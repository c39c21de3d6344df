// Package buffer holds payload bytes in counted blocks, so that they travel
// from a socket to the store and back without being copied (Ceph's bufferlist
// and buffer::raw).
//
// A [Ref] is a view of a block. Once a Ref has been shared nobody writes to its
// bytes. Whoever keeps a Ref beyond the call that handed it over calls Retain;
// whoever retained (or allocated) calls Release, once. A Release that is
// forgotten costs a little garbage collection, never memory; a Release too
// many panics. In comments, "borrows" means the function is done with the bytes
// when it returns, "keeps" means that it takes over the caller's reference.
//
// Blocks of up to [MaxPooled] bytes are recycled through size classes.
//
// No compatibility promise.
package buffer

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	minClass = 9  // 512 bytes
	maxClass = 23 // 8 MiB

	// MaxPooled is the size of the largest block that is recycled.
	MaxPooled = 1 << maxClass
)

type block struct {
	data []byte
	refs atomic.Int32
}

var (
	pools [maxClass + 1]sync.Pool
	held  atomic.Int64
)

// Held is the number of bytes in blocks that are allocated and not released.
func Held() int64 { return held.Load() }

// Ref is a counted view of bytes. The zero value is empty.
type Ref struct {
	b    []byte
	blk  *block   // nil: the garbage collector owns the bytes
	sums []uint32 // see WithSums
}

// Alloc returns n bytes of undefined content with one reference. The caller
// may write to them until it shares the Ref.
func Alloc(n int) Ref {
	if n == 0 {
		return Ref{}
	}
	class := max(bits.Len(uint(n-1)), minClass)
	if class > maxClass {
		return Ref{b: make([]byte, n)}
	}
	blk, _ := pools[class].Get().(*block)
	if blk == nil {
		blk = &block{data: make([]byte, 1<<class)}
	}
	blk.refs.Store(1)
	held.Add(int64(len(blk.data)))
	return Ref{b: blk.data[:n], blk: blk}
}

// Wrap makes a Ref of bytes that the garbage collector owns. Nobody may write
// to them afterwards.
func Wrap(b []byte) Ref { return Ref{b: b} }

// Copy returns a Ref with a copy of b.
func Copy(b []byte) Ref {
	r := Alloc(len(b))
	copy(r.b, b)
	return r
}

// Bytes returns the bytes, borrowed from r.
func (r Ref) Bytes() []byte { return r.b }

// Len is the number of bytes.
func (r Ref) Len() int { return len(r.b) }

// Slice returns a view of bytes i to j that borrows the reference of r.
func (r Ref) Slice(i, j int) Ref {
	s := Ref{b: r.b[i:j:j], blk: r.blk}
	if r.sums != nil && i%SumPiece == 0 {
		at := i / SumPiece
		s.sums = r.sums[at : at+len(s.b)/SumPiece]
	}
	return s
}

// Retain adds a reference and returns r.
func (r Ref) Retain() Ref {
	if r.blk != nil && r.blk.refs.Add(1) <= 1 {
		panic("BUG: buffer retained after its last release")
	}
	return r
}

// Release drops a reference; the bytes must not be used afterwards.
func (r Ref) Release() {
	if r.blk == nil {
		return
	}
	switch n := r.blk.refs.Add(-1); {
	case n == 0:
		held.Add(-int64(len(r.blk.data)))
		pools[bits.Len(uint(len(r.blk.data)-1))].Put(r.blk)
	case n < 0:
		panic("BUG: buffer released more often than retained")
	}
}

// List is a sequence of views that reads as one (bufferlist).
type List []Ref

// ListOf wraps bytes that the garbage collector owns; empty bytes give an
// empty list.
func ListOf(b []byte) List {
	if len(b) == 0 {
		return nil
	}
	return List{Wrap(b)}
}

// Len is the number of bytes.
func (l List) Len() int {
	n := 0
	for _, r := range l {
		n += len(r.b)
	}
	return n
}

// Bytes returns the content as one slice: that of the only part without a copy,
// else a fresh one.
func (l List) Bytes() []byte {
	switch len(l) {
	case 0:
		return nil
	case 1:
		return l[0].b
	}
	b := make([]byte, 0, l.Len())
	for _, r := range l {
		b = append(b, r.b...)
	}
	return b
}

// Slice returns bytes i to j, borrowing the references of l.
func (l List) Slice(i, j int) List {
	var out List
	for _, r := range l {
		n := len(r.b)
		lo, hi := max(i, 0), min(j, n)
		if lo < hi {
			out = append(out, r.Slice(lo, hi))
		}
		i -= n
		j -= n
		if j <= 0 {
			break
		}
	}
	return out
}

// Retain adds a reference to each part and returns l.
func (l List) Retain() List {
	for _, r := range l {
		r.Retain()
	}
	return l
}

// Release drops a reference of each part.
func (l List) Release() {
	for _, r := range l {
		r.Release()
	}
}
