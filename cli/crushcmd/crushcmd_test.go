package crushcmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const text = `tunable choose_local_tries 0
tunable choose_local_fallback_tries 0
tunable choose_total_tries 50
tunable chooseleaf_descend_once 1
tunable chooseleaf_vary_r 1
tunable chooseleaf_stable 1
tunable straw_calc_version 1
tunable allowed_bucket_algs 54
device 0 osd.0
device 1 osd.1
device 2 osd.2
type 0 osd
type 1 host
type 2 root
host a { id -1 alg straw2 hash 0 item osd.0 weight 1.0 item osd.1 weight 1.0 }
host b { id -2 alg straw2 hash 0 item osd.2 weight 1.0 }
root default { id -3 alg straw2 hash 0 item a weight 2.0 item b weight 1.0 }
rule r { id 0 type replicated min_size 1 max_size 10 step take default step chooseleaf firstn 0 type host step emit }
`

// run runs a command line and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := New()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.Execute()
	return out.String(), err
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

func TestCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src, bin, again := filepath.Join(dir, "in.txt"), filepath.Join(dir, "map"), filepath.Join(dir, "again")
	if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "compile", src, "-o", bin)
	back := filepath.Join(dir, "back.txt")
	must(t, "decompile", bin, "-o", back)
	must(t, "compile", back, "-o", again)
	a, _ := os.ReadFile(bin)
	b, _ := os.ReadFile(again)
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("%d bytes became %d", len(a), len(b))
	}
	if out := must(t, "dump", bin, "-f", "json"); !strings.Contains(out, `"profile":"jewel"`) {
		t.Error(out)
	}
	if out := must(t, "tree", bin); !strings.Contains(out, "root default") || !strings.Contains(out, "        osd.2") {
		t.Error(out)
	}
	// Two replicas on two hosts; with osd.2 out there is only one.
	out := must(t, "test", bin, "--rule", "0", "--num-rep", "2", "--min-x", "0", "--max-x", "9", "--show-statistics")
	if want := "rule 0 (r), x = 0..9, numrep = 2..2\nrule 0 (r) num_rep 2 result size == 2:\t10/10\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	out = must(t, "test", bin, "--x", "3", "--num-rep", "2", "--weight", "2", "0", "--weight", "1", "0", "--show-mappings", "--show-bad-mappings")
	if want := "CRUSH rule 0 x 3 [0]\nbad mapping rule 0 x 3 num_rep 2 result [0]\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("no map"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no such file":                   {"dump", filepath.Join(dir, "none")},
		"line 1: bucket type 'no'":       {"compile", bad},
		"magic":                          {"decompile", bad},
		"is not a device and its weight": {"test", bad, "--weight", "x", "1"},
		"accepts 1 arg":                  {"test"},
		"unknown flag":                   {"test", bad, "--fancy"},
	} {
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
