package crush

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// isShadow reports whether a bucket is the copy of another for a device class.
// Its name, "bucket~class", is one that users cannot give.
func (m *Map) isShadow(id int32) bool { return id < 0 && strings.Contains(m.Names[id], "~") }

// splitShadow returns the bucket and the class that a shadow stands for; of
// another item, the item itself.
func (m *Map) splitShadow(id int32) (item, class int32, shadow bool) {
	name, className, ok := strings.Cut(m.Names[id], "~")
	if !ok {
		return id, 0, false
	}
	item, ok = m.ItemID(name)
	class, ok2 := m.ClassID(className)
	if !ok || !ok2 {
		return id, 0, false
	}
	return item, class, true
}

// holders yields the buckets that hold an item, shadows among them.
func (m *Map) holders(item int32) iter.Seq[*Bucket] {
	return func(yield func(*Bucket) bool) {
		for _, b := range m.Buckets {
			if b != nil && b.Index(item) >= 0 && !yield(b) {
				return
			}
		}
	}
}

// InTree reports whether a bucket holds the item.
func (m *Map) InTree(item int32) bool {
	for range m.holders(item) {
		return true
	}
	return false
}

// Parent returns the bucket that holds an item, shadows aside.
func (m *Map) Parent(item int32) (int32, bool) {
	for b := range m.holders(item) {
		if !m.isShadow(b.ID) {
			return b.ID, true
		}
	}
	return 0, false
}

// Roots returns the buckets that no other holds, in ascending order of id.
func (m *Map) Roots(shadows bool) []int32 {
	held := map[int32]bool{}
	for _, b := range m.Buckets {
		if b != nil {
			for _, item := range b.Items {
				held[item] = true
			}
		}
	}
	var roots []int32
	for i := len(m.Buckets) - 1; i >= 0; i-- {
		if id := int32(-1 - i); m.Buckets[i] != nil && !held[id] && (shadows || !m.isShadow(id)) {
			roots = append(roots, id)
		}
	}
	return roots
}

// Contains reports whether item is root or below it.
func (m *Map) Contains(root, item int32) bool {
	if root == item {
		return true
	}
	if b := m.Bucket(root); b != nil {
		return slices.ContainsFunc(b.Items, func(i int32) bool { return m.Contains(i, item) })
	}
	return false
}

// Leaves returns the devices at or below an item.
func (m *Map) Leaves(item int32) []int32 {
	if item >= 0 {
		return []int32{item}
	}
	var leaves []int32
	if b := m.Bucket(item); b != nil {
		for _, i := range b.Items {
			leaves = append(leaves, m.Leaves(i)...)
		}
	}
	return leaves
}

// TypeName returns the name of the type of an item.
func (m *Map) TypeName(item int32) string { return m.typeName(m.itemType(item)) }

// Location returns where an item is, by type: its chain of buckets up to the
// root (get_full_location).
func (m *Map) Location(item int32) map[string]string {
	loc := map[string]string{}
	for {
		parent, ok := m.Parent(item)
		if !ok {
			return loc
		}
		loc[m.TypeName(parent)] = m.ItemName(parent)
		item = parent
	}
}

// ParentOfType returns the bucket of a type above an item.
func (m *Map) ParentOfType(item, typ int32) (int32, bool) {
	for {
		parent, ok := m.Parent(item)
		if !ok {
			return 0, false
		}
		if m.itemType(parent) == typ {
			return parent, true
		}
		item = parent
	}
}

// ItemWeight returns the weight of an item: of a bucket its own, of a device
// that which the first bucket has for it.
func (m *Map) ItemWeight(item int32) (uint32, bool) {
	if b := m.Bucket(item); b != nil {
		return b.Weight, true
	}
	for b := range m.holders(item) {
		return b.ItemWeightAt(b.Index(item)), true
	}
	return 0, false
}

// HasIncompatChooseArgs reports whether clients from before luminous, which
// know one weight set at most, and that as the weights of the buckets, cannot
// use the map.
func (m *Map) HasIncompatChooseArgs() bool {
	for key, args := range m.ChooseArgs {
		if key != DefaultChooseArgs {
			return true
		}
		for i := range args {
			if a := &args[i]; !a.IsZero() && (len(a.WeightSet) != 1 || len(a.IDs) > 0) {
				return true
			}
		}
	}
	return false
}

// RulesByClass returns the rules that take a shadow of a class.
func (m *Map) RulesByClass(class string) []int {
	var rules []int
	id, ok := m.ClassID(class)
	if !ok {
		return nil
	}
	for n, r := range m.Rules {
		if r != nil && slices.ContainsFunc(r.Steps, func(s Step) bool {
			_, c, shadow := m.splitShadow(s.Arg1)
			return s.Op == OpTake && shadow && c == id
		}) {
			rules = append(rules, n)
		}
	}
	return rules
}

// DevicesOfClass returns the devices of a class, ascending.
func (m *Map) DevicesOfClass(class string) []int32 {
	id, ok := m.ClassID(class)
	if !ok {
		return nil
	}
	var devs []int32
	for _, item := range slices.Sorted(maps.Keys(m.Classes)) {
		if item >= 0 && m.Classes[item] == id {
			devs = append(devs, item)
		}
	}
	return devs
}
