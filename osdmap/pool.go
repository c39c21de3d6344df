package osdmap

import (
	"math/bits"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// PoolType says how a pool keeps its data.
type PoolType uint8

const (
	Replicated PoolType = 1
	Erasure    PoolType = 3
)

func (t PoolType) String() string {
	switch t {
	case Replicated:
		return "replicated"
	case Erasure:
		return "erasure"
	}
	return "???"
}

// PoolFlags are a pool's switches (pg_pool_t::FLAG_*).
type PoolFlags uint64

const (
	PoolFlagHashPSPool           PoolFlags = 1 << iota // the pool is mixed into the placement seed
	PoolFlagFull                                       // no writes: the cluster is full
	PoolFlagECOverwrites                               // an erasure-coded pool that takes overwrites
	PoolFlagIncompleteClones                           //
	PoolFlagNoDelete                                   // refuses to be removed
	PoolFlagNoPGChange                                 // refuses other pg_num
	PoolFlagNoSizeChange                               // refuses other size
	PoolFlagWriteFadviseDontneed                       //
	PoolFlagNoScrub                                    //
	PoolFlagNoDeepScrub                                //
	PoolFlagFullQuota                                  // full because of its quota
	PoolFlagNearFull                                   //
	PoolFlagBackfillFull                               //
	PoolFlagSelfmanagedSnaps                           // clients make the snapshots of objects
	PoolFlagPoolSnaps                                  // snapshots are of the whole pool
	PoolFlagCreating                                   // its groups are being made
	PoolFlagEIO                                        // every operation fails
	PoolFlagBulk                                       // expected to be large
)

var poolFlagNames = []string{"hashpspool", "full", "ec_overwrites", "incomplete_clones", "nodelete", "nopgchange", "nosizechange",
	"write_fadvise_dontneed", "noscrub", "nodeep-scrub", "full_quota", "nearfull", "backfillfull", "selfmanaged_snaps", "pool_snaps",
	"creating", "eio", "bulk"}

// String joins the names with commas, in the order of the bits.
func (f PoolFlags) String() string {
	s := ""
	for i, n := range poolFlagNames {
		if f&(1<<i) != 0 {
			if s != "" {
				s += ","
			}
			s += n
		}
	}
	return s
}

// AutoscaleMode says whether the pool's number of groups follows its size.
type AutoscaleMode uint8

const (
	AutoscaleOff  AutoscaleMode = 0
	AutoscaleWarn AutoscaleMode = 1
	AutoscaleOn   AutoscaleMode = 2
)

func (m AutoscaleMode) String() string {
	switch m {
	case AutoscaleOff:
		return "off"
	case AutoscaleWarn:
		return "warn"
	case AutoscaleOn:
		return "on"
	}
	return "???"
}

// ParseAutoscaleMode is the inverse of String.
func ParseAutoscaleMode(s string) (AutoscaleMode, bool) {
	for m := AutoscaleOff; m <= AutoscaleOn; m++ {
		if m.String() == s {
			return m, true
		}
	}
	return 0, false
}

// HashRjenkins is the object hash of all pools made since 2010; 1 is Linux'
// dcache hash.
const (
	HashLinux    = 1
	HashRjenkins = 2
)

// PoolSnap is a snapshot of a pool (pool_snap_info_t).
type PoolSnap struct {
	ID    object.SnapID
	Stamp time.Time
	Name  string
}

// MergeMeta describes the last merge of two groups (pg_merge_meta_t).
type MergeMeta struct {
	SourcePG         object.PG
	ReadyEpoch       uint32
	LastEpochStarted uint32
	LastEpochClean   uint32
	SourceVersion    object.Version
	TargetVersion    object.Version
}

// HitSetParams are about cache tiers, which are not supported; they are kept as
// they came.
type HitSetParams struct {
	Type   uint8 // 0: none
	Params []byte
}

// Pool is a pool (pg_pool_t). In a published map it is read only: Clone it, and
// put the clone into an Incremental.
type Pool struct {
	Type       PoolType
	Size       uint8 // replicas, or shards
	MinSize    uint8 // of them there must be to serve I/O
	CrushRule  uint8
	ObjectHash uint8

	PGNum         uint32 // groups
	PGPNum        uint32 // distinct placements among them
	PGNumTarget   uint32 // what PGNum moves to, step by step
	PGPNumTarget  uint32
	PGNumPending  uint32 // during a merge: what PGNum will be next
	LastMerge     MergeMeta
	AutoscaleMode AutoscaleMode

	Flags      PoolFlags
	CreateTime time.Time
	LastChange uint32 // epoch

	// Epochs from which clients must send their operations again.
	LastForceOpResend            uint32
	LastForceOpResendPrenautilus uint32
	LastForceOpResendPreluminous uint32
	SnapSeq                      object.SnapID // newest id given out
	SnapEpoch                    uint32        // when that changed
	Snaps                        map[object.SnapID]PoolSnap
	RemovedSnaps                 SnapSet // of clusters from before octopus
	AUID                         uint64
	CrashReplayInterval          uint32
	QuotaMaxBytes                uint64 // 0: none
	QuotaMaxObjects              uint64
	Tiers                        []int64
	TierOf, ReadTier, WriteTier  int64 // -1: none
	CacheMode                    uint8
	Properties                   map[string]string
	HitSet                       HitSetParams
	HitSetPeriod                 uint32
	HitSetCount                  uint32
	HitSetGradeDecayRate         uint32
	HitSetSearchLastN            uint32
	UseGMTHitset                 bool
	StripeWidth                  uint32 // erasure: data bytes of a stripe
	TargetMaxBytes               uint64
	TargetMaxObjects             uint64
	CacheTargetDirtyRatioMicro   uint32
	CacheTargetDirtyHighRatio    uint32 // micro
	CacheTargetFullRatioMicro    uint32
	CacheMinFlushAge             uint32
	CacheMinEvictAge             uint32
	ErasureCodeProfile           string
	MinReadRecencyForPromote     uint32
	MinWriteRecencyForPromote    uint32
	ExpectedNumObjects           uint64
	FastRead                     bool
	Opts                         PoolOpts
	Applications                 map[string]map[string]string // application_metadata
	PeeringCrushBucketCount      uint32                       // stretch mode; 0: off
	PeeringCrushBucketTarget     uint32
	PeeringCrushBucketBarrier    uint32
	PeeringCrushMandatoryMember  int32
	pgNumDecLastEpochs           [2]uint32 // nautilus pre-releases
	legacyLPGNum, legacyLPGPNum  uint32    // localized groups of long ago
}

// NewPool returns a pool with the values a new one has in Ceph.
func NewPool(t PoolType) *Pool {
	return &Pool{
		Type: t, ObjectHash: HashRjenkins, TierOf: -1, ReadTier: -1, WriteTier: -1, UseGMTHitset: true,
		CacheTargetDirtyRatioMicro: 400000, CacheTargetDirtyHighRatio: 600000, CacheTargetFullRatioMicro: 800000,
		PeeringCrushMandatoryMember: crush.ItemNone,
		Snaps:                       map[object.SnapID]PoolSnap{}, Properties: map[string]string{}, Opts: PoolOpts{},
		Applications: map[string]map[string]string{},
	}
}

// Clone returns a copy to change.
func (p *Pool) Clone() *Pool {
	c := *p
	c.Snaps = cloneMap(p.Snaps)
	c.Properties = cloneMap(p.Properties)
	c.Opts = cloneMap(p.Opts)
	c.RemovedSnaps = slices.Clone(p.RemovedSnaps)
	c.Tiers = slices.Clone(p.Tiers)
	c.Applications = make(map[string]map[string]string, len(p.Applications))
	for app, kv := range p.Applications {
		c.Applications[app] = cloneMap(kv)
	}
	return &c
}

// IsReplicated reports whether members of a group are interchangeable, so that
// the list of them closes ranks when one is lost (can_shift_osds).
func (p *Pool) IsReplicated() bool { return p.Type == Replicated }

// Has reports whether a flag is set.
func (p *Pool) Has(f PoolFlags) bool { return p.Flags&f != 0 }

// SnapContext is the one that writes to a pool with pool snapshots use.
func (p *Pool) SnapContext() object.SnapContext {
	sc := object.SnapContext{Seq: p.SnapSeq}
	for id := range p.Snaps {
		sc.Snaps = append(sc.Snaps, id)
	}
	slices.Sort(sc.Snaps)
	slices.Reverse(sc.Snaps)
	return sc
}

// mask returns the smallest 2^k-1 that holds n-1.
func mask(n uint32) uint32 {
	if n == 0 {
		return 0
	}
	return 1<<bits.Len32(n-1) - 1
}

// RawToActual returns the group of a raw one, whose seed is a full hash.
func (p *Pool) RawToActual(pg object.PG) object.PG {
	pg.Seed = object.StableMod(pg.Seed, p.PGNum, mask(p.PGNum))
	return pg
}

// PlacementSeed is what CRUSH is asked with (raw_pg_to_pps).
func (p *Pool) PlacementSeed(pg object.PG) uint32 {
	x := object.StableMod(pg.Seed, p.PGPNum, mask(p.PGPNum))
	if p.Has(PoolFlagHashPSPool) {
		return crush.Hash32_2(x, uint32(pg.Pool))
	}
	// Groups of equal seed of neighbouring pools share OSDs; this is why the
	// flag exists.
	return x + uint32(pg.Pool)
}

// Hash returns the hash of an object's placement.
func (p *Pool) Hash(namespace, key, name string) uint32 {
	if p.ObjectHash != HashLinux {
		return object.HashName(namespace, key, name)
	}
	if key == "" {
		key = name
	}
	if namespace != "" {
		key = namespace + "\x1f" + key
	}
	return object.LinuxHashString(key)
}

// Encode writes pg_pool_t, doc/protocol/maps.md#pg_pool_t.
func (p *Pool) Encode(e *wire.Encoder) {
	v := uint8(29)
	if p.PeeringCrushBucketCount > 0 {
		v = 30 // clients must be new enough for stretch mode only if it is on
	}
	m := e.Begin(v, 5)
	e.U8(uint8(p.Type))
	e.U8(p.Size)
	e.U8(p.CrushRule)
	e.U8(p.ObjectHash)
	e.U32(p.PGNum)
	e.U32(p.PGPNum)
	e.U32(p.legacyLPGNum)
	e.U32(p.legacyLPGPNum)
	e.U32(p.LastChange)
	e.U64(uint64(p.SnapSeq))
	e.U32(p.SnapEpoch)
	wire.EncodeMap(e, p.Snaps, func(id object.SnapID, s PoolSnap) {
		e.U64(uint64(id))
		m := e.Begin(2, 2)
		e.U64(uint64(s.ID))
		e.Time(s.Stamp)
		e.Str(s.Name)
		e.End(m)
	})
	p.RemovedSnaps.Encode(e)
	e.U64(p.AUID)
	e.U64(uint64(p.Flags))
	e.U32(p.CrashReplayInterval)
	e.U8(p.MinSize)
	e.U64(p.QuotaMaxBytes)
	e.U64(p.QuotaMaxObjects)
	wire.EncodeSlice(e, p.Tiers, e.S64)
	e.S64(p.TierOf)
	e.U8(p.CacheMode)
	e.S64(p.ReadTier)
	e.S64(p.WriteTier)
	encodeStrings(e, p.Properties)
	h := e.Begin(1, 1)
	e.U8(p.HitSet.Type)
	e.Raw(p.HitSet.Params)
	e.End(h)
	e.U32(p.HitSetPeriod)
	e.U32(p.HitSetCount)
	e.U32(p.StripeWidth)
	e.U64(p.TargetMaxBytes)
	e.U64(p.TargetMaxObjects)
	e.U32(p.CacheTargetDirtyRatioMicro)
	e.U32(p.CacheTargetFullRatioMicro)
	e.U32(p.CacheMinFlushAge)
	e.U32(p.CacheMinEvictAge)
	e.Str(p.ErasureCodeProfile)
	e.U32(p.LastForceOpResendPreluminous)
	e.U32(p.MinReadRecencyForPromote)
	e.U64(p.ExpectedNumObjects)
	e.U32(p.CacheTargetDirtyHighRatio)
	e.U32(p.MinWriteRecencyForPromote)
	e.Bool(p.UseGMTHitset)
	e.Bool(p.FastRead)
	e.U32(p.HitSetGradeDecayRate)
	e.U32(p.HitSetSearchLastN)
	p.Opts.Encode(e)
	e.U32(p.LastForceOpResendPrenautilus)
	wire.EncodeMap(e, p.Applications, func(app string, kv map[string]string) {
		e.Str(app)
		encodeStrings(e, kv)
	})
	e.Time(p.CreateTime)
	e.U32(p.PGNumTarget)
	e.U32(p.PGPNumTarget)
	e.U32(p.PGNumPending)
	e.U32(p.pgNumDecLastEpochs[0])
	e.U32(p.pgNumDecLastEpochs[1])
	e.U32(p.LastForceOpResend)
	e.U8(uint8(p.AutoscaleMode))
	g := e.Begin(1, 1)
	p.LastMerge.SourcePG.Encode(e)
	e.U32(p.LastMerge.ReadyEpoch)
	e.U32(p.LastMerge.LastEpochStarted)
	e.U32(p.LastMerge.LastEpochClean)
	p.LastMerge.SourceVersion.Encode(e)
	p.LastMerge.TargetVersion.Encode(e)
	e.End(g)
	if v >= 30 {
		e.U32(p.PeeringCrushBucketCount)
		e.U32(p.PeeringCrushBucketTarget)
		e.U32(p.PeeringCrushBucketBarrier)
		e.S32(p.PeeringCrushMandatoryMember)
	}
	e.End(m)
}

// Decode reads pg_pool_t as luminous and newer write it.
func (p *Pool) Decode(d *wire.Decoder) {
	env := d.Begin("pg_pool_t", 30)
	if env.Version < 24 && d.Err() == nil {
		d.Failf("pool of version %d is from before luminous", env.Version)
	}
	*p = *NewPool(PoolType(d.U8()))
	p.Size = d.U8()
	p.CrushRule = d.U8()
	p.ObjectHash = d.U8()
	p.PGNum = d.U32()
	p.PGPNum = d.U32()
	p.legacyLPGNum, p.legacyLPGPNum = d.U32(), d.U32()
	p.LastChange = d.U32()
	p.SnapSeq = object.SnapID(d.U64())
	p.SnapEpoch = d.U32()
	p.Snaps = wire.DecodeMap(d, 34, func() (object.SnapID, PoolSnap) {
		id := object.SnapID(d.U64())
		env := d.Begin("pool_snap_info_t", 2)
		s := PoolSnap{object.SnapID(d.U64()), d.Time(), d.Str()}
		d.End(env)
		return id, s
	})
	p.RemovedSnaps.Decode(d)
	p.AUID = d.U64()
	p.Flags = PoolFlags(d.U64())
	p.CrashReplayInterval = d.U32()
	p.MinSize = d.U8()
	p.QuotaMaxBytes = d.U64()
	p.QuotaMaxObjects = d.U64()
	p.Tiers = wire.DecodeSlice(d, 8, d.S64)
	p.TierOf = d.S64()
	p.CacheMode = d.U8()
	p.ReadTier = d.S64()
	p.WriteTier = d.S64()
	p.Properties = decodeStrings(d)
	h := d.Begin("HitSet::Params", 1)
	p.HitSet.Type = d.U8()
	p.HitSet.Params = slices.Clone(d.Raw(d.Left()))
	d.End(h)
	p.HitSetPeriod = d.U32()
	p.HitSetCount = d.U32()
	p.StripeWidth = d.U32()
	p.TargetMaxBytes = d.U64()
	p.TargetMaxObjects = d.U64()
	p.CacheTargetDirtyRatioMicro = d.U32()
	p.CacheTargetFullRatioMicro = d.U32()
	p.CacheMinFlushAge = d.U32()
	p.CacheMinEvictAge = d.U32()
	p.ErasureCodeProfile = d.Str()
	p.LastForceOpResendPreluminous = d.U32()
	p.MinReadRecencyForPromote = d.U32()
	p.ExpectedNumObjects = d.U64()
	p.CacheTargetDirtyHighRatio = d.U32()
	p.MinWriteRecencyForPromote = d.U32()
	p.UseGMTHitset = d.Bool()
	p.FastRead = d.Bool()
	p.HitSetGradeDecayRate = d.U32()
	p.HitSetSearchLastN = d.U32()
	p.Opts.Decode(d)
	if env.Version >= 25 {
		p.LastForceOpResendPrenautilus = d.U32()
	} else {
		p.LastForceOpResendPrenautilus = p.LastForceOpResendPreluminous
	}
	if env.Version >= 26 {
		p.Applications = wire.DecodeMap(d, 8, func() (string, map[string]string) { return d.Str(), decodeStrings(d) })
	}
	if env.Version >= 27 {
		p.CreateTime = d.Time()
	}
	if env.Version >= 28 {
		p.PGNumTarget = d.U32()
		p.PGPNumTarget = d.U32()
		p.PGNumPending = d.U32()
		p.pgNumDecLastEpochs = [2]uint32{d.U32(), d.U32()}
		p.LastForceOpResend = d.U32()
		p.AutoscaleMode = AutoscaleMode(d.U8())
	} else {
		p.PGNumTarget, p.PGPNumTarget, p.PGNumPending = p.PGNum, p.PGPNum, p.PGNum
		p.LastForceOpResend = p.LastForceOpResendPrenautilus
	}
	if env.Version >= 29 {
		g := d.Begin("pg_merge_meta_t", 1)
		p.LastMerge.SourcePG.Decode(d)
		p.LastMerge.ReadyEpoch = d.U32()
		p.LastMerge.LastEpochStarted = d.U32()
		p.LastMerge.LastEpochClean = d.U32()
		p.LastMerge.SourceVersion.Decode(d)
		p.LastMerge.TargetVersion.Decode(d)
		d.End(g)
	}
	if env.Version >= 30 {
		p.PeeringCrushBucketCount = d.U32()
		p.PeeringCrushBucketTarget = d.U32()
		p.PeeringCrushBucketBarrier = d.U32()
		p.PeeringCrushMandatoryMember = d.S32()
	}
	d.End(env)
}

func encodeStrings(e *wire.Encoder, m map[string]string) {
	wire.EncodeMap(e, m, func(k, v string) {
		e.Str(k)
		e.Str(v)
	})
}

func decodeStrings(d *wire.Decoder) map[string]string {
	return wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
}
