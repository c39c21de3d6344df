package pg

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/extent"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/wire"
)

// Objects on their way. The primary asks for the pieces of what it pulls, one
// after the other, and sends those of what it pushes; the next goes out when the
// one before is durable at the other side. The side that only answers keeps
// nothing in mind but what has arrived.
//
// What is pulled may be served by a copy that is no member, and by one that is
// still behind: what counts is that it has the version.

// move is an object on its way, from or to another OSD.
type move struct {
	id      object.ID
	version object.Version
	osd     int32
	pull    bool
	src     *recovery.Source // of a push
	unit    *unit            // of a push for a backfill
	there   []object.SnapID  // of a pull: what is here
	prior   bool             // of a pull: an older version than is missing, to revert to
	alone   bool             // other versions are left out of it, since they were not as was thought
	held    int64            // of Config.RecoveryBytes
	ended   bool
}

// moveKey is by what a move is found: of the pulls of an object there is but one.
type moveKey struct {
	id  object.ID
	osd int32 // -1: a pull
}

func (m *move) key() moveKey {
	if m.pull {
		return moveKey{m.id, -1}
	}
	return moveKey{m.id, m.osd}
}

// recover begins to pull or to push an object of which some member lacks the
// version that the log names. It reports false if there is no room for more.
func (p *PG) recover(now time.Time, o object.ID) bool {
	moves := p.recovery.moves
	if item, ok := p.missing.Get(o); ok {
		if moves[moveKey{o, -1}] != nil {
			return true
		}
		from := p.sources(o, item.Need)
		if len(from) == 0 {
			return true
		}
		m := &move{id: o, version: item.Need, osd: from[0], pull: true, alone: p.recovery.whole[o]}
		if !p.beginMove(now, m) {
			return false
		}
		p.pull(m, recovery.Cursor{})
		return true
	}
	if p.coming(o.Head()) {
		return true // what other versions have in common with it is not known yet
	}
	for _, osd := range sortedOSDs(p.peering.peers) {
		q := p.peering.peers[osd]
		item, lacks := q.missing.Get(o)
		if !q.member || !lacks || moves[moveKey{o, osd}] != nil {
			continue
		}
		m := &move{id: o, version: item.Need, osd: osd}
		if !p.beginMove(now, m) {
			return false
		}
		p.push(now, m, func(s object.SnapID) bool {
			id := o.Head().At(s)
			return !q.missing.Has(id) && id.Compare(q.info.LastBackfill) <= 0 && !p.recovery.whole[o]
		})
	}
	return true
}

// coming reports whether a version of the object is missing here and will
// come.
func (p *PG) coming(head object.ID) bool {
	if !p.absent(head) {
		return false
	}
	for o := range p.missing.All() {
		if o.Head() == head && !p.lost(o) {
			return true
		}
	}
	return false
}

// beginMove takes memory for a move; false if there is none.
func (p *PG) beginMove(now time.Time, m *move) bool {
	cfg := p.env.Config
	m.held = int64(cfg.RecoveryChunk)
	if p.env.moving > 0 && p.env.moving+m.held > int64(cfg.RecoveryBytes) {
		p.recoverBy(now.Add(moveRetry))
		return false
	}
	p.env.moving += m.held
	if p.recovery.moves == nil {
		p.recovery.moves = map[moveKey]*move{}
	}
	p.recovery.moves[m.key()] = m
	return true
}

// moveRetry is when to look again whether other groups have left memory.
const moveRetry = 20 * time.Millisecond

// endMove forgets a move that is done or given up.
func (p *PG) endMove(m *move) {
	if !m.ended {
		m.ended = true
		delete(p.recovery.moves, m.key())
		p.env.moving -= m.held
	}
}

// pull asks for the next piece of an object.
func (p *PG) pull(m *move, at recovery.Cursor) {
	if !at.Begun && !m.alone {
		m.there = p.versionsHere(m.id.Head())
	}
	q := &recovery.Pull{Object: m.id, Version: m.version, At: at, Max: uint32(p.env.Config.RecoveryChunk), There: m.there}
	p.tellDurable(m.osd, PeerPull, q)
}

// versionsHere are the versions of an object that are here as they should be.
func (p *PG) versionsHere(head object.ID) (list []object.SnapID) {
	const batch = 128
	for from := head.At(0); ; {
		ids, next, err := p.env.Store.List(p.coll, from, batch)
		if err != nil {
			return nil // then all of it has to travel
		}
		for _, id := range ids {
			if id.Head() != head {
				return list
			}
			if !p.missing.Has(id) {
				list = append(list, id.Snap)
			}
		}
		if next.Max {
			return list
		}
		from = next
	}
}

// source is what there is to send of an object, for one who has some versions of
// it.
func (p *PG) source(o object.ID, v object.Version, there func(object.SnapID) bool) (*recovery.Source, error) {
	info, err := p.storedInfo(o)
	switch {
	case err != nil:
		return nil, err
	case info.Version != v || !p.sound(o, v):
		return nil, fmt.Errorf("%v is here at %v, wanted at %v: %w", o, info.Version, v, errno.ENOENT)
	}
	s := &recovery.Source{Store: p.env.Store, Coll: p.coll, Object: o, Version: v, Size: info.Size, Bytes: extent.Of(0, info.Size)}
	head := o.Head()
	if p.missing.Has(head) {
		return s, nil
	}
	hi, err := p.storedInfo(head)
	if errors.Is(err, objstore.ErrNotFound) {
		return s, nil
	}
	ss, err2 := p.loadSnaps(head)
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	for i, link := range lineage(&ss, hi.Size) {
		if link.Snap == o.Snap && link.Size == info.Size {
			s.Bytes, s.Borrows = lineage(&ss, hi.Size).Plan(i, there, p.env.Config.CloneOverlapLimit)
		}
	}
	return s, nil
}

// sound reports whether the version of an object that the store has can be given
// to others: it is what the log says, or an older one that it is known to be.
func (p *PG) sound(o object.ID, v object.Version) bool {
	item, lacks := p.missing.Get(o)
	return !lacks || item.Have == v
}

// lineage is what a head knows of all versions.
func lineage(ss *SnapSet, headSize uint64) (l recovery.Lineage) {
	for _, c := range ss.Clones {
		l = append(l, recovery.Link{Snap: c.ID, Size: c.Size, Overlap: c.Overlap})
	}
	return append(l, recovery.Link{Snap: object.NoSnap, Size: headSize})
}

// onPull sends a piece of an object.
func (p *PG) onPull(from int32, q *recovery.Pull) error {
	has := map[object.SnapID]bool{}
	for _, s := range q.There {
		has[s] = true
	}
	src, err := p.source(q.Object, q.Version, func(s object.SnapID) bool { return has[s] })
	if err == nil {
		_, err = p.sendPiece(from, src, q.At, int(q.Max))
	}
	if err != nil {
		p.refusePush(from, q.Object, q.Version, err)
	}
	return err
}

// refusePush says why an object does not come, or was not taken.
func (p *PG) refusePush(to int32, o object.ID, v object.Version, why error) {
	code := errno.EIO
	for _, e := range []errno.Errno{errno.EINVAL, errno.ENOENT, errno.ENOSPC} {
		if errors.Is(why, e) {
			code = e
		}
	}
	p.tell(to, PeerPushReply, &recovery.PushReply{Object: o, Version: v, Errno: code})
}

// sendPiece reads a piece and sends it.
func (p *PG) sendPiece(to int32, src *recovery.Source, at recovery.Cursor, max int) (*recovery.Push, error) {
	push, err := src.Next(at, min(max, p.env.Config.RecoveryChunk))
	if err != nil {
		p.env.ReadErrors++
		return nil, err
	}
	p.moved(push)
	m := p.compose(PeerPush, push)
	m.Data = push.Data
	p.out().Peers = append(p.out().Peers, PeerSend{to, m})
	return push, nil
}

// pushPiece sends a piece of a push. If the first is the only one, whatever the
// receiver says of it, then what it does not take others may have.
func (p *PG) pushPiece(m *move, at recovery.Cursor) error {
	push, err := p.sendPiece(m.osd, m.src, at, p.env.Config.RecoveryChunk)
	if err == nil && !at.Begun && push.Next.Done && len(push.Borrows) == 0 {
		takes := min(m.held, int64(len(push.Omap)*omapCost+push.Data.Len()+pieceCost))
		for _, kv := range push.Omap {
			takes = min(m.held, takes+int64(len(kv.Key)+len(kv.Value)))
		}
		p.env.moving -= m.held - takes
		m.held = takes
	}
	return err
}

// What a piece takes beside its bytes, about.
const (
	pieceCost = 16 << 10
	omapCost  = 64 // an entry
)

// moved counts what has travelled.
func (p *PG) moved(push *recovery.Push) {
	if p.isPrimary() {
		p.recovery.done.BytesRecovered += int64(push.Data.Len())
		p.recovery.done.KeysRecovered += int64(len(push.Omap))
	}
}

// push sends the first piece of an object. there tells which versions of it the
// receiver has.
func (p *PG) push(now time.Time, m *move, there func(object.SnapID) bool) {
	src, err := p.source(m.id, m.version, there)
	if err == nil {
		m.src = src
		err = p.pushPiece(m, recovery.Cursor{})
	}
	if err != nil {
		p.unreadableHere(now, m, err)
	}
}

// unreadableHere takes an object that cannot be read for one that is missing, so
// that it is pulled from a copy that is sound.
func (p *PG) unreadableHere(now time.Time, m *move, err error) {
	p.note(NoteCluster, fmt.Sprintf("reading %v to copy it", m.id), err)
	p.endMove(m)
	if !p.missing.Has(m.id) {
		p.missing.Add(m.id, m.version, object.Version{})
		p.forgetContext(m.id)
		p.dirty, p.changed = true, true
		p.recoverBy(now)
	}
}

// onPush takes in a piece.
func (p *PG) onPush(now time.Time, from int32, push *recovery.Push) error {
	o, pulls := push.Object, p.isPrimary()
	m := p.recovery.moves[moveKey{o, -1}]
	switch {
	case pulls && (m == nil || m.osd != from || m.version != push.Version):
		return nil // given up meanwhile
	case !pulls && (from != p.mapping.ActingPrimary || p.role != roleReplica):
		return nil
	}
	txn := new(objstore.Txn)
	done, err := p.takePush(txn, push)
	if err != nil {
		txn.Release()
		p.pushRefused(now, m, from, push, err)
		return err
	}
	was, lacked := p.missing.Get(o)
	if done {
		if pulls && m.prior {
			p.missing.Add(o, was.Need, push.Version)
		} else {
			p.missing.Remove(o)
		}
		p.writeMissing(txn)
		p.forgetContext(o)
	}
	switch {
	case !pulls:
		p.tellDurable(from, PeerPushReply, &recovery.PushReply{Object: o, Version: push.Version, Next: push.Next})
	case !done:
		p.pull(m, push.Next)
	}
	f := p.submitLocal(txn)
	f.refused = func(now time.Time, why error) {
		delete(p.incoming, o)
		if done && lacked {
			p.missing.Add(o, was.Need, was.Have)
		}
		if errors.Is(why, objstore.ErrIO) {
			p.env.ReadErrors++
			p.note(NoteCluster, fmt.Sprintf("what %v has in common with other versions cannot be read", o), why)
			why = fmt.Errorf("%w: %w", errno.EINVAL, why) // so that all of it comes
		}
		p.pushRefused(now, m, from, push, why)
	}
	if pulls && done {
		// The store shows it from the next event on.
		f.then = func(now time.Time) { p.pulled(now, m) }
	}
	return nil
}

// takePush adds to a transaction what a piece does, and reports whether the object
// is whole with it.
func (p *PG) takePush(txn *objstore.Txn, push *recovery.Push) (done bool, err error) {
	if err := p.lacks(push); err != nil {
		return false, err
	}
	if err := p.borrowable(push); err != nil {
		return false, err
	}
	in := p.incoming[push.Object]
	if in == nil {
		in = &recovery.Incoming{}
	}
	attr := p.pushedAttrs(push)
	next := *in
	if done, err = next.Apply(p.coll, push, txn); err != nil {
		return false, err
	}
	if done {
		if err := p.indexPushed(txn, push.Object, attr); err != nil {
			return false, err
		}
		delete(p.incoming, push.Object)
		return true, nil
	}
	if p.incoming == nil {
		p.incoming = map[object.ID]*recovery.Incoming{}
	}
	p.incoming[push.Object] = &next
	return false, nil
}

// pushedAttrs finds an attribute of an object that has come: in the first piece if
// that is all, else with what has gathered.
func (p *PG) pushedAttrs(push *recovery.Push) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if push.At.Begun {
			return p.env.Store.Attr(p.coll, recovery.Temp(push.Object), name)
		}
		for _, kv := range push.Attrs {
			if kv.Key == name {
				return kv.Value, nil
			}
		}
		return nil, objstore.ErrNoAttr
	}
}

// indexPushed adds what the group's own object has to say of an object that has
// come. The index says of clones what their head says, whoever sent them: one who
// lacks the head does not know what its clones serve.
func (p *PG) indexPushed(txn *objstore.Txn, o object.ID, attr func(string) ([]byte, error)) error {
	// Of what it takes the place of; that may be gone, or what is to be healed. What
	// stays in the index for that a scrub removes.
	was, _ := p.loadSnaps(o.Head())
	if !o.IsHead() {
		if c := was.find(o.Snap); c != nil {
			p.indexSnaps(txn, o, c.Snaps)
		}
		return nil
	}
	for _, c := range was.Clones {
		p.unindexSnaps(txn, o.At(c.ID), c.Snaps)
	}
	var info ObjectInfo
	raw, err := attr(attrInfo)
	if err == nil {
		err = wire.Unmarshal(raw, &info)
	}
	if err != nil {
		return fmt.Errorf("info of %v: %w: %w", o, err, errno.EIO)
	}
	p.indexWatched(txn, o, true, len(info.Watchers) > 0)
	raw, err = attr(attrSnaps)
	if errors.Is(err, objstore.ErrNoAttr) {
		return nil
	}
	var ss SnapSet
	if err == nil {
		err = wire.Unmarshal(raw, &ss)
	}
	if err != nil {
		return fmt.Errorf("snapshots of %v: %w: %w", o, err, errno.EIO)
	}
	for _, c := range ss.Clones {
		p.indexSnaps(txn, o.At(c.ID), c.Snaps)
	}
	return nil
}

// lacks reports why a piece is not of an object that is wanted here.
func (p *PG) lacks(push *recovery.Push) error {
	item, ok := p.missing.Get(push.Object)
	switch {
	case ok && (item.Need == push.Version || p.priorWanted(push)):
	case !ok && push.Object.Compare(p.info.LastBackfill) > 0:
	default:
		return fmt.Errorf("%v at %v is not missing: %w", push.Object, push.Version, errno.EINVAL)
	}
	return nil
}

// priorWanted reports whether a piece is of a version to revert to.
func (p *PG) priorWanted(push *recovery.Push) bool {
	m := p.recovery.moves[moveKey{push.Object, -1}]
	return m != nil && m.prior && m.version == push.Version
}

// borrowable reports if what a piece wants to take from here is not here.
func (p *PG) borrowable(push *recovery.Push) error {
	for _, b := range push.Borrows {
		id := push.Object.At(b.From)
		st, err := p.env.Store.Stat(p.coll, id)
		if err != nil || st.Size < b.Bytes[len(b.Bytes)-1].End || p.missing.Has(id) {
			return fmt.Errorf("%v has bytes of %v, which has %d: %w", push.Object, id, st.Size, errno.EINVAL)
		}
	}
	return nil
}

// pushRefused goes on after a piece that was not taken here.
func (p *PG) pushRefused(now time.Time, m *move, from int32, push *recovery.Push, why error) {
	push.Release()
	switch {
	case !p.isPrimary():
		p.refusePush(from, push.Object, push.Version, why)
	case m != nil:
		p.pullFailed(now, m, why)
	}
}

// pullFailed tries again: without what other versions have in common with the
// object, then from elsewhere.
func (p *PG) pullFailed(now time.Time, m *move, why error) {
	if m.ended {
		return
	}
	switch {
	case errors.Is(why, errno.EINVAL) && !m.alone:
		m.alone, m.there = true, nil
		p.pull(m, recovery.Cursor{})
		return
	case errors.Is(why, errno.ENOSPC):
		p.tooFullToRecover(now)
		return
	}
	p.note(NoteCluster, fmt.Sprintf("%v from osd.%d", m.id, m.osd), why)
	p.endMove(m)
	r := &p.recovery
	if r.failed == nil {
		r.failed = map[object.ID]map[int32]bool{}
	}
	if r.failed[m.id] == nil {
		r.failed[m.id] = map[int32]bool{}
	}
	r.failed[m.id][m.osd] = true
	p.changed = true
	p.revertMore(now)
	p.recoverMore(now)
	p.announce(now)
}

// pulled goes on when an object that was missing is here.
func (p *PG) pulled(now time.Time, m *move) {
	if m.ended {
		return
	}
	p.endMove(m)
	if m.prior {
		p.revertMore(now)
		return
	}
	p.recovery.done.ObjectsRecovered++
	delete(p.recovery.failed, m.id)
	if p.role == roleActive && m.id.IsHead() && !p.absent(m.id) {
		p.loadWatch(now, m.id)
	}
	p.objectMoved(now, m.id)
}

// onPushReply notes how far a push is, or that a pull does not come.
func (p *PG) onPushReply(now time.Time, from int32, b *recovery.PushReply) {
	if m := p.recovery.moves[moveKey{b.Object, -1}]; m != nil && m.osd == from && m.version == b.Version && b.Errno != 0 {
		p.pullFailed(now, m, b.Errno)
		return
	}
	m := p.recovery.moves[moveKey{b.Object, from}]
	if m == nil || m.version != b.Version {
		return
	}
	var err error
	switch {
	case b.Errno == 0 && b.Next.Done:
		p.pushed(now, m)
		return
	case b.Errno == 0:
		err = p.pushPiece(m, b.Next)
	case b.Errno == errno.EINVAL && !m.alone:
		m.alone = true
		m.src.Bytes, m.src.Borrows = extent.Of(0, m.src.Size), nil
		err = p.pushPiece(m, recovery.Cursor{})
	case b.Errno == errno.ENOSPC:
		p.tooFullToRecover(now)
		return
	default:
		p.note(NoteCluster, fmt.Sprintf("osd.%d did not take %v", from, b.Object), b.Errno)
		p.endMove(m)
		p.recoverBy(now.Add(p.env.Config.RecoveryRetry))
	}
	if err != nil {
		p.unreadableHere(now, m, err)
	}
}

// pushed notes that a member has an object.
func (p *PG) pushed(now time.Time, m *move) {
	p.endMove(m)
	p.recovery.done.ObjectsRecovered++
	q := p.peering.peers[m.osd]
	if item, ok := q.missing.Get(m.id); ok && item.Need == m.version {
		q.missing.Remove(m.id)
	}
	if m.unit != nil {
		p.unitPushed(now, m.unit, m.osd, m.id)
		return
	}
	p.objectMoved(now, m.id)
}

// checkMoves gives up what was to come from an OSD that is down.
func (p *PG) checkMoves() {
	for _, m := range p.recovery.moves {
		if m.pull && !p.osdmap.IsUp(m.osd) {
			p.endMove(m)
		}
	}
}

// recoveryMessage takes in what another copy says of objects.
func (p *PG) recoveryMessage(now time.Time, m *FromPeer) (err error) {
	b := m.Body
	fromPrimary := b.From == p.mapping.ActingPrimary && !p.isPrimary()
	decode := func(v wire.Unmarshaler) bool {
		err = decodePeer(b.Front, v)
		return err == nil
	}
	switch PeerKind(b.Kind) {
	case PeerPull:
		var q recovery.Pull
		if decode(&q) && fromPrimary {
			return p.onPull(b.From, &q)
		}
	case PeerPush:
		var q recovery.Push
		if decode(&q) {
			if err = q.SetData(b.Data); err == nil {
				return p.onPush(now, b.From, &q)
			}
		}
	case PeerPushReply:
		var q recovery.PushReply
		if decode(&q) && p.isPrimary() {
			p.onPushReply(now, b.From, &q)
		}
	case PeerPlace:
		var q placeBody
		if decode(&q) {
			p.onPlaceBody(now, b.From, &q)
		}
	case PeerScan:
		var q recovery.ScanRequest
		if decode(&q) && fromPrimary {
			return p.onScan(b.From, &q)
		}
	case PeerInterval:
		var q recovery.Interval
		if decode(&q) && p.isPrimary() {
			return p.onInterval(now, b.From, q)
		}
	case PeerDrop:
		var q recovery.Remove
		if decode(&q) && fromPrimary {
			return p.onDrop(b.From, &q)
		}
	case PeerDropped:
		var q recovery.Remove
		if decode(&q) && p.isPrimary() {
			p.onDropped(now, b.From, q.Head)
		}
	case PeerFill:
		var q fillBody
		if decode(&q) {
			return p.onFill(now, b.From, &q)
		}
	}
	return err
}

// forgetContext forgets an object that is not what it was.
func (p *PG) forgetContext(id object.ID) {
	if c := p.objects.byID[id]; c != nil && c.lru != nil {
		p.objects.order.Remove(c.lru)
		delete(p.objects.byID, id)
	}
}

// removeLeftovers adds the removal of what transfers have left behind that were
// cut short.
func (p *PG) removeLeftovers(txn *objstore.Txn) error {
	ids, err := recovery.Leftovers(p.env.Store, p.coll, p.id.Pool, leftoversMax)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	for _, id := range ids {
		txn.Remove(p.coll, id)
	}
	return err
}

// leftoversMax is far above what can be under way at a time.
const leftoversMax = 4096
