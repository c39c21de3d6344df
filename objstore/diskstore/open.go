package diskstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
	"github.com/pulpo-storage/pulpo/wire"
)

func encodeColl(c objstore.Coll) []byte { return wire.Marshal(c) }

func segmentNo(key []byte) (uint64, error) {
	if len(key) != 17 || key[0] != keySegment {
		return 0, errKey
	}
	return binary.BigEndian.Uint64(key[9:]), nil
}

// Create makes a store in a directory, which it makes too; it must be empty, or
// hold no more than what an interrupted Create has left.
func Create(dir string, opt Options) (err error) {
	opt.defaults(dir)
	d := opt.Disk
	if err := d.Make(); err != nil {
		return fmt.Errorf("create store: %w", err)
	}
	names, err := d.List()
	if err != nil {
		return fmt.Errorf("create store: %w", err)
	}
	if slices.Contains(names, blockFile) {
		return fmt.Errorf("create store: %w", &FormatError{d.Path(), "there is a store already"})
	}
	for _, n := range names {
		if n != newFile && n != metaDir {
			return fmt.Errorf("create store: %w", &FormatError{d.Path(), fmt.Sprintf("the directory is not empty: there is %q", n)})
		}
	}
	if len(names) > 0 && !slices.Contains(names, newFile) {
		return fmt.Errorf("create store: %w", &FormatError{d.Path(), "the directory is not empty: there is \"" + names[0] + "\""})
	}
	if err := create(&opt); err != nil {
		return fmt.Errorf("create store in %s: %w", d.Path(), err)
	}
	return nil
}

func create(opt *Options) error {
	d := opt.Disk
	total, free, err := d.Space()
	if err != nil {
		return err
	}
	size, jsize := opt.Size, opt.JournalSize&^(blockSize-1)
	if size == 0 {
		size = free - free/20
	}
	size &^= blockSize - 1
	if jsize < minJournal {
		return fmt.Errorf("a journal of %d bytes is too small, at least %d: %w", jsize, minJournal, objstore.ErrInvalid)
	}
	least := blockSize + jsize + 1<<20
	if size < least || free < least+metaReserve(total) {
		return fmt.Errorf("%d bytes are free, %d wanted, at least %d are needed: %w", free, size, least+metaReserve(total), objstore.ErrNoSpace)
	}

	// The file is made under another name first: only a store that is complete
	// has it under its own.
	for _, n := range []string{metaDir, newFile} {
		if err := d.Remove(n); err != nil {
			return err
		}
	}
	f, err := d.Create(newFile)
	if err != nil {
		return err
	}
	defer f.Close()
	super := newSuperblock(size, jsize)
	if err := f.Allocate(0, int64(super.DataOff)); err != nil {
		return err
	}
	// Blocks of the journal that were written once cost a sync no metadata.
	zeros := disk.Aligned(1 << 20)
	for at := int64(0); at < int64(super.DataOff); {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), int64(super.DataOff)-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	if _, err := f.WriteAt(super.encode(), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}

	db, err := openMeta(opt, true, &metaFS{opt.MetaFS, func() error { return nil }, newMetaRoom(opt, nil)}, metaEvents{func(error) {}, func() {}})
	if err != nil {
		return err
	}
	err = errors.Join(initMeta(db, super), db.Close())
	if err != nil {
		return err
	}
	if err := d.Rename(newFile, blockFile); err != nil {
		return err
	}
	return d.Sync()
}

// initMeta writes what a store begins with: no record, no object, the meta
// collection.
func initMeta(db *pebble.DB, super *Superblock) error {
	b := db.NewBatch()
	defer b.Close()
	blocks := super.DataOff / blockSize
	used := alloc.New(blocks)
	if err := used.Mark(alloc.Run{Start: 0, Len: blocks}); err != nil {
		return err
	}
	for i := range used.Chunks() {
		if err := b.Set(numKey(keyBitmap, uint64(i)), used.AppendChunk(nil, i), nil); err != nil {
			return err
		}
	}
	ck := checkpoint{seq: 1, blocks: blocks}
	st := state{nextNID: 1, nextColl: 1}
	if err := errors.Join(b.Set([]byte{keyCheckpoint}, ck.encode(), nil), b.Set([]byte{keyState}, st.encode(), nil),
		b.Set(numKey(keyColl, 0), encodeColl(objstore.MetaColl), nil)); err != nil {
		return err
	}
	if err := db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	return db.Flush()
}

// Open opens a store, replaying its journal.
func Open(dir string, opt Options) (*Store, error) {
	opt.defaults(dir)
	for { // once more if what there was has been swept
		s := &Store{opt: opt, helpers: make(chan struct{}, maxHelpers)}
		if err := s.open(); err != nil {
			s.release()
			return nil, fmt.Errorf("open store in %s: %w", opt.Disk.Path(), err)
		}
		swept, err := s.sweep()
		if err == nil && !swept {
			return s, nil
		}
		if err := errors.Join(err, s.Close()); err != nil {
			return nil, fmt.Errorf("open store in %s: %w", opt.Disk.Path(), err)
		}
	}
}

func (s *Store) open() error {
	if err := s.openFile(); err != nil {
		return err
	}
	if s.opt.Size != 0 {
		s.super.Size = max(s.opt.Size&^(blockSize-1), s.super.DataOff)
	}
	s.opt.Size = s.super.Size
	if err := s.finishSweep(); err != nil {
		return err
	}
	mem := shareOut(s.opt.Memory)
	s.cache = newCache(int(mem.onodes))
	s.room = newMetaRoom(&s.opt, func() {
		if j := s.waiters.Load(); j != nil {
			j.Wake()
		}
	})
	s.compacted = make(chan struct{}, 1)
	db, err := openMeta(&s.opt, false, &metaFS{s.opt.MetaFS, s.gate, s.room}, metaEvents{
		fatal: func(err error) {
			s.fatal.Store(true)
			s.fail(err)
		},
		compacted: func() {
			select {
			case s.compacted <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	s.room.patient.Store(true)
	s.db = db
	from, err := s.load()
	if err != nil {
		return err
	}
	if err := s.loadColls(); err != nil {
		return err
	}
	s.stats.stored.Store(s.state.stored)
	s.stats.allocated.Store(s.state.allocated)

	begun := time.Now()
	ring := journal.Ring{File: s.file, Off: int64(s.super.JournalOff), Size: int64(s.super.JournalSize), Salt: s.super.JournalSalt}
	start := journal.Position{Seq: from.seq, Off: int64(from.off)}
	end, err := journal.Replay(ring, start, s.replay)
	if err != nil {
		return err
	}
	if end.Seq != s.state.seq+1 {
		return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("the journal ends at record %d, but the metadata has record %d", end.Seq-1, s.state.seq)}
	}
	if err := journal.Invalidate(ring, end); err != nil {
		return err
	}
	s.stats.replayMS.Store(uint64(time.Since(begun).Milliseconds()))
	if s.stats.replayed.Load() > 0 {
		// What was replayed may have changed collections.
		if err := s.loadColls(); err != nil {
			return err
		}
		s.opt.Log.Info("journal replayed", "path", s.opt.Disk.Path(), "records", s.stats.replayed.Load(), "took", time.Since(begun))
	}
	s.stats.stored.Store(s.state.stored)
	s.stats.allocated.Store(s.state.allocated)
	s.measure()

	mode := journal.Parallel
	if s.opt.Mode == WriteAhead {
		mode = journal.WriteAhead
	}
	s.applying.Store(s.state.seq)
	s.jrnl = journal.Open(journal.Config{
		Ring: ring, Mode: mode, MaxHeld: mem.records, MaxDirect: mem.direct, Held: s.replayedHeld, Full: s.ckpt.ask, Failed: s.fail,
	}, start, end)
	s.waiters.Store(s.jrnl)
	s.ckpt.start(s)
	s.ckpt.consider(s) // what was replayed may be a lot
	return nil
}

// openFile opens, checks and locks the file.
func (s *Store) openFile() (err error) {
	d := s.opt.Disk
	if s.file, err = d.Open(blockFile); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if names, e := d.List(); e == nil && len(names) > 0 {
			return &FormatError{d.Path(), "there is no store in the directory, or its creation was interrupted"}
		}
		return &FormatError{d.Path(), "there is no store"}
	}
	if s.lock, err = d.Lock(blockFile); err != nil {
		return err
	}
	b := disk.Aligned(blockSize)
	if _, err := s.file.ReadAt(b, 0); err != nil {
		return &FormatError{d.Path(), fmt.Sprintf("the superblock cannot be read: %v", err)}
	}
	if s.super, err = decodeSuperblock(b); err != nil {
		return &FormatError{d.Path(), err.Error()}
	}
	return nil
}

func openMeta(opt *Options, create bool, metaFS vfs.FS, on metaEvents) (*pebble.DB, error) {
	if create {
		if err := opt.MetaFS.RemoveAll(opt.MetaPath); err != nil {
			return nil, err
		}
	}
	o := pebbleOptions(metaFS, shareOut(opt.Memory), opt.Log, on)
	o.ErrorIfNotExists = !create
	o.ErrorIfExists = create
	db, err := pebble.Open(opt.MetaPath, o)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	return db, nil
}

// load reads the state, the checkpoint and the bitmap.
func (s *Store) load() (checkpoint, error) {
	v, err := s.get([]byte{keyState})
	if err != nil {
		return checkpoint{}, err
	}
	if s.state, err = decodeState(v); err != nil {
		return checkpoint{}, s.corrupt("state", err)
	}
	if v, err = s.get([]byte{keyCheckpoint}); err != nil {
		return checkpoint{}, err
	}
	ck, err := decodeCheckpoint(v)
	if err != nil {
		return ck, s.corrupt("checkpoint", err)
	}
	size, err := s.file.Size()
	if err != nil {
		return ck, err
	}
	blocks := uint64(size) / blockSize
	if ck.blocks > blocks || ck.off >= s.super.JournalSize || ck.seq == 0 {
		return ck, &FormatError{s.opt.Disk.Path(), fmt.Sprintf("the checkpoint %+v is beyond the file of %d blocks", ck, blocks)}
	}
	// Of the file beyond the checkpoint's bitmap nothing was used then.
	s.space.used, s.ckpt.durable = alloc.New(blocks), alloc.New(blocks)
	s.space.max = max(s.super.Size/blockSize, blocks)
	s.ckpt.dirty = make(map[int]bool)
	it, err := s.iter([]byte{keyBitmap}, []byte{keyBitmap + 1})
	if err != nil {
		return ck, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil && len(it.Key()) != 9 {
			err = errKey
		}
		if err == nil {
			chunk := int(binary.BigEndian.Uint64(it.Key()[1:]))
			if err = s.space.used.LoadChunk(chunk, v); err == nil {
				err = s.ckpt.durable.LoadChunk(chunk, v)
			}
		}
		if err != nil {
			return ck, s.corrupt("bitmap", err)
		}
	}
	if err := it.Error(); err != nil {
		return ck, s.corrupt("bitmap", err)
	}
	return ck, nil
}

func (s *Store) loadColls() error {
	it, err := s.iter([]byte{keyColl}, []byte{keyColl + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	m := make(map[objstore.Coll]*collection)
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		var c objstore.Coll
		if err == nil {
			err = wire.Unmarshal(v, &c)
		}
		if err == nil && len(it.Key()) != 9 {
			err = errKey
		}
		if err != nil {
			return s.corrupt("collections", err)
		}
		m[c] = &collection{c, binary.BigEndian.Uint64(it.Key()[1:])}
	}
	if err := it.Error(); err != nil {
		return s.corrupt("collections", err)
	}
	s.colls.Store(&m)
	return nil
}

// replay brings the store past a record of the journal.
func (s *Store) replay(j journal.Replayed) error {
	r, repr, err := decodeRecord(j.Meta, j.Blocks, j.CRCs)
	if err != nil {
		return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("record %d: %v", j.Seq, err)}
	}
	r.seq = j.Seq
	for i := range r.placed {
		p := &r.placed[i]
		// The file may be shorter than it was: its growth was not synced, and
		// data that rides in the journal does not need it yet.
		if end := p.run.End(); end > s.space.used.Size() {
			if end > s.space.max {
				return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("record %d is beyond the file", j.Seq)}
			}
			if err := s.file.Allocate(int64(s.space.used.Size()*blockSize), int64((end-s.space.used.Size())*blockSize)); err != nil {
				return err
			}
			s.space.used.Grow(end)
		}
		if err := s.space.used.Mark(p.run); err != nil {
			return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("record %d: %v", j.Seq, err)}
		}
		if !p.direct {
			s.pending.put(p.run, p.data)
		}
	}
	for _, f := range r.frees {
		if f.End() > s.space.used.Size() || !s.space.used.Used(f) {
			return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("record %d gives up blocks %d~%d that are not in use", j.Seq, f.Start, f.Len)}
		}
		s.space.held += f.Len
	}
	for _, i := range j.Bad {
		s.distrust = true
		s.stats.checksumErrors.Add(1)
		s.opt.Log.Error("a block in the journal is not what was written", "path", s.opt.Disk.Path(), "record", j.Seq, "block", i)
	}
	s.records = append(s.records, r)
	s.replayedHeld += r.need(0, len(repr), batchCount(repr), false).Held
	s.stats.replayed.Add(1)
	if j.Seq <= s.state.seq {
		return nil // Pebble has it
	}
	b := s.db.NewBatch()
	defer b.Close()
	if err := b.SetRepr(slices.Clone(repr)); err != nil {
		return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("record %d: %v", j.Seq, err)}
	}
	if err := s.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	v, err := s.get([]byte{keyState})
	if err != nil {
		return err
	}
	st, err := decodeState(v)
	if err != nil || st.seq != j.Seq {
		return &FormatError{s.opt.Disk.Path(), fmt.Sprintf("record %d brings the state of record %d", j.Seq, st.seq)}
	}
	s.state = st
	return nil
}
