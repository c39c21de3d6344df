package crush

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
)

// Loc says where an item is or shall be: bucket names by type name. Usually a
// bucket or two; those that do not exist are made.
type Loc map[string]string

// ValidName reports whether users may give that name to an item or a class.
func ValidName(s string) bool {
	for _, c := range []byte(s) {
		if !(c == '-' || c == '_' || c == '.' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return s != ""
}

func (l Loc) check() error {
	for t, n := range l {
		if !ValidName(t) || !ValidName(n) {
			return fmt.Errorf("location '%s=%s': %w", t, n, errno.EINVAL)
		}
	}
	return nil
}

// WeightOf makes a weight of a fraction, in single precision as Ceph does.
func WeightOf(f float64) (uint32, error) {
	w := float32(f) * WeightOne
	if !(w >= 0) || w > math.MaxInt32 {
		return 0, fmt.Errorf("weight %v: %w", f, errno.EOVERFLOW)
	}
	return uint32(w), nil
}

// defaultAlg returns the best algorithm that new buckets may use.
func (m *Map) defaultAlg() (Alg, error) {
	for _, a := range []Alg{Straw2, Straw, Tree, List, Uniform} {
		if m.AllowedBucketAlgs&(1<<a) != 0 {
			return a, nil
		}
	}
	return 0, fmt.Errorf("no bucket algorithm is allowed: %w", errno.EINVAL)
}

// AddBucket makes an empty bucket outside of the tree.
func (m *Map) AddBucket(name, typeName string) (int32, error) {
	typ, ok := m.TypeID(typeName)
	if !ok || typ == 0 {
		return 0, fmt.Errorf("type '%s' does not exist: %w", typeName, errno.EINVAL)
	}
	if !ValidName(name) {
		return 0, fmt.Errorf("bucket name '%s': %w", name, errno.EINVAL)
	}
	if _, ok := m.ItemID(name); ok {
		return 0, fmt.Errorf("bucket '%s': %w", name, errno.EEXIST)
	}
	return m.addBucket(name, uint16(typ), nil, nil)
}

func (m *Map) addBucket(name string, typ uint16, items []int32, weights []uint32) (int32, error) {
	alg, err := m.defaultAlg()
	if err != nil {
		return 0, err
	}
	id, err := m.placeBucket(0, alg, typ, items, weights)
	if err != nil {
		return 0, err
	}
	m.Names[id] = name
	if len(items) > 0 {
		for _, args := range m.ChooseArgs {
			sets := make([][]uint32, positions(args))
			for p := range sets {
				sets[p] = slices.Clone(weights)
			}
			args[-1-id].WeightSet = sets
		}
	}
	return id, nil
}

// placeBucket puts a new bucket at an id, 0 for the first that is free.
func (m *Map) placeBucket(id int32, alg Alg, typ uint16, items []int32, weights []uint32) (int32, error) {
	if id == 0 {
		for id = -1; m.Bucket(id) != nil; id-- {
		}
	}
	pos := int(-1 - id)
	if pos < 0 || pos >= maxBuckets {
		return 0, fmt.Errorf("bucket id %d: %w", id, errno.ERANGE)
	}
	if m.Bucket(id) != nil {
		return 0, fmt.Errorf("bucket %d: %w", id, errno.EEXIST)
	}
	// The table grows as Ceph's: its size is part of the encoding.
	n := len(m.Buckets)
	for pos >= n {
		n = max(8, 2*n)
	}
	if n > len(m.Buckets) {
		m.Buckets = append(m.Buckets, make([]*Bucket, n-len(m.Buckets))...)
		for key, args := range m.ChooseArgs {
			m.ChooseArgs[key] = append(args, make([]ChooseArg, n-len(args))...)
		}
	}
	b := &Bucket{ID: id, Alg: alg, Type: typ}
	if err := b.set(slices.Clone(items), slices.Clone(weights), m.StrawCalcVersion); err != nil {
		return 0, err
	}
	m.Buckets[pos] = b
	return id, nil
}

// Bounds of the tables, whatever ids a text or a map asks for. They are far
// above what a cluster has.
const (
	maxBuckets = 1 << 17
	maxDevices = 1 << 18
)

// dropBucket forgets a bucket that nothing refers to any more.
func (m *Map) dropBucket(id int32) {
	m.Buckets[-1-id] = nil
	delete(m.Names, id)
	delete(m.ClassBucket, id)
	delete(m.Classes, id)
	for _, args := range m.ChooseArgs {
		args[-1-id] = ChooseArg{}
	}
}

// addItem appends an item to a bucket, also to its weight sets.
func (m *Map) addItem(b *Bucket, item int32, weight uint32) error {
	if err := b.add(item, weight, m.StrawCalcVersion); err != nil {
		return err
	}
	for _, args := range m.ChooseArgs {
		a := &args[-1-b.ID]
		for p := range a.WeightSet {
			a.WeightSet[p] = append(a.WeightSet[p], weight)
		}
		if a.IDs != nil {
			a.IDs = append(a.IDs, item)
		}
	}
	return nil
}

// removeItem takes an item out of a bucket.
func (m *Map) removeItem(b *Bucket, item int32) error {
	i := b.Index(item)
	if err := b.remove(i, m.StrawCalcVersion); err != nil {
		return err
	}
	for _, args := range m.ChooseArgs {
		a := &args[-1-b.ID]
		for p := range a.WeightSet {
			a.WeightSet[p] = slices.Delete(a.WeightSet[p], i, i+1)
		}
		if a.IDs != nil {
			a.IDs = slices.Delete(a.IDs, i, i+1)
		}
	}
	return nil
}

// setWeight sets what an item weighs in one bucket and carries the sums up to
// the roots; with sets, the weight sets get that weight too. Otherwise they
// keep theirs, and only their sums are carried up.
func (m *Map) setWeight(b *Bucket, item int32, weight uint32, sets bool) error {
	i := b.Index(item)
	if i < 0 {
		return nil
	}
	if err := b.setWeight(i, weight, m.StrawCalcVersion); err != nil {
		return err
	}
	if sets {
		for _, args := range m.ChooseArgs {
			for _, w := range args[-1-b.ID].WeightSet {
				w[i] = weight
			}
		}
	}
	for parent := range m.holders(b.ID) {
		if err := m.setWeight(parent, b.ID, b.Weight, false); err != nil {
			return err
		}
	}
	for _, args := range m.ChooseArgs {
		m.carryWeightSet(args, b)
	}
	return nil
}

// Reweight sets the weight of an item wherever it is. With sets, the weight
// sets follow. It returns in how many places it was found.
func (m *Map) Reweight(item int32, weight uint32, sets bool) (int, error) {
	n := 0
	for b := range m.holders(item) {
		if m.isShadow(b.ID) {
			continue // made anew below
		}
		n++
		if err := m.setWeight(b, item, weight, sets); err != nil {
			return n, err
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("item %d is in no bucket: %w", item, errno.ENOENT)
	}
	return n, m.RebuildShadows()
}

// ReweightSubtree sets the weight of all devices below a bucket.
func (m *Map) ReweightSubtree(id int32, weight uint32, sets bool) (int, error) {
	b := m.Bucket(id)
	if b == nil {
		return 0, fmt.Errorf("bucket %d: %w", id, errno.ENOENT)
	}
	n := 0
	for queue := []*Bucket{b}; len(queue) > 0; queue = queue[1:] {
		b := queue[0]
		for _, item := range b.Items {
			if item < 0 {
				queue = append(queue, m.Bucket(item))
				continue
			}
			n++
			if err := m.setWeight(b, item, weight, sets); err != nil {
				return n, err
			}
		}
	}
	return n, m.RebuildShadows()
}

// ReweightAll computes the weights of all buckets anew from their devices.
func (m *Map) ReweightAll() error {
	for _, root := range m.Roots(false) {
		if err := m.reweightBucket(m.Bucket(root)); err != nil {
			return err
		}
	}
	return m.RebuildShadows()
}

func (m *Map) reweightBucket(b *Bucket) error {
	w := b.itemWeights()
	var sum, buckets uint32
	for i, item := range b.Items {
		if c := m.Bucket(item); c != nil {
			if err := m.reweightBucket(c); err != nil {
				return err
			}
			w[i] = c.Weight
			sum += c.Weight
			buckets++
		}
	}
	if b.Alg == Uniform && int(buckets) > len(b.Items)-int(buckets) {
		b.ItemWeight = sum / buckets
	}
	if err := b.set(b.Items, w, m.StrawCalcVersion); err != nil {
		return err
	}
	for _, args := range m.ChooseArgs {
		a := &args[-1-b.ID]
		for p := range a.WeightSet {
			for i, item := range b.Items {
				if item >= 0 {
					continue
				}
				a.WeightSet[p][i] = 0
				if sub := args[-1-item].WeightSet; p < len(sub) {
					for _, v := range sub[p] {
						a.WeightSet[p][i] += v
					}
				}
			}
		}
	}
	return nil
}

// IsAt reports whether an item is where loc says, and its weight there. Of
// several buckets in loc the lowest one counts.
func (m *Map) IsAt(item int32, loc Loc) (weight uint32, ok bool) {
	for _, t := range slices.Sorted(maps.Keys(m.Types)) {
		name, given := loc[m.Types[t]]
		if t == 0 || !given {
			continue
		}
		id, exists := m.ItemID(name)
		b := m.Bucket(id)
		if !exists || b == nil {
			return 0, false
		}
		i := b.Index(item)
		if i < 0 {
			return 0, false
		}
		return b.ItemWeightAt(i), true
	}
	return 0, false
}

// Insert puts an item, new or not, at a location. Weight sets start from its
// weight with sets, else from zero.
func (m *Map) Insert(item int32, weight uint32, name string, loc Loc, sets bool) error {
	if !ValidName(name) {
		return fmt.Errorf("item name '%s': %w", name, errno.EINVAL)
	}
	if err := loc.check(); err != nil {
		return err
	}
	if item >= maxDevices {
		return fmt.Errorf("device id %d: %w", item, errno.ERANGE)
	}
	if id, ok := m.ItemID(name); ok && id != item {
		return fmt.Errorf("device name '%s' already exists as id %d: %w", name, id, errno.EEXIST)
	} else if !ok {
		m.Names[item] = name
	}
	// From the lowest level up: make what is missing, each around the one
	// before, until one is there to take it.
	cur := item
	for _, t := range slices.Sorted(maps.Keys(m.Types)) {
		bucket, given := loc[m.Types[t]]
		if t == 0 || !given {
			continue
		}
		id, exists := m.ItemID(bucket)
		if !exists {
			id, err := m.addBucket(bucket, uint16(t), []int32{cur}, []uint32{0})
			if err != nil {
				return err
			}
			cur = id
			continue
		}
		b := m.Bucket(id)
		switch {
		case b == nil:
			return fmt.Errorf("'%s' is not a bucket: %w", bucket, errno.EINVAL)
		case m.Contains(id, cur):
			return fmt.Errorf("item %d already exists beneath %d: %w", cur, id, errno.EINVAL)
		case int32(b.Type) != t:
			return fmt.Errorf("existing bucket '%s' has type '%s' != '%s': %w", bucket, m.typeName(int32(b.Type)), m.Types[t], errno.EINVAL)
		case m.Contains(cur, id):
			return fmt.Errorf("%d already contains %d; cannot form loop: %w", cur, id, errno.ELOOP)
		}
		if err := m.addItem(b, cur, 0); err != nil {
			return err
		}
		break
	}
	found := false
	for _, t := range slices.Sorted(maps.Keys(loc)) {
		id, ok := m.ItemID(loc[t])
		if b := m.Bucket(id); ok && b != nil && b.Index(item) >= 0 {
			found = true
			if err := m.setWeight(b, item, weight, item >= 0 && sets); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("didn't find anywhere to add item %d in %v: %w", item, loc, errno.EINVAL)
	}
	m.MaxDevices = max(m.MaxDevices, item+1)
	return m.RebuildShadows()
}

// CreateOrMove puts a device at a location, with its old weight if it has one
// (osd crush create-or-move). changed is false if it is there.
func (m *Map) CreateOrMove(item int32, weight uint32, name string, loc Loc, sets bool) (changed bool, err error) {
	if !ValidName(name) {
		return false, fmt.Errorf("item name '%s': %w", name, errno.EINVAL)
	}
	if _, ok := m.IsAt(item, loc); ok {
		return false, nil
	}
	if m.InTree(item) {
		weight, _ = m.ItemWeight(item)
		if err := m.Remove(item, true); err != nil {
			return false, err
		}
	}
	return true, m.Insert(item, weight, name, loc, item >= 0 && sets)
}

// Update puts a device at a location with a weight and a name (osd crush set).
// changed is false if all was so before.
func (m *Map) Update(item int32, weight uint32, name string, loc Loc) (changed bool, err error) {
	if !ValidName(name) {
		return false, fmt.Errorf("item name '%s': %w", name, errno.EINVAL)
	}
	if err := loc.check(); err != nil {
		return false, err
	}
	old, ok := m.IsAt(item, loc)
	if !ok {
		if _, exists := m.Names[item]; exists {
			if err := m.Remove(item, true); err != nil {
				return false, err
			}
		}
		return true, m.Insert(item, weight, name, loc, true)
	}
	if old != weight {
		changed = true
		for _, bucket := range loc {
			if id, ok := m.ItemID(bucket); ok && m.Bucket(id) != nil {
				if err := m.setWeight(m.Bucket(id), item, weight, false); err != nil {
					return false, err
				}
			}
		}
		if err := m.RebuildShadows(); err != nil {
			return false, err
		}
	}
	if m.Names[item] != name {
		m.Names[item] = name
		changed = true
	}
	return changed, nil
}

// MoveBucket moves a bucket with what is in it (osd crush move).
func (m *Map) MoveBucket(id int32, loc Loc) error {
	b := m.Bucket(id)
	if b == nil {
		return fmt.Errorf("bucket %d: %w", id, errno.ENOENT)
	}
	// Look before leaping: a failed Insert would leave it nowhere.
	if err := m.checkMove(id, loc); err != nil {
		return err
	}
	if parent, ok := m.Parent(id); ok {
		p := m.Bucket(parent)
		if err := m.setWeight(p, id, 0, true); err != nil {
			return err
		}
		if err := m.removeItem(p, id); err != nil {
			return err
		}
	}
	return m.Insert(id, b.Weight, m.Names[id], loc, false)
}

func (m *Map) checkMove(id int32, loc Loc) error {
	for _, name := range loc {
		if to, ok := m.ItemID(name); ok && m.Contains(id, to) {
			return fmt.Errorf("%d already contains %d; cannot form loop: %w", id, to, errno.ELOOP)
		}
	}
	return loc.check()
}

// LinkBucket puts a bucket at one more place.
func (m *Map) LinkBucket(id int32, loc Loc) error {
	b := m.Bucket(id)
	if b == nil {
		return fmt.Errorf("bucket %d: %w", id, errno.ENOENT)
	}
	return m.Insert(id, b.Weight, m.Names[id], loc, true)
}

// SwapBuckets exchanges the contents and the names of two buckets, so that each
// has the other's place.
func (m *Map) SwapBuckets(x, y int32) error {
	a, b := m.Bucket(x), m.Bucket(y)
	if a == nil || b == nil {
		return fmt.Errorf("buckets %d and %d: %w", x, y, errno.EINVAL)
	}
	if m.Contains(x, y) || m.Contains(y, x) {
		return fmt.Errorf("one of the buckets %d and %d is above the other: %w", x, y, errno.EINVAL)
	}
	aw, bw := a.Weight, b.Weight
	for _, s := range []struct {
		id     int32
		weight uint32
	}{{x, bw}, {y, aw}} {
		for p := range m.holders(s.id) {
			if err := m.setWeight(p, s.id, s.weight, false); err != nil {
				return err
			}
		}
	}
	aItems, aWeights := slices.Clone(a.Items), a.itemWeights()
	bItems, bWeights := slices.Clone(b.Items), b.itemWeights()
	for _, item := range aItems {
		if err := m.removeItem(a, item); err != nil {
			return err
		}
	}
	for i, item := range bItems {
		if err := m.removeItem(b, item); err != nil {
			return err
		}
		if err := m.addItem(a, item, bWeights[i]); err != nil {
			return err
		}
	}
	// Ceph keeps the first's items in a map meanwhile, so they come out sorted.
	order := make([]int, len(aItems))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return int(aItems[i]) - int(aItems[j]) })
	for _, i := range order {
		if err := m.addItem(b, aItems[i], aWeights[i]); err != nil {
			return err
		}
	}
	m.Names[x], m.Names[y] = m.Names[y], m.Names[x]
	return m.RebuildShadows()
}

// Rename renames an item.
func (m *Map) Rename(from, to string) error {
	id, ok := m.ItemID(from)
	_, taken := m.ItemID(to)
	switch {
	case !ok && taken:
		return fmt.Errorf("srcname = '%s' does not exist and dstname = '%s' already exists: %w", from, to, errno.EALREADY)
	case !ok:
		return fmt.Errorf("srcname = '%s' does not exist: %w", from, errno.ENOENT)
	case taken:
		return fmt.Errorf("dstname = '%s' already exists: %w", to, errno.EEXIST)
	case !ValidName(to):
		return fmt.Errorf("dstname = '%s' does not match [-_.0-9a-zA-Z]+: %w", to, errno.EINVAL)
	}
	m.Names[id] = to
	return m.RebuildShadows()
}

// RenameBucket is Rename for buckets only.
func (m *Map) RenameBucket(from, to string) error {
	if id, ok := m.ItemID(from); ok && id >= 0 {
		if _, taken := m.ItemID(to); !taken {
			return fmt.Errorf("srcname = '%s' is not a bucket because its id = %d is >= 0: %w", from, id, errno.ENOTDIR)
		}
	}
	return m.Rename(from, to)
}

// Remove takes an item out of all buckets, and out of the map: a bucket must be
// empty and no rule may take it. With unlink it is only taken out of the
// buckets; a bucket then stays as a root, a device keeps its class.
func (m *Map) Remove(item int32, unlink bool) error {
	if item < 0 && !unlink {
		b := m.Bucket(item)
		switch {
		case b == nil:
			return fmt.Errorf("bucket %d: %w", item, errno.ENOENT)
		case len(b.Items) > 0:
			return fmt.Errorf("bucket %d has %d items: %w", item, len(b.Items), errno.ENOTEMPTY)
		case m.isTaken(item):
			return fmt.Errorf("bucket %d: %w", item, errno.EBUSY)
		}
	}
	if _, named := m.Names[item]; !named && !m.InTree(item) {
		return fmt.Errorf("item %d: %w", item, errno.ENOENT)
	}
	for b := range m.holders(item) {
		if err := m.takeOut(b, item); err != nil {
			return err
		}
	}
	_, err := m.forget(item, unlink)
	return err
}

// RemoveUnder is Remove for the occurrences below one bucket; the item itself
// goes with its last occurrence.
func (m *Map) RemoveUnder(item, ancestor int32, unlink bool) error {
	if m.Bucket(ancestor) == nil {
		return fmt.Errorf("bucket %d: %w", ancestor, errno.EINVAL)
	}
	if item < 0 && !unlink {
		b := m.Bucket(item)
		switch {
		case b == nil:
			return fmt.Errorf("bucket %d: %w", item, errno.ENOENT)
		case m.isTaken(item):
			return fmt.Errorf("bucket %d: %w", item, errno.EBUSY)
		case len(b.Items) > 0:
			return fmt.Errorf("bucket %d has %d items: %w", item, len(b.Items), errno.ENOTEMPTY)
		}
	}
	found := false
	for b := range m.holders(item) {
		if m.Contains(ancestor, b.ID) {
			found = true
			if err := m.takeOut(b, item); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("item %d under %d: %w", item, ancestor, errno.ENOENT)
	}
	done, err := m.forget(item, unlink)
	if done || err != nil {
		return err
	}
	return m.RebuildShadows()
}

func (m *Map) takeOut(b *Bucket, item int32) error {
	if err := m.setWeight(b, item, 0, true); err != nil {
		return err
	}
	return m.removeItem(b, item)
}

// forget drops what the map knows of an item that is in no bucket any more.
func (m *Map) forget(item int32, unlink bool) (done bool, err error) {
	if m.InTree(item) || item < 0 && m.isTaken(item) {
		return false, nil
	}
	if item < 0 && !unlink {
		m.dropBucket(item)
	}
	if item >= 0 {
		delete(m.Names, item)
		if !unlink {
			delete(m.Classes, item)
		}
	}
	return true, m.RebuildShadows()
}

// isTaken reports whether a rule takes a bucket, or a shadow of it, or whether
// it is a shadow.
func (m *Map) isTaken(id int32) bool {
	for _, shadows := range m.ClassBucket {
		for _, s := range shadows {
			if s == id {
				return true
			}
		}
	}
	for _, r := range m.Rules {
		if r != nil && slices.ContainsFunc(r.Steps, func(s Step) bool {
			item, _, _ := m.splitShadow(s.Arg1)
			return s.Op == OpTake && (s.Arg1 == id || item == id)
		}) {
			return true
		}
	}
	return false
}
