package scrub

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
)

// plain is a format that can be read in a test: "v1 s4 omap" is an info, and
// "q5 2:10:4 5:8:8" a set of clones with their sizes and own bytes.
type plain struct{}

var errPlain = errors.New("not of the form")

func (plain) Info(raw []byte) (i Info, err error) {
	for _, w := range strings.Fields(string(raw)) {
		var n uint64
		switch {
		case w == "whiteout":
			i.Whiteout = true
		case w == "omap":
			i.Omap = true
		default:
			if _, err := fmt.Sscanf(w[1:], "%d", &n); err != nil {
				return i, errPlain
			}
			switch w[0] {
			case 'v':
				i.Version, i.UserVersion = object.Version{Epoch: 1, Version: n}, n
			case 's':
				i.Size = n
			default:
				return i, errPlain
			}
		}
	}
	i.Text = "(" + string(raw) + ")"
	return i, nil
}

func (plain) SnapSet(raw []byte) (s SnapSet, err error) {
	for i, w := range strings.Fields(string(raw)) {
		var c Clone
		if i == 0 {
			_, err = fmt.Sscanf(w, "q%d", &s.Seq)
		} else if _, err = fmt.Sscanf(w, "%d:%d:%d", &c.ID, &c.Size, &c.Alone); err == nil {
			s.Clones = append(s.Clones, c)
		}
		if err != nil {
			return s, errPlain
		}
	}
	return s, nil
}

func (plain) ForClients(id object.ID, attrs map[string][]byte) map[string][]byte {
	out := map[string][]byte{}
	if id.IsHead() && len(attrs) > 0 {
		out[ClientSnaps] = []byte("q0")
	}
	for k, v := range attrs {
		switch k {
		case AttrInfo:
			k = ClientInfo
		case AttrSnaps:
			k = ClientSnaps
		}
		out[k] = v
	}
	return out
}

var testPG = object.SPG{PG: object.PG{Pool: 1, Seed: 0}, Shard: object.NoShard}

func head(name string) object.ID { return object.New(1, "", "", name) }

// obj is a sound object of so many bytes.
func obj(id object.ID, version, size int, more ...string) Object {
	o := Object{ID: id, Size: uint64(size), Attrs: map[string][]byte{AttrInfo: fmt.Appendf(nil, "v%d s%d", version, size)},
		Data: Digest{true, uint32(size)}, Omap: Digest{true, 7}}
	for _, kv := range more {
		k, v, _ := strings.Cut(kv, "=")
		o.Attrs[k] = []byte(v)
	}
	return o
}

// but is a copy of an object with a change.
func (o Object) but(change func(*Object)) Object {
	o.Attrs = maps.Clone(o.Attrs)
	change(&o)
	return o
}

func lines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if a, b := strings.Join(got, "\n"), strings.Join(want, "\n"); a != b {
		t.Errorf("%s:\n%s\nwant\n%s", what, a, b)
	}
}
