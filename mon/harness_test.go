package mon

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// memory is a storage in memory, with what a crash would leave of it.
type memory struct {
	now     map[string][]byte
	durable map[string][]byte
}

func newMemory() *memory { return &memory{map[string][]byte{}, map[string][]byte{}} }

func (s *memory) Get(key string) ([]byte, error) { return s.now[key], nil }

func (s *memory) Scan(from, to string, f func(string, []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(s.now)) {
		if k >= from && (to == "" || k < to) && !f(k, s.now[k]) {
			break
		}
	}
	return nil
}

func (s *memory) write(ops []Op, sync bool) {
	for _, op := range ops {
		if op.Value == nil {
			delete(s.now, op.Key)
		} else {
			s.now[op.Key] = slices.Clone(op.Value)
		}
	}
	if sync {
		s.durable = maps.Clone(s.now)
	}
}

// crash loses what was not synced.
func (s *memory) crash() *memory { return &memory{maps.Clone(s.durable), maps.Clone(s.durable)} }

var (
	epoch0 = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	fsid   = msg.FSID{0x12, 0x66, 0x0c, 0x24, 0x49, 0x34, 0x4c, 0xc6, 0x92, 0x79, 0x18, 0x28, 0xec, 0x60, 0xdc, 0x59}
)

func addrs(t testing.TB, s string) entity.AddrVec {
	t.Helper()
	v, err := entity.ParseAddrVec(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// seeded is a reader of random bytes from a seed.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func genesis(t testing.TB) Genesis {
	t.Helper()
	r := seeded(1)
	account := func(caps ...string) cephx.Entity {
		k, err := cephx.NewKey(epoch0, r)
		if err != nil {
			t.Fatal(err)
		}
		e := cephx.Entity{Key: k, Caps: map[string]string{}}
		for i := 0; i < len(caps); i += 2 {
			e.Caps[caps[i]] = caps[i+1]
		}
		return e
	}
	return Genesis{
		Genesis: service.Genesis{FSID: fsid, Created: epoch0, Rand: r},
		Mons:    []Member{{"a", addrs(t, "[v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]")}},
		Accounts: cephx.Keyring{
			{Type: entity.Client, ID: "admin"}: account("mon", "allow *", "osd", "allow *", "mds", "allow *", "mgr", "allow *"),
			{Type: entity.OSD, ID: "0"}:        account("mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"),
		},
		Options: map[string]map[string]string{"global": {"mon_allow_pool_delete": "true"}},
	}
}

// world drives one machine as the shell does.
type world struct {
	t     testing.TB
	m     *Mon
	db    *memory
	now   time.Time
	keys  *cephx.KeyServer
	cfg   Config
	sent  map[uint64][]Send
	syncs int
	next  uint64
	tid   uint64
	ids   []GlobalID
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return makeWorld(t, genesis(t), Config{
		Name:     "a",
		Manager:  Manager{Name: "x", Addrs: addrs(t, "v2:127.0.0.1:6800/7"), Features: 0x3f01cfbdfffdffff},
		Metadata: map[string]string{"hostname": "vm", "os": "Linux"},
		Options:  map[string]string{"mon_warn_on_too_few_osds": "false"},
	})
}

func makeWorld(t testing.TB, g Genesis, cfg Config) *world {
	t.Helper()
	db := newMemory()
	ops, err := Bootstrap(g)
	if err != nil {
		t.Fatal(err)
	}
	db.write(ops, true)
	w := &world{t: t, db: db, cfg: cfg, now: g.Created.Add(time.Second), next: 1}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.keys = cephx.NewKeyServer(cephx.TTLs{}, cephx.Keyring{})
	w.cfg.Rand, w.cfg.Keys = seeded(2), w.keys
	m, err := New(w.cfg, w.db, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m, w.sent = m, map[uint64][]Send{}
	w.settle()
}

// restart starts anew from what is on disk after a crash.
func (w *world) restart() {
	w.t.Helper()
	w.db = w.db.crash()
	w.start()
}

func (w *world) step(e Event) {
	w.m.Step(w.now, e)
	w.m.check()
}

// settle carries out what is ready until nothing is.
func (w *world) settle() {
	w.t.Helper()
	for range 100 {
		r := w.m.Ready()
		if r.Err != nil {
			w.t.Fatal(r.Err)
		}
		if r.Empty() {
			return
		}
		if r.Batch != nil {
			w.db.write(r.Batch, r.Sync)
			if r.Sync {
				w.syncs++
			}
		}
		for _, s := range r.Sends {
			w.sent[s.Session] = append(w.sent[s.Session], s)
		}
		w.ids = append(w.ids, r.GlobalIDs...)
		if r.Batch != nil {
			w.step(Persisted{})
		}
	}
	w.t.Fatal("the machine does not come to rest")
}

// pass lets time go by, with the ticks the machine asks for.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	for range 100000 {
		wake := w.m.Wake()
		if wake.IsZero() || wake.After(end) {
			break
		}
		if wake.After(w.now) {
			w.now = wake
		} else {
			w.now = w.now.Add(time.Millisecond)
		}
		w.step(Tick{})
		w.settle()
	}
	w.now = end
	w.step(Tick{})
	w.settle()
}

// open begins a session of an account with the given capabilities.
func (w *world) open(name string, mgr bool, caps ...string) uint64 {
	w.t.Helper()
	an, err := entity.ParseAuthName(name)
	if err != nil {
		w.t.Fatal(err)
	}
	id := w.next
	w.next++
	c := map[string]string{}
	for i := 0; i < len(caps); i += 2 {
		c[caps[i]] = caps[i+1]
	}
	num := int64(4100 + id)
	if an.Type != entity.Client {
		fmt.Sscan(an.ID, &num)
	}
	w.step(SessionOpened{
		ID: id, Name: entity.Name{Type: an.Type, Num: num}, Features: 0x3f01cfbdfffdffff, Mgr: mgr,
		Addrs:    entity.AddrVec{{Type: entity.AddrAny, Nonce: uint32(id), AP: netip.MustParseAddrPort("127.0.0.1:0")}},
		Identity: &cephx.Identity{Name: an, GlobalID: 4100 + id, Method: cephx.MethodCephx, Caps: c},
	})
	w.settle()
	return id
}

func (w *world) admin() uint64 {
	return w.open("client.admin", false, "mon", "allow *", "mgr", "allow *")
}

// send delivers a message and returns its tid.
func (w *world) send(session uint64, b msg.Body) uint64 {
	w.tid++
	w.step(Received{ID: session, Body: b, TID: w.tid})
	return w.tid
}

// take returns what was sent on a session and forgets it.
func (w *world) take(session uint64) []msg.Body {
	var out []msg.Body
	for _, s := range w.sent[session] {
		out = append(out, s.Body)
	}
	delete(w.sent, session)
	return out
}

// answer is a command's.
type answer struct {
	ret int32
	rs  string
	out string
}

// ask gives a command and waits for the answer.
func (w *world) ask(session uint64, cmd string, input ...byte) answer {
	w.t.Helper()
	var b msg.Body
	if w.m.sessions[session].Mgr {
		c := &msg.MgrCommand{}
		c.FSID, c.Cmd, c.Data = w.m.FSID(), []string{cmd}, buffer.ListOf(input)
		b = c
	} else {
		c := &msg.MonCommand{FSID: w.m.FSID(), Cmd: []string{cmd}}
		c.Data = buffer.ListOf(input)
		b = c
	}
	return w.wait(session, b, cmd)
}

// tell gives a command to the daemon itself.
func (w *world) tell(session uint64, cmd string) answer {
	w.t.Helper()
	return w.wait(session, &msg.Command{FSID: w.m.FSID(), Cmd: []string{cmd}}, cmd)
}

// Admin gives a command as the admin socket does: a prefix, or JSON.
func (m *Mon) Admin(cmd string) command.Reply {
	if cmd[0] != '{' {
		cmd = `{"prefix":"` + cmd + `"}`
	}
	c, err := command.Parse([]string{cmd})
	if err != nil {
		return command.Fail(errno.EINVAL, "%v", err)
	}
	c.Now = m.now
	return m.answer(m.asMonitor, cmd, c)
}

func (w *world) wait(session uint64, b msg.Body, cmd string) answer {
	w.t.Helper()
	tid := w.send(session, b)
	w.settle()
	for i, s := range w.sent[session] {
		if s.TID != tid {
			continue
		}
		w.sent[session] = slices.Delete(w.sent[session], i, i+1)
		switch r := s.Body.(type) {
		case *msg.MonCommandAck:
			return answer{r.Result, r.Status, string(r.Data.Bytes())}
		case *msg.MgrCommandReply:
			return answer{r.Result, r.Status, string(r.Data.Bytes())}
		case *msg.CommandReply:
			return answer{r.Result, r.Status, string(r.Data.Bytes())}
		}
		w.t.Fatalf("%s answered by %T", cmd, s.Body)
	}
	w.t.Fatalf("no answer to %s", cmd)
	return answer{}
}

// must gives a command that has to succeed: prefix, then name and value pairs.
func (w *world) must(session uint64, prefix string, args ...any) answer {
	w.t.Helper()
	a := w.call(session, prefix, args...)
	if a.ret != 0 {
		w.t.Fatalf("%s %v: %v (%s)", prefix, args, errno.Error(a.ret), a.rs)
	}
	return a
}

func (w *world) call(session uint64, prefix string, args ...any) answer {
	w.t.Helper()
	c := map[string]any{"prefix": prefix}
	for i := 0; i < len(args); i += 2 {
		c[args[i].(string)] = args[i+1]
	}
	text, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.ask(session, string(text))
}
