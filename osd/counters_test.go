package osd

import (
	"encoding/json"
	"testing"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/msg"
)

// counts are the plain numbers and, by "NAME count", the averages of "perf dump".
func (h *house) counts() map[string]int64 {
	h.t.Helper()
	var r metric.Registry
	r.Add(h.osd.Metrics())
	var f jsonfmt.Formatter
	r.Dump(&f, "osd", "")
	var out struct{ OSD map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(f.JSON()), &out); err != nil {
		h.t.Fatal(err)
	}
	n := map[string]int64{}
	for name, raw := range out.OSD {
		var avg struct{ AvgCount int64 }
		var v int64
		if json.Unmarshal(raw, &v) == nil {
			n[name] = v
		} else if json.Unmarshal(raw, &avg) == nil {
			n[name+" count"] = avg.AvgCount
		}
	}
	return n
}

func TestRequestsAreCountedByKind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 4)
	h.do(1, "a", 1, writeFull("hello"))
	h.do(1, "b", 2, writeFull("world!"))
	h.do(1, "a", 3, read())
	h.do(1, "a", 4, read(), writeFull("both"))
	// Answered, but nothing was executed.
	if r := h.do(1, "nothing", 5, read()); r == nil || r.Result == 0 {
		t.Fatalf("read of nothing: %+v", r)
	}
	h.step(Tick{})
	got := h.counts()
	for name, want := range map[string]int64{
		"op": 4, "op_in_bytes": 15, "op_latency count": 4,
		"op_w": 2, "op_w_in_bytes": 11, "op_w_latency count": 2,
		"op_r": 1, "op_r_out_bytes": 5, "op_r_latency count": 1,
		"op_rw": 1, "op_rw_in_bytes": 4, "op_rw_latency count": 1,
		"op_process_latency count": 4, "op_w_process_latency count": 2, "op_rw_prepare_latency count": 1, "copyfrom": 0,
		"object_ctx_cache_total": 5, "object_ctx_cache_hit": 2, "op_before_dequeue_op_lat count": 5,
		"tier_promote": 0, "recovery_ops": 0, "subop_latency count": 0, "numpg_removing": 0,
		"op_wip": 0, "slow_ops": 0, "messages_delayed_for_map": 0, "numpg": 4, "numpg_primary": 4,
		"map_message_epochs": int64(len(h.maps)), "stat_bytes": int64(h.store.Usage().Total),
	} {
		if got[name] != want {
			t.Errorf("%s: %d, want %d", name, got[name], want)
		}
	}
	if by := h.osd.counters.writes.byIn.Load(); sum(by) != 2 {
		t.Errorf("the histogram of writes holds %d", sum(by))
	}
}

func sum(n []uint64) (all uint64) {
	for _, v := range n {
		all += v
	}
	return all
}

// slowReport is the newest report to the monitors.
func (h *house) slowReport() *msg.OSDReport {
	var last *msg.OSDReport
	for _, m := range h.toMon {
		if r, ok := m.(*msg.OSDReport); ok {
			last = r
		}
	}
	return last
}

// Who asks for the state of the OSD, again and again, takes no news of groups away
// from the monitors.
func TestQuestionsLeaveNewsToReports(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"", `{"prefix":"status"}`, `{"prefix":"get_mapped_pools"}`} {
		h := newHouse(t)
		h.makePool(1, 4)
		h.wait(2 * reportEvery)
		if r := h.slowReport(); len(r.PGs) > 0 {
			t.Fatalf("%d groups have news at rest", len(r.PGs))
		}
		h.do(1, "a", 1, writeFull("hello"))
		if asked != "" {
			h.command(asked)
		}
		h.toMon = nil
		h.wait(reportEvery)
		if r := h.slowReport(); r == nil || len(r.PGs) != 1 {
			t.Errorf("asked %s: report %+v", asked, r)
		}
	}
}
