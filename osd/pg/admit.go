package pg

import (
	"errors"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osdmap"
)

var emptyRef buffer.Ref

// EOLDSNAPC is what a client gets whose snapshot context is too old.
const eOldSnapc errno.Errno = 85

// nature is what the operations of a request do, taken together (OpInfo).
type nature struct {
	read, write           bool // of the object
	classRead, classWrite bool // by class methods
	pg                    bool // of the group
	ordered               bool // comes after the writes before it, though it does not write
	calls                 []caps.ClassCall
}

func (n *nature) mayWrite() bool { return n.write || n.classWrite }

func (p *PG) nature(ops []msg.Op) (n nature, err error) {
	for i := range ops {
		op := &ops[i]
		if op.Code.IsPG() {
			n.pg = true
		}
		switch {
		case op.Code == msg.OpWatch && isPing(op):
			n.ordered = true // what it would say is in doubt until the watch is connected again
		case op.Code.IsWrite():
			n.write = true
		}
		switch {
		case op.Code == msg.OpCall:
			class, method, _, err := splitCall(op)
			if err != nil {
				return n, err
			}
			m, err := p.findMethod(class, method)
			if err != nil {
				return n, err
			}
			c := caps.ClassCall{Class: class, Method: method, Read: m.Flags&objclass.Read != 0,
				Write: m.Flags&objclass.Write != 0, Allowed: p.env.Config.DefaultClasses[class]}
			n.classRead = n.classRead || c.Read
			n.classWrite = n.classWrite || c.Write
			n.calls = append(n.calls, c)
		case op.Code.IsRead(), op.Code == msg.OpWatch:
			n.read = true
		}
	}
	if !n.read && !n.write && !n.classRead && !n.classWrite {
		return n, errno.EINVAL
	}
	return n, nil
}

// allowed asks the client's capabilities.
func (p *PG) allowed(r *Request, n *nature) bool {
	c := r.Session.Caps
	if c == nil || c.AllowAll() {
		return true
	}
	return c.Allows(&caps.OSDRequest{
		Pool: p.osdmap.PoolNames[p.id.Pool], Namespace: r.Op.Locator.Namespace, PoolApps: p.pool.Applications,
		Object: r.Op.OID, Read: n.read, Write: n.write, Classes: n.calls,
	}, r.Session.Addr.AP.Addr())
}

// identify names the request, for when it comes again.
func identify(r *Request) {
	r.id = r.Op.ReqID
	if r.id.Name == (entity.Name{}) && r.id.TID == 0 {
		r.id = object.ReqID{Name: r.Session.Name, TID: r.TID, Inc: int32(r.Op.ClientInc)}
	}
}

// ID is the request's identity, once a group has seen it.
func (r *Request) ID() object.ReqID { return r.id }

// discard reports whether a request is to be dropped without a word: its sender
// will send it again when its map tells it why.
func (p *PG) discard(r *Request) bool {
	op := r.Op
	switch {
	case p.broken != nil, p.role == roleStray, p.role == roleReplica, p.role == roleGone:
		return true
	case op.PG != p.id || op.Locator.Pool != p.id.Pool:
		return true
	case p.pool.RawToActual(object.PG{Pool: p.id.Pool, Seed: op.Hash}) != p.id.PG:
		return true
	case op.Epoch < p.info.History.SamePrimarySince:
		return true
	case op.Epoch < p.pool.LastForceOpResend, op.Epoch < p.info.History.LastEpochSplit:
		return true
	case op.Epoch < p.interval() && len(op.Ops) == 1 && op.Ops[0].Code == msg.OpWatch && isPing(&op.Ops[0]):
		// The answer, that it has to connect again, may reach it before the map that
		// tells it so by itself, which has been sent; then it would give the watch up.
		return true
	}
	return false
}

func (p *PG) request(now time.Time, r *Request) {
	identify(r)
	if p.discard(r) {
		p.drop(r)
		return
	}
	if p.role != roleActive {
		p.backoff(r)
		return
	}
	if p.laggy(now) {
		r.Stage = StageWaitReadable
		p.lagging = append(p.lagging, r)
		p.announce(now)
		return
	}
	n, err := p.nature(r.Op.Ops)
	if err != nil {
		p.refuse(r, err)
		return
	}
	if !p.allowed(r, &n) {
		p.note(NoteWarn, "refused "+r.Op.String()+" of "+r.Session.Name.String()+": capabilities", errno.EPERM)
		p.refuse(r, errno.EPERM)
		return
	}
	if n.pg {
		if o, missing := p.anyMissing(); missing {
			p.waitFor(now, o, r) // a listing needs all of them
			return
		}
		p.groupRequest(now, r)
		return
	}
	if err := p.checkNames(r.Op); err != nil {
		p.refuse(r, err)
		return
	}
	if p.osdmap.Blocklisted(r.Session.Addr, now) {
		p.note(NoteWarn, "refused "+r.Op.String()+" of "+r.Session.Addr.String()+": blocklisted", errno.EBLOCKLISTED)
		p.refuse(r, errno.EBLOCKLISTED)
		return
	}
	if p.pool.Has(osdmap.PoolFlagEIO) {
		p.refuse(r, errno.EIO)
		return
	}
	r.InBytes = 0
	for i := range r.Op.Ops {
		r.InBytes += r.Op.Ops[i].In.Len()
	}
	writes := n.mayWrite()
	ordered := writes || n.ordered || r.Op.Flags&msg.FlagRWOrdered != 0
	if (writes || r.Op.Flags&msg.FlagRWOrdered != 0) && p.tooFull(r) {
		p.drop(r)
		return
	}
	if writes {
		if err := p.checkWrite(r); err != nil {
			p.refuse(r, err)
			return
		}
	}
	// Also before a request is answered that was done before: what it did must be
	// on all members.
	if head := r.Op.Object().Head(); p.absent(head) || ordered && p.degraded(head) {
		p.waitFor(now, head, r)
		return
	}
	if t := p.log.Find(r.id); writes && t != nil {
		p.again(r, t)
		return
	}
	if err := checkSnapDir(r.Op); err != nil {
		p.refuse(r, err)
		return
	}
	if (writes || n.ordered) && p.holdForScrub(r, r.Op.Object()) {
		return
	}
	p.shrinkContexts()
	o, err := p.object(r.Op.Object().Head())
	if err != nil {
		p.unreadable(r, err)
		return
	}
	// Another OSD that copies from here is not kept waiting: it may be what we
	// wait for ourselves.
	if o.fetching != nil && r.Session.Name.Type != entity.OSD {
		r.Stage = StageWaitObject
		o.waiting = append(o.waiting, r)
		return
	}
	if snap := r.Op.SnapID; snap != object.NoSnap && snap != object.SnapDir {
		c, err := p.at(o, snap, r.Op.Flags&msg.FlagMapSnapClone != 0)
		switch {
		case errors.Is(err, errno.ENOENT):
			p.answer(r, p.errorReply(r, errno.Code(err)), o.pending)
			return
		case err != nil:
			p.unreadable(r, err)
			return
		}
		o = c
	}
	p.execute(now, r, o, &n)
}

// unreadable answers a request whose object the store does not give.
func (p *PG) unreadable(r *Request, err error) {
	p.note(NoteCluster, "reading the object of "+r.Op.String(), err)
	p.refuse(r, err)
}

// checkNames are the limits of names.
func (p *PG) checkNames(op *msg.OSDOp) error {
	cfg := p.env.Config
	switch {
	case op.OID == "":
		return errno.EINVAL
	case len(op.OID) > cfg.MaxNameLen, len(op.Locator.Key) > cfg.MaxNameLen, len(op.Locator.Namespace) > cfg.MaxNamespaceLen:
		return errno.ENAMETOOLONG
	}
	return nil
}

// checkWrite is what a request that writes must be like.
func (p *PG) checkWrite(r *Request) error {
	op := r.Op
	switch {
	case op.SnapID != object.NoSnap:
		return errno.EINVAL
	case r.InBytes > p.env.Config.MaxWriteSize:
		return errno.EMSGSIZE
	case !p.poolsContext(r) && !op.SnapContext.Valid():
		return errno.EINVAL
	}
	return nil
}

// checkSnapDir: list-snaps goes to the directory of all clones, and nothing else
// does.
func checkSnapDir(op *msg.OSDOp) error {
	for i := range op.Ops {
		if (op.Ops[i].Code == msg.OpListSnaps) != (op.SnapID == object.SnapDir) {
			return errno.EINVAL
		}
	}
	return nil
}

// tooFull reports whether a write is to be dropped since its client should have
// known that there is no room, or there is next to none on this OSD.
func (p *PG) tooFull(r *Request) bool {
	if r.Op.Flags&(msg.FlagFullTry|msg.FlagFullForce) != 0 || onlyDeletes(r.Op.Ops) {
		return false
	}
	return p.env.Full || r.Session.Name.Type != entity.MDS && r.Op.Epoch < p.info.History.LastEpochMarkedFull
}

func onlyDeletes(ops []msg.Op) bool {
	for i := range ops {
		if ops[i].Code != msg.OpDelete {
			return false
		}
	}
	return true
}

// full reports what stands against a transaction that needs room.
func (p *PG) full(r *Request) (err error, drop bool) {
	if !p.pool.Has(osdmap.PoolFlagFull|osdmap.PoolFlagFullQuota) && !p.osdmap.HasFlag(osdmap.FlagFull) {
		return nil, false
	}
	switch {
	case r.Session.Name.Type == entity.MDS, r.Op.Flags&msg.FlagFullForce != 0:
		return nil, false
	case r.Op.Flags&msg.FlagFullTry == 0:
		return nil, true
	case p.pool.Has(osdmap.PoolFlagFullQuota):
		return errno.EDQUOT, false
	}
	return errno.ENOSPC, false
}

// drop forgets a request without a word.
func (p *PG) drop(r *Request) { p.finish(r) }

// refuse answers a request that was not executed (reply_op_error).
func (p *PG) refuse(r *Request, err error) {
	reply := p.errorReply(r, errno.Code(err))
	p.answer(r, reply, 0)
}

// errorReply makes a reply without output, with the flags as they came.
func (p *PG) errorReply(r *Request, result int32) *msg.OSDOpReply {
	ops := r.Op.Ops
	for i := range ops {
		releaseOut(&ops[i])
		ops[i].Result = 0
	}
	return &msg.OSDOpReply{OID: r.Op.OID, PG: p.id.PG, Flags: uint64(r.Op.Flags), Result: result, Epoch: p.osdmap.Epoch,
		Ops: ops, Retry: r.Op.Retry}
}

// setVersions fills in what happened when, with the third version that clients
// of long ago look at.
func setVersions(reply *msg.OSDOpReply, v object.Version, user uint64) {
	reply.ReplayVersion, reply.UserVersion, reply.BadReplay = v, user, v
	if user != 0 {
		reply.BadReplay.Version = user
	}
}

// again answers a request that was executed before with what it got then.
func (p *PG) again(r *Request, t *Entry) {
	reply := p.errorReply(r, t.Result)
	setVersions(reply, t.Version, t.UserVersion)
	for i := range t.Returns {
		if i < len(reply.Ops) {
			reply.Ops[i].Result = t.Returns[i].Result
			out(&reply.Ops[i], t.Returns[i].Out)
		}
	}
	after := uint64(0)
	for _, f := range p.flights {
		if f.version == t.Version {
			after = f.token
		}
	}
	p.answer(r, reply, after)
}

// execute runs a request on its object and commits or answers it.
func (p *PG) execute(now time.Time, r *Request, o *objectContext, n *nature) {
	writes := n.mayWrite()
	if !writes && !o.exists && (r.Op.SnapID != object.SnapDir || !o.whiteout()) {
		p.answer(r, p.errorReply(r, -int32(errno.ENOENT)), o.pending)
		return
	}
	r.Reads, r.Writes, r.Executed = n.read || n.classRead, writes, now
	x := &p.env.exec
	x.begin(p, r, o, now, writes)
	if writes && r.Op.Flags&msg.FlagOrderSnap != 0 && x.snapc.Seq < o.snaps.Seq {
		p.refuse(r, eOldSnapc)
		return
	}
	err := x.run(r.Op.Ops)
	if err == errFetch {
		x.abandon()
		r.Stage = StageFetching
		p.fetch(o.fetching)
		p.fetches[o.fetching.id] = o
		return
	}
	p.dropFetched(r)
	if err == nil && x.modify && (x.stats.Bytes > 0 || x.stats.Objects > 0) {
		full, drop := p.full(r)
		if drop {
			x.abandon()
			p.drop(r)
			return
		}
		if full != nil {
			// Not for the log: the same request may fit when it comes again.
			x.abandon()
			p.answerRead(r, x, full)
			return
		}
	}
	if errors.Is(err, objstore.ErrIO) {
		p.env.ReadErrors++
		p.note(NoteCluster, "medium error in "+r.Op.String(), err)
		if p.healRead(now, r, o) {
			x.abandon()
			return
		}
	}
	switch {
	case !writes:
		x.abandon()
		p.answerRead(r, x, err)
	case err != nil || !x.modify:
		x.abandon()
		p.commitResult(now, r, x, err)
	default:
		p.commitChange(now, r, x)
	}
}
