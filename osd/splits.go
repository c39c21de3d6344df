package osd

import (
	"sync"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// splits is which groups all shards have, and by how many groups of the pool
// their objects are told apart. When a pool has more groups than that, some of a
// group's objects are those of a group that does not exist here yet, on another
// shard maybe. Until it does nobody may be told that there is nothing of it.
type splits struct {
	mu     sync.Mutex
	groups map[object.SPG]uint32
}

// set notes a group; of no groups: it is gone.
func (s *splits) set(id object.SPG, groups uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if groups == 0 {
		delete(s.groups, id)
	} else {
		s.groups[id] = groups
	}
}

// forming reports whether a group that its shard does not have will come of one
// that another shard has, or has come of it and is on its way.
func (s *splits) forming(m *osdmap.Map, id object.SPG) bool {
	p := m.Pools[id.Pool]
	if p == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[id] > 0 {
		return true
	}
	for a, groups := range s.groups {
		if a.Pool == id.Pool && groups < p.PGNum && id.Seed >= groups && pg.ComesOf(id.Seed, a.Seed, groups) {
			return true
		}
	}
	return false
}
