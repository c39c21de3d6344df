package msg

import (
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// What OSDs tell each other and the monitors of who is alive.

const (
	TypeOSDPing    = 0x5040
	TypeOSDFailure = 0x5041
	TypeOSDDead    = 0x5042
	TypeOSDPGTemp  = 0x5043
)

var (
	_ = register[OSDPing]()
	_ = register[OSDFailure]()
	_ = register[OSDDead]()
	_ = register[OSDPGTemp]()
)

// PingOp is what a ping is.
type PingOp uint8

const (
	PingAsk   PingOp = 1 // are you there?
	PingReply PingOp = 2 // with the stamp of the question
	PingDied  PingOp = 3 // the receiver is down in a map that it has not seen
)

// OSDPing is a heartbeat between two OSDs (MOSDPing).
type OSDPing struct {
	plain
	FSID   FSID
	From   int32
	Op     PingOp
	Epoch  uint32 // of the sender's map
	UpFrom uint32 // since when the sender is up; 0: it is not
	Stamp  int64  // nanoseconds on the clock of the one who asks
	// Padding makes a ping as large as a packet may be, so that a network that
	// drops large packets is found out.
	Padding uint16
}

func (*OSDPing) MsgType() uint16            { return TypeOSDPing }
func (*OSDPing) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDPing) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	e.S32(m.From)
	e.U8(uint8(m.Op))
	e.U32(m.Epoch)
	e.U32(m.UpFrom)
	e.S64(m.Stamp)
	e.Blob(make([]byte, m.Padding))
}
func (m *OSDPing) decodeFront(d *wire.Decoder, _ uint16) {
	m.FSID.Decode(d)
	m.From = d.S32()
	m.Op = PingOp(d.U8())
	m.Epoch = d.U32()
	m.UpFrom = d.U32()
	m.Stamp = d.S64()
	m.Padding = uint16(len(d.Blob()))
}

// FailureFlags say what a report of a failure means.
type FailureFlags uint8

const (
	FailureFailed    FailureFlags = 1 << iota // not set: the OSD is alive after all
	FailureImmediate                          // its process is known to be gone: nobody listens
)

// OSDFailure tells the monitors that an OSD does not answer another one, or that
// it does again (MOSDFailure).
type OSDFailure struct {
	plain
	ID     int32 // who reports
	Target int32
	Addrs  entity.AddrVec // of the target: another process has others
	Flags  FailureFlags
	For    uint32 // seconds since its last sign of life
	Epoch  uint32 // of the reporter's map
}

func (*OSDFailure) MsgType() uint16            { return TypeOSDFailure }
func (*OSDFailure) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDFailure) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	e.S32(m.Target)
	m.Addrs.Encode(e)
	e.U8(uint8(m.Flags))
	e.U32(m.For)
	e.U32(m.Epoch)
}
func (m *OSDFailure) decodeFront(d *wire.Decoder, _ uint16) {
	m.ID = d.S32()
	m.Target = d.S32()
	m.Addrs.Decode(d)
	m.Flags = FailureFlags(d.U8())
	m.For = d.U32()
	m.Epoch = d.U32()
}

// OSDDead is an OSD that learnt from a map that it is down: it serves nobody any
// more, so groups need not wait for its leases to end (MOSDMarkMeDead).
type OSDDead struct {
	plain
	ID    int32
	Epoch uint32 // of the map that says so
}

func (*OSDDead) MsgType() uint16            { return TypeOSDDead }
func (*OSDDead) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDDead) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	e.U32(m.Epoch)
}
func (m *OSDDead) decodeFront(d *wire.Decoder, _ uint16) {
	m.ID = d.S32()
	m.Epoch = d.U32()
}

// OSDPGTemp is where a primary wants its groups to be served for now (MOSDPGTemp).
type OSDPGTemp struct {
	plain
	ID    int32
	Epoch uint32                // of the map that the wishes are about
	PGs   map[object.PG][]int32 // empty: where CRUSH has them
}

// minPGTemp is the length of one of its entries with an empty list.
const minPGTemp = 17 + 4

func (*OSDPGTemp) MsgType() uint16            { return TypeOSDPGTemp }
func (*OSDPGTemp) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDPGTemp) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	e.U32(m.Epoch)
	wire.EncodeMapFunc(e, m.PGs, object.PG.Compare, func(pg object.PG, osds []int32) {
		pg.Encode(e)
		wire.EncodeSlice(e, osds, e.S32)
	})
}
func (m *OSDPGTemp) decodeFront(d *wire.Decoder, _ uint16) {
	m.ID = d.S32()
	m.Epoch = d.U32()
	m.PGs = wire.DecodeMap(d, minPGTemp, func() (pg object.PG, osds []int32) {
		pg.Decode(d)
		return pg, wire.DecodeSlice(d, 4, d.S32)
	})
}
