package objecter

import (
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// Op is an operation on an object, or on a placement group. Whoever submits it
// fills in the exported fields and leaves it alone until it is completed.
type Op struct {
	Object  string
	Locator object.Locator // Hash -1, but for operations on the placement group of a hash
	// Ops are the steps. The operation takes over the references of their
	// inputs and releases them when it ends.
	Ops         []msg.Op
	Flags       uint32 // FlagRead or FlagWrite, and what else is wished
	Snap        object.SnapID
	SnapContext object.SnapContext
	MTime       time.Time // of writes
	Owner       any       // the submitter's own

	tid      uint64
	hash     uint32
	target   target
	session  *session // nil: has no place
	sent     bool     // in the session, and since it opened
	attempts int32
	sentAt   time.Time
	// Ops on a pool that is in no map seen so far fail once a map of epoch bound
	// does not have it either. 0: the monitors were not asked yet.
	bound    uint32
	seenPool bool
	linger   *Linger // for which it is; nil: it was submitted
}

// TID is the operation's number, from when it was submitted.
func (op *Op) TID() uint64 { return op.tid }

// id is the object as backoffs see it.
func (op *Op) id() object.ID {
	key := op.Locator.Key
	if key == op.Object {
		key = ""
	}
	return object.ID{Pool: op.Locator.Pool, Hash: op.hash, Namespace: op.Locator.Namespace, Key: key, Name: op.Object, Snap: object.NoSnap}
}

// features is what every stock client of the release says.
const features = 0x3f01cfbdfffdffff

// message makes the request of the next attempt, with its own references to
// the inputs.
func (op *Op) message(epoch uint32) *msg.OSDOp {
	flags := op.Flags | msg.FlagOnDisk | msg.FlagKnownRedir
	if op.attempts > 0 {
		flags |= msg.FlagRetry
	}
	for i := range op.Ops {
		op.Ops[i].In.Retain()
	}
	return &msg.OSDOp{
		PG:          object.SPG{PG: op.target.pg, Shard: op.target.shard},
		Hash:        op.hash,
		Epoch:       epoch,
		Flags:       flags,
		MTime:       op.MTime,
		Locator:     op.Locator,
		OID:         op.Object,
		Ops:         op.Ops,
		SnapID:      op.Snap,
		SnapContext: op.SnapContext,
		Retry:       op.attempts,
		Features:    features,
	}
}

func (op *Op) release() {
	for i := range op.Ops {
		op.Ops[i].In.Release()
	}
}

// session is the connection to one OSD, or the wish for one.
type session struct {
	id       uint64 // of this incarnation; a new one for each connection
	osd      int32
	addrs    entity.AddrVec
	up       bool
	reopenAt time.Time // if waiting to be dialled; zero: dialling or up
	failures int       // in a row, with no reply in between
	refused  time.Time // since when the OSD has not let us in; zero: it has, or was not reached
	ops      map[uint64]*Op
	backoffs map[object.SPG]map[uint64]backoff
}

// backoff is a range of objects that the OSD does not want to hear of now.
type backoff struct{ begin, end object.ID }

func (b backoff) covers(o object.ID) bool {
	return b.begin.Compare(o) <= 0 && o.Compare(b.end) < 0 || b.begin == b.end && b.begin == o
}

func (s *session) blocked(op *Op) bool {
	if len(s.backoffs) == 0 {
		return false
	}
	for _, b := range s.backoffs[object.SPG{PG: op.target.pg, Shard: op.target.shard}] {
		if b.covers(op.id()) {
			return true
		}
	}
	return false
}
