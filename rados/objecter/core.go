package objecter

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// Event is one input of the machine.
type Event interface{ event() }

type (
	// Submit hands over an operation.
	Submit struct{ Op *Op }
	// Cancel gives an operation up: it will not be completed. One that has
	// ended is ignored.
	Cancel struct{ Op *Op }
	// NewMaps brings maps in ascending order. With Gap, epochs are missing
	// before the first one.
	NewMaps struct {
		Maps []Map
		Gap  bool
	}
	// Opened tells that a session can be used.
	Opened struct{ Session uint64 }
	// Closed tells that a session was lost or could not be opened. With Refused
	// the OSD does not accept us, and repeating will hardly help.
	Closed struct {
		Session uint64
		Err     error
		Refused bool
	}
	// Reply is an OSD's answer with the buffers that it lies in, which the core
	// takes over.
	Reply struct {
		Session uint64
		TID     uint64
		Msg     *msg.OSDOpReply
		Data    buffer.List
	}
	// Backoff is an OSD's word on what it does not want to hear.
	Backoff struct {
		Session uint64
		Msg     *msg.OSDBackoff
	}
	// Newest answers AskNewest: the epoch of the newest map there is.
	Newest struct{ Epoch uint32 }
	// Barrier holds everything until the map has an epoch.
	Barrier struct{ Epoch uint32 }
	// Shutdown ends all operations, and later ones at once, with an error.
	Shutdown struct{ Err error }
	// Tick lets time pass.
	Tick struct{}
)

func (Submit) event()   {}
func (Cancel) event()   {}
func (NewMaps) event()  {}
func (Opened) event()   {}
func (Closed) event()   {}
func (Reply) event()    {}
func (Backoff) event()  {}
func (Newest) event()   {}
func (Barrier) event()  {}
func (Shutdown) event() {}
func (Tick) event()     {}

// Ready is what must happen, in this order.
type Ready struct {
	Close []uint64 // sessions not needed any more; no Closed is expected
	Open  []Open
	Send  []Send
	// Subscribe asks the monitors for maps from an epoch on, once or
	// continuously. nil: the last wish stands.
	Subscribe *Subscribe
	AskNewest bool // ask the monitors for the newest epoch
	Done      []Completion
	Notices   []Notice
}

// Open asks for a connection to an OSD.
type Open struct {
	Session uint64
	OSD     int32
	Addrs   entity.AddrVec
}

// Send is a message for a session.
type Send struct {
	Session uint64
	TID     uint64
	Body    msg.Body
}

// Subscribe is a wish for maps.
type Subscribe struct {
	Start      uint32
	Continuous bool
}

// Completion is the end of an operation: a reply, which may be of failure, or
// an error of our own. Whoever gets it releases Data when done with the reply.
type Completion struct {
	Op    *Op
	Reply *msg.OSDOpReply
	Data  buffer.List
	Err   error
}

// Stats counts what happened.
type Stats struct {
	InFlight, Homeless, Paused int
	Lingers, Sessions          int
	Epoch                      uint32
	Submitted, Sent, Resent    uint64
}

const (
	tickInterval = 5 * time.Second
	// lateAfter is how long a reply may take before we suspect that our map is
	// old (objecter_timeout).
	lateAfter = 10 * time.Second
	// Between attempts to reach an OSD.
	minReopen = 50 * time.Millisecond
	maxReopen = 5 * time.Second
	// refusedFor is how long an OSD must go on refusing us before operations
	// fail: it may only lack the newest secrets, or we the newest ticket.
	refusedFor = 15 * time.Second
)

// Core is the machine. It is not for concurrent use.
type Core struct {
	m       Map // nil: none yet
	barrier uint32
	dead    error // of Shutdown

	nextTID     uint64
	nextSession uint64
	ops         map[uint64]*Op
	homeless    map[uint64]*Op     // those without a session
	byOSD       map[int32]*session // at most one for each OSD
	byID        map[uint64]*session
	nextCookie  uint64
	lingers     map[uint64]*Linger // by cookie

	subscribed *Subscribe // the last wish since the last map
	asking     []*Op      // those that the question under way is about
	waiting    int        // sessions waiting to be dialled again
	ready      Ready
	wake       time.Time
	sent       uint64
	resent     uint64
}

// NewCore makes a machine without a map.
func NewCore() *Core {
	return &Core{
		ops: map[uint64]*Op{}, homeless: map[uint64]*Op{},
		byOSD: map[int32]*session{}, byID: map[uint64]*session{}, lingers: map[uint64]*Linger{},
	}
}

// Map is the newest map; nil before the first.
func (c *Core) Map() Map { return c.m }

// Stats returns the counters.
func (c *Core) Stats() Stats {
	s := Stats{InFlight: len(c.ops), Homeless: len(c.homeless), Lingers: len(c.lingers), Sessions: len(c.byOSD), Submitted: c.nextTID, Sent: c.sent, Resent: c.resent}
	for _, op := range c.ops {
		if op.target.paused {
			s.Paused++
		}
	}
	if c.m != nil {
		s.Epoch = c.m.Epoch()
	}
	return s
}

// Wants reports whether a session that was asked for is still of use.
func (c *Core) Wants(session uint64) bool { return c.byID[session] != nil }

// Ready returns what was decided since the last call.
func (c *Core) Ready() Ready {
	r := c.ready
	c.ready = Ready{}
	return r
}

// Wake is when the machine next wants a Tick; zero: not before the next event.
func (c *Core) Wake() time.Time {
	wake := c.wake
	if c.waiting == 0 {
		return wake
	}
	for _, s := range c.byOSD {
		if !s.reopenAt.IsZero() && (wake.IsZero() || s.reopenAt.Before(wake)) {
			wake = s.reopenAt
		}
	}
	return wake
}

// Step folds one event into the state.
func (c *Core) Step(now time.Time, in Event) {
	switch in := in.(type) {
	case Submit:
		c.submit(now, in.Op)
	case Cancel:
		if op := in.Op; c.ops[op.tid] == op {
			c.forget(op)
		}
	case NewMaps:
		c.newMaps(now, in.Maps, in.Gap)
	case Opened:
		if s := c.byID[in.Session]; s != nil && !s.up {
			s.up = true
			s.refused = time.Time{}
			c.sendAll(now, s)
		}
	case Closed:
		c.closed(now, in)
	case Reply:
		c.reply(in)
	case Begin:
		c.begin(now, in.Linger)
	case End:
		c.end(in.Linger)
	case Notify:
		c.notify(in)
	case Backoff:
		c.backoff(now, in.Session, in.Msg)
	case Newest:
		c.newest(in.Epoch)
	case Barrier:
		c.barrier = max(c.barrier, in.Epoch)
		if c.m != nil && c.m.Epoch() < c.barrier {
			c.wantMap(false)
		}
	case Shutdown:
		c.dead = in.Err
		for _, l := range c.lingersInOrder() {
			c.lose(l, in.Err)
		}
		for _, op := range inOrder(c.ops) {
			c.fail(op, in.Err)
		}
		for _, s := range sessionsInOrder(c.byOSD) {
			c.ready.Close = append(c.ready.Close, s.id)
			c.drop(s)
		}
	case Tick:
		c.tick(now)
	}
	if c.wake.IsZero() && len(c.ops)+len(c.lingers) > 0 {
		c.wake = now.Add(tickInterval)
		for _, l := range c.lingers {
			c.wakeFor(now, l)
		}
	}
}

func (c *Core) submit(now time.Time, op *Op) {
	c.nextTID++
	op.tid = c.nextTID
	op.hash = uint32(op.Locator.Hash)
	if op.Locator.Hash < 0 {
		op.Locator.Hash = -1
		op.hash = object.HashName(op.Locator.Namespace, op.Locator.Key, op.Object)
	}
	c.ops[op.tid] = op
	c.homeless[op.tid] = op
	if c.dead != nil {
		c.fail(op, c.dead)
		return
	}
	if c.m == nil {
		c.wantMap(false)
		return
	}
	op.target = c.locate(op)
	if !op.target.exists {
		c.noPool(op)
		return
	}
	op.seenPool = true
	c.house(now, op)
	c.send(now, op)
}

// noPool decides what becomes of an operation on a pool that the map lacks.
func (c *Core) noPool(op *Op) {
	c.evict(op)
	switch {
	case op.seenPool, op.bound != 0 && c.m.Epoch() >= op.bound:
		c.fail(op, fmt.Errorf("pool %d does not exist: %w", op.Locator.Pool, errno.ENOENT))
	case op.bound != 0:
		c.wantMap(false)
	case c.asking == nil:
		c.ask()
	}
}

// ask asks for the newest epoch on behalf of all operations that need to know
// it; those that come while the question is under way need one of their own.
func (c *Core) ask() {
	for _, op := range inOrder(c.homeless) {
		if op.bound == 0 && !op.target.exists {
			c.asking = append(c.asking, op)
		}
	}
	if c.asking != nil {
		c.ready.AskNewest = true
	}
}

func (c *Core) newest(epoch uint32) {
	asked := c.asking
	c.asking = nil
	for _, op := range asked {
		if c.ops[op.tid] == op && !op.target.exists {
			op.bound = max(epoch, 1)
			c.noPool(op)
		}
	}
	c.ask()
}

// house puts an operation into the session of its primary.
func (c *Core) house(now time.Time, op *Op) {
	osd := op.target.place.Primary
	if op.session != nil && op.session.osd == osd {
		return
	}
	c.evict(op)
	if osd < 0 {
		c.wantMap(false)
		return
	}
	s := c.byOSD[osd]
	if s == nil {
		addrs, up := c.m.Up(osd)
		if !up {
			c.wantMap(false)
			return
		}
		s = &session{osd: osd, addrs: addrs, ops: map[uint64]*Op{}}
		c.byOSD[osd] = s
		c.open(s)
	}
	delete(c.homeless, op.tid)
	op.session = s
	s.ops[op.tid] = op
}

// evict takes an operation out of its session.
func (c *Core) evict(op *Op) {
	if op.session != nil {
		delete(op.session.ops, op.tid)
		op.session = nil
		c.homeless[op.tid] = op
	}
	op.sent = false
}

func (c *Core) open(s *session) {
	c.settle(s)
	delete(c.byID, s.id)
	c.nextSession++
	s.id = c.nextSession
	s.up = false
	s.backoffs = nil
	c.byID[s.id] = s
	c.ready.Open = append(c.ready.Open, Open{s.id, s.osd, s.addrs})
}

// settle ends a session's wait to be dialled again.
func (c *Core) settle(s *session) {
	if !s.reopenAt.IsZero() {
		s.reopenAt = time.Time{}
		c.waiting--
	}
}

func (c *Core) drop(s *session) {
	c.settle(s)
	delete(c.byID, s.id)
	delete(c.byOSD, s.osd)
}

// send sends an operation if nothing holds it back.
func (c *Core) send(now time.Time, op *Op) {
	s := op.session
	switch {
	case op.sent || s == nil || !s.up:
		return
	case op.target.paused:
		c.wantMap(true)
		return
	case c.m.Epoch() < c.barrier:
		c.wantMap(false)
		return
	case s.blocked(op):
		return
	}
	c.sent++
	if op.attempts > 0 {
		c.resent++
	}
	c.ready.Send = append(c.ready.Send, Send{s.id, op.tid, op.message(c.m.Epoch())})
	op.attempts++
	op.sent = true
	op.sentAt = now
}

// sendAll sends what a session holds and was not sent, in order.
func (c *Core) sendAll(now time.Time, s *session) {
	for _, op := range inOrder(s.ops) {
		c.send(now, op)
	}
}

func inOrder(ops map[uint64]*Op) []*Op {
	return slices.SortedFunc(maps.Values(ops), func(a, b *Op) int { return cmp.Compare(a.tid, b.tid) })
}

// wantMap asks for the next map, once for each map we have; for all maps if
// something waits for a flag to go away.
func (c *Core) wantMap(continuous bool) {
	want := Subscribe{Continuous: continuous || c.subscribed != nil && c.subscribed.Continuous}
	if c.m != nil {
		want.Start = c.m.Epoch() + 1
	}
	if c.subscribed == nil || *c.subscribed != want {
		c.subscribed = &want
		c.ready.Subscribe = &want
	}
}

func (c *Core) newMaps(now time.Time, news []Map, gap bool) {
	for _, m := range news {
		if c.m != nil && m.Epoch() <= c.m.Epoch() {
			continue
		}
		c.m = m
		for _, op := range c.ops {
			c.follow(op, gap)
		}
		for _, l := range c.lingers {
			if l.op == nil {
				c.follow(&l.place, gap)
			}
		}
		gap = false
	}
	if c.m == nil {
		return
	}
	c.subscribed = nil

	again := c.staleNow()

	// Sessions with OSDs that are gone or came back elsewhere.
	for _, s := range sessionsInOrder(c.byOSD) {
		addrs, up := c.m.Up(s.osd)
		if up && addrs.Equal(s.addrs) {
			continue
		}
		c.ready.Close = append(c.ready.Close, s.id)
		again = append(again, c.staleWith(s)...)
		for _, op := range s.ops {
			c.evict(op)
		}
		c.drop(s)
	}

	touched := map[*session]bool{}
	for _, op := range inOrder(c.ops) {
		switch {
		case !op.target.exists:
			c.noPool(op)
			continue
		case op.session == nil || op.session.osd != op.target.place.Primary:
			c.house(now, op)
		}
		if op.session != nil && !op.sent {
			touched[op.session] = true
		}
	}
	for _, s := range sessionsInOrder(c.byOSD) {
		if touched[s] {
			c.sendAll(now, s)
		}
	}
	c.registerAll(now, again)
	if c.m.Epoch() < c.barrier {
		c.wantMap(false)
	}
}

func sessionsInOrder(m map[int32]*session) []*session {
	return slices.SortedFunc(maps.Values(m), func(a, b *session) int { return cmp.Compare(a.osd, b.osd) })
}

// follow computes an operation's target by the next map and finds out whether
// it has to be sent again.
func (c *Core) follow(op *Op, gap bool) {
	t := c.locate(op)
	// An OSD drops a write that was sent before its sender could know that there
	// is no room; so when the wait for room ends it is sent anew.
	if gap || op.target.paused && !t.paused || op.target.exists && t.exists && op.target.changed(&t) {
		op.sent = false
	}
	op.target = t
	op.seenPool = op.seenPool || t.exists
}

func (c *Core) closed(now time.Time, in Closed) {
	s := c.byID[in.Session]
	if s == nil {
		return
	}
	s.failures++
	switch {
	case !in.Refused:
		s.refused = time.Time{}
	case s.refused.IsZero():
		s.refused = now
	case now.Sub(s.refused) >= refusedFor:
		for _, op := range inOrder(s.ops) {
			c.fail(op, fmt.Errorf("osd.%d: %w", s.osd, in.Err))
		}
	}
	s.up = false
	s.backoffs = nil
	again := c.staleWith(s)
	for _, op := range s.ops {
		op.sent = false
	}
	c.registerAll(now, again)
	if len(s.ops) == 0 {
		c.drop(s)
		return
	}
	// The OSD may be dead or have moved.
	c.wantMap(false)
	if s.failures == 1 {
		c.open(s)
		return
	}
	delete(c.byID, s.id)
	c.waiting++
	s.reopenAt = now.Add(min(minReopen<<min(s.failures-2, 16), maxReopen))
}

func (c *Core) reply(in Reply) {
	s := c.byID[in.Session]
	if s == nil {
		in.Data.Release()
		return
	}
	s.failures = 0
	op := s.ops[in.TID]
	// An answer to an earlier attempt is dropped: there will be one to the last.
	if op == nil || !op.sent || in.Msg.Retry >= 0 && in.Msg.Retry != op.attempts-1 {
		in.Data.Release()
		return
	}
	c.forget(op)
	if op.linger != nil {
		c.lingerReply(op, s, in.Msg)
		in.Data.Release()
		return
	}
	c.ready.Done = append(c.ready.Done, Completion{Op: op, Reply: in.Msg, Data: in.Data})
}

// fail ends an operation with an error of our own.
func (c *Core) fail(op *Op, err error) {
	c.forget(op)
	if l := op.linger; l != nil {
		l.ended(op)
		c.lose(l, err)
		return
	}
	c.ready.Done = append(c.ready.Done, Completion{Op: op, Err: err})
}

func (c *Core) forget(op *Op) {
	c.evict(op)
	delete(c.homeless, op.tid)
	delete(c.ops, op.tid)
	op.release()
}

func (c *Core) backoff(now time.Time, session uint64, m *msg.OSDBackoff) {
	s := c.byID[session]
	if s == nil {
		return
	}
	switch m.What {
	case msg.BackoffBlock:
		if s.backoffs == nil {
			s.backoffs = map[object.SPG]map[uint64]backoff{}
		}
		if s.backoffs[m.PG] == nil {
			s.backoffs[m.PG] = map[uint64]backoff{}
		}
		s.backoffs[m.PG][m.ID] = backoff{m.Begin, m.End}
		// The acknowledgement tells the OSD from where on we keep still.
		c.ready.Send = append(c.ready.Send, Send{Session: s.id, Body: &msg.OSDBackoff{
			PG: m.PG, Epoch: c.m.Epoch(), What: msg.BackoffAckBlock, ID: m.ID, Begin: m.Begin, End: m.End,
		}})
	case msg.BackoffUnblock:
		b, ok := s.backoffs[m.PG][m.ID]
		if !ok {
			return
		}
		if delete(s.backoffs[m.PG], m.ID); len(s.backoffs[m.PG]) == 0 {
			delete(s.backoffs, m.PG)
		}
		// The OSD dropped what it had of the range, so all of it is sent again.
		for _, op := range inOrder(s.ops) {
			if op.target.pg == m.PG.PG && op.target.shard == m.PG.Shard && b.covers(op.id()) {
				op.sent = false
				c.send(now, op)
			}
		}
	}
}

func (c *Core) tick(now time.Time) {
	for _, s := range sessionsInOrder(c.byOSD) {
		if !s.reopenAt.IsZero() && !now.Before(s.reopenAt) {
			if len(s.ops) == 0 {
				c.drop(s)
			} else {
				c.open(s)
			}
		}
	}
	if c.wake.IsZero() || now.Before(c.wake) {
		return
	}
	c.wake = time.Time{}
	for _, l := range c.lingersInOrder() {
		c.pingWatch(now, l)
	}
	for _, op := range c.ops {
		if op.sent && now.Sub(op.sentAt) > lateAfter || op.session == nil {
			c.wantMap(false)
			break
		}
	}
}

// Check verifies the invariants of the package comment, for tests.
func (c *Core) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for tid, op := range c.ops {
		if op.tid != tid || tid > c.nextTID {
			bad("tid %d is filed under %d, last is %d", op.tid, tid, c.nextTID)
		}
		switch _, homeless := c.homeless[tid]; {
		case homeless == (op.session != nil):
			bad("tid %d: homeless %v, session %v", tid, homeless, op.session)
		case op.session != nil && op.session.ops[tid] != op:
			bad("tid %d is not in its session", tid)
		case op.session != nil && op.session.osd != op.target.place.Primary:
			bad("tid %d is with osd.%d, its primary is osd.%d", tid, op.session.osd, op.target.place.Primary)
		case op.sent && (op.session == nil || !op.session.up):
			bad("tid %d counts as sent without a session", tid)
		}
	}
	held := len(c.homeless)
	for osd, s := range c.byOSD {
		held += len(s.ops)
		if s.osd != osd {
			bad("osd.%d is filed under %d", s.osd, osd)
		}
		if s.reopenAt.IsZero() != (c.byID[s.id] == s) {
			bad("osd.%d: waits until %v, known by id: %v", osd, s.reopenAt, c.byID[s.id] == s)
		}
	}
	if held != len(c.ops) {
		bad("%d operations, %d of them in sessions or homeless", len(c.ops), held)
	}
	errs = append(errs, c.checkLingers())
	return errors.Join(errs...)
}
