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
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Env is what the groups of one loop share. Config, Full and SoftFull may be
// replaced between steps.
type Env struct {
	Whoami  int32
	Store   objstore.Store
	Config  *Config
	Classes objclass.Registry
	// Full: the store has so little room that only deletes may pass
	// (osd_failsafe_full_ratio).
	Full bool
	// ReadErrors counts what the store could not read.
	ReadErrors uint64
	// Repaired counts the objects of primaries here that were replaced by other
	// copies.
	Repaired uint64
	// Shard is which of the daemon's Shards loops this is.
	Shard, Shards int
	// Slots are those of the daemon's scrubs; nil: one of its own.
	Slots *scrub.Slots

	ready Ready
	taken bool
	again []*Request // to be taken up again, in order
	// Messages of other OSDs that were held back, to be given to their groups.
	againPeer []*FromPeer
	exec      execution // of the step that runs; kept for its space
	trims     trims
	moving    int64 // of Config.RecoveryBytes that are in use

	notifies uint32 // that were begun
	backoffs uint64 // that were sent

	lookups, lookupHits uint64 // of objects in memory
}

// Ready returns what was decided since the last call.
func (e *Env) Ready() Ready {
	e.renew()
	e.taken = true
	e.ready.More = len(e.again)+len(e.againPeer) > 0
	return e.ready
}

// TakeLookups returns how often objects were looked for and found in memory since
// the last call.
func (e *Env) TakeLookups() (hits, all uint64) {
	hits, all = e.lookupHits, e.lookups
	e.lookupHits, e.lookups = 0, 0
	return hits, all
}

// Requeue puts a request that was held back at the end of those to be taken up
// again. Each is an event of its own: what one decides must be carried out before
// the next begins.
func (e *Env) Requeue(r *Request) {
	r.Stage = StageQueued
	e.again = append(e.again, r)
}

// Next takes the first request that is to be taken up again; nil if there is none.
func (e *Env) Next() *Request {
	if len(e.again) == 0 {
		return nil
	}
	r := e.again[0]
	e.again[0] = nil
	e.again = e.again[1:]
	return r
}

// NextPeer takes the first message of another OSD that is to be taken up again;
// nil if there is none. It comes before requests.
func (e *Env) NextPeer() *FromPeer {
	if len(e.againPeer) == 0 {
		return nil
	}
	m := e.againPeer[0]
	e.againPeer = e.againPeer[1:]
	return m
}

// DropSession forgets the requests of a connection that has ended.
func (e *Env) DropSession(s *Session) {
	e.again = slices.DeleteFunc(e.again, func(r *Request) bool {
		if r.Session == s {
			e.Drop(r)
		}
		return r.Session == s
	})
}

// Pending is the number of requests and messages that are to be taken up again.
func (e *Env) Pending() int { return len(e.again) + len(e.againPeer) }

// out is where decisions go.
func (e *Env) out() *Ready {
	e.renew()
	return &e.ready
}

// renew begins the lists again once the shell has had them.
func (e *Env) renew() {
	if !e.taken {
		return
	}
	e.taken = false
	r := &e.ready
	clear(r.Writes)
	clear(r.Sends)
	clear(r.Peers)
	clear(r.Fetches)
	clear(r.Places)
	clear(r.Done)
	clear(r.WantTemp)
	clear(r.Notes)
	*r = Ready{Writes: r.Writes[:0], Sends: r.Sends[:0], Peers: r.Peers[:0], Fetches: r.Fetches[:0], Split: r.Split[:0], Places: r.Places[:0], WantTemp: r.WantTemp[:0], Done: r.Done[:0], Notes: r.Notes[:0], Fatal: r.Fatal}
}

// role is what the group is to its clients.
type role uint8

const (
	roleStray     role = iota // another OSD is primary, or none
	roleReplica               // another OSD is primary, and has activated this copy
	rolePeering               // primary, but not allowed to serve yet: see peering
	roleActive                // primary, serving
	roleSplitting             // handing objects to the groups that its pool has more now
	roleGone                  // its pool is gone, or no copy is needed here; being removed
)

// PG is a placement group.
type PG struct {
	id   object.SPG
	coll objstore.Coll
	meta object.ID // the group's own object
	env  *Env

	osdmap  *osdmap.Map
	pool    *osdmap.Pool
	first   uint32         // epoch of the first map that it was given
	removed osdmap.SnapSet // snapshots of the pool that are being removed
	trim    trimmer
	// What writes go by in a pool whose snapshots the monitors name.
	poolSnaps object.SnapContext
	mapping   osdmap.Mapping
	role      role
	broken    error // the store failed; nothing is done any more
	// Of a copy that is not to be relied upon (damage.go).
	damage  error // what was met; nil: nothing
	ruined  bool  // the collection is in the store, and nothing of it in memory
	renewed bool  // in this step the collection is made anew
	shelved error // the group is to be taken out of memory

	info    Info
	log     pglog.Log
	missing pglog.Missing
	past    pglog.PastIntervals
	objects contexts
	dirty   bool // info has news to be written down some time
	merged  bool // a merge is staged, which cannot be taken back

	peering    peering           // as primary
	wantTemp   []int32           // members that the monitors were asked for; nil: none
	heard      bool              // of the primary, in this interval
	refusing   bool              // no further transactions are taken in this interval
	refusers   map[int32]refusal // OSDs that do
	promises   []promise
	nextLease  time.Time  // when to ask for promises again
	leaseAsks  []leaseAsk // that may still be answered, in order
	leaseAsked uint64     // the newest
	inactive   []*Request // of other OSDs, until it serves
	lagging    []*Request // wait for promises
	untold     []untold
	deferred   []*FromPeer // wait until the group has been split
	recovery   repair
	incoming   map[object.ID]*recovery.Incoming // objects that arrive in pieces
	guest      bool                             // a place was asked for here, for the primary

	// Transactions under way. Tokens rise by one; flights has those above
	// durable, in order. stored is the newest that is durable here, durable the
	// newest that all members have.
	flights   []*flight
	nextToken uint64 // of the newest
	stepToken uint64 // the same, before this step
	stored    uint64
	durable   uint64
	committed object.Version // of the newest entry that all members have

	fetches   map[uint64]*objectContext
	nextFetch uint64

	watched     map[object.ID]*objectContext // those with watches
	alarm       time.Time                    // no watch or notification ends before; zero: there is none
	outstanding outstanding

	backoffs map[*Session]uint64 // id of the one that a client was sent

	scrub   scrubber
	removal object.ID // of a group that is gone: where to go on
	split   *split    // under way

	created     bool // the collection is in the store, or on its way
	unsettled   bool // an interval began in a map that was not the newest
	stamps      stamps
	reportedSeq uint64
	changed     bool // since the last report
}

// flight is a transaction that not all members are known to have.
type flight struct {
	token   uint64
	version object.Version // of its log entry; zero if it has none
	peers   []*peer        // those that were sent it
	theirs  uint64         // the primary's token, of a replica
	req     *Request       // nil: the group's own
	replies []Send         // if there are others who must have it first
	held    []Send         // replies that tell of what it did
	waiting []*Request     // theirs
	undo    undo
	must    bool // it cannot be taken back
	// Of what the group does for itself: then comes when the transaction is durable
	// here, refused if the store did not take it.
	then    func(now time.Time)
	refused func(now time.Time, why error)
}

// undo is what a transaction that the store refused has to be taken back to.
type undo struct {
	info   Info
	object objectUndo   // of no object: none was changed
	more   []objectUndo // in the order in which they were changed
	logged int          // entries
	// Of a replica, what was missing before, in the order in which that changed.
	missing []Unfound
}

// objectUndo is a context as it was.
type objectUndo struct {
	object  *objectContext
	exists  bool
	info    ObjectInfo
	snaps   SnapSet
	pending uint64
}

func remember(o *objectContext) objectUndo {
	return objectUndo{o, o.exists, o.info, o.snaps, o.pending}
}

func (u *objectUndo) restore() {
	if o := u.object; o != nil {
		o.exists, o.info, o.snaps, o.pending = u.exists, u.info, u.snaps, u.pending
	}
}

func newPG(env *Env, id object.SPG) *PG {
	return &PG{
		id: id, coll: objstore.PGColl(id), env: env,
		meta: object.ID{Pool: id.Pool, Hash: id.Seed, Snap: object.NoSnap},
		info: Info{PG: id, LastBackfill: object.MaxID},
	}
}

const (
	infoKey = "info"
	pastKey = "past" // pglog.PastIntervals
)

// Create makes the new, empty group of a new pool, of which this OSD is the
// primary. maps are those since the one with the pool, up to the newest.
func Create(env *Env, id object.SPG, maps []*osdmap.Map, now time.Time) *PG {
	p := newPG(env, id)
	m, made := maps[len(maps)-1], maps[0].Epoch
	h := History{EpochCreated: made, EpochPoolCreated: made, LastEpochClean: made, LastIntervalClean: made}
	var since History
	p.past, since = pglog.Between(maps, id.PG, &History{})
	h.SameUpSince, h.SameIntervalSince, h.SamePrimarySince = since.SameUpSince, since.SameIntervalSince, since.SamePrimarySince
	p.info.History = h
	p.missing.Track()
	p.stamps.all(now)
	p.scrub.record.Begin(now)
	var txn objstore.Txn
	txn.CreateColl(p.coll)
	txn.Touch(p.coll, p.meta)
	p.writeScrub(&txn)
	p.created, p.first = true, m.Epoch
	p.takeMap(m)
	p.info.Groups = p.pool.PGNum
	p.begin(now, &txn)
	p.stepped()
	return p
}

// Receive makes a group of which nothing is here, for another copy has told of
// it: a stray's notify to this OSD as primary, or a primary's activation. nil if
// the message is neither.
//
// With damage what is in the store of the group is ruined by that.
func Receive(env *Env, in *FromPeer, m *osdmap.Map, now time.Time, damage error) *PG {
	b := in.Body
	p := newPG(env, b.PG)
	p.damage, p.ruined = damage, damage != nil
	switch PeerKind(b.Kind) {
	case PeerNotify:
		var n notifyBody
		if decodePeer(b.Front, &n) != nil || !n.Info.Exists() {
			return nil
		}
		p.info.History, p.past = n.Info.History, n.Past
	case PeerLog:
		var l logBody
		if decodePeer(b.Front, &l) != nil || !l.Activate {
			return nil
		}
		p.info.History = l.Info.History
	default:
		return nil
	}
	p.missing.Track()
	p.stamps.all(now)
	p.first = m.Epoch
	p.takeMap(m)
	if p.pool == nil || b.Interval != p.interval() {
		return nil
	}
	p.settle(now, new(objstore.Txn))
	p.stepped()
	return p
}

// Load reads a group from the store. It serves nothing until it is given the
// maps since.
func Load(env *Env, id object.SPG, now time.Time) (*PG, error) {
	p := newPG(env, id)
	p.created = true
	p.stamps.all(now)
	fail := func(what string, err error) (*PG, error) { return nil, fmt.Errorf("pg %v: %s: %w", id, what, err) }
	m, err := env.Store.OmapGet(p.coll, p.meta, []string{infoKey, pastKey, removedKey, scrubKey})
	if err != nil {
		return fail("info", err)
	}
	if _, ok := m[removedKey]; ok {
		p.info = Info{PG: id, LastBackfill: object.MaxID}
		p.role, p.removal = roleGone, object.MinID
		return p, nil
	}
	p.scrub.record.Begin(now)
	if raw, ok := m[scrubKey]; ok {
		if err := wire.Unmarshal(raw, &p.scrub.record); err != nil {
			return fail("record of scrubs", err)
		}
	}
	if err := wire.Unmarshal(m[infoKey], &p.info); err != nil {
		return fail("info", err)
	}
	if raw, ok := m[pastKey]; ok {
		if err := wire.Unmarshal(raw, &p.past); err != nil {
			return fail("past intervals", err)
		}
	}
	if p.info.PG != id {
		return fail("info", fmt.Errorf("is that of %v: %w", p.info.PG, errno.EIO))
	}
	// Entries from before info was written have older figures.
	written, tail := p.info.LastUpdate, p.info.LogTail
	var bad error
	err = env.Store.OmapScan(p.coll, p.meta, logPrefix, func(key string, value []byte) bool {
		if !strings.HasPrefix(key, logPrefix) {
			return false
		}
		t, after := new(Entry), p.info
		if bad = wire.Unmarshal(value, entryAndInfo{t, &after}); bad != nil {
			return false
		}
		if t.Version.Compare(written) > 0 {
			p.info = after
		}
		p.log.Append(t)
		return true
	})
	if err = errors.Join(err, bad); err != nil {
		return fail("log", err)
	}
	// The figures are the primary's, whose log may reach further back.
	p.info.LogTail = newer(p.info.LogTail, tail)
	for _, t := range p.log.Entries[:p.log.Above(p.info.LogTail)] {
		t.Object = object.ID{}
	}
	if err := p.loadMissing(); err != nil {
		return fail("missing objects", err)
	}
	p.committed = p.info.LastUpdate
	return p, nil
}

func newer(a, b object.Version) object.Version {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

type entryAndInfo struct {
	t *Entry
	i *Info
}

// encodeEntry makes what the log keeps of an entry.
func encodeEntry(t *Entry, after *Info) []byte {
	var e wire.Encoder
	t.Encode(&e, after)
	return e.Bytes()
}

func (e entryAndInfo) Decode(d *wire.Decoder) { e.t.Decode(d, e.i) }

// ID is the group's name.
func (p *PG) ID() object.SPG { return p.id }

// Info is the group's summary of itself.
func (p *PG) Info() *Info { return &p.info }

// Epoch is that of the newest map the group has taken in.
func (p *PG) Epoch() uint32 {
	if p.osdmap == nil {
		return p.info.Epoch
	}
	return p.osdmap.Epoch
}

// Active reports whether the group serves clients.
func (p *PG) Active() bool { return p.role == roleActive }

// Gone reports whether the group has been removed to the last byte.
func (p *PG) Gone() bool { return p.role == roleGone && !p.created && len(p.flights) == 0 }

func (p *PG) out() *Ready { return p.env.out() }

// Ready returns what was decided since the last call, by all groups that share
// the group's Env.
func (p *PG) Ready() Ready { return p.env.Ready() }

// Wake is when the group next wants a Tick; zero: what it waits for comes as an
// event.
func (p *PG) Wake() time.Time {
	first := p.alarm
	for _, at := range []time.Time{p.trim.next, p.scrub.next} {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// Step takes in one event.
func (p *PG) Step(now time.Time, in Event) {
	_, refused := in.(SubmitFailed)
	if !refused {
		p.settleEffects(now)
	}
	p.stepToken, p.renewed = p.nextToken, false
	defer p.stepped()
	switch in := in.(type) {
	case *Request:
		p.request(now, in)
	case Committed:
		p.onCommitted(now, in)
	case SubmitFailed:
		p.onSubmitFailed(now, in)
	case MapChange:
		p.onMap(now, in)
	case Fetched:
		p.onFetched(now, &in)
	case *FromPeer:
		p.fromPeer(now, in)
	case Force:
		p.force(now, in)
	case Place:
		p.onPlace(now, in)
	case BackoffAck:
		// The client has stopped; nothing waits for that.
	case SessionClosed:
		p.onSessionClosed(in.Session)
		p.disconnectSession(now, in.Session)
	case Tick:
		before := p.nextToken
		if p.watchTick(now); p.nextToken == before {
			p.trimTick(now)
		}
		if p.nextToken == before {
			p.scrubTick(now)
		}
		p.leaseTick(now)
		p.recoverTick(now)
	case Scrub:
		p.onScrub(now, in)
	case Reconfigured:
		p.checkScrub(now)
	default:
		panic(fmt.Sprintf("BUG: pg %v: event %T", p.id, in))
	}
	p.checkDamage(now)
}

// stepped ends a step: what waits for the disk or for a quiet moment goes on.
func (p *PG) stepped() {
	if p.dirty && p.created && p.broken == nil && p.role != roleGone && p.role != roleSplitting && p.osdmap != nil && p.nextToken == p.stepToken {
		txn := new(objstore.Txn)
		p.writeMissing(txn)
		p.writeInfo(txn)
		p.submitLocal(txn)
	}
	p.tellMore()
}

func (p *PG) note(level NoteLevel, text string, err error) {
	p.out().Notes = append(p.out().Notes, Note{p.id, level, text, err})
}

// submit sends a transaction on its way and returns its flight. One that has an
// entry of the log, of version v, goes to all members; if there are others, the
// reply waits for them, else it travels with the transaction.
func (p *PG) submit(txn *objstore.Txn, r *Request, reply *msg.OSDOpReply, v object.Version, u undo) *flight {
	p.nextToken++
	f := &flight{token: p.nextToken, version: v, req: r, undo: u}
	p.flights = append(p.flights, f)
	w := Write{PG: p.id, Token: f.token, Txn: txn}
	if !v.IsZero() && p.replicate(&w, u.info.LastUpdate) {
		for _, o := range w.Peers {
			f.peers = append(f.peers, p.peering.peers[o.To])
		}
	}
	if reply != nil {
		s := Send{r.Session, r.TID, reply}
		if len(f.peers) > 0 {
			f.replies = []Send{s}
		} else {
			w.Replies = []Send{s}
		}
	}
	p.out().Writes = append(p.out().Writes, w)
	return f
}

// flight returns the transaction with a token; nil if it is durable.
func (p *PG) flight(token uint64) *flight {
	if token <= p.durable {
		return nil
	}
	return p.flights[token-p.durable-1]
}

// answer sends a reply that must not be known before a transaction is durable.
func (p *PG) answer(r *Request, reply msg.Body, after uint64) {
	s := Send{r.Session, r.TID, reply}
	if f := p.flight(after); f != nil {
		f.held = append(f.held, s)
		f.waiting = append(f.waiting, r)
		r.Stage = StageWaitCommit
		p.release(r)
		return
	}
	p.out().Sends = append(p.out().Sends, s)
	p.finish(r)
}

// finish is the end of a request.
func (p *PG) finish(r *Request) {
	p.dropFetched(r)
	p.release(r)
	r.Stage = StageDone
	p.out().Done = append(p.out().Done, r)
}

// release gives the request's buffers back.
func (p *PG) release(r *Request) {
	if r.Message != nil {
		for i := range r.Op.Ops {
			r.Op.Ops[i].In = emptyRef
		}
		r.Message.Release()
		r.Message = nil
	}
}

func (p *PG) onCommitted(now time.Time, in Committed) {
	if in.Err != nil {
		p.fail(fmt.Errorf("pg %v: commit: %w", p.id, in.Err))
		return
	}
	p.stored = max(p.stored, in.Token)
	for _, f := range p.flights {
		if then := f.then; f.token <= p.stored && then != nil {
			f.then = nil
			then(now)
		}
	}
	p.settleFlights(now)
}

// onSubmitFailed takes the newest transaction back: the store refused it.
func (p *PG) onSubmitFailed(now time.Time, in SubmitFailed) {
	n := len(p.flights) - 1
	if n < 0 || p.flights[n].token != in.Token {
		panic(fmt.Sprintf("BUG: pg %v: transaction %d refused, newest is %d", p.id, in.Token, p.nextToken))
	}
	f := p.flights[n]
	rotten := errors.Is(in.Err, objstore.ErrIO)
	if f.theirs != 0 && (rotten || errors.Is(in.Err, objstore.ErrNoSpace)) {
		p.flights = p.flights[:n]
		p.nextToken--
		p.undoEntries(&f.undo)
		p.onRefused(f, in.Err)
		return
	}
	if f.refused != nil && (rotten || errors.Is(in.Err, objstore.ErrNoSpace)) {
		p.flights = p.flights[:n]
		p.nextToken--
		p.untold = slices.DeleteFunc(p.untold, func(u untold) bool { return u.after == f.token })
		f.refused(now, in.Err)
		return
	}
	// What is to be changed in part cannot be read: that can be mended.
	rotten = rotten && f.req != nil
	if !errors.Is(in.Err, objstore.ErrNoSpace) && !rotten || f.must {
		// There is no other reason to refuse what we made.
		p.fail(fmt.Errorf("pg %v: transaction refused: %w", p.id, in.Err))
		return
	}
	p.flights = p.flights[:n]
	p.nextToken--
	p.outstanding = outstanding{}
	if f.req == nil && f.undo.logged == 0 {
		// A record of an interval, which can be made again from the maps; or the
		// collection itself.
		if _, err := p.env.Store.Stat(p.coll, p.meta); err != nil && p.role != roleGone {
			p.created = false
			p.settle(now, new(objstore.Txn))
		}
		p.trimRefused(now, in.Token)
		p.note(NoteCluster, "no space for the group's own records", in.Err)
		return
	}
	p.scrubUndo(f)
	p.info = f.undo.info
	p.log.Undo(f.undo.logged)
	f.undo.object.restore()
	for _, o := range slices.Backward(f.undo.more) {
		o.restore()
	}
	switch {
	case f.req != nil:
	case p.trim.after == f.token:
		p.note(NoteCluster, "no space to trim snapshots", in.Err)
		p.trimRefused(now, f.token)
		return
	default:
		p.note(NoteCluster, "no space to remove watches", in.Err)
		p.keepWatches(now, f.undo.object.object)
		return
	}
	if rotten {
		p.env.ReadErrors++
		p.note(NoteCluster, "medium error in "+f.req.Op.String(), in.Err)
		if p.healWrite(now, f.req, f.undo.object.object) {
			return
		}
	} else {
		p.note(NoteCluster, "no space for a write", in.Err)
	}
	p.refuse(f.req, in.Err)
}

// fail stops the group for good: its store cannot be trusted any more, or what the
// store has of it.
func (p *PG) fail(err error) {
	if p.broken != nil {
		return
	}
	if p.broken = err; !errors.Is(err, objstore.ErrDamaged) {
		p.out().Fatal = err
	} // else this copy ends, not the daemon
}

func (p *PG) onSessionClosed(s *Session) {
	delete(p.backoffs, s)
	p.dropHeld(s, p.drop)
	gone := func(r *Request) bool {
		if r.Session == s {
			p.drop(r)
		}
		return r.Session == s
	}
	p.lagging = slices.DeleteFunc(p.lagging, gone)
	p.inactive = slices.DeleteFunc(p.inactive, gone)
	for o, l := range p.recovery.waiting {
		if l = slices.DeleteFunc(l, gone); len(l) == 0 {
			delete(p.recovery.waiting, o)
		} else {
			p.recovery.waiting[o] = l
		}
	}
	for _, o := range p.objects.byID {
		keep := o.waiting[:0]
		for _, r := range o.waiting {
			if r.Session == s {
				p.drop(r)
			} else {
				keep = append(keep, r)
			}
		}
		clear(o.waiting[len(keep):])
		o.waiting = keep
	}
}

// check panics if an invariant of the package comment does not hold.
func (p *PG) check() {
	p.log.Check(&p.info)
	if p.info.History.LastEpochSplit == 0 {
		p.log.CheckWhole(&p.info)
	}
	if got := uint64(len(p.flights)); p.nextToken-p.durable != got {
		panic(fmt.Sprintf("BUG: pg %v: %d transactions under way, tokens (%d,%d]", p.id, got, p.durable, p.nextToken))
	}
	p.missing.Check(&p.info)
	if p.stored < p.durable || p.stored > p.nextToken {
		panic(fmt.Sprintf("BUG: pg %v: stored %d, durable %d, newest %d", p.id, p.stored, p.durable, p.nextToken))
	}
	for i, f := range p.flights {
		if f.token != p.durable+uint64(i)+1 {
			panic(fmt.Sprintf("BUG: pg %v: transaction %d in the place of %d", p.id, f.token, p.durable+uint64(i)+1))
		}
	}
	if p.committed.Compare(p.info.LastUpdate) > 0 {
		panic(fmt.Sprintf("BUG: pg %v: %v is durable, last update %v", p.id, p.committed, p.info.LastUpdate))
	}
	if s := &p.info.Stats; s.Objects < 0 || s.Bytes < 0 || s.Clones < 0 || s.Whiteouts < 0 || s.Clones+s.Whiteouts > s.Objects {
		panic(fmt.Sprintf("BUG: pg %v: %+v", p.id, p.info.Stats))
	}
	for id, o := range p.objects.byID {
		if o.id != id || o.pending > p.nextToken {
			panic(fmt.Sprintf("BUG: pg %v: context of %v is of %v, changed by %d", p.id, id, o.id, o.pending))
		}
		if err := o.snaps.check(o.info.Size); err != nil {
			panic(fmt.Sprintf("BUG: pg %v: %v: %v", p.id, id, err))
		}
		if o.exists && o.whiteout() || o.whiteout() && len(o.snaps.Clones) == 0 || !id.IsHead() && (o.whiteout() || !o.snaps.empty()) {
			panic(fmt.Sprintf("BUG: pg %v: %v: exists %v, flags %x, clones %+v", p.id, id, o.exists, o.info.Flags, o.snaps))
		}
		if o.fetching == nil && len(o.waiting) > 0 {
			panic(fmt.Sprintf("BUG: pg %v: %d requests wait at %v for nothing", p.id, len(o.waiting), id))
		}
	}
	p.checkWatches()
	p.checkScrubState()
	for id, o := range p.fetches {
		if o.fetching == nil || o.fetching.id != id || p.objects.byID[o.id] != o {
			panic(fmt.Sprintf("BUG: pg %v: fetch %d of nobody", p.id, id))
		}
	}
}

// Requests calls f for each request that the group has and has not answered.
func (p *PG) Requests(f func(*Request)) {
	for _, l := range p.flights {
		if l.req != nil {
			f(l.req)
		}
		for _, r := range l.waiting {
			f(r)
		}
	}
	for _, o := range p.fetches {
		f(o.fetching.req)
	}
	for _, list := range [][]*Request{p.lagging, p.inactive} {
		for _, r := range list {
			f(r)
		}
	}
	for _, l := range p.recovery.waiting {
		for _, r := range l {
			f(r)
		}
	}
	for _, o := range p.objects.byID {
		for _, r := range o.waiting {
			f(r)
		}
	}
	if p.scrub.run != nil {
		for _, r := range p.scrub.run.held {
			f(r)
		}
	}
}

// Removing reports whether the group is being removed and not gone yet.
func (p *PG) Removing() bool { return p.role == roleGone && !p.Gone() }

// Drop forgets a request that no group has seen.
func (e *Env) Drop(r *Request) {
	if r.Message != nil {
		r.Message.Release()
		r.Message = nil
	}
	r.Stage = StageDone
}

// Send, Note and Fail are for what a loop decides beside its groups.
func (e *Env) Send(s Send) { e.out().Sends = append(e.out().Sends, s) }
func (e *Env) Note(n Note) { e.out().Notes = append(e.out().Notes, n) }
func (e *Env) Fail(err error) {
	if e.out().Fatal == nil {
		e.out().Fatal = err
	}
}

// Done returns the requests that have been finished since the last Ready.
func (e *Env) Done() []*Request {
	if e.taken {
		return nil
	}
	return e.ready.Done
}
