package pg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Primary-copy replication (ReplicatedBackend). A transaction that has an entry
// of the log goes to all members: its steps are encoded once, its data goes by
// reference. A replica submits it as it is, and says when it is durable; it does
// not decide anything. The primary answers its client when all members have said
// so. Messages to a member keep their order, so one number says how far it is.
//
// A member that is being filled and has not come to the object yet gets the steps
// on the group's own object only: the log entry, and the indices, which name
// objects that it will be given.
//
// A replica whose store has no room for a transaction cannot leave it out. It
// says so and takes no further ones in the interval; the primary asks for members
// without it. What it has is a true past of the group, and it can be filled from
// there when it has room and is up anew.
//
// # Push back
//
// The buffers of a request are given back when all members have its transaction,
// so what a client may have under way bounds what is queued to a slow member.

// members are the OSDs that get transactions, in order.
func (p *PG) members() (list []int32) {
	if p.peering.state < stateActivating {
		return nil
	}
	for _, o := range sortedOSDs(p.peering.peers) {
		if p.peering.peers[o].member {
			list = append(list, o)
		}
	}
	return list
}

// replicate adds to a write what the members are sent. It reports whether there
// are any.
func (p *PG) replicate(w *Write, prior object.Version) bool {
	members := p.members()
	if len(members) == 0 {
		return false
	}
	body := opBody{Token: w.Token, Prior: prior, Txn: wire.Marshal(w.Txn)}
	whole := wire.Marshal(&body)
	data := w.Txn.Data()
	for _, o := range members {
		m := p.compose(PeerOp, nil)
		if p.takesAll(o, w.Txn) {
			m.Front, m.Data = whole, data.Retain()
		} else {
			part := p.taken(o, w.Txn)
			body.Txn = wire.Marshal(part)
			m.Front, m.Data = wire.Marshal(&body), part.Data().Retain()
		}
		w.Peers = append(w.Peers, PeerSend{o, m})
	}
	return true
}

// takes reports whether a member has an object, or the one being filled has come
// to it. One that lacks the object is sent the newest version some time.
func (p *PG) takes(osd int32, o object.ID) bool {
	if p.peering.peers[osd].missing.Has(o) {
		return false
	}
	if q := p.peering.peers[osd]; !q.info.Incomplete() || o == p.meta || o.Head().Compare(q.info.LastBackfill) <= 0 {
		return true
	}
	return p.recovery.fill != nil && p.recovery.fill.Sends(osd, o)
}

// takesAll reports whether it takes all steps of a transaction.
func (p *PG) takesAll(osd int32, txn *objstore.Txn) bool {
	for i := range txn.Ops {
		if !p.takes(osd, txn.Ops[i].OID) {
			return false
		}
	}
	return true
}

// taken are the steps that it takes. A step is on one object, or on versions of
// one.
func (p *PG) taken(osd int32, txn *objstore.Txn) *objstore.Txn {
	part := new(objstore.Txn)
	for _, op := range txn.Ops {
		if p.takes(osd, op.OID) {
			part.Ops = append(part.Ops, op)
		}
	}
	return part
}

// onOp does a transaction of the primary's.
func (p *PG) onOp(m *msg.PGPeer) error {
	var b opBody
	if err := decodePeer(m.Front, &b); err != nil {
		return err
	}
	if p.refusing {
		return nil
	}
	if b.Prior != p.info.LastUpdate {
		p.refuseOps(b.Token, errno.EIO)
		return fmt.Errorf("transaction after %v, the log here ends at %v: %w", b.Prior, p.info.LastUpdate, errno.EIO)
	}
	txn := new(objstore.Txn)
	err := wire.Unmarshal(b.Txn, txn)
	if err == nil {
		err = txn.SetData(m.Data)
	}
	if err == nil {
		err = p.checkOwn(txn)
	}
	u := undo{info: p.info}
	if err == nil {
		err = p.takeEntries(txn, &u)
	}
	if err != nil {
		p.undoEntries(&u)
		txn.Release()
		p.refuseOps(b.Token, errno.EIO)
		return err
	}
	p.writeMissing(txn)
	f := p.submitAck(txn, b.Token, u)
	f.version = p.info.LastUpdate
	return nil
}

// checkOwn reports a transaction that is not on this group alone.
func (p *PG) checkOwn(txn *objstore.Txn) error {
	for i := range txn.Ops {
		op := &txn.Ops[i]
		if op.Coll != p.coll || op.Code == objstore.OpCreateColl || op.Code == objstore.OpRemoveColl || op.Code == objstore.OpDropColl ||
			op.Code == objstore.OpRename && op.DestColl != p.coll {
			return fmt.Errorf("step %v of %v: %w", op.Code, op.Coll, errno.EINVAL)
		}
	}
	return nil
}

// takeEntries takes the entries of the log that a transaction adds into memory,
// and drops those that it removes.
func (p *PG) takeEntries(txn *objstore.Txn, u *undo) error {
	drop := object.Version{}
	for i := range txn.Ops {
		op := &txn.Ops[i]
		if op.OID != p.meta {
			continue
		}
		switch op.Code {
		case objstore.OpOmapSet:
			for _, kv := range op.KVs {
				if !strings.HasPrefix(kv.Key, logPrefix) {
					continue
				}
				t, after := new(Entry), p.info
				if err := wire.Unmarshal(kv.Value, entryAndInfo{t, &after}); err != nil {
					return err
				}
				if pglog.Key(t.Version) != kv.Key || t.Version.Compare(p.info.LastUpdate) <= 0 {
					return fmt.Errorf("log entry %v after %v: %w", t.Version, p.info.LastUpdate, errno.EINVAL)
				}
				p.log.Append(t)
				u.logged++
				if item, ok := p.missing.Get(t.Object); ok {
					u.missing = append(u.missing, Unfound{t.Object, item.Need, item.Have})
					p.missing.Next(t)
				}
				tail := p.info.LogTail
				p.info.LastUpdate, p.info.LastUserVersion, p.info.Stats = t.Version, after.LastUserVersion, after.Stats
				if after.LogTail.Compare(tail) > 0 {
					p.log.SetTail(tail, after.LogTail)
					p.info.LogTail = after.LogTail
				}
			}
		case objstore.OpOmapRmRange:
			if op.Key == logPrefix {
				drop = pglog.Version(op.End)
			}
		}
	}
	if !drop.IsZero() {
		n := 0
		for n < len(p.log.Entries)-u.logged && p.log.Entries[n].Version.Compare(drop) < 0 {
			n++
		}
		p.log.Drop(n)
	}
	return nil
}

// undoEntries takes entries of the log back, and what they changed of what is
// missing.
func (p *PG) undoEntries(u *undo) {
	p.info = u.info
	p.log.Undo(u.logged)
	for _, m := range slices.Backward(u.missing) {
		p.missing.Add(m.ID, m.Need, m.Have)
	}
}

// submitAck submits a transaction of the primary's. That it is durable is said
// straight from the store.
func (p *PG) submitAck(txn *objstore.Txn, token uint64, u undo) *flight {
	p.nextToken++
	f := &flight{token: p.nextToken, undo: u, theirs: token}
	p.flights = append(p.flights, f)
	ack := PeerSend{p.mapping.ActingPrimary, p.compose(PeerOpReply, &opReplyBody{Token: token})}
	p.out().Writes = append(p.out().Writes, Write{PG: p.id, Token: f.token, Txn: txn, Acks: []PeerSend{ack}})
	return f
}

// refuseOps ends taking part in the interval.
func (p *PG) refuseOps(token uint64, why errno.Errno) {
	p.refusing = true
	p.tell(p.mapping.ActingPrimary, PeerOpReply, &opReplyBody{Token: token, Result: -int32(why)})
}

// onOpReply notes how far a member is.
func (p *PG) onOpReply(now time.Time, from int32, r *opReplyBody) {
	q := p.peering.peers[from]
	if q == nil || !q.member {
		return
	}
	if r.Result != 0 {
		p.note(NoteCluster, fmt.Sprintf("osd.%d cannot keep up with the group", from), errno.Error(r.Result))
		p.expel(now, from)
		return
	}
	if r.Token > q.acked && r.Token <= p.nextToken {
		q.acked = r.Token
		p.settleFlights(now)
	}
}

// expel asks for members without one that refuses. Until the map has them,
// nothing that it has not got is acknowledged.
func (p *PG) expel(now time.Time, osd int32) {
	if p.refusers == nil {
		p.refusers = map[int32]refusal{}
	}
	p.refusers[osd] = refusal{p.upFrom(osd), now.Add(refusalTime)}
	var want []int32
	for _, o := range p.mapping.Acting {
		if o != osd {
			want = append(want, o)
		}
	}
	p.requestActing(want)
}

// refusal is of an OSD, which is told by when it came up: one that has started anew
// can be asked at once.
type refusal struct {
	upFrom uint32
	until  time.Time
}

// refusalTime is for how long a group does without a member that has refused. The map
// knows by then whether it is full.
const refusalTime = 15 * time.Second

// refuses reports whether an OSD is not to act.
func (p *PG) refuses(osd int32) bool {
	r, ok := p.refusers[osd]
	return ok && r.upFrom == p.upFrom(osd)
}

// readmit reports whether all of a list can be asked to act. Until then the group goes
// on without those that have refused: to ask for them earlier would change its
// members in turns, for ever, and clients would wait each time.
func (p *PG) readmit(now time.Time, list []int32) bool {
	for _, o := range list {
		if !p.refuses(o) {
			continue
		}
		r := p.refusers[o]
		if !now.Before(r.until) && p.osdmap.Exists(o) && p.osdmap.State[o]&(osdmap.StateFull|osdmap.StateBackfillFull) != 0 {
			r.until = now.Add(refusalTime)
			p.refusers[o] = r
		}
		if now.Before(r.until) {
			p.recoverBy(r.until)
			return false
		}
	}
	for _, o := range list {
		delete(p.refusers, o)
	}
	return true
}

// settled reports whether all members have a transaction.
func (p *PG) settled(f *flight) bool {
	if f.token > p.stored {
		return false
	}
	for _, q := range f.peers {
		if q.acked < f.token {
			return false
		}
	}
	return true
}

// settleFlights ends the transactions that all members have, in order.
func (p *PG) settleFlights(now time.Time) {
	before := len(p.flights)
	for len(p.flights) > 0 && p.settled(p.flights[0]) {
		f := p.flights[0]
		p.flights[0] = nil
		p.flights = p.flights[1:]
		p.durable = f.token
		if !f.version.IsZero() {
			p.committed = f.version
		}
		p.out().Sends = append(p.out().Sends, f.replies...)
		p.out().Sends = append(p.out().Sends, f.held...)
		for _, r := range f.waiting {
			p.finish(r)
		}
		if f.req != nil {
			p.finish(f.req)
		}
	}
	if before == len(p.flights) {
		return
	}
	if p.peering.state == stateActivating && p.stored == p.nextToken {
		p.activated(now)
		p.announce(now)
	}
	p.trimmed(now)
	if len(p.flights) > 0 {
		return
	}
	switch p.role {
	case roleGone:
		p.removeMore()
	case roleSplitting:
		p.splitMore(now)
	}
}

// dropReplies forgets what is to be answered when members have it that are none
// any more. The log knows the requests; who sends one again is answered when the
// members of now have it.
func (p *PG) dropReplies(stays bool) {
	for _, f := range p.flights {
		if len(f.peers) == 0 {
			continue
		}
		f.peers = nil
		releaseSends(f.replies)
		releaseSends(f.held)
		if stays {
			for _, s := range slices.Concat(f.replies, f.held) {
				p.block(s.To)
			}
		}
		f.replies, f.held = nil, nil
	}
}

func releaseSends(list []Send) {
	for i := range list {
		list[i].Body.Payload().Release()
	}
}

// onRefused is what a replica does whose store has no room.
func (p *PG) onRefused(f *flight, err error) {
	code, what := errno.EIO, "cannot read what a transaction of the primary's changes"
	if errors.Is(err, objstore.ErrNoSpace) {
		code, what = errno.ENOSPC, "no space for a transaction of the primary's"
	}
	p.note(NoteCluster, what, err)
	p.refuseOps(f.theirs, code)
}
