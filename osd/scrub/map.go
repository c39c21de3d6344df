package scrub

import (
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Names of the attributes in which a group keeps what it knows of an object.
// Those of clients begin with "_".
const (
	AttrInfo  = "oi"
	AttrSnaps = "ss"
)

// Map is an OSD's copy of a chunk (ScrubMap).
type Map struct {
	Objects []Object // ascending
	// Unlistable: the store cannot tell which objects there are.
	Unlistable bool
	Log        []EntrySum // with the last chunk, ascending
}

// Object is one copy of an object (ScrubMap::object).
type Object struct {
	ID    object.ID
	Size  uint64 // bytes in the store
	Attrs map[string][]byte
	Data  Digest // in a deep scrub: crc32c of all bytes
	Omap  Digest // likewise, of the header and of each key and value in order
	// The omap's size, in a deep scrub.
	OmapKeys, OmapBytes uint64

	StatError bool // it is there, but not what it is
	ReadError bool // data or omap cannot be read
}

// Digest is a checksum, if there is one.
type Digest struct {
	Known bool
	CRC   uint32
}

// Find returns the copy of an object, or nil.
func (m *Map) Find(id object.ID) *Object {
	i, ok := slices.BinarySearchFunc(m.Objects, id, func(o Object, id object.ID) int { return o.ID.Compare(id) })
	if !ok {
		return nil
	}
	return &m.Objects[i]
}

const (
	mapVersion = 2 // 1: no log
	// minObject is the length of an encoded object with empty names.
	minObject = 39 + 8 + 4 + 2*5 + 2*8 + 1
)

func (m *Map) Encode(e *wire.Encoder) {
	mark := e.Begin(mapVersion, 1)
	e.Bool(m.Unlistable)
	wire.EncodeSlice(e, m.Objects, func(o Object) { o.encode(e) })
	wire.EncodeSlice(e, m.Log, func(s EntrySum) { s.encode(e) })
	e.End(mark)
}

// Decode reads what Encode has written. The attributes are shared with the input.
func (m *Map) Decode(d *wire.Decoder) {
	env := d.Begin("scrub.Map", mapVersion)
	m.Unlistable = d.Bool()
	m.Objects = wire.DecodeSlice(d, minObject, func() (o Object) { o.decode(d); return o })
	if m.Log = nil; env.Version >= 2 {
		m.Log = wire.DecodeSlice(d, 12+4, func() (s EntrySum) { s.decode(d); return s })
	}
	for i := 1; i < len(m.Objects) && d.Err() == nil; i++ {
		if m.Objects[i-1].ID.Compare(m.Objects[i].ID) >= 0 {
			d.Failf("scrub map: %v after %v", m.Objects[i].ID, m.Objects[i-1].ID)
		}
	}
	d.End(env)
}

const (
	flagStatError = 1 << 0
	flagReadError = 1 << 1
)

func (o *Object) encode(e *wire.Encoder) {
	o.ID.Encode(e)
	e.U64(o.Size)
	wire.EncodeMap(e, o.Attrs, func(k string, v []byte) { e.Str(k); e.Blob(v) })
	for _, g := range []Digest{o.Data, o.Omap} {
		e.Bool(g.Known)
		e.U32(g.CRC)
	}
	e.U64(o.OmapKeys)
	e.U64(o.OmapBytes)
	flags := uint8(0)
	if o.StatError {
		flags |= flagStatError
	}
	if o.ReadError {
		flags |= flagReadError
	}
	e.U8(flags)
}

func (o *Object) decode(d *wire.Decoder) {
	o.ID.Decode(d)
	o.Size = d.U64()
	o.Attrs = wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() })
	for _, g := range []*Digest{&o.Data, &o.Omap} {
		g.Known = d.Bool()
		g.CRC = d.U32()
	}
	o.OmapKeys = d.U64()
	o.OmapBytes = d.U64()
	flags := d.U8()
	o.StatError = flags&flagStatError != 0
	o.ReadError = flags&flagReadError != 0
}
