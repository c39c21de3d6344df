package msg

import "github.com/pulpo-storage/pulpo/wire"

// The lengths of encodings, with empty maps and names: how many can be in a
// message is known before room is made for them.
const (
	minObjectStats = 6 + 28*8 + 4*4 + 8*8
	minStoreStats  = 6 + 10*8
	minPoolStat    = 6 + 6 + minObjectStats + 4 + 2*8 + 2*4 + minStoreStats + 4
)

// ObjectStats are sums over objects (object_stat_sum_t).
type ObjectStats struct {
	Bytes, Objects, Clones, Copies                  int64
	MissingOnPrimary, Degraded, Unfound             int64
	Reads, ReadKB, Writes, WriteKB                  int64
	ScrubErrors                                     int64
	ObjectsRecovered, BytesRecovered, KeysRecovered int64
	ShallowScrubErrors, DeepScrubErrors             int64
	Dirty, Whiteouts, Omap, HitSetArchive           int64
	Misplaced, HitSetArchiveBytes                   int64
	Flush, FlushKB, Evict, EvictKB, Promote         int64
	FlushHigh, FlushLow, EvictSome, EvictFull       int32 // cache tier modes
	Pinned, Missing, LegacySnapsets, LargeOmap      int64
	Manifest, OmapBytes, OmapKeys, Repaired         int64
}

func (s *ObjectStats) fields() ([]*int64, []*int32, []*int64) {
	return []*int64{
			&s.Bytes, &s.Objects, &s.Clones, &s.Copies, &s.MissingOnPrimary, &s.Degraded, &s.Unfound,
			&s.Reads, &s.ReadKB, &s.Writes, &s.WriteKB, &s.ScrubErrors, &s.ObjectsRecovered,
			&s.BytesRecovered, &s.KeysRecovered, &s.ShallowScrubErrors, &s.DeepScrubErrors, &s.Dirty,
			&s.Whiteouts, &s.Omap, &s.HitSetArchive, &s.Misplaced, &s.HitSetArchiveBytes, &s.Flush,
			&s.FlushKB, &s.Evict, &s.EvictKB, &s.Promote,
		},
		[]*int32{&s.FlushHigh, &s.FlushLow, &s.EvictSome, &s.EvictFull},
		[]*int64{&s.Pinned, &s.Missing, &s.LegacySnapsets, &s.LargeOmap, &s.Manifest, &s.OmapBytes, &s.OmapKeys, &s.Repaired}
}

// Add adds t, field by field.
func (s *ObjectStats) Add(t *ObjectStats) { s.combine(t, 1) }

// Sub subtracts t, field by field.
func (s *ObjectStats) Sub(t *ObjectStats) { s.combine(t, -1) }

func (s *ObjectStats) combine(t *ObjectStats, sign int64) {
	a, b, c := s.fields()
	x, y, z := t.fields()
	for i := range a {
		*a[i] += sign * *x[i]
	}
	for i := range b {
		*b[i] += int32(sign) * *y[i]
	}
	for i := range c {
		*c[i] += sign * *z[i]
	}
}

func (s ObjectStats) Encode(e *wire.Encoder) {
	m := e.Begin(20, 14)
	a, b, c := s.fields()
	for _, p := range a {
		e.S64(*p)
	}
	for _, p := range b {
		e.S32(*p)
	}
	for _, p := range c {
		e.S64(*p)
	}
	e.End(m)
}

func (s *ObjectStats) Decode(d *wire.Decoder) {
	env := d.Begin("object_stat_sum_t", 20)
	if d.Err() == nil && env.Version < 20 {
		d.Failf("object_stat_sum_t version %d", env.Version)
	}
	a, b, c := s.fields()
	for _, p := range a {
		*p = d.S64()
	}
	for _, p := range b {
		*p = d.S32()
	}
	for _, p := range c {
		*p = d.S64()
	}
	d.End(env)
}

// StoreStats is the space of a store, in bytes (store_statfs_t).
type StoreStats struct {
	Total, Available, InternallyReserved, Allocated         int64
	Stored, Compressed, CompressedAllocated, CompressedOrig int64
	OmapAllocated, InternalMetadata                         int64
}

func (s *StoreStats) fields() []*int64 {
	return []*int64{
		&s.Total, &s.Available, &s.InternallyReserved, &s.Allocated, &s.Stored, &s.Compressed,
		&s.CompressedAllocated, &s.CompressedOrig, &s.OmapAllocated, &s.InternalMetadata,
	}
}

// Add adds t, field by field.
func (s *StoreStats) Add(t *StoreStats) {
	a, b := s.fields(), t.fields()
	for i := range a {
		*a[i] += *b[i]
	}
}

func (s StoreStats) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	for _, p := range s.fields() {
		e.S64(*p)
	}
	e.End(m)
}

func (s *StoreStats) Decode(d *wire.Decoder) {
	env := d.Begin("store_statfs_t", 1)
	for _, p := range s.fields() {
		*p = d.S64()
	}
	d.End(env)
}

// PoolStat is what the monitors tell of a pool (pool_stat_t).
type PoolStat struct {
	Objects      ObjectStats
	Categories   map[string]ObjectStats // always empty today
	LogSize      int64
	OndiskLog    int64
	Up, Acting   int32
	Store        StoreStats
	NumStoreStat uint32
}

func (s PoolStat) Encode(e *wire.Encoder) {
	m := e.Begin(7, 5)
	c := e.Begin(2, 2)
	s.Objects.Encode(e)
	wire.EncodeMap(e, s.Categories, func(k string, v ObjectStats) { e.Str(k); v.Encode(e) })
	e.End(c)
	e.S64(s.LogSize)
	e.S64(s.OndiskLog)
	e.S32(s.Up)
	e.S32(s.Acting)
	s.Store.Encode(e)
	e.U32(s.NumStoreStat)
	e.End(m)
}

func (s *PoolStat) Decode(d *wire.Decoder) {
	env := d.Begin("pool_stat_t", 7)
	c := d.Begin("object_stat_collection_t", 2)
	s.Objects.Decode(d)
	s.Categories = wire.DecodeMap(d, 4+minObjectStats, func() (k string, v ObjectStats) { k = d.Str(); v.Decode(d); return k, v })
	d.End(c)
	s.LogSize = d.S64()
	s.OndiskLog = d.S64()
	s.Up = d.S32()
	s.Acting = d.S32()
	s.Store.Decode(d)
	s.NumStoreStat = d.U32()
	d.End(env)
}
