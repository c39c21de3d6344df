package diskstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

var smallStore = diskstore.Options{Size: 256 << 20, JournalSize: 4 << 20}

// flipTable changes a byte of each table that holds some bytes, where they are last.
func flipTable(t *testing.T, dir, what string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "meta", "*.sst"))
	must(t, err)
	found := false
	for _, name := range tables {
		b, err := os.ReadFile(name)
		must(t, err)
		if at := bytes.LastIndex(b, []byte(what)); at >= 0 {
			b[at] ^= 1
			must(t, os.WriteFile(name, b, 0o644))
			found = true
		}
	}
	if !found {
		t.Fatalf("%q is in no table", what)
	}
}

// Each place where the damage may be, of a collection with many objects beside
// another one: what was in the damaged block cannot be read, all else can; the
// collection can be dropped and made anew; and the store is whole after that.
func TestDamagedTable(t *testing.T) {
	t.Parallel()
	sick, well := objstore.PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: 1}, Shard: object.NoShard}), objstore.PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: 2}, Shard: object.NoShard})
	const objects, large = 300, 600 << 10
	fill := func(t *testing.T, s *diskstore.Store, c objstore.Coll) {
		for i := range objects {
			must(t, submit(s, func(tx *objstore.Txn) {
				tx.Write(c, name(i), 0, buffer.ListOf(content(i, 5000)))
				if i == 150 { // more than one segment, far from the beginning
					tx.Write(c, name(i), large, buffer.ListOf(content(i, 5000)))
				}
				tx.SetAttr(c, name(i), "a", fmt.Appendf(nil, "attr %v %03d %0200d", c, i, 0))
				tx.OmapSet(c, name(i), []objstore.KV{{Key: fmt.Sprintf("key %v %03d", c, i), Value: make([]byte, 300)}})
				tx.Clone(c, name(i), object.ID{Pool: 1, Name: fmt.Sprint("clone", i)})
			}))
		}
	}
	for _, place := range []string{
		fmt.Sprintf("attr %v 150", sick),
		fmt.Sprintf("key %v 150", sick),
	} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			must(t, diskstore.Create(dir, smallStore))
			s, err := diskstore.Open(dir, smallStore)
			must(t, err)
			must(t, submit(s, func(tx *objstore.Txn) { tx.CreateColl(sick); tx.CreateColl(well) }))
			fill(t, s, sick)
			fill(t, s, well)
			must(t, s.Close())
			flipTable(t, dir, place)

			s, err = diskstore.Open(dir, smallStore)
			must(t, err)
			readable := func(c objstore.Coll) (n int) {
				for i := range objects {
					attr, err := s.Attr(c, name(i), "a")
					keys := 0
					if err == nil {
						err = s.OmapScan(c, name(i), "", func(string, []byte) bool { keys++; return true })
					}
					switch {
					case err == nil && bytes.HasPrefix(attr, fmt.Appendf(nil, "attr %v %03d", c, i)) && keys == 1:
						n++
					case errors.Is(err, objstore.ErrDamaged) && errors.Is(err, objstore.ErrIO):
					default:
						t.Fatalf("object %d of %v: %d keys, %v", i, c, keys, err)
					}
				}
				return n
			}
			if s.Damaged(sick) != nil || s.Damaged(well) != nil {
				t.Fatal("damaged before anybody has looked")
			}
			if n := readable(sick); n == objects || n < objects/2 {
				t.Fatalf("%d objects can be read", n)
			}
			if n := readable(well); n != objects {
				t.Fatalf("%d objects of the sound collection can be read", n)
			}
			if s.Damaged(sick) == nil || s.Damaged(well) != nil {
				t.Fatal(s.Damaged(sick), s.Damaged(well))
			}
			r, err := s.Check(false)
			if err != nil || len(r.Findings) == 0 || r.Findings[0].Kind != diskstore.BadRecord {
				t.Fatalf("%+v, %v", r, err)
			}
			// As long as the collection lives nothing of it is thrown away, and what
			// takes the place of an object that cannot be read can be read.
			must(t, submit(s, func(tx *objstore.Txn) { tx.Remove(sick, name(150)); tx.Touch(sick, name(150)) }))
			must(t, s.Close())
			s, err = diskstore.Open(dir, smallStore)
			must(t, err)
			if _, err := s.Stat(sick, name(150)); err != nil {
				t.Fatal(err)
			}

			must(t, submit(s, func(tx *objstore.Txn) { tx.DropColl(sick); tx.CreateColl(sick) }))
			if ids, _, err := s.List(sick, object.MinID, 10); err != nil || len(ids) != 0 || s.Damaged(sick) != nil {
				t.Fatal(ids, err, s.Damaged(sick))
			}
			fill(t, s, sick)
			must(t, s.Close())
			s, err = diskstore.Open(dir, smallStore)
			must(t, err)
			if n := readable(sick) + readable(well); n != 2*objects {
				t.Fatalf("%d objects can be read", n)
			}
			if r, err := s.Check(true); err != nil || len(r.Findings) != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			must(t, s.Close())
		})
	}
}

// A sweep that was cut short is begun again, or ended.
func TestSweepIsCutShort(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"meta.tmp", "meta.new"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			must(t, diskstore.Create(dir, smallStore))
			s, err := diskstore.Open(dir, smallStore)
			must(t, err)
			must(t, submit(s, func(tx *objstore.Txn) {
				tx.Write(objstore.MetaColl, name(1), 0, buffer.ListOf(content(1, 50000)))
			}))
			must(t, s.Close())
			if at == "meta.new" {
				must(t, os.Rename(filepath.Join(dir, "meta"), filepath.Join(dir, at)))
			}
			for _, d := range []string{"meta", "meta.tmp"} { // half removed, or half made
				if d == "meta" && at == "meta.tmp" {
					continue
				}
				must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
				must(t, os.WriteFile(filepath.Join(dir, d, "000005.sst"), []byte("half"), 0o644))
			}
			s, err = diskstore.Open(dir, smallStore)
			must(t, err)
			l, err := s.Read(objstore.MetaColl, name(1), 0, 50000)
			if err != nil || !bytes.Equal(l.Bytes(), content(1, 50000)) {
				t.Fatal(err)
			}
			l.Release()
			if r, err := s.Check(true); err != nil || len(r.Findings) != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			must(t, s.Close())
			for _, d := range []string{"meta.tmp", "meta.new"} {
				if _, err := os.Stat(filepath.Join(dir, d)); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", d, err)
				}
			}
		})
	}
}
