package diskstore

import (
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

// Steps that change data. No block of the file is written twice while something
// refers to it: new content takes new blocks.

// extend makes the object reach to the end of a range that is not empty.
func (x *exec) extend(w *work, off, n uint64) {
	if n > 0 && off+n > w.cur.size {
		x.resize(w, off+n)
	}
}

func (x *exec) resize(w *work, size uint64) {
	n := x.edit(w)
	x.state.stored += size - n.size
	n.size = size
}

func (x *exec) write(w *work, off, n uint64, p *prepared) error {
	x.editMap(w)
	x.extend(w, off, n)
	if len(p.head) > 0 {
		if err := x.patch(w, off/blockSize, off%blockSize, p.head); err != nil {
			return err
		}
		off += uint64(p.head.Len())
	}
	if p.full.Len() > 0 {
		if err := x.put(w, off/blockSize, p.full, p.crcs); err != nil {
			return err
		}
		off += uint64(p.full.Len())
	}
	if len(p.tail) > 0 {
		return x.patch(w, off/blockSize, 0, p.tail)
	}
	return nil
}

// put gives new content to the object's blocks from first on.
func (x *exec) put(w *work, first uint64, data buffer.Ref, crcs []uint32) error {
	return x.place(w, first, data, crcs, data.Len() >= x.s.opt.DirectMin)
}

// place borrows data.
func (x *exec) place(w *work, first uint64, data buffer.Ref, crcs []uint32, direct bool) (err error) {
	n := uint64(len(crcs))
	if x.runs, err = x.takeBlocks(x.runs[:0], n); err != nil {
		return err
	}
	x.state.allocated += n
	done := uint64(0)
	for _, r := range x.runs {
		part := data.Slice(int(done*blockSize), int((done+r.Len)*blockSize))
		p := placed{run: r, data: part.Retain(), crcs: crcs[done : done+r.Len], direct: direct}
		x.s.pending.put(r, part)
		x.placed = append(x.placed, p)
		done += r.Len
	}
	at := first
	for _, r := range x.runs {
		for i := range r.Len {
			if err := x.setBlock(w, at, block{r.Start + i, crcs[at-first]}); err != nil {
				return err
			}
			at++
		}
	}
	return nil
}

// patch changes a part of a block.
func (x *exec) patch(w *work, i, off uint64, data buffer.List) error {
	r := buffer.Alloc(blockSize)
	defer r.Release()
	b := r.Bytes()
	if old := w.cur.block(i); old.hole() || off == 0 && data.Len() == blockSize {
		clear(b)
	} else if err := x.s.readBlock(b, old); err != nil {
		return x.s.badBlock(w.key, i, err)
	}
	for _, p := range data {
		off += uint64(copy(b[off:], p.Bytes()))
	}
	return x.place(w, i, r, []uint32{journal.Checksum(b)}, false)
}

// zeroBlock is content for patches.
var zeroBlock [blockSize]byte

func (x *exec) patchZeros(w *work, i, off, end uint64) error {
	if w.cur.block(i).hole() {
		return nil
	}
	return x.patch(w, i, off, buffer.List{buffer.Wrap(zeroBlock[off:end])})
}

// zero makes a range, which is within the object, read as zeros.
func (x *exec) zero(w *work, off, n uint64) error {
	end := off + n
	first, last := (off+blockSize-1)/blockSize, end/blockSize // whole blocks
	if end >= w.cur.size {
		last = (end + blockSize - 1) / blockSize
	}
	if n == 0 {
		return nil
	}
	if first > last { // within one block
		return x.patchZeros(w, off/blockSize, off%blockSize, end-off/blockSize*blockSize)
	}
	if off%blockSize != 0 {
		if err := x.patchZeros(w, off/blockSize, off%blockSize, blockSize); err != nil {
			return err
		}
	}
	if err := x.unmap(w, first, last); err != nil {
		return err
	}
	if end > last*blockSize {
		return x.patchZeros(w, last, 0, end-last*blockSize)
	}
	return nil
}

func (x *exec) truncate(w *work, size uint64) error {
	if w.cur == nil {
		x.edit(w)
	}
	if size < w.cur.size {
		x.editMap(w)
		if err := x.unmap(w, (size+blockSize-1)/blockSize, math.MaxUint64); err != nil {
			return err
		}
		if size%blockSize != 0 {
			if err := x.patchZeros(w, size/blockSize, size%blockSize, blockSize); err != nil {
				return err
			}
		}
	}
	if size != w.cur.size {
		x.resize(w, size)
	}
	return nil
}

// segment returns a private copy of a segment of w.cur, which is one.
func (x *exec) segment(w *work, no uint64) *segment {
	n := x.editMap(w)
	i, ok := n.find(no)
	if !ok {
		n.segs = slices.Insert(n.segs, i, segRef{no, &segment{}, true})
	} else if !n.segs[i].dirty {
		n.segs[i] = segRef{no, &segment{slices.Clone(n.segs[i].seg.blocks)}, true}
	}
	return n.segs[i].seg
}

// setBlock maps a block of the object, giving up what was there.
func (x *exec) setBlock(w *work, i uint64, b block) error {
	if b.hole() {
		return x.unmap(w, i, i+1)
	}
	s := x.segment(w, i/segBlocks)
	k := int(i % segBlocks)
	if k < len(s.blocks) {
		if err := x.free(s.blocks[k]); err != nil {
			return err
		}
	} else {
		s.blocks = append(s.blocks, make([]block, k+1-len(s.blocks))...)
	}
	s.blocks[k] = b
	return nil
}

// unmap makes holes of the object's blocks in [from, to).
func (x *exec) unmap(w *work, from, to uint64) error {
	for i := 0; i < len(w.cur.segs); {
		r := w.cur.segs[i]
		base := r.no * segBlocks
		if base+uint64(len(r.seg.blocks)) <= from {
			i++
			continue
		}
		if base >= to {
			break
		}
		lo, hi := max(from, base)-base, min(to-base, uint64(len(r.seg.blocks)))
		s := x.segment(w, r.no)
		for k := lo; k < hi; k++ {
			if err := x.free(s.blocks[k]); err != nil {
				return err
			}
			s.blocks[k] = block{}
		}
		for len(s.blocks) > 0 && s.blocks[len(s.blocks)-1].hole() {
			s.blocks = s.blocks[:len(s.blocks)-1]
		}
		if len(s.blocks) == 0 {
			w.cur.segs = slices.Delete(w.cur.segs, i, i+1)
			w.changed = true
			continue
		}
		i++
	}
	return nil
}

// refChunk returns a chunk of reference counts to change.
func (x *exec) refChunk(chunk uint64) (*refChunk, error) {
	if c := x.refs[chunk]; c != nil {
		return c, nil
	}
	c, err := x.s.refChunk(chunk)
	if err != nil {
		return nil, err
	}
	if x.refs == nil {
		x.refs = make(map[uint64]*refChunk)
	}
	x.refs[chunk] = c
	return c, nil
}

// free gives up a reference to a block, and the block with the last one.
func (x *exec) free(b block) error {
	if b.hole() {
		return nil
	}
	at := b.phys()
	if b.at&shared != 0 {
		c, err := x.refChunk(at / refBlocks)
		if err != nil {
			return err
		}
		if n := &c[at%refBlocks]; *n > 1 {
			if *n--; *n == 1 {
				*n = 0
			}
			return nil
		}
	}
	x.state.allocated--
	if k := len(x.frees) - 1; k >= 0 && x.frees[k].End() == at {
		x.frees[k].Len++
	} else {
		x.frees = append(x.frees, alloc.Run{Start: at, Len: 1})
	}
	return nil
}

// share adds a reference to the blocks [lo, hi) of a segment and marks them.
func (x *exec) share(w *work, no, lo, hi uint64) error {
	i, ok := w.cur.find(no)
	if !ok {
		return nil
	}
	s := w.cur.segs[i].seg
	for k := lo; k < min(hi, uint64(len(s.blocks))); k++ {
		b := s.blocks[k]
		if b.hole() {
			continue
		}
		c, err := x.refChunk(b.phys() / refBlocks)
		if err != nil {
			return err
		}
		n := &c[b.phys()%refBlocks]
		if *n++; *n == 1 {
			*n = 2
		}
		if b.at&shared == 0 {
			s = x.segment(w, no)
			s.blocks[k].at |= shared
		}
	}
	return nil
}

// cloneRange shares whole blocks if they lie alike in both objects and copies
// the rest. It takes all it needs of from before it changes to, since they may
// be one.
func (x *exec) cloneRange(from, to *work, off, n, dest uint64) error {
	have := uint64(0) // bytes that from has; after them come zeros
	if off < from.cur.size {
		have = min(n, from.cur.size-off)
	}
	if off%blockSize != dest%blockSize {
		data, err := x.s.readOnode(from.key, from.cur, off, have)
		if err != nil {
			return err
		}
		defer data.Release()
		return x.cloneData(to, dest, n, data)
	}

	head := min(have, -off%blockSize)
	full := (have - head) / blockSize
	tail := have - head - full*blockSize
	headData, err := x.s.readOnode(from.key, from.cur, off, head)
	if err != nil {
		return err
	}
	defer headData.Release()
	tailData, err := x.s.readOnode(from.key, from.cur, off+have-tail, tail)
	if err != nil {
		return err
	}
	defer tailData.Release()
	first := (off + head) / blockSize
	blocks := make([]block, full)
	for i := range blocks {
		at := first + uint64(i)
		if i == 0 || at%segBlocks == 0 {
			lo := at % segBlocks
			if err := x.share(from, at/segBlocks, lo, min(segBlocks, lo+full-uint64(i))); err != nil {
				return err
			}
		}
		if blocks[i] = from.cur.block(at); !blocks[i].hole() {
			blocks[i].at |= shared
		}
	}

	if err := x.cloneData(to, dest, head, headData); err != nil {
		return err
	}
	x.extend(to, dest, n)
	for i, b := range blocks {
		if err := x.setBlock(to, (dest+head)/blockSize+uint64(i), b); err != nil {
			return err
		}
	}
	at := head + full*blockSize
	return x.cloneData(to, dest+at, n-at, tailData)
}

// cloneData writes data, which it borrows, and zeros up to n bytes.
func (x *exec) cloneData(to *work, dest, n uint64, data buffer.List) error {
	x.editMap(to)
	x.extend(to, dest, n)
	have := uint64(data.Len())
	if have > 0 {
		p := prepareWrite(dest, data)
		defer p.full.Release()
		if err := x.write(to, dest, have, &p); err != nil {
			return err
		}
	}
	return x.zero(to, dest+have, n-have)
}

// Steps that change the omap go to the batch at once.

func (x *exec) omapTouch(nid uint64) {
	if !slices.Contains(x.omaps, nid) {
		x.omaps = append(x.omaps, nid)
	}
}

func (x *exec) omapPut(nid uint64, key string, value []byte) error {
	x.key = omapKey(x.key[:0], nid, key)
	x.added += uint64(len(key) + len(value))
	return x.batch.Set(x.key, value, nil)
}

func (x *exec) omapRm(nid uint64, keys []string) error {
	x.omapTouch(nid)
	for _, k := range keys {
		x.key = omapKey(x.key[:0], nid, k)
		if err := x.batch.Delete(x.key, nil); err != nil {
			return err
		}
	}
	return nil
}

// maxPointDeletes is how many keys of a range are deleted one by one. Pebble
// pays for each range deletion with every later read.
const maxPointDeletes = 512

func (x *exec) omapRmRange(nid uint64, from, to string) error {
	lower, upper := omapKey(nil, nid, from), omapKey(nil, nid+1, "")
	if to != "" {
		upper = omapKey(nil, nid, to)
	}
	if string(lower) >= string(upper) {
		return nil
	}
	it, err := x.omapIter(nid, lower, upper)
	if err != nil {
		return err
	}
	var keys [][]byte
	for ok := it.First(); ok && len(keys) <= maxPointDeletes; ok = it.Next() {
		keys = append(keys, slices.Clone(it.Key()))
	}
	err = it.Close()
	if err != nil {
		x.s.damaged(x.at, x.s.corrupt("omap", err))
	}
	x.omapTouch(nid)
	if err != nil || len(keys) > maxPointDeletes { // also what cannot be read
		return x.batch.DeleteRange(lower, upper, nil)
	}
	for _, k := range keys {
		if err := x.batch.Delete(k, nil); err != nil {
			return err
		}
	}
	return nil
}

func (x *exec) omapCopy(from, to uint64) error {
	it, err := x.omapIter(from, omapKey(nil, from, ""), omapKey(nil, from+1, ""))
	if err != nil {
		return err
	}
	type kv struct{ k, v []byte }
	var all []kv
	size := 0
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			break // Close says it again
		}
		all = append(all, kv{slices.Clone(it.Key()[9:]), slices.Clone(v)})
		if size += len(it.Key()) + len(v); size > int(x.s.super.JournalSize) {
			it.Close()
			return fmt.Errorf("the omap is too large to be copied: %w", errTooLarge)
		}
	}
	if err := it.Close(); err != nil {
		return x.s.corrupt("omap", err)
	}
	x.omapTouch(to)
	for _, e := range all {
		if err := x.omapPut(to, string(e.k), e.v); err != nil {
			return err
		}
	}
	return nil
}

// omapIter iterates over an omap as the steps so far have left it.
func (x *exec) omapIter(nid uint64, lower, upper []byte) (*pebble.Iterator, error) {
	if !slices.Contains(x.omaps, nid) {
		return x.s.iter(lower, upper)
	}
	if x.view != nil && x.viewed != x.batch.Count() {
		x.view.Close()
		x.view = nil
	}
	if x.view == nil {
		x.view, x.viewed = x.s.db.NewIndexedBatch(), x.batch.Count()
		if err := x.view.Apply(x.batch, nil); err != nil {
			return nil, err
		}
	}
	it, err := x.view.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, x.s.corrupt("omap", err)
	}
	return it, nil
}
