package rbd

import (
	"context"
	"errors"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// Flatten makes a clone independent of its parent: it copies what they share.
// EINVAL: it is no clone.
func (img *Image) Flatten(ctx context.Context, progress Progress) error {
	m := notify.Message{Op: notify.Flatten}
	return img.fail("flatten", img.manage(ctx, img.operation(&m), progress))
}

func (img *Image) flatten(ctx context.Context, progress Progress) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	if !v.header.parent.Exists() || !v.header.overlap.Known {
		return invalid("the image has no parent")
	}
	total := img.layout.Objects(v.overlap)
	done := counter{progress: progress, total: total}
	err = parallel(ctx, managing, total, func(ctx context.Context, n uint64) error {
		defer done.add()
		return img.inGate(ctx, func(v *view) error {
			if img.parentBytes(v, n) == 0 {
				return nil
			}
			if img.mayExist(v, n) {
				if _, err := img.data.Stat(ctx, img.object(n)); !isMissing(err) {
					return err
				}
			}
			return img.copyUp(ctx, v, n, nil)
		})
	})
	if err != nil {
		return err
	}
	if err := img.managing.acquire(ctx); err != nil {
		return err
	}
	defer img.managing.release()
	forget, err := img.leaveParent(ctx, img.view.Load(), clsrbd.HeadSnap)
	if err != nil {
		return err
	}
	if err := img.tellHeader(ctx, calls.DetachParent()); err != nil && !errors.Is(err, errno.ENOENT) {
		return err
	}
	forget()
	return img.updated(ctx)
}
