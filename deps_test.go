package pulpo

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pulpo-storage/pulpo/"

// layer is the number of a part of the tree; ARCHITECTURE.md draws it. A package
// belongs to the longest prefix here.
var layer = map[string]int{
	"wire": 0, "buffer": 0, "errno": 0, "entity": 0, "object": 0, "erasure": 0, "metric": 0, "config": 0, "jsonfmt": 0, "disk": 0,
	"admin": 1, "crush": 1, "cephx": 1, "msg": 1, "clsrbd": 1, "monmap": 1, "osdmap": 1, "mgrmap": 1, "fsmap": 1,
	"msgr": 2, "objstore": 2,
	"rados": 3, "rbd": 3,
	"mon": 4, "osd": 4,
	"gateway": 5,
	"node":    6, "cli": 6, "cmd": 6, "pulpotest": 6, "test": 6, "bench": 6, "sim": 6, "internal": 6,
}

// sameLayer lists the imports across packages of one number, each with a reason.
var sameLayer = map[[2]string]string{
	{"object", "entity"}:      "a request id names its sender",
	{"object", "wire"}:        "identities encode themselves",
	{"entity", "wire"}:        "names and addresses encode themselves",
	{"osdmap", "crush"}:       "a map carries its CRUSH map",
	{"osdmap", "msg"}:         "an fsid is an fsid",
	{"monmap", "msg"}:         "an fsid is an fsid",
	{"rbd", "rados"}:          "images are objects",
	{"cli", "node"}:           "subcommands run daemons",
	{"cmd", "cli"}:            "main",
	{"pulpotest", "node"}:     "a cluster inside a test",
	{"test", "pulpotest"}:     "end to end tests start clusters",
	{"bench", "internal"}:     "benchmarks start a stock cluster to compare with",
	{"test", "internal"}:      "and so do end to end tests",
	{"internal", "pulpotest"}: "tests of clients run on both kinds of cluster",
}

// pure lists the parts that must not touch sockets, files or processes: daemons
// decide, node acts. The simulator depends on it.
var pure = []string{"wire", "buffer", "errno", "entity", "object", "jsonfmt", "metric", "admin", "crush", "msg", "clsrbd", "monmap", "osdmap", "mgrmap", "cephx", "mon", "osd"}

var impure = []string{"net", "os/exec", "net/http", "math/rand", "math/rand/v2"}

// A daemon imports neither another daemon nor a client, and a client no daemon:
// clients must serve stock clusters too.
var strangers = map[string][]string{
	"mon": {"osd", "rados", "rbd"}, "osd": {"mon", "rados", "rbd"}, "rados": {"mon", "osd"}, "gateway": {"mon", "osd"}, "rbd": {"mon", "osd"},
	"msgr": {"msg", "cephx"}, // it knows no bodies and no tickets
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func part(path string) string {
	rel, ok := strings.CutPrefix(path, module)
	if !ok {
		return ""
	}
	top, _, _ := strings.Cut(rel, "/")
	return top
}

func TestImportsGoDown(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, p := range packages(t) {
		from := part(p.ImportPath)
		if from == "" {
			continue
		}
		seen++
		n, ok := layer[from]
		if !ok {
			t.Errorf("%s is in no layer: give it one here and in ARCHITECTURE.md", p.ImportPath)
		}
		for _, imp := range p.Imports {
			to := part(imp)
			if to == "" || to == from {
				continue
			}
			if m := layer[to]; m > n {
				t.Errorf("%s (layer %d) imports %s (layer %d): imports go to lower numbers", p.ImportPath, n, imp, m)
			} else if m == n && n > 0 && sameLayer[[2]string{from, to}] == "" {
				t.Errorf("%s imports %s of its own layer without a reason in sameLayer", p.ImportPath, imp)
			}
			if slices.Contains(strangers[from], to) {
				t.Errorf("%s must not know %s", p.ImportPath, imp)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages found", seen)
	}
}

func TestPurePartsDoNoIO(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if !slices.Contains(pure, part(p.ImportPath)) {
			continue
		}
		for _, imp := range p.Imports {
			if slices.Contains(impure, imp) {
				t.Errorf("%s imports %s, but is part of a machine that only decides", p.ImportPath, imp)
			}
		}
	}
}
