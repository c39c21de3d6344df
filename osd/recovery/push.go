package recovery

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/wire"
)

// Cursor is how far the transfer of an object is (ObjectRecoveryProgress): its
// omap goes first, then its data. The zero value is the beginning.
type Cursor struct {
	Begun    bool   // attributes, omap header and size are there
	OmapDone bool   // and all omap entries,
	Omap     string // else those below this key
	Data     uint64 // bytes below this offset that have to travel
	Done     bool
}

func (c Cursor) encode(e *wire.Encoder) {
	e.Bool(c.Begun)
	e.Bool(c.OmapDone)
	e.Str(c.Omap)
	e.U64(c.Data)
	e.Bool(c.Done)
}

func (c *Cursor) decode(d *wire.Decoder) {
	c.Begun = d.Bool()
	c.OmapDone = d.Bool()
	c.Omap = d.Str()
	c.Data = d.U64()
	c.Done = d.Bool()
}

// Borrow is bytes that an object has in common with another version of it that
// is there already: they do not travel.
type Borrow struct {
	From  object.SnapID // the version: a clone, or object.NoSnap for the head
	Bytes extent.Set
}

// Push is one piece of an object on its way to another OSD (PushOp).
type Push struct {
	Object  object.ID
	Version object.Version
	Size    uint64 // of the data, when all of it has arrived
	At      Cursor // where this piece begins
	Next    Cursor // and where the next does

	// With the first piece.
	Attrs   []objstore.KV // in order of their names
	Borrows []Borrow      // in the order in which they are to be taken
	Header  []byte        // of the omap

	Omap  []objstore.KV // in order
	Bytes extent.Set    // that Data has, one after the other
	Data  buffer.List   // travels beside the encoding
}

// Cost is the bytes that the piece holds in memory, about.
func (p *Push) Cost() int {
	n := p.Data.Len() + len(p.Header)
	for _, list := range [][]objstore.KV{p.Attrs, p.Omap} {
		for _, kv := range list {
			n += len(kv.Key) + len(kv.Value)
		}
	}
	return n
}

// Release drops the references to the data.
func (p *Push) Release() {
	p.Data.Release()
	p.Data = nil
}

const pushVersion = 1

// Encode writes the piece without its data.
func (p *Push) Encode(e *wire.Encoder) {
	m := e.Begin(pushVersion, 1)
	p.Object.Encode(e)
	p.Version.Encode(e)
	e.U64(p.Size)
	p.At.encode(e)
	p.Next.encode(e)
	encodeKVs(e, p.Attrs)
	wire.EncodeSlice(e, p.Borrows, func(b Borrow) { e.U64(uint64(b.From)); b.Bytes.Encode(e) })
	e.Blob(p.Header)
	encodeKVs(e, p.Omap)
	p.Bytes.Encode(e)
	e.End(m)
}

// Decode reads what Encode has written. [Push.SetData] must follow.
func (p *Push) Decode(d *wire.Decoder) {
	env := d.Begin("recovery.Push", pushVersion)
	p.Object.Decode(d)
	p.Version.Decode(d)
	p.Size = d.U64()
	p.At.decode(d)
	p.Next.decode(d)
	p.Attrs = decodeKVs(d)
	p.Borrows = wire.DecodeSlice(d, 12, func() (b Borrow) {
		b.From = object.SnapID(d.U64())
		b.Bytes.Decode(d)
		return b
	})
	p.Header = slices.Clone(d.Blob())
	p.Omap = decodeKVs(d)
	p.Bytes.Decode(d)
	d.End(env)
}

// SetData gives a decoded piece its data, which it takes a reference of, and
// checks that all of it makes sense; EINVAL if not.
func (p *Push) SetData(l buffer.List) error {
	if n := p.Bytes.Size(); n != uint64(l.Len()) {
		return fmt.Errorf("push of %v: %d bytes of data for %v: %w", p.Object, l.Len(), p.Bytes, errno.EINVAL)
	}
	p.Data = l
	if err := p.check(); err != nil {
		p.Data = nil
		return err
	}
	p.Data.Retain()
	return nil
}

// check says what is wrong with the piece, whatever the receiver has.
func (p *Push) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("push of %v: %s: %w", p.Object, fmt.Sprintf(format, args...), errno.EINVAL)
	}
	switch {
	case p.Object.Max || p.Object.Name == "" || p.Object.Pool < 0:
		return bad("it is no object of clients")
	case p.Size > objstore.MaxObjectSize:
		return bad("its size is %d", p.Size)
	case p.At.Begun && len(p.Attrs)+len(p.Borrows)+len(p.Header) > 0:
		return bad("a later piece with attributes")
	case p.At.Done || !p.Next.Begun || p.Next.Data < p.At.Data || p.At.OmapDone && !p.Next.OmapDone || p.Next.Done && !p.Next.OmapDone:
		return bad("goes from %+v to %+v", p.At, p.Next)
	}
	within := func(s extent.Set, from, to uint64) bool {
		return len(s) == 0 || s[0].Off >= from && s[len(s)-1].End <= to
	}
	if !within(p.Bytes, p.At.Data, min(p.Next.Data, p.Size)) {
		return bad("bytes %v of %d, from %d to %d", p.Bytes, p.Size, p.At.Data, p.Next.Data)
	}
	for _, b := range p.Borrows {
		if b.From == p.Object.Snap || !within(b.Bytes, 0, p.Size) {
			return bad("bytes %v of %d from version %d", b.Bytes, p.Size, b.From)
		}
	}
	return nil
}

func encodeKVs(e *wire.Encoder, kvs []objstore.KV) {
	wire.EncodeSlice(e, kvs, func(kv objstore.KV) { e.Str(kv.Key); e.Blob(kv.Value) })
}

func decodeKVs(d *wire.Decoder) []objstore.KV {
	return wire.DecodeSlice(d, 8, func() objstore.KV { return objstore.KV{Key: d.Str(), Value: slices.Clone(d.Blob())} })
}
