package mon

import (
	"encoding/json"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
)

// watched is a world with a session that looks at its counters.
type watched struct {
	*world
	watcher uint64
}

// perf is "perf dump".
func (w *watched) perf() map[string]map[string]any {
	w.t.Helper()
	r := w.tell(w.watcher, `{"prefix":"perf dump"}`)
	var out map[string]map[string]any
	if err := json.Unmarshal([]byte(r.out), &out); err != nil || r.ret != 0 {
		w.t.Fatalf("perf dump: %v %+v", err, r)
	}
	return out
}

func TestMonitorCounts(t *testing.T) {
	t.Parallel()
	w := watched{newWorld(t), 0}
	w.watcher = w.admin()
	before := w.perf()
	if n := before["mon"]; n["num_elections"] != 1.0 || n["election_call"] != 1.0 || n["election_win"] != 1.0 || n["election_lose"] != 0.0 {
		t.Errorf("a monitor that is alone elects itself once: %v", n)
	}
	admin := w.admin()
	nobody := w.open("client.nobody", false, "mon", "allow r")
	w.must(admin, "config-key set", "key", "k", "val", "v")
	if a := w.call(nobody, "config-key set", "key", "k", "val", "v"); a.ret != -int32(errno.EACCES) {
		t.Fatalf("refused with %d", a.ret)
	}
	w.step(SessionClosed{ID: nobody})
	w.settle()

	now := w.perf()
	rise := func(group, name string) float64 {
		of := func(m map[string]map[string]any) float64 {
			switch v := m[group][name].(type) {
			case float64:
				return v
			case map[string]any:
				return v["avgcount"].(float64)
			}
			t.Fatalf("no %s.%s", group, name)
			return 0
		}
		return of(now) - of(before)
	}
	for _, c := range []struct {
		group, name string
		want        float64
	}{
		{"mon", "session_add", 2}, {"mon", "session_rm", 1}, {"mon", "num_sessions", 1},
		{"mon", "commands", 3}, {"mon", "commands_refused", 1}, {"mon", "num_elections", 0},
	} {
		if got := rise(c.group, c.name); got != c.want {
			t.Errorf("%s.%s rose by %v, want %v", c.group, c.name, got, c.want)
		}
	}
	for _, name := range []string{"begin", "begin_bytes", "commit", "commit_latency", "store_state", "store_state_keys", "store_state_bytes"} {
		if rise("paxos", name) < 1 {
			t.Errorf("paxos.%s did not rise with a change", name)
		}
	}
	if n := now["cluster"]; n["num_mon"] != 1.0 || n["num_mon_quorum"] != 1.0 || n["osd_epoch"] != float64(w.m.parts.osd.Map().Epoch) {
		t.Errorf("cluster: %v", n)
	}

	if r := w.tell(w.watcher, `{"prefix":"perf reset","var":"all"}`); r.ret != 0 {
		t.Errorf("perf reset: %v", r)
	}
	if n := w.perf()["paxos"]; n["commit"] != 0.0 {
		t.Errorf("after perf reset: %v", n)
	}
	if n := w.perf()["mon"]; n["num_sessions"] == 0.0 {
		t.Error("perf reset lost a level")
	}
}
