package rbd

import (
	"bytes"
	"context"
	"errors"

	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
)

// discardUnit is the least that is worth discarding in an object
// (rbd_discard_granularity_bytes): smaller holes cost more than they free.
const discardUnit = 64 << 10

// Discard gives up the bytes of a range: they may read as zeros afterwards, or
// not. In each object whole units of 64 KiB are freed; what is less stays.
func (img *Image) Discard(ctx context.Context, off, n int64) error {
	return img.fail("discard", img.zero(ctx, off, n, discardUnit))
}

// WriteZeroes makes a range read as zeros, and frees it where that is possible.
func (img *Image) WriteZeroes(ctx context.Context, off, n int64) error {
	return img.fail("write zeroes", img.zero(ctx, off, n, 1))
}

// zero frees the whole units of a range.
func (img *Image) zero(ctx context.Context, off, n int64, unit uint64) error {
	if img.caching() {
		return img.keepZeros(ctx, off, n, unit)
	}
	return img.change(ctx, off, n, func(v *view, x *striper.Extent) change { return img.zeroing(v, x, unit) })
}

// units is what of an extent are whole units, as bytes of the object.
func (img *Image) units(v *view, x *striper.Extent, unit uint64) (begin, end uint64) {
	unit = min(unit, img.layout.ObjectSize)
	end = x.End()
	// The image's last bytes are the end of a unit.
	if end%unit != 0 && end != img.layout.Length(x.Object, v.size) {
		end -= end % unit
	}
	return (x.Offset + unit - 1) / unit * unit, end
}

// zeroing is the change that frees the whole units of an extent.
func (img *Image) zeroing(v *view, x *striper.Extent, unit uint64) change {
	size := img.layout.ObjectSize
	begin, end := img.units(v, x, unit)
	whole := begin == 0 && end == size
	switch {
	case begin >= end:
		return change{}
	case whole && v.overlap > 0 && img.parentBytes(v, x.Object) > 0:
		// Without an object the parent's bytes would be read.
		return change{covers: true, steps: func(op *rados.WriteOp) {
			op.Create(false)
			op.Truncate(0)
		}}
	case whole:
		return removal()
	case end == size:
		return change{noop: true, steps: func(op *rados.WriteOp) { op.Truncate(begin) }}
	}
	return change{noop: true, steps: func(op *rados.WriteOp) { op.Zero(begin, end-begin) }}
}

// removal is the change that removes an object.
func removal() change {
	return change{noop: true, covers: true, removes: true, steps: func(op *rados.WriteOp) { op.Remove() }}
}

// WriteSame fills n bytes at off with a pattern, whose length divides n. EINVAL:
// it does not.
func (img *Image) WriteSame(ctx context.Context, off, n int64, pattern []byte) error {
	if len(pattern) == 0 || n%int64(len(pattern)) != 0 {
		return img.fail("write same", invalid("%d bytes with a pattern of %d", n, len(pattern)))
	}
	if bytes.Count(pattern, []byte{0}) == len(pattern) {
		return img.fail("write same", img.zero(ctx, off, n, 1))
	}
	if img.caching() {
		return img.fail("write same", img.keepBytes(ctx, off, n, func(at, n int64) []byte {
			data := make([]byte, n)
			for i := range data {
				data[i] = pattern[(at+int64(i))%int64(len(pattern))]
			}
			return data
		}))
	}
	return img.fail("write same", img.change(ctx, off, n, func(_ *view, x *striper.Extent) change {
		data := make([]byte, 0, x.Length)
		for _, b := range x.Buffer {
			for i := range b.Length {
				data = append(data, pattern[(b.Offset+i)%uint64(len(pattern))])
			}
		}
		return img.writing(x, data)
	}))
}

// CompareAndWrite writes p at off if the image has the bytes of old there. Both
// are of one length and within one object. EILSEQ: it has others, and mismatch
// is the offset in the image of the first that differs.
func (img *Image) CompareAndWrite(ctx context.Context, old, p []byte, off int64) (mismatch int64, err error) {
	const what = "compare and write"
	if len(old) != len(p) || len(p) == 0 {
		return 0, img.fail(what, invalid("%d bytes for %d", len(p), len(old)))
	}
	if off >= 0 && len(img.layout.Extents(striper.Range{Offset: uint64(off), Length: uint64(len(p))})) != 1 {
		return 0, img.fail(what, invalid("%d bytes at %d are not in one object", len(p), off))
	}
	if err := img.settle(ctx); err != nil {
		return 0, img.fail(what, err)
	}
	err = img.change(ctx, off, int64(len(p)), func(_ *view, x *striper.Extent) change {
		c := img.writing(x, gather(p, x))
		write, was := c.steps, gather(old, x)
		c.apart, c.covers = true, false
		c.steps = func(op *rados.WriteOp) {
			op.CompareExtent(x.Offset, was)
			write(op)
		}
		return c
	})
	var m *rados.MismatchError
	if errors.As(err, &m) {
		x := img.layout.Extents(striper.Range{Offset: uint64(off), Length: uint64(len(p))})[0]
		mismatch = int64(img.layout.Image(x.Object, striper.Range{Offset: x.Offset + m.Offset, Length: 1})[0].Offset)
	}
	return mismatch, img.fail(what, err)
}
