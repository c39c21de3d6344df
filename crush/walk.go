package crush

import "strings"

// Parent returns the bucket that holds an item; with several, the one of the
// highest id. Shadow buckets do not hold buckets of the tree proper, but they
// do hold its devices, and are passed over for those.
func (m *Map) Parent(item int32) (int32, bool) {
	for _, b := range m.Buckets {
		if b != nil && b.Index(item) >= 0 && !m.isShadow(b.ID) {
			return b.ID, true
		}
	}
	for _, b := range m.Buckets {
		if b != nil && b.Index(item) >= 0 {
			return b.ID, true
		}
	}
	return 0, false
}

// isShadow reports whether a bucket is the copy of another for a device class.
func (m *Map) isShadow(id int32) bool {
	return strings.Contains(m.Names[id], "~")
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
