package pg

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
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
	case oldMap == nil && m.Epoch == p.info.Epoch:
		p.unsettled = true // the group was here before, in this interval
	default:
		p.noteFull(oldMap, oldPool)
		// Between maps that do not follow each other anything may have been.
		gap := oldPool == nil || m.Epoch != oldMap.Epoch+1
		if gap || p.changedInterval(&old, oldPool) {
			p.newInterval(&old, oldPool, gap)
		}
	}
	switch {
	case in.Behind:
	case p.unsettled && p.created:
		var txn objstore.Txn
		p.begin(now, &txn)
	case p.unsettled:
		p.settle(now)
	default:
		p.dropBlocklisted(now)
		p.refetch()
		p.checkTrim(now)
		p.checkScrub(now)
		if p.created && m.Epoch-p.info.Epoch > rememberEvery {
			txn := new(objstore.Txn)
			p.writeInfo(txn)
			p.submit(txn, nil, nil, object.Version{}, undo{})
		}
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
	p.dropWaiting()
	p.forgetScrubs()
	p.role = roleStray
	p.trim.failed = false
	p.unsettled = true
}

// begin settles what the group is in the present interval and writes its info.
func (p *PG) begin(now time.Time, txn *objstore.Txn) *flight {
	p.settle(now)
	p.writeInfo(txn)
	return p.submit(txn, nil, nil, object.Version{}, undo{})
}

// writeInfo adds the group's info to a transaction.
func (p *PG) writeInfo(txn *objstore.Txn) {
	p.info.Epoch = p.osdmap.Epoch
	txn.OmapSet(p.coll, p.meta, []objstore.KV{{Key: infoKey, Value: wire.Marshal(&p.info)}})
}

// settle decides what the group is to its clients now.
func (p *PG) settle(now time.Time) {
	was := p.State()
	p.unsettled = false
	h := &p.info.History
	me := p.env.Whoami
	switch {
	case p.created && (p.info.SplitTo != 0 || p.pool.PGNum > p.info.Groups):
		p.beginSplit()
	case p.mapping.ActingPrimary != me:
		p.role = roleStray
	case !p.created:
		p.role = roleDown
	case len(p.mapping.Acting) != 1 || p.pool.MinSize > 1:
		// More than one replica, or fewer than there must be.
		p.role = rolePeering
	default:
		p.role = roleActive
		h.LastEpochStarted = p.osdmap.Epoch
		h.LastIntervalStarted = h.SameIntervalSince
		if p.pool.Size == 1 {
			h.LastEpochClean = p.osdmap.Epoch
			h.LastIntervalClean = h.SameIntervalSince
		}
	}
	p.stamps.enter(now, p.State())
	p.changed = true
	p.checkTrim(now)
	p.checkScrub(now)
	switch p.role {
	case roleActive:
		p.loadWatches(now)
		p.unblock()
	case roleStray:
		clear(p.backoffs)
	}
	if was != p.State() {
		p.note(NoteInfo, "is "+p.State().String(), nil)
	}
}

// State is what the group is, in the words of "pg stat".
func (p *PG) State() msg.PGState {
	var s msg.PGState
	switch p.role {
	case roleDown:
		return msg.PGDown
	case roleSplitting:
		return msg.PGPeering
	case rolePeering:
		s = msg.PGPeering
		if len(p.mapping.Acting) < int(p.pool.MinSize) {
			s = msg.PGUndersized | msg.PGPeered
		}
		return s
	case roleActive:
		s = msg.PGActive
		if len(p.mapping.Acting) < int(p.pool.Size) {
			return s | msg.PGUndersized | msg.PGDegraded | p.scrub.stateOf()
		}
		return s | msg.PGClean | p.trimState() | p.scrub.stateOf()
	}
	return msg.PGStale
}

// dropWaiting forgets all requests that wait; their clients send them again.
func (p *PG) dropWaiting() {
	for _, o := range p.objects.byID {
		if o.fetching != nil {
			p.endFetch(o)
		}
		for _, r := range o.waiting {
			p.drop(r)
		}
		o.waiting = nil
	}
	p.dropHeld(nil)
	// What is under way to the disk may still be answered: it will be durable,
	// here, and a client that sends it again gets the answer from the log. In an
	// interval of another primary it must not be said.
	if p.mapping.ActingPrimary != p.env.Whoami {
		for _, f := range p.flights {
			for i := range f.held {
				f.held[i].Body.Payload().Release()
			}
			f.held = nil
		}
		p.forgetContexts()
	}
}

// backoff tells a client to hold back requests to this group until it hears
// more, and drops the request: the client will send it again.
func (p *PG) backoff(r *Request) {
	if p.env.Config.BackoffOnInactive {
		if p.backoffs == nil {
			p.backoffs = map[*Session]uint64{}
		}
		if _, ok := p.backoffs[r.Session]; !ok {
			p.nextBackoff++
			p.backoffs[r.Session] = p.nextBackoff
			p.sendBackoff(r.Session, msg.BackoffBlock, p.nextBackoff)
		}
	}
	p.drop(r)
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
}

// remove begins to take a group away whose pool is gone.
func (p *PG) remove(now time.Time) {
	p.dropWatches()
	p.dropWaiting()
	p.forgetScrubs()
	p.forgetContexts()
	clear(p.backoffs)
	p.giveUpSplit()
	p.role = roleGone
	p.stopTrim(now)
	p.stamps.enter(now, p.State())
	p.removal = object.MinID
	p.note(NoteInfo, "is being removed, its pool is gone", nil)
	if len(p.flights) == 0 {
		p.removeMore()
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
	if err != nil {
		p.fail(err)
		return
	}
	txn := new(objstore.Txn)
	for _, id := range ids {
		txn.Remove(p.coll, id)
	}
	p.removal = next
	if next.Max {
		txn.RemoveColl(p.coll)
		p.created = false
	}
	p.submit(txn, nil, nil, object.Version{}, undo{})
}
