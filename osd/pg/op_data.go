package pg

import (
	"bytes"
	"slices"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// Reads and writes of an object's bytes, doc/protocol/osd.md.
//
// truncate_seq and truncate_size are a file system's: its metadata server
// truncates a file by giving the file's clients a new sequence number and size,
// and the objects learn of it lazily, from whichever read or write comes first.

// opRead returns bytes; a length of 0 means all of the object.
func (x *execution) opRead(op *msg.Op) error {
	off, n, truncSize, truncSeq := op.Extent()
	l, err := x.readRange(off, n, truncSize, truncSeq)
	if err != nil {
		return err
	}
	op.Out = l
	op.PutU64(8, uint64(l.Len()))
	x.didRead(l.Len())
	return nil
}

// readRange returns what there is of a range.
func (x *execution) readRange(off, n, truncSize uint64, truncSeq uint32) (buffer.List, error) {
	size := x.info.Size
	if !x.exists {
		size = 0
	}
	if x.info.TruncateSeq < truncSeq && size > truncSize && (n == 0 || off+n > truncSize) {
		size = truncSize // the object has not heard of the truncation yet
	}
	if n == 0 {
		n = size
	}
	if off >= size {
		return nil, nil
	}
	l, err := x.view.read(off, min(n, size-off))
	return l, broken(err)
}

// opSparseRead returns the runs that hold data, and the data.
func (x *execution) opSparseRead(op *msg.Op) error {
	off, n, _, truncSeq := op.Extent()
	if truncSeq != 0 {
		return errno.EINVAL
	}
	runs, err := x.runs(off, n)
	if err != nil {
		return err
	}
	var data buffer.List
	for _, r := range runs {
		l, err := x.view.read(r.Off, r.Len)
		if err != nil {
			data.Release()
			return broken(err)
		}
		data = append(data, l...)
	}
	e := encodeRuns(runs)
	e.U32(uint32(data.Len()))
	op.Out = append(buffer.ListOf(e.Bytes()), data...)
	x.didRead(data.Len())
	return nil
}

func (x *execution) opMapExt(op *msg.Op) error {
	off, n, _, _ := op.Extent()
	runs, err := x.runs(off, n)
	if err != nil {
		return err
	}
	out(op, encodeRuns(runs).Bytes())
	x.didRead(0)
	return nil
}

// runs returns the extents of a range, cut to the object.
func (x *execution) runs(off, n uint64) ([]objstore.Extent, error) {
	if !x.exists || off >= x.info.Size {
		return nil, nil
	}
	runs, err := x.view.extents(off, min(n, x.info.Size-off))
	return runs, broken(err)
}

func encodeRuns(runs []objstore.Extent) *wire.Encoder {
	e := wire.NewEncoder(make([]byte, 0, 8+16*len(runs)))
	wire.EncodeSlice(e, runs, func(r objstore.Extent) { e.U64(r.Off); e.U64(r.Len) })
	return e
}

func (x *execution) opStat(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	e := wire.NewEncoder(make([]byte, 0, 16))
	e.U64(x.info.Size)
	e.Time(x.info.MTime)
	out(op, e.Bytes())
	x.didRead(0)
	return nil
}

// opCmpExt compares; where the object ends it counts as zeros. The result says
// at which byte the first difference is.
func (x *execution) opCmpExt(op *msg.Op) error {
	const maxErrno = 4095
	off, n, truncSize, truncSeq := op.Extent()
	want := op.In.Bytes()
	l, err := x.readRange(off, n, truncSize, truncSeq)
	if err != nil {
		return err
	}
	defer l.Release()
	have := l.Bytes()
	x.didRead(len(have))
	if len(have) >= len(want) && bytes.Equal(have[:len(want)], want) {
		return nil
	}
	for i, b := range want {
		if i >= len(have) && b != 0 || i < len(have) && b != have[i] {
			return errno.Errno(maxErrno + i)
		}
	}
	return nil
}

// opAssertVersion fails unless the object has that version.
func (x *execution) opAssertVersion(op *msg.Op) error {
	switch v := op.U64(8); {
	case v == 0:
		return errno.EINVAL
	case v < x.info.UserVersion:
		return errno.ERANGE
	case v > x.info.UserVersion:
		return errno.EOVERFLOW
	}
	return nil
}

func (x *execution) opIsDirty(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	out(op, []byte{0})
	x.didRead(0)
	return nil
}

func (x *execution) opWrite(op *msg.Op) error {
	off, n, truncSize, truncSeq := op.Extent()
	if n != uint64(op.In.Len()) {
		return errno.EINVAL
	}
	return x.writeAt(off, op.In, truncSize, truncSeq)
}

// writeAt borrows data.
func (x *execution) writeAt(off uint64, data buffer.Ref, truncSize uint64, truncSeq uint32) error {
	// The range must be sound before a sum of it is compared with anything.
	if err := x.checkRange(off, uint64(data.Len())); err != nil {
		return err
	}
	if truncSeq > x.info.TruncateSeq && truncSize > objstore.MaxObjectSize {
		return errno.EFBIG
	}
	if seq := x.info.TruncateSeq; seq > truncSeq && off+uint64(data.Len()) > x.info.Size {
		// The client wrote before it heard of the truncation: what is beyond the
		// end was cut off since.
		data = data.Slice(0, int(max(x.info.Size, off)-off))
	}
	if truncSeq > x.info.TruncateSeq {
		// The write brings the news of a truncation.
		if x.exists {
			x.touchedBeyond(truncSize)
			x.view.truncate(truncSize)
			x.resize(truncSize)
			x.modify = true
		}
		x.info.TruncateSeq, x.info.TruncateSize = truncSeq, truncSize
	}
	x.create()
	end := off + uint64(data.Len())
	switch {
	case data.Len() > 0:
		x.touched(off, uint64(data.Len()))
		x.view.write(off, buffer.List{data.Retain()})
		if end > x.info.Size {
			x.resize(end)
		}
	case off > x.info.Size:
		x.view.truncate(off)
		x.resize(off)
	}
	x.wrote(uint64(data.Len()))
	return nil
}

// opWriteFull replaces all bytes; attributes and omap stay.
func (x *execution) opWriteFull(op *msg.Op) error {
	_, n, _, _ := op.Extent()
	if n != uint64(op.In.Len()) {
		return errno.EINVAL
	}
	return x.writeFull(op.In)
}

// writeFull borrows data.
func (x *execution) writeFull(data buffer.Ref) error {
	n := uint64(data.Len())
	if err := x.checkRange(0, n); err != nil {
		return err
	}
	x.create()
	x.touched(0, x.info.Size)
	if n < x.info.Size {
		x.view.truncate(n)
	}
	if n > 0 {
		x.view.write(0, buffer.List{data.Retain()})
	}
	x.resize(n)
	x.wrote(n)
	return nil
}

// opWriteSame writes a pattern again and again.
func (x *execution) opWriteSame(op *msg.Op) error {
	off, n, unit := op.U64(0), op.U64(8), op.U64(16)
	switch {
	case n == 0:
		return nil
	case unit == 0 || uint64(op.In.Len()) != unit || n%unit != 0:
		return errno.EINVAL
	}
	if err := x.checkRange(off, n); err != nil {
		return err
	}
	if unit == n {
		return x.writeAt(off, op.In, 0, x.info.TruncateSeq)
	}
	pattern := buffer.Alloc(int(n))
	b := pattern.Bytes()
	// Copies double until the pattern is full.
	for at := copy(b, op.In.Bytes()); at < len(b); {
		at += copy(b[at:], b[:at])
	}
	err := x.writeAt(off, pattern, 0, x.info.TruncateSeq)
	pattern.Release()
	return err
}

func (x *execution) opAppend(op *msg.Op) error {
	_, n, _, _ := op.Extent()
	if n != uint64(op.In.Len()) {
		return errno.EINVAL
	}
	return x.writeAt(x.info.Size, op.In, 0, x.info.TruncateSeq)
}

// opTruncate does nothing to an object that does not exist.
func (x *execution) opTruncate(op *msg.Op) error {
	size, _, truncSize, truncSeq := op.Extent()
	if op.Code == opTrimTrunc {
		size = truncSize
	}
	switch {
	case !x.exists:
		return nil
	case size > x.pg.env.Config.MaxObjectSize:
		return errno.EFBIG
	}
	if truncSeq != 0 {
		switch {
		case size != truncSize:
			return errno.EINVAL
		case truncSeq <= x.info.TruncateSeq:
			return nil // old news
		}
		x.info.TruncateSeq, x.info.TruncateSize = truncSeq, truncSize
	}
	x.truncate(size)
	return nil
}

func (x *execution) truncate(size uint64) {
	x.create()
	x.touchedBeyond(size)
	x.view.truncate(size)
	x.resize(size)
	x.wrote(0)
}

// opZero punches a hole. It neither creates nor extends.
func (x *execution) opZero(op *msg.Op) error {
	off, n, _, _ := op.Extent()
	if err := x.checkRange(off, n); err != nil {
		return err
	}
	if n > 0 && x.exists {
		x.zero(off, n)
	}
	return nil
}

// zero makes a hole within the object.
func (x *execution) zero(off, n uint64) {
	x.touched(off, n)
	x.view.zero(off, n)
	x.wrote(0)
}

func (x *execution) opCreate(op *msg.Op) error {
	if x.exists && op.Flags&msg.OpFlagExcl != 0 {
		return errno.EEXIST
	}
	x.create()
	return nil
}

// opSetAllocHint keeps what the client expects of the object.
func (x *execution) opSetAllocHint(op *msg.Op) error {
	x.create()
	x.info.ExpectedSize, x.info.ExpectedWrite, x.info.HintFlags = op.U64(0), op.U64(8), op.U32(16)
	return nil
}

// Kinds of checksums (CEPH_OSD_CHECKSUM_OP_TYPE_*).
const (
	checksumXXH32  = 0
	checksumXXH64  = 1
	checksumCRC32C = 2
)

// opChecksum returns the checksum of each chunk of a range; no chunk size means
// one chunk, no range the whole object.
func (x *execution) opChecksum(op *msg.Op) error {
	off, n, chunk, kind := op.U64(0), op.U64(8), uint64(op.U32(16)), op.Args[20]
	seed := wire.NewDecoder(op.In.Bytes())
	var sum func(e *wire.Encoder, b []byte)
	switch kind {
	case checksumXXH32:
		s := seed.U32()
		sum = func(e *wire.Encoder, b []byte) { e.U32(xxh32(s, b)) }
	case checksumXXH64:
		s := seed.U64()
		sum = func(e *wire.Encoder, b []byte) { e.U64(xxh64(s, b)) }
	case checksumCRC32C:
		s := seed.U32()
		sum = func(e *wire.Encoder, b []byte) { e.U32(wire.CRC32C(s, b)) }
	default:
		return errno.EINVAL
	}
	if seed.Err() != nil || chunk > 0 && (n == 0 || n%chunk != 0) {
		return errno.EINVAL
	}
	if off == 0 && n == 0 {
		n = x.info.Size
	}
	var e wire.Encoder
	if off >= x.info.Size || !x.exists {
		e.U32(0)
		out(op, e.Bytes())
		return nil
	}
	l, err := x.readRange(off, n, 0, 0)
	if err != nil {
		return err
	}
	defer l.Release()
	data := l.Bytes()
	if chunk == 0 {
		chunk = uint64(len(data))
	}
	if uint64(len(data))%chunk != 0 {
		return errno.EINVAL
	}
	e.U32(uint32(uint64(len(data)) / chunk))
	for c := range slices.Chunk(data, int(chunk)) {
		sum(&e, c)
	}
	out(op, e.Bytes())
	x.didRead(len(data))
	return nil
}
