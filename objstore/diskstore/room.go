package diskstore

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/objstore"
)

// A full file system.
//
// The data file takes its space before it uses it (grow.go), and leaves some for
// metadata when it grows. When half of that is gone, or when a write of Pebble
// found no room, the store is short of room for metadata, and
//
//   - transactions that grow are refused with ErrNoSpace at once, also those that
//     wait for a checkpoint already, since none may come;
//   - transactions that give something up pass, whatever else they do, unless they
//     write data of a client (exec.classify); first into the room that is kept for
//     metadata, and when that is gone into the journal, of which a sixteenth is
//     kept for them. When that is used up they are refused too: nothing is left
//     that they could be written to;
//   - nothing that was acknowledged is lost: the journal has it.
//
// Pebble takes a write that finds no room badly: it throws the table away,
// begins another at once, and ends if it was the manifest. So it does not learn
// of it: such a write is tried again until it passes. With it waits the
// checkpoint; all goes on when there is room. A store that is closed meanwhile is
// closed without a checkpoint.

// metaRetry is how long a write that found no room rests.
const metaRetry = 50 * time.Millisecond

// errMetaRoom says that there was no room for metadata and no time to wait for it.
var errMetaRoom = fmt.Errorf("no room for metadata: %w", objstore.ErrNoSpace)

// metaReserve is what growing leaves free on a file system of so many bytes,
// for metadata.
func metaReserve(total uint64) uint64 { return min(total/32, 1<<30) }

// metaRoom knows whether there is room for metadata, and keeps writes that find
// none.
type metaRoom struct {
	log   *slog.Logger
	path  string
	space func() (total, free uint64, err error) // of the file system
	wake  func()                                 // wakes those who may have to be refused

	full    atomic.Bool   // what grows is refused
	patient atomic.Bool   // writes wait for room; not before Pebble is open
	hurried chan struct{} // closed: wait no longer
	gaveUp  chan struct{} // closed: a write has failed, no checkpoint will come
	once    sync.Once

	mu    sync.Mutex
	stuck int // writes that wait
}

func newMetaRoom(o *Options, wake func()) *metaRoom {
	return &metaRoom{
		log: o.Log, path: o.Disk.Path(), space: o.Disk.Space, wake: wake,
		hurried: make(chan struct{}), gaveUp: make(chan struct{}),
	}
}

func noSpace(err error) bool { return err != nil && errno.Code(err) == -int32(errno.ENOSPC) }

// try calls f until it finds room.
func (r *metaRoom) try(f func() error) error {
	err := f()
	if !noSpace(err) || !r.patient.Load() {
		return err
	}
	r.count(1)
	defer r.count(-1)
	for more := true; more && noSpace(err); {
		more = r.rest()
		err = f()
	}
	if noSpace(err) {
		r.once.Do(func() { close(r.gaveUp) })
	}
	return err
}

// rest waits until it is time to try again, or returns false.
func (r *metaRoom) rest() bool {
	t := time.NewTimer(metaRetry)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.hurried:
		return false
	}
}

func (r *metaRoom) count(n int) {
	r.mu.Lock()
	r.stuck += n
	r.mu.Unlock()
	r.look()
}

// look finds out whether there is room.
func (r *metaRoom) look() {
	r.mu.Lock()
	full := r.stuck > 0
	if total, free, err := r.space(); err == nil && free < metaReserve(total)/2 {
		full = true
	}
	was := r.full.Swap(full)
	r.mu.Unlock()
	switch {
	case full && !was:
		r.log.Error("no room for metadata", "path", r.path)
		r.wake()
	case was && !full:
		r.log.Info("room for metadata again", "path", r.path)
	}
}
