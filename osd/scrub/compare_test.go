package scrub

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
)

// outcome is a comparison in a line: errors of objects and shards, what is to be
// replaced by what, and the numbers of errors.
func outcome(c *Comparison) string {
	var b strings.Builder
	for _, o := range c.Bad {
		fmt.Fprintf(&b, "%s [%v]", o.ID.Name, o.Errors)
		for _, s := range o.Shards {
			mark := ""
			if s.Primary {
				mark += "p"
			}
			if s.Selected {
				mark += "*"
			}
			fmt.Fprintf(&b, " %d%s[%v]", s.OSD, mark, s.Errors)
		}
		b.WriteString("; ")
	}
	for _, f := range c.Fixes {
		fmt.Fprintf(&b, "%s %v to %v certain %v; ", f.Object.Name, f.From, f.To, f.Certain)
	}
	fmt.Fprintf(&b, "shallow %d deep %d missing %d inconsistent %d", c.Shallow, c.Deep, c.Missing, c.Inconsistent)
	return b.String()
}

func TestCompare(t *testing.T) {
	t.Parallel()
	a := obj(head("a"), 5, 4, "_x=1")
	flipped := a.but(func(o *Object) { o.Data.CRC++ })
	unread := a.but(func(o *Object) { o.ReadError, o.Data, o.Omap = true, Digest{}, Digest{} })
	none := (*Object)(nil)
	for _, c := range []struct {
		name   string
		copies []*Object // of OSDs 0, 1, ...; 0 is the primary
		want   string
	}{
		{"all the same", []*Object{&a, &a, &a}, "shallow 0 deep 0 missing 0 inconsistent 0"},
		{"one copy, sound", []*Object{&a}, "shallow 0 deep 0 missing 0 inconsistent 0"},
		{"one copy, unreadable", []*Object{&unread}, "a [] 0p[read_error]; shallow 0 deep 1 missing 0 inconsistent 0"},
		{"a replica cannot be read", []*Object{&a, &unread, &a},
			"a [] 0p*[] 1[read_error] 2[]; a [0 2] to [1] certain true; shallow 0 deep 1 missing 0 inconsistent 1"},
		{"the primary cannot be read", []*Object{&unread, &a},
			"a [] 0p[read_error] 1*[]; a [1] to [0] certain true; shallow 0 deep 1 missing 0 inconsistent 1"},
		{"missing at a replica", []*Object{&a, none, &a},
			"a [] 0p*[] 1[missing] 2[]; a [0 2] to [1] certain true; shallow 1 deep 0 missing 1 inconsistent 0"},
		{"missing at the primary", []*Object{none, &a},
			"a [] 0p[missing] 1*[]; a [1] to [0] certain true; shallow 1 deep 0 missing 1 inconsistent 0"},
		{"missing at most", []*Object{none, &a, none},
			"a [] 0p[missing] 1*[] 2[missing]; a [1] to [0 2] certain false; shallow 2 deep 0 missing 1 inconsistent 0"},
		{"different data, outvoted", []*Object{&flipped, &a, &a},
			"a [data_digest_mismatch] 0p[] 1*[] 2[]; a [1 2] to [0] certain true; shallow 0 deep 1 missing 0 inconsistent 1"},
		{"different data, no majority", []*Object{&flipped, &a},
			"a [data_digest_mismatch] 0p*[] 1[]; a [0] to [1] certain false; shallow 0 deep 1 missing 0 inconsistent 1"},
		{"different omap", []*Object{&a, ptr(a.but(func(o *Object) { o.Omap.CRC++ })), &a},
			"a [omap_digest_mismatch] 0p*[] 1[] 2[]; a [0 2] to [1] certain true; shallow 0 deep 1 missing 0 inconsistent 1"},
		{"an attribute's value", []*Object{&a, ptr(a.but(func(o *Object) { o.Attrs["_x"] = []byte("2") })), &a},
			"a [attr_value_mismatch] 0p*[] 1[] 2[]; a [0 2] to [1] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"an attribute's name", []*Object{&a, ptr(a.but(func(o *Object) { delete(o.Attrs, "_x"); o.Attrs["_z"] = nil })), &a},
			"a [attr_name_mismatch] 0p*[] 1[] 2[]; a [0 2] to [1] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"cut short", []*Object{&a, ptr(a.but(func(o *Object) { o.Size = 2 }))},
			"a [size_mismatch] 0p*[] 1[size_mismatch_info,obj_size_info_mismatch]; a [0] to [1] certain true; shallow 2 deep 0 missing 0 inconsistent 1"},
		{"no info", []*Object{ptr(a.but(func(o *Object) { delete(o.Attrs, AttrInfo) })), &a},
			"a [] 0p[info_missing] 1*[]; a [1] to [0] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"a corrupt info", []*Object{&a, ptr(a.but(func(o *Object) { o.Attrs[AttrInfo] = []byte("?") }))},
			"a [] 0p*[] 1[info_corrupted]; a [0] to [1] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"an older version", []*Object{ptr(obj(a.ID, 4, 4, "_x=1")), &a},
			"a [object_info_inconsistency] 0p[] 1*[]; a [1] to [0] certain false; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"a stat error", []*Object{&a, {ID: a.ID, StatError: true}},
			"a [] 0p*[] 1[stat_error]; a [0] to [1] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"a corrupt set of clones", []*Object{&a, ptr(a.but(func(o *Object) { o.Attrs[AttrSnaps] = []byte("?") }))},
			"a [] 0p*[] 1[snapset_corrupted]; a [0] to [1] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"a lost set of clones", []*Object{ptr(obj(a.ID, 5, 4, "_x=1", "ss=q3")), &a},
			"a [] 0p*[] 1[snapset_missing]; a [0] to [1] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"a lost set of clones, of the primary", []*Object{&a, ptr(obj(a.ID, 5, 4, "_x=1", "ss=q3"))},
			"a [] 0p[snapset_missing] 1*[]; a [1] to [0] certain true; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"a set of clones that a newer version has not", []*Object{ptr(obj(a.ID, 6, 4, "_x=1")), ptr(obj(a.ID, 5, 4, "_x=1", "ss=q3"))},
			"a [object_info_inconsistency,snapset_inconsistency] 0p*[] 1[]; a [0] to [1] certain false; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"another set of clones", []*Object{ptr(obj(a.ID, 5, 4, "_x=1", "ss=q3")), ptr(obj(a.ID, 5, 4, "_x=1", "ss=q4"))},
			"a [snapset_inconsistency] 0p*[] 1[]; a [0] to [1] certain false; shallow 1 deep 0 missing 0 inconsistent 1"},
		{"no info, beside what cannot be read at all", []*Object{&a, ptr(a.but(func(o *Object) { delete(o.Attrs, AttrInfo) })), {ID: a.ID, StatError: true}},
			"a [] 0p*[] 1[info_missing] 2[stat_error,info_missing]; a [0] to [1 2] certain true; shallow 2 deep 0 missing 0 inconsistent 1"},
		{"a lost set of clones, beside what cannot be read at all",
			[]*Object{ptr(obj(a.ID, 5, 4, "_x=1", "ss=q3")), &a, {ID: a.ID, StatError: true}},
			"a [] 0p*[] 1[snapset_missing] 2[stat_error,snapset_missing]; a [0] to [1 2] certain true; shallow 2 deep 0 missing 0 inconsistent 1"},
		{"no copy is sound", []*Object{&unread, none, {ID: a.ID, StatError: true}},
			"a [] 0p[read_error] 1[missing] 2[stat_error]; shallow 2 deep 1 missing 0 inconsistent 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var copies []Copy
			for i, o := range c.copies {
				m := &Map{}
				if o != nil {
					m.Objects = []Object{*o}
				}
				copies = append(copies, Copy{int32(i), m})
			}
			if got := outcome(Compare(testPG, copies, plain{})); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func ptr(o Object) *Object { return &o }

// The lines are those of a stock OSD.
func TestLines(t *testing.T) {
	t.Parallel()
	a := obj(head("a"), 5, 4)
	c := Compare(testPG, []Copy{
		{2, &Map{Objects: []Object{a}}},
		{0, &Map{Objects: []Object{a.but(func(o *Object) { o.Data.CRC = 0xbeef })}}},
		{1, &Map{Objects: []Object{a.but(func(o *Object) { o.ReadError, o.Data = true, Digest{} })}}},
		{3, &Map{}},
	}, plain{})
	lines(t, "log", c.Lines,
		"1.0 shard 1 soid 1:18137794:::a:head : candidate had a read error",
		"1.0 soid 1:18137794:::a:head : data_digest 0xbeef != data_digest 0x4 from shard 2",
		"1.0 shard 3 1:18137794:::a:head : missing")
	if f := c.Fixes[0]; !slices.Equal(f.From, []int32{2}) || !slices.Equal(f.To, []int32{0, 1, 3}) {
		t.Errorf("%+v", f)
	}
}

// A store that cannot list its objects has none that is sound.
func TestUnlistable(t *testing.T) {
	t.Parallel()
	a, b := obj(head("a"), 5, 4), obj(head("b"), 6, 4)
	if a.ID.Compare(b.ID) > 0 {
		a, b = b, a
	}
	c := Compare(testPG, []Copy{{0, &Map{Objects: []Object{a, b}}}, {1, &Map{Unlistable: true}}}, plain{})
	if len(c.Fixes) != 2 || c.Shallow != 2 || c.Bad[0].Shards[1].Errors != ShardStatError {
		t.Errorf("%s", outcome(c))
	}
	if c = Compare(testPG, []Copy{{0, &Map{Unlistable: true}}}, plain{}); c.Shallow != 1 {
		t.Errorf("%s", outcome(c))
	}
}

// Only what is right, or at least the primary's, goes on to be compared with
// clones.
func TestRightCopies(t *testing.T) {
	t.Parallel()
	a := obj(head("a"), 5, 4)
	bad := a.but(func(o *Object) { o.Size = 1 })
	c := Compare(testPG, []Copy{{0, &Map{Objects: []Object{bad}}}, {1, &Map{Objects: []Object{a}}}}, plain{})
	if len(c.Right.Objects) != 1 || c.Right.Objects[0].Size != 4 {
		t.Errorf("%+v", c.Right)
	}
	c = Compare(testPG, []Copy{{0, &Map{Objects: []Object{bad}}}, {1, &Map{Objects: []Object{bad}}}}, plain{})
	if len(c.Right.Objects) != 1 || len(c.Fixes) != 0 {
		t.Errorf("%+v", c)
	}
	if got := (object.ID{}); got == c.Right.Objects[0].ID {
		t.Error("no object")
	}
}
