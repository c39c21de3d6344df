package memstore

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// check verifies order and balance.
func (t *tree[K, V]) check(tb testing.TB, cmp func(a, b K) int) {
	if t == nil {
		return
	}
	l, r := t.left.len()+1, t.right.len()+1
	if l > delta*r || r > delta*l {
		tb.Fatalf("weights %d and %d", l, r)
	}
	if t.n != l+r-1 {
		tb.Fatalf("size is %d, want %d", t.n, l+r-1)
	}
	if t.left != nil && cmp(t.left.key, t.key) >= 0 || t.right != nil && cmp(t.right.key, t.key) <= 0 {
		tb.Fatal("out of order")
	}
	t.left.check(tb, cmp)
	t.right.check(tb, cmp)
}

func TestTreeAgainstMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	model := map[int]int{}
	var tr, old *tree[int, int]
	var oldModel map[int]int
	for i := range 4000 {
		k := r.IntN(300)
		if r.IntN(5) < 2 {
			tr = tr.del(cmp.Compare[int], k)
			delete(model, k)
		} else {
			tr = tr.set(cmp.Compare[int], k, i)
			model[k] = i
		}
		tr.check(t, cmp.Compare[int])
		if i == 2000 {
			old, oldModel = tr, maps.Clone(model)
		}
	}
	same := func(tr *tree[int, int], m map[int]int) {
		t.Helper()
		var keys []int
		tr.all(func(k, v int) bool {
			if m[k] != v {
				t.Fatalf("%d has %d, want %d", k, v, m[k])
			}
			keys = append(keys, k)
			return true
		})
		if want := slices.Sorted(maps.Keys(m)); !slices.Equal(keys, want) {
			t.Fatalf("keys %v, want %v", keys, want)
		}
		var above []int
		tr.ascend(cmp.Compare[int], 150, func(k, _ int) bool { above = append(above, k); return len(above) < 7 })
		i, _ := slices.BinarySearch(keys, 150)
		if want := keys[i:min(i+7, len(keys))]; !slices.Equal(above, want) {
			t.Fatalf("from 150: %v, want %v", above, want)
		}
	}
	same(tr, model)
	same(old, oldModel) // later updates left the old version alone
}
