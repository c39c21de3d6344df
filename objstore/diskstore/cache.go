package diskstore

import (
	"sync"

	"github.com/pulpo-storage/pulpo/object"
)

// cacheKey names an object in the cache.
type cacheKey struct {
	coll uint64
	oid  object.ID
}

// cache keeps onodes, and the knowledge that there is none, least recently used
// last, up to a number of bytes. All it holds is in Pebble too, so anything may
// be dropped at any time.
type cache struct {
	mu    sync.Mutex
	m     map[cacheKey]*cached
	ring  cached // sentinel of a list, most recent first
	size  int
	limit int

	hits, misses uint64
}

type cached struct {
	key        cacheKey
	n          *onode // nil: no such object
	cost       int
	prev, next *cached
}

func newCache(limit int) *cache {
	c := &cache{m: make(map[cacheKey]*cached), limit: limit}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

func (e *cached) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

func (c *cache) pushFront(e *cached) {
	e.prev, e.next = &c.ring, c.ring.next
	e.prev.next, e.next.prev = e, e
}

// get returns what is known of an object; not ok if nothing is.
func (c *cache) get(k cacheKey) (n *onode, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.m[k]
	if e == nil {
		c.misses++
		return nil, false
	}
	c.hits++
	if c.ring.next != e {
		e.unlink()
		c.pushFront(e)
	}
	return e.n, true
}

// put remembers n, or that there is no such object.
func (c *cache) put(k cacheKey, n *onode) {
	cost := 150 + len(k.oid.Name) + len(k.oid.Key) + len(k.oid.Namespace)
	if n != nil {
		cost += n.cost()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.m[k]
	if e == nil {
		e = &cached{key: k}
		c.m[k] = e
	} else {
		e.unlink()
		c.size -= e.cost
	}
	e.n, e.cost = n, cost
	c.size += cost
	c.pushFront(e)
	c.shrink(e)
}

// shrink drops what is too much, but not keep.
func (c *cache) shrink(keep *cached) {
	for c.size > c.limit && c.ring.prev != keep && c.ring.prev != &c.ring {
		last := c.ring.prev
		last.unlink()
		delete(c.m, last.key)
		c.size -= last.cost
	}
}

func (c *cache) setLimit(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = n
	c.shrink(nil)
}
