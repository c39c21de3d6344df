package rbd

import (
	"context"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// Remove removes an image with its bytes. ENOTEMPTY: it has snapshots; EBUSY:
// somebody has it open; EMLINK: it is in a group.
func Remove(ctx context.Context, pool *rados.Pool, name string, progress Progress) error {
	return fail("remove", poolName(pool)+"/"+name, remove(ctx, pool, name, progress))
}

func remove(ctx context.Context, pool *rados.Pool, name string, progress Progress) error {
	id, err := imageID(ctx, pool, name)
	if isMissing(err) { // the rest of an image, with no more than its place in the directory
		if id, err = ask(ctx, pool, clsrbd.Directory, calls.GetImageID(name)); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := removable(ctx, pool, id); err != nil && !isMissing(err) {
		return err
	}
	if err := trashMove(ctx, pool, name, id, clsrbd.TrashRemoving, 0); err != nil {
		return err
	}
	return destroy(ctx, pool, id, progress)
}

// removable tells why an image cannot be removed. ENOENT: it has no header.
func removable(ctx context.Context, pool *rados.Pool, id string) error {
	h, err := loadHeader(ctx, pool, id, true, nil, nil)
	if err != nil {
		return err
	}
	if len(h.snaps) > 0 {
		return fmt.Errorf("the image has %d snapshots: %w", len(h.snaps), errno.ENOTEMPTY)
	}
	if h.group.Exists() {
		return fmt.Errorf("the image is in a group: %w", errno.EMLINK)
	}
	watchers, err := pool.Watchers(ctx, clsrbd.Header(id))
	if err != nil {
		return err
	}
	if len(watchers) > 0 {
		return fmt.Errorf("%s has the image open: %w", watchers[0].Client, errno.EBUSY)
	}
	return nil
}

// destroy removes what an image in the trash consists of. It may be called again
// if it was not finished.
func destroy(ctx context.Context, pool *rados.Pool, id string, progress Progress) error {
	img, err := OpenID(ctx, pool.DespiteFull(), id, OpenOptions{})
	switch {
	case isMissing(err): // the header is gone already
	case err != nil:
		return err
	default:
		err := img.empty(ctx, progress)
		if e := img.Close(context.WithoutCancel(ctx)); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	for _, object := range []string{clsrbd.ObjectMapName(id, clsrbd.HeadSnap), clsrbd.Header(id)} {
		if err := pool.Remove(ctx, object); err != nil && !isMissing(err) {
			return err
		}
	}
	if err := tell(ctx, pool, clsrbd.Mirroring, calls.RemoveMirrorImage(id)); err != nil && !isMissing(err) && !isUnknown(err) {
		return err
	}
	if err := tell(ctx, pool, clsrbd.Trash, calls.RemoveTrash(id)); err != nil && !isMissing(err) {
		return err
	}
	return nil
}

// empty removes all data objects and leaves the parent.
func (img *Image) empty(ctx context.Context, progress Progress) error {
	return img.manage(ctx, operation{long: true, run: func(ctx context.Context, progress Progress) error {
		v, err := img.current(ctx)
		if err != nil {
			return err
		}
		if len(v.snaps) > 0 {
			return fmt.Errorf("the image has %d snapshots: %w", len(v.snaps), errno.ENOTEMPTY)
		}
		if err := img.trim(ctx, v.header.size, 0, progress); err != nil {
			return err
		}
		if !v.header.overlap.Known {
			return nil
		}
		forget, err := img.leaveParent(ctx, v, clsrbd.HeadSnap)
		forget() // the data are gone
		return err
	}}, progress)
}
