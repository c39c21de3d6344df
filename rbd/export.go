package rbd

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd/transfer"
)

// Export writes the bytes of the image, or of the snapshot that it is opened at,
// to w. A file, or what has its methods WriteAt and Truncate, stays sparse.
func (img *Image) Export(ctx context.Context, w io.Writer, progress Progress) error {
	const what = "export"
	size := img.Size()
	tell := teller(progress, size)
	if f, ok := w.(sparseFile); ok {
		if err := f.Truncate(0); err == nil { // not a pipe
			err := img.stream(ctx, DiffOptions{}, func(p piece) error {
				tell(p.Offset)
				for off, data := range used(p.data) {
					if _, err := f.WriteAt(data, p.Offset+int64(off)); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil {
				err = f.Truncate(size)
			}
			if err == nil {
				tell(size)
			}
			return img.fail(what, err)
		}
	}
	at := int64(0)
	fill := func(to int64) error { // what Diff leaves out
		for at < to {
			n, err := w.Write(zeros[:min(to-at, zeroBlock)])
			at += int64(n)
			if err != nil {
				return err
			}
		}
		return nil
	}
	err := img.stream(ctx, DiffOptions{}, func(p piece) error {
		tell(p.Offset)
		if err := fill(p.Offset); err != nil {
			return err
		}
		n, err := w.Write(p.data)
		at += int64(n)
		return err
	})
	if err == nil {
		err = fill(size)
	}
	if err == nil {
		tell(size)
	}
	return img.fail(what, err)
}

type sparseFile interface {
	io.WriterAt
	Truncate(int64) error
}

// teller tells of progress in bytes.
func teller(progress Progress, total int64) func(done int64) {
	return func(done int64) {
		if progress != nil {
			progress(uint64(done), uint64(total))
		}
	}
}

// ExportDiff writes what changed as Diff does, in the format of rbd export-diff,
// version 1 or 2.
func (img *Image) ExportDiff(ctx context.Context, w io.Writer, o DiffOptions, version int, progress Progress) error {
	if version != 1 && version != 2 {
		return img.fail("export diff", invalid("diffs of version %d", version))
	}
	return img.fail("export diff", img.exportDiff(ctx, w, o, version, progress))
}

func (img *Image) exportDiff(ctx context.Context, w io.Writer, o DiffOptions, version int, progress Progress) error {
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	h := transfer.DiffHeader{From: o.From, Size: v.size}
	if s := v.snap(img.snap); s != nil {
		h.To, h.Protected = s.Name, s.protection == clsrbd.Protected
	}
	out, err := transfer.NewDiffWriter(w, version, h)
	if err != nil {
		return err
	}
	tell := teller(progress, int64(v.size))
	err = img.stream(ctx, o, func(p piece) error {
		tell(p.Offset)
		if p.data == nil || isZero(p.data) {
			return out.Zero(uint64(p.Offset), uint64(p.Length))
		}
		return out.Write(uint64(p.Offset), p.data)
	})
	if err == nil {
		err = out.Close()
	}
	if err == nil {
		tell(int64(v.size))
	}
	return err
}

// ExportImage writes the image with its snapshots, layout and metadata, in the
// format 2 of rbd export. The image must not be opened at a snapshot.
func (img *Image) ExportImage(ctx context.Context, w io.Writer, progress Progress) error {
	return img.fail("export", img.exportImage(ctx, w, progress))
}

func (img *Image) exportImage(ctx context.Context, w io.Writer, progress Progress) error {
	if err := img.Refresh(ctx); err != nil {
		return err
	}
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	meta, err := img.Metadata(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range v.snaps {
		if s.Namespace.Type == SnapUser && (img.snap == clsrbd.HeadSnap || s.ID < img.snap) {
			names = append(names, s.Name)
		}
	}
	h := transfer.ImageHeader{
		Order: uint64(v.order), Features: uint64(v.features), StripeUnit: img.layout.StripeUnit, StripeCount: img.layout.StripeCount,
		Metadata: meta, Diffs: uint64(len(names)) + 1,
	}
	if _, err := h.WriteTo(w); err != nil {
		return err
	}
	from := ""
	for _, name := range names {
		snap, err := Open(ctx, img.pool, img.name, OpenOptions{Snapshot: name, Log: img.log})
		if err == nil {
			err = snap.exportDiff(ctx, w, DiffOptions{From: from}, 2, nil)
		}
		if err != nil {
			return err
		}
		from = name
	}
	return img.exportDiff(ctx, w, DiffOptions{From: from}, 2, progress)
}

// ImportOptions are what one can wish of an imported image.
type ImportOptions struct {
	CreateOptions
	// Size in bytes; 0 is that of what is read.
	Size     uint64
	Progress Progress // in bytes
}

// Import makes an image of the bytes that r has, in the format 1 of rbd export:
// nothing but the bytes. Zeros take no space.
func Import(ctx context.Context, pool *rados.Pool, name string, r io.Reader, o ImportOptions) error {
	return fail("import", poolName(pool)+"/"+name, importBytes(ctx, pool, name, r, o))
}

func importBytes(ctx context.Context, pool *rados.Pool, name string, r io.Reader, o ImportOptions) (err error) {
	img, undo, err := createAndOpen(ctx, pool, name, o.Size, o.CreateOptions)
	if err != nil {
		return err
	}
	defer func() { err = undo(err) }()
	tell := teller(o.Progress, int64(o.Size))
	w := img.writers(ctx)
	at, size := int64(0), img.Size()
	for {
		p := make([]byte, img.layout.ObjectSize)
		n, e := io.ReadFull(r, p)
		if n > 0 {
			if e := at + int64(n); e > size { // the end is not known
				size = max(e, 2*size)
				if err = img.Resize(ctx, uint64(size), ResizeOptions{}); err != nil {
					break
				}
			}
			if err = w.addSparse(piece{DiffExtent{at, int64(n), true}, p[:n]}); err != nil {
				break
			}
			at += int64(n)
			tell(at)
		}
		if e == io.EOF || e == io.ErrUnexpectedEOF {
			break
		}
		if e != nil {
			err = e
			break
		}
	}
	err = errors.Join(err, w.wait())
	if err == nil && o.Size == 0 && size != at {
		err = img.Resize(ctx, uint64(at), ResizeOptions{AllowShrink: true})
	}
	return err
}

// createAndOpen makes an image and opens it. The function it returns closes it,
// and removes it if there was an error.
func createAndOpen(ctx context.Context, pool *rados.Pool, name string, size uint64, o CreateOptions) (*Image, func(error) error, error) {
	if err := Create(ctx, pool, name, size, o); err != nil {
		return nil, nil, err
	}
	img, err := Open(ctx, pool, name, OpenOptions{})
	if err != nil {
		return nil, nil, errors.Join(err, Remove(context.WithoutCancel(ctx), pool, name, nil))
	}
	return img, func(err error) error {
		ctx := context.WithoutCancel(ctx)
		if e := img.Close(ctx); err == nil {
			err = e
		}
		if err != nil {
			if e := purge(ctx, pool, name); e != nil {
				err = errors.Join(err, e)
			}
		}
		return err
	}, nil
}

// purge removes an image with its snapshots.
func purge(ctx context.Context, pool *rados.Pool, name string) error {
	img, err := Open(ctx, pool, name, OpenOptions{})
	if err != nil {
		return err
	}
	v := img.view.Load()
	for i := range v.snaps {
		s := &v.snaps[i]
		if s.protection != clsrbd.Unprotected {
			err = errors.Join(err, img.UnprotectSnapshot(ctx, s.Name))
		}
		err = errors.Join(err, img.removeOf(ctx, s))
	}
	if err = errors.Join(err, img.Close(ctx)); err != nil {
		return err
	}
	return Remove(ctx, pool, name, nil)
}

// ImportImage makes an image with snapshots of the format 2 of rbd export. What
// is set in the options is taken instead of what the file says.
func ImportImage(ctx context.Context, pool *rados.Pool, name string, r io.Reader, o ImportOptions) error {
	return fail("import", poolName(pool)+"/"+name, importImage(ctx, pool, name, r, o))
}

func importImage(ctx context.Context, pool *rados.Pool, name string, r io.Reader, o ImportOptions) (err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	h, err := transfer.ReadImageHeader(in)
	if err != nil {
		return err
	}
	if o.Order == 0 {
		o.Order = uint8(min(h.Order, 255))
	}
	if o.Features == 0 {
		o.Features = Feature(h.Features) &^ (clsrbd.InternalFeatures | Journaling | DataPool | NonPrimary)
	}
	if o.StripeUnit == 0 && o.StripeCount == 0 && h.StripeCount > 1 {
		o.StripeUnit, o.StripeCount = h.StripeUnit, h.StripeCount
	}
	img, undo, err := createAndOpen(ctx, pool, name, 0, o.CreateOptions)
	if err != nil {
		return err
	}
	defer func() { err = undo(err) }()
	for range h.Diffs {
		if err := img.importDiff(ctx, in, o.Progress); err != nil {
			return err
		}
	}
	for k, v := range h.Metadata {
		if err := img.SetMetadata(ctx, k, v); err != nil {
			return err
		}
	}
	return nil
}

// ImportDiff does to the image what a diff in the format of rbd export-diff says,
// and makes the snapshot that it ends with. EINVAL: the image has not the
// snapshot that it begins with, or it is no diff; EEXIST: it has the last one.
func (img *Image) ImportDiff(ctx context.Context, r io.Reader, progress Progress) error {
	return img.fail("import diff", img.importDiff(ctx, r, progress))
}

func (img *Image) importDiff(ctx context.Context, r io.Reader, progress Progress) error {
	d, err := transfer.NewDiffReader(r)
	if err != nil {
		return err
	}
	v, err := img.current(ctx)
	if err != nil {
		return err
	}
	if d.From != "" && v.snapNamed(d.From) == nil {
		return invalid("the diff begins with snapshot %s, which is not there", d.From)
	}
	if d.To != "" && v.snapNamed(d.To) != nil {
		return &SnapshotExistsError{d.To}
	}
	if v.size != d.Size {
		if err := img.Resize(ctx, d.Size, ResizeOptions{AllowShrink: true}); err != nil {
			return err
		}
	}
	tell := teller(progress, int64(d.Size))
	w := img.writers(ctx)
	for err == nil {
		var rec transfer.Record
		if rec, err = d.Next(); err == nil {
			tell(int64(rec.Offset))
			err = img.importRecord(w, d, rec)
		}
	}
	if err == io.EOF {
		err = nil
	}
	if err = errors.Join(err, w.wait()); err != nil || d.To == "" {
		return err
	}
	if err := img.CreateSnapshot(ctx, d.To); err != nil || !d.Protected {
		return err
	}
	return img.ProtectSnapshot(ctx, d.To)
}

// SnapshotExistsError is a diff that ends with a snapshot that the image has.
type SnapshotExistsError struct{ Name string }

func (e *SnapshotExistsError) Error() string { return "the image has snapshot " + e.Name + " already" }

// Unwrap is EEXIST.
func (e *SnapshotExistsError) Unwrap() error { return errno.EEXIST }

// importRecord writes a record, piece by piece.
func (img *Image) importRecord(w *writers, d *transfer.DiffReader, rec transfer.Record) error {
	if rec.Offset > d.Size || rec.Length > d.Size-rec.Offset {
		return invalid("%d bytes at %d, behind the image's end", rec.Length, rec.Offset)
	}
	x := DiffExtent{Offset: int64(rec.Offset), Length: int64(rec.Length), Exists: !rec.Zero}
	if rec.Zero {
		return w.add(piece{x, nil})
	}
	for x.Length > 0 {
		n := min(x.Length, int64(img.layout.ObjectSize))
		p := make([]byte, n)
		if _, err := io.ReadFull(d, p); err != nil {
			return invalid("the diff ends too early")
		}
		if err := w.add(piece{DiffExtent{x.Offset, n, true}, p}); err != nil {
			return err
		}
		x.Offset += n
		x.Length -= n
	}
	return nil
}

// MergeDiffs writes one diff that does what two do one after the other.
func MergeDiffs(w io.Writer, first, second io.Reader) error {
	a, err := transfer.NewDiffReader(first)
	if err != nil {
		return err
	}
	b, err := transfer.NewDiffReader(second)
	if err != nil {
		return err
	}
	return transfer.Merge(w, a, b)
}
