package rbd

import (
	"context"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// Object maps of snapshots. That of a snapshot is a copy of the image's at its
// time. With fast-diff, what exists in the image is clean from then on: a map
// says of each object whether it was written since the snapshot before.
//
//	            s1      s2     image
//	object 0  exists  clean   clean     written before s1 only
//	object 1  exists  exists  clean     written again before s2
//	object 2     -       -    exists    written after s2
//
// When a snapshot is removed, what was written before it counts for the next
// one.

// snapshotObjectMap makes the object map of a new snapshot. Nobody writes
// meanwhile.
func (img *Image) snapshotObjectMap(ctx context.Context, id uint64) error {
	m := img.owner.objectMap.Load()
	if m == nil {
		return nil
	}
	bits, err := img.pool.ReadFull(ctx, m.name())
	if err == nil {
		err = img.pool.WriteFull(ctx, clsrbd.ObjectMapName(img.id, id), bits)
	}
	if err != nil {
		img.log.Warn("object map of a snapshot cannot be written", "snapshot", id, "err", err)
		if err := img.flag(ctx, id, true); err != nil {
			return err
		}
	}
	if !img.view.Load().has(FastDiff) {
		return nil
	}
	var op rados.WriteOp
	op.AssertLocked(m.lock)
	addWrite(&op, calls.CleanObjectMap())
	if err := img.pool.Mutate(ctx, m.name(), &op); err != nil {
		return m.failed(ctx, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.bits.Len() {
		if m.bits.Get(n) == clsrbd.ObjectExists {
			m.bits.Set(n, clsrbd.ObjectExistsClean)
		}
	}
	return nil
}

// mergeObjectMap removes the object map of a snapshot that is being removed.
func (img *Image) mergeObjectMap(ctx context.Context, v *view, id uint64) error {
	if !v.has(ObjectMap) {
		return nil
	}
	if v.has(FastDiff) {
		if err := img.mergeDirty(ctx, v, id); err != nil {
			return err
		}
	}
	if err := img.pool.Remove(ctx, clsrbd.ObjectMapName(img.id, id)); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

func (img *Image) mergeDirty(ctx context.Context, v *view, id uint64) error {
	next := clsrbd.HeadSnap
	for _, s := range v.snaps {
		if s.ID > id {
			next = s.ID
			break
		}
	}
	removed, err := ask(ctx, img.pool, clsrbd.ObjectMapName(img.id, id), calls.LoadObjectMap())
	if err != nil {
		img.log.Warn("object map of a snapshot cannot be read", "snapshot", id, "err", err)
		return img.flag(ctx, next, true)
	}
	var op rados.WriteOp
	m := img.owner.objectMap.Load()
	if next == clsrbd.HeadSnap && m != nil {
		op.AssertLocked(m.lock)
	}
	addWrite(&op, calls.MergeObjectMap(removed))
	if err := img.pool.Mutate(ctx, clsrbd.ObjectMapName(img.id, next), &op); err != nil {
		img.log.Warn("object map of a snapshot cannot be merged", "snapshot", id, "err", err)
		return img.flag(ctx, next, true)
	}
	if next == clsrbd.HeadSnap && m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for n := range m.bits.Len() { // as the method does
			if m.bits.Get(n) == clsrbd.ObjectExistsClean && (n >= removed.Len() || removed.Get(n) == clsrbd.ObjectExists) {
				m.bits.Set(n, clsrbd.ObjectExists)
			}
		}
	}
	return nil
}
