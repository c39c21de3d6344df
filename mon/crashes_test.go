package mon

import (
	"strings"
	"testing"
)

// A report that was posted to the manager is there after the monitor crashed
// itself, and warns as long as the manager's options say.
func TestCrashReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mgr := w.open("client.admin", true, "mon", "allow *", "mgr", "allow *")
	report := `{"crash_id": "foobar", "timestamp": "2026-11-20 15:08:34.659679Z"}`
	if a := w.ask(mgr, `{"prefix": "crash post", "format": "json"}`, []byte(report)...); a != (answer{}) {
		t.Fatalf("post: %+v", a)
	}
	if a := w.ask(mgr, `{"prefix": "crash post"}`, []byte("nope")...); a.ret != 22 { // as in a stock cluster: no error
		t.Errorf("post of nonsense: %+v", a)
	}
	reporter := w.open("client.crash", true, "mon", "profile crash", "mgr", "profile crash")
	if a := w.ask(reporter, `{"prefix": "crash post"}`, []byte(report)...); a != (answer{}) {
		t.Errorf("post with the profile for it: %+v", a)
	}
	if a := w.call(reporter, "crash rm", "id", "foobar"); a.ret != -13 {
		t.Errorf("rm with the profile for posting: %+v", a)
	}

	w.restart()
	s := w.admin()
	if got := w.must(s, "crash ls").out; got != "ID      ENTITY   NEW  \nfoobar  unknown   *   \n" {
		t.Errorf("ls:\n%s", got)
	}
	want := "HEALTH_WARN 1 daemons have recently crashed\n" +
		"[WRN] RECENT_CRASH: 1 daemons have recently crashed\n" +
		"    unidentified daemon crashed on host (unknown) at 2026-11-20 15:08:34.659679Z\n"
	if got := w.must(s, "health", "detail", "detail").out; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	w.must(s, "config set", "who", "mgr", "name", "mgr/crash/warn_recent_interval", "value", "3600")
	if got := w.must(s, "health").out; got != "HEALTH_OK\n" {
		t.Errorf("with a short interval: %q", got)
	}
	w.must(s, "config rm", "who", "mgr", "name", "mgr/crash/warn_recent_interval")
	if got := w.must(s, "health").out; !strings.HasPrefix(got, "HEALTH_WARN") {
		t.Errorf("with the usual interval: %q", got)
	}
	w.must(s, "crash archive", "id", "foobar")
	if got := w.must(s, "health").out; got != "HEALTH_OK\n" {
		t.Errorf("archived: %q", got)
	}
	w.must(s, "crash rm", "id", "foobar")
	if got := w.must(s, "crash stat").out; got != "0 crashes recorded\n" {
		t.Errorf("stat: %q", got)
	}
}
