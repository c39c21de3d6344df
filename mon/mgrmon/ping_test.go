package mgrmon

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

// Networks on which heartbeats are slow are named, the slowest way first.
func TestSlowPings(t *testing.T) {
	t.Parallel()
	w := healthyWorld(t)
	tell := func(from int32, times ...msg.PingTimes) {
		r := &msg.OSDReport{ID: from, Epoch: w.m.Epoch, Stat: w.s.pgs.osds[from].stat}
		r.Stat.Seq++
		r.Stat.Pings = times
		w.report(r)
	}
	span := func(one, five, fifteen uint32) msg.PingSpan {
		return msg.PingSpan{Average: [3]uint32{one, five, fifteen}}
	}
	tell(0,
		msg.PingTimes{Peer: 1, Updated: w.now, Back: span(999_999, 1_000_000, 10), Front: span(1, 2, 3)},
		msg.PingTimes{Peer: 2, Updated: w.now, Back: span(1_000_001, 1_000_002, 1_118_001), Front: span(1_200_000, 1, 1)})
	tell(1, msg.PingTimes{Peer: 0, Updated: w.now.Add(-21 * time.Minute), Back: span(9_000_000, 0, 0)})
	tell(2, msg.PingTimes{Peer: 0, Updated: w.now, Back: span(1_033_342, 0, 0)})
	got := w.wantChecks(map[string]string{
		"OSD_SLOW_PING_TIME_BACK":  "Slow OSD heartbeats on back (longest 1118.001ms)",
		"OSD_SLOW_PING_TIME_FRONT": "Slow OSD heartbeats on front (longest 1200.000ms)",
	})
	want := "Slow OSD heartbeats on back from osd.0 [] to osd.2 [rk1] 1118.001 msec possibly improving\n" +
		"Slow OSD heartbeats on back from osd.2 [rk1] to osd.0 [] 1033.342 msec"
	if c := got["OSD_SLOW_PING_TIME_BACK"]; strings.Join(c.Detail, "\n") != want || c.Count != 2 {
		t.Errorf("%d\n%s", c.Count, strings.Join(c.Detail, "\n"))
	}

	var dump struct {
		Threshold int
		Entries   []struct {
			From  int    `json:"from osd"`
			To    int    `json:"to osd"`
			Side  string `json:"interface"`
			Stale bool
			Last  float64
			Max   map[string]float64
		}
	}
	for args, n := range map[string]int{`{"prefix":"dump_osd_network","value":0}`: 8, `{"prefix":"dump_osd_network"}`: 5} {
		c, err := command.Parse([]string{args})
		if err != nil {
			t.Fatal(err)
		}
		r := w.s.DumpNetwork(c)
		if err := json.Unmarshal(r.Output, &dump); err != nil || len(dump.Entries) != n {
			t.Errorf("%s: %v\n%s", args, err, r.Output)
		}
	}
	w.options["mon_warn_on_slow_ping_time"] = "2000"
	w.wantChecks(nil)
}
