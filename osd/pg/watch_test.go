package pg

import (
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// client is a connection of a client's to a world.
type client struct {
	w *world
	s *Session
}

func (w *world) client(gid int64, port uint16) *client {
	addr := entity.Addr{Type: entity.AddrAny, AP: addrPort(port), Nonce: uint32(gid)}
	return &client{w, &Session{Name: entity.Name{Type: entity.Client, Num: gid}, Addr: addr}}
}

// again is the same client by a new connection.
func (c *client) again() *client {
	s := *c.s
	return &client{c.w, &s}
}

func (c *client) do(name string, ops ...msg.Op) *msg.OSDOpReply {
	c.w.t.Helper()
	r := c.w.request(name, 0, 0, ops...)
	r.Session = c.s
	return c.w.send(r)
}

// want does operations and checks the result.
func (c *client) want(result int32, name string, ops ...msg.Op) {
	c.w.t.Helper()
	wantResult(c.w.t, c.do(name, ops...), result)
}

func (c *client) closes() { c.w.step(SessionClosed{c.s}) }

// heard returns what the client was told of watches since the last call.
func (c *client) heard() (list []*msg.WatchNotify) {
	c.w.sends = slices.DeleteFunc(c.w.sends, func(s Send) bool {
		m, ok := s.Body.(*msg.WatchNotify)
		if ok && s.To == c.s {
			list = append(list, m)
		}
		return ok && s.To == c.s
	})
	return list
}

// hears checks what the client was told, and returns it.
func (c *client) hears(what ...uint8) []*msg.WatchNotify {
	c.w.t.Helper()
	got := c.heard()
	if len(got) != len(what) {
		c.w.t.Fatalf("%v heard %d messages, want %d", c.s.Name, len(got), len(what))
	}
	for i, m := range got {
		if m.What != what[i] {
			c.w.t.Fatalf("%v heard %d, want %v", c.s.Name, m.What, what)
		}
	}
	return got
}

// pass lets time pass, with the ticks that the group wants.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for at := w.pg.Wake(); !at.IsZero() && !at.After(end); at = w.pg.Wake() {
		if w.now.Before(at) {
			w.now = at
		}
		w.step(Tick{})
	}
	if w.now.Before(end) {
		w.now = end
	}
}

func opWatch(what uint8, cookie uint64, timeout uint32) msg.Op {
	o := msg.Op{Code: msg.OpWatch}
	o.PutU64(0, cookie)
	o.Args[16] = what
	o.PutU32(21, timeout)
	return o
}

func watches(cookie uint64) msg.Op    { return opWatch(msg.WatchWatch, cookie, 0) }
func unwatches(cookie uint64) msg.Op  { return opWatch(msg.WatchUnwatch, cookie, 0) }
func pings(cookie uint64) msg.Op      { return opWatch(msg.WatchPing, cookie, 0) }
func reconnects(cookie uint64) msg.Op { return opWatch(msg.WatchReconnect, cookie, 0) }

const (
	enotconn  = -int32(errno.ENOTCONN)
	enoent    = -int32(errno.ENOENT)
	etimedout = -int32(errno.ETIMEDOUT)
)

// watchers lists who watches, as a client sees it.
func (w *world) watchers(name string) (cookies []uint64) {
	w.t.Helper()
	r := w.do(name, msg.Op{Code: msg.OpListWatchers})
	wantResult(w.t, r, 0)
	d := wire.NewDecoder(r.Ops[0].Out.Bytes())
	env := d.Begin("list", 1)
	wire.DecodeSlice(d, 1, func() (none struct{}) {
		env := d.Begin("item", 2)
		var who entity.Name
		who.Decode(d)
		cookies = append(cookies, d.U64())
		d.End(env)
		return
	})
	d.End(env)
	if d.Err() != nil {
		w.t.Fatal(d.Err())
	}
	return cookies
}

func (w *world) wantWatchers(name string, want ...uint64) {
	w.t.Helper()
	if got := w.watchers(name); !slices.Equal(got, want) {
		w.t.Fatalf("%s is watched by %v, want %v", name, got, want)
	}
}

func TestWatchComesAndGoes(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(1, 1), w.client(2, 2)
	a.want(enoent, "o", watches(7))
	a.want(enoent, "o", pings(7))
	before := w.do("o", opWriteFull("x")).UserVersion
	a.want(enotconn, "o", pings(7))
	a.want(enotconn, "o", reconnects(7))
	a.want(0, "o", unwatches(7)) // nothing to do
	a.want(0, "o", watches(7))
	a.want(0, "o", watches(7)) // twice is once
	b.want(0, "o", watches(7))
	b.want(0, "o", watches(5))
	w.wantWatchers("o", 5, 7, 7)
	a.want(0, "o", pings(7))
	a.want(enotconn, "o", pings(5))
	a.want(0, "o", unwatches(7))
	a.want(enotconn, "o", pings(7))
	w.wantWatchers("o", 5, 7)
	if got := w.do("o", opRead(0, 0)).UserVersion; got != before {
		t.Errorf("watching made version %d of %d", got, before)
	}
	a.hears()
	b.hears()
}

func TestWatchOfOtherClientIsNotTouched(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(1, 1), w.client(2, 2)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "o", unwatches(7))
	b.want(enotconn, "o", reconnects(7))
	w.wantWatchers("o", 7)
}

func TestSilentWatcherIsRemoved(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(1, 1), w.client(2, 2)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "o", opWatch(msg.WatchWatch, 8, 100))
	for range 10 {
		w.pass(25 * time.Second)
		a.want(0, "o", pings(7))
		b.want(0, "o", pings(8))
	}
	before := w.do("o", opRead(0, 0)).UserVersion
	w.pass(29 * time.Second)
	w.wantWatchers("o", 7, 8)
	w.pass(2 * time.Second)
	w.wantWatchers("o", 8)
	if m := a.hears(msg.NotifyDisconnect)[0]; m.Cookie != 7 || m.NotifyID != 0 || m.Notifier != 0 {
		t.Errorf("disconnected by %+v", m)
	}
	a.want(enotconn, "o", pings(7))
	a.want(enotconn, "o", reconnects(7))
	w.pass(100 * time.Second)
	w.wantWatchers("o")
	b.hears(msg.NotifyDisconnect)
	if !w.pg.Wake().IsZero() {
		t.Errorf("wants to be woken at %v for nothing", w.pg.Wake())
	}
	if got := w.do("o", opRead(0, 0)).UserVersion; got != before {
		t.Errorf("removing watches made version %d of %d", got, before)
	}
	w.restart(true)
	w.wantWatchers("o")
}

func TestWatcherComesBack(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	a.closes()
	a = a.again()
	a.want(etimedout, "o", pings(7)) // it has to connect first
	w.pass(20 * time.Second)
	a.want(0, "o", reconnects(7))
	a.want(0, "o", pings(7))
	w.pass(29 * time.Second)
	a.want(0, "o", pings(7))
	// The end of the old connection comes late.
	late := a
	a = a.again()
	a.want(0, "o", reconnects(7))
	late.closes()
	a.want(0, "o", pings(7))
	a.closes()
	w.pass(31 * time.Second)
	a.again().want(enotconn, "o", reconnects(7))
	w.wantWatchers("o")
}

func TestClientOfBeforeDoesNotPing(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", opWatch(msg.WatchLegacyWatch, 7, 0))
	w.pass(time.Hour)
	w.wantWatchers("o", 7)
	a.closes()
	w.pass(29 * time.Second)
	w.wantWatchers("o", 7)
	w.pass(2 * time.Second)
	w.wantWatchers("o")
}

func TestWatchSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(1, 1), w.client(2, 2)
	w.do("o", opWriteFull("x"))
	w.do("p", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "p", watches(8))
	w.pass(20 * time.Second)
	w.restart(true)
	// The whole timeout begins anew, and nobody has to touch the object.
	w.pass(29 * time.Second)
	a = a.again()
	a.want(0, "o", reconnects(7))
	w.pass(2 * time.Second)
	a.want(0, "o", pings(7))
	b.again().want(enotconn, "p", reconnects(8))
	w.wantWatchers("o", 7)
	w.wantWatchers("p")
}

func TestWatchInNewInterval(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	change := func(min uint8) {
		w.m = testMap(t, func(m *osdmap.Map) {
			m.Epoch = w.m.Epoch + 1
			m.Pools[testPool].MinSize = min
		})
		w.step(MapChange{Map: w.m})
	}
	w.pass(29 * time.Second)
	change(2)
	if w.pg.Active() || !w.pg.Wake().IsZero() {
		t.Fatal("serves, or its timers run, without enough replicas")
	}
	w.pass(time.Hour)
	change(1)
	a.want(etimedout, "o", pings(7))
	w.pass(29 * time.Second)
	a.want(0, "o", reconnects(7))
	w.wantWatchers("o", 7)
	w.pass(31 * time.Second)
	w.wantWatchers("o")
}

// A client that connects again waits while a copy of the object is filled, as all
// who change it do. Its ping comes after that, however early it is: before it, the
// ping would say that the watch is lost.
func TestPingWaitsForReconnect(t *testing.T) {
	t.Parallel()
	g := newGang(t, 1, 3, 3)
	send := func(op msg.Op) *Request { return g.sendOp("o", op, g.newest().Epoch) }
	g.calm()
	g.ask("o", true)
	g.calm()
	send(watches(1))
	g.calm()
	g.crash(g.osds[2])
	g.markDown(2)
	g.calm()
	g.ask("o", true)
	g.calm()
	g.occupy(200) // no place to recover: only what is asked for is filled
	g.start(g.osds[2])
	g.calm()

	again, ping := send(reconnects(1)), send(pings(1))
	if again.Stage != StageWaitRecovery || ping.Stage != StageWaitRecovery {
		t.Fatalf("connecting again is at stage %v, the ping at %v", again.Stage, ping.Stage)
	}
	g.calm()
	id := object.New(testPool, "", "", "o")
	o, err := g.primary().object(id)
	if err != nil {
		t.Fatal(err)
	}
	if w := o.watch(WatchKey{1, g.sess.Name}); w == nil || w.session == nil || ping.Stage != StageDone {
		t.Errorf("afterwards the watch is %+v, the ping at stage %v", w, ping.Stage)
	}
}

// sendOp sends the primary a request of a client that has the map of an epoch.
func (g *gang) sendOp(name string, op msg.Op, epoch uint32) *Request {
	g.tid++
	id := object.New(testPool, "", "", name)
	r := &Request{Session: g.sess, TID: g.tid, Received: g.now, Op: &msg.OSDOp{
		PG: gangPG, Hash: id.Hash, Epoch: epoch, MTime: g.now, OID: name, Ops: []msg.Op{op},
		Locator: object.Locator{Pool: testPool, Hash: -1}, SnapID: object.NoSnap,
	}}
	g.step(g.osds[g.primary().env.Whoami], r)
	return r
}

// A ping of an interval that has ended is not answered: the client may read the
// answer before the map that it is sent with it, and take for lost a watch that has
// to connect again.
func TestPingOfFormerInterval(t *testing.T) {
	t.Parallel()
	g := newGang(t, 1, 3, 3)
	g.calm()
	was := g.newest().Epoch
	g.sendOp("o", watches(1), was)
	g.calm()
	g.lose(2) // a copy only: the primary stays
	answers := 0
	g.hears = func(s Send) {
		if _, ok := s.Body.(*msg.OSDOpReply); ok {
			answers++
		}
	}
	g.sendOp("o", pings(1), was)
	g.calm()
	if answers != 0 {
		t.Fatalf("%d answers to a client that does not know of the interval", answers)
	}
	now := g.newest().Epoch
	for _, op := range []msg.Op{reconnects(1), pings(1)} {
		g.sendOp("o", op, now)
		g.calm()
	}
	if answers != 2 {
		t.Errorf("%d answers", answers)
	}
}

func TestDeleteEndsWatches(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	a.want(0, "o", watches(8))
	wantResult(t, w.do("o", msg.Op{Code: msg.OpDelete}), 0)
	if m := a.hears(msg.NotifyDisconnect, msg.NotifyDisconnect); m[0].Cookie != 7 || m[1].Cookie != 8 {
		t.Errorf("disconnected %d and %d", m[0].Cookie, m[1].Cookie)
	}
	a.want(enoent, "o", pings(7))
	w.do("o", opWriteFull("x"))
	a.want(enotconn, "o", pings(7))
	// Deleted and made anew at once, with a new watch.
	a.want(0, "o", watches(7))
	a.want(0, "o", msg.Op{Code: msg.OpDelete}, msg.Op{Code: msg.OpCreate}, watches(9))
	a.hears(msg.NotifyDisconnect)
	w.wantWatchers("o", 9)
	a.want(0, "o", pings(9))
	w.pass(time.Minute)
	w.restart(true)
	if ids, err := w.pg.watchedObjects(); err != nil || len(ids) > 0 {
		t.Errorf("%v are in the list of watched objects, %v", ids, err)
	}
}

func TestBlocklistedWatcherIsRemovedAtOnce(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(1, 1), w.client(2, 2)
	w.do("o", opWriteFull("x"))
	w.do("p", opWriteFull("x"))
	a.want(0, "o", watches(7))
	a.want(0, "p", watches(8))
	b.want(0, "o", watches(9))
	w.m = testMap(t, func(m *osdmap.Map) {
		m.Epoch = w.m.Epoch + 1
		m.Blocklist[a.s.Addr] = w.now.Add(time.Hour)
	})
	w.step(MapChange{Map: w.m})
	w.pass(0)
	w.wantWatchers("o", 9)
	w.wantWatchers("p")
	a.hears(msg.NotifyDisconnect, msg.NotifyDisconnect)
	b.hears()
	w.restart(true)
	w.wantWatchers("o", 9)
}

func TestBlocklistedWatcherAfterRestart(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	w.m = testMap(t, func(m *osdmap.Map) {
		m.Epoch = w.m.Epoch + 1
		m.Blocklist[a.s.Addr] = w.now.Add(time.Hour)
	})
	w.restart(true)
	w.pass(0)
	w.wantWatchers("o")
}

func TestRefusedWatchIsNone(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	w.refuse = objstore.ErrNoSpace
	a.want(-int32(errno.ENOSPC), "o", watches(7))
	w.wantWatchers("o")
	a.want(0, "o", watches(7))
	w.refuse = objstore.ErrNoSpace
	a.want(-int32(errno.ENOSPC), "o", unwatches(7))
	a.want(0, "o", pings(7))
	// No room to remove it: it stays, for a little while.
	w.refuse = objstore.ErrNoSpace
	w.pass(31 * time.Second)
	w.wantWatchers("o", 7)
	w.pass(watchRetry)
	w.wantWatchers("o")
	a.hears(msg.NotifyDisconnect)
}

func TestWatchedObjectsStayInMemory(t *testing.T) {
	w := newWorld(t)
	w.env.Config.ContextCache = 4
	a := w.client(1, 1)
	name := func(i int) string { return string(rune('A' + i)) }
	for i := range 20 {
		w.do(name(i), opWriteFull("x"))
		if i%2 == 0 {
			a.want(0, name(i), watches(uint64(i)))
		}
	}
	if n := len(w.pg.objects.byID); n < 10 || n > 15 {
		t.Errorf("%d objects are in memory, 10 are watched, 4 may be beside", n)
	}
	for i := 0; i < 20; i += 2 {
		a.want(0, name(i), pings(uint64(i)))
		a.want(0, name(i), unwatches(uint64(i)))
	}
	if n := len(w.pg.objects.byID); n > 5 {
		t.Errorf("%d objects are in memory, 4 may be", n)
	}
}

// A watch is with its object when the group is split.
func TestWatchedObjectMovesInSplit(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		w.do(name, opWriteFull("x"))
		a.want(0, name, watches(7))
	}
	w.m = testMap(t, func(m *osdmap.Map) {
		m.Epoch = w.m.Epoch + 1
		m.Pools[testPool].PGNum, m.Pools[testPool].PGPNum = 2, 2
		m.PGUpmap[object.PG{Pool: testPool, Seed: 1}] = []int32{0}
	})
	parent := w.pg.id
	w.step(MapChange{Map: w.m})
	found := 0
	for seed := range uint32(2) {
		w.pg.id.Seed = seed
		w.restart(true)
		for _, at := range w.pg.Watchers() {
			found++
			if got := object.StableMod(at.Object.Hash, 2, 1); got != seed {
				t.Errorf("%v is watched in group %d, it belongs to %d", at.Object, seed, got)
			}
		}
		if n := len(w.pg.Watchers()); n == 0 || n == 6 {
			t.Errorf("%d watches in group %d", n, seed)
		}
		w.pass(31 * time.Second)
		if n := len(w.pg.Watchers()); n > 0 {
			t.Errorf("%d watches are left in group %d", n, seed)
		}
	}
	w.pg.id = parent
	if found != 6 {
		t.Errorf("%d watches are left of 6", found)
	}
}
