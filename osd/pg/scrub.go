package pg

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Scrubbing (PgScrubber). The primary of a clean group scrubs it when it is time
// to, or when it is told to. Package scrub has what a scrub does; here is when,
// and what becomes of the group meanwhile.
//
//	stage     waits for                         goes on to
//	idle      time, or a command                reserving
//	reserving a slot of each other member       reading
//	reading   our own copy of the chunk (ticks),
//	          and those of others               compares; then pause, or the end
//	pause     osd_scrub_sleep                   reading
//
// A new interval, a flag that forbids it, or the loss of a copy end a scrub
// without result, from any stage. What is written to the chunk being read begins
// it again.

// ScrubKind is what a scrub that is asked for is to do.
type ScrubKind uint8

const (
	ScrubShallow ScrubKind = 1 + iota
	ScrubDeep
	ScrubRepair // deep, and what is wrong is put right
)

// Scrub tells the group to be scrubbed as soon as it can.
type Scrub struct{ Kind ScrubKind }

// Reconfigured tells the group that the settings of scrubs have changed.
type Reconfigured struct{}

func (Scrub) event()        {}
func (Reconfigured) event() {}

// scrubber is the scrubbing of one group.
type scrubber struct {
	record  scrub.Record
	results *scrub.Results // of the last scrub in this interval
	asked   ScrubKind      // by a command; 0: nothing
	check   bool           // the scrub to come looks whether a repair has helped
	run     *scrubRun
	next    time.Time // when to go on; zero: what it waits for comes as an event
	failed  bool      // a repair has not helped
	// repairing: copies are being replaced. A scrub is to follow if recheck is set.
	repairing, recheck bool
	unblock            bool // clients are to hear when they have been
	// healed are objects that were replaced in this interval, at which version.
	healed  map[object.ID]object.Version
	serving scrubServing
}

// scrubRun is a scrub under way.
type scrubRun struct {
	deep, repair bool
	auto         bool // repair was not asked for by name
	asked        bool
	onError      bool // a shallow one: if it finds errors, a deep one that repairs follows
	check        bool
	began        time.Time
	reserved     map[int32]bool // the other members, and whether they have granted a slot
	begun        bool           // all have
	seq          uint64         // of the newest request for maps

	begin, end object.ID // the chunk; equal between chunks
	preempted  int       // how often it was begun again
	builder    *scrub.Builder
	walk       indexWalk
	maps       []scrub.Copy // of the chunk
	checker    *scrub.Checker
	passed     Stats // change of the sums by writes to what has been passed
	held       []*Request

	shallow, deepErrors, missing, inconsistent, fixed int64
	large, omapBytes, omapKeys                        int64
	fixes                                             []scrub.Fix
	logs                                              []scrub.BadLog
}

// mode is what the log calls it.
func (r *scrubRun) mode() string {
	switch {
	case r.repair && !r.auto:
		return "repair"
	case r.deep:
		return "deep-scrub"
	}
	return "scrub"
}

// reading reports whether a chunk is being read.
func (r *scrubRun) reading() bool { return r.begin != r.end }

const scrubKey = "history"

func (p *PG) scrubOptions() scrub.Options {
	o := p.env.Config.Scrub
	if p.pool == nil {
		return o
	}
	opt := func(k osdmap.PoolOptKey) float64 { return p.pool.Opts.Float(k, 0) }
	return o.With(opt(osdmap.OptScrubMinInterval), opt(osdmap.OptScrubMaxInterval), opt(osdmap.OptDeepScrubInterval))
}

// scrubbable reports whether the group is in a state to be scrubbed.
func (p *PG) scrubbable() bool {
	return p.role == roleActive && p.broken == nil && p.clean()
}

// forbidden reports which scrubs the flags of the cluster and the pool forbid.
func (p *PG) forbidden() (shallow, deep bool) {
	return p.osdmap.HasFlag(osdmap.FlagNoScrub) || p.pool.Has(osdmap.PoolFlagNoScrub),
		p.osdmap.HasFlag(osdmap.FlagNoDeepScrub) || p.pool.Has(osdmap.PoolFlagNoDeepScrub)
}

// onScrub takes a command.
func (p *PG) onScrub(now time.Time, in Scrub) {
	p.scrub.asked = max(p.scrub.asked, in.Kind)
	p.checkScrub(now)
}

// checkScrub looks anew at whether the group may be scrubbed, and when.
func (p *PG) checkScrub(now time.Time) {
	s := &p.scrub
	if !p.isPrimary() {
		return
	}
	if !p.scrubbable() {
		p.endScrub(now)
		s.next = time.Time{}
		return
	}
	if s.repairing {
		// All copies have been replaced.
		s.repairing, p.recovery.whole = false, nil
		if s.unblock {
			s.unblock = false
			p.unblock()
		}
		if s.recheck {
			s.recheck, s.check = false, true
			s.asked = max(s.asked, ScrubDeep)
		}
		p.scrubChanged(now)
	}
	noShallow, noDeep := p.forbidden()
	if r := s.run; r != nil {
		if !r.asked && (r.deep && noDeep || !r.deep && noShallow) {
			p.endScrub(now)
		}
		return
	}
	switch {
	case s.asked != 0:
		s.next = now
	case noShallow && noDeep:
		s.next = time.Time{}
	default:
		o := p.scrubOptions()
		s.next, _ = o.Due(p.id, s.record.Stamp)
	}
}

// Times to try again to begin a scrub that has to wait for a slot, the hour, or a
// lower load.
const (
	scrubRetryAsked = time.Second
	scrubRetryDue   = 10 * time.Second
)

// scrubTick does what it is time for.
func (p *PG) scrubTick(now time.Time) {
	s := &p.scrub
	if s.next.IsZero() || now.Before(s.next) {
		return
	}
	switch {
	case s.serving.builder != nil:
		p.serveScrub(now)
	case s.run == nil:
		p.tryScrub(now)
	case s.run.reading():
		p.scrubRead(now)
	default:
		p.scrubChunk(now)
	}
}

// tryScrub begins a scrub if it may be now.
func (p *PG) tryScrub(now time.Time) {
	s := &p.scrub
	if !p.scrubbable() {
		s.next = time.Time{}
		return
	}
	r := &scrubRun{asked: s.asked != 0, check: s.check, began: now}
	if r.asked {
		r.repair = s.asked == ScrubRepair
		r.deep = s.asked != ScrubShallow
	} else if !p.planScrub(now, r) {
		return
	}
	if !p.env.scrubSlots().Take() {
		p.retryScrub(now, r.asked)
		return
	}
	s.asked, s.check, s.run, s.next = 0, false, r, time.Time{}
	r.begin = object.MinID
	r.end = r.begin
	if !p.reserveScrub(r) {
		p.beginScrub(now)
	}
	p.scrubChanged(now)
	p.checkTrim(now) // which waits now
}

// retryScrub sets when to try again to begin a scrub.
func (p *PG) retryScrub(now time.Time, asked bool) {
	p.scrub.next = now.Add(scrubRetryDue)
	if asked {
		p.scrub.next = now.Add(scrubRetryAsked)
	}
}

// beginScrub begins with the first chunk.
func (p *PG) beginScrub(now time.Time) {
	s := &p.scrub
	r := s.run
	r.begun, s.results, s.next = true, new(scrub.Results), now
	r.checker = scrub.NewChecker(r.mode(), p.id, scrubFormat{})
	p.say(NoteClusterDebug, "%v %s starts", p.id, r.mode())
}

// planScrub says how a scrub is to be that nobody has asked for, or sets when to
// look again.
func (p *PG) planScrub(now time.Time, r *scrubRun) bool {
	s, o := &p.scrub, p.scrubOptions()
	at, deadline := o.Due(p.id, s.record.Stamp)
	if now.Before(at) {
		s.next = at
		return false
	}
	if !o.Permitted(now, deadline) {
		s.next = now.Add(scrubRetryDue)
		return false
	}
	noShallow, noDeep := p.forbidden()
	// A shallow scrub would forget what only a deep one finds.
	r.deep = s.record.Deep > 0 || !noDeep && o.Deep(p.id, now, s.record.Stamp, s.record.DeepStamp)
	if r.deep && noDeep || !r.deep && noShallow {
		s.next = now.Add(scrubRetryDue)
		return false
	}
	if o.AutoRepair {
		r.repair, r.auto, r.onError = r.deep, r.deep, !r.deep
	}
	return true
}

// scrubChanged notes that the group's state is another one.
func (p *PG) scrubChanged(now time.Time) {
	p.stamps.enter(now, p.Epoch(), p.State())
	p.changed = true
}

// scrubChunk begins the next chunk, or the same again.
func (p *PG) scrubChunk(now time.Time) {
	s, o := &p.scrub, p.scrubOptions()
	r := s.run
	end, err := scrub.NextChunk(p.env.Store, p.coll, r.begin, o.ChunkSize(r.preempted))
	if err != nil {
		p.note(NoteCluster, "objects cannot be listed for a scrub", err)
	}
	r.end = end
	r.builder = scrub.NewBuilder(p.env.Store, p.coll, r.begin, r.end, r.deep, o.Limits, notClients)
	r.walk, r.maps = indexWalk{}, []scrub.Copy{{OSD: p.env.Whoami}}
	p.askScrubMaps(r)
	s.next = now
}

// notClients reports whether an object is none that clients made.
func notClients(id object.ID) bool { return id.Name == "" || recovery.IsTemp(id) }

// scrubRead does a piece of our own map.
func (p *PG) scrubRead(now time.Time) {
	r := p.scrub.run
	if r.builder != nil {
		if !r.builder.Step() || !p.mapped(&r.walk, r.builder.Map(), r.end.Max) {
			p.scrub.next = now
			return
		}
		r.maps[0].Map, r.builder = r.builder.Map(), nil
	}
	p.scrub.next = time.Time{}
	p.scrubGather(now)
}

// scrubGather goes on when all maps of the chunk are there.
func (p *PG) scrubGather(now time.Time) {
	for _, k := range p.scrub.run.maps {
		if k.Map == nil {
			return
		}
	}
	p.scrubCompare(now)
}

// scrubCompare settles the chunk.
func (p *PG) scrubCompare(now time.Time) {
	s := &p.scrub
	r, o := s.run, p.scrubOptions()
	c := scrub.Compare(p.id, r.maps, scrubFormat{})
	for _, line := range c.Lines {
		p.say(NoteCluster, "%s", line)
	}
	p.countOmaps(r, c, &o)
	last := r.end.Max
	if last {
		p.scrubLogs(r)
	}
	r.checker.Add(c.Right.Objects, last)
	for _, line := range r.checker.Lines {
		level := NoteCluster
		if line.Info {
			level = NoteClusterInfo
		}
		p.say(level, "%s", line.Text)
	}
	r.shallow += int64(c.Shallow + r.checker.Shallow)
	r.deepErrors += int64(c.Deep)
	r.missing += int64(c.Missing)
	r.inconsistent += int64(c.Inconsistent)
	r.fixes = append(r.fixes, c.Fixes[:min(len(c.Fixes), maxFixes-len(r.fixes))]...)
	s.results.AddObjects(c.Bad)
	s.results.AddSnaps(r.checker.Bad)
	r.checker.Lines, r.checker.Bad, r.checker.Shallow = nil, nil, 0
	r.begin, r.preempted, r.maps = r.end, 0, nil
	p.freeHeld()
	if last {
		p.finishScrub(now)
		return
	}
	s.next = now.Add(o.Pause(now, r.asked))
}

// maxFixes bounds the objects that one scrub repairs.
const maxFixes = 1 << 16

// countOmaps counts the omaps of the chunk, and complains of very large ones
// (be_omap_checks).
func (p *PG) countOmaps(r *scrubRun, c *scrub.Comparison, o *scrub.Options) {
	for i := range c.Right.Objects {
		b := &c.Right.Objects[i]
		r.omapBytes += int64(b.OmapBytes)
		r.omapKeys += int64(b.OmapKeys)
		if b.OmapKeys > o.LargeOmapKeys || b.OmapBytes > o.LargeOmapBytes {
			r.large++
			p.say(NoteClusterWarn, "Large omap object found. Object: %v PG: %v (%v) Key count: %d Size (bytes): %d", b.ID,
				groupOfHash(b.ID), p.id.PG, b.OmapKeys, b.OmapBytes)
		}
	}
}

// finishScrub ends a scrub that has seen everything.
func (p *PG) finishScrub(now time.Time) {
	s := &p.scrub
	r, rec := s.run, &s.record
	r.asked = false // it is done
	if r.auto && len(r.fixes) > p.env.Config.Scrub.AutoRepairMost {
		r.repair = false // too much, for nobody to have a look first
	}
	again := r.onError && len(r.fixes)+len(r.logs) > 0 && len(r.fixes) <= p.env.Config.Scrub.AutoRepairMost
	p.compareSums(r)
	repaired := p.repair(now, r)
	p.repairLogs(now, r)
	p.sayResult(r)
	rec.Last, rec.Stamp = p.info.LastUpdate, now
	if r.deep {
		rec.LastDeep, rec.DeepStamp = rec.Last, now
	}
	switch {
	case !r.repair:
	case r.fixed == r.shallow+r.deepErrors:
		// Since it is not known which errors were put right, they are forgotten
		// only together.
		r.shallow, r.deepErrors = 0, 0
	case repaired:
		s.recheck = true
	case r.shallow+r.deepErrors > 0:
		s.failed = true
	}
	rec.Shallow = r.shallow
	if r.deep {
		rec.Deep, rec.LargeOmaps, rec.OmapBytes, rec.OmapKeys = r.deepErrors, r.large, r.omapBytes, r.omapKeys
	}
	if r.shallow == 0 && (!r.deep || r.deepErrors == 0) {
		rec.CleanStamp = now
	}
	if rec.Errors() == 0 {
		s.failed, p.trim.failed = false, false
	} else if r.check {
		s.failed = true
	}
	if n := s.results.Dropped; n > 0 {
		p.say(NoteClusterWarn, "%v %s: %d inconsistencies are more than list-inconsistent-obj can show", p.id, r.mode(), n)
	}
	if r.repair {
		s.results = new(scrub.Results)
		p.forgetIdle()
	}
	p.endScrub(now)
	if again {
		s.asked = ScrubRepair
	}
	txn := new(objstore.Txn)
	p.writeScrub(txn)
	p.submitLocal(txn)
	for _, o := range p.others() {
		p.tell(o, PeerScrubDone, &s.record)
	}
	p.checkScrub(now)
}

// writeScrub adds the record of scrubs to a transaction.
func (p *PG) writeScrub(txn *objstore.Txn) {
	txn.OmapSet(p.coll, p.meta, []objstore.KV{{Key: scrubKey, Value: wire.Marshal(&p.scrub.record)}})
}

// compareSums compares the group's sums with what was there.
func (p *PG) compareSums(r *scrubRun) {
	got, have := p.info.Stats, &p.info.Stats
	n := &r.checker.Sums
	got.Objects, got.Clones, got.Whiteouts = n.Objects+r.passed.Objects, n.Clones+r.passed.Clones, n.Whiteouts+r.passed.Whiteouts
	got.OmapObjects, got.Bytes = n.Omap+r.passed.OmapObjects, n.Bytes+r.passed.Bytes
	if got == *have {
		return
	}
	p.say(NoteCluster, "%v %s : stat mismatch, got %d/%d objects, %d/%d clones, %d/%d dirty, %d/%d omap, 0/0 pinned, 0/0 hit_set_archive, "+
		"%d/%d whiteouts, %d/%d bytes, 0/0 manifest objects, 0/0 hit_set_archive bytes.", p.id, r.mode(), got.Objects, have.Objects,
		got.Clones, have.Clones, got.Objects, have.Objects, got.OmapObjects, have.OmapObjects, got.Whiteouts, have.Whiteouts, got.Bytes, have.Bytes)
	r.shallow++
	if r.repair && got.Clones+got.Whiteouts <= got.Objects {
		r.fixed++
		*have = got
	}
}

// sayResult puts the outcome in the cluster's log.
func (p *PG) sayResult(r *scrubRun) {
	level, text := NoteClusterDebug, "ok"
	if n := r.shallow + r.deepErrors; n > 0 {
		level, text = NoteCluster, fmt.Sprintf("%d errors", n)
	}
	if n := p.scrub.record.Deep; !r.deep && n > 0 {
		text += fmt.Sprintf(" ( %d remaining deep scrub error details lost)", n)
	}
	if r.repair {
		text += fmt.Sprintf(", %d fixed", r.fixed)
	}
	p.say(level, "%v %s %s", p.id, r.mode(), text)
}

// say notes a line for the cluster's log that is whole as it is.
func (p *PG) say(level NoteLevel, format string, args ...any) {
	p.out().Notes = append(p.out().Notes, Note{Level: level, Text: fmt.Sprintf(format, args...)})
}

// endScrub ends the scrub under way, if there is one, and gives back what it
// held.
func (p *PG) endScrub(now time.Time) {
	r := p.scrub.run
	if !p.dropScrub() {
		return
	}
	p.releaseScrub(r)
	p.scrubChanged(now)
	if p.role == roleActive {
		p.checkTrim(now) // which waited
	}
}

// dropScrub does so, and reports whether there was one.
func (p *PG) dropScrub() bool {
	s := &p.scrub
	r := s.run
	if r == nil {
		return false
	}
	p.freeHeld()
	if r.asked {
		// Given up on the way: what was asked for is still to be done.
		switch {
		case r.repair:
			s.asked = ScrubRepair
		case r.deep:
			s.asked = max(s.asked, ScrubDeep)
		default:
			s.asked = max(s.asked, ScrubShallow)
		}
		s.check = s.check || r.check
	}
	s.run, s.next = nil, time.Time{}
	p.env.scrubSlots().Free()
	return true
}

// forgetScrubs forgets what belongs to an interval that is over.
func (p *PG) forgetScrubs() {
	p.dropScrub()
	p.stopServing()
	p.scrub.results, p.scrub.next = nil, time.Time{}
	p.scrub.repairing, p.scrub.recheck, p.scrub.unblock, p.scrub.healed = false, false, false, nil
	if p.mapping.ActingPrimary != p.env.Whoami {
		p.scrub.asked, p.scrub.check = 0, false
	}
}

// holdForScrub holds a write back that would change the chunk being read, if the
// chunk has been begun again too often already. Else it begins it again.
func (p *PG) holdForScrub(r *Request, head object.ID) bool {
	s := p.scrub.run
	if s == nil || !s.reading() || !scrub.Touches(head, s.begin, s.end) {
		return false
	}
	if s.preempted < p.env.Config.Scrub.MaxPreemptions {
		return false // the change itself does it
	}
	r.Stage = StageWaitScrub
	s.held = append(s.held, r)
	return true
}

// freeHeld lets the writes go on that waited for a chunk.
func (p *PG) freeHeld() {
	r := p.scrub.run
	for _, q := range r.held {
		p.env.Requeue(q)
	}
	r.held = nil
}

// scrubSees tells the scrub that an object changes: maps of it that were made
// before are worthless.
func (p *PG) scrubSees(id object.ID) {
	r := p.scrub.run
	if r == nil || !r.reading() || !scrub.Touches(id, r.begin, r.end) {
		return
	}
	// Answers that are on their way are of another number.
	r.end, r.builder, r.maps = r.begin, nil, nil
	r.preempted++
	p.scrub.next = r.began
}

// addStats adds a change of an object and its clones to the group's sums, and
// to the scrub's if that has passed them.
func (p *PG) addStats(head object.ID, change *Stats) {
	p.info.Stats.Add(change)
	if r := p.scrub.run; r != nil && head.Compare(r.begin) < 0 {
		r.passed.Add(change)
	}
}

// scrubUndo takes a change back that the store refused.
func (p *PG) scrubUndo(f *flight) {
	r, o := p.scrub.run, f.undo.object.object
	if r == nil || o == nil || o.id.Head().Compare(r.begin) >= 0 {
		return
	}
	change := p.info.Stats
	change.Sub(&f.undo.info.Stats)
	r.passed.Sub(&change)
}

// checkScrubState panics if the scrub under way contradicts itself.
func (p *PG) checkScrubState() {
	s := &p.scrub
	r := s.run
	if r == nil {
		return
	}
	switch {
	case !p.scrubbable():
		panic(fmt.Sprintf("BUG: pg %v: is %v and being scrubbed", p.id, p.State()))
	case r.begin.Compare(r.end) > 0:
		panic(fmt.Sprintf("BUG: pg %v: scrubs [%v,%v)", p.id, r.begin, r.end))
	case r.reading() != (r.maps != nil), !r.reading() && r.builder != nil:
		panic(fmt.Sprintf("BUG: pg %v: scrubs [%v,%v) with %d maps, builder %v, %d held", p.id, r.begin, r.end, len(r.maps), r.builder != nil, len(r.held)))
	case s.next.IsZero() && r.begun && (r.builder != nil || !r.reading()):
		panic(fmt.Sprintf("BUG: pg %v: a scrub waits for nothing", p.id))
	}
}

// scrubSlots are the slots that the loop's groups share with others.
func (e *Env) scrubSlots() *scrub.Slots {
	if e.Slots == nil {
		e.Slots = new(scrub.Slots)
		e.Slots.SetMost(1)
	}
	return e.Slots
}

// forgetIdle forgets the objects of which nothing is under way: what is in the
// store may be another now.
func (p *PG) forgetIdle() {
	for id, o := range p.objects.byID {
		if o.pending <= p.durable && o.fetching == nil && o.lru != nil {
			p.objects.order.Remove(o.lru)
			delete(p.objects.byID, id)
		}
	}
}

// dropHeld forgets the requests of a session, or all if it is nil.
func (p *PG) dropHeld(session *Session, drop func(*Request)) {
	r := p.scrub.run
	if r == nil {
		return
	}
	r.held = slices.DeleteFunc(r.held, func(q *Request) bool {
		if session == nil || q.Session == session {
			drop(q)
			return true
		}
		return false
	})
}

// scrubStats are the figures of scrubs in the group's statistics.
func (p *PG) scrubStats(o *msg.ObjectStats) {
	r := &p.scrub.record
	o.ScrubErrors, o.ShallowScrubErrors, o.DeepScrubErrors = r.Errors(), r.Shallow, r.Deep
	o.LargeOmap, o.OmapBytes, o.OmapKeys, o.Repaired = r.LargeOmaps, r.OmapBytes, r.OmapKeys, r.Repaired
}

// scrubList answers what the last scrub found (do_scrub_ls).
func (p *PG) scrubList(op *msg.Op) error {
	var ask scrub.Ask
	if err := wire.Unmarshal(op.In.Bytes(), &ask); err != nil {
		return errno.EINVAL
	}
	b, err := p.scrub.results.Answer(&ask, p.info.History.SameIntervalSince)
	if err != nil {
		return err
	}
	out(op, b)
	return nil
}
