package mon

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/msg"
)

// A monitor and the manager that it plays each answer about themselves.
func TestTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mon := w.admin()
	mgr := w.open("client.admin", true, "mon", "allow *", "mgr", "allow *")
	for _, tc := range []struct {
		session uint64
		cmd     string
		ret     int32
		rs, out string // what they contain
	}{
		{mon, `{"prefix":"config show"}`, 0, "", `"name": "mon.a"`},
		{mgr, `{"prefix":"config show"}`, 0, "", `"name": "mgr.x"`},
		{mon, `{"prefix":"config set","var":"mon_max_pg_per_osd","val":["251"]}`, 0, "", "mon_max_pg_per_osd = '251' "},
		{mon, `{"prefix":"config get","var":"mon_max_pg_per_osd"}`, 0, "", `"251"`},
		{mgr, `{"prefix":"config get","var":"mon_max_pg_per_osd"}`, 0, "", `"250"`},
		{mon, `{"prefix":"config unset","var":"mon_max_pg_per_osd"}`, 0, "mon_max_pg_per_osd = '250' ", "{}"},
		{mon, `{"prefix":"injectargs","injected_args":["--mon-max-pg-per-osd=300"]}`, 0, "mon_max_pg_per_osd = '300' ", "{}"},
		{mon, `{"prefix":"config diff","format":"json"}`, 0, "", `"mon_warn_on_too_few_osds":{"default":true,"file":false,"final":false}`},
		{mon, `{"prefix":"mon_status"}`, 0, "", `"state": "leader"`},
		{mon, `{"prefix":"ops","format":"json"}`, 0, "", `{"ops":[],"num_ops":0}`},
		{mon, `{"prefix":"dump_historic_ops"}`, 0, "", `"description": "mon_command(`},
		{mon, `{"prefix":"dump_historic_slow_ops","format":"json"}`, 0, "", `{"num to keep":20,"threshold to keep":10,"Ops":[]}`},
		{mon, `{"prefix":"nosuch"}`, -22, "unknown command prefix nosuch", ""},
		{mon, `{"prefix":"status"}`, -22, "unknown command prefix status", ""},
		{mon, `{"prefix":"config get"}`, -22, "invalid command json", ""},
		{mgr, `{"prefix":"mgr_status","format":"json"}`, 0, "", `"initialized":true`},
		{mgr, `{"prefix":"dump_osd_network","value":5,"format":"json"}`, 0, "", `{"threshold":5,"entries":[]}`},
		{mgr, `{"prefix":"pg stat"}`, -22, "unknown command prefix pg stat", ""},
		{mgr, `{"prefix":"get_command_descriptions"}`, 0, "", `"mgr_status"`},
		{mon, `{"prefix":"help"}`, 0, "", `"mon_status": "report status of monitors"`},
	} {
		a := w.tell(tc.session, tc.cmd)
		if a.ret != tc.ret || a.rs != tc.rs || !strings.Contains(a.out, tc.out) {
			t.Errorf("%s: %+v", tc.cmd, a)
		}
	}
	if got := w.m.Option("mon_max_pg_per_osd"); got != "300" {
		t.Errorf("the monitor works with %s", got)
	}
	w.must(mon, "config set", "who", "mgr", "name", "mgr_stats_period", "value", "7")
	if a := w.tell(mgr, `{"prefix":"config get","var":"mgr_stats_period"}`); !strings.Contains(a.out, `"7"`) {
		t.Errorf("the cluster's setting: %+v", a)
	}
	for _, session := range []uint64{w.open("client.a", false, "mon", "allow r"), w.open("client.a", true, "mgr", "allow r")} {
		if a := w.tell(session, `{"prefix":"version"}`); a.ret != -13 {
			t.Errorf("without the right to: %+v", a)
		}
	}
}

// Anybody may ask how a monitor is.
func TestPing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.open("client.nobody", false)
	w.send(s, &msg.Ping{})
	w.settle()
	var pong struct {
		Health struct{ Status string }
		Status struct{ Name string } `json:"mon_status"`
	}
	for _, b := range w.take(s) {
		if p, ok := b.(*msg.Ping); ok {
			if err := json.Unmarshal([]byte(p.Text), &pong); err != nil {
				t.Fatal(err)
			}
		}
	}
	if pong.Health.Status != "HEALTH_OK" || pong.Status.Name != "a" {
		t.Errorf("%+v", pong)
	}
}

// "log last" shows as many lines as were asked for, and the one before them.
func TestLogLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.admin()
	for _, text := range []string{"one", "two", "three", "four"} {
		w.must(s, "log", "logtext", text)
	}
	for num, want := range map[int]string{0: "four", 1: "three four", 2: "two three four"} {
		var got []string
		for line := range strings.Lines(w.must(s, "log last", "num", num).out) {
			got = append(got, line[strings.LastIndex(strings.TrimSpace(line), " ")+1:])
		}
		if text := strings.Join(strings.Fields(strings.Join(got, " ")), " "); text != want {
			t.Errorf("%d: %q, want %q", num, text, want)
		}
	}
}
