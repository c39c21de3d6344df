package rados

import (
	"context"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/rados/objecter"
)

// Pool is a handle of a pool (librados' IoCtx): where objects are looked for.
// It does not change; Namespace, Locator and the like return another handle. It
// is for concurrent use and costs nothing to drop.
type Pool struct {
	c     *Cluster
	id    int64
	name  string
	ns    string
	key   string
	snap  object.SnapID
	snapc object.SnapContext
	flags uint32
}

func newPool(c *Cluster, id int64, name string) *Pool {
	return &Pool{c: c, id: id, name: name, snap: object.NoSnap}
}

// ID is the pool's number.
func (p *Pool) ID() int64 { return p.id }

// Name is the pool's name when the handle was made.
func (p *Pool) Name() string { return p.name }

// Info tells what the pool is like now.
func (p *Pool) Info() (PoolInfo, error) {
	m := p.c.osdMap()
	if m.Pools[p.id] == nil {
		return PoolInfo{}, &Error{Op: "stat", Pool: p.name, Err: ErrNotFound}
	}
	return poolInfo(m, p.id), nil
}

// AllNamespaces, as a namespace, lists the objects of all of them. It is for
// Objects only.
const AllNamespaces = object.AllNamespaces

// Namespace is the handle of a namespace of the pool; the empty one is the
// default.
func (p *Pool) Namespace(ns string) *Pool {
	q := *p
	q.ns = ns
	return &q
}

// Locator is a handle with which objects are placed by key instead of their
// name, so that those of one key are together. An empty key ends that.
func (p *Pool) Locator(key string) *Pool {
	q := *p
	q.key = key
	return &q
}

// AtSnap is a handle that reads objects as they were at a snapshot; HeadSnap
// is the present again.
func (p *Pool) AtSnap(snap uint64) *Pool {
	q := *p
	q.snap = object.SnapID(snap)
	return &q
}

// HeadSnap is the present, as a snapshot.
const HeadSnap = uint64(object.NoSnap)

// Snap is the snapshot that the handle reads, HeadSnap for the present.
func (p *Pool) Snap() uint64 { return uint64(p.snap) }

// AllSnaps is a handle for ReadOp.Snaps.
func (p *Pool) AllSnaps() *Pool { return p.AtSnap(uint64(object.SnapDir)) }

// SnapContext is a handle whose writes keep the object as it was at the
// snapshots given: seq is the newest that there ever was, snaps those alive,
// newest first. With OrderedSnaps or not, a sequence that is not descending is
// ErrInvalid.
func (p *Pool) SnapContext(seq uint64, snaps []uint64) *Pool {
	q := *p
	q.snapc = object.SnapContext{Seq: object.SnapID(seq)}
	for _, s := range snaps {
		q.snapc.Snaps = append(q.snapc.Snaps, object.SnapID(s))
	}
	return &q
}

// OrderedSnaps is a handle whose writes fail with ErrStaleSnaps if their snap
// context is older than the one the object was last written with, instead of
// being done as if they had come before.
func (p *Pool) OrderedSnaps() *Pool {
	q := *p
	q.flags |= msg.FlagOrderSnap
	return &q
}

// FailIfFull is a handle whose writes fail with ErrNoSpace or ErrQuota when the
// pool is full, instead of waiting for space.
func (p *Pool) FailIfFull() *Pool {
	q := *p
	q.flags |= msg.FlagFullTry
	return &q
}

// DespiteFull is a handle whose writes are done even when the pool is full, as
// far as the OSDs can. It needs capabilities of its own.
func (p *Pool) DespiteFull() *Pool {
	q := *p
	q.flags |= msg.FlagFullTry | msg.FlagFullForce
	return &q
}

func (p *Pool) locator() object.Locator {
	return object.Locator{Pool: p.id, Key: p.key, Namespace: p.ns, Hash: -1}
}

// Query executes a sequence of reads on an object.
func (p *Pool) Query(ctx context.Context, name string, op *ReadOp) error {
	return p.execute(ctx, name, &op.Steps, &objecter.Op{Flags: msg.FlagRead})
}

// Mutate executes a sequence that changes an object. If ctx ends first it is
// not known whether it was done.
func (p *Pool) Mutate(ctx context.Context, name string, op *WriteOp) error {
	o := &objecter.Op{Flags: msg.FlagWrite, MTime: op.mtime, SnapContext: p.snapc}
	if o.MTime.IsZero() {
		o.MTime = time.Now()
	}
	if op.output {
		o.Flags |= msg.FlagReturnVec
	}
	if p.snap != object.NoSnap {
		return &Error{Op: op.name(0), Pool: p.name, Object: name, Err: errReadOnly}
	}
	return p.execute(ctx, name, &op.Steps, o)
}

func (p *Pool) execute(ctx context.Context, name string, v *Steps, o *objecter.Op) error {
	fail := func(op string, err error) error {
		return &Error{Op: op, Pool: p.name, Object: name, Err: err}
	}
	ops, err := v.request()
	if err != nil {
		return fail("request", err)
	}
	o.Object = name
	o.Locator = p.locator()
	o.Ops = ops
	o.Flags |= p.flags
	o.Snap = p.snap
	done, err := p.c.objects.Do(ctx, o)
	if err != nil {
		return fail(v.name(0), closedError(err))
	}
	defer done.Data.Release()
	if failed, err := v.take(done.Reply); err != nil {
		return fail(failed, p.c.noticed(err))
	}
	return nil
}

// Hash is what places an object: the placement group follows from it.
func (p *Pool) Hash(name string) uint32 { return object.HashName(p.ns, p.key, name) }

// Locate tells the placement group of an object and the OSDs that serve it by
// the newest map, the leading one first.
func (p *Pool) Locate(name string) (pgid string, osds []int, err error) {
	m := p.c.osdMap()
	pool := m.Pools[p.id]
	if pool == nil {
		return "", nil, &Error{Op: "locate", Pool: p.name, Object: name, Err: ErrNotFound}
	}
	pg := pool.RawToActual(object.PG{Pool: p.id, Seed: p.Hash(name)})
	where := m.PGToUpActing(pg)
	for _, o := range where.Acting {
		if o == where.ActingPrimary {
			osds = slices.Insert(osds, 0, int(o))
		} else {
			osds = append(osds, int(o))
		}
	}
	return pg.String(), osds, nil
}

// NamespaceName is the namespace of the handle.
func (p *Pool) NamespaceName() string { return p.ns }

// Cluster is the connection that the handle belongs to.
func (p *Pool) Cluster() *Cluster { return p.c }
