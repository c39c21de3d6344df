package pg

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

// The other side of peering: a copy whose OSD is not the primary tells what it
// has, becomes what the primary says, and then does what the primary does.

// Release gives the message's buffers back; more than once is once.
func (m *FromPeer) Release() {
	if m.Message != nil {
		m.Message.Release()
		m.Message = nil
	}
}

// fromPeer takes in a message of another OSD. One of another interval means
// nothing any more: its sender will see that in its map.
func (p *PG) fromPeer(now time.Time, m *FromPeer) {
	defer m.Release()
	b := m.Body
	switch {
	case p.broken != nil || p.osdmap == nil:
		return
	case p.role == roleGone:
		return
	case p.role == roleSplitting:
		// What is here is told when it is whole.
		p.deferPeer(m)
		return
	case b.Interval != p.interval():
		return
	}
	if err := p.peerMessage(now, m); err != nil {
		p.note(NoteCluster, fmt.Sprintf("%v of osd.%d", PeerKind(b.Kind), b.From), err)
	}
}

// peerMessage does what a message of this interval wants.
func (p *PG) peerMessage(now time.Time, m *FromPeer) error {
	b := m.Body
	fromPrimary := b.From == p.mapping.ActingPrimary && !p.isPrimary()
	p.heard = p.heard || fromPrimary
	switch kind := PeerKind(b.Kind); kind {
	case PeerQuery:
		var q queryBody
		if err := decodePeer(b.Front, &q); err != nil {
			return err
		}
		if fromPrimary {
			p.onQuery(now, &q)
		}
	case PeerNotify:
		var n notifyBody
		if err := decodePeer(b.Front, &n); err != nil {
			return err
		}
		if p.isPrimary() {
			p.onNotify(now, b.From, &n)
		}
	case PeerLog:
		var l logBody
		if err := decodePeer(b.Front, &l); err != nil {
			return err
		}
		switch {
		case l.Activate && fromPrimary:
			p.onActivate(now, &l)
		case !l.Activate && p.isPrimary():
			p.onLog(now, b.From, &l)
		}
	case PeerInfo:
		var i infoBody
		if err := decodePeer(b.Front, &i); err != nil {
			return err
		}
		switch {
		case i.Activated && p.isPrimary():
			p.onActivated(now, b.From)
		case !i.Activated && fromPrimary:
			p.onInfo(&i)
		}
	case PeerRemove:
		if fromPrimary && p.role == roleStray {
			p.removeStray(now)
		}
	case PeerOp:
		if fromPrimary && p.role == roleReplica {
			return p.onOp(b)
		}
	case PeerOpReply:
		var r opReplyBody
		if err := decodePeer(b.Front, &r); err != nil {
			return err
		}
		if p.isPrimary() {
			p.onOpReply(now, b.From, &r)
		}
	case PeerLease, PeerLeaseAck:
		var l leaseBody
		if err := decodePeer(b.Front, &l); err != nil {
			return err
		}
		switch {
		case kind == PeerLease && fromPrimary && p.role == roleReplica:
			p.onLease(now, b.From, &l)
		case kind == PeerLeaseAck && p.isPrimary():
			p.onLeaseAck(now, b.From, &l)
		}
	case PeerDamaged:
		if p.isPrimary() {
			p.onDamaged(now, b.From)
		}
	case PeerPush, PeerPushReply, PeerPull, PeerPlace, PeerScan, PeerInterval, PeerDrop, PeerDropped, PeerFill:
		return p.recoveryMessage(now, m)
	case PeerScrubReserve, PeerScrubGrant, PeerScrubReject, PeerScrubRelease, PeerScrubAsk, PeerScrubMap, PeerScrubDone, PeerScrubDamaged:
		return p.scrubMessage(now, m)
	default:
		return errno.EOPNOTSUPP
	}
	return nil
}

// deferPeer keeps a message until the group has been split.
func (p *PG) deferPeer(m *FromPeer) {
	b := *m.Body
	b.Front = append([]byte(nil), b.Front...)
	b.Data = b.Data.Retain()
	p.deferred = append(p.deferred, &FromPeer{Body: &b, Message: ownData{b.Data}})
}

// ownData releases the data of a message that was kept.
type ownData struct{ data interface{ Release() } }

func (o ownData) Release() { o.data.Release() }

// takeDeferred returns a message that was kept, once the group can take it.
func (p *PG) takeDeferred() {
	if p.role == roleSplitting {
		return
	}
	p.env.againPeer = append(p.env.againPeer, p.deferred...)
	p.deferred = nil
}

// notify tells the primary what is here.
func (p *PG) notify(now time.Time, answer bool) {
	if to := p.mapping.ActingPrimary; to >= 0 && to != p.env.Whoami {
		p.updateComplete()
		b := &notifyBody{Info: p.info, Past: p.past, Promises: p.promisesLeft(now), Answer: answer, Damage: p.damageOf()}
		if p.ruined {
			b.Info = worthless(p.id)
		}
		p.tellDurable(to, PeerNotify, b)
	}
}

// notifyAgain reminds a primary that has not been heard of in this interval.
func (p *PG) notifyAgain(now time.Time) {
	if p.role == roleStray && p.created && !p.heard {
		p.notify(now, false)
	}
}

// DoesNotExist answers a message for a group of which there is nothing here.
func (e *Env) DoesNotExist(q *FromPeer, epoch uint32) {
	b := q.Body
	if PeerKind(b.Kind) != PeerQuery {
		return
	}
	none := &notifyBody{Info: Info{PG: b.PG, LastBackfill: object.MaxID}, Answer: true}
	e.out().Peers = append(e.out().Peers, PeerSend{b.From, &msg.PGPeer{PG: b.PG, From: e.Whoami, Epoch: epoch, Interval: b.Interval,
		Kind: uint16(PeerNotify), Front: wire.Marshal(none)}})
}

// onQuery answers a question of the primary.
func (p *PG) onQuery(now time.Time, q *queryBody) {
	if q.What == queryInfo {
		p.notify(now, true)
		return
	}
	p.updateComplete()
	p.tellDurable(p.mapping.ActingPrimary, PeerLog, &logBody{What: q.What, Info: p.info, Part: p.log.Since(q.Since, &p.info), Missing: p.missing})
}

// onActivate makes the copy what the primary says, and lets it take part.
func (p *PG) onActivate(now time.Time, b *logBody) {
	if b.Info.PG != p.id {
		return
	}
	txn := new(objstore.Txn)
	i := &p.info
	anew := !b.Info.LastBackfill.Max && b.Info.LastBackfill.IsMin()
	if anew && p.damage != nil {
		p.created, p.ruined = false, true
	}
	p.makeColl(txn)
	if !anew {
		if err := p.merge(txn, b.Part); err != nil {
			txn.Release()
			p.note(NoteCluster, "activation", err)
			return
		}
	} else {
		p.missing.Clear()
		p.log = pglog.Log{}
		p.forgetAbove(object.Version{})
		for _, prefix := range []string{logPrefix, snapPrefix, watchPrefix} {
			txn.OmapRmRange(p.coll, p.meta, prefix, prefix+"\xff")
		}
		for _, t := range b.Part.Entries {
			p.log.Append(t)
		}
		i.LogTail, i.LastUpdate, i.LastBackfill = b.Info.LogTail, b.Part.Head, object.MinID
		p.writeEntries(txn, b.Part.Entries)
		p.writeMissing(txn)
		p.forgetContexts()
		p.merged = true
	}
	i.Stats, i.LastUserVersion, i.Purged = b.Info.Stats, b.Info.LastUserVersion, b.Info.Purged
	i.StartedAs(&b.Info)
	p.takeHistory(&b.Info.History)
	p.role = roleReplica
	to := p.mapping.ActingPrimary
	p.promise(to, p.upFrom(to), now.Add(min(b.Lease, maxLease)))
	p.updateComplete()
	p.writeInfo(txn)
	f := p.submitLocal(txn)
	f.must, p.merged = p.merged, false
	p.tellDurable(p.mapping.ActingPrimary, PeerInfo, &infoBody{Info: *i, Activated: true})
	if p.damage != nil {
		p.tellDurable(p.mapping.ActingPrimary, PeerDamaged, nil) // it may have been met before
	}
	p.announce(now)
}

// makeColl begins the collection of a group of which nothing was here.
func (p *PG) makeColl(txn *objstore.Txn) {
	if !p.created {
		if p.ruined {
			p.note(NoteCluster, fmt.Sprintf("osd.%d drops its damaged copy and begins anew", p.env.Whoami), p.damage)
			txn.DropColl(p.coll)
			p.ruined, p.damage, p.renewed = false, nil, true
		}
		txn.CreateColl(p.coll)
		txn.Touch(p.coll, p.meta)
		p.writeScrub(txn)
		p.created = true
		p.info.LastBackfill, p.info.Groups = object.MaxID, p.pool.PGNum
	}
}

// takeHistory takes in what the primary knows of the group's past.
func (p *PG) takeHistory(h *History) {
	if p.info.History.Merge(h) {
		p.dirty = true
	}
	if p.info.History.LastEpochClean >= p.interval() {
		p.past = pglog.PastIntervals{}
	}
}

// onInfo takes in figures and history.
func (p *PG) onInfo(b *infoBody) { p.takeHistory(&b.Info.History) }

// submitLocal submits a transaction of this copy alone.
func (p *PG) submitLocal(txn *objstore.Txn) *flight {
	return p.submit(txn, nil, nil, object.Version{}, undo{})
}

// dropObjects adds the removal of objects that the copy must not have any more,
// with what the group's own object says of them.
func (p *PG) dropObjects(txn *objstore.Txn, ids []object.ID) {
	if len(ids) == 0 {
		return
	}
	clones := map[object.ID]bool{}
	var watched []string
	for _, o := range ids {
		txn.Remove(p.coll, o)
		if o.IsHead() {
			watched = append(watched, watchedKey(o))
		} else {
			clones[o] = true
		}
	}
	txn.OmapRm(p.coll, p.meta, watched)
	if len(clones) == 0 {
		return
	}
	var keys []string
	err := p.env.Store.OmapScan(p.coll, p.meta, snapPrefix, func(key string, _ []byte) bool {
		raw, ok := strings.CutPrefix(key, snapPrefix)
		var id object.ID
		if ok && len(raw) > 8 && wire.Unmarshal([]byte(raw[8:]), &id) == nil && clones[id] {
			keys = append(keys, key)
		}
		return ok
	})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) && !errors.Is(err, objstore.ErrDamaged) {
		p.fail(fmt.Errorf("pg %v: index of snapshots: %w", p.id, err))
		return
	}
	txn.OmapRm(p.coll, p.meta, keys)
}

// What is missing is kept in the omap of the group's own object, a key for each.
const missingPrefix = "m"

func missingKey(o object.ID) string { return missingPrefix + string(wire.Marshal(o)) }

// writeMissing adds what has changed of what is missing to a transaction.
func (p *PG) writeMissing(txn *objstore.Txn) {
	var set []objstore.KV
	var rm []string
	for _, o := range p.missing.Touched() {
		if i, ok := p.missing.Get(o); ok {
			set = append(set, objstore.KV{Key: missingKey(o), Value: wire.Marshal(i)})
		} else {
			rm = append(rm, missingKey(o))
		}
	}
	if len(set) > 0 {
		txn.OmapSet(p.coll, p.meta, set)
	}
	if len(rm) > 0 {
		txn.OmapRm(p.coll, p.meta, rm)
	}
}

// loadMissing reads it.
func (p *PG) loadMissing() error {
	var bad error
	err := p.env.Store.OmapScan(p.coll, p.meta, missingPrefix, func(key string, value []byte) bool {
		raw, ok := strings.CutPrefix(key, missingPrefix)
		if !ok {
			return false
		}
		var o object.ID
		var i pglog.Item
		if bad = errors.Join(wire.Unmarshal([]byte(raw), &o), wire.Unmarshal(value, &i)); bad != nil {
			return false
		}
		p.missing.Add(o, i.Need, i.Have)
		return true
	})
	p.missing.Track()
	return errors.Join(err, bad)
}

// updateComplete works out up to where everything is here.
func (p *PG) updateComplete() {
	i := &p.info
	i.LastComplete = i.LastUpdate
	if need, ok := p.missing.Oldest(); ok {
		i.LastComplete = i.LogTail
		if n := p.log.Above(need); n > 1 && p.log.Entries[n-2].Version.Compare(i.LogTail) > 0 {
			i.LastComplete = p.log.Entries[n-2].Version
		}
	}
}
