package sim

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
)

// disk is an OSD's store for one life of its process: what is submitted becomes
// durable a while later, all that waits with one sync. Memstore keeps what is
// visible and what is durable apart.
type disk struct {
	*memstore.Store
	w       *World
	name    string
	slow    time.Duration
	decay   decay
	syncing bool
	off     bool // the process has died: nobody is called back
}

var _ objstore.Store = (*disk)(nil)

// Submit implements objstore.Store.
func (d *disk) Submit(tx *objstore.Txn, done func(error)) error {
	decay, err := d.decay.after(tx)
	if err != nil {
		tx.Release()
		return err
	}
	err = d.Store.Submit(tx, func(err error) {
		if done != nil && !d.off {
			done(err)
		}
	})
	if err == nil {
		d.decay = decay
		d.sync()
	} else {
		d.w.tracef("%s: transaction refused: %v", d.name, err)
	}
	return err
}

// sync makes durable what waits, and then what came meanwhile.
func (d *disk) sync() {
	n := d.Pending()
	if d.syncing || n == 0 || d.off {
		return
	}
	d.syncing = true
	d.w.after(100*time.Microsecond+d.w.upTo("disk "+d.name, time.Millisecond)+d.slow, func() {
		d.syncing = false
		if d.off {
			return
		}
		d.w.tracef("%s: %d transactions are durable", d.name, n)
		d.Step(n)
		d.sync()
	})
}

// crash is the end of the process. What was on its way may have arrived, in
// order, up to anywhere.
func (d *disk) crash() *memstore.Store {
	d.off = true
	n := d.Pending()
	keep := int(d.w.upTo("crash "+d.name, time.Duration(n+1)))
	d.Step(keep)
	d.w.tracef("%s: crash loses %d of %d transactions on their way", d.name, n-keep, n)
	return d.Store.Crash()
}

// monDisk is a monitor's storage: ordered keys, with what it takes to lose the
// newest unsynced batches.
type monDisk struct {
	keys   []string // in order
	values map[string][]byte
	undo   [][]mon.Op // of each batch since the last sync, newest last
}

var _ mon.Storage = (*monDisk)(nil)

func newMonDisk() *monDisk { return &monDisk{values: map[string][]byte{}} }

// Get implements mon.Storage.
func (s *monDisk) Get(key string) ([]byte, error) { return s.values[key], nil }

// Scan implements mon.Storage.
func (s *monDisk) Scan(from, to string, f func(key string, value []byte) bool) error {
	i, _ := slices.BinarySearch(s.keys, from)
	for ; i < len(s.keys) && (to == "" || s.keys[i] < to); i++ {
		if !f(s.keys[i], s.values[s.keys[i]]) {
			break
		}
	}
	return nil
}

// write applies a batch; with sync it and all before it are durable.
func (s *monDisk) write(batch []mon.Op, sync bool) {
	undo := make([]mon.Op, 0, len(batch))
	for _, op := range batch {
		undo = append(undo, mon.Op{Key: op.Key, Value: s.values[op.Key]})
		s.set(op)
	}
	slices.Reverse(undo)
	s.undo = append(s.undo, undo)
	if sync {
		s.undo = nil
	}
}

func (s *monDisk) set(op mon.Op) {
	i, found := slices.BinarySearch(s.keys, op.Key)
	switch {
	case op.Value == nil && found:
		s.keys = slices.Delete(s.keys, i, i+1)
		delete(s.values, op.Key)
	case op.Value != nil:
		if !found {
			s.keys = slices.Insert(s.keys, i, op.Key)
		}
		s.values[op.Key] = slices.Clone(op.Value)
	}
}

// crash loses all but the first keep of the batches that were not synced.
func (s *monDisk) crash(keep int) {
	for len(s.undo) > keep {
		for _, op := range s.undo[len(s.undo)-1] {
			s.set(op)
		}
		s.undo = s.undo[:len(s.undo)-1]
	}
	s.undo = nil
}
