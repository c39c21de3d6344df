package osd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// ShardOf is the shard that has a placement group, of so many.
func ShardOf(g object.PG, shards int) int {
	// Neighbours go to different shards, of small pools too.
	return int((g.Seed + uint32(g.Pool)) % uint32(shards))
}

// ShardEvent is an input of a shard: *pg.Request, *pg.FromPeer, [ForPG],
// pg.SessionClosed, pg.Tick, [Resume], [NewMaps], [Configure], [Adopt],
// [ScrubAll] or [Ask].
type ShardEvent any

// Resume takes up a request that was held back. The shell gives it after it has
// carried out a Ready with More set; one that does not has its shards woken by
// the clock for each.
type Resume struct{}

// ForPG is an event of one group: pg.Committed, pg.SubmitFailed, pg.Fetched,
// pg.BackoffAck, pg.Scrub.
type ForPG struct {
	PG    object.SPG
	Event pg.Event
}

// NewMaps are the maps that follow those the shard has; the last of List is that
// of Maps.
type NewMaps struct {
	Maps *Maps
	List []*osdmap.Map
}

// Configure replaces the settings.
type Configure struct {
	Config  *pg.Config
	Full    bool // next to no room in the store
	History historyLimits
}

// ScrubAll tells all groups that this OSD is the primary of to be scrubbed.
type ScrubAll struct{ Kind pg.ScrubKind }

// Adopt makes the shard load a group that another one has split off.
type Adopt struct{ PG object.SPG }

// Halt ends the service to clients for good: what is under way is finished, nothing
// else begins.
type Halt struct{}

// Ask is a question that the shard answers with [Answer].
type Ask struct {
	ID    uint64
	About About
	PG    object.SPG // AboutPG, AboutLost, AboutOverdue, AboutTamper
	// AboutLost: prior versions are good enough.
	Revert bool
	All    bool // AboutStats: also of groups that have not changed
	// AboutOverdue: since when a scrub is to seem due, and of which kind.
	Ago    time.Duration
	Deep   bool
	Tamper *pg.Tamper // AboutTamper
}

// About is what a question is about.
type About uint8

const (
	AboutStats    About = iota // for the monitors: what has changed is told once
	AboutCounts                // the same, without PGs
	AboutOps                   // requests under way, and those of late
	AboutPG                    // one group
	AboutLost                  // one group, which is to give up its unfound objects
	AboutWatchers              // who watches what
	AboutStates                // which states groups went through
	AboutScrubs                // when groups are to be scrubbed
	AboutOverdue               // one group, of which a scrub is to be due
	AboutTamper                // one object's copy, which is to be tampered with
)

// Answer is what a shard knows.
type Answer struct {
	ID    uint64
	Shard int

	// AboutStats, AboutCounts.
	PGs      []msg.PGStat
	Count    int // groups that it has
	Primary  int // of those, served here
	Slow     int // requests that take longer than they should
	Requests int // all that are under way
	Oldest   time.Duration
	Errors   uint64             // reads that the store failed
	Repaired uint64             // objects here that were replaced by other copies
	Usage    map[int64]pg.Stats // by pool
	Removing int                // groups of pools that are gone and are still there
	Peers    []int32            // OSDs with which the groups served here are shared

	// AboutOps.
	InFlight []OpRecord
	Recent   []OpRecord
	SlowOps  []OpRecord

	// AboutPG, AboutLost.
	PG *pg.Query // nil: it has no such group

	// AboutLost.
	Lost    int         // objects that were given up
	Refusal *pg.Refusal // also AboutOverdue

	// AboutWatchers.
	Watchers []pg.Watcher

	// AboutStates.
	States []pg.StateHistory

	// AboutScrubs.
	Scrubs []pg.ScrubJob

	// AboutOverdue: when the last scrub seems to have been.
	Stamp time.Time

	// AboutTamper: what came of it; empty: it has no such group.
	Words string
}

// ShardReady is what a shard decided.
type ShardReady struct {
	pg.Ready
	Answers   []Answer
	WantEpoch uint32       // not zero: requests wait for a map this new
	Moved     []object.SPG // groups that were split off and belong to other shards
}

// Shard is the placement groups of one loop.
type Shard struct {
	index, count int
	env          pg.Env
	groups       map[object.SPG]*pg.PG
	ruined       map[object.SPG]error // groups that are in the store and cannot be loaded, by why
	maps         *Maps                // nil: nobody is served yet

	// Requests that wait for a map, in the order in which they came, and how many
	// there are of each session, whose later ones stay behind them.
	parked  []*pg.Request
	waiting map[*pg.Session]int
	// Messages of other OSDs that wait for a map, by sender; those of one stay in
	// order.
	early map[int32][]*pg.FromPeer
	// Those that have it now. Each is taken up when what the one before decided
	// has been carried out.
	ripe []*pg.FromPeer
	// Messages for groups that are not here yet, or not gone yet.
	later map[object.SPG][]*pg.FromPeer
	// Requests for groups that this OSD is to be the primary of and has not heard
	// of yet.
	homeless map[object.SPG][]*pg.Request
	lately   []*osdmap.Map // the newest maps, oldest first
	splits   *splits
	// Sessions that were sent maps, and how new.
	told map[*pg.Session]uint32

	halted bool // clients are served no more

	history    history
	remembered int // requests done since the last Ready that history has
	counters   *counters
	extra      ShardReady
	taken      bool
	nextRun    time.Time
	alarm      time.Time // no group wants a Tick before; zero: none does
	lastStep   time.Time
	warned     time.Time
}

func newShard(index, count int, whoami int32, store objstore.Store, cfg *pg.Config, classes objclass.Registry, slots *scrub.Slots, c *counters, sp *splits) *Shard {
	return &Shard{
		counters: c,
		index:    index, count: count, env: pg.Env{Whoami: whoami, Store: store, Config: cfg, Classes: classes, Slots: slots, Shard: index, Shards: count},
		groups: map[object.SPG]*pg.PG{}, ruined: map[object.SPG]error{}, waiting: map[*pg.Session]int{}, early: map[int32][]*pg.FromPeer{},
		later: map[object.SPG][]*pg.FromPeer{}, homeless: map[object.SPG][]*pg.Request{}, splits: sp, told: map[*pg.Session]uint32{},
	}
}

// Index is the shard's number, as ShardOf gives it.
func (s *Shard) Index() int { return s.index }

// Ready returns what was decided since the last call.
func (s *Shard) Ready() ShardReady {
	s.renew()
	s.taken = true
	s.extra.Ready = s.env.Ready()
	s.extra.More = s.extra.More || len(s.ripe) > 0
	if s.extra.Moved = s.extra.Split; len(s.extra.Moved) > 0 {
		// The new ones are known before the old ones no longer stand for them.
		for _, id := range s.extra.Moved {
			s.splits.set(id, math.MaxUint32) // on its way
		}
		for id, p := range s.groups {
			s.splits.set(id, p.Info().Groups)
		}
	}
	return s.extra
}

func (s *Shard) renew() {
	if s.taken {
		s.taken, s.remembered = false, 0
		s.extra = ShardReady{}
	}
}

// tickEvery is how often a shard looks after what waits.
const tickEvery = 5 * time.Second

// Wake is when the shard wants a pg.Tick.
func (s *Shard) Wake() time.Time {
	if s.env.Pending() > 0 || len(s.ripe) > 0 {
		return s.lastStep
	}
	if !s.alarm.IsZero() && s.alarm.Before(s.nextRun) {
		return s.alarm
	}
	return s.nextRun
}

// step gives a group an event, and notes when it wants to be woken. That it
// wants it later than it did is seen when the time has come.
func (s *Shard) step(now time.Time, p *pg.PG, ev pg.Event) {
	p.Step(now, ev)
	s.wake(p)
}

// wake notes when a group next wants a tick.
func (s *Shard) wake(p *pg.PG) {
	for _, at := range []time.Time{p.Wake(), s.env.Woken()} {
		if !at.IsZero() && (s.alarm.IsZero() || at.Before(s.alarm)) {
			s.alarm = at
		}
	}
}

// wakeGroups lets the time pass for the groups that want to know. It reports
// whether there were any.
func (s *Shard) wakeGroups(now time.Time) bool {
	if s.alarm.IsZero() || now.Before(s.alarm) {
		return false
	}
	s.alarm = time.Time{}
	for _, id := range s.ids() {
		s.step(now, s.groups[id], pg.Tick{})
	}
	return true
}

// eachGroup gives all groups that serve an event.
func (s *Shard) eachGroup(now time.Time, ev pg.Event) {
	for _, id := range s.ids() {
		if p := s.groups[id]; p.Active() {
			s.step(now, p, ev)
		}
	}
}

// ids are the groups in order.
func (s *Shard) ids() []object.SPG { return slices.SortedFunc(maps.Keys(s.groups), object.SPG.Compare) }

// Step takes in one event.
func (s *Shard) Step(now time.Time, in ShardEvent) {
	s.renew()
	s.lastStep = now
	if s.nextRun.IsZero() {
		s.nextRun = now.Add(tickEvery)
	}
	switch in := in.(type) {
	case *pg.Request:
		in.Taken = now
		// Not before those that came earlier.
		if s.env.Pending() > 0 {
			s.env.Requeue(in)
			in = s.env.Next()
		}
		s.request(now, in)
	case Resume:
		s.resume(now)
	case *pg.FromPeer:
		s.fromPeer(now, in)
	case ForPG:
		if p := s.groups[in.PG]; p != nil {
			s.step(now, p, in.Event)
			s.reap(in.PG, p)
		}
	case NewMaps:
		s.newMaps(now, in)
	case Configure:
		scrubs := in.Config.Scrub != s.env.Config.Scrub
		s.env.Config, s.env.Full, s.history.limits = in.Config, in.Full, in.History
		if scrubs {
			s.eachGroup(now, pg.Reconfigured{})
		}
	case ScrubAll:
		s.eachGroup(now, pg.Scrub{Kind: in.Kind})
	case Halt:
		s.halted = true
	case Adopt:
		s.adopt(now, in.PG)
	case pg.SessionClosed:
		s.sessionClosed(now, in)
	case pg.Tick:
		s.tick(now)
		// Requests that were held back come next: a group may have made a
		// transaction.
		if !s.wakeGroups(now) {
			s.resume(now)
		}
	case Ask:
		s.extra.Answers = append(s.extra.Answers, s.answer(now, in))
	default:
		panic("BUG: osd: shard event of unknown type")
	}
	s.remember(now)
}

// request gives a request to its group, in the order of its session.
func (s *Shard) request(now time.Time, r *pg.Request) {
	if s.halted {
		s.env.Drop(r) // the client sends it to the next primary
		return
	}
	if s.waiting[r.Session] > 0 || s.maps == nil || r.Op.Epoch > s.maps.Map.Epoch {
		r.Stage = pg.StageWaitMap
		s.counters.delayed.Inc()
		s.parked = append(s.parked, r)
		s.waiting[r.Session]++
		s.extra.WantEpoch = max(s.extra.WantEpoch, r.Op.Epoch)
		return
	}
	s.share(r.Session, r.Op.Epoch)
	p := s.groups[r.Op.PG]
	if p == nil && s.maps.Map.PGToUpActing(r.Op.PG.PG).ActingPrimary == s.env.Whoami {
		// Ours, but nobody has told us yet what there is of it.
		r.Stage = pg.StageWaitPG
		s.homeless[r.Op.PG] = append(s.homeless[r.Op.PG], r)
		return
	}
	if p == nil {
		// Not ours, by our map. The client sends it again when it has that.
		s.env.Drop(r)
		return
	}
	s.step(now, p, r)
}

// fromPeer gives a message of another OSD to its group, once the shard has a map
// as new as the sender's.
func (s *Shard) fromPeer(now time.Time, m *pg.FromPeer) {
	if queue := s.early[m.Body.From]; len(queue) > 0 || s.maps == nil || m.Body.Epoch > s.maps.Map.Epoch {
		s.early[m.Body.From] = append(queue, m)
		s.extra.WantEpoch = max(s.extra.WantEpoch, m.Body.Epoch)
		return
	}
	if s.ripe = append(s.ripe, m); len(s.ripe) == 1 {
		s.takeRipe(now)
	}
}

// ripen takes up the messages that waited for a map which has come.
func (s *Shard) ripen() {
	for _, from := range slices.Sorted(maps.Keys(s.early)) {
		queue := s.early[from]
		n := 0
		for n < len(queue) && queue[n].Body.Epoch <= s.maps.Map.Epoch {
			n++
		}
		s.ripe = append(s.ripe, queue[:n]...)
		if n == len(queue) {
			delete(s.early, from)
		} else {
			s.early[from] = queue[n:]
			s.extra.WantEpoch = max(s.extra.WantEpoch, queue[n].Body.Epoch)
		}
	}
}

// dropLater forgets messages for groups of pools that are gone.
func (s *Shard) dropLater() {
	for id, list := range s.later {
		if s.maps.Map.Pools[id.Pool] != nil {
			continue
		}
		for _, m := range list {
			m.Release()
		}
		delete(s.later, id)
	}
}

// takeRipe takes up the first of them. It reports whether there was one.
func (s *Shard) takeRipe(now time.Time) bool {
	if len(s.ripe) == 0 {
		return false
	}
	m := s.ripe[0]
	s.ripe[0] = nil
	s.ripe = s.ripe[1:]
	s.peerMessage(now, m)
	return true
}

// peerMessage gives a message to its group. One that a message is for and that is
// not here may have to be: a copy elsewhere tells this OSD that it is its primary,
// or the primary that it is a member.
func (s *Shard) peerMessage(now time.Time, m *pg.FromPeer) {
	id := m.Body.PG
	p := s.groups[id]
	if p != nil && p.Removing() && pg.PeerKind(m.Body.Kind) == pg.PeerLog {
		// What is being removed must be gone first.
		s.later[id] = append(s.later[id], m)
		return
	}
	if p == nil || p.Removing() {
		switch {
		case pg.PeerKind(m.Body.Kind) == pg.PeerQuery:
			if s.splits.forming(s.maps.Map, id) {
				s.later[id] = append(s.later[id], m)
				return
			}
			if s.ruined[id] != nil {
				s.env.Ruined(m, s.maps.Map.Epoch)
			} else {
				s.env.DoesNotExist(m, s.maps.Map.Epoch)
			}
		case p == nil && !s.splits.forming(s.maps.Map, id):
			s.receive(now, m)
			return
		}
		m.Release()
		return
	}
	s.step(now, p, m)
	s.reap(id, p)
}

// receive makes the group that a message is for, if there is to be one. A message
// of an interval that has ended makes none: what it tells is not true any more, and
// who is the primary now asks anew.
func (s *Shard) receive(now time.Time, m *pg.FromPeer) {
	if !pglog.Lasts(s.lately, m.Body.PG.PG, m.Body.Epoch) {
		m.Release()
		return
	}
	id := m.Body.PG
	p := pg.Receive(&s.env, m, s.maps.Map, now, s.ruined[id])
	if p == nil {
		m.Release()
		return
	}
	delete(s.ruined, id)
	s.enter(p)
	s.ripe = append([]*pg.FromPeer{m}, s.ripe...)
}

// enter takes a new group in, and what waited for it.
func (s *Shard) enter(p *pg.PG) {
	id := p.ID()
	s.groups[id] = p
	s.splits.set(id, p.Info().Groups)
	s.ripe = append(s.ripe, s.later[id]...)
	delete(s.later, id)
	for _, r := range s.homeless[id] {
		s.env.Requeue(r)
	}
	delete(s.homeless, id)
}

// resume takes up one of the messages and requests that were held back: what it decides must
// be carried out before the next.
func (s *Shard) resume(now time.Time) {
	if s.takeRipe(now) {
		return
	}
	if m := s.env.NextPeer(); m != nil {
		s.peerMessage(now, m)
	} else if r := s.env.Next(); r != nil {
		s.request(now, r)
	}
}

// share sends a session whose map is old what it lacks; once for each map.
func (s *Shard) share(to *pg.Session, has uint32) {
	newest := s.maps.Map.Epoch
	if has >= newest || has == 0 || s.told[to] >= newest {
		return
	}
	s.env.Send(pg.Send{To: to, Body: s.maps.Since(max(has, s.told[to]))})
	s.told[to] = newest
}

func (s *Shard) newMaps(now time.Time, in NewMaps) {
	s.maps = in.Maps
	s.lately = append(s.lately, in.List...)
	s.lately = slices.Delete(s.lately, 0, max(0, len(s.lately)-keepLately))
	ids := s.ids()
	for i, m := range in.List {
		behind := i < len(in.List)-1
		for _, id := range ids {
			s.step(now, s.groups[id], pg.MapChange{Map: m, Behind: behind})
		}
	}
	for _, id := range ids {
		s.reap(id, s.groups[id])
	}
	s.dispose()
	s.dropHomeless()
	s.dropLater()
	s.instantiate(now)
	s.ripen()
	s.unpark()
}

// unpark lets requests go on that waited for a map.
func (s *Shard) unpark() {
	all := s.parked
	s.parked = nil
	clear(s.waiting)
	for _, r := range all {
		s.env.Requeue(r)
	}
}

// keepLately is how many maps a shard remembers: pools are made of those.
const keepLately = 64

// instantiate makes the groups of new pools that this OSD is the primary of. A
// pool is new in the first map that has it; if that is not among those that the
// shard has seen, others may have made the group before, and it waits to hear of
// it.
func (s *Shard) instantiate(now time.Time) {
	m := s.maps.Map
	for _, pool := range slices.Sorted(maps.Keys(m.Pools)) {
		p := m.Pools[pool]
		if !p.Has(osdmap.PoolFlagCreating) {
			continue
		}
		first := len(s.lately)
		for first > 0 && s.lately[first-1].Pools[pool] != nil {
			first--
		}
		if first == 0 && s.lately[0].Epoch > 1 {
			continue
		}
		for seed := range p.PGNum {
			g := object.PG{Pool: pool, Seed: seed}
			id := object.SPG{PG: g, Shard: object.NoShard}
			if ShardOf(g, s.count) != s.index || s.groups[id] != nil || s.ruined[id] != nil || m.PGToUpActing(g).ActingPrimary != s.env.Whoami {
				continue
			}
			s.enter(pg.Create(&s.env, id, s.lately[first:], now))
		}
	}
}

// dropHomeless forgets requests for groups that are others' by the newest map.
func (s *Shard) dropHomeless() {
	for id, list := range s.homeless {
		if s.maps.Map.PGToUpActing(id.PG).ActingPrimary == s.env.Whoami {
			continue
		}
		for _, r := range list {
			s.env.Drop(r)
		}
		delete(s.homeless, id)
	}
}

// reap forgets a group that has been removed.
func (s *Shard) reap(id object.SPG, p *pg.PG) {
	if err := p.Shelved(); err != nil {
		delete(s.groups, id)
		s.splits.set(id, 0)
		s.ruined[id] = err
	}
	if p.Gone() {
		delete(s.groups, id)
		s.splits.set(id, 0)
		s.ripe = append(s.ripe, s.later[id]...)
		delete(s.later, id)
	}
}

// load reads a group from the store, before the shard runs.
func (s *Shard) load(now time.Time, id object.SPG) {
	p, err := pg.Load(&s.env, id, now)
	if err != nil {
		s.ruin(id, err)
		return
	}
	// One that is not whole yet belongs to the group that it comes of, which goes
	// on with it.
	if !p.Info().Forming {
		s.groups[id] = p
		s.splits.set(id, p.Info().Groups)
	}
}

// ruin goes on without a group that cannot be loaded.
func (s *Shard) ruin(id object.SPG, err error) {
	s.ruined[id] = err
	s.env.Note(pg.Note{PG: id, Level: pg.NoteCluster, Text: fmt.Sprintf("the copy on osd.%d cannot be loaded; it stays out until others can fill it anew", s.env.Whoami), Err: err})
}

// dispose removes ruined groups whose pools are gone.
func (s *Shard) dispose() {
	for _, id := range slices.SortedFunc(maps.Keys(s.ruined), object.SPG.Compare) {
		if s.maps.Map.Pools[id.Pool] == nil {
			delete(s.ruined, id)
			s.groups[id] = pg.Dispose(&s.env, id)
		}
	}
}

// adopt loads a group while the shard runs.
func (s *Shard) adopt(now time.Time, id object.SPG) {
	p, err := pg.Load(&s.env, id, now)
	if err != nil {
		s.ruin(id, err)
		return
	}
	s.enter(p)
	// It has been split off in an epoch that may be over.
	for i, m := range s.lately {
		if m.Epoch >= p.Info().Epoch {
			s.step(now, p, pg.MapChange{Map: m, Behind: i < len(s.lately)-1})
		}
	}
}

func (s *Shard) sessionClosed(now time.Time, in pg.SessionClosed) {
	s.parked = slices.DeleteFunc(s.parked, func(r *pg.Request) bool {
		if r.Session == in.Session {
			s.env.Drop(r)
		}
		return r.Session == in.Session
	})
	delete(s.waiting, in.Session)
	for id, list := range s.homeless {
		list = slices.DeleteFunc(list, func(r *pg.Request) bool {
			if r.Session == in.Session {
				s.env.Drop(r)
			}
			return r.Session == in.Session
		})
		if s.homeless[id] = list; len(list) == 0 {
			delete(s.homeless, id)
		}
	}
	delete(s.told, in.Session)
	s.env.DropSession(in.Session)
	for _, id := range s.ids() {
		s.step(now, s.groups[id], in)
	}
}

// tick looks for requests that take too long.
func (s *Shard) tick(now time.Time) {
	if now.Before(s.nextRun) {
		return
	}
	s.nextRun = now.Add(tickEvery)
	_, slow, oldest := s.slow(now)
	// Said again at growing distance, as long as it lasts.
	if slow == 0 {
		s.warned = time.Time{}
		return
	}
	if s.warned.IsZero() || now.Sub(s.warned) > s.env.Config.ComplaintTime {
		s.warned = now
		s.env.Note(slowNote(slow, oldest, s.inFlight(now)))
	}
}

// requests calls f for each request that is under way.
func (s *Shard) requests(f func(*pg.Request)) {
	for _, r := range s.parked {
		f(r)
	}
	for _, queue := range s.homeless {
		for _, r := range queue {
			f(r)
		}
	}
	for _, p := range s.groups {
		p.Requests(f)
	}
}

func (s *Shard) slow(now time.Time) (all, n int, oldest time.Duration) {
	s.requests(func(r *pg.Request) {
		all++
		if age := now.Sub(r.Received); age > s.env.Config.ComplaintTime {
			n++
			oldest = max(oldest, age)
		}
	})
	return all, n, oldest
}

// sharedWith are the other OSDs of a group that this one is the primary of.
func (s *Shard) sharedWith(id object.SPG) (others []int32) {
	if s.maps == nil {
		return nil
	}
	at := s.maps.Map.PGToUpActing(id.PG)
	if at.ActingPrimary != s.env.Whoami {
		return nil
	}
	for _, o := range slices.Concat(at.Up, at.Acting) {
		if o != s.env.Whoami && o != osdmap.NoOSD && !slices.Contains(others, o) {
			others = append(others, o)
		}
	}
	return others
}

// ruins are the figures of ruined groups that are this OSD's to tell of, since no
// other copy has made itself known.
func (s *Shard) ruins(now time.Time) (list []msg.PGStat) {
	if s.maps == nil {
		return nil
	}
	m := s.maps.Map
	for _, id := range slices.SortedFunc(maps.Keys(s.ruined), object.SPG.Compare) {
		at := m.PGToUpActing(id.PG)
		if at.ActingPrimary != s.env.Whoami {
			continue
		}
		list = append(list, msg.PGStat{PG: id.PG, ReportedSeq: uint64(now.Unix()), ReportedEpoch: m.Epoch, State: msg.PGDown,
			LastFresh: now, LastChange: now, LastUnstale: now, Up: at.Up, Acting: at.Acting, UpPrimary: at.UpPrimary,
			ActingPrimary: at.ActingPrimary, MappingEpoch: m.Epoch, BlockedBy: []int32{s.env.Whoami}})
	}
	return list
}

func (s *Shard) answer(now time.Time, in Ask) Answer {
	a := Answer{ID: in.ID, Shard: s.index}
	switch in.About {
	case AboutStats, AboutCounts:
		report := in.About == AboutStats
		a.Count = len(s.groups)
		a.Errors, a.Repaired = s.env.ReadErrors, s.env.Repaired
		a.Usage = map[int64]pg.Stats{}
		a.Requests, a.Slow, a.Oldest = s.slow(now)
		for _, id := range s.ids() {
			p := s.groups[id]
			if p.Active() {
				a.Primary++
			}
			u := a.Usage[id.Pool]
			u.Add(&p.Info().Stats)
			a.Usage[id.Pool] = u
			if report {
				if st, ok := p.Stat(now, in.All); ok {
					a.PGs = append(a.PGs, st)
				}
			}
			if p.Removing() {
				a.Removing++
			}
			a.Peers = append(a.Peers, s.sharedWith(id)...)
		}
		if report {
			a.PGs = append(a.PGs, s.ruins(now)...)
		}
	case AboutOps:
		a.InFlight = s.inFlight(now)
		a.Recent, a.SlowOps = s.history.lists(now)
	case AboutPG:
		if p := s.groups[in.PG]; p != nil {
			a.PG = p.Query()
		}
	case AboutLost:
		if p := s.groups[in.PG]; p != nil {
			a.Lost, a.Refusal = p.GiveUp(now, in.Revert)
			s.wake(p)
			a.PG = p.Query()
		}
	case AboutOverdue:
		if p := s.groups[in.PG]; p != nil {
			if stamp, ok := p.Overdue(now, in.Deep, in.Ago); ok {
				a.Stamp = stamp
			} else {
				a.Refusal = &pg.Refusal{Errno: errno.EAGAIN, Words: fmt.Sprintf("not primary for pgid %v", in.PG.PG)}
			}
			s.wake(p)
			a.PG = p.Query()
		}
	case AboutTamper:
		if p := s.groups[in.PG]; p != nil {
			a.Words = p.Tamper(in.Tamper)
		}
	case AboutScrubs:
		for _, id := range s.ids() {
			if j, ok := s.groups[id].ScrubJob(); ok {
				a.Scrubs = append(a.Scrubs, j)
			}
		}
	case AboutWatchers:
		for _, id := range s.ids() {
			a.Watchers = append(a.Watchers, s.groups[id].Watchers()...)
		}
	case AboutStates:
		for _, id := range s.ids() {
			a.States = append(a.States, s.groups[id].StateHistory())
		}
	}
	return a
}
