package mon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
)

// group drives monitors over a network that loses, reorders and parts, with
// crashes that lose what was not synced. Everything follows from a seed but the
// moments at which raft's elections begin.
type group struct {
	t     *testing.T
	now   time.Time
	mons  map[string]*member
	rng   *rand.Rand
	loss  float64
	cut   map[string]bool    // does not hear and is not heard
	block map[[2]string]bool // from, to: one way
	wire  []envelope
	last  uint64 // session
}

type envelope struct {
	to, from string
	data     []byte
}

type member struct {
	name  string
	m     *Mon // nil: down
	db    *memory
	skew  time.Duration
	addrs entity.AddrVec
	seeds []entity.AddrVec
	sent  []Send
	gone  map[uint64]bool // sessions the machine ended
	ids   []uint64
	ended error
}

func monAddrs(t *testing.T, i int) entity.AddrVec {
	return addrs(t, fmt.Sprintf("v2:127.0.0.1:%d/0", 3300+i))
}

// newGroup makes a cluster of n monitors, a, b, c and so on.
func newGroup(t *testing.T, seed uint64, n int) *group {
	t.Helper()
	gen := genesis(t)
	gen.Mons = nil
	for i := range n {
		gen.Mons = append(gen.Mons, Member{string(rune('a' + i)), monAddrs(t, i)})
	}
	ops, err := Bootstrap(gen)
	if err != nil {
		t.Fatal(err)
	}
	g := &group{
		t: t, now: epoch0, mons: map[string]*member{}, rng: rand.New(rand.NewPCG(seed, 1)),
		cut: map[string]bool{}, block: map[[2]string]bool{},
	}
	for _, mem := range gen.Mons {
		m := &member{name: mem.Name, db: newMemory(), addrs: mem.Addrs}
		m.db.write(ops, true)
		g.mons[mem.Name] = m
		g.start(m)
	}
	return g
}

// join starts a monitor with an empty store.
func (g *group) join(name string) *member {
	g.t.Helper()
	mem := &member{name: name, db: newMemory(), addrs: monAddrs(g.t, int(name[0]-'a'))}
	for _, n := range g.names() {
		if n != name {
			mem.seeds = append(mem.seeds, g.mons[n].addrs)
		}
	}
	g.mons[name] = mem
	g.start(mem)
	return mem
}

func (g *group) start(mem *member) {
	g.t.Helper()
	m, err := New(Config{
		Name: mem.name, FSID: fsid, Rand: seeded(byte(g.rng.Uint32())), Keys: cephx.NewKeyServer(cephx.TTLs{}, nil),
		Addrs: mem.addrs, Seeds: mem.seeds,
		Manager: Manager{Name: mem.name, Addrs: addrs(g.t, fmt.Sprintf("v2:127.0.0.1:%d/1", 6800+int(mem.name[0]-'a')))},
	}, mem.db, g.now.Add(mem.skew))
	if err != nil {
		g.t.Fatal(err)
	}
	mem.m, mem.sent, mem.gone, mem.ids, mem.ended = m, nil, map[uint64]bool{}, nil, nil
	g.connected(mem.name)
}

// connected tells a monitor and the others that lines between them stand.
func (g *group) connected(name string) {
	for _, n := range g.names() {
		if o := g.mons[n]; n != name && o.m != nil {
			g.step(o, Connected{name})
			g.step(g.mons[name], Connected{n})
		}
	}
}

func (g *group) names() []string { return slices.Sorted(maps.Keys(g.mons)) }

func (g *group) step(mem *member, ev Event) {
	mem.m.Step(g.now.Add(mem.skew), ev)
	g.drain(mem)
}

// run lets time pass until a condition holds.
func (g *group) run(d time.Duration, until func() bool) bool {
	g.t.Helper()
	for end := g.now.Add(d); g.now.Before(end); g.now = g.now.Add(10 * time.Millisecond) {
		for _, n := range g.names() {
			if mem := g.mons[n]; mem.m != nil {
				g.step(mem, Tick{})
			}
		}
		mail := g.wire
		g.wire = nil
		g.rng.Shuffle(len(mail), func(i, j int) { mail[i], mail[j] = mail[j], mail[i] })
		for _, e := range mail {
			to := g.mons[e.to]
			if to == nil || to.m == nil || g.cut[e.to] || g.cut[e.from] || g.block[[2]string{e.from, e.to}] || g.rng.Float64() < g.loss {
				continue
			}
			g.step(to, FromPeer{e.from, e.data})
		}
		if until != nil && until() {
			return true
		}
	}
	return until == nil
}

func (g *group) drain(mem *member) {
	g.t.Helper()
	for range 1000 {
		mem.m.check()
		r := mem.m.Ready()
		if r.Err != nil {
			mem.m, mem.ended = nil, r.Err
			return
		}
		if r.Empty() {
			return
		}
		if r.Batch != nil {
			mem.db.write(r.Batch, r.Sync)
		}
		for _, s := range r.Peers {
			to := s.To
			for n, o := range g.mons {
				if to == "" && o.addrs.Equal(s.Addrs) {
					to = n
				}
			}
			g.wire = append(g.wire, envelope{to, mem.name, s.Data})
		}
		mem.sent = append(mem.sent, r.Sends...)
		for _, id := range r.GlobalIDs {
			mem.ids = append(mem.ids, id.ID)
		}
		for _, id := range r.Closes {
			mem.gone[id] = true
			mem.m.Step(g.now.Add(mem.skew), SessionClosed{id})
		}
		if r.Batch != nil {
			mem.m.Step(g.now.Add(mem.skew), Persisted{})
		}
	}
	g.t.Fatalf("mon.%s does not come to rest", mem.name)
}

func (g *group) crash(name string) {
	mem := g.mons[name]
	mem.db, mem.m = mem.db.crash(), nil
}

func (g *group) restart(name string) {
	g.t.Helper()
	g.crash(name)
	g.start(g.mons[name])
}

// heal ends all faults of the network.
func (g *group) heal() {
	g.cut, g.block, g.loss = map[string]bool{}, map[[2]string]bool{}, 0
	for _, n := range g.names() {
		if g.mons[n].m != nil {
			g.connected(n)
		}
	}
}

func (g *group) leader() *member {
	for _, n := range g.names() {
		if mem := g.mons[n]; mem.m != nil && mem.m.writable() && !g.cut[n] {
			return mem
		}
	}
	return nil
}

func (g *group) mustLead() *member {
	g.t.Helper()
	if !g.run(3*time.Minute, func() bool { return g.leader() != nil }) {
		for n, mem := range g.mons {
			if mem.m == nil || mem.m.rn == nil {
				g.t.Logf("mon.%s: down, or no member: %v", n, mem.ended)
				continue
			}
			st := mem.m.rn.Status()
			g.t.Logf("mon.%s: cut %v, %v, term %d, lead %x, commit %d, applied %d; leading %v, caught up %v, proposal %d, writing %v", n, g.cut[n],
				st.RaftState, st.HardState.GetTerm(), st.Lead, st.HardState.GetCommit(), st.Applied, mem.m.leading, mem.m.caughtUp, mem.m.proposal, mem.m.writing != nil)
		}
		g.t.Fatal("no leader")
	}
	return g.leader()
}

// open begins a session at a monitor.
func (g *group) open(mem *member, name string, caps string) uint64 {
	g.t.Helper()
	an, err := entity.ParseAuthName(name)
	if err != nil {
		g.t.Fatal(err)
	}
	g.last++
	g.step(mem, SessionOpened{
		ID: g.last, Name: entity.Name{Type: an.Type, Num: int64(g.last)}, Features: 0x3f01cfbdfffdffff,
		Identity: &cephx.Identity{Name: an, GlobalID: 4100 + g.last, Method: cephx.MethodCephx, Caps: map[string]string{"mon": caps, "mgr": caps}},
	})
	return g.last
}

// ask gives a command at a monitor and waits for the answer; false: there was
// none, and the client went away.
func (g *group) ask(mem *member, patience time.Duration, prefix string, args ...string) (answer, bool) {
	g.t.Helper()
	cmd := map[string]string{"prefix": prefix}
	for i := 0; i < len(args); i += 2 {
		cmd[args[i]] = args[i+1]
	}
	text, err := json.Marshal(cmd)
	if err != nil {
		g.t.Fatal(err)
	}
	id := g.open(mem, "client.admin", "allow *")
	g.step(mem, Received{ID: id, TID: 1, Body: &msg.MonCommand{FSID: fsid, Cmd: []string{string(text)}}})
	var a answer
	found := func() bool {
		for _, s := range mem.sent {
			if ack, is := s.Body.(*msg.MonCommandAck); is && s.Session == id {
				a = answer{ack.Result, ack.Status, string(ack.Data.Bytes())}
				return true
			}
		}
		return mem.m == nil || mem.gone[id]
	}
	if !found() {
		g.run(patience, found)
	}
	ok := a != (answer{}) || slices.ContainsFunc(mem.sent, func(s Send) bool { return s.Session == id && s.TID == 1 })
	if mem.m != nil && !mem.gone[id] {
		g.step(mem, SessionClosed{id})
	}
	mem.sent = slices.DeleteFunc(mem.sent, func(s Send) bool { return s.Session == id })
	return a, ok
}

// must gives a command that is answered well.
func (g *group) must(mem *member, prefix string, args ...string) answer {
	g.t.Helper()
	a, ok := g.ask(mem, 10*time.Second, prefix, args...)
	if !ok || a.ret != 0 {
		g.t.Fatalf("mon.%s: %s %v: answered %v, %v %s", mem.name, prefix, args, ok, errno.Error(a.ret), a.rs)
	}
	return a
}

// up are the monitors that run and can be reached.
func (g *group) up() (all []*member) {
	for _, n := range g.names() {
		if mem := g.mons[n]; mem.m != nil && !g.cut[n] {
			all = append(all, mem)
		}
	}
	return all
}

func (g *group) any() *member { all := g.up(); return all[g.rng.IntN(len(all))] }

// voters are the names in the raft group, as one monitor has them.
func (g *group) voters(mem *member) []string {
	var names []string
	for _, id := range mem.m.rlog.done.Conf.GetVoters() {
		names = append(names, mem.m.parts.mon.RaftName(id))
	}
	slices.Sort(names)
	return names
}

// same checks that all monitors have the same state.
func (g *group) same() {
	g.t.Helper()
	state := func(mem *member) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range mem.db.now {
			if strings.HasPrefix(k, statePrefix) {
				out[k] = v
			}
		}
		return out
	}
	all := g.up()
	a := state(all[0])
	for _, mem := range all[1:] {
		b := state(mem)
		if !maps.EqualFunc(a, b, bytes.Equal) {
			for _, k := range slices.Sorted(maps.Keys(a)) {
				if !bytes.Equal(a[k], b[k]) {
					g.t.Errorf("mon.%s and mon.%s differ at %s", all[0].name, mem.name, k)
				}
			}
			g.t.Errorf("mon.%s has %d keys, mon.%s %d", all[0].name, len(a), mem.name, len(b))
		}
	}
}

// settle waits until all agree: the same index applied, and the group as the map
// says.
func (g *group) settle(names ...string) {
	g.t.Helper()
	ok := g.run(time.Minute, func() bool {
		l := g.leader()
		if l == nil || !slices.Equal(g.voters(l), names) || !slices.Equal(l.m.Quorum().Names, ranked(l, names)) {
			return false
		}
		for _, mem := range g.up() {
			if mem.m.rn == nil || mem.m.rlog.done.Index != l.m.rlog.done.Index || mem.m.leader != l.m.id {
				return false
			}
		}
		return true
	})
	if !ok {
		l := g.leader()
		if l == nil {
			g.t.Fatal("no leader")
		}
		g.t.Fatalf("mon.%s leads %v, quorum %v, want %v", l.name, g.voters(l), l.m.Quorum().Names, names)
	}
}

func ranked(mem *member, names []string) []string {
	return slices.DeleteFunc(slices.Clone(mem.m.parts.mon.Map().Ranks), func(n string) bool { return !slices.Contains(names, n) })
}
