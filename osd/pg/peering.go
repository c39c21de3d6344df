package pg

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

// Peering. In each new interval the primary finds out what was acknowledged
// before, makes all acting members agree on it, and only then serves clients
// (PeeringState). Package pglog has the argument why that is right.
//
//	state       what it waits for                      then
//	GetInfo     a notify of each OSD of the prior set  choose who has the log, and who acts
//	Down        a map that brings a blocker back, or   GetInfo
//	            declares it lost
//	Incomplete  a copy that knows of the newest start  GetInfo
//	WaitActing  a map with the members that we want    the next interval
//	GetLog      the log of the authority               merge it
//	GetMissing  what the other members lack            WaitUpThru
//	WaitUpThru  a map that has us alive in this        tell all members (activate)
//	            interval
//	Activating  that all members have noted it         Active
//	Active      nothing; if there are fewer than
//	            min_size members nobody is served
//
// The other members are Stray until the primary activates them (roleReplica).
// Each message names the interval that its sender is in; one of another interval
// is dropped. What a message tells of the sender's own copy is durable there:
// it is held back until it is.
//
// A new interval begins all of this anew, whatever state it was in; in the same
// interval the primary begins anew only before it has activated anybody.

type peerState uint8

const (
	stateNone peerState = iota // not primary
	stateGetInfo
	stateDown
	stateIncomplete
	stateWaitActing
	stateGetLog
	stateGetMissing
	stateWaitUpThru
	stateActivating
	stateActive
)

var peerStateNames = [...]string{"Stray", "GetInfo", "Down", "Incomplete", "WaitActingChange", "GetLog", "GetMissing", "WaitUpThru",
	"Activating", "Active"}

func (s peerState) String() string { return peerStateNames[s] }

// peering is what a primary knows in the present interval.
type peering struct {
	state   peerState
	prior   *pglog.Prior
	peers   map[int32]*peer    // those that have told of themselves
	waiting map[int32]struct{} // those whose answer is due
	auth    int32
	merged  bool // the copy here has been changed, perhaps in this step
	choice  pglog.Choice
	probed  map[int32]uint32 // OSDs asked what they have, for they may have what is unfound, by when they came up
	asked   time.Time        // when the members were told to be active, and to promise
}

// peer is what the primary knows of another OSD's copy.
type peer struct {
	info    Info
	missing pglog.Missing
	known   bool           // missing is all that it lacks
	asked   bool           // for what it lacks, though it is no member
	from    object.Version // newest version that it and the authority have
	member  bool           // it gets all transactions: it acts, or is being filled
	started bool           // it has noted the activation
	damage  damage         // of the copy, while it is not replaced
	acked   uint64         // newest of our tokens that is durable there
	lease   time.Time      // until then it has promised not to take part in another interval
	// Of one that is to be filled: the objects that it has up to a head.
	filled   int64
	filledTo object.ID
}

// interval is the first epoch of the present interval, by which messages know it.
func (p *PG) interval() uint32 { return p.info.History.SameIntervalSince }

// isPrimary reports whether this OSD is the one that peers.
func (p *PG) isPrimary() bool { return p.role == rolePeering || p.role == roleActive }

// startPeering begins anew to find out what the others have.
func (p *PG) startPeering(now time.Time, txn *objstore.Txn) {
	p.role = rolePeering
	p.peering = peering{peers: map[int32]*peer{}, waiting: map[int32]struct{}{}, auth: p.env.Whoami}
	p.buildPrior()
	p.wantUpThru()
	p.getInfo(now, txn)
}

func (p *PG) buildPrior() {
	p.peering.prior = pglog.BuildPrior(p.osdmap, p.mapping.Up, p.mapping.Acting, &p.past, p.info.History.LastEpochStarted, p.ruins())
}

// getInfo asks all whom it has not asked.
func (p *PG) getInfo(now time.Time, txn *objstore.Txn) {
	s := &p.peering
	s.state = stateGetInfo
	for _, o := range s.prior.Probe {
		if _, asked := s.waiting[o]; !asked && o != p.env.Whoami && s.peers[o] == nil {
			s.waiting[o] = struct{}{}
			p.tell(o, PeerQuery, &queryBody{What: queryInfo})
		}
	}
	p.advance(now, txn)
}

// advance goes on as far as it can.
func (p *PG) advance(now time.Time, txn *objstore.Txn) {
	s := &p.peering
	for len(s.waiting) == 0 {
		switch s.state {
		case stateGetInfo:
			if s.prior.Blocked {
				s.state = stateDown
				return
			}
			if !p.choose() {
				return
			}
			s.state = stateGetLog
			if s.auth != p.env.Whoami {
				p.askLog()
			}
		case stateGetLog:
			s.state = stateGetMissing
			p.askMissing()
		case stateGetMissing:
			s.state = stateWaitUpThru
		case stateWaitUpThru:
			if p.needUpThru() {
				p.wantUpThru()
				return
			}
			p.activate(now, txn)
			return
		default:
			return
		}
	}
}

// needUpThru: that we were alive in this interval must be on record before
// anything is acknowledged in it, so that later ones know to ask us.
func (p *PG) needUpThru() bool {
	return p.osdmap.Info[p.env.Whoami].UpThru < p.interval()
}

func (p *PG) wantUpThru() {
	if p.needUpThru() {
		p.out().WantUpThru = max(p.out().WantUpThru, p.osdmap.Epoch)
	}
}

// choose decides whose log is right and who should act. It reports whether those
// are the ones that do.
func (p *PG) choose() bool {
	s := &p.peering
	infos := p.candidates()
	best, ok := pglog.FindBest(infos, p.env.Whoami)
	if !ok && len(p.refusers) > 0 {
		p.refusers = nil // one of them has served without me since
		infos = p.candidates()
		best, ok = pglog.FindBest(infos, p.env.Whoami)
	}
	if !ok {
		s.state = stateIncomplete
		return false
	}
	s.auth = best
	for o, q := range s.peers {
		if i := infos[o]; i != nil && i != &q.info {
			q.info = *i // it counts as that in all that follows
		}
	}
	s.choice = pglog.Choose(infos, best, p.mapping.Up, p.mapping.UpPrimary, p.mapping.Acting, int(p.pool.Size))
	if slices.Equal(s.choice.Acting, p.mapping.Acting) {
		p.wantTemp = nil
		return true
	}
	s.state = stateWaitActing
	p.requestActing(s.choice.Acting)
	return false
}

// requestActing asks the monitors for other members than CRUSH gives, or for
// those (pg_temp).
func (p *PG) requestActing(want []int32) {
	if slices.Equal(want, p.mapping.Up) {
		want = []int32{}
	}
	p.wantTemp = want
	p.out().WantTemp = append(p.out().WantTemp, WantTemp{p.id.PG, want})
	p.note(NoteInfo, fmt.Sprintf("wants acting %v in place of %v", want, p.mapping.Acting), nil)
}

// askLog asks the authority for its log, from where all members can go on.
func (p *PG) askLog() {
	s := &p.peering
	since := p.info.LastUpdate
	tail := s.peers[s.auth].info.LogTail
	for _, o := range s.choice.Acting {
		if q := s.peers[o]; q != nil && q.info.LastUpdate.Compare(since) < 0 && q.info.LastUpdate.Compare(tail) >= 0 {
			since = q.info.LastUpdate
		}
	}
	// What I have beyond the newest start may be divergent.
	if started := (object.Version{Epoch: p.info.LastEpochStarted}); started.Compare(since) < 0 {
		since = started
	}
	s.waiting[s.auth] = struct{}{}
	p.tell(s.auth, PeerQuery, &queryBody{What: queryLog, Since: since})
}

// members are the other OSDs that are to have what I have, in order.
func (p *PG) others() (list []int32) {
	for _, o := range append(slices.Clone(p.peering.choice.Acting), p.peering.choice.Backfill...) {
		if o != p.env.Whoami {
			list = append(list, o)
		}
	}
	slices.Sort(list)
	return list
}

// askMissing asks the members that may have something that I do not know of.
func (p *PG) askMissing() {
	s := &p.peering
	for _, o := range p.others() {
		q := s.peers[o]
		i := &q.info
		switch {
		case q.known && q.info.LastUpdate == p.info.LastUpdate:
		case i.Empty(), i.LastUpdate.Compare(p.info.LogTail) < 0:
			// It has nothing, or will be filled from the beginning.
			q.known, q.from = true, i.LastUpdate
		case i.LastComplete == i.LastUpdate && (i.LastUpdate == p.info.LastUpdate || p.log.Has(i.LastUpdate)):
			q.known, q.from = true, i.LastUpdate
		default:
			s.waiting[o] = struct{}{}
			p.tell(o, PeerQuery, &queryBody{What: queryMissing, Since: p.info.LogTail})
		}
	}
}

// onNotify takes in what another copy is.
func (p *PG) onNotify(now time.Time, from int32, b *notifyBody) {
	s := &p.peering
	p.takePromises(now, b.Promises)
	news := b.Info.Exists() && p.info.History.Merge(&b.Info.History)
	if s.peers[from] == nil {
		s.peers[from] = &peer{info: b.Info, damage: b.Damage}
		news = news || b.Damage == damageRuined // fewer know of the past
	} // else it has not changed: only its primary could make it
	_, asked := s.waiting[from]
	if s.state == stateGetInfo && asked {
		delete(s.waiting, from)
	}
	txn := new(objstore.Txn)
	switch s.state {
	case stateGetInfo:
		if news {
			// The newest start is newer than was thought: some need not be asked.
			p.buildPrior()
			for o := range s.waiting {
				if !slices.Contains(s.prior.Probe, o) {
					delete(s.waiting, o)
				}
			}
			p.getInfo(now, txn)
		} else {
			p.advance(now, txn)
		}
	case stateIncomplete:
		p.getInfo(now, txn)
	case stateActive:
		p.newStray(now, from)
	}
	p.submitPeering(now, txn)
}

// submitPeering ends a step of peering: what it changed is written down.
func (p *PG) submitPeering(now time.Time, txn *objstore.Txn) {
	if !txn.Empty() {
		p.writeInfo(txn)
		p.submitLocal(txn).must = p.merged
		p.merged = false
	}
	p.announce(now)
}

// onLog takes in a part of another copy's log that was asked for.
func (p *PG) onLog(now time.Time, from int32, b *logBody) {
	s := &p.peering
	_, asked := s.waiting[from]
	q := s.peers[from]
	if q == nil {
		return
	}
	txn := new(objstore.Txn)
	switch {
	case b.What == queryLog && s.state == stateGetLog && asked && from == s.auth:
		delete(s.waiting, from)
		p.info.History.Merge(&b.Info.History)
		if err := p.merge(txn, b.Part); err != nil {
			// The authority was chosen since the logs meet.
			p.note(NoteCluster, fmt.Sprintf("log of osd.%d", from), err)
			s.state = stateIncomplete
			return
		}
		p.info.Stats, p.info.LastUserVersion, p.info.Purged = b.Info.Stats, b.Info.LastUserVersion, b.Info.Purged
		p.info.StartedAs(&b.Info)
		q.info, q.missing, q.known, q.from = b.Info, b.Missing, true, b.Info.LastUpdate
		p.advance(now, txn)
	case b.What == queryMissing && (s.state == stateGetMissing && asked || s.state >= stateActivating && !q.known):
		delete(s.waiting, from)
		q.missing = b.Missing
		l := pglog.Log{Entries: b.Part.Entries}
		i := b.Info
		i.LogTail = b.Part.Tail
		merged, err := pglog.Merge(&l, &i, &q.missing, p.log.Since(p.info.LogTail, &p.info))
		if err == nil {
			q.from = merged.Common
		} else {
			q.from = object.Version{} // it is filled anew
		}
		q.info.LastUpdate = b.Info.LastUpdate
		q.known = true
		if s.state == stateGetMissing {
			p.advance(now, txn)
		} else {
			p.recoverMore(now)
		}
	default:
		return
	}
	p.submitPeering(now, txn)
}

// merge makes the copy here what a part of the authoritative log says.
func (p *PG) merge(txn *objstore.Txn, part pglog.Part) error {
	m, err := pglog.Merge(&p.log, &p.info, &p.missing, part)
	if err != nil {
		return err
	}
	p.makeColl(txn)
	var keys []string
	for _, t := range m.Divergent {
		keys = append(keys, pglog.Key(t.Version))
	}
	if len(keys) > 0 {
		txn.OmapRm(p.coll, p.meta, keys)
		p.note(NoteInfo, fmt.Sprintf("takes back %d entries above %v", len(keys), m.Common), nil)
	}
	p.merged, p.peering.merged = true, true
	p.forgetAbove(m.Common)
	p.writeEntries(txn, m.Added)
	p.dropObjects(txn, m.Removed)
	p.writeMissing(txn)
	if len(m.Divergent)+len(m.Added) > 0 {
		p.forgetContexts()
	}
	return nil
}

// forgetAbove forgets that what was taken back is on its way to the disk.
func (p *PG) forgetAbove(v object.Version) {
	for _, f := range p.flights {
		if f.version.Compare(v) > 0 {
			f.version = object.Version{}
		}
	}
	if p.committed.Compare(v) > 0 {
		p.committed = v
	}
}

// writeEntries adds entries of another copy's log to a transaction. The figures
// with them do not count: info, which is written with them, has those.
func (p *PG) writeEntries(txn *objstore.Txn, entries []*Entry) {
	kvs := make([]objstore.KV, 0, len(entries))
	for _, t := range entries {
		kvs = append(kvs, objstore.KV{Key: pglog.Key(t.Version), Value: encodeEntry(t, &p.info)})
	}
	if len(kvs) > 0 {
		txn.OmapSet(p.coll, p.meta, kvs)
	}
}

// activate tells all members what to be. From here on what I have is what is
// true: what nobody acknowledged becomes so.
func (p *PG) activate(now time.Time, txn *objstore.Txn) {
	s, i := &p.peering, &p.info
	s.state, s.asked = stateActivating, now
	p.makeColl(txn)
	if p.enough() {
		i.LastEpochStarted, i.LastIntervalStarted = p.osdmap.Epoch, p.interval()
	}
	p.updateComplete()
	for _, o := range p.others() {
		q := s.peers[o]
		q.member, q.started, q.acked = true, false, p.nextToken
		body := &logBody{Activate: true, Info: *i, Lease: p.leaseFor()}
		fill := slices.Contains(s.choice.Backfill, o)
		goesOn := q.info.Exists() && q.info.Incomplete() && !q.info.LastBackfill.IsMin() && !q.from.IsZero()
		switch {
		case q.from.Compare(i.LogTail) < 0, fill && !goesOn:
			// From the beginning, as one takes it that is told so by LastBackfill, even
			// if it had been begun and nothing has come yet: all of the log is sent.
			body.Info.LastBackfill = object.MinID
			body.Part = pglog.Part{Head: i.LastUpdate, Entries: p.log.Entries} // with what is below the tail
			q.missing = pglog.Missing{}
		default:
			body.Info.LastBackfill = q.info.LastBackfill
			if !q.info.Exists() {
				body.Info.LastBackfill = object.MaxID
			}
			body.Part = p.log.Since(q.from, i)
			if q.info.LastUpdate.Compare(i.LastUpdate) != 0 || q.from != i.LastUpdate {
				p.advanceMissing(q, body)
			}
		}
		q.info = body.Info
		if body.Info.LastBackfill.IsMin() {
			q.damage = damageNone // what was there is dropped
			delete(p.refusers, o)
		}
		p.tellDurable(o, PeerLog, body)
	}
	p.writeInfo(txn)
	p.activated(now)
}

// advanceMissing adds what a peer lacks by the entries that it has not got.
func (p *PG) advanceMissing(q *peer, body *logBody) {
	for _, t := range body.Part.Entries {
		if t.Version.Compare(q.from) > 0 && t.Object.Compare(body.Info.LastBackfill) <= 0 {
			if item, ok := q.missing.Get(t.Object); !ok || item.Need.Compare(t.Version) < 0 {
				q.missing.Next(t)
			}
		}
	}
}

// onActivated notes that a member has noted the activation.
func (p *PG) onActivated(now time.Time, from int32) {
	q := p.peering.peers[from]
	if p.peering.state != stateActivating || q == nil || !q.member || q.started {
		return
	}
	q.started = true
	q.lease = p.peering.asked.Add(p.leaseFor())
	p.activated(now)
	p.announce(now)
}

// activated ends the activation if all members have noted it.
func (p *PG) activated(now time.Time) {
	s, h := &p.peering, &p.info.History
	for _, o := range p.others() {
		if !s.peers[o].started {
			return
		}
	}
	if s.merged && (p.merged || p.stored < p.nextToken) {
		return // the store does not show it yet
	}
	s.state = stateActive
	h.LastEpochStarted, h.LastIntervalStarted = p.info.LastEpochStarted, p.info.LastIntervalStarted
	p.shareInfo()
	p.askLeases(now)
	p.serve(now)
	p.recoverMore(now)
	p.tryClean(now)
}

// shareInfo tells the members the history and the figures.
func (p *PG) shareInfo() {
	for _, o := range p.others() {
		p.tell(o, PeerInfo, &infoBody{Info: p.info})
	}
}

// enough reports whether there are members enough to write. Without them a group
// peers, and is not started: others may know of writes that were sent out and not
// acknowledged, and those objects are nowhere as they were before.
func (p *PG) enough() bool { return len(p.mapping.Acting) >= int(p.pool.MinSize) }

// serve begins to serve clients, if there are members enough and nobody else may
// believe to be the primary.
func (p *PG) serve(now time.Time) {
	s := &p.peering
	if p.role == roleActive || s.state != stateActive || !p.enough() {
		return
	}
	if at := p.serveAt(); now.Before(at) {
		p.wakeBy(at)
		return
	}
	p.role = roleActive
	p.loadWatches(now)
	p.unblock()
	p.checkTrim(now)
	p.checkScrub(now)
}

// mapInInterval is the next map, in which nobody has changed.
func (p *PG) mapInInterval(now time.Time) {
	s := &p.peering
	switch {
	case !p.isPrimary():
		p.notifyAgain(now)
		return
	case s.state < stateActivating && s.state != stateWaitActing && s.prior.Affected(p.osdmap):
		txn := new(objstore.Txn)
		p.startPeering(now, txn)
		p.submitPeering(now, txn)
	case s.state == stateWaitUpThru:
		txn := new(objstore.Txn)
		p.advance(now, txn)
		p.submitPeering(now, txn)
	case s.state == stateActive:
		for o, q := range s.peers {
			if !q.member && !p.osdmap.IsUp(o) {
				delete(s.peers, o)
			}
		}
		p.serve(now)
		p.checkMoves()
		p.recoverMore(now)
	}
}

// tryClean notes that the group is clean: all that should have it have all of it.
func (p *PG) tryClean(now time.Time) {
	s, h := &p.peering, &p.info.History
	if s.state != stateActive {
		return
	}
	p.withoutDamaged(now)
	if !p.recovered() {
		return
	}
	if want := p.finalMembers(); !slices.Equal(p.mapping.Acting, want) {
		// Those who were filled can act now.
		if p.wantTemp == nil && p.readmit(now, want) {
			p.requestActing(want)
		}
		return
	}
	if len(p.mapping.Acting) < int(p.pool.Size) {
		return
	}
	if h.LastEpochClean < h.SameIntervalSince || len(p.past.List) > 0 {
		h.LastEpochClean, h.LastIntervalClean = p.osdmap.Epoch, p.interval()
		p.past = pglog.PastIntervals{}
		p.shareInfo()
		p.dirty = true
	}
	for _, o := range sortedOSDs(s.peers) {
		if !s.peers[o].member {
			p.newStray(now, o)
		}
	}
}

// finalMembers are who should act once all of up have everything (choose_acting
// of Recovered): those of up; where CRUSH has found fewer than the pool wants, also
// those that act already. To let these go would make the next peering ask for them
// again, in turns, for ever: such a group is active+clean+remapped.
func (p *PG) finalMembers() []int32 {
	if slices.Equal(p.mapping.Acting, p.mapping.Up) {
		return p.mapping.Up
	}
	infos := map[int32]*Info{p.env.Whoami: &p.info}
	for _, o := range slices.Concat(p.mapping.Up, p.mapping.Acting) {
		infos[o] = &p.info // what each has is the same, now or soon
	}
	return pglog.Choose(infos, p.env.Whoami, p.mapping.Up, p.mapping.UpPrimary, p.mapping.Acting, int(p.pool.Size)).Acting
}

// clean reports whether nothing is left to do.
func (p *PG) clean() bool {
	return p.peering.state == stateActive && p.recovered() && len(p.mapping.Acting) >= int(p.pool.Size) &&
		slices.Equal(p.mapping.Acting, p.finalMembers())
}

// newStray looks at a copy that is not needed any more.
func (p *PG) newStray(_ time.Time, o int32) {
	q := p.peering.peers[o]
	if q.member || !p.clean() || slices.Contains(p.mapping.Up, o) {
		p.discover()
		return
	}
	if q.info.Exists() {
		p.tell(o, PeerRemove, nil)
	}
	delete(p.peering.peers, o)
}

// announce notes a new state.
func (p *PG) announce(now time.Time) {
	if s := p.State(); s != p.stamps.state {
		p.note(NoteInfo, "is "+s.String(), nil)
		p.stamps.enter(now, p.Epoch(), s)
		p.changed = true
		p.checkScrub(now)
	}
}

// blockedBy are the OSDs without which the group cannot go on.
func (p *PG) blockedBy() []int32 {
	s := &p.peering
	switch s.state {
	case stateDown:
		return s.prior.BlockedBy
	case stateGetInfo, stateGetLog, stateGetMissing:
		return sortedOSDs(s.waiting)
	}
	return nil
}

// tell sends a message to another OSD's copy.
func (p *PG) tell(to int32, kind PeerKind, body wire.Marshaler) {
	p.out().Peers = append(p.out().Peers, PeerSend{to, p.compose(kind, body)})
}

// compose makes a message.
func (p *PG) compose(kind PeerKind, body wire.Marshaler) *msg.PGPeer {
	m := &msg.PGPeer{PG: p.id, From: p.env.Whoami, Epoch: p.osdmap.Epoch, Interval: p.interval(), Kind: uint16(kind)}
	if body != nil {
		m.Front = wire.Marshal(body)
	}
	return m
}

// tellDurable sends a message that tells of the copy here, once what it tells of
// is durable: all that was decided up to the end of this step.
func (p *PG) tellDurable(to int32, kind PeerKind, body wire.Marshaler) {
	p.untold = append(p.untold, untold{p.nextToken + 1, PeerSend{to, p.compose(kind, body)}})
}

// untold is a message that waits for a transaction.
type untold struct {
	after uint64 // or the newest there is
	send  PeerSend
}

// tellMore sends what waited for what is durable now.
func (p *PG) tellMore() {
	n := 0
	for n < len(p.untold) && min(p.untold[n].after, p.nextToken) <= p.stored {
		p.out().Peers = append(p.out().Peers, p.untold[n].send)
		n++
	}
	p.untold = slices.Delete(p.untold, 0, n)
}

// upFrom is since when the map shows an OSD up; 0 if it does not.
func (p *PG) upFrom(o int32) uint32 {
	if !p.osdmap.IsUp(o) {
		return 0
	}
	return p.osdmap.Info[o].UpFrom
}
