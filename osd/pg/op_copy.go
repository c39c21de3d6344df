package pg

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/wire"
)

// Copying an object. The primary of the copy asks the primary of the source for
// it, piece by piece (copy-get), and when it has all of it runs the request that
// wanted the copy again, which now finds what it needs. Pieces after the first
// insist on the version of the first; if the source has changed, the copy
// begins anew.

// copyCursor is a position in an object that is being copied
// (object_copy_cursor_t): attributes, then data, then omap.
type copyCursor struct {
	attrsDone bool
	offset    uint64
	dataDone  bool
	omapAfter string
	omapDone  bool
}

func (c *copyCursor) done() bool { return c.attrsDone && c.dataDone && c.omapDone }

func (c copyCursor) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Bool(c.attrsDone)
	e.U64(c.offset)
	e.Bool(c.dataDone)
	e.Str(c.omapAfter)
	e.Bool(c.omapDone)
	e.End(m)
}

func (c *copyCursor) Decode(d *wire.Decoder) {
	env := d.Begin("object_copy_cursor_t", 1)
	c.attrsDone = d.Bool()
	c.offset = d.U64()
	c.dataDone = d.Bool()
	c.omapAfter = d.Str()
	c.omapDone = d.Bool()
	d.End(env)
}

// copyData is a piece of an object, or all of it (object_copy_data_t).
type copyData struct {
	size         uint64
	mtime        time.Time
	attrs        map[string][]byte // users' names with their prefix
	data         buffer.List
	omap         []objstore.KV
	cursor       copyCursor
	header       []byte
	snaps        []object.SnapID // that a clone serves
	snapSeq      object.SnapID   // of a head
	truncateSeq  uint32
	truncateSize uint64
	userVersion  uint64 // of the reply
	err          error  // there is none
}

// encode gives what comes before the data, and what comes after it.
func (c *copyData) encode() (head, tail []byte) {
	const version, compat = 8, 5
	var e, t wire.Encoder
	var omap wire.Encoder
	e.U64(c.size)
	e.Time(c.mtime)
	wire.EncodeMap(&e, c.attrs, func(k string, v []byte) { e.Str(k); e.Blob(v) })
	e.U32(uint32(c.data.Len()))
	if len(c.omap) > 0 {
		wire.EncodeSlice(&omap, c.omap, func(kv objstore.KV) { omap.Str(kv.Key); omap.Blob(kv.Value) })
	}
	t.Blob(omap.Bytes())
	c.cursor.Encode(&t)
	t.Blob(c.header)
	wire.EncodeSlice(&t, c.snaps, func(s object.SnapID) { t.U64(uint64(s)) })
	t.U64(uint64(c.snapSeq))
	t.U32(0)          // flags: no digests
	t.U32(0xffffffff) // data digest
	t.U32(0xffffffff) // omap digest
	t.U32(0)          // request ids
	t.U64(uint64(c.truncateSeq))
	t.U64(c.truncateSize)
	t.U32(0) // results of requests
	var h wire.Encoder
	h.U8(version)
	h.U8(compat)
	h.U32(uint32(e.Len() + c.data.Len() + t.Len()))
	h.Raw(e.Bytes())
	return h.Bytes(), t.Bytes()
}

// decode reads a piece; it keeps references to data.
func (c *copyData) decode(l buffer.List) error {
	d := wire.NewDecoder(l.Bytes())
	env := d.Begin("object_copy_data_t", 8)
	c.size = d.U64()
	c.mtime = d.Time()
	c.attrs = wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), slices.Clone(d.Blob()) })
	at := d.Offset() + 4
	n := len(d.Blob())
	omap := d.Nested()
	if omap.Left() > 0 {
		c.omap = wire.DecodeSlice(omap, 8, func() objstore.KV { return objstore.KV{Key: omap.Str(), Value: slices.Clone(omap.Blob())} })
	}
	d.Join(omap)
	c.cursor.Decode(d)
	c.header = slices.Clone(d.Blob())
	c.snaps = wire.DecodeSlice(d, 8, func() object.SnapID { return object.SnapID(d.U64()) })
	c.snapSeq = object.SnapID(d.U64())
	d.U32()
	d.U32()
	d.U32()
	wire.DecodeSlice(d, 29, func() uint64 { var r object.ReqID; r.Decode(d); return d.U64() })
	c.truncateSeq = uint32(d.U64())
	c.truncateSize = d.U64()
	d.End(env)
	if err := d.Finish(); err != nil {
		return fmt.Errorf("copy-get: %w: %w", err, errno.EIO)
	}
	c.data = l.Slice(at, at+n).Retain()
	return nil
}

// opCopyGet gives the next piece of an object.
func (x *execution) opCopyGet(op *msg.Op) error {
	d := wire.NewDecoder(op.In.Bytes())
	var c copyData
	c.cursor.Decode(d)
	limit := d.U64()
	if d.Err() != nil {
		return errno.EINVAL
	}
	if err := x.mustExist(); err != nil {
		return err
	}
	left := int64(min(limit, x.pg.env.Config.MaxObjectSize))
	c.size, c.mtime = x.info.Size, x.info.MTime
	c.truncateSeq, c.truncateSize = x.info.TruncateSeq, x.info.TruncateSize
	if x.obj.id.IsHead() {
		c.snapSeq = x.obj.snaps.Seq
	} else if clone, err := x.pg.cloneOf(x.obj.id); err != nil {
		return err
	} else {
		c.snaps = clone.Snaps
	}
	if !c.cursor.attrsDone {
		m, err := x.allAttrs()
		if err != nil {
			return broken(err)
		}
		delete(m, attrInfo)
		delete(m, attrSnaps)
		for k, v := range m {
			left -= int64(len(k) + len(v))
		}
		c.attrs, c.cursor.attrsDone = m, true
	}
	if !c.cursor.dataDone && left > 0 {
		n := uint64(left)
		if c.cursor.offset < x.info.Size {
			n = min(n, x.info.Size-c.cursor.offset)
			l, err := x.view.read(c.cursor.offset, n)
			if err != nil {
				return broken(err)
			}
			c.data = l
			c.cursor.offset += n
			left -= int64(n)
		}
		c.cursor.dataDone = c.cursor.offset >= x.info.Size
	}
	if c.cursor.dataDone && !c.cursor.omapDone && left > 0 {
		if c.cursor.omapAfter == "" {
			h, err := x.omapHeader()
			if err != nil {
				return broken(err)
			}
			c.header = h
		}
		c.cursor.omapDone = true
		err := x.omapScan(c.cursor.omapAfter, func(k string, v []byte) bool {
			if k == c.cursor.omapAfter && k != "" {
				return true
			}
			if left <= 0 {
				c.cursor.omapDone = false
				return false
			}
			c.omap = append(c.omap, objstore.KV{Key: k, Value: slices.Clone(v)})
			left -= int64(len(k) + len(v) + 8)
			return true
		})
		if err != nil {
			return broken(err)
		}
		if n := len(c.omap); n > 0 {
			c.cursor.omapAfter = c.omap[n-1].Key
		}
	}
	head, tail := c.encode()
	op.Out = append(append(buffer.ListOf(head), c.data...), buffer.Wrap(tail))
	x.didRead(c.data.Len())
	return nil
}

// Flags of copy-from (CEPH_OSD_COPY_FROM_FLAG_*).
const (
	copyFromMapClone    = 8 // the snapshot is the number of a clone
	copyFromTruncateSeq = 32
	copyFromKnown       = 1 | 2 | 4 | copyFromMapClone | 16 | copyFromTruncateSeq
)

// opCopyFrom makes the object a copy of another, in all it has.
func (x *execution) opCopyFrom(op *msg.Op) error {
	d := wire.NewDecoder(op.In.Bytes())
	name := d.Str()
	var loc object.Locator
	loc.Decode(d)
	snap, version, flags := object.SnapID(op.U64(0)), op.U64(8), op.Args[16]
	truncate := op.Code == msg.OpCopyFrom2 && flags&copyFromTruncateSeq != 0
	var truncSeq uint32
	var truncSize uint64
	if truncate {
		truncSeq, truncSize = d.U32(), d.U64()
	}
	if d.Err() != nil || flags&^copyFromKnown != 0 {
		return errno.EINVAL
	}
	raw, err := x.pg.osdmap.ObjectToPG(loc, name)
	if err != nil {
		return err
	}
	src := object.ID{Pool: raw.Pool, Hash: raw.Seed, Namespace: loc.Namespace, Key: loc.Key, Name: name, Snap: snap}
	if src.Key == src.Name {
		src.Key = ""
	}
	if src == x.obj.id {
		return errno.EINVAL
	}
	c := x.req.fetched[x.current]
	if c == nil {
		x.obj.fetching = &copyOp{req: x.req, op: x.current, src: src, loc: loc, version: version, exact: flags&copyFromMapClone != 0}
		return errFetch
	}
	if c.err != nil {
		return c.err
	}
	return x.becomeCopy(c, truncate, truncSeq, truncSize)
}

func (x *execution) becomeCopy(c *copyData, truncate bool, truncSeq uint32, truncSize uint64) error {
	if x.exists {
		if err := x.removeObject(); err != nil {
			return err
		}
	}
	x.create()
	if c.data.Len() > 0 {
		x.view.write(0, c.data.Retain())
	}
	if uint64(c.data.Len()) < c.size {
		x.view.truncate(c.size)
	}
	x.resize(c.size)
	for k, v := range c.attrs {
		x.setAttr(k, v)
	}
	if len(c.header) > 0 {
		x.setOmapHeader(c.header)
		x.markOmap()
	}
	if len(c.omap) > 0 {
		x.setOmap(c.omap)
		x.markOmap()
	}
	x.info.TruncateSeq, x.info.TruncateSize = c.truncateSeq, c.truncateSize
	if truncate {
		x.info.TruncateSeq, x.info.TruncateSize = truncSeq, truncSize
	}
	x.info.MTime, x.keepMTime = c.mtime, true
	x.userVersion, x.info.UserVersion = c.userVersion, c.userVersion
	x.wrote(c.size)
	return nil
}

// copyOp is a copy under way.
type copyOp struct {
	req     *Request
	op      int // of the request
	src     object.ID
	loc     object.Locator
	version uint64 // that it must have; 0: any
	exact   bool   // src.Snap is the number of a clone
	id      uint64 // of the fetch that was sent
	got     *copyData
	anew    int // times it began again
}

// maxCopyRestarts is how often a source may change under a copy.
const maxCopyRestarts = 16

// fetch asks for the next piece.
func (p *PG) fetch(c *copyOp) {
	p.nextFetch++
	c.id = p.nextFetch
	if p.fetches == nil {
		p.fetches = map[uint64]*objectContext{}
	}
	cursor, version := copyCursor{}, c.version
	if c.got != nil {
		cursor, version = c.got.cursor, c.got.userVersion
	}
	var in wire.Encoder
	cursor.Encode(&in)
	in.U64(p.env.Config.CopyChunk)
	var ops []msg.Op
	if version != 0 {
		a := msg.Op{Code: msg.OpAssertVer}
		a.PutU64(8, version)
		ops = append(ops, a)
	}
	ops = append(ops, msg.Op{Code: msg.OpCopyGet, In: buffer.Wrap(in.Bytes())})
	pool := p.osdmap.Pools[c.src.Pool]
	f := Fetch{PG: p.id, ID: c.id, Target: -1}
	if pool != nil {
		actual := pool.RawToActual(object.PG{Pool: c.src.Pool, Seed: c.src.Hash})
		f.Target = p.osdmap.PGToUpActing(actual).ActingPrimary
		f.Op = &msg.OSDOp{PG: object.SPG{PG: actual, Shard: object.NoShard}, Hash: c.src.Hash, Epoch: p.osdmap.Epoch,
			Flags: msg.FlagRead | msg.FlagAck | msg.FlagOnDisk | msg.FlagKnownRedir, Locator: c.loc, OID: c.src.Name, Ops: ops, SnapID: c.src.Snap}
		if c.exact {
			f.Op.Flags |= msg.FlagMapSnapClone
		}
	}
	p.out().Fetches = append(p.out().Fetches, f)
}

// fetched takes in a piece. It reports whether the copy has ended, well or not.
func (c *copyOp) fetched(in *Fetched) (done bool) {
	fail := func(err error) bool {
		if c.got != nil {
			c.got.data.Release()
		}
		c.got = &copyData{err: err}
		return true
	}
	if in.Err != nil {
		return fail(in.Err)
	}
	r := in.Reply
	defer r.Payload().Release()
	switch r.Result {
	case 0:
	case -int32(errno.ERANGE), -int32(errno.EOVERFLOW):
		// Where the client insists on a version its request has failed; else the
		// source has changed since the first piece.
		if c.got == nil || c.anew >= maxCopyRestarts {
			return fail(errno.Error(r.Result))
		}
		c.got.data.Release()
		c.got = nil
		c.anew++
		return false
	default:
		if r.Result > 0 {
			return fail(errno.EIO)
		}
		return fail(errno.Error(r.Result))
	}
	if len(r.Ops) == 0 {
		return fail(errno.EIO)
	}
	var piece copyData
	if err := piece.decode(r.Ops[len(r.Ops)-1].Out); err != nil {
		return fail(err)
	}
	piece.userVersion = r.UserVersion
	if was := c.got; was != nil {
		piece.data = append(was.data, piece.data...)
		piece.omap = append(was.omap, piece.omap...)
		piece.attrs = was.attrs
		if len(piece.header) == 0 {
			piece.header = was.header
		}
	}
	c.got = &piece
	return piece.cursor.done()
}
