package diskstore

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

// CommitMode is how data and journal are made durable.
type CommitMode int

const (
	// Parallel, the default, journals small data, and writes large data together
	// with its group: one sync for both; replay checks that both are there.
	Parallel CommitMode = iota
	// WriteAhead journals small data, and syncs large data before the group of
	// the journal that refers to it.
	WriteAhead
	// Direct is Parallel with no data in the journal but parts of blocks.
	Direct
)

func (m CommitMode) String() string {
	return [...]string{"parallel", "writeahead", "direct"}[m]
}

// Options of Create and Open.
type Options struct {
	// Size is what the store may grow to on its file system, in bytes, journal
	// included. Create: zero takes what is free but for a twentieth. Open: zero
	// keeps what it was.
	Size uint64
	// JournalSize is for Create; zero is DefaultJournalSize.
	JournalSize uint64

	Mode CommitMode
	// DirectMin is the length from which a write goes past the journal; zero is
	// DefaultDirectMin.
	DirectMin int
	// Memory is the target for all that the store keeps in memory, in bytes; zero
	// is DefaultMemory. See memory.go.
	Memory int64

	Log    *slog.Logger
	Events Events

	// Disk and MetaFS replace the operating system's, for tests. MetaPath is the
	// directory of metadata in MetaFS.
	Disk     disk.Dir
	MetaFS   vfs.FS
	MetaPath string
}

// Events are called, if set, when something happened that someone should know
// of. They must not block or call the store.
type Events struct {
	// ChecksumError: a block of the object does not hold what was written.
	ChecksumError func(c objstore.Coll, o object.ID, off uint64)
	// Failed: the medium failed; the store takes no more transactions.
	Failed func(error)
}

const (
	DefaultJournalSize = 128 << 20
	DefaultDirectMin   = 64 << 10

	minJournal = 1 << 20

	blockFile = "block"
	newFile   = "block.new" // until Create has ended
	metaDir   = "meta"

	// growStep is by how much the file grows at a time.
	growStep = 64 << 20
)

func (o *Options) defaults(dir string) {
	if o.JournalSize == 0 {
		o.JournalSize = DefaultJournalSize
	}
	if o.DirectMin == 0 {
		o.DirectMin = DefaultDirectMin
	}
	if o.Mode == Direct {
		o.DirectMin = blockSize
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Disk == nil {
		o.Disk = disk.At(dir)
	}
	if o.MetaFS == nil {
		o.MetaFS = vfs.Default
		o.MetaPath = o.MetaFS.PathJoin(dir, metaDir)
	}
}

// collection is an open collection.
type collection struct {
	name objstore.Coll
	id   uint64 // in keys; never used again
}

// Store is an open store.
type Store struct {
	opt   Options
	super *Superblock
	lock  io.Closer
	file  disk.File
	db    *pebble.DB
	jrnl  *journal.Journal

	colls   atomic.Pointer[map[objstore.Coll]*collection] // replaced, never changed
	cache   *cache
	pending pendingData
	space   space
	stats   counters
	helpers chan struct{} // a place for each goroutine that helps a read

	// What the submitter owns.
	mu       sync.Mutex
	state    state
	closed   bool
	exec     exec
	applying atomic.Uint64 // number of the record that is going to Pebble

	// applied is held from a record's entry into the journal until Pebble has its
	// batch: who holds it sees no record in one and not in the other.
	applied sync.Mutex

	// Records that the checkpoint has not passed, in order.
	recMu   sync.Mutex
	records []*record

	failed       atomic.Pointer[error]
	ckpt         checkpointer
	fatal        atomic.Bool // Pebble stopped in the middle: it cannot be closed
	damageMu     sync.Mutex
	damage       atomic.Pointer[map[uint64]error] // by number of the collection; nil: none. Replaced, never changed
	distrust     bool                             // what was replayed may be damaged: check it when it is read
	room         *metaRoom
	compacted    chan struct{}                   // Pebble has ended a compaction
	waiters      atomic.Pointer[journal.Journal] // jrnl, for room, which may ask before it is open
	replayedHeld int64                           // memory of the records that were replayed
}

var _ objstore.Store = (*Store)(nil)

// fail makes the store refuse all further transactions.
func (s *Store) fail(err error) {
	if !s.failed.CompareAndSwap(nil, &err) {
		return
	}
	s.opt.Log.Error("store failed", "path", s.opt.Disk.Path(), "err", err)
	if s.jrnl != nil {
		s.jrnl.Fail(err)
	}
	if f := s.opt.Events.Failed; f != nil {
		f(err)
	}
}

// broken returns why the store has failed, if it has.
func (s *Store) broken() error {
	if p := s.failed.Load(); p != nil {
		return fmt.Errorf("store has failed: %w: %w", *p, objstore.ErrIO)
	}
	return nil
}

// gate returns once the journal has all that Pebble has been given.
func (s *Store) gate() error {
	if s.jrnl == nil {
		return nil // replay: the journal has it all
	}
	return s.jrnl.Wait(s.applying.Load())
}

func (s *Store) coll(c objstore.Coll) (*collection, error) {
	x := (*s.colls.Load())[c]
	if x == nil {
		return nil, fmt.Errorf("collection %v: %w", c, objstore.ErrNotFound)
	}
	return x, nil
}

// Submit implements objstore.Store.
func (s *Store) Submit(tx *objstore.Txn, done func(error)) error {
	defer tx.Release()
	if err := tx.Check(); err != nil {
		return err
	}
	prep := prepare(tx)
	defer prep.release()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return objstore.ErrClosed
	}
	if err := s.broken(); err != nil {
		return err
	}
	x := &s.exec
	x.begin(s, tx, prep)
	if err := x.run(); err != nil {
		x.rollback()
		return err
	}
	if err := x.commit(done); err != nil {
		return err
	}
	return nil
}

// Sync implements objstore.Store.
func (s *Store) Sync() error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return objstore.ErrClosed
	}
	if err := s.jrnl.Sync(); err != nil {
		return s.broken()
	}
	return nil
}

// Close implements objstore.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	err := s.jrnl.Close()
	close(s.room.hurried)
	if e := s.ckpt.stop(s); err == nil {
		err = e
	}
	return errors.Join(err, s.release())
}

// release lets go of what Open took.
func (s *Store) release() (err error) {
	if s.db != nil && !s.fatal.Load() {
		err = s.db.Close()
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// setColls publishes a change of the collections; nil removes.
func (s *Store) setColls(changes map[objstore.Coll]*collection) {
	m := maps.Clone(*s.colls.Load())
	for c, x := range changes {
		if x == nil {
			delete(m, c)
		} else {
			m[c] = x
		}
	}
	s.colls.Store(&m)
}

// Usage implements objstore.Store.
func (s *Store) Usage() objstore.Usage {
	u := objstore.Usage{Stored: s.stats.stored.Load(), Allocated: s.stats.allocated.Load() * blockSize}
	s.space.usage(&u)
	u.Metadata += s.super.DataOff
	m := s.stats.meta.Load()
	u.Omap = s.stats.omap.Load()
	u.Metadata += m - min(m, u.Omap)
	u.Omap += s.stats.omapPut.Load()
	return u
}

// space is the blocks of the file.
type space struct {
	mu   sync.Mutex
	used *alloc.Bitmap // in use, or given up and not yet passed by the checkpoint
	held uint64        // of these, given up
	max  uint64        // blocks that the file may grow to
	full bool          // the file system has no more
}

// usage fills in Total and Available.
func (p *space) usage(u *objstore.Usage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total, free := p.max, p.used.Free()+p.held
	if p.full {
		total = p.used.Size()
	}
	free += total - min(total, p.used.Size())
	free -= min(free, p.reserve())
	u.Total, u.Available = total*blockSize, free*blockSize
}

// reserve is how many blocks are kept for transactions that may take the last.
func (p *space) reserve() uint64 { return min(max(p.used.Size()/64, 64), 1<<14) }

// take hands out n blocks of the file as it is. If there are not enough it says
// how many are missing, and how many wait for a checkpoint. Only with last set
// the reserve may be taken.
func (p *space) take(dst []alloc.Run, n uint64, last bool) (out []alloc.Run, lack, held uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := n
	if !last {
		want += p.reserve()
	}
	if free := p.used.Free(); free < want {
		return dst, want - free, p.held
	}
	out, _ = p.used.Alloc(dst, n)
	return out, 0, 0
}
