package monstore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/mon"
)

func TestStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); err == nil {
		t.Error("a database was opened twice")
	}
	if err := s.Write([]mon.Op{{Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte("1")}, {Key: "c", Value: []byte{}}, {Key: "d", Value: []byte("4")}}, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Write([]mon.Op{{Key: "d"}}, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if v, err := s.Get("c"); err != nil || v == nil || len(v) != 0 {
		t.Errorf("an empty value came back as %v, %v", v, err)
	}
	if v, err := s.Get("d"); err != nil || v != nil {
		t.Errorf("a deleted value came back as %v, %v", v, err)
	}
	scan := func(from, to string) (got []string) {
		if err := s.Scan(from, to, func(k string, v []byte) bool {
			got = append(got, fmt.Sprintf("%s=%s", k, v))
			return true
		}); err != nil {
			t.Error(err)
		}
		return got
	}
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "", []string{"a=1", "b=2", "c="}}, {"a", "b", []string{"a=1"}}, {"b", "", []string{"b=2", "c="}}, {"x", "", nil},
	} {
		if got := scan(c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("[%q, %q): %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
