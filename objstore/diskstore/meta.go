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

	"github.com/pulpo-storage/pulpo/errno"
)

// metaFormat is the version of Pebble's files. It only grows.
const metaFormat = pebble.FormatTableFormatV6

// memTableSize is how much metadata Pebble holds in memory before it writes a
// table, unless a checkpoint comes first. There are seldom more than two.
const memTableSize = 16 << 20

// metaEvents is what Pebble tells the store.
type metaEvents struct {
	fatal   func(error) // Pebble cannot go on
	noSpace func(error) // a table could not be written; Pebble tries again
}

// pebbleOptions are those that are good for onodes: values of a few hundred
// bytes, found by their whole key, many of them rewritten soon.
func pebbleOptions(fs vfs.FS, cacheBytes int64, log *slog.Logger, on metaEvents) *pebble.Options {
	o := &pebble.Options{
		FS:                          fs,
		DisableWAL:                  true,
		FormatMajorVersion:          metaFormat,
		Logger:                      &pebbleLog{log, on.fatal},
		CacheSize:                   cacheBytes + 2*memTableSize, // Pebble takes memtables out of it
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       40,
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
			switch {
			case errors.Is(err, context.Canceled):
			case errno.Code(err) == -int32(errno.ENOSPC):
				on.noSpace(err)
			default:
				log.Error("metadata: background error", "err", err)
			}
		},
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

// gatedFS holds back the sync of a table until gate returns: Pebble refers to a
// table only after it has synced it, and a table must not become durable before
// the journal has the records that it comes from.
//
// It also syncs the directory before Pebble makes a marker, the file whose name
// says which manifest is valid: Pebble does not, so that on a file system that
// keeps no order among new names a crash could leave the marker and lose the
// manifest.
type gatedFS struct {
	vfs.FS
	gate func() error
}

func (g *gatedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(g.PathBase(name), "marker.") {
		if err := g.syncDir(g.PathDir(name)); err != nil {
			return nil, err
		}
	}
	f, err := g.FS.Create(name, c)
	return g.wrap(name, f, err)
}

func (g *gatedFS) syncDir(name string) error {
	d, err := g.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (g *gatedFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.ReuseForWrite(from, to, c)
	return g.wrap(to, f, err)
}

func (g *gatedFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return &gatedFile{f, g.gate}, nil
}

func (g *gatedFS) Unwrap() vfs.FS { return g.FS }

type gatedFile struct {
	vfs.File
	gate func() error
}

func (f *gatedFile) Sync() error {
	if err := f.gate(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *gatedFile) SyncData() error {
	if err := f.gate(); err != nil {
		return err
	}
	return f.File.SyncData()
}
