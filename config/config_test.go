package config

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
)

func TestTable(t *testing.T) {
	t.Parallel()
	if n := len(Options()); n < 1700 {
		t.Fatalf("%d options", n)
	}
	seen := map[string]bool{}
	for _, o := range Options() {
		if seen[o.Name] || o.Name != Name(o.Name) || Find(o.Name) != o {
			t.Errorf("%s: not found under its name", o.Name)
		}
		seen[o.Name] = true
		for _, v := range []string{o.Default, o.DaemonDefault, o.Min, o.Max} {
			if v == "" || o.Type == Str || strings.Contains(v, "$") {
				continue
			}
			// A few defaults are outside of the range that settings must keep.
			if norm, err := o.Parse(v); err == nil && norm != v {
				t.Errorf("%s: %q is not in normal form (%q)", o.Name, v, norm)
			}
		}
	}
	for name := range descriptions {
		if !seen[name] {
			t.Errorf("%s is described and not there", name)
		}
	}
	if Find("nope") != nil || Find("osd_max_backfills").Level != "advanced" || !Find("fsid").Has("no_mon_update") {
		t.Error("the table is wrong")
	}
	if len(Listed()) != 1744 || slices.Contains(Listed(), Find("debug_ms")) {
		t.Errorf("%d options are listed", len(Listed()))
	}
}

// The words are those of a stock monitor, asked for each of these.
func TestParseValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want, words string }{
		{"osd_max_backfills", "abc", "", "strict_si_cast: unit prefix not recognized"},
		{"osd_max_backfills", "-1", "", "strict_sistrtoll: value should not be negative"},
		{"osd_max_backfills", "", "", "strict_sistrtoll: value not specified"},
		{"rbd_cache", "maybe", "", "Expected option value to be integer, got 'maybe'"},
		{"rbd_cache", "TRUE", "true", ""},
		{"rbd_cache", "0", "false", ""},
		{"osd_scrub_load_threshold", "abc", "", "strict_strtod: expected double, got: 'abc'"},
		{"osd_recovery_sleep", "0.5", "0.500000", ""},
		{"osd_memory_target", "1x", "", "strict_iecstrtoll: unit prefix not recognized"},
		{"osd_memory_target", "5", "", "Value '5' is below minimum 939524096"},
		{"osd_memory_target", "4G", "4294967296", ""},
		{"osd_memory_target", "4Gi", "4294967296", ""},
		{"osd_pool_default_size", "11", "", "Value '11' exceeds maximum 10"},
		{"osd_pool_default_size", "0", "0", ""},
		{"ms_type", "foo", "foo", ""},
		{"rbd_cache_policy", "foo", "", "'foo' is not one of the permitted values: writethrough, writeback, writearound"},
		{"public_addr", "abc", "", ""},
		{"fsid", "abc", "", ""},
		{"mon_data_avail_warn", "1y", "", "strict_si_cast: unit prefix not recognized"},
		{"mon_data_avail_warn", "1K", "1000", ""},
		{"osd_heartbeat_grace", "20.5", "", "strict_si_cast: unit prefix not recognized"},
		{"log_stop_at_utilization", "3", "", "Value '3.000000' exceeds maximum 1.000000"},
		{"debug_osd", "xx", "", "value must take the form N or N/M, where N and M are integers"},
		{"debug_osd", "5", "5/5", ""},
		{"debug_osd", "1/20", "1/20", ""},
		{"debug_osd", "200", "", "value must be in range [0, 99]"},
		{"mon_scrub_interval", "1d", "86400", ""},
		{"mon_scrub_interval", "1h 30m", "5400", ""},
		{"mon_op_complaint_time", "5x", "", "unrecogized unit 'x'"},
		{"mon_max_pg_per_osd", "99999999999999999999", "", "strict_strtoll: expected integer, got: '99999999999999999999'"},
		{"mon_max_pg_per_osd", "9999999999E", "", "strict_si_cast: value seems to be too large"},
	} {
		o := Find(c.name)
		if o == nil {
			t.Fatalf("no option %s", c.name)
		}
		got, err := o.Parse(c.value)
		switch {
		case c.want != "" && (err != nil || got != c.want):
			t.Errorf("%s = %q: %q, %v, want %q", c.name, c.value, got, err, c.want)
		case c.want == "" && err == nil:
			t.Errorf("%s = %q became %q", c.name, c.value, got)
		case c.want == "" && err.Error() != c.words:
			t.Errorf("%s = %q: %q, want %q", c.name, c.value, err, c.words)
		}
		if err != nil && c.name != "debug_osd" && !errors.Is(err, errno.EINVAL) {
			t.Errorf("%s = %q: %v is not EINVAL", c.name, c.value, err)
		}
	}
}

const example = `
# a comment
[global]
	fsid = 63c01d47-5801-4430-9ecc-46ca673982d4 ; another
	mon host = [v2:127.0.0.1:26400,v1:127.0.0.1:25572]
	run-dir = /run/$cluster
	osd pool default size = 1
	osd pool default size = 2
	log file = "a # b" # c
[osd]
	osd data = /data/$type.$id
	osd_max_backfills = 3
[osd.1]
	osd_max_backfills = \
		4
[client]
	admin socket =
`

func TestFile(t *testing.T) {
	t.Parallel()
	f, err := ParseFile([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ section, name, want string }{
		{"global", "fsid", "63c01d47-5801-4430-9ecc-46ca673982d4"},
		{"global", "mon_host", "[v2:127.0.0.1:26400,v1:127.0.0.1:25572]"},
		{"global", "run_dir", "/run/$cluster"},
		{"global", "osd_pool_default_size", "2"},
		{"global", "log_file", "a # b"},
		{"osd.1", "osd_max_backfills", "4"},
		{"client", "admin_socket", ""},
	} {
		if v, ok := f.Get(c.section, c.name); !ok || v != c.want {
			t.Errorf("[%s] %s: %q, %v, want %q", c.section, c.name, v, ok, c.want)
		}
	}
	for text, words := range map[string]string{
		"a = b":            "line 1: setting before the first section",
		"[x]\nnonsense":    `line 2: want NAME = VALUE, got "nonsense"`,
		"[x":               `line 1: bad section "[x"`,
		"[x] y":            `line 1: bad section "[x] y"`,
		"[x]\na = \"b":     "line 2: quote is not closed",
		"[x]\n\na = 'b' c": "line 3: text after the closing quote",
	} {
		if _, err := ParseFile([]byte(text)); err == nil || err.Error() != words {
			t.Errorf("%q: %v, want %s", text, err, words)
		}
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	f, err := ParseFile([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	c := New(entity.AuthName{Type: entity.OSD, ID: "1"}, "vm")
	is := func(name, want, from string) {
		t.Helper()
		if got, src := c.Get(name), c.Source(name); got != want || src != from {
			t.Errorf("%s = %q from %q, want %q from %q", name, got, src, want, from)
		}
	}
	is("osd_max_backfills", "1", "default")
	is("log_file", "/var/log/ceph/ceph-osd.1.log", "default")
	c.Load(f)
	is("osd max backfills", "4", "file")
	is("osd_data", "/data/osd.1", "file")
	is("run-dir", "/run/ceph", "file")
	if changed := c.SetCentral(map[string]string{"osd_max_backfills": "9", "osd_recovery_sleep": "0.500000"}); !reflect.DeepEqual(changed, []string{"osd_recovery_sleep"}) {
		t.Errorf("changed: %v", changed)
	}
	is("osd_max_backfills", "4", "file")
	is("osd_recovery_sleep", "0.500000", "mon")
	if c.Float("osd_recovery_sleep") != 0.5 {
		t.Error("not half a second")
	}
	if changed := c.SetCentral(nil); !reflect.DeepEqual(changed, []string{"osd_recovery_sleep"}) {
		t.Errorf("changed: %v", changed)
	}
	if err := c.Set("osd-max-backfills", "2K"); err != nil {
		t.Error(err)
	}
	is("osd_max_backfills", "2000", "override")
	if c.Int("osd_max_backfills") != 2000 {
		t.Error("not 2000")
	}
	if err := c.Set("osd_max_backfills", "x"); err == nil {
		t.Error("a bad value was taken")
	}
	is("nosuch", "", "")
	c.Set("nosuch", "${host}:$pid$nobody$")
	is("nosuch", "vm:"+strconv.Itoa(os.Getpid())+"$nobody$", "override")
	c.Set("loop", "$loop")
	if got := c.Get("loop"); got != "$loop" {
		t.Errorf("a loop became %q", got)
	}
	if c.Bool("rbd_cache") != true || c.Seconds("mon_scrub_interval") != 24*time.Hour || c.Seconds("osd_heartbeat_grace") != 20*time.Second {
		t.Error("wrong values")
	}
	diff := c.Diff()
	if i := slices.IndexFunc(diff, func(ch Change) bool { return ch.Name == "osd_max_backfills" }); i < 0 ||
		diff[i].Default != "1" || diff[i].Final != "2000" || !slices.Contains(diff[i].Given, Given{"override", "2000"}) {
		t.Errorf("%v", diff)
	}
	if all := c.Show(); all["name"] != "osd.1" || all["osd_max_backfills"] != "2000" || len(all) < 1700 {
		t.Errorf("%d settings", len(all))
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	want := "log_stop_at_utilization - \n  (float, basic)\n  Default: 0.970000\n  Minimum: 0.000000\n  Maximum: 1.000000\n  Can update at runtime: true\n"
	if got := Find("log_stop_at_utilization").Help(); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := Find("osd_objectstore").Help(); !strings.Contains(got, "  Possible values:  bluestore filestore memstore kstore\n") {
		t.Errorf("got\n%s", got)
	}
}

func FuzzFile(f *testing.F) {
	f.Add(example)
	f.Add("[a]\nb = 'c\\'d' # e\n\\\n[a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseFile([]byte(text))
		if err != nil {
			return
		}
		c := New(entity.AuthName{Type: entity.OSD, ID: "1"}, "vm")
		c.Load(file)
		for _, s := range file.Sections {
			for _, set := range s.Settings {
				c.Get(set.Name)
			}
		}
	})
}

func FuzzValue(f *testing.F) {
	f.Add("osd_memory_target", "4G")
	f.Add("mon_scrub_interval", "1d2h")
	f.Add("public_addr", "v2:1.2.3.4:5/6")
	f.Fuzz(func(t *testing.T, name, value string) {
		o := Find(name)
		if o == nil {
			return
		}
		norm, err := o.Parse(value)
		if err != nil {
			return
		}
		if again, err := o.Parse(norm); err != nil || again != norm {
			t.Fatalf("%s: %q became %q, which became %q, %v", name, value, norm, again, err)
		}
	})
}
