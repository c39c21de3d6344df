// Package notify has what the clients of an image say to each other
// (librbd::watch_notify).
//
// Whoever has an image open for writing watches its header object. A notify on
// the header reaches all of them, and each may answer. So they agree on who owns
// the image:
//
//	A owns the image            B wants to write
//	     |                             |
//	     |<-------- RequestLock -------|  "will release": Response 0
//	finishes writes                    |
//	unlocks the header                 |
//	     |-------- ReleasedLock ------>|
//	     |                       locks the header
//	     |<------- AcquiredLock -------|
//
// and let the owner do what only it can do (Request.Resize and the like): the
// owner answers at once whether it is going to, tells its Progress and at last
// Complete. HeaderUpdate tells everyone to read the header again.
//
// No compatibility promise.
package notify

import (
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// Op is what a message says (NotifyOp).
type Op uint32

const (
	AcquiredLock     Op = 0 // Client owns the image now
	ReleasedLock     Op = 1 // Client does not any more
	RequestLock      Op = 2 // Client would like to
	HeaderUpdate     Op = 3
	AsyncProgress    Op = 4 // of Request: Offset of Total is done
	AsyncComplete    Op = 5 // Request has ended with Result
	Flatten          Op = 6
	Resize           Op = 7
	SnapCreate       Op = 8
	SnapRemove       Op = 9
	RebuildObjectMap Op = 10
	SnapRename       Op = 11
	SnapProtect      Op = 12
	SnapUnprotect    Op = 13
	Rename           Op = 14
	UpdateFeatures   Op = 15
	Migrate          Op = 16
	Sparsify         Op = 17
	Quiesce          Op = 18 // stop writing, a snapshot is coming
	Unquiesce        Op = 19
)

var names = []string{
	"AcquiredLock", "ReleasedLock", "RequestLock", "HeaderUpdate", "AsyncProgress", "AsyncComplete", "Flatten", "Resize", "SnapCreate", "SnapRemove",
	"RebuildObjectMap", "SnapRename", "SnapProtect", "SnapUnprotect", "Rename", "UpdateFeatures", "Migrate", "Sparsify", "Quiesce", "Unquiesce",
}

func (o Op) String() string {
	if int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("Unknown (%d)", uint32(o))
}

// ClientID is one who has the image open: the client's instance id and the
// cookie of its watch.
type ClientID struct{ Instance, Handle uint64 }

func (c *ClientID) encode(e *wire.Encoder) { e.U64(c.Instance); e.U64(c.Handle) }
func (c *ClientID) decode(d *wire.Decoder) { *c = ClientID{d.U64(), d.U64()} }

// RequestID is a request of a client. A request that is sent again has the same.
type RequestID struct {
	Client ClientID
	ID     uint64
}

func (r *RequestID) encode(e *wire.Encoder) { r.Client.encode(e); e.U64(r.ID) }
func (r *RequestID) decode(d *wire.Decoder) { r.Client.decode(d); r.ID = d.U64() }

// Message is a notification (NotifyMessage). Which fields matter depends on Op;
// fields gives the order in which they travel.
type Message struct {
	Op          Op
	Client      ClientID  // of the messages about the lock
	Force       bool      // RequestLock
	Request     RequestID // of all that ask for something, and what becomes of it
	Offset      uint64    // AsyncProgress
	Total       uint64    // AsyncProgress; any unit
	Result      int32     // AsyncComplete: 0 or a negative errno
	Size        uint64    // Resize, in bytes
	AllowShrink bool      // Resize
	Name        string    // of the snapshot; SnapRename: its new one; Rename: of the image
	Namespace   clsrbd.SnapNamespace
	SnapID      uint64         // SnapRename
	SnapFlags   uint64         // SnapCreate: 1 skip quiescing, 2 ignore its failure
	Features    clsrbd.Feature // UpdateFeatures
	Enabled     bool           // UpdateFeatures
	SparseSize  uint64         // Sparsify
	Rest        []byte         // of unknown messages
}

// Version 7 is Pacific's. Old clients end messages earlier.
const version = 7

// Encode appends the message.
func (m *Message) Encode(e *wire.Encoder) {
	mark := e.Begin(version, 1)
	e.U32(uint32(m.Op))
	switch m.Op {
	case AcquiredLock, ReleasedLock:
		m.Client.encode(e)
	case RequestLock:
		m.Client.encode(e)
		e.Bool(m.Force)
	case HeaderUpdate:
	case AsyncProgress:
		m.Request.encode(e)
		e.U64(m.Offset)
		e.U64(m.Total)
	case AsyncComplete:
		m.Request.encode(e)
		e.S32(m.Result)
	case Flatten, RebuildObjectMap, Migrate, Quiesce, Unquiesce:
		m.Request.encode(e)
	case Resize:
		e.U64(m.Size)
		m.Request.encode(e)
		e.Bool(m.AllowShrink)
	case SnapCreate, SnapRemove, SnapRename, SnapProtect, SnapUnprotect:
		if m.Op == SnapRename {
			e.U64(m.SnapID)
		}
		e.Str(m.Name)
		m.Namespace.Encode(e)
		m.Request.encode(e)
		if m.Op == SnapCreate {
			e.U64(m.SnapFlags)
		}
	case Rename:
		e.Str(m.Name)
		m.Request.encode(e)
	case UpdateFeatures:
		e.U64(uint64(m.Features))
		e.Bool(m.Enabled)
		m.Request.encode(e)
	case Sparsify:
		m.Request.encode(e)
		e.U64(m.SparseSize)
	default:
		e.Raw(m.Rest)
	}
	e.End(mark)
}

// Decode is the inverse of Encode. Nothing at all, which very old clients send,
// is a HeaderUpdate.
func (m *Message) Decode(d *wire.Decoder) {
	*m = Message{Op: HeaderUpdate}
	if d.Left() == 0 {
		return
	}
	env := d.Begin("NotifyMessage", version)
	v := env.Version
	m.Op = Op(d.U32())
	request := func(since uint8) {
		if v >= since {
			m.Request.decode(d)
		}
	}
	switch m.Op {
	case AcquiredLock, ReleasedLock, RequestLock:
		if v >= 2 {
			m.Client.decode(d)
		}
		if m.Op == RequestLock && v >= 3 {
			m.Force = d.Bool()
		}
	case HeaderUpdate:
	case AsyncProgress:
		request(0)
		m.Offset, m.Total = d.U64(), d.U64()
	case AsyncComplete:
		request(0)
		m.Result = d.S32()
	case Flatten, RebuildObjectMap, Migrate, Quiesce, Unquiesce:
		request(0)
	case Resize:
		m.Size = d.U64()
		request(0)
		if m.AllowShrink = true; v >= 4 {
			m.AllowShrink = d.Bool()
		}
	case SnapCreate, SnapRemove, SnapRename, SnapProtect, SnapUnprotect:
		if m.Op == SnapRename {
			m.SnapID = d.U64()
		}
		m.Name = d.Str()
		if v >= 6 || v == 5 && m.Op == SnapCreate {
			m.Namespace.Decode(d)
		}
		request(7)
		if m.Op == SnapCreate && v >= 7 {
			m.SnapFlags = d.U64()
		}
	case Rename:
		m.Name = d.Str()
		request(7)
	case UpdateFeatures:
		m.Features = clsrbd.Feature(d.U64())
		m.Enabled = d.Bool()
		request(7)
	case Sparsify:
		request(0)
		m.SparseSize = d.U64()
	default:
		m.Rest = slices.Clone(d.Raw(d.Left()))
	}
	d.End(env)
}

// Response is the owner's answer to a request (ResponseMessage). The others
// answer with nothing.
type Response struct {
	Result int32 // 0 or a negative errno
}

// Encode appends the answer.
func (r *Response) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.S32(r.Result)
	e.End(m)
}

// Decode is the inverse of Encode.
func (r *Response) Decode(d *wire.Decoder) {
	env := d.Begin("ResponseMessage", 1)
	r.Result = d.S32()
	d.End(env)
}

// Respond is the answer that says err, nil for success.
func Respond(err error) []byte { return wire.Marshal(&Response{errno.Code(err)}) }
