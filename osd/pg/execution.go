package pg

import (
	"errors"
	"math"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
)

// execution is one run of a request's operations on its object (OpContext). It
// changes nothing but itself: what it staged is committed as a whole or thrown
// away, so a run can be given up at any operation and begun again later.
type execution struct {
	pg  *PG
	req *Request
	obj *objectContext
	now time.Time

	view
	exists bool               // the object, as the operations so far leave it
	info   ObjectInfo         // its info likewise
	snapc  object.SnapContext // of a request that may write
	// modified is what of the head's bytes has changed, counted in those that it
	// had; kept only if tracks: the object has a clone, or gets one.
	modified extent.Set
	tracks   bool
	replaced bool // the head's attributes are not those it had

	stats       Stats // change
	effects     effects
	modify      bool // something was staged
	userModify  bool // something that clients see as a new version
	userVersion uint64
	keepMTime   bool // the object brings its own
	current     int  // operation that runs
	positions   int  // that class methods had
}

// errFetch ends a run that needs an object of another group first.
var errFetch = errors.New("another object must be read first")

// begin prepares a run.
func (x *execution) begin(p *PG, r *Request, o *objectContext, now time.Time, writes bool) {
	edits := x.view.edits
	*x = execution{pg: p, req: r, obj: o, now: now, exists: o.exists, info: o.info, userVersion: o.info.UserVersion}
	x.view.edits = edits
	x.view.reset(p.env.Store, p.coll, o.id, o.stored(), writes)
	if writes {
		x.snapc = p.snapContext(r)
		x.tracks = len(o.snaps.Clones) > 0 || x.clones()
	}
}

// abandon drops what was staged.
func (x *execution) abandon() { x.txn.Release() }

// run does the operations in order, with their results in them. It ends at the
// first that fails, unless that one may.
func (x *execution) run(ops []msg.Op) error {
	for i := range ops {
		ops[i].Result = 0
		releaseOut(&ops[i])
	}
	for i := range ops {
		op := &ops[i]
		x.current = i
		if err := x.do(op); err != nil {
			if err == errFetch {
				return err
			}
			op.Result = errno.Code(err)
			if op.Flags&msg.OpFlagFailOK == 0 {
				return err
			}
		}
	}
	return nil
}

func releaseOut(op *msg.Op) {
	op.Out.Release()
	op.Out = nil
}

// mustExist is the check of operations that do not create.
func (x *execution) mustExist() error {
	if !x.exists {
		return errno.ENOENT
	}
	return nil
}

// create makes the object exist (maybe_create_new_object).
func (x *execution) create() {
	x.modify = true
	if x.exists {
		return
	}
	x.exists = true
	if x.info.Flags&ObjectWhiteout != 0 {
		x.stats.Whiteouts--
	} else {
		x.stats.Objects++
	}
	// A deleted object that comes back in the same vector keeps its truncation.
	x.info.Size, x.info.Flags = 0, 0
}

// resize notes a new size.
func (x *execution) resize(n uint64) {
	x.stats.Bytes += int64(n) - int64(x.info.Size)
	x.info.Size = n
}

func (x *execution) wrote(n uint64) {
	x.modify = true
	x.stats.Writes++
	x.stats.WriteKB += int64(n+1023) >> 10
}

func (x *execution) didRead(n int) {
	x.stats.Reads++
	x.stats.ReadKB += int64(n+1023) >> 10
}

// markOmap notes that the object has an omap.
func (x *execution) markOmap() {
	if x.info.Flags&ObjectOmap == 0 {
		x.info.Flags |= ObjectOmap
		x.stats.OmapObjects++
	}
}

// removeObject deletes the object.
func (x *execution) removeObject() error {
	if err := x.mustExist(); err != nil {
		return err
	}
	x.touched(0, x.info.Size)
	x.view.remove()
	x.exists, x.replaced = false, true
	x.stats.Objects--
	if x.info.Flags&ObjectOmap != 0 {
		x.stats.OmapObjects--
	}
	x.resize(0)
	x.info.Flags = 0
	x.dropWatchers()
	x.wrote(0)
	return nil
}

// munge makes of an operation what it means (as do_osd_ops does): old clients say
// "no truncation" in odd words, and zeros up to the end or beyond are a
// truncation. It reports whether nothing is left to do.
func (x *execution) munge(op *msg.Op) (noop bool) {
	off, n, size, seq := op.Extent()
	switch op.Code {
	case msg.OpRead, msg.OpSyncRead, msg.OpSparseRead, msg.OpMapExt, msg.OpCmpExt, msg.OpWrite, msg.OpWriteFull, msg.OpTruncate,
		msg.OpZero, msg.OpAppend, opTrimTrunc:
		if seq == 1 && size == math.MaxUint64 {
			op.PutU64(16, 0)
			op.PutU32(24, 0)
		}
	}
	if op.Code != msg.OpZero || !x.exists || n == 0 || x.checkRange(off, n) != nil || off+n < x.info.Size {
		return false
	}
	if off >= x.info.Size {
		return true
	}
	op.Code = msg.OpTruncate
	return false
}

// do runs one operation.
func (x *execution) do(op *msg.Op) error {
	if x.munge(op) {
		return nil
	}
	if op.Code.IsWrite() {
		switch op.Code {
		case msg.OpWatch, msg.OpUndirty, msg.OpCopyFrom, msg.OpCopyFrom2:
			// These leave the version that clients see alone, or bring one.
		default:
			x.userModify = true
		}
	}
	switch op.Code {
	case msg.OpRead, msg.OpSyncRead:
		return x.opRead(op)
	case msg.OpSparseRead:
		return x.opSparseRead(op)
	case msg.OpMapExt:
		return x.opMapExt(op)
	case msg.OpStat:
		return x.opStat(op)
	case msg.OpChecksum:
		return x.opChecksum(op)
	case msg.OpCmpExt:
		return x.opCmpExt(op)
	case msg.OpAssertVer:
		return x.opAssertVersion(op)
	case msg.OpIsDirty:
		return x.opIsDirty(op)
	case msg.OpListWatchers:
		return x.opListWatchers(op)
	case msg.OpListSnaps:
		return x.opListSnaps(op)
	case msg.OpNotify:
		return x.opNotify(op)
	case msg.OpNotifyAck:
		return x.opNotifyAck(op)

	case msg.OpWrite:
		return x.opWrite(op)
	case msg.OpWriteFull:
		return x.opWriteFull(op)
	case msg.OpWriteSame:
		return x.opWriteSame(op)
	case msg.OpAppend:
		return x.opAppend(op)
	case msg.OpTruncate, opTrimTrunc:
		return x.opTruncate(op)
	case msg.OpZero:
		return x.opZero(op)
	case msg.OpCreate:
		return x.opCreate(op)
	case msg.OpDelete:
		return x.removeObject()
	case msg.OpSetAllocHint:
		return x.opSetAllocHint(op)
	case msg.OpWatch:
		return x.opWatch(op)
	case opStartSync, msg.OpUndirty:
		return nil

	case msg.OpGetXattr:
		return x.opGetXattr(op)
	case msg.OpGetXattrs:
		return x.opGetXattrs(op)
	case msg.OpCmpXattr:
		return x.opCmpXattr(op)
	case msg.OpSetXattr:
		return x.opSetXattr(op)
	case msg.OpRmXattr:
		return x.opRmXattr(op)

	case msg.OpOmapGetKeys:
		return x.opOmapGetKeys(op)
	case msg.OpOmapGetVals:
		return x.opOmapGetVals(op)
	case msg.OpOmapGetHeader:
		return x.opOmapGetHeader(op)
	case msg.OpOmapGetByKeys:
		return x.opOmapGetByKeys(op)
	case msg.OpOmapCmp:
		return x.opOmapCmp(op)
	case msg.OpOmapSetVals:
		return x.opOmapSetVals(op)
	case msg.OpOmapSetHeader:
		return x.opOmapSetHeader(op)
	case msg.OpOmapClear:
		return x.opOmapClear(op)
	case msg.OpOmapRmKeys:
		return x.opOmapRmKeys(op)
	case msg.OpOmapRmKeyRange:
		return x.opOmapRmKeyRange(op)

	case msg.OpRollback:
		return x.opRollback(op)
	case msg.OpCall:
		return x.opCall(op)
	case msg.OpCopyGet:
		return x.opCopyGet(op)
	case msg.OpCopyFrom, msg.OpCopyFrom2:
		return x.opCopyFrom(op)
	}
	// Temporary maps (tmap) and the operations of cache tiers are history.
	return errno.EOPNOTSUPP
}

// Operations that no client of today sends, but whose meaning is clear.
const (
	opStartSync msg.OpCode = 0x2207
	opTrimTrunc msg.OpCode = 0x2209
)

// out sets an operation's output to bytes that nobody else has.
func out(op *msg.Op, b []byte) { op.Out = buffer.ListOf(b) }

// checkRange is the limit of objects (check_offset_and_length).
func (x *execution) checkRange(off, n uint64) error {
	limit := min(x.pg.env.Config.MaxObjectSize, objstore.MaxObjectSize)
	if off >= limit || n > limit || off+n > limit {
		return errno.EFBIG
	}
	return nil
}
