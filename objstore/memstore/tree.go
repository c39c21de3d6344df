package memstore

// tree is a persistent ordered map: a weight-balanced search tree whose nodes
// never change. An update returns a new tree that shares all but the path to
// the key with the old one, so that keeping an old version costs nothing. The
// nil tree is empty.
//
// Invariant: of two siblings neither weighs more than delta times the other,
// where the weight is the number of nodes plus one.
type tree[K, V any] struct {
	key         K
	value       V
	left, right *tree[K, V]
	n           int // nodes
}

// Adams' constants, in the pair that is proven to keep the invariant.
const delta, ratio = 3, 2

func (t *tree[K, V]) len() int {
	if t == nil {
		return 0
	}
	return t.n
}

func node[K, V any](k K, v V, l, r *tree[K, V]) *tree[K, V] {
	return &tree[K, V]{k, v, l, r, l.len() + r.len() + 1}
}

// balance is node for children of which one has gained or lost a node.
func balance[K, V any](k K, v V, l, r *tree[K, V]) *tree[K, V] {
	lw, rw := l.len()+1, r.len()+1
	switch {
	case rw > delta*lw:
		if a, b := r.left, r.right; a.len()+1 < ratio*(b.len()+1) {
			return node(r.key, r.value, node(k, v, l, a), b)
		} else {
			return node(a.key, a.value, node(k, v, l, a.left), node(r.key, r.value, a.right, b))
		}
	case lw > delta*rw:
		if a, b := l.left, l.right; b.len()+1 < ratio*(a.len()+1) {
			return node(l.key, l.value, a, node(k, v, b, r))
		} else {
			return node(b.key, b.value, node(l.key, l.value, a, b.left), node(k, v, b.right, r))
		}
	}
	return node(k, v, l, r)
}

// get returns the value of k.
func (t *tree[K, V]) get(cmp func(a, b K) int, k K) (v V, ok bool) {
	for t != nil {
		switch c := cmp(k, t.key); {
		case c < 0:
			t = t.left
		case c > 0:
			t = t.right
		default:
			return t.value, true
		}
	}
	return v, false
}

// set returns the tree in which k has v.
func (t *tree[K, V]) set(cmp func(a, b K) int, k K, v V) *tree[K, V] {
	if t == nil {
		return &tree[K, V]{key: k, value: v, n: 1}
	}
	switch c := cmp(k, t.key); {
	case c < 0:
		return balance(t.key, t.value, t.left.set(cmp, k, v), t.right)
	case c > 0:
		return balance(t.key, t.value, t.left, t.right.set(cmp, k, v))
	}
	return node(k, v, t.left, t.right)
}

// del returns the tree without k.
func (t *tree[K, V]) del(cmp func(a, b K) int, k K) *tree[K, V] {
	if t == nil {
		return nil
	}
	switch c := cmp(k, t.key); {
	case c < 0:
		return balance(t.key, t.value, t.left.del(cmp, k), t.right)
	case c > 0:
		return balance(t.key, t.value, t.left, t.right.del(cmp, k))
	case t.left == nil:
		return t.right
	case t.right == nil:
		return t.left
	}
	least := t.right
	for least.left != nil {
		least = least.left
	}
	return balance(least.key, least.value, t.left, t.right.del(cmp, least.key))
}

// ascend calls f for the entries with keys >= from, in order, until it returns
// false.
func (t *tree[K, V]) ascend(cmp func(a, b K) int, from K, f func(K, V) bool) bool {
	if t == nil {
		return true
	}
	c := cmp(from, t.key)
	if c < 0 && !t.left.ascend(cmp, from, f) {
		return false
	}
	if c <= 0 && !f(t.key, t.value) {
		return false
	}
	return t.right.ascend(cmp, from, f)
}

// all calls f for all entries, in order, until it returns false.
func (t *tree[K, V]) all(f func(K, V) bool) bool {
	return t == nil || t.left.all(f) && f(t.key, t.value) && t.right.all(f)
}
