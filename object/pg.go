package object

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/wire"
)

// PG is a placement group (pg_t).
type PG struct {
	Pool int64
	Seed uint32
}

// String is 1.1f: pool in decimal, seed in hex.
func (p PG) String() string { return fmt.Sprintf("%d.%x", p.Pool, p.Seed) }

// ParsePG is the inverse of String.
func ParsePG(s string) (PG, error) {
	pool, seed, ok := strings.Cut(s, ".")
	n, err1 := strconv.ParseInt(pool, 10, 64)
	x, err2 := strconv.ParseUint(seed, 16, 32)
	if !ok || err1 != nil || err2 != nil || n < 0 {
		return PG{}, fmt.Errorf("invalid pgid %q", s)
	}
	return PG{n, uint32(x)}, nil
}

// Compare orders by pool, then seed.
func (p PG) Compare(q PG) int {
	return cmp.Or(cmp.Compare(p.Pool, q.Pool), cmp.Compare(p.Seed, q.Seed))
}

func (p PG) Encode(e *wire.Encoder) {
	e.U8(1)
	e.S64(p.Pool)
	e.U32(p.Seed)
	e.S32(-1)
}

func (p *PG) Decode(d *wire.Decoder) {
	if v := d.U8(); v != 1 && d.Err() == nil {
		d.Failf("pg_t version %d", v)
	}
	p.Pool = d.S64()
	p.Seed = d.U32()
	d.S32()
}

// NoShard is the shard of replicated pools.
const NoShard int8 = -1

// SPG is a placement group with the shard of it that is meant (spg_t).
type SPG struct {
	PG
	Shard int8
}

func (p SPG) String() string {
	if p.Shard == NoShard {
		return p.PG.String()
	}
	return fmt.Sprintf("%vs%d", p.PG, p.Shard)
}

// Compare orders by group, then shard.
func (p SPG) Compare(q SPG) int { return cmp.Or(p.PG.Compare(q.PG), cmp.Compare(p.Shard, q.Shard)) }

func (p SPG) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	p.PG.Encode(e)
	e.S8(p.Shard)
	e.End(m)
}

func (p *SPG) Decode(d *wire.Decoder) {
	env := d.Begin("spg_t", 1)
	p.PG.Decode(d)
	p.Shard = d.S8()
	d.End(env)
}

// StableMod maps a hash to one of b buckets so that growing b splits buckets
// instead of shuffling them; mask is the next power of two above b-1, minus one
// (ceph_stable_mod).
func StableMod(x, b, mask uint32) uint32 {
	if x&mask < b {
		return x & mask
	}
	return x & (mask >> 1)
}

// Version is eversion_t: a position in the log of a placement group.
type Version struct {
	Epoch   uint32
	Version uint64
}

func (v Version) String() string { return fmt.Sprintf("%d'%d", v.Epoch, v.Version) }

// IsZero reports whether v is before all writes.
func (v Version) IsZero() bool { return v == Version{} }

// Compare orders by epoch, then version.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Epoch, w.Epoch), cmp.Compare(v.Version, w.Version))
}

func (v Version) Encode(e *wire.Encoder) {
	e.U64(v.Version)
	e.U32(v.Epoch)
}

func (v *Version) Decode(d *wire.Decoder) {
	v.Version = d.U64()
	v.Epoch = d.U32()
}

// SnapContext is what a write knows of the snapshots that exist: the newest
// snapid given out, and those alive, newest first.
type SnapContext struct {
	Seq   SnapID
	Snaps []SnapID
}

// Valid reports whether the snaps descend strictly and none is above Seq.
func (s SnapContext) Valid() bool {
	last := s.Seq
	for i, x := range s.Snaps {
		if x > last || (i > 0 && x == last) || x == 0 {
			return false
		}
		last = x
	}
	return true
}
