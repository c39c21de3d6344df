package mon

import (
	"strings"
	"testing"
)

// What an operator says of the modules is kept; what is not there is refused in
// words that name it.
func TestModules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mgr := w.open("client.admin", true, "mon", "allow *", "mgr", "allow *")
	for _, tc := range []struct {
		cmd    string
		ret    int32
		status string
		out    string // how the output begins
	}{
		{`{"prefix":"device set-life-expectancy","devid":"disk_1","from":"2020-01-01","to":"x"}`, -22, "unable to parse datetime 'x'", ""},
		{`{"prefix":"device set-life-expectancy","devid":"disk_1","from":"2020-01-01"}`, 0, "", ""},
		{`{"prefix":"device ls"}`, 0, "", "DEVICE  HOST:DEV  DAEMONS  WEAR  LIFE EXPECTANCY\ndisk_1                           now            \n"},
		{`{"prefix":"device info","devid":"disk_1"}`, 0, "", "device disk_1\n\nlife_expectancy 2020-01-01T00:00:00.000000+0000 to 0.000000 (as of "},
		{`{"prefix":"device scrape-health-metrics","devid":"disk_1"}`, -11, "device disk_1 not claimed by any active daemons", ""},
		{`{"prefix":"device rm-life-expectancy","devid":"disk_1"}`, 0, "", ""},
		{`{"prefix":"device info","devid":"disk_1"}`, -2, "device disk_1 not found", ""},
		{`{"prefix":"progress off"}`, 0, "progress disabled", ""},
		{`{"prefix":"progress off"}`, 0, "progress already disabled!", ""},
		{`{"prefix":"progress on"}`, 0, "progress enabled", ""},
		{`{"prefix":"osd pool set noautoscale"}`, 0, "noautoscale is set, all pools now have autoscale off", ""},
		{`{"prefix":"osd pool get noautoscale"}`, 0, "noautoscale is on", ""},
		{`{"prefix":"osd pool unset noautoscale"}`, 0, "noautoscale is unset, all pools now have autoscale on", ""},
		{`{"prefix":"osd pool unset noautoscale"}`, 0, "noautoscale is already unset!", ""},
		{`{"prefix":"balancer mode","mode":"upmap"}`, 0, "", ""},
		{`{"prefix":"balancer status"}`, 0, "", "{\n    \"active\": false,\n    \"last_optimize_duration\": \"\",\n    \"last_optimize_started\": \"\",\n    \"mode\": \"upmap\",\n"},
		{`{"prefix":"balancer pool add","pools":["a","b"]}`, -22, "pool(s) ['a', 'b'] not found", ""},
		{`{"prefix":"balancer eval"}`, 0, "", "current cluster score 0.000000 (lower is better)\n"},
		{`{"prefix":"telemetry on"}`, -1, "Telemetry data is licensed under the Community Data License Agreement - Sharing - Version 1.0 " +
			"(https://cdla.io/sharing-1-0/).\nTo enable, add '--license sharing-1-0' to the 'ceph telemetry on' command.", ""},
		{`{"prefix":"telemetry off"}`, 0, "", ""},
		{`{"prefix":"orch host ls"}`, -2, "No orchestrator configured (try `ceph orch set backend`)", ""},
		{`{"prefix":"fs subvolume ls","vol_name":"v"}`, -2, "FS 'v' not found", ""},
		{`{"prefix":"rbd trash purge schedule list","level_spec":"v"}`, -22, "Invalid level spec v: failed to parse v", ""},
		{`{"prefix":"rbd trash purge schedule list","level_spec":"v/"}`, -22, "Invalid level spec v/: pool v does not exist", ""},
		{`{"prefix":"rbd task list"}`, 0, "", "[]\n"},
		{`{"prefix":"zabbix send"}`, -95, "Module 'zabbix' is not enabled/loaded (required by command 'zabbix send'): use `ceph mgr module enable zabbix` to enable it", ""},
		{`{"prefix":"iostat","width":60}`, 0, "", "|   0 B/s |   0 B/s |   0 B/s |       0 |       0 |       0 |\n"},
	} {
		if a := w.ask(mgr, tc.cmd); a.ret != tc.ret || a.rs != tc.status || !strings.HasPrefix(a.out, tc.out) || tc.out == "" && a.out != "" {
			t.Errorf("%s: %+v", tc.cmd, a)
		}
	}
	admin := w.admin()
	if a := w.call(admin, "mgr module enable", "module", "zabbix"); a.ret != -2 || !strings.Contains(a.rs, "reports that it cannot run") {
		t.Errorf("a module that is not here: %+v", a)
	}
	w.must(admin, "mgr module disable", "module", "iostat")
	if a := w.ask(mgr, `{"prefix":"iostat"}`); a.ret != -95 {
		t.Errorf("a module that is off: %+v", a)
	}
	if got := w.must(admin, "config get", "who", "mgr", "key", "mgr/balancer/mode").out; got != "upmap\n" {
		t.Errorf("mode: %q", got)
	}
}
