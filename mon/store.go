package mon

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/mon/service"
)

// Storage is what a monitor has on disk: ordered keys and values. The machine
// reads it; what it wants written it says in Ready.Batch. Values and keys that
// are handed out are not changed by anybody.
type Storage interface {
	// Get returns a value, nil if there is none.
	Get(key string) ([]byte, error)
	// Scan calls f for the keys in [from, to) in order until f returns false;
	// to "" is the end.
	Scan(from, to string, f func(key string, value []byte) bool) error
}

// Op is one write: a nil value deletes.
type Op struct {
	Key   string
	Value []byte
}

// store is the storage as it will be when all batches are written: reads see
// writes at once. Errors of the disk stick; the machine stops on them.
type store struct {
	db    Storage
	batch []Op // of the next Ready
	gen   uint64
	over  map[string]written // not yet known to be on disk
	err   error
}

type written struct {
	value []byte // nil: deleted
	gen   uint64 // of the batch it is in
}

func newStore(db Storage) *store { return &store{db: db, gen: 1, over: map[string]written{}} }

func (s *store) put(key string, value []byte) {
	if value == nil {
		value = []byte{}
	}
	s.write(key, value)
}

func (s *store) del(key string) { s.write(key, nil) }

func (s *store) write(key string, value []byte) {
	s.batch = append(s.batch, Op{key, value})
	s.over[key] = written{value, s.gen}
}

// take returns the batch and begins another one.
func (s *store) take() []Op {
	b := s.batch
	s.batch = nil
	s.gen++
	return b
}

// persisted forgets what is on disk now: all batches taken so far.
func (s *store) persisted() {
	maps.DeleteFunc(s.over, func(_ string, w written) bool { return w.gen < s.gen })
}

func (s *store) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *store) get(key string) []byte {
	if w, ok := s.over[key]; ok {
		return w.value
	}
	v, err := s.db.Get(key)
	if err != nil {
		s.fail(err)
	}
	return v
}

// scan merges the writes on their way into what is on disk.
func (s *store) scan(from, to string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		var fresh []string
		for k := range s.over {
			if k >= from && (to == "" || k < to) {
				fresh = append(fresh, k)
			}
		}
		slices.Sort(fresh)
		more := true
		flush := func(upto string) { // fresh keys below upto
			for more && len(fresh) > 0 && (upto == "" || fresh[0] < upto) {
				k := fresh[0]
				fresh = fresh[1:]
				if w := s.over[k]; w.value != nil {
					more = yield(k, w.value)
				}
			}
		}
		err := s.db.Scan(from, to, func(k string, v []byte) bool {
			flush(k)
			if len(fresh) > 0 && fresh[0] == k {
				return more // the fresh one comes with the next flush
			}
			if more {
				more = yield(k, v)
			}
			return more
		})
		if err != nil {
			s.fail(err)
			return
		}
		flush("")
	}
}

// prefixEnd is the first key after all keys with a prefix.
func prefixEnd(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// part is a service's view of the store.
type part struct {
	s      *store
	prefix string
}

var _ service.Writer = part{}

func (p part) Get(key string) []byte        { return p.s.get(p.prefix + key) }
func (p part) Put(key string, value []byte) { p.s.put(p.prefix+key, value) }
func (p part) Delete(key string)            { p.s.del(p.prefix + key) }

func (p part) Scan(from, to string) iter.Seq2[string, []byte] {
	end := prefixEnd(p.prefix)
	if to != "" {
		end = p.prefix + to
	}
	return func(yield func(string, []byte) bool) {
		for k, v := range p.s.scan(p.prefix+from, end) {
			if !yield(strings.TrimPrefix(k, p.prefix), v) {
				return
			}
		}
	}
}
