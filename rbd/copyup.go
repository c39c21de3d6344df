package rbd

import (
	"context"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// Copy-up: a clone has no objects of its own at first. Before the first write to
// an object, what the parent has at its place becomes the object's content.
//
// Snapshots of the clone that are older than the write see the parent's bytes
// there, too. So with snapshots the copy is written first and without a snap
// context, as if it had always been there, and the write follows on its own and
// leaves the copy to the snapshots. Their object maps must know of it. A part of
// the parent that is all zeros needs no copy: where there is no object, or one
// with a hole, zeros are read as well.

// parentBytes is how many bytes the parent has at the place of an object.
func (img *Image) parentBytes(v *view, n uint64) uint64 { return img.layout.Length(n, v.overlap) }

// copyUp copies an object from the parent, unless it exists, and changes it; c
// is nil if there is nothing to change.
func (img *Image) copyUp(ctx context.Context, v *view, n uint64, c *change) error {
	if err := img.objects.own(ctx, n); err != nil {
		return err
	}
	defer img.objects.release(n)
	m := img.owner.objectMap.Load()
	extents, data, err := img.parentContent(ctx, v, n)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		if c == nil {
			return nil
		}
		return img.changeExisting(ctx, v, n, c, m, false)
	}
	copied := calls.SparseCopyUp(extents, data)
	if len(v.snapc.Snaps) == 0 && c != nil && !c.apart {
		both := *c
		both.first = &copied
		return img.changeExisting(ctx, v, n, &both, m, false)
	}
	if m != nil {
		if err := img.copiedInSnapshots(ctx, v, n); err != nil {
			return err
		}
		state := clsrbd.ObjectExists
		if c == nil && len(v.snaps) > 0 && v.has(FastDiff) {
			state = clsrbd.ObjectExistsClean
		}
		if err := m.update(ctx, mapChange{n, n + 1, state, calls.AnyState}); err != nil {
			return err
		}
	}
	var op rados.WriteOp
	addWrite(&op, copied)
	op.SetAllocHint(img.layout.ObjectSize, img.layout.ObjectSize, 0)
	if err := img.data.Mutate(ctx, img.object(n), &op); err != nil || c == nil {
		return err
	}
	return img.changeExisting(ctx, v, n, c, m, false)
}

// copiedInSnapshots notes in the object maps of the snapshots that an object
// exists: new in the oldest one, the same in the others.
func (img *Image) copiedInSnapshots(ctx context.Context, v *view, n uint64) error {
	state := clsrbd.ObjectExists
	for _, s := range v.snaps {
		if n >= img.layout.Objects(s.Size) {
			continue
		}
		err := tell(ctx, img.pool, clsrbd.ObjectMapName(img.id, s.ID), calls.UpdateObjectMap(n, n+1, state, calls.AnyState))
		if err != nil && !isMissing(err) {
			img.log.Warn("object map of a snapshot cannot be updated", "snapshot", s.ID, "err", err)
			if err := img.flag(ctx, s.ID, true); err != nil {
				return err
			}
		}
		if v.has(FastDiff) {
			state = clsrbd.ObjectExistsClean
		}
	}
	return nil
}

// parentContent reads what the parent has at the place of an object, without
// zeros.
func (img *Image) parentContent(ctx context.Context, v *view, n uint64) (extents []calls.Extent, data []byte, err error) {
	whole := make([]byte, img.layout.ObjectSize)
	if err := img.readParent(ctx, v, n, 0, whole); err != nil {
		return nil, nil, err
	}
	for off, b := range used(whole) {
		extents = append(extents, calls.Extent{Offset: uint64(off), Length: uint64(len(b))})
		if data == nil {
			data = b
		} else {
			data = append(data, b...)
		}
	}
	return extents, data, nil
}
