package diskstore

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/alloc"
	"github.com/pulpo-storage/pulpo/objstore/diskstore/journal"
)

var anyID = rapid.Custom(func(t *rapid.T) object.ID {
	name := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "a\x00", "a\x00\x00", "a\x01", "b", "\xff"}), rapid.String())
	return objstore.Canonical(object.ID{
		Pool:      rapid.SampledFrom([]int64{math.MinInt64, -2, -1, 0, 1, 256, math.MaxInt64}).Draw(t, "pool"),
		Hash:      rapid.SampledFrom([]uint32{0, 1, 2, 0x80000000, 0xffffffff, 77}).Draw(t, "hash"),
		Namespace: name.Draw(t, "namespace"), Key: name.Draw(t, "key"), Name: name.Draw(t, "name"),
		Snap: rapid.SampledFrom([]object.SnapID{0, 1, 255, 256, object.NoSnap, object.SnapDir}).Draw(t, "snap"),
	})
})

// Keys order as objects do, and lead back to them.
func TestOnodeKeyKeepsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyID.Draw(t, "a"), anyID.Draw(t, "b")
		ka, kb := onodeKey(nil, 5, &a), onodeKey(nil, 5, &b)
		if got, want := bytes.Compare(ka, kb), a.Compare(b); got != want {
			t.Fatalf("%v and %v: keys compare %d, objects %d", a, b, got, want)
		}
		if bytes.Compare(ka, onodeKey(nil, 5, &object.MaxID)) >= 0 || bytes.Compare(onodeKey(nil, 5, &object.MaxID), numKey(keyOnode, 6)) >= 0 {
			t.Fatal("the maximum is not above")
		}
		c, back, err := decodeOnodeKey(ka)
		if err != nil || c != 5 || back != a {
			t.Fatalf("%+v became %+v, %v", a, back, err)
		}
	})
}

func FuzzOnodeKey(f *testing.F) {
	o := object.New(1, "ns", "key", "name\x00")
	f.Add(onodeKey(nil, 1, &o))
	f.Fuzz(func(t *testing.T, k []byte) {
		c, o, err := decodeOnodeKey(k)
		if err == nil && !bytes.Equal(onodeKey(nil, c, &o), k) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", k, o, onodeKey(nil, c, &o))
		}
	})
}

// testOnode has holes, runs, shared blocks and segments.
func testOnode(segs int) *onode {
	n := &onode{nid: 77, size: 3 * segBlocks * blockSize, omap: true, header: []byte("h"),
		attrs: []objstore.KV{{Key: "", Value: []byte("e")}, {Key: "_", Value: bytes.Repeat([]byte("i"), 250)}}}
	for i := range segs {
		s := &segment{blocks: []block{{}, {at: 500, crc: 1}, {at: 501, crc: 2}, {at: 502 | shared, crc: 3}, {at: 503 | shared, crc: 4}, {}, {}, {at: 9, crc: 5}}}
		n.segs = append(n.segs, segRef{no: uint64(i), seg: s})
	}
	return n
}

func TestOnodeRoundTrip(t *testing.T) {
	t.Parallel()
	n := testOnode(1)
	got, more, err := decodeOnode(n.encode(nil))
	if err != nil || more || !reflect.DeepEqual(got, n) {
		t.Fatalf("%+v, %v, %v", got, more, err)
	}
	// A full segment is one run, cut where its length byte ends.
	full := &segment{}
	for i := range segBlocks {
		full.blocks = append(full.blocks, block{at: 1000 + uint64(i), crc: uint32(i)})
	}
	enc := full.encode(nil)
	if len(enc) > segBlocks*4+10 {
		t.Fatalf("%d bytes", len(enc))
	}
	if s, err := decodeSegment(enc); err != nil || !slices.Equal(s.blocks, full.blocks) {
		t.Fatal(err)
	}
	got, more, err = decodeOnode(testOnode(2).encode(nil))
	if err != nil || !more || got.segs != nil {
		t.Fatal(got, more, err)
	}
}

func TestOnodeGolden(t *testing.T) {
	t.Parallel()
	n := &onode{nid: 300, size: 8192, attrs: []objstore.KV{{Key: "_", Value: []byte("v")}}, segs: []segRef{{seg: &segment{blocks: []block{{}, {at: 5 | shared, crc: 0x04030201}}}}}}
	want := []byte{1, onodeInline, 0xac, 2, 0x80, 0x40, 0, 1, 1, '_', 1, 'v', 0, 0x81, 1, 5, 1, 2, 3, 4, 0}
	if got := n.encode(nil); !bytes.Equal(got, want) {
		t.Fatalf("got  %x\nwant %x", got, want)
	}
}

func FuzzOnode(f *testing.F) {
	f.Add(testOnode(0).encode(nil))
	f.Add(testOnode(1).encode(nil))
	f.Add(testOnode(2).encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, more, err := decodeOnode(b)
		if err != nil {
			return
		}
		again, more2, err := decodeOnode(n.encode(nil))
		if more {
			return // its segments are elsewhere
		}
		if err != nil || more2 || !reflect.DeepEqual(again, n) {
			t.Fatalf("%+v became %+v, %v", n, again, err)
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add(testOnode(1).segs[0].seg.encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSegment(b)
		if err != nil {
			return
		}
		if again, err := decodeSegment(s.encode(nil)); err != nil || !slices.Equal(again.blocks, s.blocks) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	r := &record{placed: []placed{{run: alloc.Run{Start: 5, Len: 2}}, {run: alloc.Run{Start: 9, Len: 1}, direct: true}}, frees: []alloc.Run{{Start: 1, Len: 3}}}
	f.Add(encodeRecord(nil, r, []byte("batch")), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		crcs := make([]uint32, n%16)
		r, batch, err := decodeRecord(b, make([]byte, len(crcs)*blockSize), crcs)
		if err != nil {
			return
		}
		enc := encodeRecord(nil, r, batch)
		again, _, err := decodeRecord(enc, make([]byte, len(crcs)*blockSize), crcs)
		if err != nil || len(again.placed) != len(r.placed) || !slices.Equal(again.frees, r.frees) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzRefChunk(f *testing.F) {
	c := &refChunk{0: 2, 63: 300}
	f.Add(c.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeRefChunk(b)
		if err != nil {
			return
		}
		if again, err := decodeRefChunk(c.encode()); err != nil || *again != *c {
			t.Fatal(err)
		}
	})
}

func TestSuperblock(t *testing.T) {
	t.Parallel()
	s := newSuperblock(1<<30, 1<<20)
	got, err := decodeSuperblock(s.encode())
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("%+v, %v; want %+v", got, err, s)
	}
	refused := func(why string, f func(s *Superblock, b []byte)) {
		t.Helper()
		c := *s
		f(&c, nil)
		b := c.encode()
		f(&Superblock{}, b)
		if _, err := decodeSuperblock(b); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused("another magic", func(_ *Superblock, b []byte) {
		if b != nil {
			b[0] ^= 1
		}
	})
	refused("checksum", func(_ *Superblock, b []byte) {
		if b != nil {
			b[100] ^= 1
		}
	})
	refused("features 0x10 that this program does not know", func(s *Superblock, _ []byte) { s.Incompat = 16 })
	refused("features 0x2 that this program cannot write", func(s *Superblock, _ []byte) { s.ROCompat = 2 })
	refused("type \"mirror\"", func(s *Superblock, _ []byte) { s.Type = "mirror" })
	refused("blocks of 512", func(s *Superblock, _ []byte) { s.BlockSize = 512 })
	refused("layout", func(s *Superblock, _ []byte) { s.DataOff = 4096 })
	refused("layout", func(s *Superblock, _ []byte) { s.JournalSize = 1 << 63 })
	s.Compat = 1 << 40 // may be ignored
	if _, err := decodeSuperblock(s.encode()); err != nil {
		t.Error(err)
	}
}

func FuzzSuperblock(f *testing.F) {
	f.Add(newSuperblock(1<<30, 1<<20).encode()[12:200])
	f.Fuzz(func(t *testing.T, p []byte) {
		b := make([]byte, blockSize)
		copy(b, superMagic)
		copy(b[12:], p)
		binary.LittleEndian.PutUint32(b[8:], journal.Checksum(b[12:]))
		if s, err := decodeSuperblock(b); err == nil {
			if again, err := decodeSuperblock(s.encode()); err != nil || !reflect.DeepEqual(s, again) {
				t.Fatalf("%+v became %+v, %v", s, again, err)
			}
		}
	})
}
