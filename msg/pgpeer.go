package msg

import (
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// TypePGPeer is the message between the copies of a placement group.
const TypePGPeer = 0x5010

var _ = register[PGPeer]()

// PGPeer is what an OSD tells another about a placement group that both have,
// or could have: all of peering, replication, recovery and scrub. What is in
// Front depends on Kind and is package osd/pg's alone, so that nobody on the way
// needs to know it. Bulk bytes are the payload.
type PGPeer struct {
	carrier
	PG       object.SPG
	From     int32  // OSD
	Epoch    uint32 // of the sender's map; the receiver needs one as new
	Interval uint32 // first epoch of the interval that the sender is in
	Kind     uint16
	Front    []byte // of a received message: aliases its front
}

func (*PGPeer) MsgType() uint16            { return TypePGPeer }
func (*PGPeer) Versions() (uint16, uint16) { return 1, 1 }
func (m *PGPeer) EncodeFront(e *wire.Encoder) {
	m.PG.Encode(e)
	e.S32(m.From)
	e.U32(m.Epoch)
	e.U32(m.Interval)
	e.U16(m.Kind)
	e.Blob(m.Front)
}
func (m *PGPeer) decodeFront(d *wire.Decoder, _ uint16) {
	m.PG.Decode(d)
	m.From = d.S32()
	m.Epoch = d.U32()
	m.Interval = d.U32()
	m.Kind = d.U16()
	m.Front = d.Blob()
}
