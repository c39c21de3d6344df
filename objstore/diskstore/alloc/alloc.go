// Package alloc hands out blocks of a store's data file (BlueStore's
// Allocator): a bitmap, one bit per block, with a count of free blocks per
// chunk of it so that full regions cost nothing to pass over.
//
// Blocks are handed out next-fit: the search goes on where the last one ended,
// so that what is written together lies together, and wraps at the end. A
// large request is served in few large runs if there are any.
//
// Pure data; the caller locks.
//
// No compatibility promise.
package alloc

import (
	"fmt"
	"math/bits"
)

// Run is a run of blocks.
type Run struct{ Start, Len uint64 }

// End is the block after the run.
func (r Run) End() uint64 { return r.Start + r.Len }

// ChunkBlocks is the number of blocks that a chunk of the bitmap covers.
const ChunkBlocks = 1 << 15

const chunkWords = ChunkBlocks / 64

// Bitmap is a set of blocks in use.
//
// Invariants: free[c] is the number of clear bits of chunk c; the bits from
// size on are set, so that no search finds them; total is the sum of free.
type Bitmap struct {
	words []uint64
	free  []uint32
	size  uint64
	total uint64
	next  uint64 // where to look first
}

// New returns a bitmap of size blocks, all free.
func New(size uint64) *Bitmap {
	b := &Bitmap{}
	b.Grow(size)
	return b
}

// Size is the number of blocks.
func (b *Bitmap) Size() uint64 { return b.size }

// Free is the number of free blocks.
func (b *Bitmap) Free() uint64 { return b.total }

// Chunks is the number of chunks.
func (b *Bitmap) Chunks() int { return len(b.free) }

// Grow adds free blocks at the end.
func (b *Bitmap) Grow(size uint64) {
	if size <= b.size {
		return
	}
	chunks := int((size + ChunkBlocks - 1) / ChunkBlocks)
	for len(b.free) < chunks {
		b.free = append(b.free, 0)
		for range chunkWords {
			b.words = append(b.words, ^uint64(0))
		}
	}
	old := b.size
	b.size = size
	b.clear(Run{old, size - old})
}

// Used reports whether all blocks of a run are in use.
func (b *Bitmap) Used(r Run) bool { return b.count(r) == r.Len }

// Unused reports whether all blocks of a run are free.
func (b *Bitmap) Unused(r Run) bool { return b.count(r) == 0 }

// count is the number of blocks in use.
func (b *Bitmap) count(r Run) (n uint64) {
	b.each(r, func(w *uint64, mask uint64, _ int) { n += uint64(bits.OnesCount64(*w & mask)) })
	return n
}

// Mark takes a run that the caller chose; it must be free.
func (b *Bitmap) Mark(r Run) error {
	if r.Len == 0 || r.Start >= b.size || r.Len > b.size-r.Start || !b.Unused(r) {
		return fmt.Errorf("blocks %d~%d are not free", r.Start, r.Len)
	}
	b.set(r)
	return nil
}

// Release frees a run; all of it must be in use.
func (b *Bitmap) Release(r Run) error {
	if r.Len == 0 || r.Start >= b.size || r.Len > b.size-r.Start || !b.Used(r) {
		return fmt.Errorf("blocks %d~%d are not in use", r.Start, r.Len)
	}
	b.clear(r)
	return nil
}

func (b *Bitmap) set(r Run) {
	b.each(r, func(w *uint64, mask uint64, chunk int) {
		n := uint32(bits.OnesCount64(mask &^ *w))
		*w |= mask
		b.free[chunk] -= n
		b.total -= uint64(n)
	})
}

func (b *Bitmap) clear(r Run) {
	b.each(r, func(w *uint64, mask uint64, chunk int) {
		n := uint32(bits.OnesCount64(mask & *w))
		*w &^= mask
		b.free[chunk] += n
		b.total += uint64(n)
	})
}

// each calls f for the words of a run with the mask of its bits.
func (b *Bitmap) each(r Run, f func(w *uint64, mask uint64, chunk int)) {
	for at, end := r.Start, r.End(); at < end; {
		i, lo := at/64, at%64
		n := min(64-lo, end-at)
		mask := ^uint64(0) >> (64 - n) << lo
		f(&b.words[i], mask, int(i/chunkWords))
		at += n
	}
}

// Alloc takes n blocks and appends their runs to dst. If there are not as many
// it takes none and returns false.
func (b *Bitmap) Alloc(dst []Run, n uint64) ([]Run, bool) {
	if n > b.total {
		return dst, false
	}
	// First look for runs that are worth a write of their own, then for any.
	for want := min(n, 256); n > 0; want /= 4 {
		dst, n = b.sweep(dst, n, max(want, 1))
	}
	return dst, true
}

// sweep goes around once and takes free runs of at least want blocks (or of as
// many as are still needed) until it has n. It returns how many it lacks.
func (b *Bitmap) sweep(dst []Run, n, want uint64) ([]Run, uint64) {
	start := b.next
	if start >= b.size {
		start = 0
	}
	at, end, wrapped := start, b.size, false
	for n > 0 {
		r, ok := b.find(at, end, min(want, n), n)
		if !ok {
			if wrapped || start == 0 {
				break
			}
			// A run that straddles start was seen in part before: look at it whole.
			at, end, wrapped = 0, min(start+want, b.size), true
			continue
		}
		b.set(r)
		dst = append(dst, r)
		n -= r.Len
		at = r.End()
		b.next = at
	}
	return dst, n
}

// find returns the first free run in [at, end) that has at least want blocks,
// cut to limit.
func (b *Bitmap) find(at, end, want, limit uint64) (Run, bool) {
	var r Run
	for at < end {
		i, lo := at/64, at%64
		if lo == 0 && at%ChunkBlocks == 0 && b.free[at/ChunkBlocks] == 0 {
			r = Run{}
			at += ChunkBlocks
			continue
		}
		w := b.words[i] >> lo
		if free := min(uint64(bits.TrailingZeros64(w)), 64-lo, end-at); free > 0 {
			if r.Len == 0 {
				r.Start = at
			}
			r.Len += free
			at += free
			if r.Len >= limit {
				r.Len = limit
				return r, true
			}
			continue
		}
		if r.Len >= want {
			return r, true
		}
		r = Run{}
		at += uint64(bits.TrailingZeros64(^w)) // at least one
	}
	return r, r.Len >= want && r.Len > 0
}

// AppendChunk appends the bits of a chunk, as they are kept on disk: bit i of
// byte j is block 8*j+i of the chunk, set if it is in use. Blocks beyond the
// size are clear.
func (b *Bitmap) AppendChunk(dst []byte, chunk int) []byte {
	for i := range chunkWords {
		w := b.words[chunk*chunkWords+i]
		if first := uint64(chunk*chunkWords+i) * 64; first >= b.size {
			w = 0
		} else if first+64 > b.size {
			w &= 1<<(b.size-first) - 1
		}
		for s := 0; s < 64; s += 8 {
			dst = append(dst, byte(w>>s))
		}
	}
	return dst
}

// ChunkBytes is the length of a chunk on disk.
const ChunkBytes = ChunkBlocks / 8

// LoadChunk sets the bits of a chunk of a fresh bitmap.
func (b *Bitmap) LoadChunk(chunk int, p []byte) error {
	if len(p) != ChunkBytes || chunk < 0 || chunk >= len(b.free) {
		return fmt.Errorf("bitmap chunk %d of %d bytes does not fit %d blocks", chunk, len(p), b.size)
	}
	for i := range chunkWords {
		var w uint64
		for j := range 8 {
			w |= uint64(p[i*8+j]) << (8 * j)
		}
		at := uint64(chunk*chunkWords+i) * 64
		for w != 0 {
			lo := uint64(bits.TrailingZeros64(w))
			n := uint64(bits.TrailingZeros64(^(w >> lo)))
			r := Run{at + lo, n}
			if r.End() > b.size || !b.Unused(r) {
				return fmt.Errorf("bitmap chunk %d has blocks %d~%d of %d in use", chunk, r.Start, r.Len, b.size)
			}
			b.set(r)
			if lo+n >= 64 {
				break
			}
			w &^= (1<<n - 1) << lo
		}
	}
	return nil
}
