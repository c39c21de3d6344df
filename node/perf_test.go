package node_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/node"
	"github.com/pulpo-storage/pulpo/rados"
)

// watched is a cluster that serves its metrics.
type watched struct {
	t      *testing.T
	dir    string
	client *rados.Cluster
}

func startWatched(t *testing.T) *watched {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // t.TempDir may be longer than a socket's path can be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := node.Start(ctx, node.Options{Dir: dir, Metrics: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if url, err := node.MetricsURL(dir, ""); url != "" || err != nil {
			t.Errorf("metrics of a cluster that has stopped: %q %v", url, err)
		}
	})
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	client, err := rados.ConnectFile(ctx, c.Conf())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &watched{t, dir, client}
}

// perf is a group of "ceph daemon DAEMON perf dump".
func (w *watched) perf(daemon, group string) map[string]any {
	w.t.Helper()
	var out map[string]map[string]any
	raw := w.ask(daemon, map[string]string{"prefix": "perf dump", "logger": group})
	if err := json.Unmarshal(raw, &out); err != nil || out[group] == nil {
		w.t.Fatalf("%s: %v %s", daemon, err, raw)
	}
	return out[group]
}

// ask gives a command to an admin socket.
func (w *watched) ask(daemon string, cmd map[string]string) []byte {
	w.t.Helper()
	c, err := net.Dial("unix", filepath.Join(w.dir, "run", "ceph-"+daemon+".asok"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	text, _ := json.Marshal(cmd)
	if _, err := c.Write(append(text, 0)); err != nil {
		w.t.Fatal(err)
	}
	out, err := io.ReadAll(c)
	if err != nil || len(out) < 4 || int(binary.BigEndian.Uint32(out)) != len(out)-4 {
		w.t.Fatalf("%s: %v: %d bytes", daemon, err, len(out))
	}
	return out[4:]
}

// page is the metrics page, by name and labels.
func (w *watched) page() map[string]float64 {
	w.t.Helper()
	url, err := node.MetricsURL(w.dir, "")
	if err != nil || url == "" {
		w.t.Fatalf("no URL of the metrics: %v", err)
	}
	r, err := http.Get(url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	lines := map[string]float64{}
	for sc := bufio.NewScanner(r.Body); sc.Scan(); {
		i := strings.LastIndexByte(sc.Text(), ' ')
		if v, err := strconv.ParseFloat(sc.Text()[i+1:], 64); err == nil {
			lines[sc.Text()[:i]] = v
		}
	}
	return lines
}

func TestCountersShowWhatClientsDo(t *testing.T) {
	t.Parallel()
	w := startWatched(t)
	pool, err := w.client.Pool(t.Context(), "rbd")
	if err != nil {
		t.Fatal(err)
	}
	before, page := w.perf("osd.0", "osd"), w.page()
	stored := w.perf("osd.0", "diskstore")
	const n, size = 7, 1000
	for i := range n {
		name := fmt.Sprint("o", i)
		if err := pool.WriteFull(t.Context(), name, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.ReadFull(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	// Requests are counted after their answers.
	var after map[string]any
	rise := func(name string) float64 { return after[name].(float64) - before[name].(float64) }
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		after = w.perf("osd.0", "osd")
		if rise("op_r") >= n && rise("op_w") >= n || time.Now().After(end) {
			break
		}
	}
	for name, want := range map[string]float64{"op": 2 * n, "op_w": n, "op_r": n, "op_in_bytes": n * size, "op_w_in_bytes": n * size, "op_r_out_bytes": n * size} {
		if got := rise(name); got != want {
			t.Errorf("%s rose by %v, want %v", name, got, want)
		}
	}
	if avg := after["op_w_latency"].(map[string]any); avg["avgcount"].(float64) < n || avg["sum"].(float64) <= 0 {
		t.Errorf("op_w_latency: %v", avg)
	}
	if got := w.perf("osd.0", "diskstore")["commits"].(float64) - stored["commits"].(float64); got < n {
		t.Errorf("the store made %v commits of %d writes", got, n)
	}

	now := w.page()
	for name, want := range map[string]float64{
		`ceph_osd_op{ceph_daemon="osd.0"}`: 2 * n, `ceph_osd_op_w_in_bytes{ceph_daemon="osd.0"}`: n * size,
		`ceph_osd_op_r_latency_count{ceph_daemon="osd.0"}`: n,
	} {
		if got := now[name] - page[name]; got != want {
			t.Errorf("%s rose by %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{
		`ceph_msgr_msgr_recv_messages{ceph_daemon="osd.0"}`, `ceph_msgr_msgr_recv_messages{ceph_daemon="mon.a"}`,
		`ceph_mon_num_sessions{ceph_daemon="mon.a"}`, `ceph_paxos_commit{ceph_daemon="mon.a"}`,
		`ceph_cluster_num_osd_up{ceph_daemon="mon.a"}`, `ceph_process_resident_bytes{ceph_daemon="mon.a"}`,
		`ceph_diskstore_commit_latency_count{ceph_daemon="osd.0"}`,
	} {
		if now[name] <= 0 {
			t.Errorf("%s is %v", name, now[name])
		}
	}

	for _, daemon := range []string{"osd.0", "mon.a"} {
		for _, cmd := range []string{"perf schema", "perf histogram schema", "perf histogram dump"} {
			if out := w.ask(daemon, map[string]string{"prefix": cmd}); !json.Valid(out) {
				t.Errorf("%s %s: %s", daemon, cmd, out)
			}
		}
	}
	if out := w.ask("osd.0", map[string]string{"prefix": "perf reset", "var": "osd"}); !strings.Contains(string(out), `"success": "perf reset osd"`) {
		t.Errorf("perf reset: %s", out)
	}
	if got := w.perf("osd.0", "osd")["op"]; got != 0.0 {
		t.Errorf("%v operations after perf reset", got)
	}
}

// All daemons are of one version, or tools report an upgrade that goes on.
func TestOneVersion(t *testing.T) {
	t.Parallel()
	w := startWatched(t)
	r, err := w.client.Command(t.Context(), rados.ToMons(), map[string]string{"prefix": "versions", "format": "json"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Overall map[string]int }
	if err := json.Unmarshal(r.Data, &all); err != nil || len(all.Overall) != 1 {
		t.Fatalf("%v %s", err, r.Data)
	}
	for v, n := range all.Overall {
		if n != 3 || !strings.HasPrefix(v, "ceph version 16.2.15") {
			t.Errorf("%d daemons of %q", n, v)
		}
	}
}
