package crush

import (
	"math"
	"math/bits"
)

// lnOf is crush_ln: about 2^44 * log2(x+1) for a 16-bit x, by table.
func lnOf(x uint32) uint64 {
	x++
	exp := uint64(15)
	if x&0x18000 == 0 {
		shift := bits.LeadingZeros32(x&0x1ffff) - 16
		x <<= shift
		exp -= uint64(shift)
	}
	e := &rhlh[x>>8-128]
	low := uint64(x) * e[0] >> 48
	return exp<<44 + (e[1]+ll[low&0xff])>>4
}

// choose draws an item of b for input x and attempt r. position is where in
// the result the item is to go; it selects the weights of a weight set.
func (b *Bucket) choose(x uint32, r int32, arg *ChooseArg, position int) int32 {
	switch b.Alg {
	case Uniform:
		return b.choosePerm(x, r)
	case List:
		return b.chooseList(x, r)
	case Tree:
		return b.chooseTree(x, r)
	case Straw:
		return b.chooseStraw(x, r)
	case Straw2:
		return b.chooseStraw2(x, r, arg, position)
	}
	return b.Items[0]
}

// choosePerm takes item r of a pseudo-random permutation that depends on x. It
// is built as far as it is needed; the first item needs no building.
func (b *Bucket) choosePerm(x uint32, r int32) int32 {
	n := uint32(len(b.Items))
	pos := uint32(r) % n
	if pos == 0 {
		return b.Items[Hash32_3(x, uint32(b.ID), 0)%n]
	}
	var few [64]uint32
	perm := few[:]
	if n > uint32(len(few)) {
		perm = make([]uint32, n)
	}
	for i := range n {
		perm[i] = i
	}
	for p := uint32(0); p <= pos && p < n-1; p++ {
		if i := Hash32_3(x, uint32(b.ID), p) % (n - p); i > 0 {
			perm[p], perm[p+i] = perm[p+i], perm[p]
		}
	}
	return b.Items[perm[pos]]
}

// chooseList walks from the item added last to the first, which leaves the
// draws of older items alone when a new one comes.
func (b *Bucket) chooseList(x uint32, r int32) int32 {
	for i := len(b.Items) - 1; i >= 0; i-- {
		w := uint64(Hash32_4(x, uint32(b.Items[i]), uint32(r), uint32(b.ID)) & 0xffff)
		if w*uint64(b.Sums[i])>>16 < uint64(b.Weights[i]) {
			return b.Items[i]
		}
	}
	return b.Items[0]
}

// chooseTree descends a binary tree, left or right by weight.
func (b *Bucket) chooseTree(x uint32, r int32) int32 {
	n := len(b.Nodes) >> 1
	for n&1 == 0 {
		t := uint64(Hash32_4(x, uint32(n), uint32(r), uint32(b.ID))) * uint64(b.Nodes[n]) >> 32
		half := 1 << (bits.TrailingZeros(uint(n)) - 1)
		if t < uint64(b.Nodes[n-half]) {
			n -= half
		} else {
			n += half
		}
	}
	// A tree of weight zero leads past the last item.
	if i := n >> 1; i < len(b.Items) {
		return b.Items[i]
	}
	return ItemNone
}

// chooseStraw: every item draws a straw scaled by its length, the longest wins.
func (b *Bucket) chooseStraw(x uint32, r int32) int32 {
	high, best := 0, uint64(0)
	for i, item := range b.Items {
		draw := uint64(Hash32_3(x, uint32(item), uint32(r))&0xffff) * uint64(b.Straws[i])
		if i == 0 || draw > best {
			high, best = i, draw
		}
	}
	return b.Items[high]
}

// chooseStraw2: every item draws from an exponential distribution of its own
// rate, the smallest (here: the least negative) wins, so that an item's chance
// is its share of the weight and a change of one weight moves only what it must.
func (b *Bucket) chooseStraw2(x uint32, r int32, arg *ChooseArg, position int) int32 {
	ids, weights := b.Items, b.Weights
	if arg != nil {
		if n := len(arg.WeightSet); n > 0 {
			weights = arg.WeightSet[min(position, n-1)]
		}
		if len(arg.IDs) > 0 {
			ids = arg.IDs
		}
	}
	high, best := 0, int64(math.MinInt64)
	for i, w := range weights {
		draw := int64(math.MinInt64)
		if w > 0 {
			u := Hash32_3(x, uint32(ids[i]), uint32(r)) & 0xffff
			// ln is at most zero; the quotient is truncated toward zero.
			draw = -((1<<48 - int64(lnOf(u))) / int64(w))
		}
		if i == 0 || draw > best {
			high, best = i, draw
		}
	}
	return b.Items[high]
}
