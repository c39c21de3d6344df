package deploy

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
)

// host is a machine of a cluster: an address of the loopback network, and a
// directory.
type host struct {
	t    *testing.T
	addr string
	dir  string
}

// lastHost is the number of the last one: each has an address of its own, so that
// all can have monitors at the usual port.
var lastHost atomic.Int32

func newHost(t *testing.T) *host {
	t.Helper()
	return &host{t, fmt.Sprintf("127.77.%d.1", lastHost.Add(1)), binary.Dir(t)}
}

// pulpo runs a command in the host's directory.
func (h *host) pulpo(args ...string) string {
	h.t.Helper()
	r := binary.Run(h.t, append([]string{args[0], "--dir", h.dir}, args[1:]...)...)
	if r.Code != 0 {
		h.t.Fatalf("pulpo %s: %v", strings.Join(args, " "), r)
	}
	return r.Out
}

func (h *host) token(args ...string) string {
	h.t.Helper()
	return strings.TrimSpace(h.pulpo(append([]string{"token"}, args...)...))
}

// runs is a daemon that was started.
type runs struct {
	*exec.Cmd
	log *strings.Builder
	end chan error
}

// run starts a daemon in the foreground of a process of its own, as systemd
// does, and returns when it says that it is ready.
func (h *host) run(daemon string) *runs {
	h.t.Helper()
	kind, id, _ := strings.Cut(daemon, ".")
	r := &runs{exec.Command(binary.Path(h.t), kind, "--dir", h.dir, "--id", id), new(strings.Builder), make(chan error, 1)}
	socket := filepath.Join(h.dir, "notify")
	os.Remove(socket)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		h.t.Fatal(err)
	}
	r.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	r.Stderr = r.log
	if err := r.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { r.end <- r.Wait() }()
	h.t.Cleanup(func() { r.Process.Kill() })
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == nil && strings.Contains(string(buf[:n]), "READY=1") {
			return r
		}
		select {
		case err := <-r.end:
			h.t.Fatalf("%s ended at its start: %v\n%s", daemon, err, r.log)
		default:
		}
	}
	h.t.Fatalf("%s is not ready", daemon)
	return nil
}

// stop ends a daemon in order.
func (r *runs) stop(t *testing.T) {
	t.Helper()
	r.Process.Signal(unix.SIGTERM)
	if err := r.wait(); err != nil {
		t.Errorf("%v after SIGTERM: %v\n%s", r.Args, err, r.log)
	}
}

func (r *runs) wait() error {
	select {
	case err := <-r.end:
		return err
	case <-time.After(patience):
		return fmt.Errorf("still runs")
	}
}

// made are the daemons that a command says it has made.
func made(out string) []string {
	line, _ := bufio.NewReader(strings.NewReader(out)).ReadString('\n')
	line, _, _ = strings.Cut(strings.TrimPrefix(line, "Made "), ". To run")
	return strings.Split(line, ", ")
}

// TestHosts makes a cluster of three hosts, one daemon after the other, each with a
// monitor and an OSD.
func TestHosts(t *testing.T) {
	t.Parallel()
	a, b, c := newHost(t), newHost(t), newHost(t)
	if got := made(a.pulpo("bootstrap", "--addr", a.addr)); len(got) != 1 || got[0] != "mon.a" {
		t.Fatalf("bootstrap made %v", got)
	}
	refuses(t, "has a cluster already", "bootstrap", "--dir", a.dir, "--addr", a.addr)
	a.run("mon.a")
	admin := client(t, a.dir)
	quorum(t, admin, "a")

	for i, h := range []*host{b, c} {
		name := string(rune('b' + i))
		tok := a.token("--mon")
		if got := made(h.pulpo("join", "--token", tok, "--addr", h.addr, "--mon", "--mon-name", name)); len(got) != 1 || got[0] != "mon."+name {
			t.Fatalf("join made %v", got)
		}
		h.run("mon." + name)
	}
	quorum(t, admin, "a", "b", "c")

	// Tokens are made where the administrator's key is.
	refuses(t, "administrator's key", "token", "--dir", b.dir)
	tok := a.token()
	var daemons []*runs
	for i, h := range []*host{a, b, c} {
		args := []string{"join", "--token", tok, "--osd-size", "268435456"}
		if got := made(h.pulpo(args...)); len(got) != 1 || got[0] != fmt.Sprint("osd.", i) {
			t.Fatalf("join made %v", got)
		}
		daemons = append(daemons, h.run(fmt.Sprint("osd.", i)))
	}
	allUp(t, admin, 3)

	// Any host's ceph.conf leads to the cluster; a monitor that dies is not missed.
	for _, h := range []*host{a, b, c} {
		until(t, "ceph.conf has all monitors", func() error {
			conf, err := os.ReadFile(binary.Conf(h.dir))
			for _, addr := range []string{a.addr, b.addr, c.addr} {
				if err == nil && !strings.Contains(string(conf), addr) {
					err = fmt.Errorf("%s is not in %s", addr, conf)
				}
			}
			return err
		})
	}
	binary.Daemon(t, a.dir, "mon.a").Kill(t)
	quorum(t, admin, "b", "c")
	// Not even by the daemons that knew only this one when they were made.
	daemons[0].stop(t)
	daemons[0] = a.run("osd.0")
	allUp(t, admin, 3)
	a.run("mon.a")
	quorum(t, admin, "a", "b", "c")

	if st := b.pulpo("status"); !strings.Contains(st, "mon.b  running  process") || !strings.Contains(st, "osd.1  running  process") {
		t.Errorf("status of a host that joined:\n%s", st)
	}
	for _, d := range daemons {
		d.stop(t)
	}
	until(t, "all OSDs down", func() error {
		for _, o := range osds(t, admin) {
			if o.Up == 1 {
				return fmt.Errorf("osd.%d is up", o.OSD)
			}
		}
		return nil
	})
}

// TestGrowUp lets another host join a cluster that pulpo up has made in one
// process.
func TestGrowUp(t *testing.T) {
	t.Parallel()
	first, second := newHost(t), newHost(t)
	binary.Up(t, first.dir, "--listen", first.addr)
	admin := client(t, first.dir)
	pool := fill(t, admin, "rbd", 32)
	tok := first.token("--mon")
	second.pulpo("join", "--token", tok, "--addr", second.addr, "--mon", "--mon-name", "two", "--osd-size", "268435456")
	binary.Up(t, second.dir)
	quorum(t, admin, "a", "two")
	allUp(t, admin, 2)
	check(t, pool, 32)
	// What differs from Ceph's defaults is the same everywhere.
	for _, h := range []*host{first, second} {
		if conf, err := os.ReadFile(binary.Conf(h.dir)); err != nil || !strings.Contains(string(conf), "osd pool default size = 1") {
			t.Errorf("%v\n%s", err, conf)
		}
	}
	binary.Down(t, second.dir)
	binary.Up(t, second.dir)
	allUp(t, admin, 2)
	quorum(t, admin, "a", "two")
	binary.Down(t, second.dir)
}

// TestReplacedDisk puts a new disk in the place of one that broke: under the old
// number, never for the old one.
func TestReplacedDisk(t *testing.T) {
	t.Parallel()
	a := newHost(t)
	a.pulpo("bootstrap", "--addr", a.addr)
	a.run("mon.a")
	admin := client(t, a.dir)
	tok := a.token()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.MkdirAll(filepath.Join(disk, "lost+found"), 0o755); err != nil {
		t.Fatal(err)
	}
	a.pulpo("join", "--token", tok, "--osd", disk, "--osd-size", "268435456")
	zero := a.run("osd.0")
	a.run("osd.1")
	allUp(t, admin, 2)
	old := osds(t, admin)[0].UUID
	refuses(t, "not empty", "join", "--dir", a.dir, "--token", tok, "--osd", disk)
	refuses(t, "osd.0.*already|id 0 already in use", "join", "--dir", a.dir, "--token", tok, "--osd-size", "268435456", "--osd-id", "0")

	// The disk is gone, and then an empty one in its place.
	zero.stop(t)
	if err := os.RemoveAll(filepath.Join(disk, "store")); err != nil {
		t.Fatal(err)
	}
	refuses(t, "osd.0: its store is gone from "+disk, "osd", "--dir", a.dir, "--id", "0")
	run(t, admin, "osd destroy", "id", 0, "force", true)
	got := made(a.pulpo("join", "--token", tok, "--osd", disk, "--osd-id", "0"))
	if len(got) != 1 || got[0] != "osd.0" {
		t.Fatalf("join made %v", got)
	}
	a.run("osd.0")
	allUp(t, admin, 2)
	if now := osds(t, admin)[0].UUID; now == old {
		t.Errorf("the new disk passes for the old one, %s", old)
	}
}

// TestJoinWords misuses bootstrap, token and join.
func TestJoinWords(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	refuses(t, "--addr is missing", "bootstrap", "--dir", a.dir)
	refuses(t, `--addr "nowhere"`, "bootstrap", "--dir", a.dir, "--addr", "nowhere")
	refuses(t, "cannot assign", "bootstrap", "--dir", a.dir, "--addr", "192.0.2.1")
	refuses(t, "monitor name", "bootstrap", "--dir", a.dir, "--addr", a.addr, "--mon-name", "a/b")
	refuses(t, "no cluster", "token", "--dir", a.dir)
	a.pulpo("bootstrap", "--addr", a.addr)
	a.run("mon.a")
	refuses(t, "--ttl", "token", "--dir", a.dir, "--ttl", "0s")
	refuses(t, "--token is missing", "join", "--dir", b.dir, "--osd-size", "1000000")
	refuses(t, "no join token", "join", "--dir", b.dir, "--token", "swordfish", "--osd-size", "1000000")
	tok := a.token()
	refuses(t, "nothing to make", "join", "--dir", b.dir, "--token", tok)
	refuses(t, "--osd-size", "join", "--dir", b.dir, "--token", tok, "--osd-size", "-1")
	refuses(t, "--osd-id", "join", "--dir", b.dir, "--token", tok, "--osd-id", "0")
	refuses(t, "no such file", "join", "--dir", b.dir, "--token", tok, "--osd", filepath.Join(b.dir, "none"))
	// It was given for OSDs.
	refuses(t, "auth get: .*denied|access denied", "join", "--dir", b.dir, "--token", tok, "--mon", "--mon-name", "b")
	// A store that cannot be made leaves no OSD behind.
	refuses(t, "osd.0: ", "join", "--dir", b.dir, "--token", tok, "--osd-size", "5")
	if m := osds(t, client(t, a.dir)); len(m) != 0 {
		t.Errorf("OSDs %v", m)
	}

	short := a.token("--ttl", "1s")
	until(t, "the token's account is gone", func() error {
		r, err := command(t, client(t, a.dir), "auth ls")
		if n := strings.Count(string(r.Data), "client.join."); err != nil || n != 1 {
			return fmt.Errorf("%d accounts, %v", n, err)
		}
		return nil
	})
	refuses(t, "expired", "join", "--dir", b.dir, "--token", short, "--osd-size", "268435456")
	b.pulpo("join", "--token", tok, "--addr", b.addr, "--osd-size", "268435456")
	other := newHost(t)
	other.pulpo("bootstrap", "--addr", other.addr)
	refuses(t, "is of cluster", "join", "--dir", other.dir, "--token", tok, "--osd-size", "268435456")
}
