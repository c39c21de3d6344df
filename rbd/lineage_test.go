package rbd

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/clsrbd"
)

// TestLineage follows a header through changes of this client and of others, and
// asks after each, of every version that was ever read, what is known since.
func TestLineage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLineage()
		type change struct {
			version uint64
			snap    uint64
			ours    bool
		}
		version := rapid.Uint64Range(1, 1000).Draw(t, "version")
		read := version // by the last header
		var changes []change
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1: // ours: the version that is asserted is right, or there is no link
				snap := clsrbd.HeadSnap - rapid.Uint64Range(0, 3).Draw(t, "snap")
				next := version + rapid.Uint64Range(1, 5).Draw(t, "more")
				ours := l.newest(read) == version
				if ours {
					l.add(link{version, next, snap})
				}
				version, changes = next, append(changes, change{next, snap, ours})
			case 2:
				version += rapid.Uint64Range(1, 5).Draw(t, "more")
				changes = append(changes, change{version: version})
			case 3:
				read = version
				l.forget(read)
			}
			want, wantOK := []uint64{}, true
			for _, c := range changes {
				if c.version > read {
					want, wantOK = append(want, c.snap), wantOK && c.ours
				}
			}
			got, ok := l.between(read, version)
			if ok != wantOK {
				t.Fatalf("from %d to %d: known is %v, want %v; %+v", read, version, ok, wantOK, l.links)
			}
			if ok && !slices.Equal(slices.Compact(got), slices.Compact(want)) {
				t.Fatalf("from %d to %d: %v changed, want %v", read, version, got, want)
			}
			if len(l.links) > 0 && l.links[0].from < read {
				t.Fatalf("%+v are kept, %d was read", l.links, read)
			}
		}
	})
}

// TestLineageUnknown has versions that nobody knows.
func TestLineageUnknown(t *testing.T) {
	t.Parallel()
	l := newLineage()
	if v := l.newest(0); v != 0 {
		t.Errorf("newest is %d", v)
	}
	l.add(link{7, 7, 1}) // changed nothing
	l.add(link{7, 9, clsrbd.HeadSnap})
	l.add(link{9, 10, clsrbd.HeadSnap})
	if want := []link{{7, 10, clsrbd.HeadSnap}}; !slices.Equal(l.links, want) {
		t.Errorf("links are %v, want %v", l.links, want)
	}
	for _, v := range [][2]uint64{{0, 0}, {0, 10}, {7, 0}, {8, 10}, {7, 9}, {7, 11}, {10, 7}} {
		if changed, ok := l.between(v[0], v[1]); ok {
			t.Errorf("%v: %v is all that changed", v, changed)
		}
	}
}

// TestInherit takes over what has not changed.
func TestInherit(t *testing.T) {
	t.Parallel()
	named := func(ids ...uint64) (out []snapshot) {
		for _, id := range ids {
			out = append(out, snapshot{SnapInfo: clsrbd.SnapInfo{ID: id, Name: fmt.Sprint("of old ", id)}})
		}
		return out
	}
	l := newLineage()
	l.add(link{5, 6, 9}) // added
	l.add(link{6, 8, 2}) // renamed
	l.add(link{8, 9, 1}) // removed
	old := &header{version: 5, snaps: named(1, 2, 3, 4)}
	for _, tt := range []struct {
		version uint64
		ids     []uint64 // newest first, as the header has them
		want    []snapshot
	}{
		{5, []uint64{4, 3, 2, 1}, named(1, 2, 3, 4)},
		{6, []uint64{9, 4, 3, 2, 1}, named(1, 2, 3, 4)},
		{8, []uint64{9, 4, 3, 2, 1}, named(1, 3, 4)},
		{9, []uint64{9, 4, 3, 2}, named(3, 4)},
		{10, []uint64{9, 4, 3, 2}, nil},
		{0, []uint64{4, 3, 2, 1}, nil},
	} {
		h := &header{version: tt.version}
		h.snapc.Snaps = tt.ids
		h.inherit(old, l)
		if !slices.EqualFunc(h.snaps, tt.want, func(a, b snapshot) bool { return a.ID == b.ID && a.Name == b.Name }) {
			t.Errorf("version %d: %+v, want %+v", tt.version, h.snaps, tt.want)
		}
	}
	if len(old.snaps) != 4 || old.snaps[1].ID != 2 {
		t.Errorf("the old header was changed: %+v", old.snaps)
	}
}
