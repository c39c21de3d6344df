package mon

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/fsmon"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/msg"
)

// The first conversation of a librados client (doc/protocol/mon.md): it waits
// for a monitor map and a configuration, be it empty.
func TestSessionStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.open("client.x", false, "mon", "allow r")
	tid := w.send(c, &msg.MonGetMap{})
	w.send(c, &msg.MonSubscribe{What: map[string]msg.Sub{"config": {}, "monmap": {}}, Host: "vm"})
	w.settle()
	if s := w.sent[c]; len(s) != 3 || s[0].TID != tid || s[1].TID != 0 {
		t.Fatalf("sent %v", s)
	}
	got := w.take(c)
	mm, err := monmap.Decode(got[0].(*msg.MonMap).Map)
	if err != nil || mm.FSID != fsid || mm.Ranks[0] != "a" {
		t.Errorf("monitor map %v, %v", mm, err)
	}
	if o := got[1].(*msg.Config).Options; o["mon_allow_pool_delete"] != "true" || len(o) != 1 {
		t.Errorf("configuration %v", o)
	}
	if !bytes.Equal(got[2].(*msg.MonMap).Map, got[0].(*msg.MonMap).Map) {
		t.Error("another map was published")
	}
	// What is unknown is ignored without a word.
	w.send(c, &msg.MonSubscribe{What: map[string]msg.Sub{"nosuch": {}, "mdsmap.7": {}}})
	w.send(c, &msg.MonGetVersion{Handle: 1, What: "nosuch"})
	w.settle()
	if got := w.take(c); got != nil {
		t.Errorf("sent %v", got)
	}
	tid = w.send(c, &msg.MonGetVersion{Handle: 9, What: "monmap"})
	w.settle()
	if s := w.sent[c]; len(s) != 1 || s[0].TID != tid || *s[0].Body.(*msg.MonGetVersionReply) != (msg.MonGetVersionReply{Handle: 9, Version: 1, Oldest: 1}) {
		t.Errorf("version: %+v", s)
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	c := w.open("client.x", false, "mon", "allow r")
	sub := func(topic string, s msg.Sub) []msg.Body {
		w.send(c, &msg.MonSubscribe{What: map[string]msg.Sub{topic: s}})
		w.settle()
		return w.take(c)
	}
	if got := sub("mgrmap", msg.Sub{}); len(got) != 1 {
		t.Fatalf("mgrmap: %v", got)
	}
	w.must(admin, "mgr module disable", "module", "iostat")
	if got := w.take(c); len(got) != 1 {
		t.Errorf("a new manager map was not pushed: %v", got)
	}
	// A one-time subscription that is not satisfied is parked, and ends with
	// its first answer.
	if got := sub("mgrmap", msg.Sub{Start: 4, OneTime: true}); got != nil {
		t.Errorf("a map of the future: %v", got)
	}
	w.must(admin, "mgr module enable", "module", "iostat")
	if got := w.take(c); len(got) != 1 {
		t.Errorf("parked subscription: %v", got)
	}
	w.must(admin, "mgr module disable", "module", "iostat")
	if got := w.take(c); got != nil {
		t.Errorf("an ended subscription: %v", got)
	}
	// Configuration is pushed to whom it concerns.
	if got := sub("config", msg.Sub{}); len(got) != 1 {
		t.Fatalf("config: %v", got)
	}
	w.must(admin, "config set", "who", "osd", "name", "osd_max_backfills", "value", "3")
	if got := w.take(c); got != nil {
		t.Errorf("a client heard of an option of OSDs: %v", got)
	}
	w.must(admin, "config set", "who", "client.x", "name", "rbd_cache", "value", "0")
	if got := w.take(c); len(got) != 1 || got[0].(*msg.Config).Options["rbd_cache"] != "false" {
		t.Errorf("a client did not hear of its option: %v", got)
	}
	// The log: the newest line at once, then what comes.
	if got := sub("log-info", msg.Sub{}); len(got) != 1 || len(got[0].(*msg.Log).Entries) != 1 {
		t.Errorf("log: %v", got)
	}
	w.must(admin, "log", "logtext", []string{"hello", "world"})
	var lines []string
	for _, b := range w.take(c) {
		for _, e := range b.(*msg.Log).Entries {
			lines = append(lines, e.Message)
		}
	}
	if got := sub("log-debug", msg.Sub{}); len(got) != 1 || got[0].(*msg.Log).Version == 0 {
		t.Errorf("log lines without a version: %v", got)
	}
	if !slices.Contains(lines, "hello world") {
		t.Errorf("log lines %q", lines)
	}
	// Maps of file systems.
	if got := sub("fsmap", msg.Sub{}); len(got) != 1 || !bytes.Equal(got[0].(*msg.FSMap).Map, fsmon.Encode()) {
		t.Errorf("fsmap: %v", got)
	}
	if got := sub("fsmap.user", msg.Sub{}); len(got) != 1 || got[0].(*msg.FSMapUser).Legacy != -1 {
		t.Errorf("fsmap.user: %v", got)
	}
	if got := sub("servicemap", msg.Sub{}); len(got) != 1 {
		t.Errorf("servicemap: %v", got)
	}
	if got := sub("kv:config/", msg.Sub{}); got != nil {
		t.Errorf("a client without permission got keys: %v", got)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		caps, prefix string
		args         []any
		ok           bool
	}{
		{"allow r", "status", nil, true},
		{"allow r", "auth ls", nil, false},
		{"allow rx", "auth ls", nil, true},
		{"allow r", "config set", []any{"who", "global", "name", "rbd_cache", "value", "1"}, false},
		{"allow rw", "config set", []any{"who", "global", "name", "rbd_cache", "value", "1"}, true},
		{"allow rwx", "config-key ls", nil, false}, // it holds secrets
		{"allow *", "config-key ls", nil, true},
		{"", "status", nil, false},
		{"allow bogus[", "status", nil, false},
		{`allow command "config get" with who=client.y`, "config get", []any{"who", "client.y"}, true},
		{`allow command "config get" with who=client.y`, "config get", []any{"who", "client.z"}, false},
		{"profile simple-rados-client", "mon dump", nil, true},
		{"profile simple-rados-client", "log", []any{"logtext", []string{"x"}}, false},
	} {
		s := w.open("client.x", false, "mon", c.caps)
		a := w.call(s, c.prefix, c.args...)
		want := answer{}
		if !c.ok {
			want = answer{ret: errno.Code(errno.EACCES), rs: "access denied"}
		}
		if a.ret != want.ret || !c.ok && a != want {
			t.Errorf("%q: %s: %d %q, want %d %q", c.caps, c.prefix, a.ret, a.rs, want.ret, want.rs)
		}
	}
	admin := w.admin()
	if log := w.must(admin, "log last", "channel", "audit", "num", 100).out; !strings.Contains(log, `cmd=[{"prefix":"auth ls"}]:  access denied`) {
		t.Errorf("a refusal is not in the log:\n%s", log)
	}
	// The manager asks for capabilities of its own.
	m := w.open("client.x", true, "mon", "allow *")
	if a := w.call(m, "balancer status"); a.ret != errno.Code(errno.EACCES) || !strings.HasPrefix(a.rs, "access denied: does your client key have mgr caps?") {
		t.Errorf("%+v", a)
	}
	// Commands to the monitor itself need everything.
	ask := func(s uint64) int32 {
		w.send(s, &msg.Command{FSID: fsid, Cmd: []string{`{"prefix":"mon_status"}`}})
		w.settle()
		for _, b := range w.take(s) {
			if r, ok := b.(*msg.CommandReply); ok {
				return r.Result
			}
		}
		t.Fatal("no answer")
		return 0
	}
	if r := ask(w.open("client.x", false, "mon", "allow rw")); r != errno.Code(errno.EACCES) {
		t.Errorf("tell was answered with %d", r)
	}
	if r := ask(admin); r != 0 {
		t.Errorf("tell was answered with %d", r)
	}
}

func TestBadCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.admin()
	for cmd, want := range map[string]answer{
		`{"prefix":"nosuch"}`:                    {ret: -22, rs: "command not known"},
		`{"prefix":"injectargs"}`:                {ret: -22, rs: "unrecognized command"},
		`{"prefix":"scrub"}`:                     {ret: -95, rs: "command is obsolete; please check usage and/or man page"},
		`{"prefix":"log last","num":"many"}`:     {ret: -22, rs: "bad or missing field 'num'"},
		`{"prefix":"auth get","entity":["a"]}`:   {ret: -22, rs: "bad or missing field 'entity'"},
		`{"prefix":"auth get","entity":{"a":1}}`: {ret: -22, rs: "bad or missing field 'entity'"},
		`{}`:                                     {ret: -22, rs: "command 'prefix' not found"},
		`{"prefix":7}`:                           {ret: -22, rs: "command 'prefix' not found"},
		`{"prefix":"auth get"}`:                  {ret: -22, rs: "invalid command"},
		`{"prefix":"config reset","num":99}`:     {ret: -22, rs: "must specify a valid historical version to revert to; see 'ceph config log' for a list of avialable configuration historical versions"},
		`{"prefix":"config set","who":"client/x:y:z","name":"rbd_cache"}`: {ret: -22, rs: "error parsing value: Expected option value to be integer, got ''"},
	} {
		if a := w.ask(s, cmd); a != want {
			t.Errorf("%s: %+v, want %+v", cmd, a, want)
		}
	}
	if a := w.ask(s, `{"prefix`); a.ret != -22 {
		t.Errorf("unparseable: %+v", a)
	}
	// The wrong cluster.
	tid := w.send(s, &msg.MonCommand{Cmd: []string{`{"prefix":"status"}`}})
	w.settle()
	for _, x := range w.sent[s] {
		if r, ok := x.Body.(*msg.MonCommandAck); ok && x.TID == tid && (r.Result != -1 || r.Status != "wrong fsid") {
			t.Errorf("wrong fsid: %d %q", r.Result, r.Status)
		}
	}
}

// A change that was answered is there after a crash, and commands that come
// together cost one synced write.
func TestDurability(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.admin()
	before := w.syncs
	w.must(s, "config-key set", "key", "k0", "val", "v")
	if n := w.syncs - before; n != 1 {
		t.Errorf("one command cost %d synced writes", n)
	}
	before = w.syncs
	for i := range 50 {
		c := &msg.MonCommand{FSID: fsid, Cmd: []string{`{"prefix":"config-key set","key":"k` + strconv.Itoa(i+1) + `","val":"v"}`}}
		w.send(s, c)
	}
	w.settle()
	if n := w.syncs - before; n != 1 {
		t.Errorf("50 commands at once cost %d synced writes", n)
	}
	if got := len(w.take(s)); got != 50 {
		t.Errorf("%d answers", got)
	}
	before = w.syncs
	for range 20 {
		w.must(s, "status")
	}
	if n := w.syncs - before; n != 0 {
		t.Errorf("reading cost %d synced writes", n)
	}
	w.restart()
	s = w.admin()
	var keys int
	for _, l := range strings.Split(w.must(s, "config-key ls").out, "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), `"k`) {
			keys++
		}
	}
	if keys != 51 {
		t.Errorf("%d keys after a crash, want 51", keys)
	}
}

// Whatever was answered before a crash at any moment holds after it.
func TestCrashAtAnyMoment(t *testing.T) {
	t.Parallel()
	for cut := range 12 {
		w := newWorld(t)
		s := w.admin()
		acked := map[string]bool{}
		steps := 0
		for i := 0; steps < cut; i++ {
			key := "k" + string(rune('a'+i))
			tid := w.send(s, &msg.MonCommand{FSID: fsid, Cmd: []string{`{"prefix":"config-key set","key":"` + key + `","val":"v"}`}})
			for steps < cut {
				r := w.m.Ready()
				if r.Empty() {
					break
				}
				steps++
				if r.Batch != nil {
					w.db.write(r.Batch, r.Sync)
				}
				if steps == cut {
					break // the batch is written, nothing was sent
				}
				for _, x := range r.Sends {
					if x.TID == tid {
						acked[key] = true
					}
				}
				if r.Batch != nil {
					w.step(Persisted{})
				}
			}
		}
		w.restart()
		s = w.admin()
		for key := range acked {
			if a := w.call(s, "config-key get", "key", key); a.out != "v" {
				t.Errorf("cut %d: %s was acknowledged and is lost: %+v", cut, key, a)
			}
		}
	}
}

// The log is trimmed and what is left is enough to start from.
func TestTrim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.admin()
	for i := range trimEntries + 50 {
		w.must(s, "config-key set", "key", "k", "val", strings.Repeat("x", i%7))
	}
	n := 0
	for k := range w.db.now {
		if strings.HasPrefix(k, keyEntry) {
			n++
		}
	}
	if n > trimEntries {
		t.Errorf("%d entries are kept", n)
	}
	w.restart()
	if a := w.call(w.admin(), "config-key get", "key", "k"); a.ret != 0 {
		t.Errorf("%+v", a)
	}
}

// A store that is not ours, or of a later format, is refused with a word.
func TestForeignStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for what, c := range map[string]struct{ key, value, words string }{
		"empty":       {keyApplied, "", "no cluster was made in it"},
		"newer":       {keyFormat, "pulpo monitor 2", `the format "pulpo monitor 2"`},
		"broken":      {keyApplied, "x", "raft progress"},
		"broken log":  {entryKey(3), "x", "raft log is broken at entry"},
		"no monitors": {statePrefix + "monmap/raft", "\x00\x00\x00\x00", "mon.a is not in the monitor map"},
		"bad account": {statePrefix + "auth/entity/client.x", "x", "load auth"},
	} {
		db := w.db.crash()
		if db.now[c.key] = []byte(c.value); c.value == "" {
			delete(db.now, c.key)
		}
		if _, err := New(w.cfg, db, w.now); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", what, err, c.words)
		}
	}
}

// A monitor that is given the same log has the same bytes.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	run := func() map[string][]byte {
		w := newWorld(t)
		s := w.admin()
		for i := range 20 {
			name := "client.c" + string(rune('a'+i))
			w.must(s, "auth get-or-create", "entity", name, "caps", []string{"mon", "allow r", "osd", "allow rw"})
			w.must(s, "config set", "who", name, "name", "rbd_cache", "value", "1")
			if i%3 == 0 {
				w.must(s, "auth rm", "entity", name)
			}
			w.pass(time.Second)
		}
		w.must(s, "health mute", "code", "X", "sticky", true)
		w.pass(10 * time.Second)
		return w.db.now
	}
	a, b := run(), run()
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if strings.HasPrefix(k, statePrefix) && !bytes.Equal(a[k], b[k]) {
			t.Errorf("%s differs:\n%x\n%x", k, a[k], b[k])
		}
	}
	if len(a) != len(b) || len(a) < 50 {
		t.Errorf("%d and %d keys", len(a), len(b))
	}
}

// Time changes what time must change: rotating secrets are replaced, ranges of
// ids extended, and with nothing to do the machine sleeps.
func TestTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.step(WantGlobalID{7})
	w.settle()
	if len(w.ids) != 1 || w.ids[0].Token != 7 || w.ids[0].ID < 4096 {
		t.Fatalf("ids %v", w.ids)
	}
	last := w.ids[0].ID
	for i := range 20000 {
		w.step(WantGlobalID{uint64(i)})
		if i%100 == 0 {
			w.settle()
		}
	}
	w.pass(time.Second)
	if len(w.ids) != 20001 {
		t.Fatalf("%d ids given", len(w.ids))
	}
	for _, id := range w.ids[1:] {
		if id.ID <= last {
			t.Fatalf("id %d after %d", id.ID, last)
		}
		last = id.ID
	}
	w.restart()
	w.ids = nil
	w.step(WantGlobalID{1})
	w.settle()
	if len(w.ids) != 1 || w.ids[0].ID <= last {
		t.Errorf("after a crash id %v was given, the last one before was %d", w.ids, last)
	}

	secret := func() uint64 {
		for id := uint64(1); ; id++ {
			if _, ok := w.keys.Secrets(entity.OSD).Secret(id); ok {
				return id
			}
			if id > 1000 {
				t.Fatal("no secrets")
			}
		}
	}
	first := secret()
	w.pass(3 * time.Hour)
	if now := secret(); now <= first {
		t.Errorf("secret %d is still there after three hours", first)
	}
	writes := w.syncs
	w.pass(time.Minute)
	if n := w.syncs - writes; n > 1 {
		t.Errorf("an idle minute cost %d synced writes", n)
	}
}

// Accounts are known to handshakes once the command was answered.
func TestKeyServerFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.admin()
	name := entity.AuthName{Type: entity.Client, ID: "new"}
	if _, ok := w.keys.Entity(name); ok {
		t.Fatal("an account is there before it was made")
	}
	out := w.must(s, "auth get-or-create", "entity", name.String(), "caps", []string{"osd", "allow rw pool=rbd"}).out
	ring, err := cephx.ParseKeyring([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	e, ok := w.keys.Entity(name)
	if !ok || !e.Key.Equal(ring[name].Key) || e.Caps["osd"] != "allow rw pool=rbd" {
		t.Errorf("the key server has %v", e)
	}
	w.must(s, "auth rm", "entity", name.String())
	if _, ok := w.keys.Entity(name); ok {
		t.Error("a removed account is still there")
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.admin()
	// A capability nobody can parse locks its owner out: that is an error.
	w.must(s, "config-key set", "key", "x", "val", "y")
	if got := w.must(s, "health").out; got != "HEALTH_OK\n" {
		t.Fatalf("a new cluster is %q", got)
	}
	name := entity.AuthName{Type: entity.Client, ID: "bad"}
	w.m.parts.auth.Put(name, cephx.Entity{Caps: map[string]string{"mon": "allow bogus"}})
	w.settle()
	want := "HEALTH_ERR 1 auth entities have invalid capabilities\n" +
		"[ERR] AUTH_BAD_CAPS: 1 auth entities have invalid capabilities\n" +
		"    client.bad mon capability parse failed, stopped at 'allow bogus' of 'allow bogus'\n"
	if got := w.must(s, "health", "detail", "detail").out; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	w.pass(5 * time.Second)
	if got := w.must(s, "log last").out; !strings.Contains(got, "cluster [ERR] Health check failed: 1 auth entities have invalid capabilities (AUTH_BAD_CAPS)") {
		t.Errorf("log:\n%s", got)
	}
	w.must(s, "health mute", "code", "AUTH_BAD_CAPS", "ttl", "1h")
	w.pass(time.Second)
	if got := w.must(s, "health").out; got != "HEALTH_OK (muted: AUTH_BAD_CAPS(59m))\n" {
		t.Errorf("muted: %q", got)
	}
	w.pass(2 * time.Hour)
	if got := w.must(s, "health").out; !strings.HasPrefix(got, "HEALTH_ERR 1 auth") {
		t.Errorf("after the mute: %q", got)
	}
	w.must(s, "auth rm", "entity", "client.bad")
	w.pass(5 * time.Second)
	if got := w.must(s, "log last", "num", 100).out; !strings.Contains(got, "Health check cleared: AUTH_BAD_CAPS (was: 1 auth entities have invalid capabilities)") ||
		!strings.Contains(got, "Cluster is now healthy") {
		t.Errorf("log:\n%s", got)
	}
	status := w.must(s, "status").out
	for _, line := range []string{
		"  cluster:\n    id:     12660c24-4934-4cc6-9279-1828ec60dc59\n    health: HEALTH_OK\n \n  services:\n",
		"    mon: 1 daemons, quorum a (age 2h)\n", "    mgr: x(active, since 2h)\n",
	} {
		if !strings.Contains(status, line) {
			t.Errorf("status lacks %q:\n%s", line, status)
		}
	}
}

// A monitor that is started at another address tells so in the map.
func TestMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Addrs = addrs(t, "v2:10.0.0.1:3300/0")
	w.cfg.Manager.Addrs = addrs(t, "v2:10.0.0.1:6800/9")
	w.restart()
	s := w.admin()
	if got := w.must(s, "mon dump").out; !strings.Contains(got, "epoch 2\n") || !strings.Contains(got, "0: v2:10.0.0.1:3300/0 mon.a\n") {
		t.Errorf("monitor map:\n%s", got)
	}
	if got := w.must(s, "mgr dump").out; !strings.Contains(got, `"addr": "10.0.0.1:6800"`) {
		t.Errorf("manager map:\n%s", got)
	}
	if got := w.must(s, "mon dump", "epoch", 1).out; !strings.Contains(got, "127.0.0.1:3300") {
		t.Errorf("old monitor map:\n%s", got)
	}
}
