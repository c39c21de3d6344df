package msg

import "github.com/pulpo-storage/pulpo/wire"

// Types of messages of the monitors' own.
const (
	TypeMonPeer   = 0x5020
	TypeReportAll = 0x5021
)

var (
	_ = register[MonPeer]()
	_ = register[ReportAll]()
)

// MonPeer is what one monitor says to another; package mon knows what it says.
type MonPeer struct {
	plain
	FSID FSID
	From string // the sender's name
	Text []byte
}

func (*MonPeer) MsgType() uint16            { return TypeMonPeer }
func (*MonPeer) Versions() (uint16, uint16) { return 1, 1 }
func (*MonPeer) Priority() uint16           { return PrioHigh }
func (m *MonPeer) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	e.Str(m.From)
	e.Blob(m.Text)
}
func (m *MonPeer) decodeFront(d *wire.Decoder, _ uint16) {
	m.FSID.Decode(d)
	m.From = d.Str()
	m.Text = d.Blob()
}

// ReportAll asks an OSD for a report of all of its groups: another monitor
// leads now, and knows of none.
type ReportAll struct{ plain }

func (*ReportAll) MsgType() uint16                   { return TypeReportAll }
func (*ReportAll) Versions() (uint16, uint16)        { return 1, 1 }
func (*ReportAll) EncodeFront(*wire.Encoder)         {}
func (*ReportAll) decodeFront(*wire.Decoder, uint16) {}
