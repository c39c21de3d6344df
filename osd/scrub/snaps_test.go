package scrub

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
)

func (c *Checker) text() []string {
	var out []string
	for _, b := range c.Bad {
		out = append(out, fmt.Sprintf("%s@%x [%v] extra %v missing %v", b.ID.Name, uint64(b.ID.Snap), b.Errors, b.Extra, b.Missing))
	}
	return append(out, fmt.Sprintf("%d errors, %+v", c.Shallow, c.Sums))
}

func TestSnaps(t *testing.T) {
	t.Parallel()
	a, b := head("a"), head("b")
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	withClones := obj(a, 9, 8, "ss=q6 2:10:4 4:10:0 6:8:8")
	c2, c4, c6 := obj(a.At(2), 1, 10), obj(a.At(4), 3, 10), obj(a.At(6), 5, 8)
	sums := "{Objects:4 Clones:3 Whiteouts:0 Omap:0 Bytes:20}"
	for _, c := range []struct {
		name    string
		objects []Object
		want    []string
	}{
		{"none", nil, []string{"0 errors, {Objects:0 Clones:0 Whiteouts:0 Omap:0 Bytes:0}"}},
		{"all there", []Object{c2, c4, c6, withClones}, []string{"0 errors, " + sums}},
		{"no snapshots", []Object{obj(a, 1, 3), obj(b, 1, 4).but(func(o *Object) { o.Attrs[AttrInfo] = []byte("v1 s4 omap") })},
			[]string{"0 errors, {Objects:2 Clones:0 Whiteouts:0 Omap:1 Bytes:7}"}},
		{"a whiteout", []Object{obj(a.At(2), 1, 10), obj(a, 1, 0, "ss=q2 2:10:10").but(func(o *Object) { o.Attrs[AttrInfo] = []byte("v1 s0 whiteout") })},
			[]string{"0 errors, {Objects:2 Clones:1 Whiteouts:1 Omap:0 Bytes:10}"}},
		{"a clone is missing", []Object{c2, c6, withClones},
			[]string{"A@H [clone_missing] extra [] missing [4]", "1 errors, {Objects:3 Clones:2 Whiteouts:0 Omap:0 Bytes:20}"}},
		{"the oldest and the newest are missing", []Object{c4, withClones},
			[]string{"A@H [clone_missing] extra [] missing [6 2]", "2 errors, {Objects:2 Clones:1 Whiteouts:0 Omap:0 Bytes:8}"}},
		{"an extra clone", []Object{c2, c4, obj(a.At(5), 1, 3), c6, withClones},
			[]string{"A@H [extra_clones] extra [5] missing []", "A@5 [headless] extra [] missing []", "1 errors, " + sums}},
		{"headless clones", []Object{c2, c4, obj(b, 1, 0)},
			[]string{"A@4 [headless] extra [] missing []", "A@2 [headless] extra [] missing []", "2 errors, {Objects:1 Clones:0 Whiteouts:0 Omap:0 Bytes:0}"}},
		{"headless at the end", []Object{obj(b.At(3), 1, 3)},
			[]string{"B@3 [headless] extra [] missing []", "1 errors, {Objects:0 Clones:0 Whiteouts:0 Omap:0 Bytes:0}"}},
		{"a clone of another size", []Object{obj(a.At(2), 1, 9), c4, c6, withClones},
			[]string{"A@H [] extra [] missing []", "A@2 [size_mismatch] extra [] missing []", "1 errors, " + sums}},
		{"a clone that is not as large as it says", []Object{c2.but(func(o *Object) { o.Size = 3 }), c4, c6, withClones},
			[]string{"A@H [] extra [] missing []", "A@2 [size_mismatch] extra [] missing []", "1 errors, " + sums}},
		{"a clone without info", []Object{c2.but(func(o *Object) { delete(o.Attrs, AttrInfo) }), c4, c6, withClones},
			[]string{"A@H [] extra [] missing []", "A@2 [info_missing] extra [] missing []", "1 errors, " + sums}},
		{"a corrupt head", []Object{obj(a, 1, 0).but(func(o *Object) { o.Attrs[AttrInfo] = []byte("?") })},
			[]string{"A@H [info_missing,info_corrupted] extra [] missing []", "1 errors, {Objects:1 Clones:0 Whiteouts:0 Omap:0 Bytes:0}"}},
		{"a corrupt set", []Object{c2, obj(a, 1, 0, "ss=?")},
			[]string{"A@H [snapset_corrupted,extra_clones] extra [2] missing []", "A@2 [headless] extra [] missing []", "2 errors, {Objects:1 Clones:0 Whiteouts:0 Omap:0 Bytes:0}"}},
		{"a set that is gone", []Object{c2, c4, obj(a, 1, 0)},
			[]string{"A@H [snapset_missing,extra_clones] extra [4 2] missing []", "A@4 [headless] extra [] missing []", "A@2 [headless] extra [] missing []",
				"3 errors, {Objects:1 Clones:0 Whiteouts:0 Omap:0 Bytes:0}"}},
		{"no sequence", []Object{obj(a.At(2), 1, 1), obj(a, 1, 0, "ss=q0 2:1:1")},
			[]string{"A@H [snapset_error] extra [] missing []", "1 errors, {Objects:2 Clones:1 Whiteouts:0 Omap:0 Bytes:1}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := slices.Clone(c.want)
			for i := range want {
				want[i] = strings.NewReplacer("A@H", a.Name+fmt.Sprintf("@%x", uint64(object.NoSnap)), "A@", a.Name+"@", "B@", b.Name+"@").Replace(want[i])
			}
			// Wherever chunks end, the outcome is the same.
			for cut := range len(c.objects) + 1 {
				k := NewChecker("scrub", testPG, plain{})
				k.Add(c.objects[:cut], false)
				k.Add(c.objects[cut:], true)
				lines(t, fmt.Sprintf("cut at %d", cut), k.text(), want...)
			}
		})
	}
}

func TestSnapLines(t *testing.T) {
	t.Parallel()
	a := head("a")
	k := NewChecker("deep-scrub", testPG, plain{})
	k.Add([]Object{obj(a.At(3), 1, 7), obj(a.At(4), 1, 6), obj(a, 9, 8, "ss=q5 2:10:4 4:5:0 5:8:8")}, true)
	var got []string
	for _, l := range k.Lines {
		got = append(got, l.Text)
	}
	lines(t, "log", got,
		"deep-scrub 1.0 1:18137794:::a:head : expected clone 1:18137794:::a:5 {} missing",
		"deep-scrub 1.0 1:18137794:::a:4 : size 6 != clone_size 5",
		"deep-scrub 1.0 1:18137794:::a:3 : is an unexpected clone",
		"deep-scrub 1.0 1:18137794:::a:head : expected clone 1:18137794:::a:2 {} missing",
		"deep-scrub 1.0 1:18137794:::a:head : 2 missing clone(s)")
}
