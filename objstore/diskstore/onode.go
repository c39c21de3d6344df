package diskstore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/objstore"
)

// segBlocks is how many blocks of an object a segment maps: 512 KiB. It bounds
// what is written again for a small change in a large object.
const segBlocks = 128

// block is where a block of an object is, and what it must hold.
type block struct {
	at  uint64 // block of the file, zero for a hole; shared may be set
	crc uint32
}

// shared marks a block that has, or once had, more than one reference: before
// it is freed its count must be looked up.
const shared = 1 << 63

func (b block) phys() uint64 { return b.at &^ shared }
func (b block) hole() bool   { return b.at == 0 }

// segment is a part of the block map; blocks that are left out at the end are
// holes.
type segment struct{ blocks []block }

type segRef struct {
	no    uint64
	seg   *segment
	dirty bool // in a transaction: a private copy, to be written
}

// onode is what is known of an object. In the cache it does not change.
//
// Invariants: attrs ascend by name; segs ascend by number and none is all
// holes; no block lies wholly beyond size; bytes of the last block beyond size
// are zeros.
type onode struct {
	nid    uint64 // names its segments and omap; never used again
	size   uint64
	omap   bool // there may be omap keys
	attrs  []objstore.KV
	header []byte
	segs   []segRef
}

// inline reports whether the block map is within the onode's own record.
func (n *onode) inline() bool { return len(n.segs) <= 1 }

func (n *onode) find(no uint64) (int, bool) {
	return slices.BinarySearchFunc(n.segs, no, func(r segRef, no uint64) int { return cmp.Compare(r.no, no) })
}

// block returns the block of an object's block number.
func (n *onode) block(i uint64) block {
	k, ok := n.find(i / segBlocks)
	if !ok {
		return block{}
	}
	if b := n.segs[k].seg.blocks; i%segBlocks < uint64(len(b)) {
		return b[i%segBlocks]
	}
	return block{}
}

func (n *onode) attr(name string) ([]byte, bool) {
	i, ok := findAttr(n.attrs, name)
	if !ok {
		return nil, false
	}
	return n.attrs[i].Value, true
}

func findAttr(attrs []objstore.KV, name string) (int, bool) {
	return slices.BinarySearchFunc(attrs, name, func(kv objstore.KV, name string) int { return cmp.Compare(kv.Key, name) })
}

// cost is about how much memory the onode takes.
func (n *onode) cost() int {
	c := 160 + len(n.header)
	for i := range n.attrs {
		c += 40 + len(n.attrs[i].Key) + len(n.attrs[i].Value)
	}
	for i := range n.segs {
		c += 56 + 16*cap(n.segs[i].seg.blocks)
	}
	return c
}

// Encoding of onodes and segments. Numbers are varints, strings and byte
// strings have their length before them.

const (
	onodeVersion = 1

	onodeOmap     = 1 << 0
	onodeInline   = 1 << 1 // a segment follows in the record
	onodeSegments = 1 << 2 // segments have records of their own
)

func (n *onode) encode(b []byte) []byte {
	flags := byte(0)
	if n.omap {
		flags |= onodeOmap
	}
	if len(n.segs) == 1 {
		flags |= onodeInline
	} else if len(n.segs) > 1 {
		flags |= onodeSegments
	}
	b = append(b, onodeVersion, flags)
	b = binary.AppendUvarint(b, n.nid)
	b = binary.AppendUvarint(b, n.size)
	b = appendBytes(b, n.header)
	b = binary.AppendUvarint(b, uint64(len(n.attrs)))
	for i := range n.attrs {
		b = binary.AppendUvarint(b, uint64(len(n.attrs[i].Key)))
		b = append(b, n.attrs[i].Key...)
		b = appendBytes(b, n.attrs[i].Value)
	}
	if len(n.segs) == 1 {
		b = binary.AppendUvarint(b, n.segs[0].no)
		b = n.segs[0].seg.encode(b)
	}
	return b
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// encode appends runs of blocks that lie side by side, in the object and in the
// file: u8 length, which ends the list if it is zero, with the top bit set if
// they are shared; varint number of holes before; varint block of the file;
// the checksums, four bytes each.
func (s *segment) encode(b []byte) []byte {
	holes := 0
	for i := 0; i < len(s.blocks); {
		first := s.blocks[i]
		if first.hole() {
			holes++
			i++
			continue
		}
		n := 1
		for i+n < len(s.blocks) && n < 127 && s.blocks[i+n].at == first.at+uint64(n) {
			n++
		}
		head := byte(n)
		if first.at&shared != 0 {
			head |= 0x80
		}
		b = append(b, head)
		b = binary.AppendUvarint(b, uint64(holes))
		b = binary.AppendUvarint(b, first.phys())
		for _, x := range s.blocks[i : i+n] {
			b = binary.LittleEndian.AppendUint32(b, x.crc)
		}
		i += n
		holes = 0
	}
	return append(b, 0)
}

var errRecord = errors.New("malformed record")

// reader takes varint-coded records apart; after an error all is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return errRecord
	}
	return nil
}

// decodeOnode keeps nothing of b. If more is set there are segments, which the
// caller must add.
func decodeOnode(b []byte) (n *onode, more bool, err error) {
	r := reader{b: slices.Clone(b)}
	n = &onode{}
	if v := r.byte(); v != onodeVersion {
		return nil, false, fmt.Errorf("onode version %d: %w", v, errRecord)
	}
	flags := r.byte()
	n.omap = flags&onodeOmap != 0
	n.nid = r.uint()
	n.size = r.uint()
	if h := r.bytes(); len(h) > 0 {
		n.header = h
	}
	count := r.uint()
	if count > uint64(len(r.b))/2 {
		return nil, false, errRecord
	}
	if count > 0 {
		n.attrs = make([]objstore.KV, 0, count)
	}
	for i := range count {
		n.attrs = append(n.attrs, objstore.KV{Key: string(r.bytes()), Value: r.bytes()})
		if i > 0 && n.attrs[i-1].Key >= n.attrs[i].Key {
			r.bad = true
		}
	}
	if flags&onodeInline != 0 {
		no := r.uint()
		n.segs = []segRef{{no: no, seg: r.segment()}}
	}
	more = flags&onodeSegments != 0
	if flags&^(onodeOmap|onodeInline|onodeSegments) != 0 || more && n.segs != nil || n.size > objstore.MaxObjectSize {
		r.bad = true
	}
	if err := r.end(); err != nil {
		return nil, false, err
	}
	return n, more, n.check()
}

func decodeSegment(b []byte) (*segment, error) {
	r := reader{b: b}
	s := r.segment()
	return s, r.end()
}

func (r *reader) segment() *segment {
	s := &segment{}
	for {
		head := r.byte()
		if head == 0 {
			break
		}
		holes, at := r.uint(), r.uint()
		n := int(head & 0x7f)
		if n == 0 || holes > segBlocks || len(s.blocks)+int(holes)+n > segBlocks || at == 0 || at >= shared-segBlocks || len(r.b) < 4*n {
			r.bad, r.b = true, nil
			break
		}
		if s.blocks == nil {
			s.blocks = make([]block, 0, int(holes)+n)
		}
		for range holes {
			s.blocks = append(s.blocks, block{})
		}
		for i := range n {
			x := block{at: at + uint64(i), crc: binary.LittleEndian.Uint32(r.b[4*i:])}
			if head&0x80 != 0 {
				x.at |= shared
			}
			s.blocks = append(s.blocks, x)
		}
		r.b = r.b[4*n:]
	}
	if len(s.blocks) == 0 {
		r.bad = true
	}
	return s
}

// check verifies the invariants of the block map.
func (n *onode) check() error {
	for i, r := range n.segs {
		if i > 0 && n.segs[i-1].no >= r.no {
			return fmt.Errorf("segment %d after %d: %w", r.no, n.segs[i-1].no, errRecord)
		}
		k := len(r.seg.blocks)
		if k == 0 || k > segBlocks || r.seg.blocks[k-1].hole() || r.no > objstore.MaxObjectSize ||
			(r.no*segBlocks+uint64(k)-1)*blockSize >= n.size {
			return fmt.Errorf("segment %d with %d blocks in an object of %d bytes: %w", r.no, k, n.size, errRecord)
		}
	}
	return nil
}
