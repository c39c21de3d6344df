package pg

import (
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

// The ends that a run can have. Whatever a request that may write came to, the
// log gets an entry, even if nothing was changed: what its client was told must
// be what it is told again.

// reply makes the answer to a request that was executed. Its operations have
// their results and output in them.
func (p *PG) reply(r *Request, result int32) *msg.OSDOpReply {
	const onNVRAM = 2
	r.OutBytes = 0
	for i := range r.Op.Ops {
		r.OutBytes += r.Op.Ops[i].Out.Len()
	}
	return &msg.OSDOpReply{OID: r.Op.OID, PG: p.id.PG, Result: result, Epoch: p.osdmap.Epoch, Ops: r.Op.Ops, Retry: r.Op.Retry,
		Flags: uint64(r.Op.Flags&^onNVRAM | msg.FlagAck | msg.FlagOnDisk)}
}

// result is that of a vector: of its failure, else of its last operation.
func result(ops []msg.Op, err error) int32 {
	if err != nil {
		return errno.Code(err)
	}
	for i := range ops {
		if r := ops[i].Result; r < 0 && ops[i].Flags&msg.OpFlagFailOK == 0 {
			return r
		}
	}
	if n := len(ops); n > 0 && ops[n-1].Result > 0 {
		return ops[n-1].Result
	}
	return 0
}

// answerRead answers a request that left nothing behind.
func (p *PG) answerRead(r *Request, x *execution, err error) {
	o := x.obj
	reply := p.reply(r, result(r.Op.Ops, err))
	switch {
	case reply.Result >= 0:
		p.info.Stats.Reads += x.stats.Reads
		p.info.Stats.ReadKB += x.stats.ReadKB
		p.changed = true
		setVersions(reply, object.Version{}, o.info.UserVersion)
	case reply.Result == -int32(errno.ENOENT):
		p.setMissing(reply)
	}
	p.answer(r, reply, o.pending)
	if reply.Result >= 0 && !x.effects.empty() {
		p.takeEffect(x.now, outstanding{object: o, session: r.Session, effects: x.effects})
	}
}

// setMissing gives a floor to the version that the object will have when it
// comes to be.
func (p *PG) setMissing(reply *msg.OSDOpReply) {
	reply.UserVersion, reply.BadReplay = p.info.LastUserVersion, p.info.LastUpdate
}

// next is the version of the next entry of the log.
func (p *PG) next() object.Version {
	return object.Version{Epoch: p.osdmap.Epoch, Version: p.info.LastUpdate.Version + 1}
}

// commitResult logs what a request that may write got without changing anything.
func (p *PG) commitResult(now time.Time, r *Request, x *execution, err error) {
	o, at := x.obj, p.next()
	reply := p.reply(r, result(r.Op.Ops, err))
	setVersions(reply, at, o.info.UserVersion)
	if reply.Result == -int32(errno.ENOENT) {
		p.setMissing(reply)
	}
	u := undo{info: p.info, logged: 1}
	t := &Entry{Kind: EntryError, Object: o.id, Version: at, ReqID: r.id, MTime: r.Op.MTime, Result: reply.Result,
		UserVersion: reply.UserVersion, Returns: returns(r)}
	txn := &objstore.Txn{Ops: make([]objstore.Op, 0, 2)}
	var e wire.Encoder
	p.logEntry(txn, t, &e, 0)
	r.Stage = StageCommitting
	p.releaseEarly(r)
	f := p.submit(txn, r, reply, at, u)
	if err == nil {
		p.leaveEffects(r, x, f)
	}
}

// returns is what the log keeps of each operation, for requests that want it.
func returns(r *Request) []OpReturn {
	if r.Op.Flags&msg.FlagReturnVec == 0 {
		return nil
	}
	list := make([]OpReturn, len(r.Op.Ops))
	for i := range r.Op.Ops {
		op := &r.Op.Ops[i]
		list[i] = OpReturn{Result: op.Result, Out: append([]byte(nil), op.Out.Bytes()...)}
	}
	return list
}

// commitChange makes what a run staged come true.
func (p *PG) commitChange(now time.Time, r *Request, x *execution) {
	o, ops := x.obj, r.Op.Ops
	code := int32(0)
	if r.Op.Flags&msg.FlagReturnVec != 0 {
		for i := range ops {
			if ops[i].Out.Len() > p.env.Config.MaxWriteReply {
				releaseOut(&ops[i])
				ops[i].Result = -int32(errno.EOVERFLOW)
				x.abandon()
				p.answerRead(r, x, errno.EOVERFLOW)
				return
			}
		}
		code = result(ops, nil)
	} else {
		// What a write returns would be lost if the reply was, so nobody may
		// count on it.
		for i := range ops {
			releaseOut(&ops[i])
		}
	}
	u := undo{info: p.info, object: remember(o)}
	ss, own, changedSnaps := x.nextSnaps()
	x.stats.Bytes += own
	txn := &objstore.Txn{Ops: x.txn.Ops}
	if x.clones() {
		txn = &objstore.Txn{Ops: make([]objstore.Op, 0, 8+len(x.txn.Ops))}
		clone, err := p.stageClone(txn, x, &ss)
		if err != nil {
			x.abandon()
			p.unreadable(r, err)
			return
		}
		u.more, u.logged = []objectUndo{clone}, 1
		txn.Append(&x.txn)
	}
	x.txn.Ops = nil

	at := p.next()
	user := x.userVersion
	if x.userModify {
		user = max(p.info.LastUserVersion, x.info.UserVersion) + 1
		user = max(user, at.Version)
	}
	t := &Entry{Kind: EntryModify, Object: o.id, Version: at, Prior: o.info.Version, UserVersion: user, ReqID: r.id,
		MTime: r.Op.MTime, Result: code, Returns: returns(r)}
	e := wire.NewEncoder(make([]byte, 0, 512))
	if !x.exists && len(ss.Clones) > 0 {
		x.leaveWhiteout(txn)
	}
	if x.stored() {
		x.info.Prior, x.info.Version, x.info.UserVersion, x.info.LastReqID = o.info.Version, at, user, r.id
		if !r.Op.MTime.IsZero() && !x.keepMTime {
			x.info.MTime = r.Op.MTime
		}
		x.info.LocalMTime = now
		x.info.Encode(e)
		n := e.Len()
		txn.SetAttr(p.coll, o.id, attrInfo, e.Bytes()[:n:n])
		if !ss.empty() && (changedSnaps || x.replaced) {
			txn.SetAttr(p.coll, o.id, attrSnaps, wire.Marshal(&ss))
		}
	} else {
		t.Kind = EntryDelete
		x.info, ss = ObjectInfo{}, SnapSet{}
	}
	p.addStats(o.id, &x.stats)
	p.indexWatched(txn, o.id, len(o.info.Watchers) > 0, len(x.info.Watchers) > 0)
	p.logEntry(txn, t, e, e.Len())
	u.logged++

	reply := p.reply(r, code)
	setVersions(reply, at, user)
	o.exists, o.info, o.snaps = x.exists, x.info, ss
	r.Stage = StageCommitting
	p.releaseEarly(r)
	f := p.submit(txn, r, reply, at, u)
	o.pending = f.token
	for i := range u.more {
		u.more[i].object.pending = f.token
	}
	p.leaveEffects(r, x, f)
}

// releaseEarly gives the request's buffers back if it does not wait for other
// members. What does counts as the client's until they have it.
func (p *PG) releaseEarly(r *Request) {
	if len(p.peering.peers) == 0 {
		p.release(r)
	}
}

// logEntry appends an entry to the log, in memory and in the transaction, and
// trims what has become too old. The entry is encoded behind the first skip
// bytes of e.
func (p *PG) logEntry(txn *objstore.Txn, t *Entry, e *wire.Encoder, skip int) {
	cfg := p.env.Config
	p.info.LastUpdate = t.Version
	p.info.LastUserVersion = max(p.info.LastUserVersion, t.UserVersion)
	p.log.Append(t)
	p.logged(t)
	p.changed = true
	p.scrubSees(t.Object)
	if n := len(p.log.Entries) - p.log.Above(p.info.LogTail) - cfg.LogEntries; n >= cfg.LogTrim || n > 0 && cfg.LogTrim <= 1 {
		p.trimLog(txn, cfg)
	}
	t.Encode(e, &p.info)
	txn.OmapSet(p.coll, p.meta, []objstore.KV{{Key: pglog.Key(t.Version), Value: e.Bytes()[skip:]}})
}

// trimmable is the number of entries, from the oldest on, that all members have.
func (p *PG) trimmable(cfg *Config) int {
	n := p.log.Above(p.committed)
	if p.isPrimary() && len(p.log.Entries) < logTooLong*cfg.LogEntries {
		for _, m := range p.missingSets() {
			if need, ok := m.Oldest(); ok {
				n = min(n, max(0, p.log.Above(need)-1))
			}
		}
	}
	return n
}

// logTooLong times as long as it should be a log is trimmed even if objects are
// missing.
const logTooLong = 10

// trimLog moves the tail up. What is below keeps its request ids only, and
// below those everything goes. The tail stays below what some member does not have
// yet: if it fell behind, it would have to be filled anew.
func (p *PG) trimLog(txn *objstore.Txn, cfg *Config) {
	tail, drop := p.log.Trimmed(cfg.LogEntries, cfg.DupsTracked)
	if n := p.trimmable(cfg); n == 0 {
		return
	} else if most := p.log.Entries[n-1].Version; most.Compare(tail) < 0 {
		tail, drop = most, max(0, n-cfg.DupsTracked)
	}
	if tail.Compare(p.info.LogTail) > 0 {
		was := p.log.Above(p.info.LogTail)
		p.info.LogTail = tail
		for _, t := range p.log.Entries[was:p.log.Above(tail)] {
			t.Object = object.ID{}
		}
	}
	if drop > 0 {
		p.log.Drop(drop)
		txn.OmapRmRange(p.coll, p.meta, logPrefix, pglog.Key(p.log.Entries[0].Version))
	}
}
