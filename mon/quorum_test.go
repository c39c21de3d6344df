package mon

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/msg"
)

// trio drives three monitors with a network that loses and reorders.
type trio struct {
	t    *testing.T
	now  time.Time
	mons map[string]*member
	rng  *rand.Rand
	loss float64
	cut  map[string]bool // does not hear and is not heard
	wire []envelope
}

type envelope struct {
	to   string
	from string
	data []byte
}

type member struct {
	name string
	m    *Mon
	db   *memory
	sent []Send
}

func newTrio(t *testing.T, seed uint64) *trio {
	t.Helper()
	g := genesis(t)
	g.Mons = nil
	for i, n := range []string{"a", "b", "c"} {
		g.Mons = append(g.Mons, Member{n, addrs(t, fmt.Sprintf("v2:127.0.0.1:%d/0", 3300+i))})
	}
	ops, err := Bootstrap(g)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trio{t: t, now: epoch0, mons: map[string]*member{}, rng: rand.New(rand.NewPCG(seed, 1)), cut: map[string]bool{}}
	for _, n := range []string{"a", "b", "c"} {
		mem := &member{name: n, db: newMemory()}
		mem.db.write(ops, true)
		tr.mons[n] = mem
		tr.start(mem)
	}
	return tr
}

func (tr *trio) start(mem *member) {
	tr.t.Helper()
	m, err := New(Config{Name: mem.name, Rand: seeded(3), Keys: cephx.NewKeyServer(cephx.TTLs{}, nil),
		Manager: Manager{Name: mem.name, Addrs: addrs(tr.t, "v2:127.0.0.1:6800/1")}}, mem.db, tr.now)
	if err != nil {
		tr.t.Fatal(err)
	}
	mem.m, mem.sent = m, nil
}

// run lets time pass in steps of a raft tick.
func (tr *trio) run(d time.Duration, until func() bool) bool {
	tr.t.Helper()
	for end := tr.now.Add(d); tr.now.Before(end); tr.now = tr.now.Add(10 * time.Millisecond) {
		for _, n := range []string{"a", "b", "c"} {
			mem := tr.mons[n]
			mem.m.Step(tr.now, Tick{})
			tr.drain(mem)
		}
		mail := tr.wire
		tr.wire = nil
		tr.rng.Shuffle(len(mail), func(i, j int) { mail[i], mail[j] = mail[j], mail[i] })
		for _, e := range mail {
			if tr.cut[e.to] || tr.cut[e.from] || tr.rng.Float64() < tr.loss {
				continue
			}
			tr.mons[e.to].m.Step(tr.now, FromPeer{e.from, e.data})
			tr.drain(tr.mons[e.to])
		}
		if until != nil && until() {
			return true
		}
	}
	return until == nil
}

func (tr *trio) drain(mem *member) {
	tr.t.Helper()
	for range 100 {
		mem.m.check()
		r := mem.m.Ready()
		if r.Err != nil {
			tr.t.Fatalf("mon.%s: %v", mem.name, r.Err)
		}
		if r.Empty() {
			return
		}
		if r.Batch != nil {
			mem.db.write(r.Batch, r.Sync)
		}
		for _, s := range r.Peers {
			tr.wire = append(tr.wire, envelope{s.To, mem.name, s.Data})
		}
		mem.sent = append(mem.sent, r.Sends...)
		if r.Batch != nil {
			mem.m.Step(tr.now, Persisted{})
		}
	}
}

func (tr *trio) leader() *member {
	for _, n := range []string{"a", "b", "c"} {
		if mem := tr.mons[n]; mem.m.writable() && !tr.cut[n] {
			return mem
		}
	}
	return nil
}

// set gives a command to the leader and reports whether it was answered in time.
func (tr *trio) set(key, value string) bool {
	tr.t.Helper()
	if !tr.run(3*time.Minute, func() bool { return tr.leader() != nil }) {
		for n, mem := range tr.mons {
			st := mem.m.rn.Status()
			tr.t.Logf("mon.%s: cut %v, %v, term %d, lead %x, commit %d, applied %d; leading %v, caught up %v, proposal %d, writing %v", n, tr.cut[n],
				st.RaftState, st.HardState.GetTerm(), st.Lead, st.HardState.GetCommit(), st.Applied, mem.m.leading, mem.m.caughtUp, mem.m.proposal, mem.m.writing != nil)
		}
		tr.t.Fatal("no leader")
	}
	l := tr.leader()
	id := uint64(tr.rng.Uint32()) + 1
	l.m.Step(tr.now, SessionOpened{ID: id, Identity: &cephx.Identity{Caps: map[string]string{"mon": "allow *"}}})
	l.m.Step(tr.now, Received{ID: id, TID: 1, Body: &msg.MonCommand{FSID: fsid,
		Cmd: []string{fmt.Sprintf(`{"prefix":"config-key set","key":%q,"val":%q}`, key, value)}}})
	tr.drain(l)
	ok := tr.run(3*time.Second, func() bool {
		return slices.ContainsFunc(l.sent, func(s Send) bool {
			ack, is := s.Body.(*msg.MonCommandAck)
			return s.Session == id && is && ack.Result == 0
		})
	})
	// The client gives up: what it asked for must not be done any more, unless
	// it is on its way already.
	l.m.Step(tr.now, SessionClosed{id})
	return ok
}

func (tr *trio) same() {
	tr.t.Helper()
	state := func(mem *member) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range mem.db.now {
			if strings.HasPrefix(k, statePrefix) {
				out[k] = v
			}
		}
		return out
	}
	a := state(tr.mons["a"])
	for _, n := range []string{"b", "c"} {
		b := state(tr.mons[n])
		if !maps.EqualFunc(a, b, bytes.Equal) {
			for _, k := range slices.Sorted(maps.Keys(a)) {
				if !bytes.Equal(a[k], b[k]) {
					tr.t.Errorf("mon.a and mon.%s differ at %s", n, k)
				}
			}
			tr.t.Errorf("mon.a has %d keys, mon.%s %d", len(a), n, len(b))
		}
	}
}

// Three monitors through the same code: what was answered survives the loss of
// the leader, of messages, of unsynced writes, and of entries that were trimmed.
func TestThreeMonitors(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		tr := newTrio(t, seed)
		tr.loss = 0.02 * float64(seed)
		acked := map[string]string{}
		names := []string{"a", "b", "c"}
		for i := range 40 {
			k, v := fmt.Sprintf("k%d", i%10), fmt.Sprintf("v%d.%d", seed, i)
			delete(acked, k) // if it is not answered both values are good
			if tr.set(k, v) {
				acked[k] = v
			}
			switch {
			case i%9 == 4:
				tr.cut = map[string]bool{names[tr.rng.IntN(3)]: true}
			case i%9 == 8:
				tr.cut = map[string]bool{}
			case i%7 == 3:
				mem := tr.mons[names[tr.rng.IntN(3)]]
				mem.db = mem.db.crash()
				tr.start(mem)
			}
		}
		tr.cut, tr.loss = map[string]bool{}, 0
		tr.run(10*time.Second, nil)
		tr.same()
		for k, v := range acked {
			if got := string(tr.mons["b"].m.parts.kv.Reader().Get(k)); got != v {
				t.Errorf("seed %d: %s is %q, answered was %q", seed, k, got, v)
			}
		}
		if len(acked) < 5 {
			t.Errorf("seed %d: only %d commands were answered", seed, len(acked))
		}
	}
}

// A monitor that missed more than the log keeps gets the whole state.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	tr := newTrio(t, 1)
	if !tr.set("before", "x") {
		t.Fatal("not answered")
	}
	away := "a"
	if tr.leader().name == "a" {
		away = "b"
	}
	tr.cut[away] = true
	for i := range trimEntries + keepEntries {
		if !tr.set("k", fmt.Sprint(i)) {
			t.Fatal("not answered")
		}
	}
	tr.cut = map[string]bool{}
	tr.run(10*time.Second, nil)
	tr.same()
	if got := tr.mons[away].m.parts.kv.Get("k"); string(got) != fmt.Sprint(trimEntries+keepEntries-1) {
		t.Errorf("mon.%s has %q", away, got)
	}
	if f := tr.mons[away].m.rlog.done.First; f < 500 {
		t.Errorf("the log of mon.%s begins at %d: no snapshot was needed", away, f)
	}
	// It can start from what it was given.
	mem := tr.mons[away]
	mem.db = mem.db.crash()
	tr.start(mem)
	tr.run(5*time.Second, nil)
	tr.same()
}
