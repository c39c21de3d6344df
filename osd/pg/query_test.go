package pg

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
)

// paths are the names in a document with those that they are under, in order, each
// once; [] stands for the elements of a list.
func paths(t *testing.T, text string) (list []string) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	var walk func(at string)
	walk = func(at string) {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch tok {
		case json.Delim('{'):
			for d.More() {
				name, _ := d.Token()
				p := fmt.Sprint(at, "/", name)
				if !slices.Contains(list, p) {
					list = append(list, p)
				}
				walk(p)
			}
			d.Token()
		case json.Delim('['):
			for d.More() {
				walk(at + "[]")
			}
			d.Token()
		}
	}
	walk("")
	return list
}

// A query has the names of a stock one in their order, and says of the other copy
// what it has.
func TestQuery(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/query_keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "#") {
			want = append(want, strings.TrimSpace(line))
		}
	}
	g := newGang(t, 1, 2, 2)
	g.calm()
	for i := range 3 {
		g.ask(fmt.Sprint("o", i), true)
		g.calm()
	}
	q := g.primary().Query()
	var f jsonfmt.Formatter
	f.Object("", func() { q.Dump(&f) })
	if got := paths(t, f.JSON()); !slices.Equal(got, want) {
		for _, p := range want {
			if !slices.Contains(got, p) {
				t.Errorf("has no %s", p)
			}
		}
		for _, p := range got {
			if !slices.Contains(want, p) {
				t.Errorf("has %s", p)
			}
		}
		t.Errorf("names are %v", got)
	}
	if len(q.Peers) != 1 || q.Peers[0].OSD != 1 || q.Peers[0].Info.LastUpdate != q.Info.LastUpdate || q.Peers[0].Info.LastComplete != q.Info.LastComplete ||
		q.Info.LastComplete != q.Info.LastUpdate {
		t.Errorf("the copies are %v, and this one %v", q.Peers, &q.Info)
	}
	if q.Progress.Last != object.MinID || len(q.Progress.Targets)+len(q.Progress.Transfer) != 0 {
		t.Errorf("clean, yet recovery is at %+v", q.Progress)
	}

	// Something to fill and something under way.
	p := g.primary()
	p.peering.peers[1].info.LastBackfill = object.MinID
	o := object.New(testPool, "", "", "o1")
	p.recovery.moves = map[moveKey]*move{{o, 1}: {id: o, version: p.info.LastUpdate, osd: 1}, {o, -1}: {id: o, osd: 1, pull: true}}
	q = p.Query()
	f = jsonfmt.Formatter{}
	f.Object("", func() { q.Dump(&f) })
	for _, text := range []string{`"backfill_targets":["1"]`, `"pull_from":"1"`, `"pushing_to":"1"`, fmt.Sprintf(`"recovering":["%v"]`, o)} {
		if !strings.Contains(f.JSON(), text) {
			t.Errorf("no %s in %s", text, f.JSON())
		}
	}
}
