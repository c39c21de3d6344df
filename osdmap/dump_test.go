package osdmap

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// diffLines compares texts line by line. The lines of a blocklist are compared
// sorted: Ceph prints them in the order of a hash table.
func diffLines(t *testing.T, got, want string) {
	t.Helper()
	lines := func(s string) []string {
		var all, block []string
		for l := range strings.Lines(s) {
			l = strings.TrimRight(l, "\n")
			if l == "" || strings.Contains(l, `"blocklist": {}`) {
				continue
			}
			if isBlock := strings.HasPrefix(l, "blocklist ") || strings.HasPrefix(l, `        "`) && strings.Contains(l, "+0000"); isBlock {
				block = append(block, strings.TrimRight(l, ","))
				continue
			}
			all = append(all, l)
		}
		slices.Sort(block)
		return append(all, block...)
	}
	g, w := lines(got), lines(want)
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d:\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("%d lines, want %d", len(g), len(w))
	}
}

// TestGoldenDump compares with osdmaptool --dump json-pretty.
func TestGoldenDump(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, name string, m *Map) {
		want, ok := files()[name+".dump.json"]
		if !ok {
			return
		}
		var f jsonfmt.Formatter
		f.Object("", func() { m.Dump(&f) })
		diffLines(t, f.Pretty(), string(want))
	})
}

// TestGoldenText compares with osdmaptool --print, which separates its parts by
// blank lines; the monitor does not.
func TestGoldenText(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, name string, m *Map) {
		if want, ok := files()[name+".print.txt"]; ok {
			diffLines(t, m.Text(), string(want))
		}
	})
}
