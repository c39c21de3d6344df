package mon

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// golden is one call of testdata/commands.jsonl.gz: what a stock cluster
// answered.
type golden struct {
	Target string
	Cmd    string
	In     string `json:"in_hex"`
	Ret    int32
	Outs   string
	Out    string
	OutHex string `json:"out_hex"`
}

func goldens(t *testing.T) []golden {
	t.Helper()
	f, err := os.Open("testdata/commands.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	for dec := json.NewDecoder(z); dec.More(); {
		var raw struct {
			golden
			Cmd json.RawMessage
		}
		if err := dec.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		g := raw.golden
		if json.Unmarshal(raw.Cmd, &g.Cmd) != nil {
			g.Cmd = string(raw.Cmd)
		}
		all = append(all, g)
	}
	return all
}

// stockWorld is a machine as the stock cluster of the golden calls was: its
// accounts, addresses and times.
func stockWorld(t *testing.T, all []golden) *world {
	t.Helper()
	id, err := entity.ParseUUID("85beb323-7511-4fff-be4d-017e31e9371e")
	if err != nil {
		t.Fatal(err)
	}
	g := Genesis{
		Genesis:  service.Genesis{FSID: msg.FSID(id), Created: time.Date(2026, 11, 20, 12, 7, 49, 961107000, time.UTC), Rand: seeded(1)},
		Mons:     []Member{{"a", addrs(t, "[v2:127.0.0.1:28048/0,v1:127.0.0.1:22977/0]")}},
		Accounts: cephx.Keyring{},
	}
	var dump struct {
		List []struct {
			Entity, Key string
			Caps        map[string]string
		} `json:"auth_dump"`
	}
	var metadata []map[string]string
	for _, c := range all {
		switch c.Cmd {
		case `{"prefix": "auth ls", "format": "json"}`:
			err = json.Unmarshal([]byte(c.Out), &dump)
		case `{"prefix": "mon metadata", "format": "json"}`, `{"prefix": "mgr metadata", "format": "json"}`:
			var m []map[string]string
			err = json.Unmarshal([]byte(c.Out), &m)
			metadata = append(metadata, m...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range dump.List {
		name, err1 := entity.ParseAuthName(e.Entity)
		key, err2 := cephx.ParseKey(e.Key)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		g.Accounts[name] = cephx.Entity{Key: key, Caps: e.Caps}
	}
	if len(g.Accounts) != 12 || len(metadata) != 2 {
		t.Fatalf("%d accounts, metadata of %d daemons", len(g.Accounts), len(metadata))
	}
	for _, m := range metadata {
		delete(m, "name")
	}
	if metadata[0]["compression_algorithms"] == "" { // that of the monitor has it
		slices.Reverse(metadata)
	}
	w := makeWorld(t, g, Config{
		Name: "a", Metadata: metadata[0], Version: metadata[0]["ceph_version"],
		Manager: Manager{
			Name: "x", Addrs: addrs(t, "[v2:127.0.0.1:6800/29409,v1:127.0.0.1:6801/29409]"),
			Features: 0x3f01cfbdfffdffff, Metadata: metadata[1],
		},
	})
	w.must(w.admin(), "config set", "who", "global", "name", "rbd_config_pool_override_update_timestamp", "value", "1795176768")
	return w
}

// others are the prefixes that other packages answer, or that are about file
// systems, which this cluster does not have.
func others(prefix string) bool {
	for _, p := range []string{"osd", "pg", "fs ", "mds ", "df", "rbd ", "iostat", "nosuch"} {
		if strings.HasPrefix(prefix, p) {
			return p != "nosuch"
		}
	}
	return false
}

// differ are calls whose output cannot be that of the stock cluster, and why.
// Their status must be, and so must the shape of their documents if shape is
// set: the members of objects, in order.
var differ = map[string]struct {
	why    string
	shape  bool
	status bool // differs too
}{
	"status":                 {why: "no osds, no file system here"},
	"health":                 {why: "nothing is wrong here"},
	"quorum_status":          {why: "age of the quorum", shape: true},
	"mgr dump":               {why: "epoch, gid, times; options of modules"},
	"mgr stat":               {why: "epoch", shape: true},
	"mgr module ls":          {why: "modules that need Python"},
	"config log":             {why: "times", shape: true},
	"config ls":              {why: "options of modules that need Python"},
	"config help":            {why: "descriptions are ours"},
	"versions":               {why: "no osds here"},
	"features":               {why: "no osds here"},
	"node ls":                {why: "no osds here"},
	"service dump":           {why: "epoch, time", shape: true},
	"config-key ls":          {why: "keys of modules"},
	"config-key dump":        {why: "keys of modules"},
	"balancer status":        {why: "there is no balancer", shape: true},
	"balancer mode":          {why: "there is no balancer", status: true},
	"telemetry status":       {why: "nobody is told anything", status: true},
	"progress":               {why: "nothing is in progress", status: true},
	"log last":               {why: "other things happened"},
	"mon getmap":             {why: "epoch", status: true},
	"mon set-rank":           {why: "this cluster cannot change its monitors", status: true},
	"auth get-or-create":     {why: "keys are random"},
	"auth get-or-create-key": {why: "keys are random", shape: true},
}

// later are accounts that the calls make.
func madeLater(cmd string) bool { return strings.Contains(cmd, `"auth get", "entity": "client.x1"`) }

func TestGolden(t *testing.T) {
	t.Parallel()
	all := goldens(t)
	w := stockWorld(t, all)
	admin := w.admin()
	mgr := w.open("client.admin", true, "mgr", "allow *")
	compared, exact := 0, 0
	for _, g := range all {
		s := admin
		switch g.Target {
		case "mgr":
			s = mgr
		case "mon":
		default:
			continue // of an OSD
		}
		var c struct{ Prefix, Format string }
		if err := json.Unmarshal([]byte(g.Cmd), &c); err != nil {
			t.Fatal(err)
		}
		if others(c.Prefix) || strings.Contains(c.Format, "xml") {
			continue
		}
		in, err := hex.DecodeString(g.In)
		if err != nil {
			t.Fatal(err)
		}
		a := w.ask(s, g.Cmd, in...)
		compared++
		d, differs := differ[c.Prefix]
		if (a.ret != g.Ret || a.rs != g.Outs) && !d.status {
			t.Errorf("%s %s\n  got %d %q\n want %d %q", g.Target, g.Cmd, a.ret, a.rs, g.Ret, g.Outs)
			continue
		}
		switch {
		case a.ret != 0 || g.Ret != 0 || d.status:
		case madeLater(g.Cmd):
			key := regexp.MustCompile(`AQ[A-Za-z0-9+/]{36}==`)
			if got, want := key.ReplaceAllString(a.out, "KEY"), key.ReplaceAllString(g.Out, "KEY"); got != want {
				t.Errorf("%s %s\n  got %q\n want %q", g.Target, g.Cmd, got, want)
			}
		case !differs:
			exact++
			if a.out != g.Out {
				t.Errorf("%s %s\n  got %.2000q\n want %.2000q", g.Target, g.Cmd, a.out, g.Out)
			}
		case d.shape && json.Valid([]byte(g.Out)):
			if got, want := shape(t, a.out), shape(t, g.Out); got != want {
				t.Errorf("%s %s\n  got %s\n want %s", g.Target, g.Cmd, got, want)
			}
		}
	}
	if compared < 200 || exact < 100 {
		t.Errorf("only %d calls compared, %d of them exactly", compared, exact)
	}
}

// shape is a document with its values left out; of arrays the first element
// stands for all.
func shape(t *testing.T, doc string) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(doc))
	var b strings.Builder
	var value func(show bool)
	value = func(show bool) {
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		put := func(s string) {
			if show {
				b.WriteString(s)
			}
		}
		switch tok {
		case json.Delim('{'):
			put("{")
			for dec.More() {
				k, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				put(k.(string) + ":")
				value(show)
				put(" ")
			}
			dec.Token()
			put("}")
		case json.Delim('['):
			put("[")
			for i := 0; dec.More(); i++ {
				value(show && i == 0)
			}
			dec.Token()
			put("]")
		}
	}
	value(true)
	return b.String()
}
