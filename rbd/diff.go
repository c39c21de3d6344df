package rbd

import (
	"context"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados/striper"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

// DiffOptions say what Diff compares.
type DiffOptions struct {
	// From is the name of an older snapshot; FromID its id, if not 0. Without
	// either it is an image of zeros, so that Diff tells what there is.
	From   string
	FromID uint64
	// Offset and Length are the bytes compared; Length 0 is up to the end.
	Offset, Length int64
	// WholeObject tells of objects, not of bytes. With the feature fast-diff no
	// object is looked at then.
	WholeObject bool
	// WithoutParent leaves out what a clone has from its parent, and tells of
	// zeros where it hides the parent's bytes.
	WithoutParent bool
}

// DiffExtent is a range of bytes that may differ.
type DiffExtent struct {
	Offset, Length int64
	Exists         bool // there are bytes; else it is zeros now, and was not
}

// Diff calls f for all ranges that may have changed since a snapshot, up to what
// the image is opened at, in ascending order, and until f fails. Ranges may be
// told of that did not change, or that are zeros.
func (img *Image) Diff(ctx context.Context, o DiffOptions, f func(DiffExtent) error) error {
	return img.fail("diff", img.diff(ctx, o, f))
}

// differ compares the objects of an image at two times.
type differ struct {
	img      *Image
	v        *view
	from, to uint64
	whole    bool
	parent   bool   // what the parent has counts, from nothing
	hides    bool   // what hides the parent's bytes counts, from nothing
	shared   uint64 // bytes of the parent that are seen at from

	// maps are the object maps of from (unless it is 0) and of all snapshots
	// after it to the end; nil if they cannot be trusted.
	maps []*clsrbd.BitVector
}

func (img *Image) diff(ctx context.Context, o DiffOptions, f func(DiffExtent) error) error {
	v, err := img.settled(ctx)
	if err != nil {
		return err
	}
	d := &differ{img: img, v: v, from: o.FromID, to: img.snap, whole: o.WholeObject}
	if o.From != "" {
		s := v.snapNamed(o.From)
		if s == nil {
			return fmt.Errorf("snapshot %s: %w", o.From, errno.ENOENT)
		}
		d.from = s.ID
	}
	if d.from != 0 {
		s := v.snap(d.from)
		if s == nil {
			return fmt.Errorf("snapshot %d: %w", d.from, errno.ENOENT)
		}
		d.shared = s.overlap.Bytes
		if d.from > d.to {
			return invalid("snapshot %d is newer than %d", d.from, d.to)
		}
	}
	if d.from == d.to {
		return nil
	}
	d.parent = d.from == 0 && v.overlap > 0 && !o.WithoutParent
	d.hides = d.from == 0 && v.overlap > 0 && o.WithoutParent
	begin, end := uint64(max(o.Offset, 0)), v.size
	if o.Length > 0 {
		end = min(end, begin+uint64(o.Length))
	}
	if begin >= end {
		return nil
	}
	if o.WholeObject {
		d.loadMaps(ctx)
	}
	return d.each(ctx, striper.Range{Offset: begin, Length: end - begin}, f)
}

// each compares one set of objects after the other: with stripes their bytes are
// mixed. What touches in a set is told of as one, as librbd does.
func (d *differ) each(ctx context.Context, r striper.Range, f func(DiffExtent) error) error {
	l := d.img.layout
	set := l.ObjectSize * l.StripeCount
	const atOnce = 64 // objects
	sets := max(1, atOnce/l.StripeCount)
	for off := r.Offset; off < r.End(); {
		end := min((off/set+sets)*set, r.End())
		part := striper.Range{Offset: off, Length: end - off}
		first, n := off/set*l.StripeCount, (end+set-1)/set*l.StripeCount-off/set*l.StripeCount
		found := make([][]DiffExtent, n)
		err := parallel(ctx, width, n, func(ctx context.Context, i uint64) (err error) {
			found[i], err = d.object(ctx, first+i, part)
			return err
		})
		if err != nil {
			return err
		}
		all := slices.Concat(found...)
		slices.SortFunc(all, func(a, b DiffExtent) int { return int(a.Offset - b.Offset) })
		for i := 0; i < len(all); {
			x := all[i]
			for i++; i < len(all) && all[i].Offset == x.Offset+x.Length && all[i].Exists == x.Exists && uint64(all[i].Offset)%set != 0; i++ {
				x.Length += all[i].Length
			}
			if err := f(x); err != nil {
				return err
			}
		}
		off = end
	}
	return nil
}

// object compares one object and returns what is in the range of the image.
func (d *differ) object(ctx context.Context, n uint64, r striper.Range) ([]DiffExtent, error) {
	c, err := d.compare(ctx, n)
	if err != nil {
		return nil, err
	}
	if d.parent && !c.present {
		return d.fromParent(ctx, n, r)
	}
	end := span(0, d.img.layout.Length(n, d.v.size))
	data, zeros := c.changed.within(c.bytes).within(end), ranges(nil)
	switch {
	case d.from != 0:
		zeros = c.changed.without(c.bytes).within(end)
	case d.hides && c.present:
		zeros = span(0, d.img.parentBytes(d.v, n)).without(c.bytes)
	}
	if d.whole && len(data) > 0 {
		data, zeros = end, nil
	} else if d.whole && len(zeros) > 0 {
		zeros = end
	}
	var out []DiffExtent
	emit := func(x ranges, exists bool) {
		for _, part := range x {
			for _, m := range d.img.layout.Image(n, part) {
				for _, y := range span(m.Offset, m.Length).within(ranges{r}) {
					out = append(out, DiffExtent{int64(y.Offset), int64(y.Length), exists})
				}
			}
		}
	}
	emit(data, true)
	emit(zeros, false)
	return out, nil
}

// comparison is what became of an object.
type comparison struct {
	changed ranges
	bytes   ranges // that it has; others are zeros
	present bool   // there is an object, so the parent's bytes are not seen
}

func (d *differ) compare(ctx context.Context, n uint64) (c comparison, err error) {
	was := false
	if d.maps != nil {
		was, c = d.compareMaps(n)
	} else {
		vs, err := d.img.listVersions(ctx, n)
		if err != nil {
			return c, err
		}
		c.changed = vs.changed(d.from, d.to)
		if i := vs.at(d.to); i >= 0 {
			c.present, c.bytes = true, span(0, vs[i].size)
		}
		was = vs.at(d.from) >= 0
	}
	switch {
	case d.from == 0 || was == c.present:
	case was: // the parent's bytes are seen again
		c.bytes = span(0, d.img.parentBytes(d.v, n))
		c.changed = c.changed.union(c.bytes)
	default:
		c.changed = c.changed.union(span(0, d.img.layout.Length(n, d.shared)))
	}
	return c, nil
}

// compareMaps is compare by the object maps alone. It also tells whether there
// was an object before.
func (d *differ) compareMaps(n uint64) (was bool, c comparison) {
	changed, ever := false, false
	for i, m := range d.maps {
		state := clsrbd.ObjectNonexistent
		if n < m.Len() {
			state = m.Get(n)
		}
		c.present = state == clsrbd.ObjectExists || state == clsrbd.ObjectExistsClean
		switch {
		case i == 0 && d.from != 0:
			was = c.present
		case d.from == 0:
			changed = c.present
		default:
			changed = changed || state != clsrbd.ObjectExistsClean && (c.present || ever)
		}
		ever = ever || c.present
	}
	all := span(0, d.img.layout.ObjectSize)
	if changed {
		c.changed = all
	}
	if c.present {
		c.bytes = all
	}
	return was, c
}

// fromParent is what the parent has at the place of an object.
func (d *differ) fromParent(ctx context.Context, n uint64, r striper.Range) ([]DiffExtent, error) {
	var out []DiffExtent
	for _, m := range d.img.layout.Image(n, striper.Range{Length: d.img.layout.ObjectSize}) {
		for _, x := range span(m.Offset, m.Length).within(span(0, d.v.overlap)).within(ranges{r}) {
			o := DiffOptions{Offset: int64(x.Offset), Length: int64(x.Length), WholeObject: d.whole}
			err := d.v.parent.diff(ctx, o, func(x DiffExtent) error {
				out = append(out, x)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// loadMaps loads the object maps that tell of the objects, if they can be
// trusted.
func (d *differ) loadMaps(ctx context.Context) {
	v, img := d.v, d.img
	if !v.has(FastDiff) {
		return
	}
	var maps []*clsrbd.BitVector
	load := func(snap uint64, flags Flag) bool {
		if flags&(FastDiffInvalid|ObjectMapInvalid) != 0 {
			return false
		}
		m, err := ask(ctx, img.pool, clsrbd.ObjectMapName(img.id, snap), calls.LoadObjectMap())
		if err != nil {
			return false
		}
		maps = append(maps, m)
		return true
	}
	for _, s := range v.snaps {
		if (d.from == 0 && s.ID != d.to) || s.ID < d.from || s.ID > d.to {
			continue
		}
		if !load(s.ID, s.flags) {
			return
		}
	}
	if d.to == clsrbd.HeadSnap && !load(d.to, v.flags) {
		return
	}
	d.maps = maps
}
