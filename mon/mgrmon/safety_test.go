package mgrmon

import (
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

func wantReply(t *testing.T, w *world, cmd string, no errno.Errno, status, output string) {
	t.Helper()
	r := w.run(cmd)
	if r.Errno != no || r.Status != status || string(r.Output) != output {
		t.Errorf("%s:\n%d %q %q\nwant\n%d %q %q", cmd, r.Errno, r.Status, r.Output, no, status, output)
	}
}

// The words for bad ids are those of the stock manager.
func TestBadOSDIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	for _, cmd := range []string{"osd ok-to-stop", "osd safe-to-destroy"} {
		for ids, status := range map[string]string{
			`[]`:              "must specify one or more OSDs",
			`["foo"]`:         "Expected option value to be integer, got 'foo'invalid osd id 'foo'",
			`["osd.0","all"]`: "Expected option value to be integer, got 'all'invalid osd id 'all'",
			`["-7"]`:          "expected numerical value, got: -7invalid osd id '-7'",
		} {
			wantReply(t, w, `{"prefix":"`+cmd+`","ids":`+ids+`}`, errno.EINVAL, status, "")
		}
	}
}

func TestOKToStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["0"]}`); r.Errno != errno.EAGAIN || r.Status != "105 pgs have unknown state; cannot draw any conclusions" ||
		!strings.HasPrefix(string(r.Output), `{"ok_to_stop":false,"osds":[0],"num_ok_pgs":0,"num_not_ok_pgs":0,"unknown_pgs":["1.0",`) {
		t.Errorf("%+v", r)
	}
	// Three copies everywhere, two needed: one OSD may go, not two.
	for id, p := range w.m.Pools {
		for i := range p.PGNum {
			g := w.group(pgName(id, i), healthy)
			g.Acting, g.ActingPrimary = []int32{0, 1, 2}, 0
			w.report(w.groupsReport(0, g))
		}
	}
	r := w.run(`{"prefix":"osd ok-to-stop","ids":["osd.1"],"max":3}`)
	if r.Failed() || !strings.HasPrefix(string(r.Output), `{"ok_to_stop":true,"osds":[1],"num_ok_pgs":105,"num_not_ok_pgs":0,"ok_become_degraded":["1.0",`) {
		t.Errorf("%+v", r)
	}
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["0","1"]}`); r.Errno != errno.EBUSY || r.Status != "unsafe to stop osd(s) at this time (105 PGs are or would become offline)" {
		t.Errorf("%+v", r)
	}
	wantReply(t, w, `{"prefix":"osd ok-to-stop","ids":["7"]}`, 0, "", `{"ok_to_stop":true,"osds":[7],"num_ok_pgs":0,"num_not_ok_pgs":0}`+"\n")

	// With one copy needed, all but one may go, found from the host of the first.
	w.change(func(inc *osdmap.Incremental) {
		for id, p := range w.m.Pools {
			p = p.Clone()
			p.MinSize = 1
			inc.NewPools[id] = p
		}
	})
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["1"],"max":5}`); r.Failed() || !strings.HasPrefix(string(r.Output), `{"ok_to_stop":true,"osds":[0,1],`) {
		t.Errorf("%.200s", r.Output)
	}
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["1"]}`); !strings.HasPrefix(string(r.Output), `{"ok_to_stop":true,"osds":[1],`) {
		t.Errorf("%.200s", r.Output)
	}

	// A group that recovers has one member fewer than it seems.
	again := func(state msg.PGState) {
		g := w.group("2.0", state)
		g.ReportedSeq = 1000
		g.Acting = []int32{0, 1}
		w.report(w.groupsReport(0, g))
	}
	again(msg.PGActive | msg.PGDegraded)
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["1"]}`); r.Errno != errno.EBUSY || !strings.Contains(string(r.Output), `"bad_become_inactive":["2.0"]`) {
		t.Errorf("%.200s", r.Output)
	}
	again(msg.PGActive | msg.PGDegraded | msg.PGUndersized)
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["1"]}`); r.Failed() || !strings.Contains(string(r.Output), `"ok_become_more_degraded":["2.0"]`) {
		t.Errorf("%.200s", r.Output)
	}
	again(msg.PGPeering)
	if r := w.run(`{"prefix":"osd ok-to-stop","ids":["1"]}`); r.Errno != errno.EBUSY || !strings.Contains(string(r.Output), `"bad_already_inactive":["2.0"]`) {
		t.Errorf("%.200s", r.Output)
	}
}

func TestSafeToDestroy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	ask := func(ids string) string { return `{"prefix":"osd safe-to-destroy","ids":` + ids + `}` }
	wantReply(t, w, ask(`["7"]`), errno.EAGAIN, "105 pgs have unknown state; cannot draw any conclusions", "")
	for id, p := range w.m.Pools {
		for i := range p.PGNum {
			g := w.group(pgName(id, i), healthy)
			g.Up, g.Acting = []int32{0}, []int32{0}
			w.report(w.groupsReport(0, g))
		}
	}
	wantReply(t, w, ask(`["9","7"]`), 0, "OSD(s) 7,9 are safe to destroy without reducing data durability.", "")
	wantReply(t, w, ask(`["7","0"]`), errno.EBUSY,
		"OSD(s) 7 are safe to destroy without reducing data durability. OSD(s) 0 have 105 pgs currently mapped to them. ", "")
	// While all is clean, what holds no group is not needed.
	wantReply(t, w, ask(`["1"]`), 0, "OSD(s) 1 are safe to destroy without reducing data durability.", "")
	w.again("2.0", msg.PGActive, func(g *msg.PGStat) { g.Up, g.Acting = []int32{0}, []int32{0} })
	wantReply(t, w, ask(`["1"]`), errno.EAGAIN,
		"OSD(s) 1 have no reported stats, and not all PGs are active+clean; we cannot draw any conclusions. ", "")
	r := w.groupsReport(1)
	r.Stat.PGs = 3
	w.report(r)
	wantReply(t, w, ask(`["1"]`), errno.EBUSY,
		"OSD(s) 1 last reported they still store some PG data, and not all PGs are active+clean; we cannot be sure they aren't still needed.", "")
	// That it is out does not make what it holds dispensable.
	w.change(func(inc *osdmap.Incremental) { inc.NewWeight[1] = osdmap.WeightOut })
	wantReply(t, w, `{"prefix":"osd safe-to-destroy","ids":["0","1","7"],"format":"json"}`, 0, "",
		`{"safe_to_destroy":[7],"active":[0],"missing_stats":[],"stored_pgs":[1]}`)
}
