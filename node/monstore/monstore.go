// Package monstore is a monitor's storage on disk: one pebble database in a
// directory. It carries out what the machine's Ready says, and the machine reads
// it.
package monstore

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/pulpo-storage/pulpo/mon"
)

// Store is an open database. Get and Scan may be called by any goroutine.
type Store struct{ db *pebble.DB }

var _ mon.Storage = (*Store)(nil)

const (
	cacheSize    = 8 << 20 // the working set of a monitor is a few maps
	memTableSize = 4 << 20
)

// Open opens the database in dir, making it if there is none. The directory is
// locked while it is open.
func Open(dir string, log *slog.Logger) (*Store, error) {
	cache := pebble.NewCache(cacheSize)
	defer cache.Unref() // the database keeps it
	db, err := pebble.Open(dir, &pebble.Options{
		Cache:                       cache,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                256,
		Logger:                      logger{log},
		FormatMajorVersion:          pebble.FormatNewest,
	})
	if err != nil {
		return nil, fmt.Errorf("monitor store %s: %w", dir, err)
	}
	return &Store{db}, nil
}

// Get returns a copy of a value, nil if there is none.
func (s *Store) Get(key string) ([]byte, error) {
	v, closer, err := s.db.Get([]byte(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("monitor store: get %q: %w", key, err)
	}
	out := append(make([]byte, 0, len(v)), v...)
	return out, closer.Close()
}

// Scan calls f for copies of the keys in [from, to) and their values, in order,
// until f returns false.
func (s *Store) Scan(from, to string, f func(key string, value []byte) bool) error {
	opts := new(pebble.IterOptions)
	if from != "" { // an empty bound is too little for pebble's checks under -race
		opts.LowerBound = []byte(from)
	}
	if to != "" {
		opts.UpperBound = []byte(to)
	}
	it, err := s.db.NewIter(opts)
	if err != nil {
		return fmt.Errorf("monitor store: scan: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(fmt.Errorf("monitor store: scan: %w", err), it.Close())
		}
		if !f(string(it.Key()), append(make([]byte, 0, len(v)), v...)) {
			break
		}
	}
	if err := it.Close(); err != nil { // with what stopped the iteration
		return fmt.Errorf("monitor store: scan: %w", err)
	}
	return nil
}

// Write writes a batch, all or nothing; with sync it is durable when Write
// returns, and so is everything written before it.
func (s *Store) Write(ops []mon.Op, sync bool) error {
	b := s.db.NewBatch()
	defer b.Close()
	for _, op := range ops {
		var err error
		if op.Value == nil {
			err = b.Delete([]byte(op.Key), nil)
		} else {
			err = b.Set([]byte(op.Key), op.Value, nil)
		}
		if err != nil {
			return fmt.Errorf("monitor store: write: %w", err)
		}
	}
	opts := pebble.NoSync
	if sync {
		opts = pebble.Sync
	}
	if err := b.Commit(opts); err != nil {
		return fmt.Errorf("monitor store: write: %w", err)
	}
	return nil
}

// Close closes the database; what was written without sync is kept.
func (s *Store) Close() error {
	err := s.db.Flush()
	return errors.Join(err, s.db.Close())
}

// logger tells of pebble's troubles; its chatter goes to debug. What it calls
// fatal it goes on to report as an error of the operation, or panics.
type logger struct{ log *slog.Logger }

func (l logger) Infof(f string, args ...any) {
	if l.log != nil {
		l.log.Debug("monitor store", "msg", fmt.Sprintf(f, args...))
	}
}

func (l logger) Errorf(f string, args ...any) {
	if l.log != nil {
		l.log.Error("monitor store", "msg", fmt.Sprintf(f, args...))
	}
}

func (l logger) Fatalf(f string, args ...any) { panic(fmt.Sprintf("monitor store: "+f, args...)) }
