package diskstore

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

// corrupt makes the error of metadata that cannot be read.
func (s *Store) corrupt(what string, err error) error {
	s.stats.metaErrors.Add(1)
	s.opt.Log.Error("metadata cannot be read", "path", s.opt.Disk.Path(), "what", what, "err", err)
	return fmt.Errorf("%s: %w: %w: %w", what, err, objstore.ErrDamaged, objstore.ErrIO)
}

// damaged remembers that something of a collection cannot be read, if that is what
// the error says.
func (s *Store) damaged(c objstore.Coll, err error) {
	if err == nil || !errors.Is(err, objstore.ErrDamaged) {
		return
	}
	k, e := s.coll(c)
	if e != nil {
		return
	}
	s.damageMu.Lock()
	defer s.damageMu.Unlock()
	m := map[uint64]error{}
	if old := s.damage.Load(); old != nil {
		if (*old)[k.id] != nil {
			return
		}
		maps.Copy(m, *old)
	}
	m[k.id] = err
	s.damage.Store(&m)
}

// Damaged implements objstore.Store.
func (s *Store) Damaged(c objstore.Coll) error {
	m := s.damage.Load()
	if m == nil {
		return nil
	}
	k, err := s.coll(c)
	if err != nil {
		return nil
	}
	return (*m)[k.id]
}

// get returns a copy of a value, nil if there is none.
func (s *Store) get(key []byte) ([]byte, error) {
	v, c, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.corrupt("metadata", err)
	}
	v = slices.Clone(v)
	if v == nil {
		v = []byte{}
	}
	c.Close()
	return v, nil
}

func (s *Store) iter(lower, upper []byte) (*pebble.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, s.corrupt("metadata", err)
	}
	return it, nil
}

func (s *Store) refChunk(chunk uint64) (*refChunk, error) {
	v, err := s.get(numKey(keyRefs, chunk))
	if err != nil || v == nil {
		return &refChunk{}, err
	}
	c, err := decodeRefChunk(v)
	if err != nil {
		return nil, s.corrupt("reference counts", err)
	}
	return c, nil
}

// onode returns an object's onode, nil if there is none.
func (s *Store) onode(k cacheKey) (*onode, error) {
	if n, ok := s.cache.get(k); ok {
		return n, nil
	}
	v, c, err := s.db.Get(onodeKey(make([]byte, 0, 128), k.coll, &k.oid))
	if errors.Is(err, pebble.ErrNotFound) {
		s.cache.put(k, nil)
		return nil, nil
	}
	if err != nil {
		return nil, s.corrupt("onode", err)
	}
	n, more, err := decodeOnode(v)
	c.Close()
	if err == nil && more {
		err = s.loadSegments(n)
	}
	if err != nil {
		return nil, s.corrupt(fmt.Sprintf("onode of %v", k.oid), err)
	}
	s.cache.put(k, n)
	return n, nil
}

func (s *Store) loadSegments(n *onode) error {
	it, err := s.iter(segmentKey(nil, n.nid, 0), segmentKey(nil, n.nid+1, 0))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		no, err := segmentNo(it.Key())
		if err != nil {
			return err
		}
		seg, err := decodeSegment(v)
		if err != nil {
			return err
		}
		n.segs = append(n.segs, segRef{no: no, seg: seg})
	}
	if err := it.Error(); err != nil {
		return err
	}
	return n.check()
}

// lookup returns the onode of an object that must exist.
func (s *Store) lookup(c objstore.Coll, o object.ID) (cacheKey, *onode, error) {
	k, err := s.coll(c)
	if err != nil {
		return cacheKey{}, nil, err
	}
	key := cacheKey{k.id, objstore.Canonical(o)}
	n, err := s.onode(key)
	s.damaged(c, err)
	if err == nil && n == nil {
		err = fmt.Errorf("object %v in %v: %w", o, c, objstore.ErrNotFound)
	}
	return key, n, err
}

var errChecksum = errors.New("checksum error")

// readBlock reads one block.
func (s *Store) readBlock(dst []byte, b block) error {
	if r, ok := s.pending.get(b.phys()); ok {
		copy(dst, r.Bytes())
		r.Release()
		if s.distrust && journal.Checksum(dst) != b.crc {
			return errChecksum
		}
		return nil
	}
	if err := s.readFile(dst, b.phys()); err != nil {
		return err
	}
	if journal.Checksum(dst) != b.crc {
		return errChecksum
	}
	return nil
}

func (s *Store) readFile(dst []byte, at uint64) error {
	_, err := s.file.ReadAt(dst, int64(at*blockSize))
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// badBlock counts, names and wraps the error of a block of an object.
func (s *Store) badBlock(k cacheKey, i uint64, err error) error {
	if errors.Is(err, errChecksum) {
		s.stats.checksumErrors.Add(1)
	} else {
		s.stats.readErrors.Add(1)
	}
	var coll objstore.Coll
	for _, c := range *s.colls.Load() {
		if c.id == k.coll {
			coll = c.name
		}
	}
	s.opt.Log.Error("data cannot be read", "path", s.opt.Disk.Path(), "collection", coll.String(), "object", k.oid.String(), "offset", i*blockSize, "err", err)
	if f := s.opt.Events.ChecksumError; f != nil && errors.Is(err, errChecksum) {
		f(coll, k.oid, i*blockSize)
	}
	return fmt.Errorf("%v in %v at %d: %w: %w", k.oid, coll, i*blockSize, err, objstore.ErrIO)
}

// maxReadRun bounds the blocks that are read into one buffer.
const maxReadRun = 4 << 20 / blockSize

var zeroRun [64 << 10]byte

// readOnode returns a range of an object's data, cut to its size.
func (s *Store) readOnode(k cacheKey, n *onode, off, length uint64) (l buffer.List, err error) {
	if off >= n.size || length == 0 {
		return nil, nil
	}
	var file []fileRead
	end := off + min(length, n.size-off)
	for off < end {
		i := off / blockSize
		last := (end-1)/blockSize + 1
		b := n.block(i)
		if b.hole() {
			to := min(n.nextData(i)*blockSize, end)
			for off < to {
				m := min(to-off, uint64(len(zeroRun)))
				l = append(l, buffer.Wrap(zeroRun[:m:m]))
				off += m
			}
			continue
		}
		r, ok := s.pending.get(b.phys())
		run := uint64(1)
		if !ok {
			run = s.fileRun(n, i, min(last, i+maxReadRun))
			r = buffer.Alloc(int(run * blockSize)).WithSums(make([]uint32, run))
			file = append(file, fileRead{r, i})
		} else if s.distrust && journal.Checksum(r.Bytes()) != b.crc {
			r.Release()
			l.Release()
			return nil, s.badBlock(k, i, errChecksum)
		}
		lo, hi := off-i*blockSize, min(end-i*blockSize, run*blockSize)
		l = append(l, r.Slice(int(lo), int(hi)))
		off = i*blockSize + hi
	}
	if bad, err := s.readAll(n, file); err != nil {
		l.Release()
		return nil, s.badBlock(k, bad, err)
	}
	return l, nil
}

// nextData is the first block from i on that is not a hole, or beyond all.
func (n *onode) nextData(i uint64) uint64 {
	k, _ := n.find(i / segBlocks)
	for ; k < len(n.segs); k++ {
		base := n.segs[k].no * segBlocks
		for j, b := range n.segs[k].seg.blocks {
			if at := base + uint64(j); at >= i && !b.hole() {
				return at
			}
		}
	}
	return 1 << 50
}

// fileRun is how many blocks from i on, up to end, lie side by side in the file
// and are there.
func (s *Store) fileRun(n *onode, i, end uint64) uint64 {
	first := n.block(i).phys()
	run := uint64(1)
	for i+run < end && n.block(i+run).phys() == first+run {
		run++
	}
	if run > 1 {
		run = s.pending.firstIn(alloc.Run{Start: first, Len: run})
	}
	return run
}

// Read implements objstore.Store.
func (s *Store) Read(c objstore.Coll, o object.ID, off, n uint64) (buffer.List, error) {
	k, x, err := s.lookup(c, o)
	if err != nil {
		return nil, err
	}
	s.stats.reads.Add(1)
	return s.readOnode(k, x, off, n)
}

// Stat implements objstore.Store.
func (s *Store) Stat(c objstore.Coll, o object.ID) (objstore.Info, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return objstore.Info{}, err
	}
	return objstore.Info{Size: n.size}, nil
}

// Extents implements objstore.Store.
func (s *Store) Extents(c objstore.Coll, o object.ID, off, length uint64) ([]objstore.Extent, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return nil, err
	}
	if off >= n.size || length == 0 {
		return nil, nil
	}
	end := off + min(length, n.size-off)
	var out []objstore.Extent
	for i := n.nextData(off / blockSize); i*blockSize < end; i = n.nextData(i) {
		from := max(i*blockSize, off)
		for i*blockSize < end && !n.block(i).hole() {
			i++
		}
		out = append(out, objstore.Extent{Off: from, Len: min(i*blockSize, end) - from})
	}
	return out, nil
}

// Attr implements objstore.Store.
func (s *Store) Attr(c objstore.Coll, o object.ID, name string) ([]byte, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return nil, err
	}
	v, ok := n.attr(name)
	if !ok {
		return nil, objstore.ErrNoAttr
	}
	return slices.Clone(v), nil
}

// Attrs implements objstore.Store.
func (s *Store) Attrs(c objstore.Coll, o object.ID) (map[string][]byte, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return nil, err
	}
	m := make(map[string][]byte, len(n.attrs))
	for _, kv := range n.attrs {
		m[kv.Key] = slices.Clone(kv.Value)
	}
	return m, nil
}

// OmapHeader implements objstore.Store.
func (s *Store) OmapHeader(c objstore.Coll, o object.ID) ([]byte, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.header), nil
}

// OmapGet implements objstore.Store.
func (s *Store) OmapGet(c objstore.Coll, o object.ID, keys []string) (map[string][]byte, error) {
	_, n, err := s.lookup(c, o)
	if err != nil {
		return nil, err
	}
	m := make(map[string][]byte, len(keys))
	if !n.omap {
		return m, nil
	}
	var key []byte
	for _, k := range keys {
		key = omapKey(key[:0], n.nid, k)
		v, err := s.get(key)
		if err != nil {
			s.damaged(c, err)
			return nil, err
		}
		if v != nil {
			m[k] = v
		}
	}
	return m, nil
}

// OmapScan implements objstore.Store.
func (s *Store) OmapScan(c objstore.Coll, o object.ID, from string, f func(key string, value []byte) bool) (err error) {
	_, n, err := s.lookup(c, o)
	if err != nil || !n.omap {
		return err
	}
	defer func() { s.damaged(c, err) }()
	it, err := s.iter(omapKey(nil, n.nid, from), omapKey(nil, n.nid+1, ""))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return s.corrupt("omap", err)
		}
		if !f(string(it.Key()[9:]), v) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return s.corrupt("omap", err)
	}
	return nil
}

// List implements objstore.Store.
func (s *Store) List(c objstore.Coll, from object.ID, n int) (ids []object.ID, next object.ID, err error) {
	k, err := s.coll(c)
	if err != nil {
		return nil, object.ID{}, err
	}
	defer func() { s.damaged(c, err) }()
	it, err := s.iter(onodeKey(nil, k.id, &from), numKey(keyOnode, k.id+1))
	if err != nil {
		return nil, object.ID{}, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		_, o, err := decodeOnodeKey(it.Key())
		if err != nil {
			return nil, object.ID{}, s.corrupt("onode key", err)
		}
		if len(ids) >= n {
			return ids, o, nil
		}
		ids = append(ids, o)
	}
	if err := it.Error(); err != nil {
		return nil, object.ID{}, s.corrupt("collection", err)
	}
	return ids, object.MaxID, nil
}

// Collections implements objstore.Store.
func (s *Store) Collections() ([]objstore.Coll, error) {
	var out []objstore.Coll
	for c := range *s.colls.Load() {
		if !c.Meta {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b objstore.Coll) int { return a.PG.Compare(b.PG) })
	return out, nil
}
