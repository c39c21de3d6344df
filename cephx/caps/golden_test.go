package caps

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
)

// The golden files were made by a monitor and an OSD of version 16.2.15: see
// testdata/README.

func golden(t *testing.T, name string) *json.Decoder {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	return json.NewDecoder(z)
}

type parseCase struct {
	Service, Caps, Outs string
	Ret                 int
}

func parseCases(t *testing.T) (cases []parseCase) {
	for d := golden(t, "parse.jsonl.gz"); d.More(); {
		var c parseCase
		if err := d.Decode(&c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

func TestValidateLikeStockMonitor(t *testing.T) {
	t.Parallel()
	cases := parseCases(t)
	if len(cases) < 300 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		err := Validate(c.Service, c.Caps)
		if c.Ret == 0 {
			if err != nil {
				t.Errorf("%s %q: %v; the stock monitor accepts it", c.Service, c.Caps, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s %q: accepted; the stock monitor says %q", c.Service, c.Caps, c.Outs)
			continue
		}
		if err.Error() != c.Outs {
			t.Errorf("%s %q:\n got %s\nwant %s", c.Service, c.Caps, err, c.Outs)
		}
		if !errors.Is(err, errno.EINVAL) {
			t.Errorf("%s %q: %v is not EINVAL", c.Service, c.Caps, err)
		}
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")

func TestMonAllowsLikeStock(t *testing.T) {
	t.Parallel()
	var g struct {
		Commands []struct {
			Cmd          map[string]any
			Module, Perm string
		}
		Rows []struct {
			Caps string
			Ret  []int
		}
	}
	if err := golden(t, "mon.json.gz").Decode(&g); err != nil {
		t.Fatal(err)
	}
	if len(g.Commands) < 40 || len(g.Rows) < 50 {
		t.Fatal("golden file is too short")
	}
	for _, row := range g.Rows {
		m, err := ParseMon(row.Caps, "client.e")
		if err != nil {
			t.Errorf("%q: %v", row.Caps, err)
			continue
		}
		for i, c := range g.Commands {
			want := row.Ret[i] != -int(errno.EACCES)
			if row.Ret[i] == -int(errno.EPERM) && strings.HasPrefix(c.Cmd["prefix"].(string), "fs ") {
				continue // refused by the name of the file system, in the command
			}
			prefix := c.Cmd["prefix"].(string)
			if got := m.Allows(c.Module, prefix, Args(c.Cmd), ParsePerm(c.Perm), loopback); got != want {
				t.Errorf("%q: %v (%s %s) allowed %v, stock %v", row.Caps, c.Cmd, c.Module, c.Perm, got, want)
			}
		}
	}
}

func TestOSDAllowsLikeStock(t *testing.T) {
	t.Parallel()
	apps := map[string]map[string]map[string]string{
		"rbd": {"rbd": {}},
		"p2":  {"cephfs": {"data": "fsa"}},
	}
	objects := []string{"o1", "pre.x", "rbd_header.1", "rbd_children", "rbd_info", "rbd_mirroring"}
	call := func(class, method string, write bool) OSDRequest {
		return OSDRequest{Classes: []ClassCall{{class, method, true, write, true}}}
	}
	kinds := []OSDRequest{
		{Read: true}, {Write: true},
		call("lock", "get_info", false), call("lock", "lock", true), call("version", "read", false),
		call("rbd", "metadata_list", false), call("rbd", "child_attach", true), call("rbd", "get_size", false),
	}
	rows := 0
	for d := golden(t, "osd.jsonl.gz"); d.More(); rows++ {
		var row struct{ Caps, Pool, NS, Rows string }
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		c, err := ParseOSD(row.Caps)
		if err != nil {
			t.Errorf("%q: %v", row.Caps, err)
			continue
		}
		for i, object := range objects {
			for j, r := range kinds {
				r.Pool, r.Namespace, r.Object, r.PoolApps = row.Pool, row.NS, object, apps[row.Pool]
				want := row.Rows[i*len(kinds)+j] == '+'
				if got := c.Allows(&r, loopback); got != want {
					t.Errorf("%q: %+v allowed %v, stock %v", row.Caps, r, got, want)
				}
			}
		}
	}
	if rows < 300 {
		t.Fatalf("only %d rows", rows)
	}
}
