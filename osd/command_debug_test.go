package osd

import (
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// What is done to one copy behind the group's back, in the words of a stock OSD.
func TestTamper(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	pool := h.newest().PoolNames[1]
	h.do(1, "o", 1, writeFull("0123456789"))
	args := func(prefix, more string) string {
		return `{"prefix":"` + prefix + `","pool":"` + pool + `","objname":"o"` + more + `}`
	}
	for _, tc := range []struct{ cmd, out string }{
		{args("getomap", ""), "header=\n"},
		{args("setomapval", `,"key":"k","val":"v"`), "ok\n"},
		{args("setomapval", `,"key":"l","val":"w"`), "ok\n"},
		{args("setomapheader", `,"header":"h"`), "ok\n"},
		{args("getomap", ""), "header=h key=k val=v key=l val=w\n"},
		{args("rmomapkey", `,"key":"k"`), "ok\n"},
		{`{"prefix":"getomap","pool":"1","objname":"o"}`, "header=h key=l val=w\n"},
		{args("truncobj", `,"len":4`), "ok\n"},
		{args("truncobj", `,"len":-1`), "error=-22\n"},
		{args("truncobj", `,"len":2000000000000`), "error=-22\n"},
		{`{"prefix":"getomap","pool":"1","objname":"space/o"}`, "error=-2\n"},
		{`{"prefix":"setomapval","pool":"1","objname":"nothing","key":"k","val":"v"}`, "error=-2\n"},
		{`{"prefix":"getomap","pool":"nosuch","objname":"o"}`, "Invalid pool 'nosuch''\n"},
		{`{"prefix":"getomap","pool":"7","objname":"o"}`, "Invalid pool '7''\n"},
		{`{"prefix":"getomap","pool":"1","objname":"space/"}`, "Invalid namespace/objname\n"},
	} {
		if r := h.command(tc.cmd); r.Result != 0 || string(r.Out) != tc.out {
			t.Errorf("%s: %d %q, want %q", tc.cmd, r.Result, r.Out, tc.out)
		}
	}
	// The group believes what it knew: a scrub finds it.
	h.command(`{"prefix":"scrub","pgid":"1.0"}`)
	if r := h.do(1, "o", 2, msg.Op{Code: msg.OpRead}); r == nil || r.Ops[0].Out.Len() > 10 {
		t.Errorf("read: %+v", r)
	}
}

// An OSD that pretends to be full says so to the monitors, for as long as it was
// told.
func TestInjectFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	full := func() osdmap.State { return h.osd.fullness(0, 1) }
	for _, tc := range []struct {
		cmd, out string
		state    osdmap.State
	}{
		{`{"prefix":"injectfull","type":"nearfull"}`, "", osdmap.StateNearFull},
		{`{"prefix":"injectfull","type":"nosuch"}`, "Invalid type use (none, nearfull, backfillfull, full, failsafe)\n", osdmap.StateNearFull},
		{`{"prefix":"injectfull","type":"backfillfull"}`, "", osdmap.StateBackfillFull},
		{`{"prefix":"injectfull"}`, "", osdmap.StateFull},
		{`{"prefix":"injectfull","type":"full","count":0}`, "", 0},
		{`{"prefix":"injectfull","type":"failsafe"}`, "", osdmap.StateFull},
		{`{"prefix":"injectfull","type":"none"}`, "", 0},
	} {
		if r := h.command(tc.cmd); r.Result != 0 || string(r.Out) != tc.out {
			t.Errorf("%s: %d %q", tc.cmd, r.Result, r.Out)
		}
		if got := full(); got != tc.state {
			t.Errorf("%s: full is %v, want %v", tc.cmd, got, tc.state)
		}
		if want := strings.Contains(tc.cmd, "failsafe"); h.osd.full != want {
			t.Errorf("%s: failsafe %v", tc.cmd, h.osd.full)
		}
	}
	p := pretence{fullTypes["full"], 2}
	for i, want := range []osdmap.State{osdmap.StateFull, osdmap.StateFull, 0} {
		if got := p.look().state; got != want {
			t.Errorf("look %d: %v", i, got)
		}
	}
}

// The allocator that is asked about is not ours.
func TestHeapProperties(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for cmd, out := range map[string]string{
		`{"prefix":"get_heap_property","property":"generic.heap_size","format":"json"}`: `{"error":"invalid property","success":false,"value":0}`,
		`{"prefix":"set_heap_property","property":"x","value":1,"format":"json"}`:       `{"error":"invalid property","success":false}`,
		`{"prefix":"set_heap_property","property":"x","value":-1,"format":"xml"}`: "<set_heap_property><error>negative value not allowed</error>" +
			"<success>false</success></set_heap_property>",
		`{"prefix":"cpu_profiler","arg":"status"}`: "cpu_profiler support not linked in",
	} {
		if r := h.command(cmd); r.Result != 0 || string(r.Out) != out {
			t.Errorf("%s: %d %q", cmd, r.Result, r.Out)
		}
	}
}
