package crush

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
)

// Bucket is an inner node. Beside the weights of its items it holds what its
// algorithm derives from them; the methods here keep both in step.
type Bucket struct {
	ID     int32
	Type   uint16
	Alg    Alg
	Hash   uint8 // hash function; 0, rjenkins1, is the only one
	Weight uint32
	Items  []int32

	ItemWeight uint32   // Uniform: of each item
	Weights    []uint32 // List, Straw, Straw2: of the items
	Sums       []uint32 // List: of each item and all before it
	Straws     []uint32 // Straw: lengths
	Nodes      []uint32 // Tree: weights of a binary tree, items at the odd indices
}

// NewBucket returns an empty bucket. AddBucket gives it an id.
func NewBucket(alg Alg, typ uint16) *Bucket {
	b := &Bucket{Alg: alg, Type: typ}
	if alg == Tree {
		b.Nodes = make([]uint32, treeSize(0))
	}
	return b
}

func (b *Bucket) clone() *Bucket {
	c := *b
	c.Items = slices.Clone(b.Items)
	c.Weights = slices.Clone(b.Weights)
	c.Sums = slices.Clone(b.Sums)
	c.Straws = slices.Clone(b.Straws)
	c.Nodes = slices.Clone(b.Nodes)
	return &c
}

// maxTreeItems is what fits: the size of the node array travels in one byte.
const maxTreeItems = 64

// treeNode is the index in Nodes of item i.
func treeNode(i int) int { return (i+1)<<1 - 1 }

// treeDepth is the number of levels that n items need.
func treeDepth(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + bits.Len(uint(n-1))
}

// treeSize is the length of Nodes for n items.
func treeSize(n int) int {
	if n == 0 {
		return 0
	}
	return 1 << treeDepth(n)
}

func treeParent(n int) int {
	h := bits.TrailingZeros(uint(n))
	if n&(1<<(h+1)) != 0 {
		return n - 1<<h
	}
	return n + 1<<h
}

// ItemWeightAt is the weight of item i.
func (b *Bucket) ItemWeightAt(i int) uint32 {
	switch b.Alg {
	case Uniform:
		return b.ItemWeight
	case Tree:
		return b.Nodes[treeNode(i)]
	}
	return b.Weights[i]
}

// Index returns the position of an item, -1 without it.
func (b *Bucket) Index(item int32) int { return slices.Index(b.Items, item) }

// itemWeights returns the weights of all items.
func (b *Bucket) itemWeights() []uint32 {
	w := make([]uint32, len(b.Items))
	for i := range w {
		w[i] = b.ItemWeightAt(i)
	}
	return w
}

// set replaces the items and derives the rest, with the straw lengths of the
// given calculation.
func (b *Bucket) set(items []int32, weights []uint32, strawCalc uint8) error {
	var sum uint64
	for _, w := range weights {
		sum += uint64(w)
	}
	if b.Alg == Uniform {
		// All weigh as much as the first, or as those that were there before.
		if len(items) > 0 && len(b.Items) == 0 {
			b.ItemWeight = weights[0]
		}
		sum = uint64(b.ItemWeight) * uint64(len(items))
	}
	if sum > math.MaxUint32 {
		return fmt.Errorf("weight of bucket %d: %w", b.ID, errno.ERANGE)
	}
	if b.Alg == Tree && len(items) > maxTreeItems {
		return fmt.Errorf("tree bucket %d: %d items, at most %d fit: %w", b.ID, len(items), maxTreeItems, errno.E2BIG)
	}
	b.Items = items
	b.Weight = uint32(sum)
	switch b.Alg {
	case List:
		b.Weights = weights
		b.Sums = make([]uint32, len(weights))
		var s uint32
		for i, w := range weights {
			s += w
			b.Sums[i] = s
		}
	case Tree:
		b.Nodes = make([]uint32, treeSize(len(items)))
		depth := treeDepth(len(items))
		for i, w := range weights {
			n := treeNode(i)
			b.Nodes[n] = w
			for range depth - 1 {
				n = treeParent(n)
				b.Nodes[n] += w
			}
		}
	case Straw:
		b.Weights = weights
		b.Straws = calcStraws(weights, strawCalc)
	case Straw2:
		b.Weights = weights
	}
	return nil
}

// add appends an item.
func (b *Bucket) add(item int32, weight uint32, strawCalc uint8) error {
	return b.set(append(slices.Clone(b.Items), item), append(b.itemWeights(), weight), strawCalc)
}

// remove drops the item at position i.
func (b *Bucket) remove(i int, strawCalc uint8) error {
	items, weights := slices.Clone(b.Items), b.itemWeights()
	return b.set(slices.Delete(items, i, i+1), slices.Delete(weights, i, i+1), strawCalc)
}

// setWeight changes the weight of the item at position i. In a uniform bucket
// that is the weight of all.
func (b *Bucket) setWeight(i int, weight uint32, strawCalc uint8) error {
	w := b.itemWeights()
	w[i] = weight
	if b.Alg == Uniform {
		b.ItemWeight = weight
	}
	return b.set(b.Items, w, strawCalc)
}

// calcStraws computes the lengths with which items of a straw bucket win in
// proportion to their weights, nearly: straws cannot do it exactly, which is
// why straw2 exists. Version 0 is wrong for items of equal and of zero weight;
// clusters keep it until they are told to move data.
func calcStraws(weights []uint32, version uint8) []uint32 {
	n := len(weights)
	straws := make([]uint32, n)
	order := make([]int, n) // ascending weight
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case weights[a] < weights[b]:
			return -1
		case weights[a] > weights[b]:
			return 1
		}
		return 0
	})
	left := n
	straw, below, last := 1.0, 0.0, 0.0
	for i := 0; i < n; {
		w := weights[order[i]]
		if w == 0 {
			i++
			if version > 0 {
				left--
			}
			continue
		}
		straws[order[i]] = uint32(straw * 0x10000)
		i++
		if i == n {
			break
		}
		next := weights[order[i]]
		if version == 0 && next == w {
			continue
		}
		below += (float64(w) - last) * float64(left)
		if version == 0 {
			for j := i; j < n && weights[order[j]] == next; j++ {
				left--
			}
		} else {
			left--
		}
		above := float64(left) * float64(next-w)
		straw *= math.Pow(1/(below/(below+above)), 1/float64(left))
		last = float64(w)
	}
	return straws
}
