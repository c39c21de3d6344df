package osd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// A request that waits longer than osd_op_complaint_time is in the log and in
// the report that the monitors warn by; once done it is remembered as slow.
func TestSlowRequestIsComplainedOf(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 4)
	h.propose(func(*osdmap.Incremental, *osdmap.Map) {})
	if r := h.do(1, "o", 1, writeFull("x")); r != nil {
		t.Fatalf("answered without the map: %+v", r)
	}
	later := func(d time.Duration) {
		h.now = h.now.Add(d)
		for i := range h.osd.shards {
			h.toShard(i, pg.Tick{})
		}
		h.step(Tick{})
	}
	later(29 * time.Second)
	if r := h.slowReport(); r.Stat.SlowOps != 0 || len(h.notes) > 0 && strings.Contains(strings.Join(h.notes, "\n"), "slow") {
		t.Fatalf("complained too early: %+v %v", r.Stat, h.notes)
	}
	later(6 * time.Second)
	if r := h.slowReport(); r.Stat.SlowOps != 1 || r.Stat.OldestSlowOp < 35*time.Second {
		t.Fatalf("report: %d slow, oldest %v", r.Stat.SlowOps, r.Stat.OldestSlowOp)
	}
	notes := strings.Join(h.notes, "\n")
	if !strings.Contains(notes, "1 slow requests, oldest is 35 seconds old: osd_op(client.4100.0:1 1.") {
		t.Fatalf("notes: %s", notes)
	}
	if n := h.counts(); n["slow_ops"] != 1 || n["op_wip"] != 1 || n["messages_delayed_for_map"] != 1 {
		t.Errorf("slow_ops %d, op_wip %d, messages_delayed_for_map %d", n["slow_ops"], n["op_wip"], n["messages_delayed_for_map"])
	}
	if r := h.command(`{"prefix":"dump_blocked_ops"}`); !strings.Contains(string(r.Out), `"num_blocked_ops": 1`) {
		t.Errorf("dump_blocked_ops: %s", r.Out)
	}

	h.send(h.newest().Epoch)
	for i := range h.osd.shards {
		h.toShard(i, Resume{})
	}
	if r := h.answer(1); r == nil || r.Result != 0 {
		t.Fatalf("with the map: %+v", r)
	}
	later(6 * time.Second)
	if r := h.slowReport(); r.Stat.SlowOps != 0 {
		t.Errorf("%d slow requests after the only one is done", r.Stat.SlowOps)
	}
	r := h.command(`{"prefix":"dump_historic_slow_ops"}`)
	if out := string(r.Out); !strings.Contains(out, "osd_op(client.4100.0:1 1.") || !strings.Contains(out, `"threshold to keep": 10`) {
		t.Errorf("dump_historic_slow_ops: %s", out)
	}
}

func TestHistoryKeepsTheLongest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	h := history{limits: historyLimits{size: 3, duration: time.Minute, slowSize: 2, threshold: 5 * time.Second}}
	add := func(at time.Time, took time.Duration) {
		h.add(at, &pg.Request{Session: client, Received: at.Add(-took), Op: &msg.OSDOp{OID: "o"}})
	}
	for _, s := range []int{1, 7, 2, 9, 8, 3} {
		add(now, time.Duration(s)*time.Second)
	}
	seconds := func(ops []OpRecord) (out []float64) {
		for _, o := range ops {
			out = append(out, o.Duration.Seconds())
		}
		return out
	}
	recent, slow := h.lists(now)
	// By their beginning, so the longest comes first.
	if got := seconds(recent); !slices.Equal(got, []float64{9, 8, 7}) {
		t.Errorf("recent: %v", got)
	}
	if got := seconds(slow); !slices.Equal(got, []float64{9, 8}) {
		t.Errorf("slow: %v", got)
	}
	if recent, slow = h.lists(now.Add(time.Minute)); len(recent) != 0 || len(slow) != 2 {
		t.Errorf("a minute later: %d recent, %d slow", len(recent), len(slow))
	}
	h.limits = historyLimits{duration: time.Minute, threshold: time.Hour}
	add(now, time.Second)
	if recent, _ = h.lists(now); len(recent) != 0 {
		t.Errorf("a history of no size keeps %d", len(recent))
	}
}
