package rbd

import (
	"context"
	"errors"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/calls"
	"github.com/pulpo-storage/pulpo/rbd/notify"
)

// ResizeOptions are what one can wish of Resize.
type ResizeOptions struct {
	// AllowShrink allows to lose what is behind the new end.
	AllowShrink bool
	Progress    Progress // of a shrink, in objects
}

// Resize changes the image's size, in bytes. What is behind a new end is lost,
// except for snapshots; what is added reads as zeros. EINVAL: the image would
// shrink, and that was not allowed.
func (img *Image) Resize(ctx context.Context, size uint64, o ResizeOptions) error {
	m := notify.Message{Op: notify.Resize, Size: size, AllowShrink: o.AllowShrink}
	return img.fail("resize", img.manage(ctx, img.operation(&m), o.Progress))
}

// Growing, the object map comes first, shrinking it comes last, so that it is
// never shorter than the image. Objects behind a new end are removed while the
// header still has the old size: if that is not finished, it can be begun again.
func (img *Image) resize(ctx context.Context, size uint64, shrink bool, progress Progress) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	if size < v.header.size && !shrink {
		return invalid("shrinking from %d to %d bytes is not allowed", v.header.size, size)
	}
	if v.has(ObjectMap) && img.layout.Objects(size) > clsrbd.MaxObjects {
		return invalid("%d objects, the object map has at most %d", img.layout.Objects(size), clsrbd.MaxObjects)
	}
	if size < v.header.size {
		return img.shrink(ctx, v.header.size, size, progress)
	}
	return img.setSize(ctx, size)
}

// setSize changes the size in the header and the object map. Nobody writes
// meanwhile.
func (img *Image) setSize(ctx context.Context, size uint64) error {
	if err := img.managing.acquire(ctx); err != nil {
		return err
	}
	defer img.managing.release()
	if err := img.shut(ctx); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err := img.resizeMap(ctx, max(size, img.view.Load().header.size))
	if err == nil {
		err = img.tellSnap(ctx, clsrbd.HeadSnap, calls.SetSize(size))
	}
	if err == nil {
		img.told.Add(1)
		err = img.refresh(ctx)
	}
	if err == nil {
		err = img.resizeMap(ctx, size)
	}
	img.gate.open()
	if err != nil {
		return err
	}
	return img.updated(ctx)
}

// resizeMap makes the object map that of an image of a size.
func (img *Image) resizeMap(ctx context.Context, size uint64) error {
	m := img.owner.objectMap.Load()
	if m == nil {
		return nil
	}
	n := img.layout.Objects(size)
	m.mu.Lock()
	same := m.bits.Len() == n
	m.mu.Unlock()
	if same {
		return nil
	}
	var op rados.WriteOp
	op.AssertLocked(m.lock)
	addWrite(&op, calls.ResizeObjectMap(n, clsrbd.ObjectNonexistent))
	if err := img.pool.Mutate(ctx, m.name(), &op); err != nil {
		if err := m.failed(ctx, err); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bits.Resize(n, clsrbd.ObjectNonexistent)
	return nil
}

// shrink removes what is behind a new end, then sets the size. Meanwhile nobody
// writes there.
func (img *Image) shrink(ctx context.Context, from, to uint64, progress Progress) error {
	if err := img.limit(ctx, to); err != nil {
		return err
	}
	err := img.trim(ctx, from, to, progress)
	if err == nil {
		err = img.setSize(ctx, to)
	}
	return errors.Join(err, img.limit(context.WithoutCancel(ctx), noLimit))
}

const noLimit = ^uint64(0)

// limit makes the image seem not larger than a size.
func (img *Image) limit(ctx context.Context, size uint64) error {
	if err := img.shut(ctx); err != nil {
		return err
	}
	defer img.gate.open()
	img.atMost.Store(size)
	img.told.Add(1)
	return img.refresh(ctx)
}

// trim removes the bytes of all objects from one size down to another.
func (img *Image) trim(ctx context.Context, from, to uint64, progress Progress) error {
	l := img.layout
	first, end := l.Objects(to), l.Objects(from)
	// With stripes several objects are cut, all of the last set.
	cut := first - min(first, l.StripeCount)
	total := end - cut
	done := counter{progress: progress, total: total}
	return parallel(ctx, managing, total, func(ctx context.Context, i uint64) error {
		n := cut + i
		keep := l.Length(n, to)
		had := l.Length(n, from)
		if keep == had {
			done.add()
			return nil
		}
		c := removal()
		if keep > 0 {
			c = change{noop: true, steps: func(op *rados.WriteOp) { op.Truncate(keep) }}
		}
		defer done.add()
		return img.inGate(ctx, func(v *view) error { return img.changeObject(ctx, v, n, &c) })
	})
}

// inGate does a part of an operation that is like a write: no snapshot is made,
// and the image is not handed over, in the midst of it.
func (img *Image) inGate(ctx context.Context, f func(v *view) error) error {
	if err := img.gate.enter(ctx); err != nil {
		return err
	}
	defer img.gate.leave()
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	return f(v)
}

// managing is how many objects a long operation works on at a time
// (rbd_concurrent_management_ops).
const managing = 10
