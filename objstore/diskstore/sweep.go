package diskstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// Sweeping. What a store keeps of a collection may become unreadable: a table of
// Pebble's has a block whose checksum is wrong. Then nobody can say which records
// were in it, so the collection is dropped and made anew from other copies. That
// reads nothing, and leaves records and blocks behind that nobody has any more,
// the damaged ones among them.
//
// They go when the store is opened the next time: all that belongs to the
// collections there are is copied to a new database, with free space and reference
// counts worked out from it, and that takes the place of the old one. So what is
// left is right by construction, whatever was damaged. If something of a living
// collection cannot be read the old database stays, since that is all there is.
//
//	meta.tmp   is being made; of no meaning
//	meta.new   is whole, and takes the place of meta
const (
	sweepTmp = "meta.tmp"
	sweepNew = "meta.new"
)

// finishSweep takes up a sweep that was cut short, before the database is opened.
func (s *Store) finishSweep() error {
	f, path := s.opt.MetaFS, s.opt.MetaPath
	if err := f.RemoveAll(s.besideMeta(sweepTmp)); err != nil {
		return err
	}
	whole := s.besideMeta(sweepNew)
	if _, err := f.Stat(whole); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := f.RemoveAll(path); err != nil {
		return err
	}
	if err := f.Rename(whole, path); err != nil {
		return err
	}
	return (&metaFS{FS: f}).syncDir(f.PathDir(path))
}

func (s *Store) besideMeta(name string) string {
	return s.opt.MetaFS.PathJoin(s.opt.MetaFS.PathDir(s.opt.MetaPath), name)
}

// sweep makes the new database, if there is something to sweep: then the store must
// be opened again. Nobody uses the store yet.
func (s *Store) sweep() (swept bool, err error) {
	if v, err := s.get([]byte{keySweep}); v == nil {
		return false, err
	}
	begun := time.Now()
	if err := s.checkpoint(); err != nil {
		return false, err
	}
	tmp := s.besideMeta(sweepTmp)
	opt := s.opt
	opt.MetaPath = tmp
	db, err := openMeta(&opt, true, &metaFS{opt.MetaFS, func() error { return nil }, s.room}, metaEvents{func(error) {}, func() {}})
	if err != nil {
		return false, err
	}
	w := &sweeper{s: s, to: db, b: db.NewBatch(), used: alloc.New(s.ckpt.durable.Size()), count: map[uint64]uint32{}}
	err = errors.Join(w.run(), w.b.Close(), db.Close())
	if err != nil {
		s.opt.Log.Error("the store is not swept: what was given up stays where it is", "path", s.opt.Disk.Path(), "err", err)
		return false, s.opt.MetaFS.RemoveAll(tmp)
	}
	if err := s.opt.MetaFS.Rename(tmp, s.besideMeta(sweepNew)); err != nil {
		return false, err
	}
	s.opt.Log.Info("store swept", "path", s.opt.Disk.Path(), "objects", w.objects, "blocks", w.allocated, "took", time.Since(begun))
	return true, (&metaFS{FS: s.opt.MetaFS}).syncDir(s.opt.MetaFS.PathDir(tmp))
}

// sweeper copies what is alive.
type sweeper struct {
	s  *Store
	to *pebble.DB
	b  *pebble.Batch

	used              *alloc.Bitmap
	count             map[uint64]uint32 // references of blocks marked as shared
	objects           int
	stored, allocated uint64
}

// sweepBatch is how many bytes are copied at a time.
const sweepBatch = 4 << 20

func (w *sweeper) put(k, v []byte) error {
	if err := w.b.Set(k, v, nil); err != nil || w.b.Len() < sweepBatch {
		return err
	}
	err := w.to.Apply(w.b, pebble.NoSync)
	w.b.Reset()
	return err
}

// each calls f for the records in [lower, upper).
func (w *sweeper) each(lower, upper []byte, f func(k, v []byte) error) error {
	it, err := w.s.iter(lower, upper)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			err = f(it.Key(), v)
		}
	}
	return errors.Join(err, it.Close())
}

func (w *sweeper) run() error {
	if err := w.used.Mark(alloc.Run{Start: 0, Len: w.s.super.DataOff / blockSize}); err != nil {
		return err
	}
	for _, c := range *w.s.colls.Load() {
		if err := w.put(numKey(keyColl, c.id), encodeColl(c.name)); err != nil {
			return err
		}
		if err := w.each(numKey(keyOnode, c.id), numKey(keyOnode, c.id+1), w.object); err != nil {
			return fmt.Errorf("collection %v: %w", c.name, err)
		}
	}
	return w.finish()
}

// object copies an object's records and counts its blocks.
func (w *sweeper) object(k, v []byte) error {
	n, more, err := decodeOnode(v)
	if err == nil && more {
		err = w.s.loadSegments(n)
	}
	if err != nil {
		return err
	}
	w.objects++
	w.stored += n.size
	for _, r := range n.segs {
		for _, b := range r.seg.blocks {
			if !b.hole() {
				if err := w.block(b); err != nil {
					return err
				}
			}
		}
	}
	if err := w.put(k, v); err != nil {
		return err
	}
	if more {
		if err := w.each(segmentKey(nil, n.nid, 0), segmentKey(nil, n.nid+1, 0), w.put); err != nil {
			return err
		}
	}
	if n.omap {
		return w.each(omapKey(nil, n.nid, ""), omapKey(nil, n.nid+1, ""), w.put)
	}
	return nil
}

func (w *sweeper) block(b block) error {
	r := alloc.Run{Start: b.phys(), Len: 1}
	if r.End() > w.used.Size() {
		return fmt.Errorf("block %d is beyond the file: %w", r.Start, errRecord)
	}
	if b.at&shared != 0 {
		w.count[r.Start]++
	}
	switch {
	case w.used.Unused(r):
		w.allocated++
		return w.used.Mark(r)
	case w.count[r.Start] < 2:
		return fmt.Errorf("block %d has two owners: %w", r.Start, errRecord)
	}
	return nil
}

// finish writes what follows from the objects.
func (w *sweeper) finish() error {
	chunks := map[uint64]*refChunk{}
	for at, n := range w.count {
		if n < 2 {
			continue
		}
		c := chunks[at/refBlocks]
		if c == nil {
			c = &refChunk{}
			chunks[at/refBlocks] = c
		}
		c[at%refBlocks] = n
	}
	for i, c := range chunks {
		if err := w.put(numKey(keyRefs, i), c.encode()); err != nil {
			return err
		}
	}
	for i := range w.used.Chunks() {
		if err := w.put(binary.BigEndian.AppendUint64([]byte{keyBitmap}, uint64(i)), w.used.AppendChunk(nil, i)); err != nil {
			return err
		}
	}
	ck, err := w.s.get([]byte{keyCheckpoint})
	if err != nil {
		return err
	}
	st := w.s.state
	st.stored, st.allocated = w.stored, w.allocated
	if err := errors.Join(w.put([]byte{keyCheckpoint}, ck), w.put([]byte{keyState}, st.encode())); err != nil {
		return err
	}
	if err := w.to.Apply(w.b, pebble.NoSync); err != nil {
		return err
	}
	return w.to.Flush()
}
