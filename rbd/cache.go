package rbd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/writeback"
)

// CacheOptions have an image keep writes back for a while, as librbd does by
// default: then WriteAt, Discard and WriteZeroes return before they are durable,
// reads see them, and Flush makes them durable. Making a snapshot, resizing,
// giving the image to another client and closing it flush first. See package
// writeback for what is left after a crash.
//
// Who lost the exclusive lock, for it was blocklisted or its lock was broken, drops
// what was kept back, and the next Flush says so. On images without exclusive-lock
// another client does not see what is kept back.
type CacheOptions struct {
	// MaxDirty is how many bytes may be kept back (rbd_cache_max_dirty); 0: 24 MiB.
	MaxDirty int64
	// TargetDirty is how many may be before they are written at once
	// (rbd_cache_target_dirty); 0: two thirds of MaxDirty.
	TargetDirty int64
	// MaxAge is how long (rbd_cache_max_dirty_age); 0: a second.
	MaxAge time.Duration
	// AtOnce keeps writes back from the beginning. Without it they are durable when
	// they return until the first Flush, which shows that the caller knows what it is
	// for (rbd_cache_writethrough_until_flush).
	AtOnce bool
}

// makeCache makes the cache of an image.
func (img *Image) makeCache(o *CacheOptions) error {
	if o == nil || img.readOnly {
		return nil
	}
	most := cmp.Or(o.MaxDirty, 24<<20)
	target := cmp.Or(o.TargetDirty, most*2/3)
	age := cmp.Or(o.MaxAge, time.Second)
	if most < writeback.MinDirty || target < 0 || age < 0 {
		return invalid("a cache of %d bytes, to be written from %d on and after %v", most, target, age)
	}
	img.cache = writeback.New(writeback.Options{
		MaxDirty: most, TargetDirty: target, MaxAge: age, Block: int64(img.layout.ObjectSize * img.layout.StripeCount),
	})
	img.keepsBack.Store(o.AtOnce)
	return nil
}

// startCache has the cache write in the background.
func (img *Image) startCache() {
	if img.cache != nil {
		img.tasks.Go(func() { img.cache.Run(img.life, img.enterBehind) })
	}
}

// behind is the image as the cache sees it: what is behind the gate.
type behind struct{ img *Image }

// enterBehind passes the gate to write what was kept back. Who has something kept
// back owns the image.
func (img *Image) enterBehind(ctx context.Context) (writeback.Store, func(), error) {
	if err := img.gate.enter(ctx); err != nil {
		return nil, nil, err
	}
	return behind{img}, img.gate.leave, nil
}

func (b behind) Write(ctx context.Context, p []byte, off int64) error {
	return b.change(ctx, off, int64(len(p)), func(_ *view, x *striper.Extent) change { return b.img.writing(x, gather(p, x)) })
}

func (b behind) Zero(ctx context.Context, off, n int64) error {
	return b.change(ctx, off, n, func(v *view, x *striper.Extent) change { return b.img.zeroing(v, x, 1) })
}

// change changes what is still in the image, which may have shrunk.
func (b behind) change(ctx context.Context, off, n int64, f func(v *view, x *striper.Extent) change) error {
	v, err := b.img.current(ctx)
	if err != nil {
		return err
	}
	if v.has(ExclusiveLock) && !b.img.owner.owned() {
		return errNotOwned
	}
	if n = min(n, int64(v.size)-off); n <= 0 {
		return nil
	}
	return b.img.changeIn(ctx, v, off, n, f)
}

var errNotOwned = fmt.Errorf("the image is not owned any more: %w", errno.EROFS)

// caching reports whether writes are kept back.
func (img *Image) caching() bool { return img.cache != nil && img.keepsBack.Load() }

// keepBack puts a change of n bytes at off into the cache, with room for so many
// bytes. The image is ours and not closed when it is put in.
func (img *Image) keepBack(ctx context.Context, off, n, bytes int64, put func(v *view, era uint64) bool) error {
	room, err := img.cache.Reserve(ctx, bytes)
	if err != nil {
		return err
	}
	defer img.cache.Release(room)
	for {
		era := img.cache.Era() // it ends with the lock
		v, err := img.enter(ctx)
		if err != nil {
			return err
		}
		done := false
		if err = v.check(off, n); err == nil {
			img.touch()
			done = put(v, era)
		}
		img.gate.leave()
		if err != nil || done {
			return err
		}
	}
}

// keepBytes keeps back n bytes that fill makes; each call is for what follows.
func (img *Image) keepBytes(ctx context.Context, off, n int64, fill func(at, n int64) []byte) error {
	at := int64(0)
	for {
		part := min(n-at, img.cache.Chunk())
		err := img.keepBack(ctx, off, n, part, func(_ *view, era uint64) bool { return img.cache.Write(era, fill(at, part), off+at) })
		if at += part; err != nil || at >= n {
			return err
		}
	}
}

// keepZeros keeps back the zeros of the whole units of a range.
func (img *Image) keepZeros(ctx context.Context, off, n int64, unit uint64) error {
	return img.keepBack(ctx, off, n, 0, func(v *view, era uint64) bool {
		if unit == 1 {
			return img.cache.Zero(era, off, n)
		}
		for _, x := range img.layout.Extents(striper.Range{Offset: uint64(off), Length: uint64(n)}) {
			begin, end := img.units(v, &x, unit)
			if begin >= end {
				continue
			}
			for _, r := range img.layout.Image(x.Object, striper.Range{Offset: begin, Length: end - begin}) {
				if !img.cache.Zero(era, int64(r.Offset), int64(r.Length)) {
					return false
				}
			}
		}
		return true
	})
}

// settle writes what is kept back, for those who look at the objects.
func (img *Image) settle(ctx context.Context) error {
	if img.cache == nil {
		return nil
	}
	return img.cache.Settle(ctx)
}

// settled is current, with all that was written in the objects.
func (img *Image) settled(ctx context.Context) (*view, error) {
	if err := img.settle(ctx); err != nil {
		return nil, err
	}
	return img.current(ctx)
}

// shut closes the gate, with nothing kept back behind it.
func (img *Image) shut(ctx context.Context) error {
	if err := img.settle(ctx); err != nil { // most of it while writes go on
		return err
	}
	if err := img.gate.close(ctx); err != nil {
		return err
	}
	err := img.drain(ctx)
	if err != nil {
		img.gate.open()
	}
	return err
}

// drain writes what is kept back while the gate is closed.
func (img *Image) drain(ctx context.Context) error {
	if img.cache == nil {
		return nil
	}
	return img.cache.Drain(ctx, behind{img})
}

// endCache writes all that is kept back for the last time; nothing comes after.
// The error says that something was lost.
func (img *Image) endCache(ctx context.Context) error {
	if img.cache == nil {
		return nil
	}
	err := img.gate.close(ctx)
	if err == nil {
		err = img.drain(ctx)
		img.gate.open()
	}
	if err == nil {
		err = img.cache.Flush(ctx) // which has nothing to write
	}
	img.cache.Invalidate(errClosed)
	if err != nil {
		return fmt.Errorf("what was written since the last flush is lost: %w", err)
	}
	return nil
}

// forget drops what is kept back, for the lock is lost.
func (img *Image) forget(why error) {
	if img.cache != nil {
		img.cache.Invalidate(why)
	}
}

// isFenced reports whether this client will never write again.
func isFenced(err error) bool { return errors.Is(err, errno.EBLOCKLISTED) }
