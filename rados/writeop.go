package rados

import (
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// WriteOp is a sequence of steps that changes an object, all of them or none,
// executed by Pool.Mutate. The zero value is empty.
//
//	var op rados.WriteOp
//	op.Create(true)
//	op.WriteFull([]byte("hello"))
//	op.SetXattr("lang", []byte("en"))
//	err := pool.Mutate(ctx, "greeting", &op)
//
// Payloads are not copied: the caller does not change them until the execution
// has returned, and not at all if it returned because its context ended (the
// bytes may still be on their way then).
type WriteOp struct {
	Steps
	mtime  time.Time
	output bool
}

// ModTime sets the object's time of modification; without, it is that of the
// execution.
func (op *WriteOp) ModTime(t time.Time) { op.mtime = t }

// ReturnOutput asks for the output of class methods, which writes otherwise
// drop.
func (op *WriteOp) ReturnOutput() { op.output = true }

// Create creates the object; if it must not exist, an existing one is ErrExists.
func (op *WriteOp) Create(exclusive bool) *Step {
	s := op.add(msg.OpCreate, nil, nil)
	if exclusive {
		s.flag(msg.OpFlagExcl)
	}
	return s
}

// Write writes at an offset; a gap before it reads as zeros.
func (op *WriteOp) Write(off uint64, data []byte) *Step {
	return op.add(msg.OpWrite, data, func(o *msg.Op) { o.SetExtent(off, uint64(len(data))) })
}

// WriteFull replaces the object's bytes.
func (op *WriteOp) WriteFull(data []byte) *Step {
	return op.add(msg.OpWriteFull, data, func(o *msg.Op) { o.SetExtent(0, uint64(len(data))) })
}

// Append writes at the object's end.
func (op *WriteOp) Append(data []byte) *Step {
	return op.add(msg.OpAppend, data, func(o *msg.Op) { o.SetExtent(0, uint64(len(data))) })
}

// WriteSame fills n bytes at off with a pattern, whose length must divide n.
func (op *WriteOp) WriteSame(off, n uint64, pattern []byte) *Step {
	return op.add(msg.OpWriteSame, pattern, func(o *msg.Op) {
		o.SetExtent(off, n)
		o.PutU64(16, uint64(len(pattern)))
	})
}

// Zero makes n bytes at off read as zeros, up to the object's end.
func (op *WriteOp) Zero(off, n uint64) *Step {
	if n == 0 {
		op.reject("zeroing no bytes") // stock OSDs abort at it
	}
	return op.add(msg.OpZero, nil, func(o *msg.Op) { o.SetExtent(off, n) })
}

// Truncate sets the size of an object that exists.
func (op *WriteOp) Truncate(size uint64) *Step {
	return op.add(msg.OpTruncate, nil, func(o *msg.Op) { o.SetExtent(size, 0) })
}

// Remove removes the object.
func (op *WriteOp) Remove() *Step { return op.add(msg.OpDelete, nil, nil) }

// SetXattr sets an attribute.
func (op *WriteOp) SetXattr(name string, value []byte) *Step {
	return op.add(msg.OpSetXattr, append([]byte(name), value...), func(o *msg.Op) {
		o.PutU32(0, uint32(len(name)))
		o.PutU32(4, uint32(len(value)))
	})
}

// RemoveXattr removes an attribute.
func (op *WriteOp) RemoveXattr(name string) *Step {
	return op.add(msg.OpRmXattr, []byte(name), func(o *msg.Op) { o.PutU32(0, uint32(len(name))) })
}

// OmapSet sets entries of the omap.
func (op *WriteOp) OmapSet(entries map[string][]byte) *Step {
	return op.encoded(msg.OpOmapSetVals, func(e *wire.Encoder) {
		wire.EncodeMap(e, entries, func(k string, v []byte) { e.Str(k); e.Blob(v) })
	})
}

// OmapSetHeader sets the omap's header.
func (op *WriteOp) OmapSetHeader(header []byte) *Step {
	return op.add(msg.OpOmapSetHeader, header, nil)
}

// OmapClear removes the omap with its header.
func (op *WriteOp) OmapClear() *Step { return op.add(msg.OpOmapClear, nil, nil) }

// OmapRemove removes the entries of keys; those that do not exist do not matter.
func (op *WriteOp) OmapRemove(keys ...string) *Step {
	return op.encoded(msg.OpOmapRmKeys, func(e *wire.Encoder) { encodeSet(e, keys) })
}

// OmapRemoveRange removes the entries of keys from begin on and before end.
func (op *WriteOp) OmapRemoveRange(begin, end string) *Step {
	return op.encoded(msg.OpOmapRmKeyRange, func(e *wire.Encoder) {
		e.Str(begin)
		e.Str(end)
	})
}

// CopyFrom replaces the object with a copy of another one, attributes and omap
// included; the bytes go from OSD to OSD. If version is not 0 the source must
// have it. A snapshot of the source is copied if src is a handle of one
// (Pool.AtSnap).
func (op *WriteOp) CopyFrom(src *Pool, name string, version uint64) *Step {
	var e wire.Encoder
	e.Str(name)
	src.locator().Encode(&e)
	return op.add(msg.OpCopyFrom, e.Bytes(), func(o *msg.Op) {
		o.PutU64(0, uint64(src.snap))
		o.PutU64(8, version)
		o.PutU32(17, uint32(HintSequential|HintNoCache))
	})
}

// Rollback makes the object as it was at a snapshot.
func (op *WriteOp) Rollback(snap uint64) *Step {
	return op.add(msg.OpRollback, nil, func(o *msg.Op) { o.PutU64(0, snap) })
}

// AllocHint is what an object will be used for (LIBRADOS_ALLOC_HINT_FLAG).
type AllocHint uint32

const (
	AllocSequentialWrite AllocHint = 1 << iota
	AllocRandomWrite
	AllocSequentialRead
	AllocRandomRead
	AllocAppendOnly
	AllocImmutable
	AllocShortlived
	AllocLonglived
	AllocCompressible
	AllocIncompressible
)

// SetAllocHint tells the sizes that the object and its writes are expected to
// have. It never makes the sequence fail.
func (op *WriteOp) SetAllocHint(objectSize, writeSize uint64, h AllocHint) *Step {
	return op.add(msg.OpSetAllocHint, nil, func(o *msg.Op) {
		o.PutU64(0, objectSize)
		o.PutU64(8, writeSize)
		o.PutU32(16, uint32(h))
	}).MayFail()
}
