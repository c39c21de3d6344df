package diskstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// metaFormat is the version of Pebble's files. It only grows.
const metaFormat = pebble.FormatTableFormatV6

// metaEvents is what Pebble tells the store. It may hold its locks meanwhile.
type metaEvents struct {
	fatal     func(error) // Pebble cannot go on
	compacted func()      // a compaction has ended
}

// pebbleOptions are those that are good for onodes: values of a few hundred
// bytes, found by their whole key, many of them rewritten soon.
func pebbleOptions(fs vfs.FS, mem memory, log *slog.Logger, on metaEvents) *pebble.Options {
	o := &pebble.Options{
		FS:                    fs,
		DisableWAL:            true,
		FormatMajorVersion:    metaFormat,
		Logger:                &pebbleLog{log, on.fatal},
		CacheSize:             mem.blocks + 2*mem.memTable, // Pebble takes memtables out of it
		MemTableSize:          uint64(mem.memTable),
		L0CompactionThreshold: 4,
		// A batch must never wait: Submit has its record in the journal by then.
		// What bounds memtables is what records may hold (memory.go), and what
		// bounds level 0 is that checkpoints wait for compactions (checkpoint.go).
		MemTableStopWritesThreshold: 1 << 20,
		L0StopWritesThreshold:       1 << 20,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                500,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 1 },
	}
	for i := range o.Levels {
		l := &o.Levels[i]
		l.BlockSize = 8 << 10
		l.IndexBlockSize = 32 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = pebble.TableFilter
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		return pebble.UniformDBCompressionSettings(sstable.NoCompression)
	})
	o.EventListener = &pebble.EventListener{
		BackgroundError: func(err error) {
			if !errors.Is(err, context.Canceled) {
				log.Error("metadata: background error", "err", err)
			}
		},
		CompactionEnd:  func(pebble.CompactionInfo) { on.compacted() },
		DataCorruption: func(i pebble.DataCorruptionInfo) { log.Error("metadata: corruption", "err", i.Details) },
	}
	return o
}

// pebbleLog passes on what Pebble says. Pebble calls Fatalf when it cannot go
// on, and expects not to return: it may hold locks and its state may be torn.
// The store has failed then; the goroutine ends here, for ever.
type pebbleLog struct {
	log *slog.Logger
	bad func(error)
}

func (l *pebbleLog) Infof(format string, args ...any) {}

func (l *pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("metadata: " + fmt.Sprintf(format, args...))
}

func (l *pebbleLog) Fatalf(format string, args ...any) {
	l.bad(fmt.Errorf("metadata: "+format, args...))
	select {}
}

// metaFS is the file system under Pebble.
//
// It holds back the sync of a table until gate returns: Pebble refers to a table
// only after it has synced it, and a table must not become durable before the
// journal has the records that it comes from.
//
// It keeps writes that find no room until there is some (see metaRoom).
//
// It also syncs the directory before Pebble makes a marker, the file whose name
// says which manifest is valid: Pebble does not, so that on a file system that
// keeps no order among new names a crash could leave the marker and lose the
// manifest.
type metaFS struct {
	vfs.FS
	gate func() error
	room *metaRoom
}

func (m *metaFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(m.PathBase(name), "marker.") {
		if err := m.syncDir(m.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return m.open(name, func() (vfs.File, error) { return m.FS.Create(name, c) })
}

func (m *metaFS) syncDir(name string) error {
	d, err := m.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (m *metaFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return m.open(to, func() (vfs.File, error) { return m.FS.ReuseForWrite(from, to, c) })
}

func (m *metaFS) open(name string, f func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	err := m.room.try(func() (err error) { file, err = f(); return err })
	if err != nil {
		return nil, err
	}
	return &metaFile{file, m, strings.HasSuffix(name, ".sst")}, nil
}

func (m *metaFS) Unwrap() vfs.FS { return m.FS }

type metaFile struct {
	vfs.File
	fs    *metaFS
	table bool
}

func (f *metaFile) Write(p []byte) (n int, err error) {
	err = f.fs.room.try(func() error {
		k, err := f.File.Write(p[n:])
		n += k
		return err
	})
	return n, err
}

func (f *metaFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.fs.room.try(func() error {
		k, err := f.File.WriteAt(p[n:], off+int64(n))
		n += k
		return err
	})
	return n, err
}

func (f *metaFile) gate() error {
	if !f.table {
		return nil
	}
	return f.fs.gate()
}

func (f *metaFile) Sync() error {
	if err := f.gate(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *metaFile) SyncData() error {
	if err := f.gate(); err != nil {
		return err
	}
	return f.File.SyncData()
}
