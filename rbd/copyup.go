package rbd

import (
	"bytes"
	"context"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
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
func (img *Image) parentBytes(v *view, n uint64) uint64 {
	sum := uint64(0)
	for _, r := range img.layout.Image(n, striper.Range{Length: img.layout.ObjectSize}) {
		if r.Offset < v.overlap {
			sum += min(r.Length, v.overlap-r.Offset)
		}
	}
	return sum
}

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

// zeroBlock is how large a run of zeros is that is not worth copying.
const zeroBlock = 4096

var zeros [zeroBlock]byte

// parentContent reads what the parent has at the place of an object, without
// zeros.
func (img *Image) parentContent(ctx context.Context, v *view, n uint64) (extents []calls.Extent, data []byte, err error) {
	whole := make([]byte, img.layout.ObjectSize)
	if err := img.readParent(ctx, v, n, 0, whole); err != nil {
		return nil, nil, err
	}
	used := uint64(0) // bytes of whole that data has
	for off := uint64(0); off < uint64(len(whole)); off += zeroBlock {
		b := whole[off:min(off+zeroBlock, uint64(len(whole)))]
		if bytes.Equal(b, zeros[:len(b)]) {
			continue
		}
		if k := len(extents); k > 0 && extents[k-1].Offset+extents[k-1].Length == off {
			extents[k-1].Length += uint64(len(b))
		} else {
			extents = append(extents, calls.Extent{Offset: off, Length: uint64(len(b))})
		}
		used += uint64(copy(whole[used:], b)) // never beyond off
	}
	return extents, whole[:used], nil
}
