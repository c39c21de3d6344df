// Package memstore is an object store in memory (Ceph's MemStore): the model
// that other stores are compared with, and the store of simulations.
//
// The whole store is one immutable value, the state, made of persistent trees.
// A transaction makes the next state or none, so it is atomic by construction;
// readers load the current state and need no lock; an old state costs only what
// has changed since.
//
// That also gives crashes: a [Store] made with [NewStepped] keeps the state
// that is durable beside the one that is visible. It is a pure machine: no
// goroutine, callbacks run in [Store.Step], and [Store.Crash] returns what a
// machine would find after losing power.
//
// No compatibility promise.
package memstore

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// DefaultCapacity is what a store says it can hold.
const DefaultCapacity = 64 << 30

// Store is an object store in memory.
type Store struct {
	state atomic.Pointer[state]

	mu       sync.Mutex // below; also orders Submit
	durable  state
	queue    []commit // submitted, not durable
	capacity uint64
	closed   bool
	stepped  bool
	busy     bool       // the goroutine is running callbacks
	work     *sync.Cond // queue, busy or closed changed
	finished chan struct{}
}

var _ objstore.Store = (*Store)(nil)

// commit is a transaction on its way to being durable.
type commit struct {
	after state
	done  func(error)
}

// New returns an empty store whose callbacks run from a goroutine, which Close
// ends.
func New() *Store {
	s := newStore(state{colls: (*tree[objstore.Coll, *objects])(nil).set(compareColl, objstore.MetaColl, nil)})
	s.finished = make(chan struct{})
	go s.run()
	return s
}

// NewStepped returns an empty store whose callbacks run when Step is called.
func NewStepped() *Store {
	s := newStore(state{colls: (*tree[objstore.Coll, *objects])(nil).set(compareColl, objstore.MetaColl, nil)})
	s.stepped = true
	return s
}

func newStore(st state) *Store {
	s := &Store{durable: st, capacity: DefaultCapacity}
	s.state.Store(&st)
	s.work = sync.NewCond(&s.mu)
	return s
}

// SetCapacity sets how many bytes of data the store takes before ErrNoSpace.
func (s *Store) SetCapacity(bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capacity = bytes
}

// Submit implements objstore.Store.
func (s *Store) Submit(tx *objstore.Txn, done func(error)) error {
	defer tx.Release()
	if err := tx.Check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return objstore.ErrClosed
	}
	old := s.state.Load()
	next, err := old.apply(tx)
	if err != nil {
		return err
	}
	if held := next.usage.Allocated + next.usage.Omap; held > s.capacity && held > old.usage.Allocated+old.usage.Omap {
		return objstore.ErrNoSpace
	}
	s.state.Store(&next)
	s.queue = append(s.queue, commit{next, done})
	s.work.Broadcast()
	return nil
}

// Pending is the number of transactions that are not durable.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// Step makes up to n transactions durable and runs their callbacks. It reports
// how many there were.
func (s *Store) Step(n int) int {
	s.mu.Lock()
	batch := s.take(n)
	s.mu.Unlock()
	for _, c := range batch {
		if c.done != nil {
			c.done(nil)
		}
	}
	return len(batch)
}

// take makes up to n transactions durable. The caller holds mu.
func (s *Store) take(n int) []commit {
	n = min(n, len(s.queue))
	batch := s.queue[:n:n]
	s.queue = s.queue[n:]
	if n > 0 {
		s.durable = batch[n-1].after
	}
	return batch
}

// Crash returns a stepped store with what was durable. The old store takes no
// more transactions and forgets its callbacks.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.queue = true, nil
	n := newStore(s.durable)
	n.stepped, n.capacity = true, s.capacity
	s.work.Broadcast()
	return n
}

// Durable returns a store with what is durable now, to look into; the store goes
// on.
func (s *Store) Durable() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := newStore(s.durable)
	n.stepped, n.closed, n.capacity = true, true, s.capacity
	return n
}

// run makes transactions durable until the store is closed and empty.
func (s *Store) run() {
	defer close(s.finished)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 {
			if s.closed {
				return
			}
			s.work.Wait()
		}
		batch := s.take(len(s.queue))
		s.busy = true
		s.mu.Unlock()
		for _, c := range batch {
			if c.done != nil {
				c.done(nil)
			}
		}
		s.mu.Lock()
		s.busy = false
		s.work.Broadcast()
	}
}

// Sync implements objstore.Store.
func (s *Store) Sync() error {
	if s.stepped {
		s.Step(s.Pending())
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return objstore.ErrClosed
	}
	for len(s.queue) > 0 || s.busy {
		s.work.Wait()
	}
	return nil
}

// Close implements objstore.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.work.Broadcast()
	s.mu.Unlock()
	if s.stepped {
		s.Step(s.Pending())
	} else {
		<-s.finished
	}
	return nil
}

// Collections implements objstore.Store.
func (s *Store) Collections() ([]objstore.Coll, error) {
	var out []objstore.Coll
	s.state.Load().colls.all(func(c objstore.Coll, _ *objects) bool {
		if !c.Meta {
			out = append(out, c)
		}
		return true
	})
	return out, nil
}

// Stat implements objstore.Store.
func (s *Store) Stat(c objstore.Coll, o object.ID) (objstore.Info, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return objstore.Info{}, err
	}
	return objstore.Info{Size: x.size}, nil
}

// Read implements objstore.Store.
func (s *Store) Read(c objstore.Coll, o object.ID, off, n uint64) (buffer.List, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return nil, err
	}
	return x.read(off, n), nil
}

// Extents implements objstore.Store.
func (s *Store) Extents(c objstore.Coll, o object.ID, off, n uint64) ([]objstore.Extent, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return nil, err
	}
	return x.extents(off, n), nil
}

// Attr implements objstore.Store.
func (s *Store) Attr(c objstore.Coll, o object.ID, name string) ([]byte, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return nil, err
	}
	v, ok := x.attrs[name]
	if !ok {
		return nil, objstore.ErrNoAttr
	}
	return slices.Clone(v), nil
}

// Attrs implements objstore.Store.
func (s *Store) Attrs(c objstore.Coll, o object.ID) (map[string][]byte, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return nil, err
	}
	m := maps.Clone(x.attrs)
	if m == nil {
		m = map[string][]byte{}
	}
	for k, v := range m {
		m[k] = slices.Clone(v)
	}
	return m, nil
}

// OmapHeader implements objstore.Store.
func (s *Store) OmapHeader(c objstore.Coll, o object.ID) ([]byte, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return nil, err
	}
	return slices.Clone(x.header), nil
}

// OmapGet implements objstore.Store.
func (s *Store) OmapGet(c objstore.Coll, o object.ID, keys []string) (map[string][]byte, error) {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return nil, err
	}
	m := make(map[string][]byte, len(keys))
	for _, k := range keys {
		if v, ok := x.omap.get(strings.Compare, k); ok {
			m[k] = slices.Clone(v)
		}
	}
	return m, nil
}

// OmapScan implements objstore.Store.
func (s *Store) OmapScan(c objstore.Coll, o object.ID, from string, f func(key string, value []byte) bool) error {
	x, err := s.state.Load().object(c, o)
	if err != nil {
		return err
	}
	x.omap.ascend(strings.Compare, from, f)
	return nil
}

// List implements objstore.Store.
func (s *Store) List(c objstore.Coll, from object.ID, n int) ([]object.ID, object.ID, error) {
	objs, err := s.state.Load().coll(c)
	if err != nil {
		return nil, object.ID{}, err
	}
	var ids []object.ID
	next := object.MaxID
	objs.ascend(compareID, from, func(o object.ID, _ *obj) bool {
		if len(ids) >= n {
			next = o
			return false
		}
		ids = append(ids, o)
		return true
	})
	return ids, next, nil
}

// Damaged implements objstore.Store. Memory does not decay.
func (s *Store) Damaged(objstore.Coll) error { return nil }

// Usage implements objstore.Store.
func (s *Store) Usage() objstore.Usage {
	u := s.state.Load().usage
	s.mu.Lock()
	u.Total = s.capacity
	s.mu.Unlock()
	u.Available = u.Total - min(u.Total, u.Allocated+u.Omap)
	return u
}
