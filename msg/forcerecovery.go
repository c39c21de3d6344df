package msg

import (
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// TypeOSDForceRecovery is Pulpo's own.
const TypeOSDForceRecovery = 0x5031

var _ = register[OSDForceRecovery]()

// OSDForceRecovery tells an OSD to recover groups whose primary it is before
// others, or to backfill them, or no longer to (MOSDForceRecovery).
type OSDForceRecovery struct {
	plain
	PGs              []object.PG
	Backfill, Cancel bool
}

func (*OSDForceRecovery) MsgType() uint16            { return TypeOSDForceRecovery }
func (*OSDForceRecovery) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDForceRecovery) EncodeFront(e *wire.Encoder) {
	wire.EncodeSlice(e, m.PGs, func(p object.PG) { p.Encode(e) })
	e.Bool(m.Backfill)
	e.Bool(m.Cancel)
}
func (m *OSDForceRecovery) decodeFront(d *wire.Decoder, _ uint16) {
	m.PGs = wire.DecodeSlice(d, 17, func() (p object.PG) { p.Decode(d); return p })
	m.Backfill = d.Bool()
	m.Cancel = d.Bool()
}
