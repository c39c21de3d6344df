package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	program "github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/rados"
)

const (
	stormMons, stormOSDs = 3, 5
	stormPool            = "storm"
	smallOSD             = stormOSDs - 1 // has little room
	rottenOSD            = 0             // bits of its disk flip; never of two copies
)

// storm is a cluster of three monitors and five OSDs, a host each, with clients on
// the stock librados that keep histories, and one fault after the other.
type storm struct {
	t       *testing.T
	r       *rand.Rand
	net     *network
	daemons []*daemon // monitors, then OSDs; by host
	dir     string    // histories, logs, ceph.conf
	conf    string
	admin   *rados.Cluster

	clients []*client
	maps    *client
	number  int // of the last client
	faults  []*fault
	benches int
}

// daemon is one on a host of its own.
type daemon struct {
	name string
	host int
	dir  string
	cmd  *exec.Cmd
	gone chan struct{}
}

// client is a process of testdata/client.py.
type client struct {
	mode string
	cmd  *exec.Cmd
	in   io.WriteCloser
}

// fault is what happened, and when (CLOCK_MONOTONIC).
type fault struct {
	Kind       string
	Detail     string
	Begin, End int64
	Clean      bool // all groups were clean when it began
}

func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// host is a command on a daemon's host: in its network, and with its name.
func (s *storm) host(d *daemon, args ...string) *exec.Cmd {
	args = append([]string{"unshare", "--uts", "sh", "-c", `echo "$0" > /proc/sys/kernel/hostname && exec "$@"`, fmt.Sprint("host", d.host),
		program.Path(s.t), args[0], "--dir", d.dir}, args[1:]...)
	return s.net.in(s.net.host(d.host), args...)
}

func (s *storm) pulpo(d *daemon, args ...string) string {
	s.t.Helper()
	r := program.Exec(s.t, s.host(d, args...))
	if r.Code != 0 {
		s.t.Fatalf("pulpo %s: %v", strings.Join(args, " "), r)
	}
	return strings.TrimSpace(r.Out)
}

func (s *storm) start(d *daemon) {
	s.t.Helper()
	kind, id, _ := strings.Cut(d.name, ".")
	d.cmd, d.gone = s.host(d, kind, "--id", id), make(chan struct{})
	log, err := os.OpenFile(filepath.Join(s.dir, d.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, gone chan struct{}) { cmd.Wait(); close(gone) }(d.cmd, d.gone)
}

// end sends a daemon a signal that ends it, and waits.
func (s *storm) end(d *daemon, sig os.Signal) {
	s.t.Helper()
	d.cmd.Process.Signal(sig)
	select {
	case <-d.gone:
	case <-time.After(2 * time.Minute):
		s.t.Errorf("%s has not ended after %v", d.name, sig)
		d.cmd.Process.Kill()
		<-d.gone
	}
}

func (s *storm) osd(i int) *daemon { return s.daemons[stormMons+i] }

// run starts a client.
func (s *storm) run(mode string, words ...string) *client {
	s.t.Helper()
	s.number++
	path := filepath.Join(s.dir, fmt.Sprintf("history.%03d", s.number))
	args := append([]string{"testdata/client.py", s.conf, path, fmt.Sprint(s.number), stormPool, mode}, words...)
	c := &client{mode: mode, cmd: exec.Command("/usr/bin/python3", args...)}
	c.cmd.Env = peer.Env(s.conf)
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	errs, err := os.Create(path + ".stderr")
	if err != nil {
		s.t.Fatal(err)
	}
	defer errs.Close()
	c.cmd.Stderr = errs
	if err := c.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.cmd.Process.Kill(); c.cmd.Wait() })
	return c
}

// finish tells a client its last word and waits for its end.
func (s *storm) finish(c *client, word string, limit time.Duration) {
	s.t.Helper()
	io.WriteString(c.in, word+"\n")
	c.in.Close()
	late := time.AfterFunc(limit, func() { c.cmd.Process.Kill() })
	err := c.cmd.Wait()
	if !late.Stop() {
		describe(s.t, s.admin, stormOSDs)
		s.t.Errorf("a client (%s) is stuck: no end within %v", c.mode, limit)
	} else if err != nil {
		s.t.Errorf("a client (%s): %v", c.mode, err)
	}
}

func newStorm(t *testing.T) *storm {
	peer.Require(t, "unshare", "rados")
	n := seed(t)
	s := &storm{t: t, r: rand.New(rand.NewPCG(n, 1<<34)), net: newNetwork(t, stormMons+stormOSDs)}
	s.dir = os.Getenv("PULPO_CHAOS_KEEP")
	if s.dir == "" {
		s.dir = t.ArtifactDir()
	}
	for i := range stormMons + stormOSDs {
		d := &daemon{name: "mon." + string(rune('a'+i)), host: i, dir: program.Dir(t)}
		if i >= stormMons {
			d.name = fmt.Sprint("osd.", i-stormMons)
		}
		s.daemons = append(s.daemons, d)
	}
	t.Cleanup(func() {
		for _, d := range s.daemons {
			if d.cmd != nil && d.cmd.Process != nil {
				d.cmd.Process.Kill()
				<-d.gone
			}
		}
	})
	first := s.daemons[0]
	s.pulpo(first, "bootstrap", "--addr", s.net.of(0))
	s.start(first)
	var mons []string
	for i := range stormMons {
		mons = append(mons, s.net.of(i))
	}
	s.conf = filepath.Join(s.dir, "ceph.conf")
	conf := fmt.Sprintf("[global]\nmon host = %s\nkeyring = %s\n", strings.Join(mons, ","), filepath.Join(first.dir, "ceph.client.admin.keyring"))
	if err := os.WriteFile(s.conf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	token := s.pulpo(first, "token", "--mon")
	for _, d := range s.daemons[1:] {
		if kind, name, _ := strings.Cut(d.name, "."); kind == "mon" {
			s.pulpo(d, "join", "--token", token, "--addr", s.net.of(d.host), "--mon", "--mon-name", name)
		} else {
			size := 8 << 30
			if d == s.osd(smallOSD) {
				size = 768 << 20
			}
			s.pulpo(d, "join", "--token", token, "--osd-size", fmt.Sprint(size))
		}
		s.start(d)
	}
	s.admin = connect(t, s.conf)
	s.waitUp()
	// It gets its share all the same.
	weigh := map[string]any{"prefix": "osd crush reweight", "name": fmt.Sprint("osd.", smallOSD), "weight": 8.0 / 1024}
	if _, err := s.admin.Command(t.Context(), rados.ToMons(), weigh, nil); err != nil {
		t.Fatal(err)
	}
	for _, pool := range []string{stormPool, "bench"} {
		createPool(t, s.admin, pool)
		command(t, s.admin, map[string]string{"prefix": "osd pool application enable", "pool": pool, "app": "rados"})
	}
	waitClean(t, s.admin)
	return s
}

// waitUp waits until all OSDs are up and all monitors in the quorum.
func (s *storm) waitUp() {
	s.t.Helper()
	var stat struct {
		OSDs struct {
			Up int `json:"num_up_osds"`
		} `json:"osdmap"`
		Quorum []int
	}
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err := json.Unmarshal(command(s.t, s.admin, map[string]string{"prefix": "status", "format": "json"}), &stat); err != nil {
			s.t.Fatal(err)
		}
		if stat.OSDs.Up == stormOSDs && len(stat.Quorum) == stormMons {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%d OSDs up, quorum %v", stat.OSDs.Up, stat.Quorum)
			return
		}
	}
}

func (s *storm) leader() *daemon {
	s.t.Helper()
	var q struct {
		Leader string `json:"quorum_leader_name"`
	}
	if err := json.Unmarshal(command(s.t, s.admin, map[string]string{"prefix": "quorum_status", "format": "json"}), &q); err != nil {
		s.t.Fatal(err)
	}
	i := slices.IndexFunc(s.daemons, func(d *daemon) bool { return d.name == "mon."+q.Leader })
	return s.daemons[i]
}

// kinds are the faults: how often each is drawn, how long it lasts (at least and at
// most, seconds), and how it is made and ended.
var kinds = []struct {
	name        string
	weight      int
	least, most int
	begin       func(s *storm) (what string, heal func())
}{
	{"OSD killed", 6, 0, 30, func(s *storm) (string, func()) { return s.kill(s.anyOSD()) }},
	{"OSD stopped", 4, 2, 40, func(s *storm) (string, func()) { return s.hang(s.anyOSD()) }},
	{"OSD cut off", 4, 2, 40, func(s *storm) (string, func()) { return s.cut(s.anyOSD(), true, true) }},
	{"OSD cut from OSDs", 4, 2, 60, (*storm).cutCluster},
	{"OSD not heard", 3, 2, 40, func(s *storm) (string, func()) { return s.cut(s.anyOSD(), true, false) }},
	{"OSD does not hear", 3, 2, 40, func(s *storm) (string, func()) { return s.cut(s.anyOSD(), false, true) }},
	{"one OSD not heard by one", 3, 2, 40, (*storm).cutOne},
	{"two OSDs killed", 2, 0, 15, (*storm).killTwo},
	{"leader killed", 4, 1, 10, (*storm).killLeader},
	{"leader stopped", 2, 2, 20, func(s *storm) (string, func()) { return s.hang(s.leader()) }},
	{"leader cut off", 3, 2, 20, func(s *storm) (string, func()) { return s.cut(s.leader(), true, true) }},
	{"monitor killed", 2, 0, 15, func(s *storm) (string, func()) { return s.kill(s.anyMon()) }},
	{"monitor cut off", 2, 2, 20, func(s *storm) (string, func()) { return s.cut(s.anyMon(), true, true) }},
	{"monitor not heard", 2, 2, 20, func(s *storm) (string, func()) { return s.cut(s.anyMon(), true, false) }},
	{"OSD and monitor killed", 2, 0, 30, (*storm).killBoth},
	{"client killed", 2, 0, 1, (*storm).killClient},
	{"bits flipped", 3, 0, 1, (*storm).rot},
	{"disk full", 0, 0, 1, nil}, // by the clock, not by chance
}

func (s *storm) anyOSD() *daemon { return s.osd(s.r.IntN(stormOSDs)) }
func (s *storm) anyMon() *daemon { return s.daemons[s.r.IntN(stormMons)] }

func (s *storm) kill(d *daemon) (string, func()) {
	s.end(d, unix.SIGKILL)
	return d.name, func() { s.start(d) }
}

func (s *storm) killLeader() (string, func()) {
	d := s.leader()
	what, heal := s.kill(d)
	io.WriteString(s.maps.in, "now\n")
	return what, heal
}

func (s *storm) killTwo() (string, func()) {
	i := s.r.IntN(stormOSDs)
	a, heal := s.kill(s.osd(i))
	b, healToo := s.kill(s.osd((i + 1 + s.r.IntN(stormOSDs-1)) % stormOSDs))
	return a + " and " + b, func() { heal(); healToo() }
}

func (s *storm) killBoth() (string, func()) {
	a, heal := s.kill(s.anyOSD())
	b, healToo := s.kill(s.anyMon())
	return a + " and " + b, func() { heal(); healToo() }
}

func (s *storm) hang(d *daemon) (string, func()) {
	d.cmd.Process.Signal(unix.SIGSTOP)
	return d.name, func() { d.cmd.Process.Signal(unix.SIGCONT) }
}

// cut loses what a host sends to, or should get from, anybody.
func (s *storm) cut(d *daemon, from, to bool) (string, func()) {
	if from {
		s.net.lose(d.host, -1)
	}
	if to {
		s.net.lose(-1, d.host)
	}
	return d.name, s.net.heal
}

// cutCluster parts one OSD from the others; monitors and clients reach it.
func (s *storm) cutCluster() (string, func()) {
	d := s.anyOSD()
	for i := range stormOSDs {
		if o := s.osd(i); o != d {
			s.net.lose(d.host, o.host)
			s.net.lose(o.host, d.host)
		}
	}
	return d.name, s.net.heal
}

func (s *storm) cutOne() (string, func()) {
	i := s.r.IntN(stormOSDs)
	a, b := s.osd(i), s.osd((i+1+s.r.IntN(stormOSDs-1))%stormOSDs)
	s.net.lose(a.host, b.host)
	return a.name + " by " + b.name, s.net.heal
}

func (s *storm) killClient() (string, func()) {
	i := s.r.IntN(len(s.clients))
	s.clients[i].cmd.Process.Kill()
	s.clients[i].cmd.Wait()
	return "", func() { s.clients[i] = s.load() }
}

func (s *storm) load() *client { return s.run("load", "4", "40") }

// rot flips bits in data of objects at rest, on one disk.
func (s *storm) rot() (string, func()) {
	d := s.osd(rottenOSD)
	rested := map[uint64]bool{}
	before := monotonic() - int64(70*time.Second)
	for _, c := range s.history() {
		rested[c.number] = c.begin < before
	}
	s.end(d, unix.SIGKILL)
	n := s.flip(filepath.Join(d.dir, d.name, "store", "block"), rested)
	return fmt.Sprintf("%s: %d blocks", d.name, n), func() { s.start(d) }
}

// flip changes a byte in some blocks of a store that hold data of given calls.
func (s *storm) flip(path string, of map[uint64]bool) int {
	s.t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	// doc/format/diskstore.md#superblock: the journal is not what is damaged here.
	super := make([]byte, 4096)
	if _, err := f.ReadAt(super, 0); err != nil {
		s.t.Fatal(err)
	}
	journal := int64(binary.LittleEndian.Uint64(super[83:]))
	end := journal + int64(binary.LittleEndian.Uint64(super[91:]))
	var found []int64
	buf := make([]byte, 1<<20)
	for at := int64(4096); ; at += int64(len(buf)) {
		n, _ := f.ReadAt(buf, at)
		for i := 0; i+4096 <= n; i += 4096 {
			b := buf[i : i+4096]
			if pos := at + int64(i); (pos < journal || pos >= end) && of[binary.LittleEndian.Uint64(b)] && bytes.Equal(b[8:], b[:4088]) {
				found = append(found, pos)
			}
		}
		if n < len(buf) {
			break
		}
	}
	s.r.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	found = found[:min(len(found), 30)]
	for _, pos := range found {
		b := make([]byte, 1)
		pos += int64(s.r.IntN(4096))
		f.ReadAt(b, pos)
		b[0] ^= 1 << s.r.IntN(8)
		if _, err := f.WriteAt(b, pos); err != nil {
			s.t.Fatal(err)
		}
	}
	return len(found)
}

// fillUp writes until a disk is full, and deletes again what was written.
func (s *storm) fillUp() (string, func()) {
	c := s.run("fill")
	waitHealthFor(s.t, s.admin, "OSD_FULL", true, 4*time.Minute)
	time.Sleep(3 * time.Second)
	return fmt.Sprint("osd.", smallOSD), func() {
		s.finish(c, "delete", 2*time.Minute)
		waitHealthFor(s.t, s.admin, "OSD_FULL", false, time.Minute)
	}
}

// waitHealthFor waits until the cluster's health has a check, or has it no more.
func waitHealthFor(t *testing.T, c *rados.Cluster, check string, there bool, limit time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		var h struct{ Checks map[string]json.RawMessage }
		if err := json.Unmarshal(command(t, c, map[string]string{"prefix": "health", "format": "json"}), &h); err != nil {
			t.Fatal(err)
		}
		if _, ok := h.Checks[check]; ok == there {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: not %v within %v", check, there, limit)
			return
		}
	}
}

// strike makes one fault, lets it last, and ends it.
func (s *storm) strike(kind string, least, most int, begin func(*storm) (string, func())) {
	s.t.Helper()
	f := &fault{Kind: kind, Clean: s.clean(), Begin: monotonic()}
	s.faults = append(s.faults, f)
	what, heal := begin(s)
	hold := time.Duration(least)*time.Second + time.Duration(s.r.Int64N(int64(most-least)*int64(time.Second)))
	time.Sleep(hold)
	heal()
	f.End = monotonic()
	f.Detail = what
	s.t.Logf("%s %s: %s for %v", time.Now().Format(time.TimeOnly), kind, what, hold.Round(time.Millisecond))
}

// settle waits until all groups are clean, a minute at most; the storm goes on if they
// are not.
func (s *storm) settle() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !s.clean(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Errorf("%s: not clean after a minute: %v", time.Now().Format(time.TimeOnly), groups(s.t, s.admin))
			return
		}
	}
}

func (s *storm) clean() bool {
	for _, g := range groups(s.t, s.admin) {
		if g.State != "active+clean" {
			return false
		}
	}
	return true
}

// bench runs the stock benchmark, which verifies what it reads, over and over.
func (s *storm) bench(ctx context.Context) error {
	for ctx.Err() == nil {
		s.benches++
		name := fmt.Sprint("run", s.benches)
		for _, step := range []string{
			"bench 8 write -b 65536 -t 4 --no-cleanup --run-name " + name,
			"bench 60 seq -t 4 --run-name " + name,
			"cleanup --run-name " + name,
		} {
			cmd := exec.Command("rados", append([]string{"-p", "bench"}, strings.Fields(step)...)...)
			cmd.Env = peer.Env(s.conf)
			late := time.AfterFunc(4*time.Minute, func() { cmd.Process.Kill() })
			out, err := cmd.CombinedOutput()
			late.Stop()
			if err != nil || bytes.Contains(out, []byte("not correct")) || bytes.Contains(out, []byte("rror")) {
				return fmt.Errorf("rados %s: %v\n%s", step, err, out)
			}
		}
	}
	return nil
}

// history is what all clients have written.
func (s *storm) history() (all []*call) {
	s.t.Helper()
	paths, _ := filepath.Glob(filepath.Join(s.dir, "history.???"))
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			s.t.Fatal(err)
		}
		calls, err := parseHistory(f)
		f.Close()
		if err != nil {
			s.t.Fatalf("%s: %v", path, err)
		}
		all = append(all, calls...)
	}
	return all
}

// TestStormSoak runs PULPO_SOAK_MINUTES of faults, one after the other, half of them
// before the cluster has recovered from the one before: daemons of a minority are
// killed, stopped and cut off, in one direction or both, a disk runs full, bits flip
// on another. All clients are stock ones.
//
// Nobody is refused anything, no acknowledged write is lost or torn, and what clients
// saw of each object has an order. Clients wait no longer than Ceph has them wait, and
// the cluster is clean a minute after the last fault.
func TestStormSoak(t *testing.T) {
	t.Parallel()
	minutes, err := strconv.ParseFloat(os.Getenv("PULPO_SOAK_MINUTES"), 64)
	if err != nil {
		t.Skip("PULPO_SOAK_MINUTES is not set")
	}
	s := newStorm(t)
	for range 4 {
		s.clients = append(s.clients, s.load())
	}
	s.maps = s.run("maps")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var benches sync.WaitGroup
	var benchErr error
	benches.Go(func() { benchErr = s.bench(ctx) })

	var weights []int
	for i, k := range kinds {
		weights = append(weights, slices.Repeat([]int{i}, k.weight)...)
	}
	span := time.Duration(minutes * float64(time.Minute))
	begin := time.Now()
	fills := []time.Duration{span / 3, span * 3 / 4}
	// At first one of each, in any order; then by chance.
	order := s.r.Perm(len(kinds) - 1)
	for time.Since(begin) < span {
		if len(fills) > 0 && time.Since(begin) > fills[0] {
			fills = fills[1:]
			s.waitUp()
			s.settle()
			s.strike("disk full", 0, 1, (*storm).fillUp)
			continue
		}
		i := weights[s.r.IntN(len(weights))]
		if len(order) > 0 {
			i, order = order[0], order[1:]
		}
		k := kinds[i]
		s.strike(k.name, k.least, k.most, k.begin)
		if s.r.IntN(2) == 0 {
			s.waitUp()
			s.settle()
			time.Sleep(2 * time.Second)
		} else {
			time.Sleep(time.Duration(s.r.Int64N(int64(8 * time.Second))))
		}
	}
	last := monotonic()
	if n := len(s.faults); n > 0 {
		last = s.faults[n-1].End
	}
	s.settle()
	t.Logf("active+clean %v after the end of the last fault (%s)", since(last), s.faults[len(s.faults)-1].Kind)
	s.waitUp()
	stop()
	for _, c := range s.clients {
		s.finish(c, "stop", time.Minute)
	}
	s.finish(s.maps, "stop", time.Minute)
	benches.Wait()
	if benchErr != nil {
		t.Error(benchErr)
	}
	s.look()
	s.measure()
	s.judge()
	s.mend()
	s.look()
	s.judge()
	for _, d := range slices.Backward(s.daemons) {
		s.end(d, unix.SIGTERM)
	}
	for i := range stormOSDs {
		d := s.osd(i)
		r := program.Run(t, "store", "fsck", "--deep", filepath.Join(d.dir, d.name, "store"))
		if r.Code != 0 {
			t.Errorf("fsck %s: %v", d.name, r)
		}
	}
}

func since(at int64) time.Duration { return time.Duration(monotonic() - at).Round(time.Millisecond) }

// look has a client read all objects that there ever were.
func (s *storm) look() {
	s.t.Helper()
	names := slices.Sorted(maps.Keys(byObject(s.history())))
	s.finish(s.run("read"), strings.Join(names, "\n"), 5*time.Minute)
}

// judge checks the histories.
func (s *storm) judge() {
	t := s.t
	calls := s.history()
	objects := byObject(calls)
	answered, refused := 0, 0
	for _, c := range calls {
		if c.end != 0 {
			answered++
		}
		if c.refused() {
			if refused++; refused <= 20 {
				t.Errorf("a client was told: %v", c)
			}
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	wrong := 0
	gate := make(chan struct{}, 2)
	for _, list := range objects {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			if err := checkObject(list, time.Minute); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if wrong++; wrong <= 3 {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d calls, %d answered, %d refused; %d objects, %d wrong; %d runs of rados bench; %d faults",
		len(calls), answered, refused, len(objects), wrong, s.benches, len(s.faults))
}

// measure tells how long clients waited, by the kind of fault.
func (s *storm) measure() {
	t, calls := s.t, s.history()
	if b, err := json.MarshalIndent(s.faults, "", " "); err != nil || os.WriteFile(filepath.Join(s.dir, "faults.json"), b, 0o644) != nil {
		t.Errorf("faults.json: %v", err)
	}
	longest, _ := stall(calls, 0, 1<<62, func(*call) bool { return true })
	t.Logf("the longest wait of all: %v", longest)
	io := func(c *call) bool { return c.what != "map" && !strings.HasPrefix(c.object, "fill") }
	byKind := map[string][]string{}
	for i, f := range s.faults {
		to := f.End + int64(20*time.Second)
		if i+1 < len(s.faults) {
			to = s.faults[i+1].Begin
		}
		d, c := stall(calls, f.Begin, to, io)
		m, _ := stall(calls, f.Begin, to, func(c *call) bool { return c.what == "map" })
		line := fmt.Sprintf("io %v, maps %v", d.Round(time.Millisecond), m.Round(time.Millisecond))
		if f.Kind == "leader killed" {
			w := written(calls, f.Begin)
			line += fmt.Sprintf(", a map was written after %v", w.Round(time.Millisecond))
			if f.Clean && w > 3*time.Second {
				t.Errorf("leader killed (%s): maps were written again after %v", f.Detail, w)
			}
		}
		// Who is silent is pinged 6 s later at most and reported 20 s after that; then
		// there is a map, and peering. Nobody listens where a process is gone.
		limit := 30 * time.Second
		if strings.HasSuffix(f.Kind, "killed") {
			limit = 25 * time.Second
		}
		if f.Clean && patient[f.Kind] == "" && d > limit {
			t.Errorf("%s (%s, %v): a client waited for %v: %v", f.Kind, f.Detail, time.Duration(f.End-f.Begin).Round(time.Second), d, c)
		}
		byKind[f.Kind] = append(byKind[f.Kind], fmt.Sprintf("%-34s for %6.1fs clean=%-5v %s", f.Detail, float64(f.End-f.Begin)/1e9, f.Clean, line))
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		t.Logf("longest waits, %s:\n    %s", kind, strings.Join(byKind[kind], "\n    "))
	}
}

// patient are the kinds of faults for whose whole time Ceph has clients wait, and why.
var patient = map[string]string{
	"disk full":                "writes wait for room",
	"two OSDs killed":          "groups of both have fewer copies than min_size",
	"one OSD not heard by one": "either complains of the other, and it takes two to be believed (mon_osd_min_down_reporters)",
}

// written is how long after a moment a change of the map that was asked for since was
// done.
func written(calls []*call, at int64) time.Duration {
	first := int64(1 << 62)
	for _, c := range calls {
		if c.what == "map" && c.begin >= at && c.end != 0 && c.errno == 0 {
			first = min(first, c.end)
		}
	}
	return time.Duration(first - at)
}

// mend scrubs everything, has repaired what bits have flipped in, and scrubs again.
func (s *storm) mend() {
	s.t.Helper()
	deepScrub := func() (bad []string) {
		before := map[string]string{}
		for _, g := range groups(s.t, s.admin) {
			before[g.ID] = g.Stamp
			command(s.t, s.admin, map[string]string{"prefix": "pg deep-scrub", "pgid": g.ID})
		}
		waitGroups(s.t, s.admin, "scrubbed", func(g group) bool {
			return g.Stamp != before[g.ID] && (g.State == "active+clean" || g.State == "active+clean+inconsistent")
		})
		for _, g := range groups(s.t, s.admin) {
			if strings.Contains(g.State, "inconsistent") {
				bad = append(bad, g.ID)
			}
		}
		return bad
	}
	bad := deepScrub()
	rotten := slices.ContainsFunc(s.faults, func(f *fault) bool { return f.Kind == "bits flipped" })
	s.t.Logf("after the storm %d groups are inconsistent: %v", len(bad), bad)
	if !rotten && len(bad) > 0 {
		s.t.Errorf("no bit was flipped, and yet %v are inconsistent", bad)
	}
	for _, id := range bad {
		command(s.t, s.admin, map[string]string{"prefix": "pg repair", "pgid": id})
	}
	waitClean(s.t, s.admin)
	if left := deepScrub(); len(left) > 0 {
		s.t.Errorf("still inconsistent after a repair: %v", left)
	}
}
