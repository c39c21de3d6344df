package mon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
)

// history is what clients did with one key, one request after the other: each
// write has a number of its own, higher than those before. A read must not give
// less than the last write that was answered before it, nor less than an earlier
// read gave.
type history struct {
	g       *group
	written int
	floor   int
	answers int
	reads   int
}

func (h *history) write(mem *member) {
	h.g.t.Helper()
	h.written++
	a, ok := h.g.ask(mem, 3*time.Second, "config-key set", "key", "k", "val", fmt.Sprint(h.written))
	if ok && a.ret == 0 {
		h.floor = h.written
		h.answers++
	}
}

func (h *history) read(mem *member) {
	h.g.t.Helper()
	a, ok := h.g.ask(mem, 3*time.Second, "config-key get", "key", "k")
	if !ok || a.ret != 0 {
		return
	}
	n := 0
	fmt.Sscan(a.out, &n)
	if n < h.floor || n > h.written {
		h.g.t.Fatalf("mon.%s reads %d, the last one that was answered is %d of %d", mem.name, n, h.floor, h.written)
	}
	h.floor = n
	h.reads++
}

// Several monitors with clients at all of them: what was answered survives
// crashes, partitions and lost messages, and no monitor shows what is not so any
// more.
func TestMonitorsUnderFaults(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3, 5, 7} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%d monitors, seed %d", size, seed), func(t *testing.T) {
				t.Parallel()
				g := newGroup(t, seed, size)
				h := &history{g: g}
				g.mustLead()
				h.write(g.any())
				for i := range 40 {
					g.loss = 0.03 * float64(seed)
					h.write(g.any())
					h.read(g.any())
					h.read(g.any())
					names := g.names()
					victim := names[g.rng.IntN(size)]
					switch i % 8 {
					case 1: // some are cut off, less than half
						for range g.rng.IntN(size/2) + 1 {
							if len(g.cut) < size/2 {
								g.cut[names[g.rng.IntN(size)]] = true
							}
						}
					case 2: // clients of those must not be told what is old
						for n := range g.cut {
							h.read(g.mons[n])
						}
					case 3:
						g.heal()
					case 4:
						g.restart(victim)
					case 5: // hears, but is not heard
						for _, n := range names {
							g.block[[2]string{victim, n}] = true
						}
					case 6: // is heard, but does not hear
						g.block = map[[2]string]bool{}
						for _, n := range names {
							g.block[[2]string{n, victim}] = true
						}
					case 7:
						if l := g.leader(); l != nil {
							g.restart(l.name)
						}
						g.heal()
					}
				}
				g.heal()
				g.settle(g.names()...)
				g.same()
				for _, mem := range g.up() {
					h.read(mem)
				}
				if h.answers < 20 || h.reads < 40 {
					t.Errorf("only %d of %d writes and %d reads were answered", h.answers, h.written, h.reads)
				}
			})
		}
	}
}

// A monitor that missed more than the log keeps gets the whole state.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	l := g.mustLead()
	g.must(l, "config-key set", "key", "before", "val", "x")
	// Large enough for several chunks.
	for i := range 40 {
		g.must(l, "config-key set", "key", fmt.Sprintf("large%d", i), "val", strings.Repeat("v", 60<<10))
	}
	away := g.mons["a"]
	if l == away {
		away = g.mons["b"]
	}
	g.cut[away.name] = true
	for i := range trimEntries + keepEntries {
		g.must(l, "config-key set", "key", "k", "val", fmt.Sprint(i))
	}
	g.heal()
	g.settle("a", "b", "c")
	g.same()
	if got := away.m.parts.kv.Get("k"); string(got) != fmt.Sprint(trimEntries+keepEntries-1) {
		t.Errorf("mon.%s has %q", away.name, got)
	}
	if f := away.m.rlog.done.First; f < 500 {
		t.Errorf("the log of mon.%s begins at %d: no snapshot was needed", away.name, f)
	}
	// It can start from what it was given.
	g.restart(away.name)
	g.settle("a", "b", "c")
	g.same()
}

// From one monitor to five and back to one: each step on line, with a leader
// that removes itself, and a store that was lost on the way.
func TestMembers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, seed, 1)
			g.loss = 0.02 * float64(seed)
			h := &history{g: g}
			g.mustLead()
			have := []string{"a"}
			for _, n := range []string{"b", "c", "d", "e"} {
				h.write(g.any())
				g.join(n)
				have = append(have, n)
				g.settle(have...)
				h.read(g.mons[n])
			}
			// A crash before everything is synced changes nothing.
			g.restart("e")
			g.restart("b")
			g.settle(have...)

			g.crash("c")
			h.write(g.mustLead())
			id := g.mustLead().m.parts.mon.RaftID("c")
			g.join("c") // with an empty store
			g.settle(have...)
			if now := g.mustLead().m.parts.mon.RaftID("c"); now == id {
				t.Error("an empty store has the number of the lost one")
			}
			h.read(g.mons["c"])

			for len(have) > 1 {
				l := g.mustLead()
				out := l.name
				g.must(g.mons[have[len(have)-1]], "mon rm", "name", out)
				have = slices.DeleteFunc(have, func(n string) bool { return n == out })
				if !g.run(time.Minute, func() bool { return l.m == nil }) || !errors.Is(l.ended, ErrRemoved) {
					t.Fatalf("mon.%s was removed, and ended with %v", out, l.ended)
				}
				delete(g.mons, out)
				g.settle(have...)
				h.write(g.any())
				h.read(g.any())
			}
			g.same()
			if _, err := New(Config{Name: "zz", Rand: seeded(1)}, g.mons[have[0]].db, g.now); !errors.Is(err, ErrRemoved) {
				t.Errorf("a monitor that is in no map: %v", err)
			}
		})
	}
}

// "mon add" of a monitor that is not there yet keeps the quorum as it is; when
// it comes it takes the place that was made for it.
func TestAddBeforeJoin(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 1)
	l := g.mustLead()
	a := g.must(l, "mon add", "name", "b", "addr", "127.0.0.1:3301")
	if want := "adding mon.b at v2:127.0.0.1:3301/0"; !strings.HasPrefix(a.rs, "adding mon.b at ") {
		t.Errorf("said %q, want %q", a.rs, want)
	}
	g.run(10*time.Second, nil)
	g.must(l, "config-key set", "key", "k", "val", "v")
	id := l.m.parts.mon.RaftID("b")
	if out := g.must(l, "health"); !strings.Contains(out.out, "1/2 mons down, quorum a") {
		t.Errorf("health: %s", out.out)
	}
	g.join("b")
	g.settle("a", "b")
	if got := l.m.parts.mon.RaftID("b"); got != id {
		t.Errorf("mon.b has the number %d, was to have %d", got, id)
	}
	if out := g.must(g.mons["b"], "config-key get", "key", "k"); out.out != "v" {
		t.Errorf("mon.b reads %q", out.out)
	}
}

// A monitor without a quorum answers nobody: clients with a request are sent
// away after one lease, all others after two, new ones at once.
func TestWithoutQuorum(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	g.mustLead()
	g.settle("a", "b", "c")
	idle := g.open(g.mons["a"], "client.idle", "allow *")
	asks := g.open(g.mons["a"], "client.asks", "allow *")
	g.crash("b")
	g.crash("c")
	a := g.mons["a"]
	began := g.now
	g.step(a, Received{ID: asks, TID: 7, Body: &msg.MonGetVersion{Handle: 1, What: "osdmap"}})
	closedAfter := func(id uint64) time.Duration {
		t.Helper()
		if !g.run(time.Minute, func() bool { return a.gone[id] }) {
			t.Fatal("the session lasts")
		}
		return g.now.Sub(began)
	}
	if d := closedAfter(asks); d < 4*time.Second || d > 9*time.Second {
		t.Errorf("who asked is sent away after %v", d)
	}
	if d := closedAfter(idle); d < 10*time.Second || d > 15*time.Second {
		t.Errorf("who did not is sent away after %v", d)
	}
	if slices.ContainsFunc(a.sent, func(s Send) bool { return s.Session == asks && s.TID == 7 }) {
		t.Error("a monitor without a quorum answered")
	}
	late := g.open(a, "client.late", "allow *")
	if !a.gone[late] {
		t.Error("a client is let in by a monitor without a quorum")
	}
	g.start(g.mons["b"])
	if !g.run(10*time.Second, func() bool { return g.leader() != nil }) {
		t.Fatal("two of three do not agree")
	}
	g.must(a, "config-key set", "key", "k", "val", "v")
}

// A message is served once by a leader, however often it arrives, and the
// answer comes though it was lost at first.
func TestForwardedOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	l := g.mustLead()
	g.settle("a", "b", "c")
	peon := g.mons["a"]
	if peon == l {
		peon = g.mons["b"]
	}
	g.block[[2]string{l.name, peon.name}] = true // answers are lost
	id := g.open(peon, "client.admin", "allow *")
	g.step(peon, Received{ID: id, TID: 9, Body: &msg.MonCommand{FSID: fsid, Cmd: []string{`{"prefix":"osd pool create","pool":"p"}`}}})
	g.run(300*time.Millisecond, nil)
	for range 5 { // the line is made anew again and again
		g.step(peon, Connected{l.name})
		g.run(50*time.Millisecond, nil)
	}
	g.block = map[[2]string]bool{}
	g.step(peon, Connected{l.name})
	var got []*msg.MonCommandAck
	g.run(2*time.Second, func() bool {
		got = nil
		for _, s := range peon.sent {
			if ack, ok := s.Body.(*msg.MonCommandAck); ok && s.Session == id && s.TID == 9 {
				got = append(got, ack)
			}
		}
		return len(got) > 0
	})
	if len(got) != 1 || got[0].Result != 0 || got[0].Status != "pool 'p' created" {
		t.Errorf("answers %+v", got)
	}
	if n := len(l.m.parts.osd.Map().Pools); n != 1 {
		t.Errorf("%d pools", n)
	}
	if p := l.m.fwd.peons[peon.name]; p != nil && len(p.running) > 0 {
		t.Error("the leader thinks that it still serves the request")
	}
}

// Whatever monitor gives global ids, none is given twice.
func TestGlobalIDsOfAll(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	seen := map[uint64]string{}
	var token uint64
	for round := range 4 {
		g.mustLead()
		g.settle("a", "b", "c")
		for _, mem := range g.up() {
			mem.ids = nil
			for range 1500 {
				token++
				g.step(mem, WantGlobalID{token})
			}
			if !g.run(10*time.Second, func() bool { return len(mem.ids) == 1500 }) {
				t.Fatalf("mon.%s gave %d ids", mem.name, len(mem.ids))
			}
			for _, id := range mem.ids {
				if other := seen[id]; other != "" {
					t.Fatalf("id %d is given by %s and by mon.%s", id, other, mem.name)
				}
				seen[id] = fmt.Sprintf("mon.%s in round %d", mem.name, round)
			}
		}
		g.restart(g.mustLead().name)
	}
}

// The manager is that of the leader; the others stand by.
func TestManagerFollows(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	for range 3 {
		l := g.mustLead()
		g.settle("a", "b", "c")
		if !g.run(10*time.Second, func() bool {
			mm := g.any().m.parts.mgr.Map()
			return mm.Available && mm.ActiveName == l.name && len(mm.Standbys) == 2
		}) {
			t.Fatalf("mon.%s leads, the manager is %+v", l.name, l.m.parts.mgr.Map())
		}
		for _, mem := range g.up() {
			g.last++
			g.step(mem, SessionOpened{ID: g.last, Mgr: true})
			if got := mem.gone[g.last]; got != (mem != l) {
				t.Errorf("mon.%s of leader mon.%s: session with the manager ended: %v", mem.name, l.name, got)
			}
		}
		g.crash(l.name)
		g.mustLead()
		g.start(l)
	}
}

// The leader notices clocks that differ, and disks that fill up.
func TestClocksAndDisks(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	l := g.mustLead()
	g.settle("a", "b", "c")
	var other *member
	for _, mem := range g.up() {
		if mem != l {
			other = mem
		}
	}
	other.skew = 700 * time.Millisecond
	g.run(3*time.Second, nil)
	a, _ := g.ask(l, time.Second, "health", "detail", "detail")
	for _, want := range []string{"MON_CLOCK_SKEW", "clock skew detected on mon." + other.name, "mon." + other.name + " clock skew 0.", "s > max 0.05s (latency "} {
		if !strings.Contains(a.out, want) {
			t.Errorf("health has no %q:\n%s", want, a.out)
		}
	}
	other.skew = 0
	g.step(other, DiskSpace{100, 20})
	g.run(3*time.Second, nil)
	a, _ = g.ask(l, time.Second, "health", "detail", "detail")
	if strings.Contains(a.out, "MON_CLOCK_SKEW") || !strings.Contains(a.out, "mon "+other.name+" is low on available space") ||
		!strings.Contains(a.out, "mon."+other.name+" has 20% avail") {
		t.Errorf("health:\n%s", a.out)
	}
	// With no room at all a leader lets another one lead, and stops.
	g.step(l, DiskSpace{100, 2})
	if !g.run(3*time.Second, func() bool { return l.m == nil }) || !errors.Is(l.ended, ErrDiskFull) {
		t.Fatalf("mon.%s with a full disk: %v", l.name, l.ended)
	}
	g.must(g.mustLead(), "config-key set", "key", "k", "val", "v")
}

// After the death of the leader writes go on within three seconds; if the lines
// to it break, as when its process was killed, within one.
func TestTimeWithoutLeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		broken bool
		limit  time.Duration
	}{{false, 3 * time.Second}, {true, time.Second}} {
		worst := time.Duration(0)
		for seed := range uint64(20) {
			g := newGroup(t, seed, 3+2*int(seed%3))
			l := g.mustLead()
			g.settle(g.names()...)
			g.crash(l.name)
			for _, mem := range g.up() {
				if c.broken {
					g.step(mem, Disconnected{l.name})
				}
			}
			began := g.now
			mem := g.any()
			g.must(mem, "config-key set", "key", "k", "val", "v")
			worst = max(worst, g.now.Sub(began))
		}
		if worst > c.limit {
			t.Errorf("lines broken %v: a write took %v", c.broken, worst)
		}
		t.Logf("lines broken %v: the longest write took %v", c.broken, worst)
	}
}

// A broken line to a leader that lives deposes nobody.
func TestBrokenLine(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	l := g.mustLead()
	g.settle("a", "b", "c")
	term := l.m.term
	for _, mem := range g.up() {
		if mem != l {
			g.step(mem, Disconnected{l.name})
			g.run(2*time.Second, nil)
			g.must(mem, "config-key set", "key", "k", "val", "v")
		}
	}
	if l.m.term != term || !l.m.leading {
		t.Errorf("mon.%s led in term %d, now it is %d, leading %v", l.name, term, l.m.term, l.m.leading)
	}
}

// "sync_force" throws a store away at the next start; "quorum exit" keeps a
// monitor out until "quorum enter".
func TestForcedOut(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 1, 3)
	g.mustLead()
	g.settle("a", "b", "c")
	b := g.mons["b"]
	tell := func(mem *member, cmd string, want errno.Errno) string {
		t.Helper()
		r := mem.m.Admin(cmd)
		if r.Errno != want {
			t.Errorf("%s: %v %s", cmd, r.Errno, r.Status)
		}
		g.drain(mem)
		return string(r.Output)
	}
	tell(b, "sync_force", errno.EPERM)
	tell(b, `{"prefix":"sync_force","validate":"--yes-i-really-mean-it"}`, 0)
	g.run(100*time.Millisecond, nil)
	id := b.m.parts.mon.RaftID("b")
	g.must(b, "config-key set", "key", "k", "val", "v")
	b.db.durable = b.db.now // the command is not in a hurry
	g.restart("b")
	g.restart("b") // it was interrupted
	if out := tell(b, "mon_status", 0); !strings.Contains(out, `"state": "probing"`) {
		t.Errorf("status while it joins: %s", out)
	}
	tell(b, "version", errno.EAGAIN)
	g.settle("a", "b", "c")
	if now := b.m.parts.mon.RaftID("b"); now == id {
		t.Errorf("mon.b has the number %d as before", now)
	}
	if a := g.must(b, "config-key get", "key", "k"); a.out != "v" {
		t.Errorf("mon.b reads %q", a.out)
	}

	l := g.mustLead()
	tell(l, "quorum exit", 0)
	if !g.run(10*time.Second, func() bool { n := g.leader(); return n != nil && n != l && !l.m.inQuorum() }) {
		t.Fatal("the leader that was told to go leads on")
	}
	g.must(g.leader(), "config-key set", "key", "k", "val", "w")
	tell(l, "quorum enter", 0)
	g.settle("a", "b", "c")
	if a := g.must(l, "config-key get", "key", "k"); a.out != "w" {
		t.Errorf("mon.%s reads %q", l.name, a.out)
	}
}
