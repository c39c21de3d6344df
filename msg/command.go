package msg

import "github.com/pulpo-storage/pulpo/wire"

// Message types of commands to a daemon.
const (
	TypeCommand         = 97
	TypeCommandReply    = 98
	TypeMgrOpen         = 0x700
	TypeMgrConfigure    = 0x701
	TypeMgrReport       = 0x702
	TypeMgrClose        = 0x708
	TypeMgrCommand      = 0x709
	TypeMgrCommandReply = 0x70a
)

var (
	_ = register[Command]()
	_ = register[CommandReply]()
	_ = register[MgrCommand]()
	_ = register[MgrCommandReply]()
	_ = register[MgrOpen]()
	_ = register[MgrClose]()
	_ = register[MgrReport]()
)

// Command is a command to the daemon that gets it (MCommand, "ceph tell").
type Command struct {
	carrier
	FSID FSID
	Cmd  []string
}

func (*Command) MsgType() uint16            { return TypeCommand }
func (*Command) Versions() (uint16, uint16) { return 1, 1 }
func (m *Command) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	wire.EncodeSlice(e, m.Cmd, e.Str)
}
func (m *Command) decodeFront(d *wire.Decoder, _ uint16) {
	m.FSID.Decode(d)
	m.Cmd = wire.DecodeSlice(d, 4, d.Str)
}

// CommandReply answers Command; its payload is the output.
type CommandReply struct {
	carrier
	Result int32
	Status string
}

func (*CommandReply) MsgType() uint16            { return TypeCommandReply }
func (*CommandReply) Versions() (uint16, uint16) { return 1, 1 }
func (m *CommandReply) EncodeFront(e *wire.Encoder) {
	e.S32(m.Result)
	e.Str(m.Status)
}
func (m *CommandReply) decodeFront(d *wire.Decoder, _ uint16) {
	m.Result = d.S32()
	m.Status = d.Str()
}

// MgrCommand is a command to the manager (MMgrCommand).
type MgrCommand struct{ Command }

func (*MgrCommand) MsgType() uint16 { return TypeMgrCommand }

// MgrCommandReply answers MgrCommand.
type MgrCommandReply struct{ CommandReply }

func (*MgrCommandReply) MsgType() uint16 { return TypeMgrCommandReply }

// MgrOpen opens a service's session with the manager (MMgrOpen). Only the
// names are of interest here; the rest is kept as it came.
type MgrOpen struct {
	plain
	Daemon string
	Rest   []byte
}

func (*MgrOpen) MsgType() uint16            { return TypeMgrOpen }
func (*MgrOpen) Versions() (uint16, uint16) { return 3, 1 }
func (m *MgrOpen) EncodeFront(e *wire.Encoder) {
	e.Str(m.Daemon)
	e.Raw(m.Rest)
}
func (m *MgrOpen) decodeFront(d *wire.Decoder, _ uint16) {
	m.Daemon = d.Str()
	m.Rest = d.Raw(d.Left())
}

// MgrClose ends a service's session with the manager; the manager echoes it
// (MMgrClose).
type MgrClose struct {
	plain
	Daemon, Service string
}

func (*MgrClose) MsgType() uint16            { return TypeMgrClose }
func (*MgrClose) Versions() (uint16, uint16) { return 1, 1 }
func (m *MgrClose) EncodeFront(e *wire.Encoder) {
	e.Str(m.Daemon)
	e.Str(m.Service)
}
func (m *MgrClose) decodeFront(d *wire.Decoder, _ uint16) {
	m.Daemon = d.Str()
	m.Service = d.Str()
}

// MgrReport is a stock service's report to the manager (MMgrReport), as it
// came: Pulpo's own daemons report in other ways.
type MgrReport struct {
	plain
	Raw []byte
}

func (*MgrReport) MsgType() uint16                         { return TypeMgrReport }
func (*MgrReport) Versions() (uint16, uint16)              { return 9, 1 }
func (m *MgrReport) EncodeFront(e *wire.Encoder)           { e.Raw(m.Raw) }
func (m *MgrReport) decodeFront(d *wire.Decoder, _ uint16) { m.Raw = d.Raw(d.Left()) }
