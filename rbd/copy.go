package rbd

import (
	"context"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
)

// CopyOptions are what one can wish of a copy. What is zero in CreateOptions is
// as in the source.
type CopyOptions struct {
	CreateOptions
	// Flatten makes the deep copy of a clone an image of its own; otherwise it is
	// a clone of the same parent.
	Flatten  bool
	Progress Progress
}

// like completes options by what an image is like.
func (o CreateOptions) like(img *Image, v *view) CreateOptions {
	if o.Order == 0 {
		o.Order = v.order
	}
	if o.Features == 0 {
		o.Features = v.features &^ (clsrbd.InternalFeatures | Journaling | NonPrimary)
	}
	if o.StripeUnit == 0 && o.StripeCount == 0 && img.layout.Striped() && o.Order == v.order {
		o.StripeUnit, o.StripeCount = img.layout.StripeUnit, img.layout.StripeCount
	}
	return o
}

// Copy makes an image with the bytes and metadata of another one, or of the
// snapshot that it is opened at.
func Copy(ctx context.Context, from *Image, pool *rados.Pool, name string, o CopyOptions) error {
	return fail("copy to", poolName(pool)+"/"+name, copyImage(ctx, from, pool, name, o))
}

func copyImage(ctx context.Context, from *Image, pool *rados.Pool, name string, o CopyOptions) (err error) {
	v, err := from.current(ctx)
	if err != nil {
		return err
	}
	to, undo, err := createAndOpen(ctx, pool, name, v.size, o.CreateOptions.like(from, v))
	if err != nil {
		return err
	}
	defer func() { err = undo(err) }()
	if err := copyMetadata(ctx, from, pool, to.id); err != nil {
		return err
	}
	tell := teller(o.Progress, int64(v.size))
	w := to.writers(ctx)
	err = from.stream(ctx, DiffOptions{}, func(p piece) error {
		tell(p.Offset)
		return w.addSparse(p)
	})
	err = errors.Join(err, w.wait())
	if err == nil {
		tell(int64(v.size))
	}
	return err
}

// DeepCopy is Copy with all snapshots of users. The source must not be opened at
// a snapshot.
func DeepCopy(ctx context.Context, from *Image, pool *rados.Pool, name string, o CopyOptions) error {
	return fail("deep copy to", poolName(pool)+"/"+name, deepCopy(ctx, from, pool, name, o))
}

func deepCopy(ctx context.Context, from *Image, pool *rados.Pool, name string, o CopyOptions) (err error) {
	if err := from.Refresh(ctx); err != nil {
		return err
	}
	v, err := from.current(ctx)
	if err != nil {
		return err
	}
	if from.snap != clsrbd.HeadSnap {
		return invalid("the source is a snapshot")
	}
	create := o.CreateOptions.like(from, v)
	linked := v.header.parent.Exists() && v.header.overlap.Known && !o.Flatten
	if linked {
		if err := cloneLike(ctx, from, v, pool, name, create); err != nil {
			return err
		}
	} else if err := Create(ctx, pool, name, v.header.size, create); err != nil {
		return err
	}
	to, err := Open(ctx, pool, name, OpenOptions{Log: from.log})
	if err != nil {
		return err
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		if e := to.Close(ctx); err == nil {
			err = e
		}
		if err != nil {
			err = errors.Join(err, purge(ctx, pool, name))
		}
	}()
	if !linked { // Clone has done it
		if err := copyMetadata(ctx, from, pool, to.id); err != nil {
			return err
		}
	}
	last := uint64(0)
	for i := range v.snaps {
		s := &v.snaps[i]
		if s.Namespace.Type != SnapUser {
			continue
		}
		at, err := OpenID(ctx, from.pool, from.id, OpenOptions{SnapshotID: s.ID, Log: from.log})
		if err != nil {
			return err
		}
		if err := copyDiff(ctx, at, to, last, linked, nil); err != nil {
			return fmt.Errorf("snapshot %s: %w", s.Name, err)
		}
		if err := to.CreateSnapshot(ctx, s.Name); err != nil {
			return err
		}
		if s.protection != clsrbd.Unprotected {
			if err := to.ProtectSnapshot(ctx, s.Name); err != nil {
				return err
			}
		}
		last = s.ID
	}
	return copyDiff(ctx, from, to, last, linked, o.Progress)
}

// copyDiff brings a copy from what it was at a snapshot of the source to what
// the source is.
func copyDiff(ctx context.Context, from, to *Image, since uint64, linked bool, progress Progress) error {
	size := uint64(from.Size())
	if uint64(to.Size()) != size {
		if err := to.Resize(ctx, size, ResizeOptions{AllowShrink: true}); err != nil {
			return err
		}
	}
	tell := teller(progress, int64(size))
	w := to.writers(ctx)
	err := from.stream(ctx, DiffOptions{FromID: since, WithoutParent: linked}, func(p piece) error {
		tell(p.Offset)
		if since == 0 && !linked {
			return w.addSparse(p)
		}
		return w.add(p)
	})
	err = errors.Join(err, w.wait())
	if err == nil {
		tell(int64(size))
	}
	return err
}

// cloneLike makes a clone of the parent of an image.
func cloneLike(ctx context.Context, img *Image, v *view, pool *rados.Pool, name string, create CreateOptions) error {
	p := v.header.parent
	in, err := img.pool.Cluster().PoolByID(ctx, p.Pool)
	if err != nil {
		return err
	}
	parent, err := OpenID(ctx, in.Namespace(p.Namespace), p.Image, OpenOptions{SnapshotID: p.Snap, Log: img.log})
	if err != nil {
		return err
	}
	format := 1
	if v.opFeatures&CloneChild != 0 {
		format = 2
	}
	err = Clone(ctx, parent, pool, name, CloneOptions{CreateOptions: create, Format: format})
	if errors.Is(err, errno.EXDEV) {
		err = Clone(ctx, parent, pool, name, CloneOptions{CreateOptions: create, Format: 2})
	}
	return err
}
