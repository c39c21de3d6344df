package osdmap

import (
	"fmt"
	"maps"
	"time"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Map is OSDMap. The per-OSD lists all have MaxOSD entries, but PrimaryAffinity
// may be empty.
type Map struct {
	FSID     entity.UUID
	Epoch    uint32
	Created  time.Time
	Modified time.Time

	Pools     map[int64]*Pool
	PoolNames map[int64]string
	PoolMax   int32 // newest pool id given out
	Flags     Flags

	MaxOSD          int32
	State           []State
	Weight          []uint32
	PrimaryAffinity []uint32 // empty: all default
	Info            []Info
	XInfo           []XInfo
	UUID            []entity.UUID
	ClientAddrs     []entity.AddrVec
	ClusterAddrs    []entity.AddrVec
	HBBackAddrs     []entity.AddrVec
	HBFrontAddrs    []entity.AddrVec
	LastUpChange    time.Time
	LastInChange    time.Time

	PGTemp       map[object.PG][]int32
	PrimaryTemp  map[object.PG]int32
	PGUpmap      map[object.PG][]int32
	PGUpmapItems map[object.PG][]UpmapItem

	Crush        *crush.Map
	CrushVersion int32

	ErasureCodeProfiles map[string]map[string]string

	RemovedSnapsQueue map[int64]SnapSet // removed and not yet purged, by pool
	NewRemovedSnaps   map[int64]SnapSet // removed in this epoch
	NewPurgedSnaps    map[int64]SnapSet

	Blocklist      map[entity.Addr]time.Time // until when
	RangeBlocklist map[entity.Addr]time.Time // the nonce is the length of the prefix

	ClusterSnapshotEpoch   uint32
	ClusterSnapshot        string
	NearfullRatio          float32
	FullRatio              float32
	BackfillfullRatio      float32
	RequireMinCompatClient entity.Release
	RequireOSDRelease      entity.Release
	CrushNodeFlags         map[int32]State // noup, noout ... for a subtree
	DeviceClassFlags       map[int32]State
	Stretch                Stretch

	cache *mappingCache // nil: the map may still change
}

// UpmapItem replaces one OSD of a group by another.
type UpmapItem struct{ From, To int32 }

// Stretch is the state of a cluster of two sites and a tiebreaker. It is
// carried, not acted on.
type Stretch struct {
	Enabled     bool
	BucketCount uint32
	Degraded    uint32
	Recovering  uint32
	Bucket      int32
}

// New returns an empty map to fill in; it becomes a published one through
// Encode and Decode, or as the base of Apply.
func New() *Map {
	return &Map{
		Pools: map[int64]*Pool{}, PoolNames: map[int64]string{},
		PGTemp: map[object.PG][]int32{}, PrimaryTemp: map[object.PG]int32{},
		PGUpmap: map[object.PG][]int32{}, PGUpmapItems: map[object.PG][]UpmapItem{},
		Crush: crush.New(), CrushVersion: 1,
		ErasureCodeProfiles: map[string]map[string]string{},
		RemovedSnapsQueue:   map[int64]SnapSet{}, NewRemovedSnaps: map[int64]SnapSet{}, NewPurgedSnaps: map[int64]SnapSet{},
		Blocklist: map[entity.Addr]time.Time{}, RangeBlocklist: map[entity.Addr]time.Time{},
		CrushNodeFlags: map[int32]State{}, DeviceClassFlags: map[int32]State{},
	}
}

func cloneMap[K comparable, V any, M ~map[K]V](m M) M {
	if m == nil {
		return M{}
	}
	return maps.Clone(m)
}

// Encode returns the full map as it travels, with its checksum (FullCRC).
// doc/protocol/maps.md#osdmap
func (m *Map) Encode() []byte {
	var e wire.Encoder
	outer := e.Begin(8, 7)

	client := e.Begin(9, 1) // what clients read
	m.FSID.Encode(&e)
	e.U32(m.Epoch)
	e.Time(m.Created)
	e.Time(m.Modified)
	encodePools(&e, m.Pools)
	encodePoolNames(&e, m.PoolNames)
	e.S32(m.PoolMax)
	e.U32(uint32(m.Flags))
	e.S32(m.MaxOSD)
	wire.EncodeSlice(&e, m.State, func(s State) { e.U32(uint32(s)) })
	wire.EncodeSlice(&e, m.Weight, e.U32)
	encodeAddrs(&e, m.ClientAddrs)
	encodePGMap(&e, m.PGTemp, func(osds []int32) { wire.EncodeSlice(&e, osds, e.S32) })
	encodePGMap(&e, m.PrimaryTemp, e.S32)
	wire.EncodeSlice(&e, m.PrimaryAffinity, e.U32)
	e.Blob(m.Crush.Encode())
	encodeProfiles(&e, m.ErasureCodeProfiles)
	encodePGMap(&e, m.PGUpmap, func(osds []int32) { wire.EncodeSlice(&e, osds, e.S32) })
	encodePGMap(&e, m.PGUpmapItems, func(items []UpmapItem) { encodeUpmapItems(&e, items) })
	e.S32(m.CrushVersion)
	encodeSnaps(&e, m.NewRemovedSnaps)
	encodeSnaps(&e, m.NewPurgedSnaps)
	e.Time(m.LastUpChange)
	e.Time(m.LastInChange)
	e.End(client)

	v := uint8(9)
	if m.Stretch.Enabled {
		v = 10
	}
	if len(m.RangeBlocklist) > 0 {
		v = 11
	}
	osd := e.Begin(v, 1) // what only OSDs and monitors read
	encodeAddrs(&e, m.HBBackAddrs)
	wire.EncodeSlice(&e, m.Info, func(i Info) { i.Encode(&e) })
	encodeBlocklist(&e, m.Blocklist)
	encodeAddrs(&e, m.ClusterAddrs)
	e.U32(m.ClusterSnapshotEpoch)
	e.Str(m.ClusterSnapshot)
	wire.EncodeSlice(&e, m.UUID, func(u entity.UUID) { u.Encode(&e) })
	wire.EncodeSlice(&e, m.XInfo, func(x XInfo) { x.Encode(&e) })
	encodeAddrs(&e, m.HBFrontAddrs)
	e.F32(m.NearfullRatio)
	e.F32(m.FullRatio)
	e.F32(m.BackfillfullRatio)
	e.U8(uint8(m.RequireMinCompatClient))
	e.U8(uint8(m.RequireOSDRelease))
	encodeSnaps(&e, m.RemovedSnapsQueue)
	encodeNodeFlags(&e, m.CrushNodeFlags)
	encodeNodeFlags(&e, m.DeviceClassFlags)
	if v >= 10 {
		e.Bool(m.Stretch.Enabled)
		e.U32(m.Stretch.BucketCount)
		e.U32(m.Stretch.Degraded)
		e.U32(m.Stretch.Recovering)
		e.S32(m.Stretch.Bucket)
	}
	if v >= 11 {
		encodeBlocklist(&e, m.RangeBlocklist)
	}
	e.End(osd)

	crcAt := e.Len()
	e.U32(0)
	e.End(outer)
	return setCRC(e.Bytes(), crcAt)
}

// Decode reads a full map. A checksum that does not match is an error, and so
// is a CRUSH map that crush.Decode refuses.
func Decode(b []byte) (*Map, error) {
	d := wire.NewDecoder(b)
	m := New()
	outer := d.Begin("OSDMap", 8)
	if outer.Version < 8 && d.Err() == nil {
		d.Failf("map of version %d is from before luminous", outer.Version)
	}

	client := d.Begin("OSDMap client data", 10)
	if client.Version < 7 && d.Err() == nil {
		d.Failf("client data of version %d is from before mimic", client.Version)
	}
	m.FSID.Decode(d)
	m.Epoch = d.U32()
	m.Created = d.Time()
	m.Modified = d.Time()
	m.Pools = decodePools(d)
	m.PoolNames = decodePoolNames(d)
	m.PoolMax = d.S32()
	m.Flags = Flags(d.U32())
	m.MaxOSD = d.S32()
	m.State = wire.DecodeSlice(d, 4, func() State { return State(d.U32()) })
	m.Weight = wire.DecodeSlice(d, 4, d.U32)
	m.ClientAddrs = decodeAddrs(d)
	m.PGTemp = decodePGMap(d, 4, func() []int32 { return wire.DecodeSlice(d, 4, d.S32) })
	m.PrimaryTemp = decodePGMap(d, 4, d.S32)
	m.PrimaryAffinity = wire.DecodeSlice(d, 4, d.U32)
	crushBlob := d.Blob()
	m.ErasureCodeProfiles = decodeProfiles(d)
	m.PGUpmap = decodePGMap(d, 4, func() []int32 { return wire.DecodeSlice(d, 4, d.S32) })
	m.PGUpmapItems = decodePGMap(d, 4, func() []UpmapItem { return decodeUpmapItems(d) })
	m.CrushVersion = d.S32()
	m.NewRemovedSnaps = decodeSnaps(d)
	m.NewPurgedSnaps = decodeSnaps(d)
	if client.Version >= 9 {
		m.LastUpChange = d.Time()
		m.LastInChange = d.Time()
	}
	d.End(client)

	osd := d.Begin("OSDMap osd data", 11)
	if osd.Version < 5 && d.Err() == nil {
		d.Failf("osd data of version %d is from before luminous", osd.Version)
	}
	m.HBBackAddrs = decodeAddrs(d)
	m.Info = wire.DecodeSlice(d, 25, func() (i Info) { i.Decode(d); return i })
	m.Blocklist = decodeBlocklist(d)
	m.ClusterAddrs = decodeAddrs(d)
	m.ClusterSnapshotEpoch = d.U32()
	m.ClusterSnapshot = d.Str()
	m.UUID = wire.DecodeSlice(d, 16, func() (u entity.UUID) { u.Decode(d); return u })
	m.XInfo = wire.DecodeSlice(d, 22, func() (x XInfo) { x.Decode(d); return x })
	m.HBFrontAddrs = decodeAddrs(d)
	m.NearfullRatio = d.F32()
	m.FullRatio = d.F32()
	m.BackfillfullRatio = d.F32()
	m.RequireMinCompatClient = entity.Release(d.U8())
	m.RequireOSDRelease = entity.Release(d.U8())
	if osd.Version >= 6 {
		m.RemovedSnapsQueue = decodeSnaps(d)
	}
	if osd.Version >= 8 {
		m.CrushNodeFlags = decodeNodeFlags(d)
	}
	if osd.Version >= 9 {
		m.DeviceClassFlags = decodeNodeFlags(d)
	}
	if osd.Version >= 10 {
		m.Stretch = Stretch{d.Bool(), d.U32(), d.U32(), d.U32(), d.S32()}
	}
	if osd.Version >= 11 {
		m.RangeBlocklist = decodeBlocklist(d)
	}
	d.End(osd)
	m.normalizeFlags()

	crcAt := d.Offset()
	crc := d.U32()
	d.End(outer)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("osdmap: %w", err)
	}
	if actual := crcWithout(b, crcAt); actual != crc {
		return nil, fmt.Errorf("osdmap e%d: %w: bad crc, actual %d != expected %d", m.Epoch, wire.ErrValue, actual, crc)
	}
	var err error
	if m.Crush, err = crush.Decode(crushBlob); err != nil {
		return nil, fmt.Errorf("osdmap e%d: %w", m.Epoch, err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.publish()
	return m, nil
}

// normalizeFlags sets the flags that the required release stands for.
func (m *Map) normalizeFlags() {
	if m.RequireOSDRelease >= entity.Nautilus {
		m.Flags |= FlagPGLogHardLimit
	}
	if m.RequireOSDRelease >= entity.Luminous {
		m.Flags &^= flagsLegacyRequire
		m.Flags |= FlagRecoveryDeletes
	}
}

// check verifies that all lists have the length that queries count on.
func (m *Map) check() error {
	n := int(m.MaxOSD)
	for what, have := range map[string]int{
		"states": len(m.State), "weights": len(m.Weight), "infos": len(m.Info), "xinfos": len(m.XInfo), "uuids": len(m.UUID),
		"client addresses": len(m.ClientAddrs), "cluster addresses": len(m.ClusterAddrs),
		"heartbeat back addresses": len(m.HBBackAddrs), "heartbeat front addresses": len(m.HBFrontAddrs),
	} {
		if have != n {
			return fmt.Errorf("osdmap e%d: %w: %d %s for %d osds", m.Epoch, wire.ErrValue, have, what, n)
		}
	}
	if have := len(m.PrimaryAffinity); have != 0 && have != n {
		return fmt.Errorf("osdmap e%d: %w: %d primary affinities for %d osds", m.Epoch, wire.ErrValue, have, n)
	}
	return nil
}

// setCRC writes the checksum of b into the four bytes at at, which it leaves
// out.
func setCRC(b []byte, at int) []byte {
	crc := crcWithout(b, at)
	b[at], b[at+1], b[at+2], b[at+3] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	return b
}

func crcWithout(b []byte, at int) uint32 {
	return wire.CRC32C(wire.CRC32C(0xffffffff, b[:at]), b[at+4:])
}

// FullCRC returns the checksum inside an encoded full map, which the
// incremental that leads to it announces.
func FullCRC(encoded []byte) uint32 {
	// It comes last; newer writers may append, but then Encode was not ours.
	return wire.NewDecoder(encoded[len(encoded)-4:]).U32()
}
