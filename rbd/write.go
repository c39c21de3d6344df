package rbd

import (
	"context"
	"errors"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// WriteAt writes p at off. On return it is durable, unless the image was opened
// with a cache. EINVAL: it does not fit in
// the image; EROFS: the image is open for reading only. If ctx ends first the
// bytes may be written or not, in part too, and p must not be changed any more.
func (img *Image) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	var err error
	if img.caching() {
		err = img.keepBytes(ctx, off, int64(len(p)), func(at, n int64) []byte { return p[at:][:n] })
	} else {
		err = img.change(ctx, off, int64(len(p)), func(_ *view, x *striper.Extent) change { return img.writing(x, gather(p, x)) })
	}
	if err != nil {
		return 0, img.fail("write", err)
	}
	return len(p), nil
}

// writing is the change that writes an extent.
func (img *Image) writing(x *striper.Extent, data []byte) change {
	if x.Length == img.layout.ObjectSize {
		return change{covers: true, steps: func(op *rados.WriteOp) { op.WriteFull(data) }}
	}
	return change{steps: func(op *rados.WriteOp) { op.Write(x.Offset, data) }}
}

// gather is the bytes of an extent in one piece.
func gather(p []byte, x *striper.Extent) []byte {
	if len(x.Buffer) == 1 {
		return p[x.Buffer[0].Offset:][:x.Length]
	}
	data := make([]byte, 0, x.Length)
	for _, b := range x.Buffer {
		data = append(data, p[b.Offset:][:b.Length]...)
	}
	return data
}

// Flush returns when all writes that have returned are durable: at once, if the
// image was opened without a cache. With one, an error says that some are not; they
// stay, and the next Flush tries again, unless the error says that they are lost.
func (img *Image) Flush(ctx context.Context) error {
	if _, err := img.current(ctx); err != nil {
		return img.fail("flush", err)
	}
	if img.cache == nil {
		return nil
	}
	img.keepsBack.Store(true)
	return img.fail("flush", img.cache.Flush(ctx))
}

// change is what is done to one object.
type change struct {
	steps   func(op *rados.WriteOp) // adds the steps that do it; nil: there is nothing to do
	covers  bool                    // nothing of what was there remains
	noop    bool                    // it changes nothing where there is no object and no parent
	removes bool                    // there is no object afterwards
	first   *calls.Write            // the copy from the parent, which is made before anything creates the object
	apart   bool                    // the steps look at what is there: they do not go with the copy from the parent
}

// change changes a range of bytes, each object by itself.
func (img *Image) change(ctx context.Context, off, n int64, f func(v *view, x *striper.Extent) change) error {
	v, err := img.enter(ctx)
	if err != nil {
		return err
	}
	defer img.gate.leave()
	if err := v.check(off, n); err != nil {
		return err
	}
	img.touch()
	return img.changeIn(ctx, v, off, n, f)
}

// check tells whether a range lies in the image.
func (v *view) check(off, n int64) error {
	if off < 0 || n < 0 || uint64(off) > v.size || uint64(n) > v.size-uint64(off) {
		return invalid("%d bytes at %d of %d", n, off, v.size)
	}
	return nil
}

// changeIn is change behind the gate.
func (img *Image) changeIn(ctx context.Context, v *view, off, n int64, f func(v *view, x *striper.Extent) change) error {
	extents := img.layout.Extents(striper.Range{Offset: uint64(off), Length: uint64(n)})
	return parallel(ctx, width, uint64(len(extents)), func(ctx context.Context, i uint64) error {
		c := f(v, &extents[i])
		if c.steps == nil {
			return nil
		}
		return img.changeObject(ctx, v, extents[i].Object, &c)
	})
}

// enter passes the gate, as the image's owner if it must have one.
func (img *Image) enter(ctx context.Context) (*view, error) {
	if img.readOnly {
		return nil, errReadOnly
	}
	inside := false
	for {
		if !inside {
			if err := img.gate.enter(ctx); err != nil {
				return nil, err
			}
		}
		v, err := img.current(ctx)
		if err != nil {
			img.gate.leave()
			return nil, err
		}
		if !v.has(ExclusiveLock) || img.owner.owned() {
			return v, nil
		}
		img.gate.leave()
		if err := img.owner.enter(ctx); err != nil {
			return nil, err
		}
		inside = true
	}
}

// changeObject changes one object, with all that belongs to it: the object map
// before and after, and the copy of what the parent has.
func (img *Image) changeObject(ctx context.Context, v *view, n uint64, c *change) error {
	m := img.owner.objectMap.Load()
	exists := m == nil || m.mayExist(n)
	parent := v.overlap > 0 && img.parentBytes(v, n) > 0
	needed := parent && (!c.covers || len(v.snapc.Snaps) > 0)
	switch {
	case !exists && needed:
		return img.copyUp(ctx, v, n, c)
	case !exists && !parent && c.noop:
		return nil
	}
	if err := img.objects.acquire(ctx, n, c.removes); err != nil {
		return err
	}
	err := img.changeExisting(ctx, v, n, c, m, needed)
	img.objects.release(n)
	if needed && isMissing(err) {
		return img.copyUp(ctx, v, n, c)
	}
	return err
}

// changeExisting changes an object. ENOENT: there is none, and it must exist.
func (img *Image) changeExisting(ctx context.Context, v *view, n uint64, c *change, m *objectMap, must bool) error {
	fresh := m == nil || !m.mayExist(n)
	if m != nil {
		state := clsrbd.ObjectExists
		if c.removes {
			state = clsrbd.ObjectPending
		}
		if err := m.update(ctx, mapChange{n, n + 1, state, calls.AnyState}); err != nil {
			return err
		}
	}
	var op rados.WriteOp
	if must {
		op.AssertExists()
	}
	if c.first != nil {
		addWrite(&op, *c.first)
	}
	if fresh && !c.removes {
		op.SetAllocHint(img.layout.ObjectSize, img.layout.ObjectSize, 0)
	}
	c.steps(&op)
	err := v.write.Mutate(ctx, img.object(n), &op)
	if c.removes && isMissing(err) {
		err = nil
	}
	if err != nil || !c.removes || m == nil {
		return err
	}
	return m.update(ctx, mapChange{n, n + 1, clsrbd.ObjectNonexistent, int(clsrbd.ObjectPending)})
}

// touchEvery is how often writing sets the header's time of modification
// (rbd_mtime_update_interval).
const touchEvery = 60

// touch sets the header's time of modification, in the background.
func (img *Image) touch() {
	now, then := time.Now().Unix(), img.touched.Load()
	if now-then < touchEvery || !img.touched.CompareAndSwap(then, now) {
		return
	}
	img.tasks.Go(func() {
		err := img.tellSnap(img.life, clsrbd.HeadSnap, calls.SetTimestamp(calls.Modified))
		if err != nil && !errors.Is(err, errClosed) {
			img.log.Debug("time of modification is not set", "err", err)
		}
	})
}
