package msg

import (
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Types of Pulpo's own messages, between its daemons.
const (
	TypeOSDBoot     = 0x5001
	TypeOSDReport   = 0x5002
	TypeOSDMarkDown = 0x5003
	TypeOSDDownAck  = 0x5004
	TypeOSDAlive    = 0x5005
)

var (
	_ = register[OSDBoot]()
	_ = register[OSDReport]()
	_ = register[OSDMarkDown]()
	_ = register[OSDDownAck]()
	_ = register[OSDAlive]()
)

// OSDBoot asks the monitors to mark an OSD up. They answer with a map where it
// is, or by closing the session.
type OSDBoot struct {
	plain
	ID         int32
	UUID       FSID   // of the OSD's disk: another one under an old id is a new OSD
	Epoch      uint32 // newest map it has
	BootEpoch  uint32 // in which this process first came up; 0: this is the first time
	Fresh      bool   // its disk has never been up: there is nothing on it
	CleanBegin uint32 // interval of maps through which it was last up and
	CleanEnd   uint32 // stopped cleanly; 0: none
	Public     entity.AddrVec
	Cluster    entity.AddrVec
	HBFront    entity.AddrVec
	HBBack     entity.AddrVec
	Features   uint64
	Class      string            // device class; empty: none
	Weight     uint32            // CRUSH weight of a new OSD, 16.16: TiB
	Location   map[string]string // CRUSH location, bucket type to name
	Metadata   map[string]string // for "osd metadata"
}

func (*OSDBoot) MsgType() uint16            { return TypeOSDBoot }
func (*OSDBoot) Versions() (uint16, uint16) { return 3, 1 }
func (m *OSDBoot) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	m.UUID.Encode(e)
	e.U32(m.Epoch)
	e.U32(m.CleanBegin)
	e.U32(m.CleanEnd)
	m.Public.Encode(e)
	m.Cluster.Encode(e)
	m.HBFront.Encode(e)
	m.HBBack.Encode(e)
	e.U64(m.Features)
	e.Str(m.Class)
	e.U32(m.Weight)
	encodeStrings(e, m.Location)
	encodeStrings(e, m.Metadata)
	e.U32(m.BootEpoch)
	e.Bool(m.Fresh)
}
func (m *OSDBoot) decodeFront(d *wire.Decoder, version uint16) {
	m.ID = d.S32()
	m.UUID.Decode(d)
	m.Epoch = d.U32()
	m.CleanBegin = d.U32()
	m.CleanEnd = d.U32()
	m.Public.Decode(d)
	m.Cluster.Decode(d)
	m.HBFront.Decode(d)
	m.HBBack.Decode(d)
	m.Features = d.U64()
	m.Class = d.Str()
	m.Weight = d.U32()
	m.Location = decodeStrings(d)
	m.Metadata = decodeStrings(d)
	m.BootEpoch, m.Fresh = 0, false
	if version >= 2 {
		m.BootEpoch = d.U32()
	}
	if version >= 3 {
		m.Fresh = d.Bool()
	}
}

func encodeStrings(e *wire.Encoder, m map[string]string) {
	wire.EncodeMap(e, m, func(k, v string) { e.Str(k); e.Str(v) })
}

func decodeStrings(d *wire.Decoder) map[string]string {
	return wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
}

// PGState is the set of states of a placement group (PG_STATE_*).
type PGState uint64

// The states, with Ceph's numbers.
const (
	PGCreating        PGState = 1 << 0
	PGActive          PGState = 1 << 1
	PGClean           PGState = 1 << 2
	PGDown            PGState = 1 << 4
	PGRecoveryUnfound PGState = 1 << 5
	PGBackfillUnfound PGState = 1 << 6
	PGPremerge        PGState = 1 << 7
	PGScrubbing       PGState = 1 << 8
	PGDegraded        PGState = 1 << 10
	PGInconsistent    PGState = 1 << 11
	PGPeering         PGState = 1 << 12
	PGRepair          PGState = 1 << 13
	PGRecovering      PGState = 1 << 14
	PGBackfillWait    PGState = 1 << 15
	PGIncomplete      PGState = 1 << 16
	PGStale           PGState = 1 << 17
	PGRemapped        PGState = 1 << 18
	PGDeepScrub       PGState = 1 << 19
	PGBackfilling     PGState = 1 << 20
	PGBackfillTooFull PGState = 1 << 21
	PGRecoveryWait    PGState = 1 << 22
	PGUndersized      PGState = 1 << 23
	PGActivating      PGState = 1 << 24
	PGPeered          PGState = 1 << 25
	PGSnapTrim        PGState = 1 << 26
	PGSnapTrimWait    PGState = 1 << 27
	PGRecoveryTooFull PGState = 1 << 28
	PGSnapTrimError   PGState = 1 << 29
	PGForcedRecovery  PGState = 1 << 30
	PGForcedBackfill  PGState = 1 << 31
	PGFailedRepair    PGState = 1 << 32
	PGLaggy           PGState = 1 << 33
	PGWait            PGState = 1 << 34
)

// stateNames in the order in which Ceph prints them.
var stateNames = []struct {
	bit  PGState
	name string
}{
	{PGStale, "stale"}, {PGCreating, "creating"}, {PGActive, "active"}, {PGLaggy, "laggy"}, {PGWait, "wait"},
	{PGActivating, "activating"}, {PGClean, "clean"}, {PGRecoveryWait, "recovery_wait"},
	{PGRecoveryTooFull, "recovery_toofull"}, {PGRecovering, "recovering"},
	{PGForcedRecovery, "forced_recovery"}, {PGDown, "down"}, {PGRecoveryUnfound, "recovery_unfound"},
	{PGBackfillUnfound, "backfill_unfound"}, {PGUndersized, "undersized"}, {PGDegraded, "degraded"},
	{PGRemapped, "remapped"}, {PGPremerge, "premerge"}, {PGScrubbing, "scrubbing"},
	{PGDeepScrub, "deep"}, {PGInconsistent, "inconsistent"}, {PGPeering, "peering"}, {PGRepair, "repair"},
	{PGBackfillWait, "backfill_wait"}, {PGBackfilling, "backfilling"},
	{PGForcedBackfill, "forced_backfill"}, {PGBackfillTooFull, "backfill_toofull"}, {PGIncomplete, "incomplete"},
	{PGPeered, "peered"}, {PGSnapTrim, "snaptrim"}, {PGSnapTrimWait, "snaptrim_wait"},
	{PGSnapTrimError, "snaptrim_error"}, {PGFailedRepair, "failed_repair"},
}

// ParsePGState returns the state with a name of those that String prints.
func ParsePGState(name string) (PGState, bool) {
	for _, n := range stateNames {
		if n.name == name {
			return n.bit, true
		}
	}
	return 0, false
}

// String is Ceph's form: active+clean.
func (s PGState) String() string {
	out := ""
	for _, n := range stateNames {
		if s&n.bit != 0 {
			if out != "" {
				out += "+"
			}
			out += n.name
		}
	}
	if out == "" {
		return "unknown"
	}
	return out
}

// PGStat is what a primary tells of its placement group (pg_stat_t).
type PGStat struct {
	PG                            object.PG
	Version                       object.Version
	ReportedSeq                   uint64
	ReportedEpoch                 uint32
	State                         PGState
	LogStart                      object.Version
	OndiskLogStart                object.Version
	Created                       uint32
	LastEpochClean                uint32
	LastFresh, LastChange         time.Time
	LastActive, LastPeered        time.Time
	LastClean, LastUnstale        time.Time
	LastUndegraded, LastFullsized time.Time
	LastScrub, LastDeepScrub      object.Version
	LastScrubStamp, LastDeepStamp time.Time
	LastCleanScrub                time.Time
	LogSize                       int64
	Objects                       ObjectStats
	Up, Acting                    []int32
	UpPrimary, ActingPrimary      int32
	MappingEpoch                  uint32
	SnapTrimQueue                 uint32
	BlockedBy                     []int32
	Purged                        []Interval // snapshots being removed of which the group has nothing left
}

func (s *PGStat) times() []*time.Time {
	return []*time.Time{
		&s.LastFresh, &s.LastChange, &s.LastActive, &s.LastPeered, &s.LastClean, &s.LastUnstale,
		&s.LastUndegraded, &s.LastFullsized, &s.LastScrubStamp, &s.LastDeepStamp, &s.LastCleanScrub,
	}
}

// minPGStat is the length of one with empty lists.
const minPGStat = 549

func (s PGStat) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	s.PG.Encode(e)
	s.Version.Encode(e)
	e.U64(s.ReportedSeq)
	e.U32(s.ReportedEpoch)
	e.U64(uint64(s.State))
	s.LogStart.Encode(e)
	s.OndiskLogStart.Encode(e)
	e.U32(s.Created)
	e.U32(s.LastEpochClean)
	s.LastScrub.Encode(e)
	s.LastDeepScrub.Encode(e)
	for _, t := range s.times() {
		e.Time(*t)
	}
	e.S64(s.LogSize)
	s.Objects.Encode(e)
	wire.EncodeSlice(e, s.Up, e.S32)
	wire.EncodeSlice(e, s.Acting, e.S32)
	e.S32(s.UpPrimary)
	e.S32(s.ActingPrimary)
	e.U32(s.MappingEpoch)
	e.U32(s.SnapTrimQueue)
	wire.EncodeSlice(e, s.BlockedBy, e.S32)
	encodeIntervals(e, s.Purged)
	e.End(m)
}

func (s *PGStat) Decode(d *wire.Decoder) {
	env := d.Begin("PGStat", 2)
	s.PG.Decode(d)
	s.Version.Decode(d)
	s.ReportedSeq = d.U64()
	s.ReportedEpoch = d.U32()
	s.State = PGState(d.U64())
	s.LogStart.Decode(d)
	s.OndiskLogStart.Decode(d)
	s.Created = d.U32()
	s.LastEpochClean = d.U32()
	s.LastScrub.Decode(d)
	s.LastDeepScrub.Decode(d)
	for _, t := range s.times() {
		*t = d.Time()
	}
	s.LogSize = d.S64()
	s.Objects.Decode(d)
	s.Up = wire.DecodeSlice(d, 4, d.S32)
	s.Acting = wire.DecodeSlice(d, 4, d.S32)
	s.UpPrimary = d.S32()
	s.ActingPrimary = d.S32()
	s.MappingEpoch = d.U32()
	s.SnapTrimQueue = d.U32()
	s.BlockedBy = wire.DecodeSlice(d, 4, d.S32)
	s.Purged = nil
	if env.Version >= 2 {
		s.Purged = decodeIntervals(d)
	}
	d.End(env)
}

// OSDStat is what an OSD tells of itself (osd_stat_t).
type OSDStat struct {
	Seq             uint64 // rises with each report
	UpFrom          uint32
	Store           StoreStats
	PGs             uint32
	CommitLatencyMS uint32
	ApplyLatencyMS  uint32
	SlowOps         uint32 // requests that take longer than the complaint time
	OldestSlowOp    time.Duration
	ReadErrors      uint64  // checksum and medium errors since the start
	ShardsRepaired  uint64  // copies of objects that were replaced since the start, for they could not be read
	Peers           []int32 // that it exchanges heartbeats with
	Pings           []PingTimes
}

func (s OSDStat) Encode(e *wire.Encoder) {
	m := e.Begin(3, 1)
	e.U64(s.Seq)
	e.U32(s.UpFrom)
	s.Store.Encode(e)
	e.U32(s.PGs)
	e.U32(s.CommitLatencyMS)
	e.U32(s.ApplyLatencyMS)
	e.U32(s.SlowOps)
	e.Duration(s.OldestSlowOp)
	e.U64(s.ReadErrors)
	e.U64(s.ShardsRepaired)
	wire.EncodeSlice(e, s.Peers, e.S32)
	wire.EncodeSlice(e, s.Pings, func(p PingTimes) { p.encode(e) })
	e.End(m)
}

func (s *OSDStat) Decode(d *wire.Decoder) {
	env := d.Begin("OSDStat", 3)
	s.Seq = d.U64()
	s.UpFrom = d.U32()
	s.Store.Decode(d)
	s.PGs = d.U32()
	s.CommitLatencyMS = d.U32()
	s.ApplyLatencyMS = d.U32()
	s.SlowOps = d.U32()
	s.OldestSlowOp = d.Duration()
	s.ReadErrors = d.U64()
	s.ShardsRepaired, s.Peers, s.Pings = 0, nil, nil
	if env.Version >= 2 {
		s.ShardsRepaired = d.U64()
	}
	if env.Version >= 3 {
		s.Peers = wire.DecodeSlice(d, 4, d.S32)
		s.Pings = wire.DecodeSlice(d, minPingTimes, func() (p PingTimes) { p.decode(d); return p })
	}
	d.End(env)
}

// PoolUsage is the space that one pool takes on one OSD.
type PoolUsage struct {
	Pool  int64
	Store StoreStats
}

// OSDReport is an OSD's regular report to the monitors: sign of life, newest
// map, space, and the placement groups that changed since the last report.
type OSDReport struct {
	plain
	ID    int32
	Epoch uint32
	Stat  OSDStat
	PGs   []PGStat
	Pools []PoolUsage
	// Full is what the OSD thinks of its own fullness: bits of the osd states
	// nearfull, backfillfull, full.
	Full uint32
}

func (*OSDReport) MsgType() uint16            { return TypeOSDReport }
func (*OSDReport) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDReport) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	e.U32(m.Epoch)
	m.Stat.Encode(e)
	wire.EncodeSlice(e, m.PGs, func(s PGStat) { s.Encode(e) })
	wire.EncodeSlice(e, m.Pools, func(p PoolUsage) { e.S64(p.Pool); p.Store.Encode(e) })
	e.U32(m.Full)
}
func (m *OSDReport) decodeFront(d *wire.Decoder, _ uint16) {
	m.ID = d.S32()
	m.Epoch = d.U32()
	m.Stat.Decode(d)
	m.PGs = wire.DecodeSlice(d, minPGStat, func() (s PGStat) { s.Decode(d); return s })
	m.Pools = wire.DecodeSlice(d, 8+minStoreStats, func() (p PoolUsage) { p.Pool = d.S64(); p.Store.Decode(d); return p })
	m.Full = d.U32()
}

// OSDMarkDown is an OSD that stops asking to be marked down first.
type OSDMarkDown struct {
	plain
	ID    int32
	Epoch uint32
	Dead  bool // it serves nobody any more, so nobody need wait for its leases to end
}

func (*OSDMarkDown) MsgType() uint16            { return TypeOSDMarkDown }
func (*OSDMarkDown) Versions() (uint16, uint16) { return 2, 1 }
func (m *OSDMarkDown) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	e.U32(m.Epoch)
	e.Bool(m.Dead)
}
func (m *OSDMarkDown) decodeFront(d *wire.Decoder, version uint16) {
	m.ID = d.S32()
	m.Epoch = d.U32()
	m.Dead = version >= 2 && d.Bool()
}

// OSDDownAck answers OSDMarkDown once the map says so.
type OSDDownAck struct {
	plain
	Epoch uint32
}

func (*OSDDownAck) MsgType() uint16                         { return TypeOSDDownAck }
func (*OSDDownAck) Versions() (uint16, uint16)              { return 1, 1 }
func (m *OSDDownAck) EncodeFront(e *wire.Encoder)           { e.U32(m.Epoch) }
func (m *OSDDownAck) decodeFront(d *wire.Decoder, _ uint16) { m.Epoch = d.U32() }

// OSDAlive asks for an up_thru of at least Want: the OSD was alive then.
type OSDAlive struct {
	plain
	ID   int32
	Want uint32
}

func (*OSDAlive) MsgType() uint16            { return TypeOSDAlive }
func (*OSDAlive) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDAlive) EncodeFront(e *wire.Encoder) {
	e.S32(m.ID)
	e.U32(m.Want)
}
func (m *OSDAlive) decodeFront(d *wire.Decoder, _ uint16) {
	m.ID = d.S32()
	m.Want = d.U32()
}
