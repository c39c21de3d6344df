package msg

import (
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// Message types between clients and monitors, doc/protocol/mon.md#messages.
const (
	TypePing               = 2
	TypeMonMap             = 4
	TypeMonGetMap          = 5
	TypeStatfs             = 13
	TypeStatfsReply        = 14
	TypeMonSubscribe       = 15
	TypeMonSubscribeAck    = 16
	TypeAuth               = 17
	TypeAuthReply          = 18
	TypeMonGetVersion      = 19
	TypeMonGetVersionReply = 20
	TypePoolOpReply        = 48
	TypePoolOp             = 49
	TypeMonCommand         = 50
	TypeMonCommandAck      = 51
	TypeLog                = 52
	TypeLogAck             = 53
	TypeGetPoolStats       = 58
	TypeGetPoolStatsReply  = 59
	TypeConfig             = 62
)

var (
	_ = register[Ping]()
	_ = register[MonMap]()
	_ = register[MonGetMap]()
	_ = register[Statfs]()
	_ = register[StatfsReply]()
	_ = register[MonSubscribe]()
	_ = register[MonSubscribeAck]()
	_ = register[Auth]()
	_ = register[AuthReply]()
	_ = register[MonGetVersion]()
	_ = register[MonGetVersionReply]()
	_ = register[PoolOpReply]()
	_ = register[PoolOp]()
	_ = register[MonCommand]()
	_ = register[MonCommandAck]()
	_ = register[Log]()
	_ = register[LogAck]()
	_ = register[GetPoolStats]()
	_ = register[GetPoolStatsReply]()
	_ = register[Config]()
)

// Ping keeps a session with watches alive, and asks a monitor how it is (MPing).
type Ping struct {
	plain
	Text string // of the monitor's answer: a JSON object
}

func (*Ping) MsgType() uint16            { return TypePing }
func (*Ping) Versions() (uint16, uint16) { return 1, 1 }

func (m *Ping) EncodeFront(e *wire.Encoder) {
	if m.Text != "" {
		e.Str(m.Text)
	}
}

func (m *Ping) decodeFront(d *wire.Decoder, _ uint16) {
	if d.Left() > 0 {
		m.Text = d.Str()
	}
}

// MonMap carries the monitor map (MMonMap).
type MonMap struct {
	fromMon
	Map []byte
}

func (*MonMap) MsgType() uint16                         { return TypeMonMap }
func (*MonMap) Versions() (uint16, uint16)              { return 1, 1 }
func (m *MonMap) EncodeFront(e *wire.Encoder)           { e.Blob(m.Map) }
func (m *MonMap) decodeFront(d *wire.Decoder, _ uint16) { m.Map = d.Blob() }

// MonGetMap asks for the monitor map (MMonGetMap).
type MonGetMap struct{ plain }

func (*MonGetMap) MsgType() uint16                   { return TypeMonGetMap }
func (*MonGetMap) Versions() (uint16, uint16)        { return 1, 1 }
func (*MonGetMap) EncodeFront(*wire.Encoder)         {}
func (*MonGetMap) decodeFront(*wire.Decoder, uint16) {}

// Statfs asks for the cluster's space (MStatfs).
type Statfs struct {
	plain
	Paxos
	FSID    FSID
	HasPool bool
	Pool    int64 // if HasPool
}

func (*Statfs) MsgType() uint16            { return TypeStatfs }
func (*Statfs) Versions() (uint16, uint16) { return 2, 1 }
func (m *Statfs) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	e.Bool(m.HasPool)
	if m.HasPool {
		e.S64(m.Pool)
	}
}
func (m *Statfs) decodeFront(d *wire.Decoder, v uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	if v >= 2 {
		if m.HasPool = d.Bool(); m.HasPool {
			m.Pool = d.S64()
		}
	}
}

// StatfsReply tells the cluster's space (MStatfsReply). The kernel client
// checks the length of the front exactly.
type StatfsReply struct {
	fromMon
	FSID                FSID
	MapVersion          uint64
	KB, KBUsed, KBAvail uint64
	NumObjects          uint64
}

func (*StatfsReply) MsgType() uint16            { return TypeStatfsReply }
func (*StatfsReply) Versions() (uint16, uint16) { return 1, 1 }
func (m *StatfsReply) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	e.U64(m.MapVersion)
	e.U64(m.KB)
	e.U64(m.KBUsed)
	e.U64(m.KBAvail)
	e.U64(m.NumObjects)
}
func (m *StatfsReply) decodeFront(d *wire.Decoder, _ uint16) {
	m.FSID.Decode(d)
	m.MapVersion = d.U64()
	m.KB = d.U64()
	m.KBUsed = d.U64()
	m.KBAvail = d.U64()
	m.NumObjects = d.U64()
}

// Sub is what a client wants to hear of one subject.
type Sub struct {
	Start   uint64 // first version wanted; 0: the latest
	OneTime bool
}

// MonSubscribe subscribes to maps and logs (MMonSubscribe).
type MonSubscribe struct {
	plain
	What map[string]Sub
	Host string
}

func (*MonSubscribe) MsgType() uint16            { return TypeMonSubscribe }
func (*MonSubscribe) Versions() (uint16, uint16) { return 3, 1 }
func (m *MonSubscribe) EncodeFront(e *wire.Encoder) {
	wire.EncodeMap(e, m.What, func(k string, s Sub) {
		e.Str(k)
		e.U64(s.Start)
		e.Bool(s.OneTime)
	})
	e.Str(m.Host)
}
func (m *MonSubscribe) decodeFront(d *wire.Decoder, v uint16) {
	m.What = wire.DecodeMap(d, 13, func() (string, Sub) {
		return d.Str(), Sub{d.U64(), d.U8()&1 != 0}
	})
	if v >= 3 {
		m.Host = d.Str()
	}
}

// MonSubscribeAck confirms a subscription to clients without stateful
// subscriptions (MMonSubscribeAck).
type MonSubscribeAck struct {
	fromMon
	Interval uint32 // seconds
	FSID     FSID
}

func (*MonSubscribeAck) MsgType() uint16            { return TypeMonSubscribeAck }
func (*MonSubscribeAck) Versions() (uint16, uint16) { return 1, 1 }
func (m *MonSubscribeAck) EncodeFront(e *wire.Encoder) {
	e.U32(m.Interval)
	m.FSID.Encode(e)
}
func (m *MonSubscribeAck) decodeFront(d *wire.Decoder, _ uint16) {
	m.Interval = d.U32()
	m.FSID.Decode(d)
}

// Auth carries an authentication request on a running session (MAuth).
type Auth struct {
	plain
	Paxos
	Protocol    uint32
	Request     []byte
	MonMapEpoch uint32
}

func (*Auth) MsgType() uint16            { return TypeAuth }
func (*Auth) Versions() (uint16, uint16) { return 1, 1 }
func (m *Auth) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	e.U32(m.Protocol)
	e.Blob(m.Request)
	e.U32(m.MonMapEpoch)
}
func (m *Auth) decodeFront(d *wire.Decoder, _ uint16) {
	m.Paxos.decode(d)
	m.Protocol = d.U32()
	m.Request = d.Blob()
	if d.Left() > 0 {
		m.MonMapEpoch = d.U32()
	}
}

// AuthReply answers an Auth (MAuthReply).
type AuthReply struct {
	fromMon
	Protocol uint32
	Result   int32
	GlobalID uint64
	Reply    []byte
	Message  string
}

func (*AuthReply) MsgType() uint16            { return TypeAuthReply }
func (*AuthReply) Versions() (uint16, uint16) { return 1, 1 }
func (m *AuthReply) EncodeFront(e *wire.Encoder) {
	e.U32(m.Protocol)
	e.S32(m.Result)
	e.U64(m.GlobalID)
	e.Blob(m.Reply)
	e.Str(m.Message)
}
func (m *AuthReply) decodeFront(d *wire.Decoder, _ uint16) {
	m.Protocol = d.U32()
	m.Result = d.S32()
	m.GlobalID = d.U64()
	m.Reply = d.Blob()
	m.Message = d.Str()
}

// MonGetVersion asks for the version of a map (MMonGetVersion).
type MonGetVersion struct {
	plain
	Handle uint64
	What   string // osdmap, fsmap, mdsmap, monmap
}

func (*MonGetVersion) MsgType() uint16            { return TypeMonGetVersion }
func (*MonGetVersion) Versions() (uint16, uint16) { return 1, 1 }
func (m *MonGetVersion) EncodeFront(e *wire.Encoder) {
	e.U64(m.Handle)
	e.Str(m.What)
}
func (m *MonGetVersion) decodeFront(d *wire.Decoder, _ uint16) {
	m.Handle = d.U64()
	m.What = d.Str()
}

// MonGetVersionReply answers MonGetVersion.
type MonGetVersionReply struct {
	fromMon
	Handle, Version, Oldest uint64
}

func (*MonGetVersionReply) MsgType() uint16            { return TypeMonGetVersionReply }
func (*MonGetVersionReply) Versions() (uint16, uint16) { return 2, 2 }
func (m *MonGetVersionReply) EncodeFront(e *wire.Encoder) {
	e.U64(m.Handle)
	e.U64(m.Version)
	e.U64(m.Oldest)
}
func (m *MonGetVersionReply) decodeFront(d *wire.Decoder, _ uint16) {
	m.Handle = d.U64()
	m.Version = d.U64()
	m.Oldest = d.U64()
}

// Operations of PoolOp.
const (
	PoolOpCreate              = 0x01
	PoolOpDelete              = 0x02
	PoolOpAUIDChange          = 0x03
	PoolOpCreateSnap          = 0x11
	PoolOpDeleteSnap          = 0x12
	PoolOpCreateUnmanagedSnap = 0x21
	PoolOpDeleteUnmanagedSnap = 0x22
)

// PoolOp creates and deletes pools and snapshots (MPoolOp).
type PoolOp struct {
	plain
	Paxos
	FSID      FSID
	Pool      uint32
	Op        uint32
	SnapID    uint64
	Name      string
	CrushRule int16
}

func (*PoolOp) MsgType() uint16            { return TypePoolOp }
func (*PoolOp) Versions() (uint16, uint16) { return 4, 2 }
func (m *PoolOp) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	e.U32(m.Pool)
	e.U32(m.Op)
	e.U64(0) // auid
	e.U64(m.SnapID)
	e.Str(m.Name)
	e.U8(0)
	e.S16(m.CrushRule)
}
func (m *PoolOp) decodeFront(d *wire.Decoder, v uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	m.Pool = d.U32()
	m.Op = d.U32()
	d.U64()
	m.SnapID = d.U64()
	m.Name = d.Str()
	m.CrushRule = -1
	if v >= 3 {
		pad := d.U8()
		if v >= 4 {
			m.CrushRule = d.S16()
		} else {
			m.CrushRule = int16(pad)
		}
	}
}

// PoolOpReply answers PoolOp (MPoolOpReply).
type PoolOpReply struct {
	fromMon
	Paxos
	FSID  FSID
	Code  int32
	Epoch uint32 // map that has the change
	Reply []byte // nil: none
}

func (*PoolOpReply) MsgType() uint16            { return TypePoolOpReply }
func (*PoolOpReply) Versions() (uint16, uint16) { return 1, 1 }
func (m *PoolOpReply) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	e.S32(m.Code)
	e.U32(m.Epoch)
	e.Bool(m.Reply != nil)
	if m.Reply != nil {
		e.Blob(m.Reply)
	}
}
func (m *PoolOpReply) decodeFront(d *wire.Decoder, _ uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	m.Code = d.S32()
	m.Epoch = d.U32()
	if d.Bool() {
		m.Reply = d.Blob()
	}
}

// MonCommand is a command to the monitors (MMonCommand): one JSON object. Its
// payload is the command's input.
type MonCommand struct {
	carrier
	Paxos
	FSID FSID
	Cmd  []string
}

func (*MonCommand) MsgType() uint16            { return TypeMonCommand }
func (*MonCommand) Versions() (uint16, uint16) { return 1, 1 }
func (m *MonCommand) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	wire.EncodeSlice(e, m.Cmd, e.Str)
}
func (m *MonCommand) decodeFront(d *wire.Decoder, _ uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	m.Cmd = wire.DecodeSlice(d, 4, d.Str)
}

// MonCommandAck answers MonCommand (MMonCommandAck). Its payload is the output.
type MonCommandAck struct {
	carrier
	Paxos
	Result int32
	Status string
	Cmd    []string
}

func (*MonCommandAck) MsgType() uint16            { return TypeMonCommandAck }
func (*MonCommandAck) Versions() (uint16, uint16) { return 1, 1 }
func (*MonCommandAck) Priority() uint16           { return PrioHigh }
func (m *MonCommandAck) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	e.S32(m.Result)
	e.Str(m.Status)
	wire.EncodeSlice(e, m.Cmd, e.Str)
}
func (m *MonCommandAck) decodeFront(d *wire.Decoder, _ uint16) {
	m.Paxos.decode(d)
	m.Result = d.S32()
	m.Status = d.Str()
	m.Cmd = wire.DecodeSlice(d, 4, d.Str)
}

// LogLevel is the priority of a log entry (clog_type).
type LogLevel uint16

const (
	LogDebug LogLevel = 0
	LogInfo  LogLevel = 1
	LogSec   LogLevel = 2
	LogWarn  LogLevel = 3
	LogError LogLevel = 4
)

// LogEntry is a line of the cluster log.
type LogEntry struct {
	Name    entity.AuthName
	Rank    entity.Name
	Addrs   entity.AddrVec
	Stamp   time.Time
	Seq     uint64
	Level   LogLevel
	Message string
	Channel string // cluster, audit
}

// minLogEntry is the length of an entry with empty strings.
const minLogEntry = 54

func (l LogEntry) Encode(e *wire.Encoder) {
	m := e.Begin(5, 5)
	l.Name.Encode(e)
	l.Rank.Encode(e)
	l.Addrs.Encode(e)
	e.Time(l.Stamp)
	e.U64(l.Seq)
	e.U16(uint16(l.Level))
	e.Str(l.Message)
	e.Str(l.Channel)
	e.End(m)
}

func (l *LogEntry) Decode(d *wire.Decoder) {
	env := d.Begin("LogEntry", 5)
	l.Name.Decode(d)
	l.Rank.Decode(d)
	l.Addrs.Decode(d)
	l.Stamp = d.Time()
	l.Seq = d.U64()
	l.Level = LogLevel(d.U16())
	l.Message = d.Str()
	l.Channel = d.Str()
	d.End(env)
}

// Log carries log entries, to the monitors and from them to subscribers (MLog).
type Log struct {
	plain
	Paxos
	FSID    FSID
	Entries []LogEntry
}

func (*Log) MsgType() uint16            { return TypeLog }
func (*Log) Versions() (uint16, uint16) { return 1, 1 }
func (m *Log) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	wire.EncodeSlice(e, m.Entries, func(l LogEntry) { l.Encode(e) })
}
func (m *Log) decodeFront(d *wire.Decoder, _ uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	m.Entries = wire.DecodeSlice(d, minLogEntry, func() (l LogEntry) { l.Decode(d); return l })
}

// LogAck confirms log entries to a daemon (MLogAck).
type LogAck struct {
	fromMon
	FSID    FSID
	Last    uint64
	Channel string
}

func (*LogAck) MsgType() uint16            { return TypeLogAck }
func (*LogAck) Versions() (uint16, uint16) { return 1, 1 }
func (m *LogAck) EncodeFront(e *wire.Encoder) {
	m.FSID.Encode(e)
	e.U64(m.Last)
	e.Str(m.Channel)
}
func (m *LogAck) decodeFront(d *wire.Decoder, _ uint16) {
	m.FSID.Decode(d)
	m.Last = d.U64()
	m.Channel = d.Str()
}

// GetPoolStats asks for the statistics of pools by name (MGetPoolStats).
type GetPoolStats struct {
	plain
	Paxos
	FSID  FSID
	Pools []string
}

func (*GetPoolStats) MsgType() uint16            { return TypeGetPoolStats }
func (*GetPoolStats) Versions() (uint16, uint16) { return 1, 1 }
func (m *GetPoolStats) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	wire.EncodeSlice(e, m.Pools, e.Str)
}
func (m *GetPoolStats) decodeFront(d *wire.Decoder, _ uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	m.Pools = wire.DecodeSlice(d, 4, d.Str)
}

// GetPoolStatsReply answers GetPoolStats.
type GetPoolStatsReply struct {
	fromMon
	Paxos
	FSID    FSID
	Pools   map[string]PoolStat
	PerPool bool // stores count space per pool
}

func (*GetPoolStatsReply) MsgType() uint16            { return TypeGetPoolStatsReply }
func (*GetPoolStatsReply) Versions() (uint16, uint16) { return 2, 1 }
func (m *GetPoolStatsReply) EncodeFront(e *wire.Encoder) {
	m.Paxos.encode(e)
	m.FSID.Encode(e)
	wire.EncodeMap(e, m.Pools, func(k string, s PoolStat) { e.Str(k); s.Encode(e) })
	e.Bool(m.PerPool)
}
func (m *GetPoolStatsReply) decodeFront(d *wire.Decoder, v uint16) {
	m.Paxos.decode(d)
	m.FSID.Decode(d)
	m.Pools = wire.DecodeMap(d, 4+minPoolStat, func() (k string, s PoolStat) {
		k = d.Str()
		s.Decode(d)
		return k, s
	})
	if v >= 2 {
		m.PerPool = d.Bool()
	}
}

// Config carries the central configuration of a client (MConfig). Clients wait
// for it when they connect, be it empty.
type Config struct {
	fromMon
	Options map[string]string
}

func (*Config) MsgType() uint16            { return TypeConfig }
func (*Config) Versions() (uint16, uint16) { return 1, 1 }
func (m *Config) EncodeFront(e *wire.Encoder) {
	wire.EncodeMap(e, m.Options, func(k, v string) { e.Str(k); e.Str(v) })
}
func (m *Config) decodeFront(d *wire.Decoder, _ uint16) {
	m.Options = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
}
