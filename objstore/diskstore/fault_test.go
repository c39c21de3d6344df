package diskstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/disk/faultdisk"
	"github.com/pulpo-storage/pulpo/disk/memdisk"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/objstore/storetest"
)

func name(i int) object.ID { return object.New(1, "", "", fmt.Sprintf("object%d", i)) }

// submit waits until a transaction is durable.
func submit(s objstore.Store, f func(*objstore.Txn)) error {
	var tx objstore.Txn
	f(&tx)
	done := make(chan error, 1)
	if err := s.Submit(&tx, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(seed, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seed + i/7 + i>>10)
	}
	return b
}

// where returns the byte of the file that holds a byte of an object.
func where(t testing.TB, s *diskstore.Store, o object.ID, off uint64) int64 {
	t.Helper()
	var w bytes.Buffer
	must(t, s.Dump(&w, true))
	for d := json.NewDecoder(&w); d.More(); {
		var x struct {
			Object  string
			Extents []struct{ Off, Len, At uint64 }
		}
		must(t, d.Decode(&x))
		for _, e := range x.Extents {
			if x.Object == o.String() && e.Off <= off && off < e.Off+e.Len {
				return int64(e.At + off - e.Off)
			}
		}
	}
	t.Fatalf("%v has no byte %d", o, off)
	return 0
}

func TestBitRotIsEIO(t *testing.T) {
	t.Parallel()
	m := memdisk.New(128 << 20)
	opt := testOptions(t)
	opt.Disk = m
	var bad atomic.Int64
	opt.Events.ChecksumError = func(c objstore.Coll, o object.ID, off uint64) {
		if !c.Meta || o != name(1) || off != 8192 {
			t.Errorf("event names %v %v %d", c, o, off)
		}
		bad.Add(1)
	}
	s := create(t, opt)
	data := content(1, 20000)
	must(t, submit(s, func(tx *objstore.Txn) { tx.Write(objstore.MetaColl, name(1), 0, buffer.ListOf(data)) }))
	must(t, submit(s, func(tx *objstore.Txn) { tx.Write(objstore.MetaColl, name(2), 0, buffer.ListOf(data)) }))
	s = reopen(t, s, opt) // nothing in memory
	must(t, m.Corrupt("block", where(t, s, name(1), 9000), 5))
	check := func() {
		t.Helper()
		if _, err := s.Read(objstore.MetaColl, name(1), 0, 20000); !errors.Is(err, objstore.ErrIO) {
			t.Fatalf("read: %v", err)
		}
		// The rest of the object and the other one are as they were.
		for _, r := range [][2]uint64{{0, 8192}, {12288, 7712}} {
			l, err := s.Read(objstore.MetaColl, name(1), r[0], r[1])
			if err != nil || !bytes.Equal(l.Bytes(), data[r[0]:r[0]+r[1]]) {
				t.Fatalf("read of %v: %v", r, err)
			}
		}
		if l, err := s.Read(objstore.MetaColl, name(2), 0, 20000); err != nil || !bytes.Equal(l.Bytes(), data) {
			t.Fatal(err)
		}
	}
	check()
	// A write into the block must not bless what is left of it.
	before := s.Stats().ChecksumErrors
	if err := submit(s, func(tx *objstore.Txn) { tx.Write(objstore.MetaColl, name(1), 8200, buffer.ListOf([]byte("x"))) }); !errors.Is(err, objstore.ErrIO) {
		t.Fatalf("write into a rotten block: %v", err)
	}
	check()
	if n := s.Stats().ChecksumErrors; before != 1 || n != 3 || bad.Load() != 3 {
		t.Fatalf("%d, then %d checksum errors counted, %d events", before, n, bad.Load())
	}
	r, err := s.Check(true)
	if err != nil || len(r.Findings) != 1 || r.Findings[0].Kind != diskstore.BadData || r.Findings[0].Object != name(1) {
		t.Fatalf("%+v, %v", r, err)
	}
	// A write of the whole block heals it.
	must(t, submit(s, func(tx *objstore.Txn) {
		tx.Write(objstore.MetaColl, name(1), 8192, buffer.ListOf(data[8192:12288]))
	}))
	if l, err := s.Read(objstore.MetaColl, name(1), 0, 20000); err != nil || !bytes.Equal(l.Bytes(), data) {
		t.Fatal(err)
	}
	must(t, s.Close())
}

func TestReadErrorIsEIO(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	d := faultdisk.New(opt.Disk)
	opt.Disk = d
	s := create(t, opt)
	must(t, submit(s, func(tx *objstore.Txn) { tx.Write(objstore.MetaColl, name(1), 0, buffer.ListOf(content(1, 9000))) }))
	s = reopen(t, s, opt)
	d.Set(faultdisk.EIO("read", where(t, s, name(1), 4096), 1))
	if _, err := s.Read(objstore.MetaColl, name(1), 0, 9000); !errors.Is(err, objstore.ErrIO) {
		t.Fatal(err)
	}
	if l, err := s.Read(objstore.MetaColl, name(1), 0, 4096); err != nil || l.Len() != 4096 {
		t.Fatal(err)
	}
	if n := s.Stats().ReadErrors; n != 1 {
		t.Fatalf("%d read errors counted", n)
	}
	d.Set(nil)
	if l, err := s.Read(objstore.MetaColl, name(1), 0, 9000); err != nil || !bytes.Equal(l.Bytes(), content(1, 9000)) {
		t.Fatal(err)
	}
	must(t, s.Close())
}

// When the disk stops taking writes the transactions under way fail, later ones
// are refused, reads go on, and what was acknowledged is found again.
func TestWriteErrorStopsTheStore(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"write", "sync"} {
		opt := testOptions(t)
		d := faultdisk.New(opt.Disk)
		opt.Disk = d
		failed := make(chan error, 1)
		opt.Events.Failed = func(err error) { failed <- err }
		s := create(t, opt)
		must(t, submit(s, func(tx *objstore.Txn) { tx.Write(objstore.MetaColl, name(1), 0, buffer.ListOf(content(1, 9000))) }))
		d.Set(func(op faultdisk.Op) error {
			if op.Kind == kind {
				return errno.EIO
			}
			return nil
		})
		if err := submit(s, func(tx *objstore.Txn) { tx.Write(objstore.MetaColl, name(2), 0, buffer.ListOf(content(2, 9000))) }); !errors.Is(err, objstore.ErrIO) {
			t.Fatalf("%s: commit: %v", kind, err)
		}
		if err := <-failed; err == nil {
			t.Fatal("no event")
		}
		d.Set(nil)
		if err := submit(s, func(tx *objstore.Txn) { tx.Touch(objstore.MetaColl, name(3)) }); !errors.Is(err, objstore.ErrIO) {
			t.Fatalf("%s: submit: %v", kind, err)
		}
		if l, err := s.Read(objstore.MetaColl, name(1), 0, 9000); err != nil || !bytes.Equal(l.Bytes(), content(1, 9000)) {
			t.Fatal(err)
		}
		if err := s.Close(); err == nil {
			t.Fatal("close of a failed store says nothing")
		}
		opt.Events.Failed = nil
		s = open(t, opt)
		if l, err := s.Read(objstore.MetaColl, name(1), 0, 9000); err != nil || !bytes.Equal(l.Bytes(), content(1, 9000)) {
			t.Fatal(err)
		}
		must(t, s.Close())
	}
}

// fillUp writes objects until there is no space and returns how many fit.
func fillUp(t testing.TB, s objstore.Store, size int) int {
	t.Helper()
	for i := 0; ; i++ {
		before := s.Usage()
		err := submit(s, func(tx *objstore.Txn) {
			tx.SetAttr(objstore.MetaColl, name(i), "_", []byte("info"))
			tx.Write(objstore.MetaColl, name(i), 0, buffer.ListOf(content(i, size)))
		})
		switch {
		case errors.Is(err, objstore.ErrNoSpace):
			if _, err := s.Stat(objstore.MetaColl, name(i)); !errors.Is(err, objstore.ErrNotFound) {
				t.Fatalf("a refused write left its object: %v", err)
			}
			if before.Stored != s.Usage().Stored || before.Allocated != s.Usage().Allocated {
				t.Fatalf("usage %+v, before the refused write %+v", s.Usage(), before)
			}
			return i
		case err != nil:
			t.Fatal(err)
		case i > 10000:
			t.Fatal("never full")
		}
	}
}

func TestFullStoreLosesNothing(t *testing.T) {
	t.Parallel()
	for _, size := range []int{9000, 200000} {
		opt := testOptions(t)
		opt.Size = 24 << 20
		s := create(t, opt)
		n := fillUp(t, s, size)
		if n*size < 10<<20 {
			t.Fatalf("full after %d objects of %d bytes", n, size)
		}
		for round := range 3 {
			for i := range n {
				l, err := s.Read(objstore.MetaColl, name(i), 0, uint64(size))
				if err != nil || !bytes.Equal(l.Bytes(), content(i, size)) {
					t.Fatalf("object %d: %v", i, err)
				}
				l.Release()
			}
			if round == 0 {
				s = reopen(t, s, opt)
				if err := submit(s, func(tx *objstore.Txn) {
					tx.Write(objstore.MetaColl, name(n), 0, buffer.ListOf(content(n, size)))
				}); !errors.Is(err, objstore.ErrNoSpace) {
					t.Fatalf("a full store takes a write after reopening: %v", err)
				}
			}
		}
		// Deletes pass, also one that must keep a part of a block, and make room.
		must(t, submit(s, func(tx *objstore.Txn) { tx.Truncate(objstore.MetaColl, name(0), 100) }))
		for i := 1; i < n/2; i++ {
			must(t, submit(s, func(tx *objstore.Txn) { tx.Remove(objstore.MetaColl, name(i)) }))
		}
		for i := 1; i < n/4; i++ {
			must(t, submit(s, func(tx *objstore.Txn) {
				tx.Write(objstore.MetaColl, name(i), 0, buffer.ListOf(content(i+5, size)))
			}))
		}
		s = reopen(t, s, opt)
		for i := 1; i < n/4; i++ {
			l, err := s.Read(objstore.MetaColl, name(i), 0, uint64(size))
			if err != nil || !bytes.Equal(l.Bytes(), content(i+5, size)) {
				t.Fatalf("object %d: %v", i, err)
			}
		}
		if r, err := s.Check(true); err != nil || len(r.Findings) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		must(t, s.Close())
	}
}

// A file system with less room than the store was promised is ErrNoSpace, too.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	m := memdisk.New(30 << 20)
	opt := testOptions(t)
	opt.Disk, opt.Size = m, 1<<30
	s := create(t, opt)
	n := fillUp(t, s, 100000)
	must(t, submit(s, func(tx *objstore.Txn) { tx.Remove(objstore.MetaColl, name(0)); tx.Remove(objstore.MetaColl, name(1)) }))
	must(t, submit(s, func(tx *objstore.Txn) {
		tx.Write(objstore.MetaColl, name(0), 0, buffer.ListOf(content(0, 100000)))
	}))
	s = reopen(t, s, opt)
	for i := 2; i < n; i++ {
		l, err := s.Read(objstore.MetaColl, name(i), 0, 100000)
		if err != nil || !bytes.Equal(l.Bytes(), content(i, 100000)) {
			t.Fatal(err)
		}
	}
	// When others have left room on it, the store goes on.
	more := func() error {
		return submit(s, func(tx *objstore.Txn) {
			tx.Write(objstore.MetaColl, name(n), 0, buffer.ListOf(content(n, 100000)))
		})
	}
	err := more()
	for ; err == nil; err = more() {
		n++
	}
	m.SetCapacity(40 << 20)
	for ; errors.Is(err, objstore.ErrNoSpace); err = more() {
		runtime.Gosched()
	}
	must(t, err)
	must(t, s.Close())
}

func TestRefusesWhatItIsNot(t *testing.T) {
	t.Parallel()
	var fe *diskstore.FormatError
	refused := func(err error, want string) {
		t.Helper()
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	opt := testOptions(t)
	_, err := diskstore.Open("", opt)
	refused(err, "there is no store")

	foreign := testOptions(t)
	if _, err := foreign.Disk.Create("precious"); err != nil {
		t.Fatal(err)
	}
	refused(diskstore.Create("", foreign), "not empty")
	_, err = diskstore.Open("", foreign)
	refused(err, "there is no store in the directory")

	s := create(t, opt)
	refused(diskstore.Create("", opt), "a store already")
	if _, err := diskstore.Open("", opt); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("second opening: %v", err)
	}
	must(t, s.Close())
	must(t, opt.Disk.(*memdisk.Disk).Corrupt("block", 0, 0))
	_, err = diskstore.Open("", opt)
	refused(err, "not a Pulpo store")

	small := testOptions(t)
	small.Disk = memdisk.New(4 << 20)
	if err := diskstore.Create("", small); !errors.Is(err, objstore.ErrNoSpace) {
		t.Errorf("no room: %v", err)
	}
}

// A Create that was cut anywhere can be repeated, and a store that it made is
// whole.
func TestCreateCutAnywhere(t *testing.T) {
	t.Parallel()
	for n := int64(0); ; n++ {
		m := memdisk.New(64 << 20)
		d := faultdisk.New(m)
		opt := testOptions(t)
		opt.Disk, opt.JournalSize = d, 1<<20
		d.Set(faultdisk.CutAfter(n))
		err := diskstore.Create("", opt)
		d.Set(nil)
		if err == nil {
			break
		}
		if n > 100 {
			t.Fatal(err)
		}
		opt.Disk = m.CrashClone(uint64(n), 50, nil)
		opt.MetaFS = vfs.NewCrashableMem() // as if all of it was lost, but for a finished store
		if s, err := diskstore.Open("", opt); err == nil {
			t.Fatalf("cut after %d operations: opened %v", n, s.Stats())
		}
		if names, _ := opt.Disk.List(); len(names) > 0 && names[0] == "block" {
			continue // renamed, though not known to be durable
		}
		s := create(t, opt)
		must(t, s.Close())
	}
}

// Many collections are written at the same time; each must keep its order.
func TestConcurrentCollections(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	opt.JournalSize = 2 << 20 // waits for room
	s := create(t, opt)
	const colls, rounds = 4, 150
	errs := make(chan error, colls)
	coll := func(i int) objstore.Coll { return objstore.PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: uint32(i)}}) }
	for i := range colls {
		go func() {
			c := coll(i)
			var next, called atomic.Int64
			errs <- func() error {
				if err := submit(s, func(tx *objstore.Txn) { tx.CreateColl(c) }); err != nil {
					return err
				}
				for k := range rounds {
					var tx objstore.Txn
					data := content(k, 1+k*37%30000)
					tx.Write(c, name(k%5), 0, buffer.ListOf(data))
					tx.Truncate(c, name(k%5), uint64(len(data)))
					tx.OmapSet(c, name(9), []objstore.KV{{Key: fmt.Sprint(k % 20), Value: []byte(fmt.Sprint(k))}})
					if err := s.Submit(&tx, func(err error) {
						if err != nil || next.Add(1) != int64(k)+1 {
							t.Errorf("callback %d of %v: %v", k, c, err)
						}
						called.Add(1)
					}); err != nil {
						return err
					}
					l, err := s.Read(c, name(k%5), 0, 1<<20)
					if err != nil {
						return err
					}
					if !bytes.Equal(l.Bytes(), data) {
						return fmt.Errorf("%v round %d: read %d bytes, not what was submitted", c, k, l.Len())
					}
					l.Release()
				}
				if err := s.Sync(); err != nil {
					return err
				}
				if called.Load() != rounds {
					return fmt.Errorf("%v: %d callbacks", c, called.Load())
				}
				return nil
			}()
		}()
	}
	for range colls {
		must(t, <-errs)
	}
	if st := s.Stats(); st.Checkpoints == 0 {
		t.Errorf("no checkpoint: %+v", st)
	}
	before, err := storetest.Describe(s)
	must(t, err)
	s = reopen(t, s, opt)
	after, err := storetest.Describe(s)
	must(t, err)
	if before.String() != after.String() {
		t.Error("reopening changed something")
	}
	if r, err := s.Check(true); err != nil || len(r.Findings) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	must(t, s.Close())
}

// metaFull is a store whose metadata finds no room while full is set.
func metaFull(t testing.TB) (opt diskstore.Options, full *atomic.Bool) {
	opt, full = testOptions(t), new(atomic.Bool)
	opt.MetaFS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
			return syscall.ENOSPC
		}
		return nil
	}))
	return opt, full
}

// put writes an object with something in its omap, as a client's write does.
func put(s objstore.Store, i int) error {
	return submit(s, func(tx *objstore.Txn) {
		tx.Write(objstore.MetaColl, name(i), 0, buffer.ListOf(content(i, 4096)))
		tx.OmapSet(objstore.MetaColl, name(-1), []objstore.KV{{Key: fmt.Sprint(i), Value: []byte("log")}})
	})
}

// drop removes an object, with an entry in the omap of another.
func drop(s objstore.Store, i int) error {
	return submit(s, func(tx *objstore.Txn) {
		tx.Remove(objstore.MetaColl, name(i))
		tx.OmapSet(objstore.MetaColl, name(-1), []objstore.KV{{Key: fmt.Sprint(i), Value: []byte("gone")}})
	})
}

// putUntilFull puts objects from n on until that is refused, and returns the
// number of the one that was.
func putUntilFull(t testing.TB, s objstore.Store, n int) int {
	t.Helper()
	for ; ; n++ {
		switch err := put(s, n); {
		case errors.Is(err, objstore.ErrNoSpace):
			return n
		case err != nil:
			t.Fatal(err)
		case n > 5000:
			t.Fatal("never full")
		}
	}
}

// mustHave checks that objects [from, to) are what put wrote.
func mustHave(t testing.TB, s objstore.Store, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		l, err := s.Read(objstore.MetaColl, name(i), 0, 5000)
		if err != nil || !bytes.Equal(l.Bytes(), content(i, 4096)) {
			t.Fatal(i, err)
		}
		l.Release()
	}
}

// When there is no room for metadata, growing transactions are refused, others
// pass as long as the journal takes them, nothing is lost, and with room all goes
// on.
func TestNoRoomForMetadata(t *testing.T) {
	t.Parallel()
	opt, full := metaFull(t)
	s := create(t, opt)
	must(t, put(s, 0))
	full.Store(true)
	n := putUntilFull(t, s, 1)
	before := s.Usage()
	dropped := 0
	for ; dropped < n; dropped++ {
		if err := drop(s, dropped); errors.Is(err, objstore.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if dropped < 20 {
		t.Fatalf("only %d deletes passed", dropped)
	}
	if u := s.Usage(); u.Stored != before.Stored-uint64(dropped)*4096 {
		t.Fatalf("%d bytes stored, %d before %d deletes", u.Stored, before.Stored, dropped)
	}
	if dropped < n {
		// What was refused left no trace.
		mustHave(t, s, dropped, n)
		if err := put(s, n); !errors.Is(err, objstore.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	full.Store(false)
	// It takes a moment until Pebble tries again.
	for err := put(s, n); err != nil; err = put(s, n) {
		if !errors.Is(err, objstore.ErrNoSpace) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	for i := range dropped {
		must(t, put(s, i))
	}
	mustHave(t, s, 0, n+1)
	if r, err := s.Check(true); err != nil || len(r.Findings) > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	s = reopen(t, s, opt)
	mustHave(t, s, 0, n+1)
	must(t, s.Close())
}

// A store that is full is closed without a checkpoint; the journal has what that
// would have written. It opens again, still without room.
func TestCloseWithoutRoomForMetadata(t *testing.T) {
	t.Parallel()
	opt, full := metaFull(t)
	for _, fill := range []bool{true, false} { // the checkpoint waits; or is still to come
		s := create(t, opt)
		must(t, put(s, 0))
		full.Store(true)
		n := 1
		if fill {
			n = putUntilFull(t, s, n)
		}
		for range 2 {
			s = reopen(t, s, opt)
			mustHave(t, s, 0, n)
			if fill {
				putUntilFull(t, s, n)
			}
		}
		full.Store(false)
		s = reopen(t, s, opt)
		mustHave(t, s, 0, n)
		must(t, put(s, n))
		if r, err := s.Check(true); err != nil || len(r.Findings) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		must(t, s.Close())
		must(t, opt.Disk.Remove("block"))
	}
}
