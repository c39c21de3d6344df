package pg

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Operations on the past of an object; the rules are in the package comment.

// snapContext is what a write goes by: that of the pool, where the monitors name
// the snapshots, else that of the client, without what is being removed.
func (p *PG) snapContext(r *Request) object.SnapContext {
	if p.poolsContext(r) {
		return p.poolSnaps
	}
	sc := r.Op.SnapContext
	if len(p.removed) == 0 && len(p.info.Purged) == 0 {
		return sc
	}
	gone := func(s object.SnapID) bool { return p.removed.Contains(s) || p.info.Purged.Contains(s) }
	if slices.ContainsFunc(sc.Snaps, gone) {
		sc.Snaps = slices.DeleteFunc(slices.Clone(sc.Snaps), gone)
	}
	return sc
}

// poolsContext reports whether a write goes by the pool's context, whatever its
// client says.
func (p *PG) poolsContext(r *Request) bool {
	return p.pool.Has(osdmap.PoolFlagPoolSnaps) && r.Op.Flags&msg.FlagEnforceSnapc == 0
}

// at returns what an object was at a snapshot: its head, one of its clones, or
// ENOENT (find_object_context). exact means that snap is the id of a clone.
func (p *PG) at(head *objectContext, snap object.SnapID, exact bool) (*objectContext, error) {
	if snap > head.snaps.Seq {
		return head, nil
	}
	var c *Clone
	if exact {
		c = head.snaps.find(snap)
	} else if !p.removed.Contains(snap) {
		c = head.snaps.serving(snap)
	}
	if c == nil {
		return nil, errno.ENOENT
	}
	return p.cloneContext(head, c.ID)
}

// cloneContext returns the context of a clone that there is.
func (p *PG) cloneContext(head *objectContext, id object.SnapID) (*objectContext, error) {
	o, err := p.object(head.id.At(id))
	if err == nil && !o.exists {
		err = fmt.Errorf("pg %v: there is no %v: %w", p.id, o.id, errno.EIO)
	}
	return o, err
}

// opRollback makes the head what it was at a snapshot: a copy of a clone, which
// shares its bytes, or nothing.
func (x *execution) opRollback(op *msg.Op) error {
	c, err := x.pg.at(x.obj, object.SnapID(op.U64(0)), false)
	switch {
	case err != nil && !errors.Is(err, errno.ENOENT):
		return err
	case err != nil || c == x.obj && !c.exists:
		switch {
		case len(x.obj.info.Watchers) > 0:
			return errno.EBUSY
		case x.exists:
			return x.removeObject()
		}
	case c == x.obj:
		x.modify = true
	default:
		x.rollBack(c)
	}
	return nil
}

// rollBack makes the head a copy of a clone.
func (x *execution) rollBack(c *objectContext) {
	all := extent.Of(0, x.info.Size)
	same := x.obj.snaps.unchangedSince(x.obj.snaps.index(c.id.Snap))
	x.modified = x.modified.Union(all.Subtract(same))
	x.create()
	x.view.become(c.id)
	x.replaced = true
	x.resize(c.info.Size)
	if c.info.Flags&ObjectOmap != 0 {
		x.markOmap()
	} else if x.info.Flags&ObjectOmap != 0 {
		x.info.Flags &^= ObjectOmap
		x.stats.OmapObjects--
	}
}

// opListSnaps tells of the clones, and of the head if there is one
// (obj_list_snap_response_t).
func (x *execution) opListSnaps(op *msg.Op) error {
	var e wire.Encoder
	m := e.Begin(2, 1)
	ss := &x.obj.snaps
	list := slices.Clone(ss.Clones)
	if x.exists {
		list = append(list, Clone{ID: object.NoSnap, Size: x.info.Size})
	}
	wire.EncodeSlice(&e, list, func(c Clone) {
		clone := e.Begin(1, 1)
		e.U64(uint64(c.ID))
		e.U32(uint32(len(c.Snaps)))
		for _, s := range slices.Backward(c.Snaps) {
			e.U64(uint64(s))
		}
		c.Overlap.Encode(&e)
		e.U64(c.Size)
		e.End(clone)
	})
	e.U64(uint64(ss.Seq))
	e.End(m)
	out(op, e.Bytes())
	x.didRead(0)
	return nil
}
