package rados

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// PoolSnap is a snapshot of a pool (pool_snap_info_t).
type PoolSnap struct {
	ID      uint64
	Name    string
	Created time.Time
}

// CreateSnap makes a snapshot of the pool and returns when this client's map has
// it. ErrExists: there is one of that name; ErrInvalid: the pool has
// self-managed snapshots.
func (p *Pool) CreateSnap(ctx context.Context, name string) error {
	if err := p.c.WaitLatestMap(ctx); err != nil {
		return p.failed("create snapshot", err)
	}
	switch _, err := p.findSnap(name); {
	case err == nil:
		return p.failed("create snapshot", ErrExists)
	case !p.exists():
		return p.failed("create snapshot", err)
	}
	_, err := p.snapOp(ctx, "create snapshot", &msg.PoolOp{Op: msg.PoolOpCreateSnap, Name: name})
	return err
}

// RemoveSnap removes a snapshot of the pool. What only it kept is freed by and
// by.
func (p *Pool) RemoveSnap(ctx context.Context, name string) error {
	if _, err := p.LookupSnap(ctx, name); err != nil {
		return err
	}
	_, err := p.snapOp(ctx, "remove snapshot", &msg.PoolOp{Op: msg.PoolOpDeleteSnap, Name: name})
	return err
}

// PoolSnaps lists the snapshots of the pool, oldest first. There are none if
// they are self-managed.
func (p *Pool) PoolSnaps(ctx context.Context) ([]PoolSnap, error) {
	if err := p.c.WaitLatestMap(ctx); err != nil {
		return nil, p.failed("list snapshots", err)
	}
	pool := p.c.osdMap().Pools[p.id]
	if pool == nil {
		return nil, p.failed("list snapshots", ErrNotFound)
	}
	var out []PoolSnap
	for _, s := range pool.Snaps {
		out = append(out, poolSnap(s))
	}
	slices.SortFunc(out, func(a, b PoolSnap) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// LookupSnap finds a snapshot of the pool by its name. If the client does not
// know it, it asks for the newest map.
func (p *Pool) LookupSnap(ctx context.Context, name string) (PoolSnap, error) {
	s, err := p.findSnap(name)
	if err == nil {
		return s, nil
	}
	if err := p.c.WaitLatestMap(ctx); err != nil {
		return s, p.failed("look up snapshot", err)
	}
	if s, err = p.findSnap(name); err != nil {
		return s, p.failed("look up snapshot", err)
	}
	return s, nil
}

// SnapInfo tells of a snapshot of the pool by its id.
func (p *Pool) SnapInfo(id uint64) (PoolSnap, error) {
	if pool := p.c.osdMap().Pools[p.id]; pool != nil {
		if s, ok := pool.Snaps[object.SnapID(id)]; ok {
			return poolSnap(s), nil
		}
	}
	return PoolSnap{}, p.failed("look up snapshot", ErrNotFound)
}

func (p *Pool) findSnap(name string) (PoolSnap, error) {
	if pool := p.c.osdMap().Pools[p.id]; pool != nil {
		for _, s := range pool.Snaps {
			if s.Name == name {
				return poolSnap(s), nil
			}
		}
	}
	return PoolSnap{}, ErrNotFound
}

func poolSnap(s osdmap.PoolSnap) PoolSnap {
	return PoolSnap{ID: uint64(s.ID), Name: s.Name, Created: s.Stamp}
}

// CreateSelfManagedSnap takes a number for a self-managed snapshot, greater than
// all before it. ErrInvalid: the pool has snapshots of its own.
func (p *Pool) CreateSelfManagedSnap(ctx context.Context) (uint64, error) {
	out, err := p.snapOp(ctx, "create self-managed snapshot", &msg.PoolOp{Op: msg.PoolOpCreateUnmanagedSnap})
	if err != nil {
		return 0, err
	}
	if len(out) != 8 {
		return 0, p.failed("create self-managed snapshot", fmt.Errorf("%w: reply of %d bytes", errno.EBADMSG, len(out)))
	}
	return binary.LittleEndian.Uint64(out), nil
}

// RemoveSelfManagedSnap gives the number of a self-managed snapshot back: what
// only it kept is freed by and by. It must be in no snap context any more.
func (p *Pool) RemoveSelfManagedSnap(ctx context.Context, id uint64) error {
	_, err := p.snapOp(ctx, "remove self-managed snapshot", &msg.PoolOp{Op: msg.PoolOpDeleteUnmanagedSnap, SnapID: id})
	return err
}

func (p *Pool) snapOp(ctx context.Context, what string, op *msg.PoolOp) ([]byte, error) {
	op.Pool = uint32(p.id)
	op.CrushRule = -1
	out, err := p.c.poolOp(ctx, op)
	if err != nil {
		return nil, p.failed(what, err)
	}
	return out, nil
}

func (p *Pool) exists() bool { return p.c.osdMap().Pools[p.id] != nil }

// failed is the error of an operation on the pool as a whole.
func (p *Pool) failed(op string, err error) error {
	return &Error{Op: op, Pool: p.name, Err: closedError(err)}
}

// Rollback makes an object as it was at a snapshot; if it did not exist then, it
// is removed. In a pool with self-managed snapshots the handle needs the snap
// context (Pool.SnapContext), as for any write.
func (p *Pool) Rollback(ctx context.Context, name string, snap uint64) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Rollback(snap) })
}

// ObjectSnaps is what snapshots keep of an object.
type ObjectSnaps struct {
	Clones []Clone // oldest first; the last may be the head, the object as it is now
	Seq    uint64  // newest snapshot the object knows of
}

// Snaps lists the versions of an object.
func (p *Pool) Snaps(ctx context.Context, name string) (ObjectSnaps, error) {
	var op ReadOp
	s := op.Snaps()
	if err := p.AllSnaps().Query(ctx, name, &op); err != nil {
		return ObjectSnaps{}, err
	}
	return ObjectSnaps{s.Clones, s.Seq}, nil
}
