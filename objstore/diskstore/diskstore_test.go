package diskstore_test

import (
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pulpo-storage/pulpo/disk/memdisk"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/objstore/storetest"
)

// testOptions are of a small store in memory.
func testOptions(t testing.TB) diskstore.Options {
	return diskstore.Options{
		Size: 64 << 20, JournalSize: 8 << 20, DirectMin: 64 << 10, Memory: 8 << 20,
		Disk: memdisk.New(128 << 20), MetaFS: vfs.NewCrashableMem(), MetaPath: "meta",
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func open(t testing.TB, opt diskstore.Options) *diskstore.Store {
	t.Helper()
	s, err := diskstore.Open("", opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t testing.TB, opt diskstore.Options) *diskstore.Store {
	t.Helper()
	if err := diskstore.Create("", opt); err != nil {
		t.Fatal(err)
	}
	return open(t, opt)
}

func reopen(t testing.TB, s *diskstore.Store, opt diskstore.Options) *diskstore.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, opt)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, mode := range []diskstore.CommitMode{diskstore.WriteAhead, diskstore.Parallel, diskstore.Direct} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, storetest.Harness{
				Open: func(t testing.TB) objstore.Store {
					opt := testOptions(t)
					opt.Mode = mode
					return &reopenable{create(t, opt), opt}
				},
				Reopen: func(t testing.TB, s objstore.Store) objstore.Store {
					r := s.(*reopenable)
					return &reopenable{reopen(t, r.Store, r.opt), r.opt}
				},
			})
		})
	}
}

type reopenable struct {
	*diskstore.Store
	opt diskstore.Options
}

func TestSameAsMemstore(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		opt := testOptions(t)
		opt.Mode = diskstore.CommitMode(seed % 3)
		s := create(t, opt)
		model := memstore.New()
		g := &storetest.Gen{R: rand.New(rand.NewPCG(seed, 7)), Crossing: true}
		end := storetest.Same(t, g, model, s, 400, func(s objstore.Store) objstore.Store {
			return reopen(t, s.(*diskstore.Store), opt)
		})
		if err := end.Close(); err != nil {
			t.Fatal(err)
		}
		model.Close()
	}
}
