package pg

import (
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Making copies equal, as the primary of an active group does it. Package
// recovery has the parts; here they are put to work:
//
//	recover.go   what is to be done, who waits for it, when it may be
//	transfer.go  objects on their way, in both directions
//	fill.go      backfill
//	place.go     places, at this OSD and the others
//	unfound.go   objects that nobody has
//
// What the logs say is missing comes first: what is missing here is pulled from a
// copy that has it, what is missing there is pushed. Then the members that are
// being filled are. Both need places:
//
//	stage    waits for                             shown as
//	idle     something to do
//	local    a place at this OSD                   recovery_wait  backfill_wait
//	remote   a place at each of the others         recovery_wait  backfill_wait
//	going    the objects                           recovering     backfilling
//	tooFull  a while, since an OSD is full         recovery_toofull, backfill_toofull
//
// A request that needs an object waits for that one only: a read if it is missing
// here, a write if it is anywhere, since a transaction must find the same object
// on all members. What is waited for is copied at once, without a place. A head
// and its clones are waited for together.
//
// Memory is bounded: each object under way holds one piece, and the pieces of all
// groups of a loop are no more than Config.RecoveryBytes (or one).

// repair is what is under way.
type repair struct {
	waiting map[object.ID][]*Request // by head
	urgent  []object.ID              // those heads, in the order in which they came
	// reverting: unfound objects are being given up, once their prior versions are here.
	reverting bool
	moves     map[moveKey]*move
	// failed are the OSDs that could not give an object.
	failed map[object.ID]map[int32]bool
	// whole are objects that must travel as a whole: what is there of other versions
	// of them may be damaged too.
	whole map[object.ID]bool

	stage  stage
	fills  bool // the stage is that of a backfill
	places map[int32]bool
	asked  int32     // whose place is waited for in stage remote
	next   time.Time // no object before; or when to look again
	forced map[bool]bool

	fill  *recovery.Backfill
	units map[object.ID]*unit // under way, by head
	base  int64               // objects that were there before it began, and came or went since
	told  int                 // how often progress was looked at

	done msg.ObjectStats // objects, bytes and keys recovered
}

type stage uint8

const (
	stageIdle stage = iota
	stageLocal
	stageRemote
	stageGoing
	stageTooFull
)

// recovered reports whether all members have all objects.
func (p *PG) recovered() bool {
	if p.missing.Len() > 0 {
		return false
	}
	for _, q := range p.peering.peers {
		if q.member && (q.missing.Len() > 0 || q.info.Incomplete()) {
			return false
		}
	}
	return true
}

// anyMissing returns the head of some object that is not here.
func (p *PG) anyMissing() (object.ID, bool) {
	if p.missing.Len() == 0 {
		return object.ID{}, false
	}
	return p.missing.Sorted()[0].Head(), true
}

// absent reports whether the object, or what is to be known of its clones, is
// not here.
func (p *PG) absent(head object.ID) bool { return p.missing.Any(head) }

// degraded reports whether some member lacks the object or a clone of it.
func (p *PG) degraded(head object.ID) bool {
	if p.missing.Any(head) || p.recovery.fill != nil && p.recovery.fill.Copying(head) {
		return true
	}
	for _, q := range p.peering.peers {
		if q.member && q.missing.Any(head) {
			return true
		}
	}
	return false
}

// waitFor lets a request wait until the object is where it must be.
func (p *PG) waitFor(now time.Time, head object.ID, r *Request) {
	w := &p.recovery
	if w.waiting == nil {
		w.waiting = map[object.ID][]*Request{}
	}
	r.Stage = StageWaitRecovery
	if len(w.waiting[head]) == 0 {
		w.urgent = append(w.urgent, head)
	}
	w.waiting[head] = append(w.waiting[head], r)
	p.recoverMore(now)
}

// sources are the OSDs that have a version of an object, in order.
func (p *PG) sources(o object.ID, need object.Version) (list []int32) {
	for _, osd := range sortedOSDs(p.peering.peers) {
		q := p.peering.peers[osd]
		// Who has been activated gets everything since.
		if q.known && !q.missing.Has(o) && (q.started || q.from.Compare(need) >= 0) && o.Compare(q.info.LastBackfill) <= 0 &&
			p.osdmap.IsUp(osd) && !p.recovery.failed[o][osd] {
			list = append(list, osd)
		}
	}
	return list
}

// lost reports whether an object is missing here and nobody is known to have it.
func (p *PG) lost(o object.ID) bool {
	i, ok := p.missing.Get(o)
	return ok && len(p.sources(o, i.Need)) == 0
}

// numUnfound is the number of such objects.
func (p *PG) numUnfound() (n int) {
	for o := range p.missing.All() {
		if p.lost(o) {
			n++
		}
	}
	return n
}

// unfound reports whether there are any.
func (p *PG) unfound() bool {
	for o := range p.missing.All() {
		if p.lost(o) {
			return true
		}
	}
	return false
}

// discover asks those that may have what nobody is known to have
// (discover_all_missing).
func (p *PG) discover() {
	if p.missing.Len() == 0 || !p.unfound() {
		return
	}
	s := &p.peering
	for _, o := range sortedOSDs(s.peers) {
		if q := s.peers[o]; !q.member && !q.known && !q.asked && q.info.Exists() && !q.info.Empty() {
			q.asked = true
			p.tell(o, PeerQuery, &queryBody{What: queryMissing, Since: p.info.LogTail})
		}
	}
	for _, o := range p.pastMembers() {
		if s.peers[o] == nil && p.osdmap.IsUp(o) && s.probed[o] != p.upFrom(o) {
			if s.probed == nil {
				s.probed = map[int32]uint32{}
			}
			s.probed[o] = p.upFrom(o)
			p.tell(o, PeerQuery, &queryBody{What: queryInfo})
		}
	}
}

// recoverable reports whether there is something to be done by the log.
func (p *PG) recoverable() bool {
	for o := range p.missing.All() {
		if !p.lost(o) {
			return true
		}
	}
	for _, q := range p.peering.peers {
		if q.member {
			for o := range q.missing.All() {
				if !p.missing.Has(o) {
					return true
				}
			}
		}
	}
	return false
}

// unfilled are the members that are not complete, in order.
func (p *PG) unfilled() (list []int32) {
	for _, o := range sortedOSDs(p.peering.peers) {
		if q := p.peering.peers[o]; q.member && q.info.Incomplete() {
			list = append(list, o)
		}
	}
	return list
}

// work says what is to be done now.
func (p *PG) work() (some, fills bool) {
	m := p.osdmap
	switch {
	case p.peering.state != stateActive || p.split != nil:
		return false, false
	case p.recoverable():
		return !m.HasFlag(osdmap.FlagNoRecover), false
	case p.missing.Len() > 0 || len(p.unfilled()) == 0 || m.HasFlag(osdmap.FlagNoBackfill):
		return false, false
	case m.HasFlag(osdmap.FlagNoRebalance) && len(p.mapping.Acting) >= int(p.pool.Size):
		return false, false // the objects are but in the wrong place
	}
	return true, true
}

// recoverMore begins as much as may be under way.
func (p *PG) recoverMore(now time.Time) {
	if p.peering.state != stateActive {
		return
	}
	for _, head := range p.recovery.urgent {
		p.recoverUnit(now, head)
	}
	p.discover()
	p.plan(now)
	r := &p.recovery
	if r.stage != stageGoing || r.fills && r.fill == nil {
		return
	}
	if now.Before(r.next) {
		p.wakeBy(r.next)
		return
	}
	if r.fills {
		p.fillMore(now)
		return
	}
	for _, m := range p.missingSets() {
		if !p.recoverSome(now, m) {
			return
		}
	}
}

// missingSets are what is missing here, and then what members lack.
func (p *PG) missingSets() []*pglog.Missing {
	sets := []*pglog.Missing{&p.missing}
	for _, osd := range sortedOSDs(p.peering.peers) {
		if q := p.peering.peers[osd]; q.member {
			sets = append(sets, &q.missing)
		}
	}
	return sets
}

// recoverSome begins with objects of a set, in order. It reports whether there is
// room for more.
func (p *PG) recoverSome(now time.Time, m *pglog.Missing) bool {
	if m.Len() == 0 {
		return true
	}
	for _, o := range m.Sorted() {
		if len(p.recovery.moves) >= max(1, p.env.Config.RecoveryMaxActive) {
			return false
		}
		if !p.recover(now, o) {
			return false
		}
	}
	return true
}

// recoverUnit begins to copy an object and its clones, whatever the limit of
// objects is.
func (p *PG) recoverUnit(now time.Time, head object.ID) {
	for _, m := range p.missingSets() {
		if !m.Any(head) {
			continue
		}
		var ids []object.ID
		for o := range m.All() {
			if o.Head() == head {
				ids = append(ids, o)
			}
		}
		slices.SortFunc(ids, object.ID.Compare)
		for _, o := range ids {
			if !p.recover(now, o) {
				return
			}
		}
	}
}

// recoverTick looks again after what waits for the clock.
func (p *PG) recoverTick(now time.Time) {
	r := &p.recovery
	if r.next.IsZero() || now.Before(r.next) || p.peering.state != stateActive {
		return
	}
	r.next = time.Time{}
	if r.stage == stageTooFull {
		r.stage = stageIdle
	}
	p.revertMore(now)
	p.recoverMore(now)
	p.tryClean(now)
	p.announce(now)
}

// recoverBy has the group look again at a time.
func (p *PG) recoverBy(at time.Time) {
	if r := &p.recovery; r.next.IsZero() || at.Before(r.next) {
		r.next = at
	}
	p.wakeBy(p.recovery.next)
}

// objectMoved lets requests go on that waited for an object, and others begin.
func (p *PG) objectMoved(now time.Time, o object.ID) {
	head := o.Head()
	r := &p.recovery
	if list := r.waiting[head]; len(list) > 0 && !p.absent(head) {
		var still []*Request
		for _, q := range list {
			if p.degraded(head) && p.mayWrite(q) {
				still = append(still, q)
			} else {
				p.env.Requeue(q)
			}
		}
		p.setWaiting(head, still)
	}
	p.changed = true
	if pause := p.env.Config.RecoverySleep; pause > 0 && r.stage == stageGoing {
		r.next = now.Add(pause)
		p.wakeBy(r.next)
	}
	p.recoverMore(now)
	p.tryClean(now)
	p.checkTrim(now)
	p.checkScrub(now)
	p.announce(now)
}

// setWaiting replaces the requests that wait for an object.
func (p *PG) setWaiting(head object.ID, list []*Request) {
	r := &p.recovery
	if len(list) > 0 {
		r.waiting[head] = list
		return
	}
	delete(r.waiting, head)
	if i := slices.Index(r.urgent, head); i >= 0 {
		r.urgent = slices.Delete(r.urgent, i, i+1)
	}
}

func (p *PG) mayWrite(r *Request) bool {
	n, err := p.nature(r.Op.Ops)
	return err == nil && (n.mayWrite() || r.Op.Flags&msg.FlagRWOrdered != 0)
}

// dropRecovery gives up what is under way, with the requests that wait.
func (p *PG) dropRecovery(drop func(*Request)) {
	r := &p.recovery
	for _, head := range slices.SortedFunc(maps.Keys(r.waiting), object.ID.Compare) {
		for _, q := range r.waiting[head] {
			drop(q)
		}
	}
	for _, m := range r.moves {
		p.endMove(m)
	}
	p.dropPlaces(false)
	clear(p.incoming)
	p.recovery = repair{done: r.done, forced: r.forced}
}

// recoveryState is what it adds to the state of a group that is not clean.
func (p *PG) recoveryState() (s msg.PGState) {
	r := &p.recovery
	if degraded, _ := p.census(); degraded > 0 {
		s |= msg.PGDegraded
	}
	switch {
	case r.stage == stageGoing && r.fills:
		s |= msg.PGBackfilling
	case r.stage == stageGoing:
		s |= msg.PGRecovering
	case r.stage == stageTooFull && r.fills:
		s |= msg.PGBackfillTooFull
	case r.stage == stageTooFull:
		s |= msg.PGRecoveryTooFull
	case p.recoverable():
		s |= msg.PGRecoveryWait
	case p.missing.Len() > 0:
		s |= msg.PGRecoveryUnfound
	case len(p.unfilled()) > 0:
		s |= msg.PGBackfillWait
	}
	if r.forced[false] {
		s |= msg.PGForcedRecovery
	}
	if r.forced[true] {
		s |= msg.PGForcedBackfill
	}
	return s
}

// census counts the copies that are nowhere and those that are in the wrong place.
func (p *PG) census() (degraded, misplaced int64) {
	objects := p.info.Stats.Objects
	c := recovery.Census{Objects: objects, Size: int(p.pool.Size), Up: p.mapping.Up, Acting: p.mapping.Acting, Me: p.env.Whoami,
		Missing:    map[int32]int64{p.env.Whoami: int64(p.missing.Len())},
		Recovering: p.recovery.stage == stageGoing && !p.recovery.fills}
	for osd, q := range p.peering.peers {
		switch {
		case q.info.Incomplete():
			c.Missing[osd] = max(0, objects-p.filledObjects(osd))
		case q.known || q.member:
			c.Missing[osd] = int64(q.missing.Len())
		default:
			c.Missing[osd] = max(0, objects-q.info.Stats.Objects)
		}
	}
	if c.Recovering {
		c.Rows = p.located()
	}
	return c.Count()
}

// located says how many copies there are of the objects that some member lacks.
func (p *PG) located() (rows []recovery.Located) {
	seen := map[object.ID]bool{}
	count := map[recovery.Located]int64{}
	for _, set := range p.missingSets() {
		for o := range set.All() {
			if seen[o] {
				continue
			}
			seen[o] = true
			var l recovery.Located
			has := func(osd int32, lacks bool) {
				switch {
				case lacks:
				case slices.Contains(p.mapping.Up, osd):
					l.Up++
				default:
					l.Other++
				}
			}
			has(p.env.Whoami, p.missing.Has(o))
			for osd, q := range p.peering.peers {
				if q.known || q.member {
					has(osd, q.missing.Has(o) || o.Compare(q.info.LastBackfill) > 0)
				}
			}
			count[l]++
		}
	}
	for l, n := range count {
		l.Objects = n
		rows = append(rows, l)
	}
	return rows
}
