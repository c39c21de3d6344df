package crush

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// TreeItem is a line of a tree: a bucket or a device where it hangs.
type TreeItem struct {
	ID       int32
	Parent   int32 // 0: none
	Depth    int
	Weight   float64
	Children []int32 // of a bucket, last first, as Ceph lists them
}

// TreeView describes a walk over the map, depth first, the children of a bucket
// sorted by class and name (CrushTreeDumper).
type TreeView struct {
	Map     *Map
	Root    string // name of the bucket to begin at; empty: all roots
	Shadows bool   // the shadow trees too
	// Leaf says which devices are of interest. With it, buckets without any
	// are left out.
	Leaf func(device int32) bool
	// PoolName names the pool of a weight set, where there is one.
	PoolName func(pool int64) (string, bool)
}

// Walk calls visit for each item; it returns the items that were visited.
func (t *TreeView) Walk(visit func(TreeItem)) map[int32]bool {
	roots := t.Map.Roots(t.Shadows)
	if t.Root != "" {
		roots = nil
		if id, ok := t.Map.ItemID(t.Root); ok {
			roots = []int32{id}
		}
	}
	seen := map[int32]bool{}
	for _, id := range roots {
		if t.wanted(id) {
			w := 0.0
			if b := t.Map.Bucket(id); b != nil {
				w = weightFloat(b.Weight)
			}
			t.walk(TreeItem{ID: id, Weight: w}, seen, visit)
		}
	}
	return seen
}

func (t *TreeView) walk(item TreeItem, seen map[int32]bool, visit func(TreeItem)) {
	seen[item.ID] = true
	b := t.Map.Bucket(item.ID)
	if b == nil {
		visit(item)
		return
	}
	type child struct {
		sort string
		TreeItem
	}
	var kids []child
	for i, id := range b.Items {
		if !t.wanted(id) {
			continue
		}
		sort := "_" + t.Map.ItemName(id)
		if id >= 0 {
			sort = fmt.Sprintf("%s_osd.%08d", t.Map.ClassOf(id), id)
		}
		kids = append(kids, child{sort, TreeItem{ID: id, Parent: item.ID, Depth: item.Depth + 1, Weight: weightFloat(b.ItemWeightAt(i))}})
	}
	slices.SortStableFunc(kids, func(a, b child) int { return cmp.Compare(a.sort, b.sort) })
	for _, k := range slices.Backward(kids) {
		item.Children = append(item.Children, k.ID)
	}
	visit(item)
	for _, k := range kids {
		t.walk(k.TreeItem, seen, visit)
	}
}

func (t *TreeView) wanted(id int32) bool {
	if t.Leaf == nil {
		return true
	}
	if b := t.Map.Bucket(id); b != nil {
		return slices.ContainsFunc(b.Items, t.wanted)
	}
	return t.Leaf(id)
}

// setName is how a weight set is called in a tree.
func (t *TreeView) setName(key int64) string {
	if key == DefaultChooseArgs {
		return "(compat)"
	}
	if t.PoolName != nil {
		if n, ok := t.PoolName(key); ok {
			return n
		}
	}
	return strconv.FormatInt(key, 10)
}

// setWeights returns an item's weights in a weight set, one per position; nil
// if its bucket is not in the set.
func (t *TreeView) setWeights(key int64, item TreeItem) []float64 {
	b := t.Map.Bucket(item.Parent)
	args := t.Map.ChooseArgs[key]
	if b == nil || len(args) == 0 {
		return nil
	}
	i := b.Index(item.ID)
	var w []float64
	for _, set := range args[-1-b.ID].WeightSet {
		w = append(w, weightFloat(set[i]))
	}
	return w
}

// DumpItem writes the fields of an item into the open object.
func (t *TreeView) DumpItem(f *jsonfmt.Formatter, item TreeItem) {
	t.dumpFields(f, item)
	t.dumpChildren(f, item)
}

func (t *TreeView) dumpFields(f *jsonfmt.Formatter, item TreeItem) {
	f.Int("id", int64(item.ID))
	if c := t.Map.ClassOf(item.ID); c != "" {
		f.Str("device_class", c)
	}
	if b := t.Map.Bucket(item.ID); b != nil {
		f.Str("name", t.Map.ItemName(item.ID))
		f.Str("type", t.Map.typeName(int32(b.Type)))
		f.Int("type_id", int64(b.Type))
	} else {
		f.Str("name", "osd."+strconv.Itoa(int(item.ID)))
		f.Str("type", t.Map.typeName(0))
		f.Int("type_id", 0)
		f.Float("crush_weight", item.Weight)
		f.Uint("depth", uint64(item.Depth))
	}
	if item.Parent == 0 {
		return
	}
	f.OpenObject("pool_weights")
	for _, key := range slices.Sorted(maps.Keys(t.Map.ChooseArgs)) {
		if w := t.setWeights(key, item); w != nil {
			f.OpenArray(t.setName(key))
			for _, v := range w {
				f.Float("weight", v)
			}
			f.Close()
		}
	}
	f.Close()
}

func (t *TreeView) dumpChildren(f *jsonfmt.Formatter, item TreeItem) {
	if item.ID >= 0 {
		return
	}
	f.OpenArray("children")
	for _, c := range item.Children {
		f.Int("child", int64(c))
	}
	f.Close()
}

// Dump writes the fields of `ceph osd crush tree -f json` into the open object.
func (t *TreeView) Dump(f *jsonfmt.Formatter) {
	var seen map[int32]bool
	f.Array("nodes", func() {
		seen = t.Walk(func(i TreeItem) { f.Object("item", func() { t.DumpItem(f, i) }) })
	})
	f.Array("stray", func() {
		for _, id := range slices.Sorted(maps.Keys(t.Map.Names)) {
			if id >= 0 && !seen[id] && t.wanted(id) {
				f.Object("item", func() { t.DumpItem(f, TreeItem{ID: id}) })
			}
		}
	})
}

// DumpWith is DumpItem with further fields for devices, as in `ceph osd tree`.
func (t *TreeView) DumpWith(f *jsonfmt.Formatter, item TreeItem, more func()) {
	t.DumpWithAll(f, item, func() {
		if item.ID >= 0 {
			more()
		}
	})
}

// DumpWithAll is DumpWith for buckets too, as in `ceph osd df`.
func (t *TreeView) DumpWithAll(f *jsonfmt.Formatter, item TreeItem, more func()) {
	t.dumpFields(f, item)
	more()
	t.dumpChildren(f, item)
}

// Label is how an item is shown in the column TYPE NAME.
func (t *TreeView) Label(item TreeItem) string {
	s := strings.Repeat("    ", item.Depth)
	if item.ID < 0 {
		return s + t.Map.TypeName(item.ID) + " " + t.Map.ItemName(item.ID)
	}
	return s + "osd." + strconv.Itoa(int(item.ID))
}

// Text is what `ceph osd crush tree` prints.
func (t *TreeView) Text() string {
	var table jsonfmt.Table
	table.Column("ID", jsonfmt.Right)
	table.Column("CLASS", jsonfmt.Right)
	table.Column("WEIGHT", jsonfmt.Right)
	keys := slices.Sorted(maps.Keys(t.Map.ChooseArgs))
	for _, key := range keys {
		table.Column(t.setName(key), jsonfmt.Right)
	}
	table.Column("TYPE NAME", jsonfmt.Left)
	t.Walk(func(i TreeItem) {
		row := []string{strconv.Itoa(int(i.ID)), t.Map.ClassOf(i.ID), jsonfmt.Weight(i.Weight)}
		for _, key := range keys {
			cell := ""
			if w := t.setWeights(key, i); w != nil {
				cell = jsonfmt.Weight(w[0])
			}
			row = append(row, cell)
		}
		table.Row(append(row, t.Label(i))...)
	})
	return table.String()
}
