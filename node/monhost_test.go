package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
)

// monGroup are monitors in one process that talk over loopback.
type monGroup struct {
	t    *testing.T
	dir  string
	fsid entity.UUID
	ring cephx.Keyring
	mons map[string]*monHost
	addr map[string]entity.AddrVec
	down chan error // monitors that could not go on
}

func newMonGroup(t *testing.T, names ...string) *monGroup {
	t.Helper()
	g := &monGroup{
		t: t, dir: t.TempDir(), fsid: newUUID(), mons: map[string]*monHost{}, addr: map[string]entity.AddrVec{},
		down: make(chan error, 16),
	}
	t.Cleanup(func() {
		for _, h := range g.mons {
			if err := h.abort(); err != nil {
				t.Error(err)
			}
		}
	})
	for _, n := range names {
		g.start(n)
	}
	return g
}

// start runs a monitor: the first one begins the cluster, others join it, and
// one that was there before is where it was.
func (g *monGroup) start(name string) *monHost {
	g.t.Helper()
	port := uint16(0)
	if a, ok := g.addr[name].Msgr2(); ok {
		port = a.AP.Port()
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	ln, port, err := listen(loopback, port)
	if err != nil {
		g.t.Fatal(err)
	}
	mgr, mgrPort, err := listen(loopback, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	at := func(port uint16, nonce uint32) entity.AddrVec {
		return entity.AddrVec{{Type: entity.AddrMsgr2, Nonce: nonce, AP: netip.AddrPortFrom(loopback, port)}}
	}
	c := monConfig{
		Name: name, FSID: g.fsid, Home: filepath.Join(g.dir, "mon."+name), Listener: ln, MgrListener: mgr,
		Addrs: at(port, 0), MgrAddrs: at(mgrPort, newNonce()), Mgr: name, AdminSocket: filepath.Join(g.dir, name+".asok"),
		Options: localOptions, Log: slog.New(slog.DiscardHandler), Failed: func(err error) { g.down <- err },
	}
	if testing.Verbose() {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})).With("daemon", "mon."+name)
	}
	if len(g.addr) == 0 {
		if c.Found, _, err = genesis(g.fsid, time.Now(), localOptions, mon.Member{Name: name, Addrs: c.Addrs}); err != nil {
			g.t.Fatal(err)
		}
	}
	for n, a := range g.addr {
		if n != name {
			c.Seeds = append(c.Seeds, a)
		}
	}
	g.addr[name] = c.Addrs
	g.shareKey(name)
	h, err := startMonHost(c)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mons[name] = h
	return h
}

// shareKey gives a monitor the key that all have.
func (g *monGroup) shareKey(name string) {
	g.t.Helper()
	if g.ring == nil {
		var err error
		if g.ring, err = monKeyring(time.Now()); err != nil {
			g.t.Fatal(err)
		}
	}
	err := os.MkdirAll(filepath.Join(g.dir, "mon."+name), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(g.dir, "mon."+name, "keyring"), []byte(g.ring.Text()), 0o600)
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// kill ends a monitor without a goodbye to the others.
func (g *monGroup) kill(name string) {
	g.t.Helper()
	h := g.mons[name]
	delete(g.mons, name)
	if err := h.abort(); err != nil {
		g.t.Fatal(err)
	}
}

// ask gives a command to one monitor and waits for the answer.
func (g *monGroup) ask(name, prefix string, args ...string) (string, error) {
	g.t.Helper()
	cmd := map[string]any{"prefix": prefix}
	for i := 0; i < len(args); i += 2 {
		cmd[args[i]] = args[i+1]
	}
	text, err := json.Marshal(cmd)
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Minute)
	defer cancel()
	out, status, err := g.mons[name].command(ctx, text, false)
	if err != nil {
		return "", fmt.Errorf("mon.%s: %s: %s: %w", name, prefix, status, err)
	}
	return string(out), nil
}

func (g *monGroup) must(name, prefix string, args ...string) string {
	g.t.Helper()
	out, err := g.ask(name, prefix, args...)
	if err != nil {
		g.t.Fatal(err)
	}
	return out
}

type quorumStatus struct {
	Names  []string `json:"quorum_names"`
	Leader string   `json:"quorum_leader_name"`
	Map    struct {
		Mons []struct {
			Name string `json:"name"`
		} `json:"mons"`
	} `json:"monmap"`
}

func (g *monGroup) status(name string) (q quorumStatus) {
	g.t.Helper()
	out, err := g.ask(name, "quorum_status")
	if err == nil {
		err = json.Unmarshal([]byte(out), &q)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return q
}

// quorum waits until these agree, as seen by one of them.
func (g *monGroup) quorum(want ...string) string {
	g.t.Helper()
	slices.Sort(want)
	var q quorumStatus
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		q = g.status(want[0])
		got := slices.Sorted(slices.Values(q.Names))
		if slices.Equal(got, want) && q.Leader != "" {
			return q.Leader
		}
	}
	g.t.Fatalf("quorum is %v, want %v", q.Names, want)
	return ""
}

// Three monitors, two of which joined: any of them answers, the leader may die,
// others come and go.
func TestMonitorsInOneProcess(t *testing.T) {
	t.Parallel()
	g := newMonGroup(t, "a", "b", "c")
	g.quorum("a", "b", "c")
	for _, n := range []string{"a", "b", "c"} {
		g.must(n, "config-key set", "key", "k", "val", n)
		for _, other := range []string{"a", "b", "c"} {
			if got := g.must(other, "config-key get", "key", "k"); got != n {
				t.Errorf("mon.%s has %q after mon.%s answered %q", other, got, n, n)
			}
		}
	}
	leader := g.quorum("a", "b", "c")
	g.kill(leader)
	rest := slices.DeleteFunc([]string{"a", "b", "c"}, func(n string) bool { return n == leader })
	began := time.Now()
	g.must(rest[0], "config-key set", "key", "k", "val", "after")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a write took %v after the leader died", took)
	} else {
		t.Logf("a write took %v after the leader died", took)
	}
	if got := g.must(rest[1], "config-key get", "key", "k"); got != "after" {
		t.Errorf("mon.%s has %q", rest[1], got)
	}
	g.quorum(rest...)
	if out := g.must(rest[1], "health"); !strings.Contains(out, "1/3 mons down, quorum "+strings.Join(rest, ",")) {
		t.Errorf("health says %q", out)
	}
	g.start(leader)
	g.quorum("a", "b", "c")

	g.start("d")
	g.quorum("a", "b", "c", "d")
	g.must("d", "mon rm", "name", "a")
	select {
	case err := <-g.down:
		if !errors.Is(err, mon.ErrRemoved) {
			t.Errorf("mon.a ended: %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("mon.a does not know that it was removed")
	}
	g.kill("a")
	g.quorum("b", "c", "d")
	if got := g.must("d", "config-key get", "key", "k"); got != "after" {
		t.Errorf("mon.d has %q", got)
	}
}

// A monitor whose disk was lost comes back under its name with an empty store.
func TestMonitorReplaced(t *testing.T) {
	t.Parallel()
	g := newMonGroup(t, "a", "b", "c")
	g.quorum("a", "b", "c")
	g.must("a", "config-key set", "key", "k", "val", "v")
	g.kill("b")
	if err := os.RemoveAll(filepath.Join(g.dir, "mon.b")); err != nil {
		t.Fatal(err)
	}
	g.start("b")
	g.quorum("a", "b", "c")
	if got := g.must("b", "config-key get", "key", "k"); got != "v" {
		t.Errorf("mon.b has %q", got)
	}
}

// Stock ceph finds any monitor, and another one when its monitor dies.
func TestStockCephAndMonitors(t *testing.T) {
	t.Parallel()
	ceph, err := exec.LookPath("/usr/bin/ceph")
	if err != nil {
		t.Skip("no stock ceph here")
	}
	g := newMonGroup(t, "a", "b", "c")
	g.quorum("a", "b", "c")
	ring := g.must("a", "auth get", "entity", "client.admin")
	if _, err := cephx.ParseKeyring([]byte(ring)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "admin.keyring"), []byte(ring), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		var hosts []string
		for _, a := range g.addr {
			hosts = append(hosts, fmt.Sprintf("[%v]", strings.TrimSuffix(a[0].String(), "/0")))
		}
		conf := fmt.Sprintf("[global]\nfsid = %v\nmon host = %s\nkeyring = %s/admin.keyring\n", g.fsid, strings.Join(hosts, ","), g.dir)
		if err := os.WriteFile(filepath.Join(g.dir, "ceph.conf"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, ceph, append([]string{"--conf", filepath.Join(g.dir, "ceph.conf")}, args...)...)
		cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ceph %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := run("-s"); !strings.Contains(out, "mon: 3 daemons, quorum a,b,c") {
		t.Errorf("status:\n%s", out)
	}
	for i := range 3 {
		run("config-key", "set", "n", fmt.Sprint(i))
		if out := run("config-key", "get", "n"); strings.TrimSpace(out) != fmt.Sprint(i) {
			t.Errorf("n is %q", out)
		}
	}
	if out := run("mgr", "stat"); !strings.Contains(out, `"num_standby": 2`) {
		t.Errorf("mgr stat: %s", out)
	}
	leader := g.quorum("a", "b", "c")
	g.kill(leader)
	run("config-key", "set", "n", "after")
	rest := slices.DeleteFunc([]string{"a", "b", "c"}, func(n string) bool { return n == leader })
	g.quorum(rest...)
	if out := run("pg", "stat"); !strings.Contains(out, "0 pgs") { // of the manager
		t.Errorf("pg stat: %s", out)
	}
	if out := run("tell", "mon."+rest[1], "mon_status"); !strings.Contains(out, `"name": "`+rest[1]+`"`) {
		t.Errorf("mon_status: %s", out)
	}
	run("mon", "rm", leader)
	if out := run("mon", "stat"); !strings.Contains(out, "2 mons at") {
		t.Errorf("mon stat: %s", out)
	}
}

// Leaders die one after the other while clients write through all monitors; what
// was answered is there in the end, and no pause is longer than an election.
func TestLeadersDie(t *testing.T) {
	t.Parallel()
	g := newMonGroup(t, "a", "b", "c")
	all := []string{"a", "b", "c"}
	g.quorum(all...)
	acked := 0
	for round := range 4 {
		leader := g.quorum(all...)
		rest := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == leader })
		g.kill(leader)
		began := time.Now()
		for i := range 20 {
			acked++
			g.must(rest[i%2], "config-key set", "key", "n", "val", fmt.Sprint(acked))
			if i == 0 {
				t.Logf("round %d: the first write took %v", round, time.Since(began))
			}
			if got := g.must(rest[(i+1)%2], "config-key get", "key", "n"); got != fmt.Sprint(acked) {
				t.Fatalf("read %q after %d was answered", got, acked)
			}
		}
		g.start(leader)
	}
	g.quorum(all...)
	for _, n := range all {
		if got := g.must(n, "config-key get", "key", "n"); got != fmt.Sprint(acked) {
			t.Errorf("mon.%s has %q, want %d", n, got, acked)
		}
	}
}

// A leader that is told to stop lets another one lead first: nobody waits for an
// election.
func TestLeaderStops(t *testing.T) {
	t.Parallel()
	g := newMonGroup(t, "a", "b", "c")
	leader := g.quorum("a", "b", "c")
	rest := slices.DeleteFunc([]string{"a", "b", "c"}, func(n string) bool { return n == leader })
	h := g.mons[leader]
	delete(g.mons, leader)
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.must(rest[0], "config-key set", "key", "k", "val", "v")
	t.Logf("a write took %v after the leader stopped", time.Since(began))
	g.quorum(rest...)
}
