package monmap

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

func read(t testing.TB, name string) []byte {
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The golden files come from a stock 16.2.15 monitor and monmaptool.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"monmap", "monmap-four"} {
		b := read(t, name+".bin")
		m, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Encode(), b) || !bytes.Equal(m.Clone().Encode(), b) {
			t.Errorf("%s: encodes to other bytes", name)
		}
		var want strings.Builder
		for line := range strings.Lines(string(read(t, name+".print.txt"))) {
			if !strings.HasPrefix(line, "monmaptool:") {
				want.WriteString(line)
			}
		}
		if got := m.Text(); got != want.String() {
			t.Errorf("%s prints\n%s\nwant\n%s", name, got, &want)
		}
	}
}

func TestGoldenDump(t *testing.T) {
	t.Parallel()
	m, err := Decode(read(t, "monmap.bin"))
	if err != nil {
		t.Fatal(err)
	}
	var f jsonfmt.Formatter
	f.Object("", func() {
		m.Dump(&f)
		f.Array("quorum", func() { f.Int("mon", 0) })
	})
	if got, want := f.Pretty(), strings.TrimLeft(string(read(t, "monmap.dump.json")), "\n"); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestAddRemove(t *testing.T) {
	t.Parallel()
	m := New(entity.UUID{1}, time.Unix(1e9, 0))
	for _, n := range []string{"a", "b", "c"} {
		if err := m.Add(&Mon{Name: n}); err != nil {
			t.Fatal(err)
		}
	}
	old := m.Clone()
	if m.Add(&Mon{Name: "b"}) == nil || m.Remove("x") == nil {
		t.Error("a second b, or the removal of nobody, was accepted")
	}
	if err := m.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if r, ok := m.Rank("c"); r != 1 || !ok || m.ByRank(1).Name != "c" || m.ByRank(2) != nil || m.RemovedRanks[0] != 1 {
		t.Errorf("ranks %v, removed %v", m.Ranks, m.RemovedRanks)
	}
	if len(old.Ranks) != 3 || len(old.Mons) != 3 {
		t.Error("the clone changed too")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(read(f, "monmap.bin"))
	f.Add(read(f, "monmap-four.bin"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(m.Encode())
		if err != nil || !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatal("what was encoded does not come back:", err)
		}
		m.Text()
	})
}
