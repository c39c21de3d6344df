package msg

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Message types between clients and OSDs, doc/protocol/osd.md#messages.
const (
	TypeOSDOp       = 42
	TypeOSDOpReply  = 43
	TypeWatchNotify = 44
	TypeOSDBackoff  = 61
)

var (
	_ = register[OSDOp]()
	_ = register[OSDOpReply]()
	_ = register[WatchNotify]()
	_ = register[OSDBackoff]()
)

// OpCode is an operation on an object (CEPH_OSD_OP_*). Its high bits say what
// kind it is.
type OpCode uint16

const (
	opModeRead  OpCode = 0x1000
	opModeWrite OpCode = 0x2000
	opTypeMask  OpCode = 0x0f00
	opTypePG    OpCode = 0x0500
)

const (
	OpRead           OpCode = 0x1201
	OpStat           OpCode = 0x1202
	OpMapExt         OpCode = 0x1203
	OpSparseRead     OpCode = 0x1205
	OpNotify         OpCode = 0x1206
	OpNotifyAck      OpCode = 0x1207
	OpAssertVer      OpCode = 0x1208
	OpListWatchers   OpCode = 0x1209
	OpListSnaps      OpCode = 0x120a
	OpSyncRead       OpCode = 0x120b
	OpTmapGet        OpCode = 0x120c
	OpOmapGetKeys    OpCode = 0x1211
	OpOmapGetVals    OpCode = 0x1212
	OpOmapGetHeader  OpCode = 0x1213
	OpOmapGetByKeys  OpCode = 0x1214
	OpOmapCmp        OpCode = 0x1219
	OpCopyGet        OpCode = 0x121e
	OpChecksum       OpCode = 0x121f
	OpCmpExt         OpCode = 0x1220
	OpIsDirty        OpCode = 0x121b
	OpWrite          OpCode = 0x2201
	OpWriteFull      OpCode = 0x2202
	OpTruncate       OpCode = 0x2203
	OpZero           OpCode = 0x2204
	OpDelete         OpCode = 0x2205
	OpAppend         OpCode = 0x2206
	OpSetTrunc       OpCode = 0x2208
	OpTmapUp         OpCode = 0x320a // reads, too
	OpTmapPut        OpCode = 0x220b
	OpCreate         OpCode = 0x220d
	OpRollback       OpCode = 0x220e
	OpWatch          OpCode = 0x220f
	OpOmapSetVals    OpCode = 0x2215
	OpOmapSetHeader  OpCode = 0x2216
	OpOmapClear      OpCode = 0x2217
	OpOmapRmKeys     OpCode = 0x2218
	OpCopyFrom       OpCode = 0x221a
	OpUndirty        OpCode = 0x221c
	OpSetAllocHint   OpCode = 0x2223
	OpWriteSame      OpCode = 0x2226
	OpOmapRmKeyRange OpCode = 0x222c
	OpCopyFrom2      OpCode = 0x222d
	OpGetXattr       OpCode = 0x1301
	OpGetXattrs      OpCode = 0x1302
	OpCmpXattr       OpCode = 0x1303
	OpSetXattr       OpCode = 0x2301
	OpSetXattrs      OpCode = 0x2302
	OpResetXattrs    OpCode = 0x2303
	OpRmXattr        OpCode = 0x2304
	OpCall           OpCode = 0x1401
	OpPGLS           OpCode = 0x1501
	OpPGLSFilter     OpCode = 0x1502
	OpPGNLS          OpCode = 0x1505
	OpPGNLSFilter    OpCode = 0x1506
	OpScrubLS        OpCode = 0x1507
	OpPGHitsetLs     OpCode = 0x1503
	OpPGHitsetGet    OpCode = 0x1504
)

// IsRead and IsWrite tell by the code's mode; a few are both. OpCall is a read by
// its code; what a method does, the class says.
func (c OpCode) IsRead() bool  { return c&opModeRead != 0 }
func (c OpCode) IsWrite() bool { return c&opModeWrite != 0 }

// IsPG reports whether the operation is on a placement group, not an object.
func (c OpCode) IsPG() bool { return c&opTypeMask == opTypePG }

var opNames = map[OpCode]string{
	OpRead: "read", OpStat: "stat", OpMapExt: "mapext", OpSparseRead: "sparse-read", OpNotify: "notify",
	OpNotifyAck: "notify-ack", OpAssertVer: "assert-version", OpListWatchers: "list-watchers",
	OpListSnaps: "list-snaps", OpSyncRead: "sync_read", OpTmapGet: "tmapget", OpOmapGetKeys: "omap-get-keys",
	OpOmapGetVals: "omap-get-vals", OpOmapGetHeader: "omap-get-header",
	OpOmapGetByKeys: "omap-get-vals-by-keys", OpOmapCmp: "omap-cmp", OpCopyGet: "copy-get",
	OpChecksum: "checksum", OpCmpExt: "cmpext", OpIsDirty: "isdirty", OpWrite: "write", OpWriteFull: "writefull",
	OpTruncate: "truncate", OpZero: "zero", OpDelete: "delete", OpAppend: "append", OpSetTrunc: "settrunc",
	OpTmapUp: "tmapup", OpTmapPut: "tmapput", OpCreate: "create", OpRollback: "rollback", OpWatch: "watch",
	OpOmapSetVals: "omap-set-vals", OpOmapSetHeader: "omap-set-header", OpOmapClear: "omap-clear",
	OpOmapRmKeys: "omap-rm-keys", OpCopyFrom: "copy-from", OpUndirty: "undirty",
	OpSetAllocHint: "set-alloc-hint", OpWriteSame: "writesame", OpOmapRmKeyRange: "omap-rm-key-range",
	OpCopyFrom2: "copy-from2", OpGetXattr: "getxattr", OpGetXattrs: "getxattrs", OpCmpXattr: "cmpxattr",
	OpSetXattr: "setxattr", OpSetXattrs: "setxattrs", OpResetXattrs: "resetxattrs", OpRmXattr: "rmxattr",
	OpCall: "call", OpPGLS: "pgls", OpPGLSFilter: "pgls-filter", OpPGNLS: "pgnls",
	OpPGNLSFilter: "pgnls-filter", OpScrubLS: "scrubls", OpPGHitsetLs: "pg-hitset-ls", OpPGHitsetGet: "pg-hitset-get",
}

func (c OpCode) String() string {
	if s := opNames[c]; s != "" {
		return s
	}
	return fmt.Sprintf("op-%#x", uint16(c))
}

// Flags of one operation (CEPH_OSD_OP_FLAG_*).
const (
	OpFlagExcl   uint32 = 1
	OpFlagFailOK uint32 = 2
)

// Flags of a request (CEPH_OSD_FLAG_*).
const (
	FlagAck           uint32 = 0x0001
	FlagOnDisk        uint32 = 0x0004
	FlagRetry         uint32 = 0x0008
	FlagRead          uint32 = 0x0010
	FlagWrite         uint32 = 0x0020
	FlagOrderSnap     uint32 = 0x0040
	FlagBalanceReads  uint32 = 0x0100
	FlagPGOp          uint32 = 0x0400
	FlagExec          uint32 = 0x0800
	FlagLocalizeReads uint32 = 0x2000
	FlagRWOrdered     uint32 = 0x4000
	FlagMapSnapClone  uint32 = 0x80000
	FlagEnforceSnapc  uint32 = 0x100000
	FlagKnownRedir    uint32 = 0x400000
	FlagFullTry       uint32 = 0x800000
	FlagFullForce     uint32 = 0x1000000
	FlagReturnVec     uint32 = 0x4000000
)

// Op is one operation of a request, and of its reply (OSDOp with ceph_osd_op),
// doc/protocol/osd.md#ceph_osd_op.
// Args is the 28-byte union; the accessors say which member is meant.
type Op struct {
	Code   OpCode
	Flags  uint32
	Args   [28]byte
	In     buffer.Ref  // input; borrows the message's payload
	Out    buffer.List // output, in replies
	Result int32       // rval, in replies
}

const opSize = 38

// U64 and U32 read the union at a byte offset.
func (o *Op) U64(at int) uint64 { return binary.LittleEndian.Uint64(o.Args[at:]) }
func (o *Op) U32(at int) uint32 { return binary.LittleEndian.Uint32(o.Args[at:]) }

// PutU64 and PutU32 write the union at a byte offset.
func (o *Op) PutU64(at int, v uint64) { binary.LittleEndian.PutUint64(o.Args[at:], v) }
func (o *Op) PutU32(at int, v uint32) { binary.LittleEndian.PutUint32(o.Args[at:], v) }

// Extent is the union of reads and writes: offset, length, and the pending
// truncation that the client knows of.
func (o *Op) Extent() (off, n, truncSize uint64, truncSeq uint32) {
	return o.U64(0), o.U64(8), o.U64(16), o.U32(24)
}

// SetExtent sets offset and length.
func (o *Op) SetExtent(off, n uint64) { o.PutU64(0, off); o.PutU64(8, n) }

// Xattr is the union of attribute operations: lengths of name and value, and
// how to compare.
func (o *Op) Xattr() (nameLen, valueLen int, cmpOp, cmpMode uint8) {
	return int(o.U32(0)), int(o.U32(4)), o.Args[8], o.Args[9]
}

// Comparisons of cmpxattr and omap-cmp.
const (
	CmpEQ  = 1
	CmpNE  = 2
	CmpGT  = 3
	CmpGTE = 4
	CmpLT  = 5
	CmpLTE = 6

	CmpModeString = 1
	CmpModeU64    = 2
)

// Call is the union of class calls: lengths of the class, method and input
// that In holds.
func (o *Op) Call() (classLen, methodLen, inLen int) {
	return int(o.Args[0]), int(o.Args[1]), int(o.U32(3))
}

// Operations of OpWatch, in byte 16 of its union (cookie 0, version 8, op 16,
// generation 17, timeout 21).
const (
	WatchUnwatch     = 0
	WatchLegacyWatch = 1
	WatchWatch       = 3
	WatchReconnect   = 5
	WatchPing        = 7
)

// Watch is the union of OpWatch; timeout in seconds, 0 for the default.
func (o *Op) Watch() (cookie uint64, op uint8, gen, timeout uint32) {
	return o.U64(0), o.Args[16], o.U32(17), o.U32(21)
}

// SetWatch sets the union of OpWatch but for the cookie.
func (o *Op) SetWatch(op uint8, gen, timeout uint32) {
	o.Args[16] = op
	o.PutU32(17, gen)
	o.PutU32(21, timeout)
}

func (o *Op) encode(e *wire.Encoder, payload int) {
	e.U16(uint16(o.Code))
	e.U32(o.Flags)
	e.Raw(o.Args[:])
	e.U32(uint32(payload))
}

// decode returns the length of the operation's payload.
func (o *Op) decode(d *wire.Decoder) int {
	b := d.Raw(opSize)
	if b == nil {
		return 0
	}
	o.Code = OpCode(binary.LittleEndian.Uint16(b))
	o.Flags = binary.LittleEndian.Uint32(b[2:])
	copy(o.Args[:], b[6:34])
	return int(binary.LittleEndian.Uint32(b[34:]))
}

// OSDOp is a request to an OSD (MOSDOp), doc/protocol/osd.md#mosdop-v8.
type OSDOp struct {
	PG          object.SPG
	Hash        uint32 // full hash of the object
	Epoch       uint32 // of the map the client went by
	Flags       uint32
	ReqID       object.ReqID // all zero: client, ClientInc and the header's tid
	Trace       [3]uint64
	ClientInc   uint32
	MTime       time.Time
	Locator     object.Locator
	OID         string
	Ops         []Op
	SnapID      object.SnapID
	SnapContext object.SnapContext
	Retry       int32
	Features    uint64

	data buffer.List
	few  [fewOps]Op // room for Ops, so that a usual request is one allocation
}

// fewOps is how many operations nearly all requests have at most: a write goes
// with an allocation hint.
const fewOps = 2

// makeOps returns n operations, in few if they fit.
func makeOps(few *[fewOps]Op, n int) []Op {
	if n <= fewOps {
		return few[:n:n]
	}
	return make([]Op, n)
}

func (*OSDOp) MsgType() uint16            { return TypeOSDOp }
func (*OSDOp) Versions() (uint16, uint16) { return 8, 3 }
func (*OSDOp) Priority() uint16           { return PrioOSDOp }

// Object is the object that the request names.
func (m *OSDOp) Object() object.ID {
	o := object.ID{Pool: m.Locator.Pool, Hash: m.Hash, Namespace: m.Locator.Namespace, Key: m.Locator.Key, Name: m.OID, Snap: m.SnapID}
	if o.Key == o.Name {
		o.Key = ""
	}
	return o
}

func (m *OSDOp) String() string {
	names := make([]string, len(m.Ops))
	for i := range m.Ops {
		names[i] = m.Ops[i].Code.String()
	}
	return fmt.Sprintf("osd_op(%v %v e%d %s [%s])", m.ReqID, m.PG, m.Epoch, m.OID, strings.Join(names, ","))
}

func (m *OSDOp) EncodeFront(e *wire.Encoder) {
	m.PG.Encode(e)
	e.U32(m.Hash)
	e.U32(m.Epoch)
	e.U32(m.Flags)
	m.ReqID.Encode(e)
	for _, t := range m.Trace {
		e.U64(t)
	}
	e.U32(m.ClientInc)
	e.Time(m.MTime)
	m.Locator.Encode(e)
	e.Str(m.OID)
	e.U16(uint16(len(m.Ops)))
	for i := range m.Ops {
		m.Ops[i].encode(e, m.Ops[i].In.Len())
	}
	e.U64(uint64(m.SnapID))
	e.U64(uint64(m.SnapContext.Seq))
	wire.EncodeSlice(e, m.SnapContext.Snaps, func(s object.SnapID) { e.U64(uint64(s)) })
	e.S32(m.Retry)
	e.U64(m.Features)
}

func (m *OSDOp) decodeFront(d *wire.Decoder, version uint16) {
	if version < 8 {
		d.Fail(fmt.Errorf("MOSDOp version %d: %w", version, errno.EOPNOTSUPP))
		return
	}
	m.PG.Decode(d)
	m.Hash = d.U32()
	m.Epoch = d.U32()
	m.Flags = d.U32()
	m.ReqID.Decode(d)
	for i := range m.Trace {
		m.Trace[i] = d.U64()
	}
	m.ClientInc = d.U32()
	m.MTime = d.Time()
	m.Locator.Decode(d)
	m.OID = d.Str()
	n := int(d.U16())
	if n*opSize > d.Left() {
		d.Failf("%d operations in %d bytes", n, d.Left())
		return
	}
	m.Ops = makeOps(&m.few, n)
	rest, left := cut{l: m.data}, m.data.Len()
	for i := range m.Ops {
		size := m.Ops[i].decode(d)
		if size > left {
			d.Failf("operation %d wants %d bytes of payload, %d left", i, size, left)
			return
		}
		m.Ops[i].In = rest.take(size)
		left -= size
	}
	m.SnapID = object.SnapID(d.U64())
	m.SnapContext.Seq = object.SnapID(d.U64())
	m.SnapContext.Snaps = wire.DecodeSlice(d, 8, func() object.SnapID { return object.SnapID(d.U64()) })
	m.Retry = d.S32()
	m.Features = d.U64()
}

// cut hands out a payload piece by piece.
type cut struct {
	l  buffer.List
	at int // consumed of l[0]
}

// take returns the next n bytes, which the caller knows to be there. Operations
// nearly always share one buffer; what spans two is copied.
func (c *cut) take(n int) buffer.Ref {
	if n == 0 {
		return buffer.Ref{}
	}
	for c.at == c.l[0].Len() {
		c.l, c.at = c.l[1:], 0
	}
	if c.l[0].Len()-c.at >= n {
		c.at += n
		return c.l[0].Slice(c.at-n, c.at)
	}
	b := make([]byte, 0, n)
	for len(b) < n {
		part := c.l[0].Bytes()[c.at:]
		if len(part) > n-len(b) {
			part = part[:n-len(b)]
			c.at += len(part)
		} else {
			c.l, c.at = c.l[1:], 0
		}
		b = append(b, part...)
	}
	return buffer.Wrap(b)
}

// Payload is the input of all operations in order.
func (m *OSDOp) Payload() buffer.List {
	var l buffer.List
	for i := range m.Ops {
		if m.Ops[i].In.Len() > 0 {
			l = append(l, m.Ops[i].In)
		}
	}
	return l
}

func (m *OSDOp) setPayload(l buffer.List) { m.data = l }

// OSDOpReply answers OSDOp (MOSDOpReply), doc/protocol/osd.md#mosdopreply-v8.
type OSDOpReply struct {
	OID           string
	PG            object.PG
	Flags         uint64
	Result        int32
	BadReplay     object.Version
	Epoch         uint32
	Ops           []Op
	Retry         int32
	ReplayVersion object.Version
	UserVersion   uint64
	Redirected    bool // a redirect follows; never sent, refused when received
	Trace         [3]uint64

	data buffer.List
	few  [fewOps]Op
}

func (*OSDOpReply) MsgType() uint16            { return TypeOSDOpReply }
func (*OSDOpReply) Versions() (uint16, uint16) { return 8, 2 }
func (*OSDOpReply) Priority() uint16           { return PrioDefault }

func (m *OSDOpReply) EncodeFront(e *wire.Encoder) {
	e.Str(m.OID)
	m.PG.Encode(e)
	e.U64(m.Flags)
	e.S32(m.Result)
	m.BadReplay.Encode(e)
	e.U32(m.Epoch)
	e.U32(uint32(len(m.Ops)))
	for i := range m.Ops {
		m.Ops[i].encode(e, m.Ops[i].Out.Len())
	}
	e.S32(m.Retry)
	for i := range m.Ops {
		e.S32(m.Ops[i].Result)
	}
	m.ReplayVersion.Encode(e)
	e.U64(m.UserVersion)
	e.Bool(false)
	for _, t := range m.Trace {
		e.U64(t)
	}
}

func (m *OSDOpReply) decodeFront(d *wire.Decoder, version uint16) {
	if version < 7 {
		d.Fail(fmt.Errorf("MOSDOpReply version %d: %w", version, errno.EOPNOTSUPP))
		return
	}
	m.OID = d.Str()
	m.PG.Decode(d)
	m.Flags = d.U64()
	m.Result = d.S32()
	m.BadReplay.Decode(d)
	m.Epoch = d.U32()
	n := d.Count(opSize)
	m.Ops = makeOps(&m.few, n)
	at, total := 0, m.data.Len()
	for i := range m.Ops {
		size := m.Ops[i].decode(d)
		switch {
		case size > total-at:
			d.Failf("operation %d has %d bytes of output, %d left", i, size, total-at)
			return
		case size == total:
			m.Ops[i].Out = m.data
		default:
			m.Ops[i].Out = m.data.Slice(at, at+size)
		}
		at += size
	}
	m.Retry = d.S32()
	for i := range m.Ops {
		m.Ops[i].Result = d.S32()
	}
	m.ReplayVersion.Decode(d)
	m.UserVersion = d.U64()
	if m.Redirected = d.Bool(); m.Redirected {
		d.Fail(fmt.Errorf("redirected reply: %w", errno.EOPNOTSUPP))
		return
	}
	if version >= 8 {
		for i := range m.Trace {
			m.Trace[i] = d.U64()
		}
	}
}

// Payload is the output of all operations in order.
func (m *OSDOpReply) Payload() buffer.List {
	var l buffer.List
	for i := range m.Ops {
		if out := m.Ops[i].Out; l == nil {
			l = out[:len(out):len(out)] // of its own once more is appended
		} else {
			l = append(l, out...)
		}
	}
	return l
}

func (m *OSDOpReply) setPayload(l buffer.List) { m.data = l }

// What a WatchNotify says.
const (
	NotifyNotify     = 1 // to a watcher
	NotifyComplete   = 2 // to the notifier
	NotifyDisconnect = 3 // to a watcher that was dropped
)

// WatchNotify brings notifications to watchers and their outcome to notifiers
// (MWatchNotify).
type WatchNotify struct {
	carrier
	What     uint8
	Cookie   uint64 // the receiver's own
	Version  uint64
	NotifyID uint64
	Content  []byte
	Result   int32
	Notifier uint64 // global id
}

func (*WatchNotify) MsgType() uint16            { return TypeWatchNotify }
func (*WatchNotify) Versions() (uint16, uint16) { return 3, 1 }
func (m *WatchNotify) EncodeFront(e *wire.Encoder) {
	e.U8(1)
	e.U8(m.What)
	e.U64(m.Cookie)
	e.U64(m.Version)
	e.U64(m.NotifyID)
	e.Blob(m.Content)
	e.S32(m.Result)
	e.U64(m.Notifier)
}
func (m *WatchNotify) decodeFront(d *wire.Decoder, v uint16) {
	d.U8()
	m.What = d.U8()
	m.Cookie = d.U64()
	m.Version = d.U64()
	m.NotifyID = d.U64()
	m.Content = d.Blob()
	if v >= 2 {
		m.Result = d.S32()
	}
	if v >= 3 {
		m.Notifier = d.U64()
	}
}

// What an OSDBackoff says.
const (
	BackoffBlock    = 1
	BackoffAckBlock = 2
	BackoffUnblock  = 3
)

// OSDBackoff asks a client to hold back the operations on a range of objects
// (MOSDBackoff).
type OSDBackoff struct {
	plain
	PG         object.SPG
	Epoch      uint32
	What       uint8
	ID         uint64
	Begin, End object.ID
}

func (*OSDBackoff) MsgType() uint16            { return TypeOSDBackoff }
func (*OSDBackoff) Versions() (uint16, uint16) { return 1, 1 }
func (m *OSDBackoff) EncodeFront(e *wire.Encoder) {
	m.PG.Encode(e)
	e.U32(m.Epoch)
	e.U8(m.What)
	e.U64(m.ID)
	m.Begin.Encode(e)
	m.End.Encode(e)
}
func (m *OSDBackoff) decodeFront(d *wire.Decoder, _ uint16) {
	m.PG.Decode(d)
	m.Epoch = d.U32()
	m.What = d.U8()
	m.ID = d.U64()
	m.Begin.Decode(d)
	m.End.Decode(d)
}
