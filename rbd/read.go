package rbd

import (
	"context"
	"io"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/writeback"
)

// ReadAt reads len(p) bytes at off into p, fewer with io.EOF at the image's end.
func (img *Image) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	v, err := img.current(ctx)
	if err != nil {
		return 0, img.fail("read", err)
	}
	if off < 0 {
		return 0, img.fail("read", invalid("offset %d", off))
	}
	var eof error
	if uint64(off) >= v.size {
		return 0, io.EOF
	}
	if rest := v.size - uint64(off); uint64(len(p)) > rest {
		p, eof = p[:rest], io.EOF
	}
	var kept writeback.Patch
	if img.cache != nil {
		kept = img.cache.Look(off, int64(len(p)))
	}
	if !kept.Whole() || img.cache == nil {
		if err := img.readRange(ctx, v, p, uint64(off)); err != nil {
			return 0, img.fail("read", err)
		}
	}
	kept.Apply(p)
	return len(p), eof
}

// readRange reads bytes that lie in the image.
func (img *Image) readRange(ctx context.Context, v *view, p []byte, off uint64) error {
	extents := img.layout.Extents(striper.Range{Offset: off, Length: uint64(len(p))})
	return parallel(ctx, width, uint64(len(extents)), func(ctx context.Context, i uint64) error {
		x := &extents[i]
		if len(x.Buffer) == 1 {
			return img.readObject(ctx, v, x.Object, x.Offset, p[x.Buffer[0].Offset:][:x.Length])
		}
		whole := make([]byte, x.Length)
		if err := img.readObject(ctx, v, x.Object, x.Offset, whole); err != nil {
			return err
		}
		for _, b := range x.Buffer {
			whole = whole[copy(p[b.Offset:][:b.Length], whole):]
		}
		return nil
	})
}

// readObject reads a part of one data object, or, if there is none, what the
// parent has at its place.
func (img *Image) readObject(ctx context.Context, v *view, object, off uint64, p []byte) error {
	if !img.mayExist(v, object) {
		return img.readParent(ctx, v, object, off, p)
	}
	n, err := v.read.Read(ctx, img.object(object), off, p)
	if isMissing(err) {
		return img.readParent(ctx, v, object, off, p)
	}
	clear(p[n:])
	return err
}

// mayExist tells whether there may be an object, as far as this client can know
// without asking.
func (img *Image) mayExist(v *view, object uint64) bool {
	if v.objects != nil {
		return v.objects.Get(object) != clsrbd.ObjectNonexistent
	}
	if m := img.owner.objectMap.Load(); m != nil && img.snap == clsrbd.HeadSnap {
		return m.mayExist(object)
	}
	return true
}

// readParent reads what the parent has at the place of an object; where it has
// nothing there are zeros.
func (img *Image) readParent(ctx context.Context, v *view, object, off uint64, p []byte) error {
	if v.overlap > 0 {
		for _, r := range img.layout.Image(object, striper.Range{Offset: off, Length: uint64(len(p))}) {
			part := p[:r.Length]
			p = p[r.Length:]
			n := uint64(0)
			if r.Offset < v.overlap {
				n = min(r.Length, v.overlap-r.Offset)
				if err := v.parent.readOverlap(ctx, part[:n], r.Offset); err != nil {
					return err
				}
			}
			clear(part[n:])
		}
		return nil
	}
	clear(p)
	return nil
}

// readOverlap reads for a clone. A parent is never smaller than the overlap.
func (img *Image) readOverlap(ctx context.Context, p []byte, off uint64) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	n := uint64(0)
	if off < v.size {
		n = min(uint64(len(p)), v.size-off)
	}
	clear(p[n:])
	return img.readRange(ctx, v, p[:n], off)
}
