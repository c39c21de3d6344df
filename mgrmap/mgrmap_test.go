package mgrmap

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

func read(t testing.TB, name string) []byte {
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The golden files come from a stock 16.2.15 cluster.
func TestGolden(t *testing.T) {
	t.Parallel()
	b := read(t, "mgrmap.bin.gz")
	m, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Encode(), b) {
		t.Error("encodes to other bytes")
	}
	var f jsonfmt.Formatter
	f.Object("", func() { m.Dump(&f) })
	got, want := strings.TrimSpace(f.Pretty()), strings.TrimSpace(string(read(t, "mgrmap.dump.json.gz")))
	if got != want {
		g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d: %s, want %s", i+1, g[i], w[i])
			}
		}
		t.Errorf("%d lines, want %d", len(g), len(w))
	}
}

func TestStandbys(t *testing.T) {
	t.Parallel()
	m := &Map{
		Epoch: 3, ActiveName: "x", ActiveGID: 4,
		Standbys: map[uint64]*Standby{9: {GID: 9, Name: "y", Features: 5, Modules: []*Module{{Name: "status", CanRun: true}}}},
		Services: map[string]string{"dashboard": "http://h:8080/"},
		Clients:  []Client{{Name: "a", Addrs: entity.AddrVec{{Type: entity.AddrMsgr2, Nonce: 3}}}},
	}
	got, err := Decode(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if s := got.Standbys[9]; s == nil || s.Name != "y" || s.Features != 5 || len(s.Modules) != 1 || !s.Modules[0].CanRun {
		t.Errorf("standby %+v", s)
	}
	if got.Clients[0].Name != "a" || got.Clients[0].Addrs[0].Nonce != 3 || got.Services["dashboard"] == "" {
		t.Errorf("%+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(read(f, "mgrmap.bin.gz"))
	f.Add((&Map{Standbys: map[uint64]*Standby{1: {Name: "y", Modules: []*Module{{}}}}, Clients: []Client{{}}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(m.Encode())
		if err != nil || !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatal("what was encoded does not come back:", err)
		}
		var j jsonfmt.Formatter
		j.Object("", func() { m.Dump(&j) })
		j.JSON()
	})
}
