package rbd

import (
	"context"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
)

// WriteAt writes p at off. On return it is durable. EINVAL: it does not fit in
// the image; EROFS: the image is open for reading only. If ctx ends first the
// bytes may be written or not, in part too, and p must not be changed any more.
func (img *Image) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	v, err := img.beginWrite(ctx, off, int64(len(p)))
	if err != nil {
		return 0, img.fail("write", err)
	}
	extents := img.layout.Extents(striper.Range{Offset: uint64(off), Length: uint64(len(p))})
	err = parallel(ctx, width, uint64(len(extents)), func(ctx context.Context, i uint64) error {
		x := &extents[i]
		data := p[x.Buffer[0].Offset:][:x.Buffer[0].Length]
		if len(x.Buffer) > 1 {
			data = make([]byte, 0, x.Length)
			for _, b := range x.Buffer {
				data = append(data, p[b.Offset:][:b.Length]...)
			}
		}
		return img.writeObject(ctx, v, x, data)
	})
	if err != nil {
		return 0, img.fail("write", err)
	}
	return len(p), nil
}

func (img *Image) beginWrite(ctx context.Context, off, n int64) (*view, error) {
	if img.readOnly {
		return nil, fmt.Errorf("opened for reading: %w", errno.EROFS)
	}
	v, err := img.current(ctx)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || uint64(off) > v.size || uint64(n) > v.size-uint64(off) {
		return nil, invalid("%d bytes at %d of %d", n, off, v.size)
	}
	return v, nil
}

func (img *Image) writeObject(ctx context.Context, v *view, x *striper.Extent, data []byte) error {
	if v.overlap > 0 {
		return fmt.Errorf("writing to a clone: %w", errno.EOPNOTSUPP)
	}
	var op rados.WriteOp
	op.SetAllocHint(img.layout.ObjectSize, img.layout.ObjectSize, 0)
	if x.Length == img.layout.ObjectSize {
		op.WriteFull(data)
	} else {
		op.Write(x.Offset, data)
	}
	return v.write.Mutate(ctx, img.object(x.Object), &op)
}
