package osdmap

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Incremental is the difference of one epoch to the one before
// (OSDMap::Incremental). Make it with NewIncremental: some fields say "no
// change" with a value that is not zero.
type Incremental struct {
	FSID     entity.UUID
	Epoch    uint32
	Modified time.Time

	FullMap []byte // in place of all else
	Crush   []byte // the new CRUSH map

	NewPoolMax int64 // -1: as before
	NewFlags   int32 // -1: as before
	NewMaxOSD  int32 // -1: as before

	NewPools     map[int64]*Pool
	NewPoolNames map[int64]string
	OldPools     []int64

	NewUpClient        map[int32]entity.AddrVec // these OSDs come up, at these addresses
	NewUpCluster       map[int32]entity.AddrVec
	NewHBBackUp        map[int32]entity.AddrVec
	NewHBFrontUp       map[int32]entity.AddrVec
	NewState           map[int32]State // bits to flip; 0 is StateUp
	NewWeight          map[int32]uint32
	NewPrimaryAffinity map[int32]uint32

	NewPGTemp       map[object.PG][]int32 // empty: removed
	NewPrimaryTemp  map[object.PG]int32   // -1: removed
	NewPGUpmap      map[object.PG][]int32
	OldPGUpmap      []object.PG
	NewPGUpmapItems map[object.PG][]UpmapItem
	OldPGUpmapItems []object.PG

	NewErasureCodeProfiles map[string]map[string]string
	OldErasureCodeProfiles []string

	NewRemovedSnaps map[int64]SnapSet
	NewPurgedSnaps  map[int64]SnapSet
	NewLastUpChange time.Time
	NewLastInChange time.Time

	NewUpThru            map[int32]uint32
	NewLastCleanInterval map[int32]Interval
	NewLost              map[int32]uint32
	NewBlocklist         map[entity.Addr]time.Time
	OldBlocklist         []entity.Addr
	NewRangeBlocklist    map[entity.Addr]time.Time
	OldRangeBlocklist    []entity.Addr
	ClusterSnapshot      string
	NewUUID              map[int32]entity.UUID
	NewXInfo             map[int32]XInfo

	// EncodeFeatures tells OSDs with which features to encode the full map so
	// that its checksum comes out right.
	EncodeFeatures            uint64
	NewNearfullRatio          float32 // below zero: as before
	NewFullRatio              float32
	NewBackfillfullRatio      float32
	NewRequireMinCompatClient entity.Release // ReleaseUnchanged: as before
	NewRequireOSDRelease      entity.Release
	NewCrushNodeFlags         map[int32]State // 0: removed
	NewDeviceClassFlags       map[int32]State
	NewStretch                *Stretch

	// FullCRC is the checksum of the full map that results; DecodeIncremental
	// sets it, Encode takes it as an argument.
	FullCRC uint32
}

// Interval is a span of epochs.
type Interval struct{ Begin, End uint32 }

// ReleaseUnchanged is the value of an Incremental's releases that change
// nothing.
const ReleaseUnchanged entity.Release = 0xff

// EncodeFeatures are the features which change the encoding of an OSDMap, all
// of which a pacific cluster has.
const EncodeFeatures uint64 = 0x0f00088010212a04

// NewIncremental returns the change of nothing that makes epoch.
func NewIncremental(fsid entity.UUID, epoch uint32) *Incremental {
	inc := emptyIncremental()
	inc.FSID, inc.Epoch = fsid, epoch
	return inc
}

func emptyIncremental() *Incremental {
	return &Incremental{
		NewPoolMax: -1, NewFlags: -1, NewMaxOSD: -1,
		NewPools: map[int64]*Pool{}, NewPoolNames: map[int64]string{},
		NewUpClient: map[int32]entity.AddrVec{}, NewUpCluster: map[int32]entity.AddrVec{},
		NewHBBackUp: map[int32]entity.AddrVec{}, NewHBFrontUp: map[int32]entity.AddrVec{},
		NewState: map[int32]State{}, NewWeight: map[int32]uint32{}, NewPrimaryAffinity: map[int32]uint32{},
		NewPGTemp: map[object.PG][]int32{}, NewPrimaryTemp: map[object.PG]int32{},
		NewPGUpmap: map[object.PG][]int32{}, NewPGUpmapItems: map[object.PG][]UpmapItem{},
		NewErasureCodeProfiles: map[string]map[string]string{},
		NewRemovedSnaps:        map[int64]SnapSet{}, NewPurgedSnaps: map[int64]SnapSet{},
		NewUpThru: map[int32]uint32{}, NewLastCleanInterval: map[int32]Interval{}, NewLost: map[int32]uint32{},
		NewBlocklist: map[entity.Addr]time.Time{}, NewRangeBlocklist: map[entity.Addr]time.Time{},
		NewUUID: map[int32]entity.UUID{}, NewXInfo: map[int32]XInfo{},
		EncodeFeatures:   EncodeFeatures,
		NewNearfullRatio: -1, NewFullRatio: -1, NewBackfillfullRatio: -1,
		NewRequireMinCompatClient: ReleaseUnchanged, NewRequireOSDRelease: ReleaseUnchanged,
		NewCrushNodeFlags: map[int32]State{}, NewDeviceClassFlags: map[int32]State{},
	}
}

// Encode returns the incremental as it travels, with its own checksum and that
// of the full map it leads to (FullCRC of its encoding).
// doc/protocol/maps.md#osdmap
func (inc *Incremental) Encode(fullCRC uint32) []byte {
	var e wire.Encoder
	outer := e.Begin(8, 7)

	client := e.Begin(8, 1)
	inc.FSID.Encode(&e)
	e.U32(inc.Epoch)
	e.Time(inc.Modified)
	e.S64(inc.NewPoolMax)
	e.S32(inc.NewFlags)
	e.Blob(inc.FullMap)
	e.Blob(inc.Crush)
	e.S32(inc.NewMaxOSD)
	encodePools(&e, inc.NewPools)
	encodePoolNames(&e, inc.NewPoolNames)
	wire.EncodeSlice(&e, sorted(inc.OldPools), e.S64)
	encodeByOSD(&e, inc.NewUpClient, func(a entity.AddrVec) { a.Encode(&e) })
	encodeByOSD(&e, inc.NewState, func(s State) { e.U32(uint32(s)) })
	encodeByOSD(&e, inc.NewWeight, e.U32)
	encodePGMap(&e, inc.NewPGTemp, func(osds []int32) { wire.EncodeSlice(&e, osds, e.S32) })
	encodePGMap(&e, inc.NewPrimaryTemp, e.S32)
	encodeByOSD(&e, inc.NewPrimaryAffinity, e.U32)
	encodeProfiles(&e, inc.NewErasureCodeProfiles)
	wire.EncodeSlice(&e, inc.OldErasureCodeProfiles, e.Str)
	encodePGMap(&e, inc.NewPGUpmap, func(osds []int32) { wire.EncodeSlice(&e, osds, e.S32) })
	encodePGs(&e, sortedPGs(inc.OldPGUpmap))
	encodePGMap(&e, inc.NewPGUpmapItems, func(items []UpmapItem) { encodeUpmapItems(&e, items) })
	encodePGs(&e, sortedPGs(inc.OldPGUpmapItems))
	encodeSnaps(&e, inc.NewRemovedSnaps)
	encodeSnaps(&e, inc.NewPurgedSnaps)
	e.Time(inc.NewLastUpChange)
	e.Time(inc.NewLastInChange)
	e.End(client)

	v := uint8(9)
	if inc.NewStretch != nil {
		v = 10
	}
	if len(inc.NewRangeBlocklist)+len(inc.OldRangeBlocklist) > 0 {
		v = 11
	}
	osd := e.Begin(v, 1)
	encodeByOSD(&e, inc.NewHBBackUp, func(a entity.AddrVec) { a.Encode(&e) })
	encodeByOSD(&e, inc.NewUpThru, e.U32)
	encodeByOSD(&e, inc.NewLastCleanInterval, func(i Interval) {
		e.U32(i.Begin)
		e.U32(i.End)
	})
	encodeByOSD(&e, inc.NewLost, e.U32)
	encodeBlocklist(&e, inc.NewBlocklist)
	wire.EncodeSlice(&e, inc.OldBlocklist, func(a entity.Addr) { a.Encode(&e) })
	encodeByOSD(&e, inc.NewUpCluster, func(a entity.AddrVec) { a.Encode(&e) })
	e.Str(inc.ClusterSnapshot)
	encodeByOSD(&e, inc.NewUUID, func(u entity.UUID) { u.Encode(&e) })
	encodeByOSD(&e, inc.NewXInfo, func(x XInfo) { x.Encode(&e) })
	encodeByOSD(&e, inc.NewHBFrontUp, func(a entity.AddrVec) { a.Encode(&e) })
	e.U64(inc.EncodeFeatures)
	e.F32(inc.NewNearfullRatio)
	e.F32(inc.NewFullRatio)
	e.F32(inc.NewBackfillfullRatio)
	e.U8(uint8(inc.NewRequireMinCompatClient))
	e.U8(uint8(inc.NewRequireOSDRelease))
	encodeNodeFlags(&e, inc.NewCrushNodeFlags)
	encodeNodeFlags(&e, inc.NewDeviceClassFlags)
	if v >= 10 {
		s := inc.NewStretch
		e.Bool(s != nil)
		if s == nil {
			s = &Stretch{}
		}
		e.U32(s.BucketCount)
		e.U32(s.Degraded)
		e.U32(s.Recovering)
		e.S32(s.Bucket)
		e.Bool(s.Enabled)
	}
	if v >= 11 {
		encodeBlocklist(&e, inc.NewRangeBlocklist)
		wire.EncodeSlice(&e, inc.OldRangeBlocklist, func(a entity.Addr) { a.Encode(&e) })
	}
	e.End(osd)

	crcAt := e.Len()
	e.U32(0)
	e.U32(fullCRC)
	e.End(outer)
	return setCRC(e.Bytes(), crcAt)
}

// DecodeIncremental reads an incremental. A checksum that does not match is an
// error.
func DecodeIncremental(b []byte) (*Incremental, error) {
	d := wire.NewDecoder(b)
	inc := emptyIncremental()
	outer := d.Begin("OSDMap::Incremental", 8)
	if outer.Version < 8 && d.Err() == nil {
		d.Failf("incremental of version %d is from before luminous", outer.Version)
	}

	client := d.Begin("OSDMap::Incremental client data", 9)
	if client.Version < 6 && d.Err() == nil {
		d.Failf("client data of version %d is from before mimic", client.Version)
	}
	inc.FSID.Decode(d)
	inc.Epoch = d.U32()
	inc.Modified = d.Time()
	inc.NewPoolMax = d.S64()
	inc.NewFlags = d.S32()
	inc.FullMap = slices.Clone(d.Blob())
	inc.Crush = slices.Clone(d.Blob())
	inc.NewMaxOSD = d.S32()
	inc.NewPools = decodePools(d)
	inc.NewPoolNames = decodePoolNames(d)
	inc.OldPools = wire.DecodeSlice(d, 8, d.S64)
	inc.NewUpClient = decodeByOSD(d, 5, func() (a entity.AddrVec) { a.Decode(d); return a })
	inc.NewState = decodeByOSD(d, 4, func() State { return State(d.U32()) })
	inc.NewWeight = decodeByOSD(d, 4, d.U32)
	inc.NewPGTemp = decodePGMap(d, 4, func() []int32 { return wire.DecodeSlice(d, 4, d.S32) })
	inc.NewPrimaryTemp = decodePGMap(d, 4, d.S32)
	inc.NewPrimaryAffinity = decodeByOSD(d, 4, d.U32)
	inc.NewErasureCodeProfiles = decodeProfiles(d)
	inc.OldErasureCodeProfiles = wire.DecodeSlice(d, 4, d.Str)
	inc.NewPGUpmap = decodePGMap(d, 4, func() []int32 { return wire.DecodeSlice(d, 4, d.S32) })
	inc.OldPGUpmap = decodePGs(d)
	inc.NewPGUpmapItems = decodePGMap(d, 4, func() []UpmapItem { return decodeUpmapItems(d) })
	inc.OldPGUpmapItems = decodePGs(d)
	inc.NewRemovedSnaps = decodeSnaps(d)
	inc.NewPurgedSnaps = decodeSnaps(d)
	if client.Version >= 8 {
		inc.NewLastUpChange = d.Time()
		inc.NewLastInChange = d.Time()
	}
	d.End(client)

	osd := d.Begin("OSDMap::Incremental osd data", 11)
	if osd.Version < 6 && d.Err() == nil {
		d.Failf("osd data of version %d is from before mimic", osd.Version)
	}
	inc.NewHBBackUp = decodeByOSD(d, 5, func() (a entity.AddrVec) { a.Decode(d); return a })
	inc.NewUpThru = decodeByOSD(d, 4, d.U32)
	inc.NewLastCleanInterval = decodeByOSD(d, 8, func() Interval { return Interval{d.U32(), d.U32()} })
	inc.NewLost = decodeByOSD(d, 4, d.U32)
	inc.NewBlocklist = decodeBlocklist(d)
	inc.OldBlocklist = wire.DecodeSlice(d, 8, func() (a entity.Addr) { a.Decode(d); return a })
	inc.NewUpCluster = decodeByOSD(d, 5, func() (a entity.AddrVec) { a.Decode(d); return a })
	inc.ClusterSnapshot = d.Str()
	inc.NewUUID = decodeByOSD(d, 16, func() (u entity.UUID) { u.Decode(d); return u })
	inc.NewXInfo = decodeByOSD(d, 22, func() (x XInfo) { x.Decode(d); return x })
	inc.NewHBFrontUp = decodeByOSD(d, 5, func() (a entity.AddrVec) { a.Decode(d); return a })
	inc.EncodeFeatures = d.U64()
	inc.NewNearfullRatio = d.F32()
	inc.NewFullRatio = d.F32()
	inc.NewBackfillfullRatio = d.F32()
	inc.NewRequireMinCompatClient = entity.Release(d.U8())
	inc.NewRequireOSDRelease = entity.Release(d.U8())
	if osd.Version >= 8 {
		inc.NewCrushNodeFlags = decodeNodeFlags(d)
	}
	if osd.Version >= 9 {
		inc.NewDeviceClassFlags = decodeNodeFlags(d)
	}
	if osd.Version >= 10 {
		changed := d.Bool()
		s := Stretch{BucketCount: d.U32(), Degraded: d.U32(), Recovering: d.U32(), Bucket: d.S32(), Enabled: d.Bool()}
		if changed {
			inc.NewStretch = &s
		}
	}
	if osd.Version >= 11 {
		inc.NewRangeBlocklist = decodeBlocklist(d)
		inc.OldRangeBlocklist = wire.DecodeSlice(d, 8, func() (a entity.Addr) { a.Decode(d); return a })
	}
	d.End(osd)

	crcAt := d.Offset()
	crc := d.U32()
	inc.FullCRC = d.U32()
	d.End(outer)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("osdmap incremental: %w", err)
	}
	if actual := crcWithout(b, crcAt); actual != crc {
		return nil, fmt.Errorf("osdmap incremental e%d: %w: bad crc, actual %d != expected %d", inc.Epoch, wire.ErrValue, actual, crc)
	}
	return inc, nil
}

func sorted(ids []int64) []int64 {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

func sortedPGs(pgs []object.PG) []object.PG {
	pgs = slices.Clone(pgs)
	slices.SortFunc(pgs, object.PG.Compare)
	return slices.Compact(pgs)
}
