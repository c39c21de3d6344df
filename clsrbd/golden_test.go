package clsrbd

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/pulpo-storage/pulpo/wire"
)

func lines[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	s := bufio.NewScanner(f)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if s.Err() != nil || len(out) == 0 {
		t.Fatalf("%s: %d lines, %v", name, len(out), s.Err())
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// call is a call of a method that a stock client made and a stock OSD answered.
type call struct {
	Method, In, Out string
	Result          int
}

type codec interface {
	wire.Marshaler
	wire.Unmarshaler
}

// TestCalls decodes what stock clients sent and got, and encodes it again.
func TestCalls(t *testing.T) {
	t.Parallel()
	// Where in arguments and results of a method a type stands.
	args := map[string]struct {
		skip, tail int
		v          func() codec
	}{
		"rbd.parent_attach":          {0, 9, func() codec { return new(ParentSpec) }},
		"rbd.child_attach":           {8, 0, func() codec { return new(ChildSpec) }},
		"rbd.image_group_add":        {0, 0, func() codec { return new(GroupSpec) }},
		"rbd.object_map_save":        {0, 0, func() codec { return new(BitVector) }},
		"rbd.trash_add":              {4 + 12, 0, func() codec { return new(TrashSpec) }},
		"rbd.object_map_snap_remove": {0, 0, func() codec { return new(BitVector) }},
	}
	results := map[string]func() codec{
		"rbd.parent_get":      func() codec { return new(ParentSpec) },
		"rbd.snapshot_get":    func() codec { return new(SnapInfo) },
		"rbd.image_group_get": func() codec { return new(GroupSpec) },
		"rbd.object_map_load": func() codec { return new(BitVector) },
		"rbd.trash_get":       func() codec { return new(TrashSpec) },
	}
	seen := map[string]int{}
	check := func(what string, b []byte, v codec) {
		seen[what]++
		if err := wire.Unmarshal(b, v); err != nil {
			t.Errorf("%s %x: %v", what, b, err)
		} else if got := wire.Marshal(v); !bytes.Equal(got, b) {
			t.Errorf("%s: %x encoded as %x", what, b, got)
		}
	}
	for _, c := range lines[call](t, "calls.jsonl") {
		if a, ok := args[c.Method]; ok {
			in := unhex(t, c.In)
			check(c.Method+" in", in[a.skip:len(in)-a.tail], a.v())
		}
		if r, ok := results[c.Method]; ok && c.Result >= 0 {
			check(c.Method+" out", unhex(t, c.Out), r())
		}
		if c.Method == "rbd.snapshot_add" { // name, id, namespace
			d := wire.NewDecoder(unhex(t, c.In))
			d.Str()
			d.U64()
			check("rbd.snapshot_add in", d.Raw(d.Left()), new(SnapNamespace))
		}
	}
	if len(seen) != len(args)+len(results)+1 {
		t.Errorf("some calls are missing: %v", seen)
	}
}

// TestSnapshots looks at the values of captured snapshots.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	types := map[SnapType]string{}
	for _, c := range lines[call](t, "calls.jsonl") {
		var s SnapInfo
		if c.Method != "rbd.snapshot_get" {
			continue
		}
		if err := wire.Unmarshal(unhex(t, c.Out), &s); err != nil {
			t.Fatal(err)
		}
		types[s.Namespace.Type] = fmt.Sprintf("%d %d %d %q %q", s.ID, s.Size, s.Children, s.Name, s.Namespace.Trash.Name)
	}
	for typ, want := range map[SnapType]string{
		SnapUser:    `8 16777216 0 "s1" ""`,
		SnapTrashed: `6 10000000 1 "60bd71a3-89c6-4790-b6f8-f532bb37e5ee" "s"`,
		SnapMirror:  `10 16777216 0 ".mirror.primary.f26eb9a5-2662-47da-a0fe-9b1c9bbef9ac.972050ed-b3e5-499b-9812-184af4458ba5" ""`,
	} {
		if types[typ] != want {
			t.Errorf("%v: %s, want %s", typ, types[typ], want)
		}
	}
}

// TestObjectMaps reads object maps as stock OSDs stored them.
func TestObjectMaps(t *testing.T) {
	t.Parallel()
	want := map[string][]uint8{
		ObjectMapName("3759cace2e2d", HeadSnap): {1, 3, 0, 3},
		ObjectMapName("3759cace2e2d", 4):        {1, 1, 0, 0},
		ObjectMapName("3759cace2e2d", 5):        {1, 3, 0, 1},
		ObjectMapName("375b52a95230", HeadSnap): {1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	found := 0
	for _, o := range lines[struct{ Object, Data string }](t, "objectmaps.jsonl") {
		var v BitVector
		b := unhex(t, o.Data)
		if err := wire.Unmarshal(b, &v); err != nil {
			t.Errorf("%s: %v", o.Object, err)
			continue
		}
		var e wire.Encoder
		if v.EncodeDisk(&e); !bytes.Equal(e.Bytes(), b) {
			t.Errorf("%s: %x encoded as %x", o.Object, b, e.Bytes())
		}
		for i := range b[18:] { // whatever changes after the header's length is noticed
			bad := bytes.Clone(b)
			bad[18+i] ^= 0x80
			if wire.Unmarshal(bad, new(BitVector)) == nil {
				t.Errorf("%s: byte %d changed and nobody noticed", o.Object, 18+i)
			}
		}
		if w, ok := want[o.Object]; ok {
			found++
			if v.Len() != uint64(len(w)) {
				t.Errorf("%s: %d elements", o.Object, v.Len())
				continue
			}
			for i, x := range w {
				if v.Get(uint64(i)) != x {
					t.Errorf("%s: object %d is %d, want %d", o.Object, i, v.Get(uint64(i)), x)
				}
			}
		}
	}
	if found != len(want) {
		t.Errorf("%d of %d object maps", found, len(want))
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range lines[call](f, "calls.jsonl") {
		f.Add(unhex(f, c.In))
		f.Add(unhex(f, c.Out))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []codec{new(SnapNamespace), new(SnapInfo), new(ParentSpec), new(ChildSpec), new(GroupSpec), new(TrashSpec), new(BitVector)} {
			if wire.Unmarshal(b, v) != nil {
				continue
			}
			again := wire.Marshal(v)
			if err := wire.Unmarshal(again, v); err != nil {
				t.Fatalf("%T: %x decodes, its encoding %x does not: %v", v, b, again, err)
			}
			if third := wire.Marshal(v); !bytes.Equal(again, third) {
				t.Fatalf("%T: %x, then %x", v, again, third)
			}
		}
	})
}
