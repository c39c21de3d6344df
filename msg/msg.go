// Package msg has the body of every message that Pulpo sends or understands
// (Ceph's src/messages), one file for each family, encode beside decode.
//
// A body encodes its front segment; bulk bytes are its payload, which travels in
// the data segment without being copied. Bodies know neither connections nor
// what is done with them; maps and CRUSH tables are carried as bytes.
//
// Types above 0x5000 are Pulpo's own and travel between its daemons only.
//
// No compatibility promise.
package msg

import (
	"fmt"
	"sync"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Body is the content of a message.
type Body interface {
	MsgType() uint16
	// Versions returns the version of the encoding and the oldest decoder able
	// to read it.
	Versions() (version, compat uint16)
	// Priority is that of the header.
	Priority() uint16
	EncodeFront(e *wire.Encoder)
	// Payload is the data segment; the references stay with the body.
	Payload() buffer.List

	decodeFront(d *wire.Decoder, version uint16)
	setPayload(l buffer.List)
}

// Priorities (CEPH_MSG_PRIO).
const (
	PrioLow     = 64
	PrioDefault = 127
	PrioHigh    = 196
	PrioOSDOp   = 63
)

// plain is embedded by bodies without payload and with the usual priority.
type plain struct{}

func (plain) Priority() uint16       { return PrioDefault }
func (plain) Payload() buffer.List   { return nil }
func (plain) setPayload(buffer.List) {}

// fromMon is embedded in place of plain by what monitors send. A client
// dispatches by priority, so these share one: an answer must not overtake the
// map that it is about.
type fromMon struct{ plain }

func (fromMon) Priority() uint16 { return PrioHigh }

// carrier is embedded by bodies with a payload.
type carrier struct {
	Data buffer.List // the data segment
}

func (carrier) Priority() uint16            { return PrioDefault }
func (c carrier) Payload() buffer.List      { return c.Data }
func (c *carrier) setPayload(l buffer.List) { c.Data = l }

// Decode makes the body of a received message. The result aliases front and
// borrows the references of data. An unknown type is errno.EOPNOTSUPP, a body
// that does not decode errno.EBADMSG.
func Decode(typ, version, compat uint16, front []byte, data buffer.List) (Body, error) {
	mk := registry[typ]
	if mk == nil {
		return nil, fmt.Errorf("message type %d: %w", typ, errno.EOPNOTSUPP)
	}
	b := mk()
	newest, _ := b.Versions()
	if compat > newest {
		return nil, fmt.Errorf("message type %d: needs a decoder of version %d, this is %d: %w", typ, compat, newest, errno.EBADMSG)
	}
	d := decoders.Get().(*wire.Decoder)
	defer func() { *d = wire.Decoder{}; decoders.Put(d) }()
	*d = *wire.NewDecoder(front)
	b.setPayload(data)
	b.decodeFront(d, version)
	// A newer writer may have appended to what this decoder knows.
	err := d.Err()
	if err == nil && version <= newest {
		err = d.Finish()
	}
	if err != nil {
		return nil, fmt.Errorf("message %T: %w: %w", b, err, errno.EBADMSG)
	}
	return b, nil
}

// decoders are recycled: one escapes for each message otherwise.
var decoders = sync.Pool{New: func() any { return new(wire.Decoder) }}

// Known reports whether Decode knows a type.
func Known(typ uint16) bool { return registry[typ] != nil }

var registry = map[uint16]func() Body{}

func register[T any, P interface {
	*T
	Body
}]() struct{} {
	typ := P(new(T)).MsgType()
	if registry[typ] != nil {
		panic(fmt.Sprintf("BUG: message type %d registered twice", typ))
	}
	registry[typ] = func() Body { return P(new(T)) }
	return struct{}{}
}

// Paxos is the header of messages to the monitors' services
// (PaxosServiceMessage). The zero value is what clients send.
type Paxos struct {
	Version    uint64
	Session    int16 // monitor that forwarded it; -1: none. Kept as sent
	SessionTID uint64
}

// NoPaxos is the header where it says nothing.
var NoPaxos = Paxos{Session: -1}

func (p *Paxos) encode(e *wire.Encoder) {
	e.U64(p.Version)
	e.S16(p.Session)
	e.U64(p.SessionTID)
}

func (p *Paxos) decode(d *wire.Decoder) {
	p.Version = d.U64()
	p.Session = d.S16()
	p.SessionTID = d.U64()
}

// FSID is a cluster's uuid.
type FSID = entity.UUID

// Interval is a run of snapshot ids [Start, Start+Len).
type Interval struct{ Start, Len object.SnapID }

func encodeIntervals(e *wire.Encoder, s []Interval) {
	wire.EncodeSlice(e, s, func(i Interval) { e.U64(uint64(i.Start)); e.U64(uint64(i.Len)) })
}

func decodeIntervals(d *wire.Decoder) []Interval {
	return wire.DecodeSlice(d, 16, func() Interval {
		return Interval{object.SnapID(d.U64()), object.SnapID(d.U64())}
	})
}
