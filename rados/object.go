package rados

import (
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"time"
)

// ObjectInfo is what Stat tells.
type ObjectInfo struct {
	Size    uint64
	ModTime time.Time
}

// Stat tells an object's size and time of modification.
func (p *Pool) Stat(ctx context.Context, name string) (ObjectInfo, error) {
	var op ReadOp
	s := op.Stat()
	if err := p.Query(ctx, name, &op); err != nil {
		return ObjectInfo{}, err
	}
	return ObjectInfo{s.Size, s.ModTime}, nil
}

// Read reads into buf from an offset. It reads less only at the object's end,
// which is no error.
func (p *Pool) Read(ctx context.Context, name string, off uint64, buf []byte) (int, error) {
	if len(buf) == 0 {
		_, err := p.Stat(ctx, name)
		return 0, err
	}
	var op ReadOp
	s := op.ReadInto(off, buf)
	if err := p.Query(ctx, name, &op); err != nil {
		return 0, err
	}
	return s.N, nil
}

// ReadFull reads all of an object, in one operation.
func (p *Pool) ReadFull(ctx context.Context, name string) ([]byte, error) {
	var op ReadOp
	s := op.Read(0, 0)
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Data, nil
}

// SparseRead reads what is allocated of n bytes at off: the extents, and their
// bytes one after the other. Everything else up to the object's end is zeros.
func (p *Pool) SparseRead(ctx context.Context, name string, off, n uint64) ([]Extent, []byte, error) {
	var op ReadOp
	s := op.SparseRead(off, n)
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, nil, err
	}
	return s.Extents, s.Data, nil
}

// readChunk is how much of an object WriteTo reads at a time.
const readChunk = 4 << 20

// CopyTo writes all of an object to w, in pieces that are not read at one time.
func (p *Pool) CopyTo(ctx context.Context, w io.Writer, name string) (int64, error) {
	buf := make([]byte, readChunk)
	total := int64(0)
	for {
		n, err := p.Read(ctx, name, uint64(total), buf)
		if err != nil {
			return total, err
		}
		if n > 0 {
			k, err := w.Write(buf[:n])
			total += int64(k)
			if err != nil {
				return total, err
			}
		}
		if n < len(buf) {
			return total, nil
		}
	}
}

// mutate executes a write of one kind.
func (p *Pool) mutate(ctx context.Context, name string, build func(*WriteOp)) error {
	var op WriteOp
	build(&op)
	return p.Mutate(ctx, name, &op)
}

// Create creates an object; if it must not exist, an existing one is ErrExists.
func (p *Pool) Create(ctx context.Context, name string, exclusive bool) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Create(exclusive) })
}

// Write writes at an offset. See WriteOp for who owns data.
func (p *Pool) Write(ctx context.Context, name string, off uint64, data []byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Write(off, data) })
}

// WriteFull makes data the object's content.
func (p *Pool) WriteFull(ctx context.Context, name string, data []byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.WriteFull(data) })
}

// Append writes at the object's end.
func (p *Pool) Append(ctx context.Context, name string, data []byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Append(data) })
}

// WriteSame fills n bytes at off with a pattern.
func (p *Pool) WriteSame(ctx context.Context, name string, off, n uint64, pattern []byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.WriteSame(off, n, pattern) })
}

// Zero makes n bytes at off read as zeros, up to the object's end; n is not 0.
func (p *Pool) Zero(ctx context.Context, name string, off, n uint64) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Zero(off, n) })
}

// Truncate sets an object's size.
func (p *Pool) Truncate(ctx context.Context, name string, size uint64) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Truncate(size) })
}

// Remove removes an object.
func (p *Pool) Remove(ctx context.Context, name string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.Remove() })
}

// CopyFrom makes an object a copy of another one, within the cluster.
func (p *Pool) CopyFrom(ctx context.Context, name string, src *Pool, from string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.CopyFrom(src, from, 0) })
}

// Checksum computes the CRC-32C of n bytes of an object, with the seed that
// Ceph uses (-1) and without a final inversion.
func (p *Pool) Checksum(ctx context.Context, name string, off, n uint64) (uint32, error) {
	var op ReadOp
	s := op.Checksum(CRC32C, 0xffffffff, off, n, 0)
	if err := p.Query(ctx, name, &op); err != nil {
		return 0, err
	}
	if len(s.Sums) == 0 {
		return 0xffffffff, nil
	}
	return uint32(s.Sums[0]), nil
}

// CompareExtent fails with a *MismatchError unless the object has these bytes at
// off.
func (p *Pool) CompareExtent(ctx context.Context, name string, off uint64, data []byte) error {
	var op ReadOp
	op.CompareExtent(off, data)
	return p.Query(ctx, name, &op)
}

// Call runs a method of an object class that only reads, and returns its
// output.
func (p *Pool) Call(ctx context.Context, name, class, method string, input []byte) ([]byte, error) {
	var op ReadOp
	s := op.Call(class, method, input)
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Data, nil
}

// CallWrite runs a method of an object class that writes. Few of them have an
// output.
func (p *Pool) CallWrite(ctx context.Context, name, class, method string, input []byte) ([]byte, error) {
	var op WriteOp
	op.ReturnOutput()
	s := op.Call(class, method, input)
	if err := p.Mutate(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Data, nil
}

// Watchers lists who watches an object.
func (p *Pool) Watchers(ctx context.Context, name string) ([]Watcher, error) {
	var op ReadOp
	s := op.Watchers()
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Watchers, nil
}

// Xattr reads an attribute; ErrNoAttribute if it does not exist.
func (p *Pool) Xattr(ctx context.Context, name, attr string) ([]byte, error) {
	var op ReadOp
	s := op.Xattr(attr)
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Data, nil
}

// Xattrs reads all attributes.
func (p *Pool) Xattrs(ctx context.Context, name string) (map[string][]byte, error) {
	var op ReadOp
	s := op.Xattrs()
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Xattrs, nil
}

// SetXattr sets an attribute.
func (p *Pool) SetXattr(ctx context.Context, name, attr string, value []byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.SetXattr(attr, value) })
}

// RemoveXattr removes an attribute.
func (p *Pool) RemoveXattr(ctx context.Context, name, attr string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.RemoveXattr(attr) })
}

// omapBatch is how many entries Omap asks for at a time.
const omapBatch = 1024

// Omap walks the entries of an object whose keys have a prefix, in the order of
// the keys. It reads in batches: entries that change meanwhile may be seen old
// or new. The walk ends at the first error.
func (p *Pool) Omap(ctx context.Context, name, prefix string) iter.Seq2[OmapEntry, error] {
	return func(yield func(OmapEntry, error) bool) {
		after := ""
		for {
			var op ReadOp
			s := op.OmapValues(after, prefix, omapBatch)
			if err := p.Query(ctx, name, &op); err != nil {
				yield(OmapEntry{}, err)
				return
			}
			for _, e := range s.Entries {
				if !yield(e, nil) {
					return
				}
				after = e.Key
			}
			if !s.More || len(s.Entries) == 0 {
				return
			}
		}
	}
}

// OmapKeys walks the keys of an object, in their order.
func (p *Pool) OmapKeys(ctx context.Context, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		after := ""
		for {
			var op ReadOp
			s := op.OmapKeys(after, omapBatch)
			if err := p.Query(ctx, name, &op); err != nil {
				yield("", err)
				return
			}
			for _, k := range s.Keys {
				if !yield(k, nil) {
					return
				}
				after = k
			}
			if !s.More || len(s.Keys) == 0 {
				return
			}
		}
	}
}

// OmapGet reads the entries of keys; those that do not exist are left out.
func (p *Pool) OmapGet(ctx context.Context, name string, keys ...string) (map[string][]byte, error) {
	var op ReadOp
	s := op.OmapValuesByKeys(keys...)
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return maps.Collect(func(yield func(string, []byte) bool) {
		for _, e := range slices.Backward(s.Entries) {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}), nil
}

// OmapHeader reads the omap's header.
func (p *Pool) OmapHeader(ctx context.Context, name string) ([]byte, error) {
	var op ReadOp
	s := op.OmapHeader()
	if err := p.Query(ctx, name, &op); err != nil {
		return nil, err
	}
	return s.Data, nil
}

// OmapSet sets entries.
func (p *Pool) OmapSet(ctx context.Context, name string, entries map[string][]byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.OmapSet(entries) })
}

// OmapSetHeader sets the omap's header.
func (p *Pool) OmapSetHeader(ctx context.Context, name string, header []byte) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.OmapSetHeader(header) })
}

// OmapRemove removes the entries of keys.
func (p *Pool) OmapRemove(ctx context.Context, name string, keys ...string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.OmapRemove(keys...) })
}

// OmapClear removes the omap.
func (p *Pool) OmapClear(ctx context.Context, name string) error {
	return p.mutate(ctx, name, func(op *WriteOp) { op.OmapClear() })
}
