package scrub

import (
	"errors"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// Limits bound what one step of a [Builder] reads.
type Limits struct {
	Stride uint64 // bytes, about (osd_deep_scrub_stride)
	Keys   int    // of an omap (osd_deep_scrub_keys)
}

// metaCost is about how many bytes are read to look at an object or a key.
const (
	metaCost = 4096
	keyCost  = 64
)

// Builder makes the map of a chunk, a step at a time (ScrubMapBuilder). What is
// written to the chunk between steps makes the map worthless: its owner must give
// it up.
type Builder struct {
	store      objstore.Store
	coll       objstore.Coll
	begin, end object.ID
	deep       bool
	limits     Limits
	skip       func(object.ID) bool

	out    Map
	listed bool
	at     int // object that is being read
	// Of that object, in a deep scrub.
	off     uint64 // of its data
	from    string // of its omap
	inOmap  bool
	data    uint32
	omap    uint32
	keys    uint64
	bytes   uint64
	cost    uint64 // of this step so far, in bytes
	scratch wire.Encoder
}

// NewBuilder begins the map of the objects in [begin, end) but those that skip
// names, which are not clients'.
func NewBuilder(store objstore.Store, coll objstore.Coll, begin, end object.ID, deep bool, limits Limits, skip func(object.ID) bool) *Builder {
	limits.Stride, limits.Keys = max(limits.Stride, 1), max(limits.Keys, 1)
	return &Builder{store: store, coll: coll, begin: begin, end: end, deep: deep, limits: limits, skip: skip}
}

// listBatch is how many objects are listed at a time.
const listBatch = 128

// Step does the next piece of work and reports whether the map is whole.
func (b *Builder) Step() (done bool) {
	for b.cost = 0; b.cost < b.limits.Stride; {
		switch {
		case !b.listed:
			b.list()
		case b.at == len(b.out.Objects):
			return true
		case b.read(&b.out.Objects[b.at]):
			b.at++
			b.off, b.from, b.inOmap, b.keys, b.bytes = 0, "", false, 0, 0
		}
	}
	return b.listed && b.at == len(b.out.Objects)
}

// Map returns the map once it is whole; then it is the caller's.
func (b *Builder) Map() *Map { return &b.out }

func (b *Builder) list() {
	b.cost += metaCost
	ids, next, err := b.store.List(b.coll, b.begin, listBatch)
	if err != nil {
		b.out, b.listed = Map{Unlistable: true}, true
		return
	}
	for _, id := range ids {
		if id.Compare(b.end) >= 0 {
			b.listed = true
			return
		}
		if b.skip == nil || !b.skip(id) {
			b.out.Objects = append(b.out.Objects, Object{ID: id})
		}
	}
	b.begin = next
	b.listed = next.Compare(b.end) >= 0
}

// read takes in the next part of an object and reports whether that was the last.
func (b *Builder) read(o *Object) bool {
	if b.off == 0 && !b.inOmap {
		if !b.stat(o) {
			return true
		}
		b.data, b.omap = ^uint32(0), ^uint32(0)
	}
	var err error
	switch {
	case !b.deep:
		return true
	case !b.inOmap && b.off < o.Size:
		err = b.readData(o)
	case !b.inOmap:
		o.Data = Digest{true, b.data}
		b.inOmap = true
		var header []byte
		if header, err = b.store.OmapHeader(b.coll, o.ID); err == nil {
			b.omap = wire.CRC32C(b.omap, header)
		}
	default:
		var last bool
		if last, err = b.readOmap(o); last && err == nil {
			o.Omap = Digest{true, b.omap}
			o.OmapKeys, o.OmapBytes = b.keys, b.bytes
			return true
		}
	}
	if err != nil {
		o.ReadError, o.Data, o.Omap = true, Digest{}, Digest{}
		return true
	}
	return false
}

// stat reads what is known of an object beside its content, and reports whether
// that is worth reading.
func (b *Builder) stat(o *Object) bool {
	b.cost += metaCost
	info, err := b.store.Stat(b.coll, o.ID)
	if err == nil {
		o.Size = info.Size
		o.Attrs, err = b.store.Attrs(b.coll, o.ID)
	}
	if err != nil {
		o.StatError, o.Attrs = true, nil
		return false
	}
	return true
}

func (b *Builder) readData(o *Object) error {
	l, err := b.store.Read(b.coll, o.ID, b.off, min(b.limits.Stride, o.Size-b.off))
	if err != nil {
		return err
	}
	for _, r := range l {
		b.data = r.CRC32C(b.data)
	}
	n := l.Len()
	l.Release()
	if n == 0 {
		return errShort
	}
	b.off += uint64(n)
	b.cost += uint64(n)
	return nil
}

var errShort = errors.New("fewer bytes than the object has")

// readOmap takes in some keys and reports whether those were the last.
func (b *Builder) readOmap(o *Object) (last bool, err error) {
	n, next := 0, ""
	e := &b.scratch
	err = b.store.OmapScan(b.coll, o.ID, b.from, func(key string, value []byte) bool {
		if n == b.limits.Keys || n > 0 && uint64(len(value)) > b.limits.Stride {
			next = key
			return false
		}
		n++
		b.keys++
		b.bytes += uint64(len(value))
		b.cost += keyCost + uint64(len(value))
		e.Reset()
		e.Str(key)
		e.Blob(value)
		b.omap = wire.CRC32C(b.omap, e.Bytes())
		return true
	})
	b.from = next
	return next == "", err
}
