package osdmap

import (
	"strconv"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Tree is the CRUSH tree with the state of the OSDs in it (`ceph osd tree`).
type Tree struct {
	m    *Map
	tree crush.TreeView
}

// TreeFilter selects the OSDs that a tree shows; empty: all.
type TreeFilter struct{ Up, Down, In, Out, Destroyed bool }

// Tree returns the tree below root, a bucket's name, or all of it.
func (m *Map) Tree(root string, f TreeFilter) *Tree {
	t := &Tree{m: m, tree: crush.TreeView{Map: m.Crush, Root: root, PoolName: func(id int64) (string, bool) {
		n, ok := m.PoolNames[id]
		return n, ok
	}}}
	if f != (TreeFilter{}) {
		t.tree.Leaf = func(o int32) bool {
			return f.Up && m.IsUp(o) || f.Down && m.IsDown(o) || f.In && m.IsIn(o) || f.Out && m.IsOut(o) || f.Destroyed && m.IsDestroyed(o)
		}
	}
	return t
}

func (t *Tree) status(o int32) string {
	switch {
	case t.m.IsUp(o):
		return "up"
	case t.m.IsDestroyed(o):
		return "destroyed"
	}
	return "down"
}

// strays calls visit for the OSDs that exist and are in no bucket.
func (t *Tree) strays(seen map[int32]bool, visit func(crush.TreeItem)) {
	for o := range t.m.MaxOSD {
		if t.m.Exists(o) && !seen[o] && (t.tree.Leaf == nil || t.tree.Leaf(o)) {
			visit(crush.TreeItem{ID: o})
		}
	}
}

// Dump writes the fields of `ceph osd tree -f json` into the open object.
func (t *Tree) Dump(f *jsonfmt.Formatter) {
	item := func(i crush.TreeItem) {
		f.OpenObject("item")
		t.tree.DumpWith(f, i, func() {
			exists := t.m.Exists(i.ID)
			f.Int("exists", b2i(exists))
			f.Str("status", t.status(i.ID))
			if !exists {
				f.Float("reweight", 0)
				f.Float("primary_affinity", 0)
				return
			}
			f.Float("reweight", t.m.WeightOf(i.ID))
			f.Float("primary_affinity", float64(t.m.AffinityOf(i.ID))/AffinityDefault)
		})
		f.Close()
	}
	f.OpenArray("nodes")
	seen := t.tree.Walk(item)
	f.Close()
	if t.tree.Root == "" {
		f.OpenArray("stray")
		t.strays(seen, item)
		f.Close()
	}
}

// Text is what `ceph osd tree` prints.
func (t *Tree) Text() string {
	var table jsonfmt.Table
	table.Column("ID", jsonfmt.Right)
	table.Column("CLASS", jsonfmt.Right)
	table.Column("WEIGHT", jsonfmt.Right)
	table.Column("TYPE NAME", jsonfmt.Left)
	table.Column("STATUS", jsonfmt.Right)
	table.Column("REWEIGHT", jsonfmt.Right)
	table.Column("PRI-AFF", jsonfmt.Right)
	item := func(i crush.TreeItem) {
		row := []string{strconv.Itoa(int(i.ID)), t.m.Crush.ClassOf(i.ID), jsonfmt.Weight(i.Weight), t.tree.Label(i)}
		switch {
		case i.ID < 0:
		case !t.m.Exists(i.ID):
			row = append(row, "DNE", "0")
		default:
			row = append(row, t.status(i.ID), jsonfmt.Weight(t.m.WeightOf(i.ID)), jsonfmt.Weight(float64(t.m.AffinityOf(i.ID))/AffinityDefault))
		}
		table.Row(row...)
	}
	seen := t.tree.Walk(item)
	if t.tree.Root == "" {
		t.strays(seen, item)
	}
	return table.String()
}
