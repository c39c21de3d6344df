package pg

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Intervals. An interval is a run of epochs in which the group has the same
// members. What a client sent before the present one began is dropped: the
// client sees in its map that things have changed and sends it again. So two
// OSDs never both execute it.

// takeMap makes a map the present one.
func (p *PG) takeMap(m *osdmap.Map) {
	p.osdmap = m
	p.pool = m.Pools[p.id.Pool]
	p.mapping = m.PGToUpActing(p.id.PG)
	p.removed = m.RemovedSnapsQueue[p.id.Pool]
	p.forgetPurged()
	p.poolSnaps = object.SnapContext{}
	if p.pool != nil && p.pool.Has(osdmap.PoolFlagPoolSnaps) {
		p.poolSnaps = p.pool.SnapContext()
	}
}

// onMap goes on to the next map.
func (p *PG) onMap(now time.Time, in MapChange) {
	m := in.Map
	if p.broken != nil || p.role == roleGone || p.osdmap != nil && m.Epoch <= p.osdmap.Epoch {
		if p.role == roleGone && len(p.flights) == 0 {
			p.removeMore()
		}
		return
	}
	if p.osdmap == nil && m.Epoch < p.info.Epoch {
		return // known; newer ones follow
	}
	old, oldPool, oldMap := p.mapping, p.pool, p.osdmap
	p.takeMap(m)
	switch {
	case p.pool == nil:
		p.remove(now)
		return
	case oldMap == nil:
		p.first = m.Epoch
		if p.unsettled = true; m.Epoch == p.info.Epoch {
			p.assumePromises(now) // the group was here before, in this interval
			break
		}
		fallthrough
	default:
		p.noteFull(oldMap, oldPool)
		// Between maps that do not follow each other anything may have been.
		gap := oldPool == nil || m.Epoch != oldMap.Epoch+1
		if gap || p.changedInterval(&old, oldPool) {
			p.pastInterval(&old, oldPool, oldMap)
			p.newInterval(&old, oldPool, gap)
		}
	}
	switch {
	case in.Behind:
	case p.unsettled && p.created:
		var txn objstore.Txn
		p.begin(now, &txn)
	case p.unsettled:
		p.settle(now, new(objstore.Txn))
		p.vacate()
	default:
		p.dropBlocklisted(now)
		p.refetch()
		p.checkTrim(now)
		p.checkScrub(now)
		before := p.nextToken
		p.mapInInterval(now)
		if p.created && p.nextToken == before && m.Epoch-p.info.Epoch > rememberEvery {
			txn := new(objstore.Txn)
			p.writeInfo(txn)
			p.submitLocal(txn)
		}
	}
}

// pastInterval remembers the interval that has ended, if something may have been
// acknowledged in it.
func (p *PG) pastInterval(old *osdmap.Mapping, oldPool *osdmap.Pool, oldMap *osdmap.Map) {
	if oldPool == nil {
		return
	}
	was := pglog.Placement{Mapping: *old, Size: oldPool.Size, MinSize: oldPool.MinSize, PGNum: oldPool.PGNum}
	if was.MaybeWentRW(p.interval(), oldMap, &p.info.History) {
		p.past.Add(pglog.Interval{First: p.interval(), Last: p.osdmap.Epoch - 1, Acting: old.Acting, Primary: old.ActingPrimary})
	}
}

// rememberEvery is after how many maps without news the group writes down how
// far it is, so that a restart does not have to go through all of them again.
const rememberEvery = 100

// noteFull notes when writes that were sent before are to be dropped: their
// clients did not know that there is no room.
func (p *PG) noteFull(oldMap *osdmap.Map, oldPool *osdmap.Pool) {
	const full = osdmap.PoolFlagFull | osdmap.PoolFlagFullQuota
	if p.pool.Has(full) && (oldPool == nil || !oldPool.Has(full)) ||
		p.osdmap.HasFlag(osdmap.FlagFull) && (oldMap == nil || !oldMap.HasFlag(osdmap.FlagFull)) {
		p.info.History.LastEpochMarkedFull = p.osdmap.Epoch
	}
}

// changedInterval compares what makes an interval (PastIntervals::is_new_interval).
func (p *PG) changedInterval(old *osdmap.Mapping, oldPool *osdmap.Pool) bool {
	n := &p.mapping
	return n.ActingPrimary != old.ActingPrimary || n.UpPrimary != old.UpPrimary || !slices.Equal(n.Acting, old.Acting) ||
		!slices.Equal(n.Up, old.Up) || p.pool.Size != oldPool.Size || p.pool.MinSize != oldPool.MinSize ||
		p.pool.PGNum != oldPool.PGNum
}

func (p *PG) newInterval(old *osdmap.Mapping, oldPool *osdmap.Pool, gap bool) {
	h, e := &p.info.History, p.osdmap.Epoch
	stays := !gap && old.ActingPrimary == p.env.Whoami && p.mapping.ActingPrimary == p.env.Whoami
	h.SameIntervalSince = e
	if gap || !slices.Equal(p.mapping.Up, old.Up) || p.mapping.UpPrimary != old.UpPrimary {
		h.SameUpSince = e
	}
	if gap || p.mapping.ActingPrimary != old.ActingPrimary {
		h.SamePrimarySince = e
	}
	if oldPool != nil && p.pool.PGNum != oldPool.PGNum {
		h.LastEpochSplit = e
	}
	p.dropWatches()
	p.dropWaiting(stays)
	p.forgetScrubs()
	p.role, p.peering = roleStray, peering{}
	p.untold, p.nextLease = nil, time.Time{}
	p.wantTemp, p.heard, p.refusing = nil, false, false
	p.trim.failed = false
	p.unsettled = true
}

// begin settles what the group is in the present interval and writes its info.
func (p *PG) begin(now time.Time, txn *objstore.Txn) *flight {
	p.settle(now, txn)
	if err := p.removeLeftovers(txn); err != nil && !errors.Is(err, objstore.ErrDamaged) {
		p.fail(fmt.Errorf("pg %v: objects of transfers that were cut short: %w", p.id, err))
	}
	p.writeInfo(txn)
	f := p.submitLocal(txn)
	f.must, p.merged = p.merged, false
	return f
}

// writeInfo adds the group's info to a transaction.
func (p *PG) writeInfo(txn *objstore.Txn) {
	p.info.Epoch = p.osdmap.Epoch
	p.dirty = false
	p.updateComplete()
	txn.OmapSet(p.coll, p.meta, []objstore.KV{
		{Key: infoKey, Value: wire.Marshal(&p.info)}, {Key: pastKey, Value: wire.Marshal(&p.past)},
	})
}

// settle decides what the group is now. What is to be written down is staged.
func (p *PG) settle(now time.Time, txn *objstore.Txn) {
	p.unsettled = false
	switch {
	case p.created && (p.info.SplitTo != 0 || p.pool.PGNum > p.info.Groups):
		p.beginSplit()
	case p.mapping.ActingPrimary != p.env.Whoami:
		p.role = roleStray
		if p.created {
			p.notify(now, false)
		}
	default:
		p.startPeering(now, txn)
	}
	p.takeDeferred()
	p.changed = true
	p.checkTrim(now)
	p.checkScrub(now)
	if p.role == roleStray {
		// A client takes what it was told for good as long as the connection lasts,
		// and this OSD may be the primary again before it notices.
		p.unblock()
	}
	p.announce(now)
}

// vacate ends a group of which nothing is stored here, once it is another OSD's to
// lead: this one had heard that it was the primary, and was deposed before it got
// anything. Nobody else knows of that, so nobody would tell it to go.
func (p *PG) vacate() {
	switch {
	case p.created || p.isPrimary():
	case p.ruined:
		p.shelved = p.damage // it stays in the store
	default:
		p.role = roleGone
	}
}

// State is what the group is, in the words of "pg stat".
func (p *PG) State() msg.PGState {
	var s msg.PGState
	few := p.pool != nil && len(p.mapping.Acting) < int(p.pool.Size)
	if few && p.isPrimary() {
		s |= msg.PGUndersized
	}
	switch p.role {
	case roleSplitting:
		return msg.PGPeering
	case rolePeering, roleActive:
	case roleReplica:
		return msg.PGActive
	default:
		return msg.PGStale
	}
	if !slices.Equal(p.mapping.Acting, p.mapping.Up) {
		s |= msg.PGRemapped
	}
	if p.info.History.EpochCreated == p.info.History.EpochPoolCreated && p.info.History.LastEpochStarted == 0 {
		s |= msg.PGCreating
	}
	switch p.peering.state {
	case stateDown:
		return s | msg.PGDown
	case stateIncomplete:
		return s | msg.PGIncomplete
	case stateActivating:
		return s | msg.PGActivating
	case stateActive:
	default:
		return s | msg.PGPeering
	}
	switch {
	case p.role == roleActive:
		s |= msg.PGActive
		if len(p.lagging) > 0 {
			s |= msg.PGLaggy
		}
	case p.enough():
		s |= msg.PGActive | msg.PGWait
	default:
		s |= msg.PGPeered
	}
	if p.clean() {
		return s | msg.PGClean | p.trimState() | p.scrub.stateOf()
	}
	return s | p.recoveryState() | p.scrub.stateOf()
}

// dropWaiting forgets all requests that wait, and what was to be answered. Of
// clients that see another primary in their maps each is sent again. One that
// stays the primary says so: clients hold back what they have not heard of, and
// send it when it goes on.
func (p *PG) dropWaiting(stays bool) {
	drop := p.drop
	if stays {
		drop = p.backoff
	}
	for _, id := range slices.SortedFunc(maps.Keys(p.objects.byID), object.ID.Compare) {
		o := p.objects.byID[id]
		if o.fetching != nil {
			p.endFetch(o, drop)
		}
		for _, r := range o.waiting {
			drop(r)
		}
		o.waiting = nil
	}
	p.dropHeld(nil, drop)
	held := append(p.lagging, p.inactive...)
	p.lagging, p.inactive = nil, nil
	for _, r := range held {
		drop(r)
	}
	p.dropRecovery(drop)
	p.dropReplies(stays)
	// What is under way to the disk may still be answered if there is no other
	// copy: it will be durable, here, and a client that sends it again gets the
	// answer from the log. In an interval of another primary it must not be said.
	if p.mapping.ActingPrimary != p.env.Whoami {
		for _, f := range p.flights {
			releaseSends(f.held)
			f.held = nil
		}
		p.forgetContexts()
	}
}

// backoff tells a client to hold back requests to this group until it hears
// more, and drops the request: the client will send it again. Another OSD's are
// kept.
func (p *PG) backoff(r *Request) {
	if r.Session.Name.Type == entity.OSD && r.Stage != StageDone {
		r.Stage = StageWaitPG
		p.inactive = append(p.inactive, r)
		return
	}
	p.block(r.Session)
	p.drop(r)
}

// nextBackoff is an id for a backoff. A client tells the backoffs of an OSD apart
// by their ids, whatever groups and loops they are of.
func (e *Env) nextBackoff() uint64 {
	e.backoffs++
	return e.backoffs*uint64(max(e.Shards, 1)) + uint64(e.Shard)
}

// block tells a client to hold back.
func (p *PG) block(s *Session) {
	if !p.env.Config.BackoffOnInactive || s.Name.Type == entity.OSD {
		return
	}
	if p.backoffs == nil {
		p.backoffs = map[*Session]uint64{}
	}
	if _, ok := p.backoffs[s]; !ok {
		id := p.env.nextBackoff()
		p.backoffs[s] = id
		p.sendBackoff(s, msg.BackoffBlock, id)
	}
}

func (p *PG) sendBackoff(to *Session, what uint8, id uint64) {
	begin, end := bounds(p.id.PG, p.pool.PGNum)
	p.out().Sends = append(p.out().Sends, Send{To: to, Body: &msg.OSDBackoff{
		PG: p.id, Epoch: p.osdmap.Epoch, What: what, ID: id, Begin: begin, End: end,
	}})
}

// unblock ends all backoffs.
func (p *PG) unblock() {
	held := slices.SortedFunc(maps.Keys(p.backoffs), func(a, b *Session) int { return cmp.Compare(p.backoffs[a], p.backoffs[b]) })
	for _, s := range held {
		p.sendBackoff(s, msg.BackoffUnblock, p.backoffs[s])
	}
	clear(p.backoffs)
	for _, r := range p.inactive {
		p.env.Requeue(r)
	}
	p.inactive = nil
}

// remove begins to take a group away whose pool is gone.
func (p *PG) remove(now time.Time) {
	p.dropWatches()
	p.dropWaiting(false)
	p.forgetScrubs()
	p.forgetContexts()
	clear(p.backoffs)
	p.giveUpSplit()
	p.role = roleGone
	p.stopTrim(now)
	p.stamps.enter(now, p.Epoch(), p.State())
	p.note(NoteInfo, "is being removed, its pool is gone", nil)
	p.beginRemoval()
}

// removeStray begins to take a copy away that is not needed any more.
func (p *PG) removeStray(now time.Time) {
	p.dropWaiting(false)
	p.forgetContexts()
	p.role = roleGone
	p.stopTrim(now)
	p.note(NoteInfo, "is being removed, others have all of it", nil)
	p.beginRemoval()
}

// removedKey marks a group of which not all may be there any more.
const removedKey = "gone"

// beginRemoval notes first that what is here is not to be believed.
func (p *PG) beginRemoval() {
	p.removal = object.MinID
	p.peering, p.untold = peering{}, nil
	for _, m := range p.deferred {
		m.Release()
	}
	p.deferred = nil
	if p.created {
		txn := new(objstore.Txn)
		txn.OmapSet(p.coll, p.meta, []objstore.KV{{Key: removedKey}})
		p.submitLocal(txn)
	}
}

// removeMore removes a few more objects, and at last the collection. The next
// step comes when this one is durable, so that a large pool that is deleted
// leaves room for others.
func (p *PG) removeMore() {
	if !p.created {
		return
	}
	ids, next, err := p.env.Store.List(p.coll, p.removal, p.env.Config.RemoveBatch)
	txn := new(objstore.Txn)
	if errors.Is(err, objstore.ErrDamaged) {
		txn.DropColl(p.coll)
		p.created = false
		p.submitLocal(txn)
		return
	}
	if err != nil {
		p.fail(err)
		return
	}
	for _, id := range ids {
		if id != p.meta {
			txn.Remove(p.coll, id)
		}
	}
	p.removal = next
	if next.Max {
		txn.Remove(p.coll, p.meta)
		txn.RemoveColl(p.coll)
		p.created = false
	}
	p.submitLocal(txn)
}
