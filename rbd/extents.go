package rbd

import (
	"context"
	"errors"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// Extent is a run of bytes of an image of one kind.
type Extent struct {
	Offset, Length int64
	Data           bool // there may be something; else it reads as zeros
}

// One call of Extents looks at this much at most, and then ends early.
const (
	extentObjects = 1024 // objects, of the image or of one that it is a clone of
	extentsAtOnce = 64   // objects
	extentRuns    = 4096 // runs of bytes, or a few more
)

// Extents tells where in n bytes at off there is data, in ascending order and
// without gaps; neighbours are of different kinds. It may end early, but not at
// off. What a clone has from its parent is data. EINVAL: the range is not in the
// image.
//
// Objects that do not exist according to the object map are not asked for, which
// makes a large image with little in it cheap; the others are asked what is
// allocated.
func (img *Image) Extents(ctx context.Context, off, n int64) ([]Extent, error) {
	v, err := img.settled(ctx)
	if err == nil && (off < 0 || n <= 0 || uint64(off) > v.size || uint64(n) > v.size-uint64(off)) {
		err = invalid("%d bytes at %d of %d", n, off, v.size)
	}
	var out []Extent
	if err == nil {
		r := striper.Range{Offset: uint64(off), Length: min(uint64(n), extentObjects*img.smallestObject(v))}
		out, err = img.extents(ctx, v, r)
	}
	return out, img.fail("look for data", err)
}

// smallestObject is the size of objects of the image, or of an ancestor if
// those are smaller.
func (img *Image) smallestObject(v *view) uint64 {
	n := img.layout.ObjectSize
	if v.parent != nil && v.overlap > 0 {
		n = min(n, v.parent.smallestObject(v.parent.view.Load()))
	}
	return n
}

// extents is Extents of a range that lies in the image.
func (img *Image) extents(ctx context.Context, v *view, r striper.Range) ([]Extent, error) {
	mayExist := func(n uint64) bool { return img.mayExist(v, n) }
	if bits := img.foreignMap(ctx, v); bits != nil {
		mayExist = func(n uint64) bool { return bits.Get(n) != clsrbd.ObjectNonexistent }
	}
	// With stripes the bytes of a set of objects are mixed.
	set := img.layout.ObjectSize * img.layout.StripeCount
	step := set * max(1, extentsAtOnce/img.layout.StripeCount)
	var out []Extent
	for off := r.Offset; off < r.End() && len(out) < extentRuns; {
		end := min((off/set*set)+step, r.End())
		data, err := img.dataIn(ctx, v, striper.Range{Offset: off, Length: end - off}, mayExist)
		if err != nil {
			return nil, err
		}
		at := off
		for _, d := range data {
			out = appendExtent(out, at, max(at, d.Offset), false)
			out = appendExtent(out, max(at, d.Offset), d.End(), true)
			at = max(at, d.End())
		}
		out = appendExtent(out, at, end, false)
		off = end
	}
	return out, nil
}

// appendExtent adds what is up to end, which may be nothing.
func appendExtent(s []Extent, begin, end uint64, data bool) []Extent {
	if begin >= end {
		return s
	}
	if n := len(s); n > 0 && s[n-1].Data == data {
		s[n-1].Length += int64(end - begin)
		return s
	}
	return append(s, Extent{int64(begin), int64(end - begin), data})
}

// dataIn is where in a range there is data, in ascending order.
func (img *Image) dataIn(ctx context.Context, v *view, r striper.Range, mayExist func(object uint64) bool) ([]striper.Range, error) {
	parts := img.layout.Extents(r)
	found := make([][]striper.Range, len(parts))
	err := parallel(ctx, width, uint64(len(parts)), func(ctx context.Context, i uint64) (err error) {
		x := &parts[i]
		if mayExist(x.Object) {
			found[i], err = img.allocated(ctx, v, x)
			if !isMissing(err) {
				return err
			}
		}
		found[i], err = img.parentData(ctx, v, x)
		return err
	})
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b striper.Range) int {
		if a.Offset < b.Offset {
			return -1
		}
		return 1 // they do not overlap
	})
	return all, err
}

// allocated asks an object what it has of a part, as bytes of the image. ENOENT:
// there is no object.
func (img *Image) allocated(ctx context.Context, v *view, x *striper.Extent) ([]striper.Range, error) {
	var op rados.ReadOp
	m := op.MapExtents(x.Offset, x.Length)
	err := v.read.Query(ctx, img.object(x.Object), &op)
	runs := m.Extents
	if errors.Is(err, errno.EOPNOTSUPP) { // pools with erasure coding
		var op rados.ReadOp
		s := op.Stat()
		err = v.read.Query(ctx, img.object(x.Object), &op)
		runs = []rados.Extent{{Length: s.Size}}
	}
	var out []striper.Range
	for _, run := range runs {
		begin, end := max(run.Offset, x.Offset), min(run.Offset+run.Length, x.End())
		if begin < end {
			out = append(out, img.layout.Image(x.Object, striper.Range{Offset: begin, Length: end - begin})...)
		}
	}
	return out, err
}

// parentData is where the parent has data at the place of an object that does
// not exist.
func (img *Image) parentData(ctx context.Context, v *view, x *striper.Extent) ([]striper.Range, error) {
	if v.overlap == 0 {
		return nil, nil
	}
	var out []striper.Range
	for _, r := range img.layout.Image(x.Object, x.Range) {
		p, err := v.parent.current(ctx)
		if err != nil {
			return nil, err
		}
		for end := min(r.End(), v.overlap, p.size); r.Offset < end; {
			found, err := v.parent.extents(ctx, p, striper.Range{Offset: r.Offset, Length: end - r.Offset})
			if err != nil {
				return nil, err
			}
			for _, e := range found {
				if e.Data {
					out = append(out, striper.Range{Offset: uint64(e.Offset), Length: uint64(e.Length)})
				}
				r.Offset = uint64(e.Offset + e.Length)
			}
		}
	}
	return out, nil
}

// foreignMap loads the object map of an image that this client does not own.
// Whoever owns it may be changing it, but says that an object exists before it
// does. nil: there is none to trust, or a better one.
func (img *Image) foreignMap(ctx context.Context, v *view) *clsrbd.BitVector {
	if img.snap != clsrbd.HeadSnap || img.owner.owned() || !v.has(ObjectMap) || v.flags&ObjectMapInvalid != 0 {
		return nil
	}
	bits, err := ask(ctx, img.pool, clsrbd.ObjectMapName(img.id, img.snap), calls.LoadObjectMap())
	if err != nil || bits.Len() < img.layout.Objects(v.size) {
		return nil
	}
	return bits
}
