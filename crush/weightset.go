package crush

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
)

// positions returns how many positions the weight sets of a key have.
func positions(args []ChooseArg) int {
	for i := range args {
		if n := len(args[i].WeightSet); n > 0 {
			return n
		}
	}
	return 1
}

// CreateWeightSet makes a weight set for a key, a pool or DefaultChooseArgs,
// with the weights that the straw2 buckets have. It reports false if there is
// one.
func (m *Map) CreateWeightSet(key int64, positions int) bool {
	if _, ok := m.ChooseArgs[key]; ok {
		return false
	}
	args := make([]ChooseArg, len(m.Buckets))
	for i, b := range m.Buckets {
		if b != nil && b.Alg == Straw2 {
			for range positions {
				args[i].WeightSet = append(args[i].WeightSet, b.itemWeights())
			}
		}
	}
	m.ChooseArgs[key] = args
	return true
}

// RemoveWeightSet drops a weight set and whatever else is under its key.
func (m *Map) RemoveWeightSet(key int64) { delete(m.ChooseArgs, key) }

// ReweightSet sets what an item weighs in a weight set, one value per
// position, and carries the sums up.
func (m *Map) ReweightSet(key int64, item int32, weights []uint32) error {
	args, ok := m.ChooseArgs[key]
	if !ok {
		return fmt.Errorf("no weight-set of key %d: %w", key, errno.ENOENT)
	}
	if n := positions(args); n != len(weights) {
		return fmt.Errorf("must specify exactly %d weight values: %w", n, errno.EINVAL)
	}
	if !m.setSetWeight(args, item, weights) {
		return fmt.Errorf("item %d not found in crush map: %w", item, errno.ENOENT)
	}
	return m.RebuildShadows()
}

// setSetWeight sets an item's weights wherever it is and reports whether it is
// anywhere.
func (m *Map) setSetWeight(args []ChooseArg, item int32, weights []uint32) bool {
	m.completeWeightSet(args)
	found := false
	for b := range m.holders(item) {
		a := &args[-1-b.ID]
		if len(a.WeightSet) != len(weights) {
			continue
		}
		found = true
		i := b.Index(item)
		for p, w := range weights {
			a.WeightSet[p][i] = w
		}
		m.carryWeightSet(args, b)
	}
	return found
}

// completeWeightSet gives the buckets that came after the weight set was made
// their own weights in it.
func (m *Map) completeWeightSet(args []ChooseArg) {
	n := positions(args)
	for i, b := range m.Buckets {
		if b != nil && b.Alg == Straw2 && args[i].WeightSet == nil {
			for range n {
				args[i].WeightSet = append(args[i].WeightSet, b.itemWeights())
			}
		}
	}
}

// carryWeightSet gives the sums of a bucket's weight set to the buckets that
// hold it.
func (m *Map) carryWeightSet(args []ChooseArg, b *Bucket) {
	sets := args[-1-b.ID].WeightSet
	if sets == nil {
		return
	}
	sums := make([]uint32, len(sets))
	for p, set := range sets {
		for _, w := range set {
			sums[p] += w
		}
	}
	m.setSetWeight(args, b.ID, sums)
}
