package diskstore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/disk/memdisk"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
)

// Each kind of damage is found, by its name, and nothing else.
func TestFsckFinds(t *testing.T) {
	t.Parallel()
	a, b, big := object.New(1, "", "", "a"), object.New(1, "", "", "b"), object.New(1, "", "", "big")
	onode := func(s *Store, o object.ID) *onode {
		n, err := s.onode(cacheKey{0, o})
		if err != nil || n == nil {
			t.Fatal(n, err)
		}
		c := *n
		return &c
	}
	set := func(s *Store, k, v []byte) {
		if err := s.db.Set(k, v, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		want   FindingKind
		damage func(s *Store)
	}{
		{"", func(*Store) {}},
		{Leaked, func(s *Store) {
			if _, ok := s.space.used.Alloc(nil, 3); !ok {
				t.Fatal("full")
			}
		}},
		{NotInUse, func(s *Store) {
			if err := s.space.used.Release(alloc.Run{Start: onode(s, a).block(0).phys(), Len: 1}); err != nil {
				t.Fatal(err)
			}
		}},
		{BadRefCount, func(s *Store) {
			at := onode(s, big).block(0).phys()
			r, err := s.refChunk(at / refBlocks)
			if err != nil || r[at%refBlocks] != 2 {
				t.Fatal(r, err)
			}
			r[at%refBlocks] = 3
			set(s, numKey(keyRefs, at/refBlocks), r.encode())
		}},
		{BadRefCount, func(s *Store) {
			at := onode(s, big).block(0).phys()
			if err := s.db.Delete(numKey(keyRefs, at/refBlocks), pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}},
		{DoubleUse, func(s *Store) {
			// b's block is a's; b's own is leaked, which is found as well.
			n := onode(s, b)
			own := n.block(0).phys()
			n.segs = []segRef{{seg: &segment{[]block{onode(s, a).block(0)}}}}
			set(s, onodeKey(nil, 0, &b), n.encode(nil))
			if err := s.space.used.Release(alloc.Run{Start: own, Len: 1}); err != nil {
				t.Fatal(err)
			}
			s.state.allocated--
		}},
		{BadData, func(s *Store) {
			if err := s.opt.Disk.(*memdisk.Disk).Corrupt(blockFile, int64(onode(s, a).block(0).phys()*blockSize)+7, 1); err != nil {
				t.Fatal(err)
			}
		}},
		{BadUsage, func(s *Store) { s.state.stored++ }},
		{Orphan, func(s *Store) { set(s, omapKey(nil, 1<<40, "k"), nil) }},
		{Orphan, func(s *Store) { set(s, segmentKey(nil, 1<<40, 1), (&segment{[]block{{at: 9}}}).encode(nil)) }},
		{BadRecord, func(s *Store) { set(s, []byte{keyOnode, 1, 2}, nil) }},
		{BadRecord, func(s *Store) { set(s, numKey(keyRefs, 1<<40), []byte{1}) }},
	} {
		opt := Options{Size: 32 << 20, JournalSize: 1 << 20, Disk: memdisk.New(64 << 20), MetaFS: vfs.NewMem(), MetaPath: "meta"}
		if err := Create("", opt); err != nil {
			t.Fatal(err)
		}
		s, err := Open("", opt)
		if err != nil {
			t.Fatal(err)
		}
		var tx objstore.Txn
		tx.Write(objstore.MetaColl, a, 0, buffer.ListOf([]byte("a")))
		tx.Write(objstore.MetaColl, b, 0, buffer.ListOf([]byte("b")))
		tx.OmapSet(objstore.MetaColl, b, []objstore.KV{{Key: "k", Value: []byte("v")}})
		tx.Write(objstore.MetaColl, big, 0, buffer.ListOf(make([]byte, 20000)))
		tx.Write(objstore.MetaColl, big, 1<<20, buffer.ListOf(make([]byte, 200000)))
		tx.Clone(objstore.MetaColl, big, big.At(4))
		if err := s.Submit(&tx, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		c.damage(s)
		r, err := s.Check(true)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			if len(r.Findings) > 0 || r.Objects != 4 || r.Shared != 54 || r.Verified != r.Blocks+r.Shared {
				t.Fatalf("%+v", r)
			}
		} else if len(r.Findings) == 0 {
			t.Errorf("%s is not found", c.want)
		}
		for _, f := range r.Findings {
			if f.Kind != c.want {
				t.Errorf("%v, want %s", f, c.want)
			}
		}
		s.Close() // it may well fail now
	}
}

// What Pebble has lost, while the journal no longer has it, must not pass for a
// younger state of the store.
func TestMetadataBehindTheJournal(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	opt := Options{Size: 32 << 20, JournalSize: 1 << 20, Disk: memdisk.New(64 << 20), MetaFS: fs, MetaPath: "meta"}
	if err := Create("", opt); err != nil {
		t.Fatal(err)
	}
	s, err := Open("", opt)
	if err != nil {
		t.Fatal(err)
	}
	var tx objstore.Txn
	tx.Touch(objstore.MetaColl, object.New(1, "", "", "a"))
	if err := s.Submit(&tx, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The journal's one record is destroyed, and with it what it says is newer
	// than the metadata: that is the state of a store whose journal was swapped.
	db, err := pebble.Open("meta", pebbleOptions(fs, shareOut(8<<20), s.opt.Log, metaEvents{}))
	if err != nil {
		t.Fatal(err)
	}
	st := state{seq: 9, nextNID: 5, nextColl: 1}
	if err := db.Set([]byte{keyState}, st.encode(), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("", opt); err == nil {
		t.Fatal("opened though records are missing")
	}
}
