package admin

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

type world struct {
	d       Daemon
	t       Table[Handler]
	changes int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	w.d = Daemon{
		Config:  config.New(entity.AuthName{Type: entity.OSD, ID: "0"}, "vm"),
		Version: ParseVersion("ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable)"),
		Changed: func() { w.changes++ },
		Perf: func(f *jsonfmt.Formatter, command, group, counter string) {
			f.Object("perf", func() { f.Str(command, group+"/"+counter) })
		},
	}
	if err := w.d.Config.LoadSettings(map[string]string{"osd_recovery_max_active": "7"}); err != nil {
		t.Fatal(err)
	}
	Each(w.t.Add)
	w.t.Add(HeapSig("dump|stats"), HeapHelp, Heap)
	w.t.Add("smart name=devid,type=CephString,req=false", "", Smart)
	return w
}

// run carries out a command; the output is compact.
func (w *world) run(text string) (out, status string, no errno.Errno) {
	a, err := Parse(text)
	var do Handler
	if err == nil {
		do, err = w.t.Find(a)
	}
	var r *Refusal
	if errors.As(err, &r) {
		return "", r.Words, r.Errno
	}
	rep := do(&w.d, a)
	out = string(rep.Output)
	if rep.Body != nil {
		var f jsonfmt.Formatter
		rep.Body(&f)
		out = f.JSON()
	}
	return out, rep.Status, rep.Errno
}

// The answers are those of a stock OSD, in the same order.
func TestCommonCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tc := range []struct {
		cmd, out, status string
		no               errno.Errno
	}{
		{`{"prefix":"version"}`, `{"version":"16.2.15","release":"pacific","release_type":"stable"}`, "", 0},
		{`{"prefix":"git_version"}`, `{"git_version":"618f440892089921c3e944a991122ddc44e60516"}`, "", 0},
		{`{"prefix":"config get","var":"osd_max_backfills"}`, `{"osd_max_backfills":"1"}`, "", 0},
		{`{"prefix":"config get","var":"osd max-backfills"}`, `{"osd_max_backfills":"1"}`, "", 0},
		{`{"prefix":"config get","var":"nosuch"}`, "", "error getting 'nosuch': (2) No such file or directory", errno.ENOENT},
		{`{"prefix":"config set","var":"osd_max_backfills","val":["3"]}`, `{"success":"osd_max_backfills = '3' "}`, "", 0},
		{`{"prefix":"config set","var":"osd_max_backfills","val":["3"]}`, `{"success":""}`, "", 0},
		{`{"prefix":"config set","var":"osd_max_backfills","val":["4","5"]}`, "", "error setting 'osd_max_backfills' to '4 5': (22) Invalid argument", errno.EINVAL},
		{`{"prefix":"config set","var":"nosuch","val":["4"]}`, "", "error setting 'nosuch' to '4': (2) No such file or directory", errno.ENOENT},
		{`{"prefix":"config set","var":"fsid","val":["4"]}`, "", "error setting 'fsid' to '4': (22) Invalid argument", errno.EINVAL},
		{`{"prefix":"config set","var":"osd_data","val":["/tmp"]}`, "", "error setting 'osd_data' to '/tmp': (1) Operation not permitted", errno.EPERM},
		{`{"prefix":"config set","var":"debug_osd","val":["3"]}`, `{"success":""}`, "", 0},
		{`{"prefix":"config diff","var":"x"}`, `{"diff":{}}`, "", 0},
		{`{"prefix":"config diff"}`, `{"diff":{"debug_osd":{"default":"1/5","override":"3/3","final":"3/3"},` +
			`"osd_max_backfills":{"default":1,"override":3,"final":3},"osd_recovery_max_active":{"default":0,"file":7,"final":7}}}`, "", 0},
		{`{"prefix":"config diff get","var":"osd_recovery_max_active"}`, `{"diff":{"osd_recovery_max_active":{"default":0,"file":7,"final":7}}}`, "", 0},
		{`{"prefix":"config unset","var":"osd_max_backfills"}`, `{}`, "osd_max_backfills = '1' ", 0},
		{`{"prefix":"config unset","var":"osd_max_backfills"}`, `{}`, "", 0},
		{`{"prefix":"config unset","var":"nosuch"}`, "", "error unsetting 'nosuch': (22) Invalid argument", errno.EINVAL},
		{`{"prefix":"config help","var":"nosuch"}`, "", "Setting not found: 'nosuch'", errno.ENOENT},
		{`{"prefix":"injectargs","injected_args":["--debug-osd=5"]}`, `{}`, "", 0},
		{`{"prefix":"injectargs","injected_args":["--debug-osd 0/5 --osd-max-backfills 2"]}`, `{}`, "osd_max_backfills = '2' ", 0},
		{`{"prefix":"injectargs","injected_args":["--osd_max_backfills=1"]}`, `{}`, "osd_max_backfills = '1' ", 0},
		{`{"prefix":"injectargs","injected_args":["--no-osd-scrub-auto-repair","--osd-scrub-auto-repair"]}`, `{}`,
			"osd_scrub_auto_repair = 'true' ", 0},
		{`{"prefix":"injectargs","injected_args":["--no-osd-scrub-auto-repair"]}`, `{}`, "osd_scrub_auto_repair = 'false' ", 0},
		{`{"prefix":"injectargs","injected_args":["--nosuch","1"]}`, "", " failed to parse arguments: --nosuch,1\n", errno.EINVAL},
		{`{"prefix":"injectargs","injected_args":["debug_osd","5"]}`, "", " failed to parse arguments: debug_osd,5\n", errno.EINVAL},
		{`{"prefix":"injectargs","injected_args":["--osd-max-backfills","nonsense"]}`, "",
			"Parse error setting osd_max_backfills to 'nonsense' using injectargs (strict_si_cast: unit prefix not recognized).\n", errno.EINVAL},
		{`{"prefix":"injectargs","injected_args":["--osd-data","/x"]}`, "",
			"Parse error setting osd_data to '/x' using injectargs (Configuration option 'osd_data' may not be modified at runtime).\n", errno.EPERM},
		{`{"prefix":"injectargs","injected_args":["--osd-max-backfills"]}`, "", "Option --osd-max-backfills requires an argument.\n", errno.EINVAL},
		{`{"prefix":"injectargs","injected_args":[""]}`, `{}`, "", 0},
		{`{"prefix":"perf dump","logger":"osd","counter":"op"}`, `{"perf dump":"osd/op"}`, "", 0},
		{`{"prefix":"perf reset","var":"all"}`, `{"perf reset":"all/"}`, "", 0},
		{`{"prefix":"perfcounters_dump"}`, `{"perf dump":"/"}`, "", 0},
		{`{"prefix":"log reopen"}`, `{}`, "", 0},
		{`{"prefix":"heap","heapcmd":"stats"}`, "", "could not issue heap profiler command -- not using tcmalloc!", errno.EOPNOTSUPP},
		{`{"prefix":"smart"}`, "{\n}\n", "", 0},
	} {
		if out, status, no := w.run(tc.cmd); out != tc.out || status != tc.status || no != tc.no {
			t.Errorf("%s: %v %q %s", tc.cmd, no, status, out)
		}
	}
	if w.changes == 0 {
		t.Error("nobody was told of changes")
	}
}

// What is refused before it is carried out, in the words of a stock daemon.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for cmd, words := range map[string]string{
		`nosuch`: "invalid json", `{`: "invalid json", ``: "invalid json", `[]`: "invalid json", `{"x":{}}`: "invalid json", `{"x":[[]]}`: "invalid json",
		`{"x":null}`: "invalid json", `{"prefix":5}`: "invalid json, missing format and/or prefix",
		`{"prefix":"version","format":["json"]}`: "invalid json, missing format and/or prefix",
		`{"prefix":"nosuch"}`:                    "unknown command prefix nosuch", `{"x":1}`: "unknown command prefix ",
		`{"prefix":"config get"}`:                          "invalid command json",
		`{"prefix":"config get","var":["a"]}`:              "invalid command json",
		`{"prefix":"config get","var":true}`:               "invalid command json",
		`{"prefix":"heap","heapcmd":"nosuch"}`:             "invalid command json",
		`{"prefix":"config set","var":"a","val":[1,true]}`: "invalid command json",
	} {
		if _, got, no := w.run(cmd); got != words || no != errno.EINVAL {
			t.Errorf("%s: %v %q, want %q", cmd, no, got, words)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var tab Table[string]
	tab.Add("pg name=pgid,type=CephPgid name=cmd,type=CephChoices,strings=query", "", "query")
	tab.Add("pg name=pgid,type=CephPgid name=cmd,type=CephChoices,strings=list name=offset,type=CephInt,req=false", "", "list")
	tab.Add("a b", "what it does", "ab")
	for cmd, want := range map[string]string{
		`{"prefix":"pg","pgid":"1.0","cmd":"query"}`: "query", `{"prefix":"pg","pgid":"1.0","cmd":"list"}`: "list",
		`{"prefix":"pg","pgid":"1.0","cmd":"list","offset":7}`: "list", `{"prefix":"pg","pgid":"1.0","cmd":"list","offset":"7"}`: "list",
		`{"prefix":"pg","pgid":"1.0","cmd":"list","offset":"x"}`: "", `{"prefix":"a b"}`: "ab", `{"prefix":"a"}`: "",
	} {
		a, err := Parse(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tab.Find(a); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", cmd, got, err)
		}
	}
	var f jsonfmt.Formatter
	tab.Describe(&f)
	const want = `{"cmd000":{"sig":["a","b"],"help":"what it does"},"cmd001":{"sig":["pg",{"name":"pgid","type":"CephPgid"},` +
		`{"name":"cmd","type":"CephChoices","strings":"list"},{"name":"offset","type":"CephInt","req":"false"}],"help":""},` +
		`"cmd002":{"sig":["pg",{"name":"pgid","type":"CephPgid"},{"name":"cmd","type":"CephChoices","strings":"query"}],"help":""}}`
	if got := f.JSON(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	f = jsonfmt.Formatter{}
	tab.Help(&f)
	if got := f.JSON(); got != `{"a b":"what it does"}` {
		t.Errorf("help: %s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("two handlers for one signature")
		}
	}()
	tab.Add("a b", "", "")
}

// Whatever comes, there is an answer, and documents are JSON.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{`{"prefix":"config get","var":"fsid"}`, `{"prefix":"injectargs","injected_args":["--a","b"]}`,
		`{"prefix":"config set","var":"debug_osd","val":[1e400]}`, `{"prefix":"perf dump","format":"json"}`, `{`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := newWorld(t)
		out, status, no := w.run(text)
		if no != 0 && status == "" {
			t.Errorf("refused without a word: %q", text)
		}
		if out != "" && !json.Valid([]byte(out)) && !slices.Contains([]string{"{\n}\n"}, out) && !strings.ContainsAny(text, "\\") {
			t.Errorf("%q: %s", text, out)
		}
	})
}
