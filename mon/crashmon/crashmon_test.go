package crashmon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/kvmon"
	"github.com/pulpo-storage/pulpo/mon/python"
	"github.com/pulpo-storage/pulpo/mon/service/servicetest"
	"github.com/pulpo-storage/pulpo/msg"
)

type world struct {
	*servicetest.Host
	kv      *kvmon.Service
	s       *Service
	options map[string]string
}

func newWorld(t *testing.T) *world {
	w := &world{Host: servicetest.New(t), options: map[string]string{}}
	w.Options["mon_config_key_max_entry_size"] = "65536"
	w.kv = kvmon.New(w, func(keys []string) { w.s.Changed(keys) })
	w.s = New(w, w.kv, func(name string) string { return w.options[name] })
	w.Add(w.kv, w.s)
	w.Found(msg.FSID{1})
	return w
}

func (w *world) post(input string) command.Reply {
	w.T.Helper()
	return w.JSON(`{"prefix": "crash post", "format": "json"}`, []byte(input))
}

// crashed posts a report of a crash some time ago.
func (w *world) crashed(id string, ago time.Duration, more string) {
	w.T.Helper()
	stamp := w.Clock.Add(-ago).UTC().Format("2006-01-02T15:04:05.000000Z")
	r := w.post(fmt.Sprintf(`{"crash_id": %q, "timestamp": %q%s}`, id, stamp, more))
	if r.Failed() || r.Status != "" || len(r.Output) != 0 {
		w.T.Fatalf("post %s: %+v", id, r)
	}
}

func (w *world) out(prefix string, args ...any) string {
	w.T.Helper()
	return string(w.Run(prefix, args...).Output)
}

// The clock stands at 2026-11-21 09:00:00.
func TestCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []string{"crash ls", "crash ls-new"} {
		if got := w.out(c); got != "" {
			t.Errorf("%s of nothing: %q", c, got)
		}
		for _, f := range []string{"json", "json-pretty"} {
			if got := w.out(c, "format", f); got != "[]\n" {
				t.Errorf("%s of nothing as %s: %q", c, f, got)
			}
		}
	}
	w.crashed("foobar", 2*day, "")
	w.crashed("b", 30*day, `, "entity_name": "osd.0", "process_name": "ceph-osd", "n": [1.50, {}, "é\n😀"], "none": []`)
	w.crashed("foobar", 0, `, "entity_name": "late"`) // the first one stays

	table := "ID      ENTITY   NEW  \nb       osd.0     *   \nfoobar  unknown   *   \n"
	if got := w.out("crash ls"); got != table {
		t.Errorf("ls:\n%s", got)
	}
	if got := w.out("crash ls-new"); got != table {
		t.Errorf("ls-new:\n%s", got)
	}
	whole := `{
    "crash_id": "b",
    "entity_name": "osd.0",
    "n": [
        1.50,
        {},
        "\u00e9\n\ud83d\ude00"
    ],
    "none": [],
    "process_name": "ceph-osd",
    "timestamp": "2026-10-22T09:00:00.000000Z"
}
`
	if got := w.out("crash info", "id", "b"); got != whole {
		t.Errorf("info:\n%s", got)
	}
	stat := "2 crashes recorded\n2 older than 1 days old:\nb\nfoobar\n1 older than 3 days old:\nb\n1 older than 7 days old:\nb\n"
	if got := w.out("crash stat", "format", "json"); got != stat {
		t.Errorf("stat:\n%s", got)
	}
	if r := w.Run("crash json_report", "hours", " 1"); r.Status != `{"ceph-osd": 1, "unknown": 1}` || len(r.Output) != 0 {
		t.Errorf("json_report: %+v", r)
	}

	w.Clock = w.Clock.Add(1500 * time.Microsecond)
	w.Run("crash archive", "id", "foobar")
	w.Clock = w.Clock.Add(time.Hour)
	w.Run("crash archive", "id", "foobar") // the first time counts
	if got := w.out("crash ls-new"); got != "ID  ENTITY  NEW  \nb   osd.0    *   \n" {
		t.Errorf("ls-new:\n%s", got)
	}
	if got := w.out("crash ls", "format", "json"); !strings.Contains(got, `        "archived": "2026-11-21 09:00:00.001500",
        "crash_id": "foobar",
        "timestamp": "2026-11-19T09:00:00.000000Z"
    }
]
`) {
		t.Errorf("ls:\n%s", got)
	}
	w.Run("crash archive-all")
	if got := w.out("crash ls-new"); got != "" {
		t.Errorf("ls-new after archive-all:\n%s", got)
	}

	w.Reload(w.kv)
	w.s.Reload()
	if got := w.out("crash ls"); got != "ID      ENTITY   NEW  \nb       osd.0         \nfoobar  unknown       \n" {
		t.Errorf("after a restart:\n%s", got)
	}
	if string(w.kv.Reader().Get("mgr/crash/crash/b")) == "" {
		t.Error("the report is not where the stock module has it")
	}
	w.Run("crash prune", "keep", "20")
	if got := w.out("crash stat"); !strings.HasPrefix(got, "1 crashes recorded\n") {
		t.Errorf("after prune: %s", got)
	}
	for range 2 { // the second time there is nothing
		if r := w.Run("crash rm", "id", "foobar", "format", "json"); r.Status != "" || len(r.Output) != 0 {
			t.Errorf("rm: %+v", r)
		}
	}
	if got := w.out("crash stat"); got != "0 crashes recorded\n" {
		t.Errorf("stat: %q", got)
	}
}

// The refusals are those of a stock cluster, with its sign.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for input, words := range map[string]string{
		``:                   "Expecting value: line 1 column 1 (char 0)",
		`nope`:               "Expecting value: line 1 column 1 (char 0)",
		`{`:                  "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
		`{"a":}`:             "Expecting value: line 1 column 6 (char 5)",
		`{"a":1} x`:          "Extra data: line 1 column 9 (char 8)",
		`{"a" 1}`:            "Expecting ':' delimiter: line 1 column 6 (char 5)",
		`{"a": 1,}`:          "Expecting property name enclosed in double quotes: line 1 column 9 (char 8)",
		"{\"é\":\n 1 2}":     "Expecting ',' delimiter: line 2 column 4 (char 9)",
		`[1]`:                "missing 'crash_id' field",
		`5`:                  "argument of type 'int' is not iterable",
		`{"timestamp": "x"}`: "missing 'crash_id' field",
		`{"crash_id":"a"}`:   "missing 'timestamp' field",
		`{"crash_id":1,"timestamp":"2020-04-10 15:08:34.1"}`:                                   "'crash_id' is not a string",
		`{"crash_id":"a","timestamp":5}`:                                                       "'int' object has no attribute 'rstrip'",
		`{"crash_id":"a","timestamp":"x"}`:                                                     "time data 'x' does not match format '%Y-%m-%d %H:%M:%S.%f'",
		`{"crash_id":"a","timestamp":"2020-04-10 15:08:34.659679999Z"}`:                        "unconverted data remains: 999",
		`{"crash_id":"a","timestamp":"2020-04-10T15:08:34Z"}`:                                  "time data '2020-04-10T15:08:34' does not match format '%Y-%m-%d %H:%M:%S.%f'",
		`{"crash_id":"a","timestamp":"2020-04-31 15:08:34.1Z"}`:                                "day is out of range for month",
		`{"crash_id":"a","timestamp":"2020-04-10 15:08:34.1Z","backtrace":5}`:                  "'backtrace' is not a list",
		`{"crash_id":"a","timestamp":"2020-04-10 15:08:34.1Z","backtrace":[5]}`:                "'backtrace' is not a list of strings",
		`{"crash_id":"a","timestamp":"2020-04-10 15:08:34.1","backtrace":[],"assert_msg":"x"}`: "'assert_msg' is not that of an assertion",
	} {
		if r := w.post(input); r.Errno != -errno.EINVAL || r.Status != "malformed crash metadata: "+words {
			t.Errorf("post %s: %d %q", input, r.Errno, r.Status)
		}
	}
	for _, c := range []struct {
		prefix, arg, value, words string
	}{
		{"crash info", "id", "foo", "crash info: foo not found"},
		{"crash archive", "id", "foo", "crash info: foo not found"},
		{"crash prune", "keep", "x", "keep argument must be integer"},
		{"crash json_report", "hours", "x", "<hours> argument must be integer"},
	} {
		if r := w.Try(c.prefix, c.arg, c.value); r.Errno != -errno.EINVAL || r.Status != c.words {
			t.Errorf("%s %s: %d %q", c.prefix, c.value, r.Errno, r.Status)
		}
		if r := w.Try(c.prefix); r.Errno != errno.EINVAL {
			t.Errorf("%s without %s: %+v", c.prefix, c.arg, r)
		}
	}
	if r := w.post(`{"crash_id":"a","timestamp":"2020-04-10 15:08:34.1Z","x":"` + strings.Repeat("y", 65536) + `"}`); r.Errno != errno.EFBIG {
		t.Errorf("a large report: %+v", r)
	}
	for _, keep := range []string{"9223372036854775807", "-9223372036854775808"} {
		w.Run("crash prune", "keep", keep)
	}
	if got := w.out("crash stat"); got != "0 crashes recorded\n" {
		t.Errorf("stat: %q", got)
	}
}

// What somebody else wrote among the reports is not taken for one.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, v := range []string{"", "nope", `{"crash_id":"other","timestamp":"2020-04-10 15:08:34.1Z"}`} {
		w.Run("config-key set", "key", prefix+"a", "val", v)
		if got := w.out("crash ls"); got != "" {
			t.Errorf("with %q: %q", v, got)
		}
		if r := w.Try("crash info", "id", "a"); r.Status != "crash info: a not found" {
			t.Errorf("with %q: %+v", v, r)
		}
	}
	w.crashed("a", 0, "")
	if got := w.out("crash ls"); !strings.Contains(got, "\na ") {
		t.Errorf("ls: %q", got)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := func(summary string, detail ...string) {
		t.Helper()
		var gotSummary string
		var got []string
		for _, k := range w.s.Checks(w.Clock) {
			if k.Code != "RECENT_CRASH" || k.Severity.String() != "HEALTH_WARN" {
				t.Errorf("check %+v", k)
			}
			gotSummary, got = k.Summary, k.Detail
		}
		if gotSummary != summary || strings.Join(got, "\n") != strings.Join(detail, "\n") {
			t.Errorf("%q %q, want %q %q", gotSummary, got, summary, detail)
		}
	}
	check("")
	w.crashed("old", 15*day, "")
	check("")
	w.crashed("a", 13*day, `, "entity_name": "osd.3", "utsname_hostname": "vm"`)
	w.crashed("b", day, "")
	a := "osd.3 crashed on host vm at 2026-11-08T09:00:00.000000Z"
	b := "unidentified daemon crashed on host (unknown) at 2026-11-20T09:00:00.000000Z"
	check("2 daemons have recently crashed", a, b)
	w.options[optWarn] = "604800"
	check("1 daemons have recently crashed", b)
	w.options[optWarn] = "0"
	check("")
	w.options[optWarn] = "two weeks or so" // no value
	check("2 daemons have recently crashed", a, b)
	w.Run("crash archive", "id", "a")
	check("1 daemons have recently crashed", b)
	w.Run("crash archive-all")
	check("")
	for i := range 35 {
		w.crashed(fmt.Sprintf("many%02d", i), day, "")
	}
	if k := w.s.Checks(w.Clock); len(k) != 1 || k[0].Count != 35 || len(k[0].Detail) != 31 || k[0].Detail[30] != "and 5 more" {
		t.Errorf("many: %+v", k)
	}

	w.crashed("ancient", 366*day, "")
	w.Advance(pruneEvery + time.Second)
	if got := w.out("crash ls"); strings.Contains(got, "ancient") || !strings.Contains(got, "old") {
		t.Errorf("after a year:\n%s", got)
	}
	w.options[optRetain] = "1d"
	w.Advance(pruneEvery + time.Second)
	if got := w.out("crash stat"); got != "0 crashes recorded\n" {
		t.Errorf("kept for a day: %q", got)
	}
}

// Commands of one batch see what the others staged.
func TestBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crashed("a", 0, "")
	run := func(prefix string, args map[string]any) {
		c := command.New(prefix, args)
		c.Now = w.Clock
		if r := w.Find(prefix).Run(c); r.Failed() {
			t.Fatalf("%s: %+v", prefix, r)
		}
	}
	run("crash rm", map[string]any{"id": "a"})
	run("crash archive-all", nil)
	w.Commit()
	if got := w.out("crash ls"); got != "" {
		t.Errorf("a removed report is back:\n%s", got)
	}
}

// The hash is that of the functions' names and the constant parts of the
// assertion; these are what the stock module's recipe gives in Python.
func TestSignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.crashed("a", 0, `, "backtrace": ["(raise()+0x10b) [0x7f6]", "(abort()+0x1) [0x1]", "", "é"]`)
	w.crashed("b", 0, `, "backtrace": ["(raise()+0x77) [0x9]", "(abort()+0x2) [0x3]"], "assert_msg": "a.cc: f() thread 7f time 2020: a.cc: 12: FAILED\n"`)
	w.crashed("c", 0, `, "backtrace": ["(raise()+0x78) [0xa]", "(abort()+0x3) [0x4]"], "assert_msg": "a.cc: f() thread 80 time 2021: a.cc: 13: FAILED\n"`)
	sig := func(id string) string {
		r, _ := w.s.find(id)
		return r.text("stack_sig", "")
	}
	const (
		plain    = "ce269628f41e5f609c1c001f2a87afbee691508b23a4348ad9edcdb1b5cfa394"
		asserted = "b1101764f0527c2539883dda8bd61781ca9b113094fadd52e7758abd43e3d525"
	)
	if got := sig("a"); got != plain {
		t.Errorf("backtrace: %s", got)
	}
	if b, c := sig("b"), sig("c"); b != asserted || c != asserted {
		t.Errorf("assertion: %s, %s", b, c)
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"crash_id": "foobar", "timestamp": "2020-04-10 15:08:34.659679Z", "backtrace": ["(f()+1) [2]"]}`))
	f.Add([]byte("{\"a\":\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReport(b)
		if err != nil || r.sign() != nil {
			return
		}
		for _, text := range []string{python.Compact(r.fields), python.Indented(r.fields)} {
			again, err := parseReport([]byte(text))
			if err != nil || again.id != r.id || !again.time.Equal(r.time) || python.Compact(again.fields) != python.Compact(r.fields) {
				t.Fatalf("%s: read again as %+v, %v", text, again, err)
			}
		}
	})
}
