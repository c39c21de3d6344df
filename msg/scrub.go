package msg

import (
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// TypeOSDScrub is Pulpo's own.
const TypeOSDScrub = 0x5030

var _ = register[OSDScrub]()

// OSDScrub tells an OSD to scrub groups whose primary it is (MOSDScrub2): those in
// PGs, or all.
type OSDScrub struct {
	plain
	PGs          []object.PG
	All          bool
	Deep, Repair bool
}

func (*OSDScrub) MsgType() uint16            { return TypeOSDScrub }
func (*OSDScrub) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDScrub) EncodeFront(e *wire.Encoder) {
	wire.EncodeSlice(e, m.PGs, func(p object.PG) { p.Encode(e) })
	e.Bool(m.All)
	e.Bool(m.Deep)
	e.Bool(m.Repair)
}
func (m *OSDScrub) decodeFront(d *wire.Decoder, _ uint16) {
	m.PGs = wire.DecodeSlice(d, 17, func() (p object.PG) { p.Decode(d); return p })
	m.All = d.Bool()
	m.Deep = d.Bool()
	m.Repair = d.Bool()
}
