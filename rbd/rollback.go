package rbd

import (
	"context"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// Rollback makes the image what it was at a snapshot: what was written since is
// lost, snapshots stay. Nobody writes meanwhile. It costs as much as there are
// objects; a clone of the snapshot is made at once.
func (img *Image) Rollback(ctx context.Context, name string, progress Progress) error {
	const what = "roll back"
	if img.readOnly {
		return img.fail(what, errReadOnly)
	}
	return img.fail(what, img.whileOwned(ctx, func(ctx context.Context) error { return img.rollback(ctx, name, progress) }))
}

// whileOwned does something that no other client can do for this one.
func (img *Image) whileOwned(ctx context.Context, f func(context.Context) error) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	if !v.has(ExclusiveLock) {
		return f(ctx)
	}
	return img.owner.run(ctx, true, false, f)
}

func (img *Image) rollback(ctx context.Context, name string, progress Progress) error {
	s, err := img.userSnap(ctx, name)
	if err != nil {
		return err
	}
	if err := img.resize(ctx, s.Size, true, nil); err != nil {
		return err
	}
	if err := img.managing.acquire(ctx); err != nil {
		return err
	}
	defer img.managing.release()
	if err := img.shut(ctx); err != nil {
		return err
	}
	err = img.rollbackObjects(ctx, name, progress)
	img.gate.open()
	if err != nil {
		return err
	}
	return img.updated(ctx)
}

// rollbackObjects rolls back all objects. Nobody writes or makes snapshots.
func (img *Image) rollbackObjects(ctx context.Context, name string, progress Progress) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	s := v.snapNamed(name)
	if s == nil || s.Size != v.size {
		return fmt.Errorf("the image was resized meanwhile: %w", errno.EAGAIN)
	}
	r := &rollback{img: img, v: v, s: s, m: img.owner.objectMap.Load(), then: img.snapObjectMap(ctx, v.header, s)}
	if err := r.loadLater(ctx); err != nil {
		return err
	}
	total := img.layout.Objects(v.size)
	done := counter{progress: progress, total: total}
	return parallel(ctx, managing, total, func(ctx context.Context, n uint64) error {
		defer done.add()
		return r.object(ctx, n)
	})
}

type rollback struct {
	img  *Image
	v    *view
	s    *snapshot
	m    *objectMap          // of the image; nil without the feature
	then *clsrbd.BitVector   // of the snapshot; nil: not known
	late []*clsrbd.BitVector // of all later snapshots; nil: not known
	old  *Image              // the image at the snapshot, if its parent's bytes must be copied
}

func (r *rollback) loadLater(ctx context.Context) error {
	v, img := r.v, r.img
	if r.m != nil && r.then != nil && v.has(FastDiff) && v.flags&FastDiffInvalid == 0 {
		late := []*clsrbd.BitVector{}
		for i := range v.snaps {
			s := &v.snaps[i]
			if s.ID <= r.s.ID {
				continue
			}
			m := img.snapObjectMap(ctx, v.header, s)
			if m == nil || s.flags&FastDiffInvalid != 0 {
				late = nil
				break
			}
			late = append(late, m)
		}
		r.late = late
	}
	if !r.s.overlap.Known || r.s.overlap.Bytes <= v.overlap {
		return nil
	}
	// The image shares less with its parent now, or nothing.
	old, err := OpenID(ctx, img.pool, img.id, OpenOptions{SnapshotID: r.s.ID, Log: img.log})
	r.old = old
	return err
}

// same tells that an object did not change since the snapshot.
func (r *rollback) same(n uint64) bool {
	if r.m == nil || r.then == nil || !r.m.trusted() {
		return false
	}
	now, then := r.m.state(n), r.then.Get(n)
	if now == clsrbd.ObjectNonexistent && then == clsrbd.ObjectNonexistent {
		return true
	}
	if r.late == nil || now != clsrbd.ObjectExistsClean {
		return false
	}
	for _, m := range r.late {
		if n >= m.Len() || m.Get(n) != clsrbd.ObjectExistsClean {
			return false
		}
	}
	return true
}

func (r *rollback) object(ctx context.Context, n uint64) error {
	img := r.img
	lost := r.old != nil && img.layout.Length(n, r.s.overlap.Bytes) > img.parentBytes(r.v, n)
	if !lost && r.same(n) {
		return nil
	}
	gone := !lost && r.then != nil && r.then.Get(n) == clsrbd.ObjectNonexistent
	if r.m != nil {
		state := clsrbd.ObjectExists
		if gone {
			state = clsrbd.ObjectPending
		}
		if err := r.m.update(ctx, mapChange{n, n + 1, state, calls.AnyState}); err != nil {
			return err
		}
	}
	var op rados.WriteOp
	op.Rollback(r.s.ID)
	if err := r.v.write.Mutate(ctx, img.object(n), &op); err != nil && !isMissing(err) {
		return err
	}
	if lost {
		if err := r.restore(ctx, n); err != nil {
			return err
		}
	}
	if gone && r.m != nil {
		return r.m.update(ctx, mapChange{n, n + 1, clsrbd.ObjectNonexistent, int(clsrbd.ObjectPending)})
	}
	return nil
}

// restore writes what the parent had at the place of an object, unless the
// object was there itself at the snapshot.
func (r *rollback) restore(ctx context.Context, n uint64) error {
	img := r.img
	if _, err := img.data.Stat(ctx, img.object(n)); !isMissing(err) {
		return err
	}
	v, err := r.old.current(ctx)
	if err != nil {
		return err
	}
	data := make([]byte, img.layout.Length(n, v.size))
	if err := r.old.readObject(ctx, v, n, 0, data); err != nil {
		return err
	}
	return r.v.write.WriteFull(ctx, img.object(n), data)
}
