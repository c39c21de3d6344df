package recovery

import (
	"cmp"
	"slices"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/extent"
)

// Lineage is all versions of an object, the clones ascending and the head, if
// there is one, last.
type Lineage []Link

// Link is one version of an object.
type Link struct {
	Snap    object.SnapID // object.NoSnap: the head
	Size    uint64
	Overlap extent.Set // bytes that the next newer version has unchanged
}

// Plan says how the i-th version comes to where some others are: which bytes must
// travel, and which are taken from there (calc_clone_subsets and
// calc_head_subsets). there tells which are at the destination, just as they are
// here.
//
// What versions have in common is in a run of them without gaps, so the nearest
// older and the nearest newer one that are there have all that any has. So if one
// version is sent after the other, each byte travels once.
//
// At most limit runs of bytes are taken from elsewhere, the longest ones; a
// negative limit means no limit (osd_recover_clone_overlap_limit; Ceph takes none
// at all if there are more).
func (l Lineage) Plan(i int, there func(snap object.SnapID) bool, limit int) (bytes extent.Set, borrows []Borrow) {
	bytes = extent.Of(0, l[i].Size)
	take := func(from int, common extent.Set) {
		if common = common.Intersect(bytes); len(common) > 0 {
			borrows = append(borrows, Borrow{l[from].Snap, common})
			bytes = bytes.Subtract(common)
		}
	}
	for j, common := i-1, bytes; j >= 0; j-- {
		common = common.Intersect(l[j].Overlap)
		if there(l[j].Snap) {
			take(j, common)
			break
		}
	}
	for j, common := i+1, extent.Of(0, l[i].Size); j < len(l); j++ {
		common = common.Intersect(l[j-1].Overlap)
		if there(l[j].Snap) {
			take(j, common)
			break
		}
	}
	if limit >= 0 {
		borrows = longest(borrows, limit)
		bytes = extent.Of(0, l[i].Size)
		for _, b := range borrows {
			bytes = bytes.Subtract(b.Bytes)
		}
	}
	return bytes, borrows
}

// longest leaves so many runs of what there is to borrow.
func longest(borrows []Borrow, limit int) []Borrow {
	type run struct {
		extent.Span
		from int
	}
	var all []run
	for i, b := range borrows {
		for _, s := range b.Bytes {
			all = append(all, run{s, i})
		}
	}
	if len(all) <= limit {
		return borrows
	}
	slices.SortStableFunc(all, func(a, b run) int { return cmp.Compare(b.End-b.Off, a.End-a.Off) })
	kept := make([]Borrow, len(borrows))
	for i := range kept {
		kept[i].From = borrows[i].From
	}
	for _, r := range all[:limit] {
		k := &kept[r.from].Bytes
		*k = k.Union(extent.Of(r.Off, r.End-r.Off))
	}
	return slices.DeleteFunc(kept, func(b Borrow) bool { return len(b.Bytes) == 0 })
}
