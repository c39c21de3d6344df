package scrub

import (
	"fmt"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
)

func TestCompareLogs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		logs []string // of OSDs 0, 1, ...; 0 is the primary: an entry a letter, from version 1, "." for none
		want string
	}{
		{"all the same", []string{"abc", "abc", "abc"}, "[]"},
		{"one copy", []string{"abc"}, "[]"},
		{"none", []string{"", "", ""}, "[]"},
		{"trimmed and written to", []string{"..cde", "abcd", ".bc"}, "[]"},
		{"a replica's", []string{"abc", "axc", "abc"}, "[{1 1'2 true}]"},
		{"the primary's", []string{"abx", "abc", "abc"}, "[{0 1'3 true}]"},
		{"of two", []string{"abc", "abx"}, "[{1 1'3 false}]"},
		{"all others", []string{"a", "b", "c"}, "[{1 1'1 false} {2 1'1 false}]"},
		{"where one has nothing", []string{".bc", "abc", "xbc"}, "[{2 1'1 false}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var copies []Copy
			for i, log := range c.logs {
				k := Copy{OSD: int32(i), Map: &Map{}}
				for n, b := range log {
					if b != '.' {
						k.Map.Log = append(k.Map.Log, EntrySum{object.Version{Epoch: 1, Version: uint64(n + 1)}, uint32(b)})
					}
				}
				copies = append(copies, k)
			}
			bad, lines := CompareLogs(testPG, copies)
			if got := fmt.Sprint(bad); got != c.want || len(lines) != len(bad) {
				t.Errorf("%s, %q; want %s", got, lines, c.want)
			}
		})
	}
}
