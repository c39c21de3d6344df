package recovery

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// What the copies of a group say to each other, beside [Push] and [Interval].

// Pull asks a copy for a piece of an object (PullOp). The copy answers with a
// Push, or with a PushReply that says why not. It keeps nothing of it in mind: each
// piece is asked for with all that is needed.
type Pull struct {
	Object  object.ID
	Version object.Version
	At      Cursor
	Max     uint32          // bytes of a piece
	There   []object.SnapID // versions of the object that the asker has; the same for all pieces
}

func (p *Pull) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	p.Object.Encode(e)
	p.Version.Encode(e)
	p.At.encode(e)
	e.U32(p.Max)
	wire.EncodeSlice(e, p.There, func(s object.SnapID) { e.U64(uint64(s)) })
	e.End(m)
}

func (p *Pull) Decode(d *wire.Decoder) {
	env := d.Begin("recovery.Pull", 1)
	p.Object.Decode(d)
	p.Version.Decode(d)
	p.At.decode(d)
	p.Max = d.U32()
	p.There = wire.DecodeSlice(d, 8, func() object.SnapID { return object.SnapID(d.U64()) })
	d.End(env)
}

// PushReply says that a piece is durable, or what went wrong (PushReplyOp).
type PushReply struct {
	Object  object.ID
	Version object.Version
	Next    Cursor
	Errno   errno.Errno // 0; EINVAL: begin again; EIO: it cannot be read here; ENOENT: it is not here
}

func (r *PushReply) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	r.Object.Encode(e)
	r.Version.Encode(e)
	r.Next.encode(e)
	e.S32(int32(r.Errno))
	e.End(m)
}

func (r *PushReply) Decode(d *wire.Decoder) {
	env := d.Begin("recovery.PushReply", 1)
	r.Object.Decode(d)
	r.Version.Decode(d)
	r.Next.decode(d)
	r.Errno = errno.Errno(d.S32())
	d.End(env)
}

// Remove tells a backfill target which versions of an object it must not have
// (MOSDPGBackfillRemove). The target says Removed when that is durable.
type Remove struct {
	Head    object.ID
	Objects []object.ID
}

func (r *Remove) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	r.Head.Encode(e)
	wire.EncodeSlice(e, r.Objects, func(o object.ID) { o.Encode(e) })
	e.End(m)
}

// Decode refuses objects that are no versions of the head.
func (r *Remove) Decode(d *wire.Decoder) {
	env := d.Begin("recovery.Remove", 1)
	r.Head.Decode(d)
	r.Objects = wire.DecodeSlice(d, 6, func() (o object.ID) {
		if o.Decode(d); d.Err() == nil && (o.Head() != r.Head || o.Name == "" || o.Max) {
			d.Fail(fmt.Errorf("%v is no version of %v: %w", o, r.Head, errno.EINVAL))
		}
		return o
	})
	d.End(env)
}

// Encode writes the question that a scan is.
func (s *ScanRequest) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	s.From.Encode(e)
	e.U32(uint32(s.Max))
	e.End(m)
}

// Decode reads all but who was asked.
func (s *ScanRequest) Decode(d *wire.Decoder) {
	env := d.Begin("recovery.ScanRequest", 1)
	s.From.Decode(d)
	if s.Max = int(d.U32()); d.Err() == nil && (s.Max < 1 || s.Max > maxScan) {
		d.Failf("scan of %d objects", s.Max)
	}
	d.End(env)
}

// maxScan bounds the memory of an interval.
const maxScan = 1 << 16
