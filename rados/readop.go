package rados

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// ReadOp is a sequence of steps that changes nothing, executed by Pool.Query.
// The zero value is empty.
//
//	var op rados.ReadOp
//	stat := op.Stat()
//	head := op.Read(0, 4096)
//	if err := pool.Query(ctx, "greeting", &op); err != nil { ... }
//	fmt.Println(stat.Size, head.Data)
type ReadOp struct{ Steps }

// Read reads n bytes at off, fewer at the object's end. With n 0 it reads to the
// end.
func (op *ReadOp) Read(off, n uint64) *DataStep {
	return dataStep(op.add(msg.OpRead, nil, func(o *msg.Op) { o.SetExtent(off, n) }))
}

// ReadIntoStep is a read into the caller's memory.
type ReadIntoStep struct {
	*Step
	N int // bytes read
}

// ReadInto reads into p, less than its length at the object's end.
func (op *ReadOp) ReadInto(off uint64, p []byte) *ReadIntoStep {
	s := &ReadIntoStep{Step: op.add(msg.OpRead, nil, func(o *msg.Op) { o.SetExtent(off, uint64(len(p))) })}
	s.decode = func(out buffer.List) error {
		s.N = 0
		if len(p) == 0 { // length 0 asks for everything
			return nil
		}
		if out.Len() > len(p) {
			return fmt.Errorf("%w: %d bytes read, %d asked for", errno.EBADMSG, out.Len(), len(p))
		}
		for _, r := range out {
			s.N += copy(p[s.N:], r.Bytes())
		}
		return nil
	}
	return s
}

// Extent is a run of bytes.
type Extent struct{ Offset, Length uint64 }

// SparseStep is a read that leaves out holes.
type SparseStep struct {
	*Step
	Extents []Extent // in ascending order
	Data    []byte   // of the extents, one after the other
}

// SparseRead reads what is allocated of n bytes at off.
func (op *ReadOp) SparseRead(off, n uint64) *SparseStep {
	s := &SparseStep{Step: op.add(msg.OpSparseRead, nil, func(o *msg.Op) { o.SetExtent(off, n) })}
	s.decoding(func(d *wire.Decoder) {
		s.Extents = decodeExtents(d)
		s.Data = d.Blob()
		total := uint64(0)
		for _, x := range s.Extents {
			if x.Length > uint64(len(s.Data)) {
				total = math.MaxUint64
				break
			}
			total += x.Length
		}
		if d.Err() == nil && total != uint64(len(s.Data)) {
			d.Failf("extents do not add up to %d bytes of data", len(s.Data))
		}
	})
	return s
}

// ExtentsStep is a list of extents.
type ExtentsStep struct {
	*Step
	Extents []Extent
}

// MapExtents lists what is allocated of n bytes at off.
func (op *ReadOp) MapExtents(off, n uint64) *ExtentsStep {
	s := &ExtentsStep{Step: op.add(msg.OpMapExt, nil, func(o *msg.Op) { o.SetExtent(off, n) })}
	s.decoding(func(d *wire.Decoder) { s.Extents = decodeExtents(d) })
	return s
}

func decodeExtents(d *wire.Decoder) []Extent {
	x := wire.DecodeSlice(d, 16, func() Extent { return Extent{d.U64(), d.U64()} })
	if !slices.IsSortedFunc(x, func(a, b Extent) int { return cmpUint(a.Offset, b.Offset) }) {
		d.Failf("extents out of order")
	}
	return x
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// StatStep is an object's size and time.
type StatStep struct {
	*Step
	Size    uint64
	ModTime time.Time
}

// Stat tells the object's size and time of modification.
func (op *ReadOp) Stat() *StatStep {
	s := &StatStep{Step: op.add(msg.OpStat, nil, nil)}
	s.decoding(func(d *wire.Decoder) {
		s.Size = d.U64()
		s.ModTime = d.Time()
	})
	return s
}

// Xattr reads one attribute.
func (op *ReadOp) Xattr(name string) *DataStep {
	return dataStep(op.add(msg.OpGetXattr, []byte(name), func(o *msg.Op) { o.PutU32(0, uint32(len(name))) }))
}

// XattrsStep has attributes by name.
type XattrsStep struct {
	*Step
	Xattrs map[string][]byte
}

// Xattrs reads all attributes.
func (op *ReadOp) Xattrs() *XattrsStep {
	s := &XattrsStep{Step: op.add(msg.OpGetXattrs, nil, nil)}
	s.decoding(func(d *wire.Decoder) {
		s.Xattrs = wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() })
	})
	return s
}

// OmapKeysStep has keys in ascending order.
type OmapKeysStep struct {
	*Step
	Keys []string
	More bool // there are further ones
}

// OmapKeys lists up to limit keys after a key; an empty one is before all.
func (op *ReadOp) OmapKeys(after string, limit uint64) *OmapKeysStep {
	s := &OmapKeysStep{Step: op.encoded(msg.OpOmapGetKeys, func(e *wire.Encoder) {
		e.Str(after)
		e.U64(limit)
	})}
	s.decoding(func(d *wire.Decoder) {
		s.Keys = wire.DecodeSlice(d, 4, d.Str)
		s.More = d.Bool()
	})
	return s
}

// OmapEntry is a key of an object's omap with its value.
type OmapEntry struct {
	Key   string
	Value []byte
}

// OmapStep has entries in ascending order of their keys.
type OmapStep struct {
	*Step
	Entries []OmapEntry
	More    bool // there are further ones
}

// OmapValues lists up to limit entries after a key of those with a prefix.
func (op *ReadOp) OmapValues(after, prefix string, limit uint64) *OmapStep {
	s := &OmapStep{Step: op.encoded(msg.OpOmapGetVals, func(e *wire.Encoder) {
		e.Str(after)
		e.U64(limit)
		e.Str(prefix)
	})}
	s.decoding(func(d *wire.Decoder) {
		s.Entries = decodeOmap(d)
		s.More = d.Bool()
	})
	return s
}

// OmapValuesByKeys reads the entries of those keys that exist.
func (op *ReadOp) OmapValuesByKeys(keys ...string) *OmapStep {
	s := &OmapStep{Step: op.encoded(msg.OpOmapGetByKeys, func(e *wire.Encoder) { encodeSet(e, keys) })}
	s.decoding(func(d *wire.Decoder) { s.Entries = decodeOmap(d) })
	return s
}

func decodeOmap(d *wire.Decoder) []OmapEntry {
	return wire.DecodeSlice(d, 8, func() OmapEntry { return OmapEntry{d.Str(), d.Blob()} })
}

// encodeSet encodes a set<string>, which is sorted and without repetitions.
func encodeSet(e *wire.Encoder, s []string) {
	s = slices.Clone(s)
	slices.Sort(s)
	wire.EncodeSlice(e, slices.Compact(s), e.Str)
}

// OmapHeader reads the omap's header.
func (op *ReadOp) OmapHeader() *DataStep { return dataStep(op.add(msg.OpOmapGetHeader, nil, nil)) }

// ChecksumType is a checksum that OSDs compute.
type ChecksumType uint8

const (
	XXHash32 ChecksumType = 0
	XXHash64 ChecksumType = 1
	CRC32C   ChecksumType = 2
)

// ChecksumStep has the checksums of the chunks, in order.
type ChecksumStep struct {
	*Step
	Sums []uint64
}

// Checksum computes the checksums of n bytes at off, in chunks of that many
// bytes; with chunk 0 there is one. init is the seed.
func (op *ReadOp) Checksum(t ChecksumType, init, off, n uint64, chunk uint32) *ChecksumStep {
	size := 4
	if t == XXHash64 {
		size = 8
	}
	num := func(d *wire.Decoder) uint64 {
		if size == 8 {
			return d.U64()
		}
		return uint64(d.U32())
	}
	var e wire.Encoder
	if size == 8 {
		e.U64(init)
	} else {
		e.U32(uint32(init))
	}
	s := &ChecksumStep{Step: op.add(msg.OpChecksum, e.Bytes(), func(o *msg.Op) {
		o.SetExtent(off, n)
		o.PutU32(16, chunk)
		o.Args[20] = byte(t)
	})}
	s.decoding(func(d *wire.Decoder) {
		s.Sums = wire.DecodeSlice(d, size, func() uint64 { return num(d) })
	})
	return s
}

// Watcher is a client that watches an object.
type Watcher struct {
	Client  string // client.4123
	Cookie  uint64
	Timeout time.Duration
	Addr    string // 127.0.0.1:0/42
}

// WatchersStep has who watches an object.
type WatchersStep struct {
	*Step
	Watchers []Watcher
}

// Watchers lists who watches the object.
func (op *ReadOp) Watchers() *WatchersStep {
	s := &WatchersStep{Step: op.add(msg.OpListWatchers, nil, nil)}
	s.decoding(func(d *wire.Decoder) {
		env := d.Begin("obj_list_watch_response_t", 1)
		s.Watchers = wire.DecodeSlice(d, 6, func() (w Watcher) {
			env := d.Begin("watch_item_t", 2)
			var name entity.Name
			name.Decode(d)
			w.Client = name.String()
			w.Cookie = d.U64()
			w.Timeout = time.Duration(d.U32()) * time.Second
			if env.Version >= 2 {
				var a entity.Addr
				a.Decode(d)
				w.Addr = a.Legacy()
			}
			d.End(env)
			return w
		})
		d.End(env)
	})
	return s
}

// Clone is a version of an object that snapshots share.
type Clone struct {
	ID      uint64 // HeadClone for the object itself
	Snaps   []uint64
	Overlap []Extent // what is unchanged in the next newer version
	Size    uint64
}

// HeadClone is the Clone.ID of the object as it is now.
const HeadClone = uint64(object.NoSnap)

// SnapsStep has the versions of an object, oldest first.
type SnapsStep struct {
	*Step
	Clones []Clone
	Seq    uint64 // newest snapshot the object knows of
}

// Snaps lists the versions of the object. The pool handle must be
// Pool.AllSnaps.
func (op *ReadOp) Snaps() *SnapsStep {
	s := &SnapsStep{Step: op.add(msg.OpListSnaps, nil, nil)}
	s.decoding(func(d *wire.Decoder) {
		env := d.Begin("obj_list_snap_response_t", 2)
		s.Clones = wire.DecodeSlice(d, 6, func() (c Clone) {
			env := d.Begin("clone_info", 1)
			c.ID = d.U64()
			c.Snaps = wire.DecodeSlice(d, 8, d.U64)
			c.Overlap = decodeExtents(d)
			c.Size = d.U64()
			d.End(env)
			return c
		})
		if env.Version >= 2 {
			s.Seq = d.U64()
		}
		d.End(env)
	})
	return s
}
