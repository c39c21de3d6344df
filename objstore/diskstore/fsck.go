package diskstore

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// FindingKind is what is wrong.
type FindingKind string

const (
	BadRecord   FindingKind = "bad-record"   // metadata that cannot be read
	BadData     FindingKind = "bad-data"     // a block that does not hold what was written, or cannot be read
	DoubleUse   FindingKind = "double-use"   // a block with two owners that is not marked as shared
	BadRefCount FindingKind = "bad-refcount" // a reference count that differs from the references
	NotInUse    FindingKind = "not-in-use"   // a block of an object that the bitmap calls free
	Leaked      FindingKind = "leaked"       // a block in use that nothing refers to
	Orphan      FindingKind = "orphan"       // a segment, omap entry or onode whose owner does not exist
	BadUsage    FindingKind = "bad-usage"    // counters of usage that differ from what is there
)

// Finding is something wrong with a store.
type Finding struct {
	Kind   FindingKind   `json:"kind"`
	Coll   objstore.Coll `json:"-"`
	Object object.ID     `json:"-"` // of the zero pool and no name if it is none
	Where  string        `json:"where"`
	Detail string        `json:"detail"`
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Kind, f.Where, f.Detail) }

// Report is the outcome of a check.
type Report struct {
	Collections int       `json:"collections"`
	Objects     int       `json:"objects"`
	Blocks      uint64    `json:"blocks"`    // that objects refer to, each once
	Shared      uint64    `json:"shared"`    // of these, with more than one reference
	OmapKeys    uint64    `json:"omap_keys"` //
	Verified    uint64    `json:"verified"`  // blocks that were read
	Findings    []Finding `json:"findings"`  // at most maxFindings
	More        int       `json:"more"`      // findings that were left out
	UUID        string    `json:"uuid"`      //
	Replayed    uint64    `json:"replayed"`  // records of the journal
}

const maxFindings = 1000

// Check opens a store that is not in use, checks everything against everything,
// with deep also each block's content, and closes it. Opening replays the
// journal; apart from that nothing is changed. An error means that the check
// could not be made.
func Check(dir string, opt Options, deep bool) (*Report, error) {
	s, err := Open(dir, opt)
	if err != nil {
		return nil, err
	}
	r, err := s.Check(deep)
	if e := s.Close(); err == nil {
		err = e
	}
	return r, err
}

// checker walks a store.
type checker struct {
	s     *Store
	deep  bool
	r     *Report
	seen  *alloc.Bitmap     // blocks that something refers to
	count map[uint64]uint32 // references of blocks marked as shared
	nids  map[uint64]nidUse

	stored uint64
	blind  bool // not all could be read: what seems to be nobody's may be somebody's
}

type nidUse struct {
	where    string
	segments bool
	omap     bool
}

// Check is the check on an open store. Submit waits meanwhile.
func (s *Store) Check(deep bool) (*Report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, objstore.ErrClosed
	}
	s.space.mu.Lock()
	size := s.space.used.Size()
	s.space.mu.Unlock()
	c := &checker{
		s: s, deep: deep,
		r:     &Report{UUID: s.super.uuid(), Replayed: s.stats.replayed.Load()},
		seen:  alloc.New(size),
		count: map[uint64]uint32{},
		nids:  map[uint64]nidUse{},
	}
	for _, f := range []func() error{c.onodes, c.segments, c.omaps, c.refs, c.bitmap} {
		if err := f(); err != nil {
			return nil, err
		}
		if c.blind {
			return c.r, nil
		}
	}
	if st := s.state; st.stored != c.stored || st.allocated != c.r.Blocks {
		c.find(BadUsage, "store", "counts %d bytes stored and %d blocks allocated, there are %d and %d", st.stored, st.allocated, c.stored, c.r.Blocks)
	}
	return c.r, nil
}

func (c *checker) find(k FindingKind, where, format string, args ...any) *Finding {
	f := Finding{Kind: k, Where: where, Detail: fmt.Sprintf(format, args...)}
	if len(c.r.Findings) >= maxFindings {
		c.r.More++
		return &f
	}
	c.r.Findings = append(c.r.Findings, f)
	return &c.r.Findings[len(c.r.Findings)-1]
}

// scan calls f for all records of a kind.
func (c *checker) scan(kind byte, f func(k, v []byte)) error {
	it, err := c.s.iter([]byte{kind}, []byte{kind + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			break // Error says it again
		}
		f(it.Key(), v)
	}
	if err := it.Error(); err != nil {
		c.blind = true
		c.find(BadRecord, fmt.Sprintf("records %q", kind), "%v", err)
	}
	return nil
}

func (c *checker) onodes() error {
	colls := map[uint64]objstore.Coll{}
	for name, k := range *c.s.colls.Load() {
		colls[k.id] = name
	}
	c.r.Collections = len(colls)
	return c.scan(keyOnode, func(k, v []byte) {
		id, o, err := decodeOnodeKey(k)
		if err != nil {
			c.find(BadRecord, fmt.Sprintf("onode key %x", k), "%v", err)
			return
		}
		coll, ok := colls[id]
		where := fmt.Sprintf("%v in %v", o, coll)
		if !ok {
			c.find(Orphan, where, "there is no collection %d", id)
		}
		n, more, err := decodeOnode(v)
		if err == nil && more {
			err = c.s.loadSegments(n)
		}
		if err != nil {
			c.find(BadRecord, where, "%v", err)
			return
		}
		c.r.Objects++
		c.stored += n.size
		if n.nid == 0 || n.nid >= c.s.state.nextNID {
			c.find(BadRecord, where, "number %d, the next is %d", n.nid, c.s.state.nextNID)
		}
		if u, ok := c.nids[n.nid]; ok {
			c.find(BadRecord, where, "has the number %d of %s", n.nid, u.where)
		}
		c.nids[n.nid] = nidUse{where, more, n.omap}
		for _, r := range n.segs {
			for i, b := range r.seg.blocks {
				if !b.hole() {
					c.block(where, (r.no*segBlocks+uint64(i))*blockSize, b, coll, o)
				}
			}
		}
	})
}

func (c *checker) block(where string, off uint64, b block, coll objstore.Coll, o object.ID) {
	at := b.phys()
	if at < c.s.super.DataOff/blockSize || at >= c.seen.Size() {
		c.find(BadRecord, where, "byte %d is in block %d, beyond the data", off, at)
		return
	}
	if b.at&shared != 0 {
		c.count[at]++
	}
	r := alloc.Run{Start: at, Len: 1}
	switch {
	case c.seen.Unused(r):
		_ = c.seen.Mark(r)
		c.r.Blocks++
	case b.at&shared == 0 || c.count[at] < 2:
		c.find(DoubleUse, where, "byte %d is in block %d, which has another owner", off, at)
	}
	if !c.deep {
		return
	}
	var buf [blockSize]byte
	c.r.Verified++
	if err := c.s.readBlock(buf[:], b); err != nil {
		f := c.find(BadData, where, "byte %d, in block %d: %v", off, at, err)
		f.Coll, f.Object = coll, o
	}
}

func (c *checker) segments() error {
	return c.scan(keySegment, func(k, v []byte) {
		if _, err := segmentNo(k); err != nil {
			c.find(BadRecord, fmt.Sprintf("segment key %x", k), "%v", err)
			return
		}
		nid := binary.BigEndian.Uint64(k[1:])
		if u, ok := c.nids[nid]; !ok || !u.segments {
			c.find(Orphan, fmt.Sprintf("segment %x", k), "no object has it")
		}
	})
}

func (c *checker) omaps() error {
	bad := uint64(0)
	return c.scan(keyOmap, func(k, v []byte) {
		c.r.OmapKeys++
		if len(k) < 9 {
			c.find(BadRecord, fmt.Sprintf("omap key %x", k), "too short")
			return
		}
		nid := binary.BigEndian.Uint64(k[1:])
		if u, ok := c.nids[nid]; (!ok || !u.omap) && nid != bad {
			bad = nid // once for each
			c.find(Orphan, fmt.Sprintf("omap %d", nid), "no object has it")
		}
	})
}

func (c *checker) refs() error {
	err := c.scan(keyRefs, func(k, v []byte) {
		if len(k) != 9 {
			c.find(BadRecord, fmt.Sprintf("reference key %x", k), "bad length")
			return
		}
		chunk := binary.BigEndian.Uint64(k[1:])
		counts, err := decodeRefChunk(v)
		if err != nil {
			c.find(BadRecord, fmt.Sprintf("reference counts %d", chunk), "%v", err)
			return
		}
		for i, n := range counts {
			at := chunk*refBlocks + uint64(i)
			if n == 0 {
				continue
			}
			c.r.Shared++
			if c.count[at] != n {
				c.find(BadRefCount, fmt.Sprintf("block %d", at), "count is %d, there are %d references", n, c.count[at])
			}
			delete(c.count, at)
		}
	})
	for at, n := range c.count {
		if n > 1 {
			c.find(BadRefCount, fmt.Sprintf("block %d", at), "no count, there are %d references", n)
		}
	}
	return err
}

// bitmap compares the blocks in use with those that were seen.
func (c *checker) bitmap() error {
	s := c.s
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	s.recMu.Lock()
	defer s.recMu.Unlock()
	// Blocks that wait for a checkpoint are in use and nobody's.
	for _, r := range s.records {
		for _, f := range r.frees {
			if !c.seen.Unused(f) {
				c.find(DoubleUse, fmt.Sprintf("blocks %d~%d", f.Start, f.Len), "were given up and are referred to")
				continue
			}
			_ = c.seen.Mark(f)
		}
	}
	if err := c.seen.Mark(alloc.Run{Start: 0, Len: s.super.DataOff / blockSize}); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	var used, seen []byte
	for chunk := range c.seen.Chunks() {
		used, seen = s.space.used.AppendChunk(used[:0], chunk), c.seen.AppendChunk(seen[:0], chunk)
		c.compare(chunk, used, seen, Leaked, "are in use, nothing refers to them")
		c.compare(chunk, seen, used, NotInUse, "are referred to, the bitmap calls them free")
	}
	return nil
}

// compare finds the runs of blocks that are in a and not in b.
func (c *checker) compare(chunk int, a, b []byte, kind FindingKind, detail string) {
	var r alloc.Run
	flush := func() {
		if r.Len > 0 {
			c.find(kind, fmt.Sprintf("blocks %d~%d", r.Start, r.Len), "%s", detail)
		}
		r = alloc.Run{}
	}
	for i := range a {
		d := a[i] &^ b[i]
		for d != 0 {
			k := bits.TrailingZeros8(d)
			d &^= 1 << k
			at := uint64(chunk)*alloc.ChunkBlocks + uint64(i*8+k)
			if r.Len > 0 && r.End() == at {
				r.Len++
				continue
			}
			flush()
			r = alloc.Run{Start: at, Len: 1}
		}
	}
	flush()
}

func (s *Superblock) uuid() string {
	u := s.UUID
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
