package objecter

import (
	"math/bits"
	"slices"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// Map is what the objecter asks of an OSD map. A Map does not change.
type Map interface {
	Epoch() uint32
	// Paused tells whether reads and writes are to wait, because somebody asked
	// for it or because the cluster is full.
	Paused() (reads, writes, full bool)
	Pool(id int64) (Pool, bool)
	Place(pg object.PG) Placement
	// Up returns where a running OSD is reached.
	Up(osd int32) (entity.AddrVec, bool)
}

// Pool is what the objecter knows of a pool (pg_pool_t).
type Pool struct {
	PGNum         uint32
	PGNumPending  uint32
	Size, MinSize uint32
	Erasure       bool
	Full          bool   // no writes
	ForceResend   uint32 // epoch at which everything was to be sent again
}

// PG is the placement group of a hash.
func (p Pool) PG(pool int64, hash uint32) object.PG {
	if p.PGNum == 0 {
		return object.PG{Pool: pool}
	}
	mask := uint32(1)<<bits.Len32(p.PGNum-1) - 1
	return object.PG{Pool: pool, Seed: object.StableMod(hash, p.PGNum, mask)}
}

// Placement is who serves a placement group.
type Placement struct {
	Up, Acting         []int32
	UpPrimary, Primary int32 // -1: nobody
}

// target is where an operation goes by the newest map. Two targets of which
// changed reports true are of different intervals.
type target struct {
	pg     object.PG
	shard  int8
	place  Placement
	pool   Pool
	exists bool // the pool does
	paused bool
}

// changed reports whether an interval ended between t and u
// (PastIntervals::is_new_interval): the OSD has dropped what came before.
func (t *target) changed(u *target) bool {
	return t.pg != u.pg ||
		t.place.Primary != u.place.Primary || t.place.UpPrimary != u.place.UpPrimary ||
		!slices.Equal(t.place.Acting, u.place.Acting) || !slices.Equal(t.place.Up, u.place.Up) ||
		t.pool.Size != u.pool.Size || t.pool.MinSize != u.pool.MinSize ||
		t.pool.PGNum != u.pool.PGNum || t.pool.PGNumPending != u.pool.PGNumPending ||
		t.pool.ForceResend != u.pool.ForceResend
}

// locate computes the target of op by the current map.
func (c *Core) locate(op *Op) target {
	pool, ok := c.m.Pool(op.Locator.Pool)
	if !ok {
		return target{place: Placement{Primary: -1, UpPrimary: -1}}
	}
	t := target{exists: true, pool: pool, pg: pool.PG(op.Locator.Pool, op.hash), shard: object.NoShard}
	t.place = c.m.Place(t.pg)
	if pool.Erasure {
		t.shard = int8(slices.Index(t.place.Acting, t.place.Primary))
	}
	reads, writes, full := c.m.Paused()
	writes = writes || (full || pool.Full) && !op.ignoresFull()
	t.paused = op.reads() && reads || op.writes() && writes
	return t
}

func (op *Op) reads() bool  { return op.Flags&msg.FlagRead != 0 }
func (op *Op) writes() bool { return op.Flags&msg.FlagWrite != 0 }
func (op *Op) ignoresFull() bool {
	return op.Flags&(msg.FlagFullTry|msg.FlagFullForce) != 0
}
