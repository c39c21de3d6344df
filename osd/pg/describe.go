package pg

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/msg"
)

var flagNames = []struct {
	bit  uint32
	name string
}{
	{msg.FlagAck, "ack"}, {2, "onnvram"}, {msg.FlagOnDisk, "ondisk"}, {msg.FlagRetry, "retry"}, {msg.FlagRead, "read"},
	{msg.FlagWrite, "write"}, {msg.FlagOrderSnap, "ordersnap"}, {0x80, "peerstat_old"}, {msg.FlagBalanceReads, "balance_reads"},
	{0x200, "parallelexec"}, {msg.FlagPGOp, "pgop"}, {msg.FlagExec, "exec"}, {0x1000, "exec_public"},
	{msg.FlagLocalizeReads, "localize_reads"}, {msg.FlagRWOrdered, "rwordered"}, {0x8000, "ignore_cache"},
	{0x10000, "skiprwlocks"}, {0x20000, "ignore_overlay"}, {0x40000, "flush"}, {msg.FlagMapSnapClone, "map_snap_clone"},
	{msg.FlagEnforceSnapc, "enforce_snapc"}, {0x200000, "redirected"}, {msg.FlagKnownRedir, "known_if_redirected"},
	{msg.FlagFullTry, "full_try"}, {msg.FlagFullForce, "full_force"}, {0x2000000, "ignore_redirect"}, {msg.FlagReturnVec, "returnvec"},
}

// Describe prints a request as Ceph prints an MOSDOp.
func Describe(r *Request) string {
	m := r.Op
	var b strings.Builder
	identify(r)
	fmt.Fprintf(&b, "osd_op(%v %v %v [", r.id, m.PG, m.Object())
	for i := range m.Ops {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(describeOp(&m.Ops[i]))
	}
	fmt.Fprintf(&b, "] snapc %x=[", uint64(m.SnapContext.Seq))
	for i, s := range m.SnapContext.Snaps {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%x", uint64(s))
	}
	b.WriteByte(']')
	sep := " "
	if m.Retry > 0 {
		fmt.Fprintf(&b, " RETRY=%d", m.Retry)
	}
	for _, f := range flagNames {
		if m.Flags&f.bit != 0 {
			b.WriteString(sep + f.name)
			sep = "+"
		}
	}
	fmt.Fprintf(&b, " e%d)", m.Epoch)
	return b.String()
}

func describeOp(op *msg.Op) string {
	name := op.Code.String()
	off, n, size, seq := op.Extent()
	switch op.Code {
	case msg.OpRead, msg.OpWrite, msg.OpWriteFull, msg.OpZero, msg.OpAppend, msg.OpSparseRead, msg.OpMapExt, msg.OpCmpExt, msg.OpSyncRead:
		s := fmt.Sprintf("%s %d~%d", name, off, n)
		if seq != 0 {
			s += fmt.Sprintf(" [%d@%d]", seq, size)
		}
		return s
	case msg.OpTruncate:
		return fmt.Sprintf("%s %d", name, off)
	case msg.OpSetXattr, msg.OpGetXattr, msg.OpCmpXattr, msg.OpRmXattr:
		nameLen, valueLen, _, _ := op.Xattr()
		return fmt.Sprintf("%s (%d) in=%db", name, valueLen, nameLen+valueLen)
	case msg.OpSetAllocHint:
		return fmt.Sprintf("%s object_size %d write_size %d", name, off, n)
	case msg.OpWatch:
		return describeWatch(op)
	case msg.OpNotify:
		return fmt.Sprintf("%s cookie %d", name, op.U64(0))
	}
	return name
}
