package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/disk/faultdisk"
	"github.com/pulpo-storage/pulpo/disk/memdisk"
	"github.com/pulpo-storage/pulpo/errno"
)

const dataOff = 2 << 20 // where direct data goes in the tests

func newRing(t testing.TB, d disk.Dir, size int64) Ring {
	f, err := d.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Allocate(0, dataOff+1<<20), f.Sync(), d.Sync()); err != nil {
		t.Fatal(err)
	}
	return Ring{File: f, Off: Block, Size: size, Salt: 0x1234567890abcdef}
}

func reopen(t testing.TB, d disk.Dir, r Ring) Ring {
	f, err := d.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	r.File = f
	return r
}

var start = Position{Seq: 1}

func ignore(error) {}

// testRecord is the i-th record of a test: sizes differ, content tells i.
func testRecord(i uint64) *Record {
	r := &Record{Meta: fmt.Appendf(nil, "record %d %s", i, bytes.Repeat([]byte{'x'}, int(i*37%5000)))}
	for k := range i % 3 {
		b := bytes.Repeat([]byte{byte(i + k)}, Block)
		r.Blocks = append(r.Blocks, b)
		r.CRCs = append(r.CRCs, Checksum(b))
	}
	if i%5 == 0 {
		b := disk.Aligned(2 * Block)
		binary.LittleEndian.PutUint64(b[Block:], i)
		r.Direct = append(r.Direct, Direct{Off: dataOff + int64(i%100)*2*Block, Data: b, CRCs: []uint32{Checksum(b[:Block]), Checksum(b[Block:])}})
	}
	return r
}

func submit(t testing.TB, j *Journal, r *Record) uint64 {
	n := Need{Size: Size(r)}
	if err := j.Reserve(n, nil); err != nil {
		t.Fatal(err)
	}
	return j.Append(r, n)
}

func checkRecord(t testing.TB, r Replayed) {
	t.Helper()
	want := testRecord(r.Seq)
	if !bytes.Equal(r.Meta, want.Meta) || !bytes.Equal(r.Blocks, bytes.Join(want.Blocks, nil)) || len(r.Bad) > 0 {
		t.Fatalf("record %d is not what was appended: %d bytes of meta, %d of blocks, bad %v", r.Seq, len(r.Meta), len(r.Blocks), r.Bad)
	}
}

// A ring of 64 blocks is gone around many times while a reader releases; what is
// not released is always found again.
func TestAroundTheRing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	d := memdisk.New(8 << 20)
	ring := newRing(t, d, 64*Block)
	var acked atomic.Uint64
	var j *Journal
	var released atomic.Pointer[Position]
	released.Store(&start)
	var mu sync.Mutex
	release := func() {
		mu.Lock()
		defer mu.Unlock()
		p := j.Durable()
		j.Release(p)
		released.Store(&p)
	}
	j = Open(Config{Ring: ring, Mode: Parallel, Full: release, Failed: ignore}, start, start)
	for i := uint64(1); i <= 600; i++ {
		rec := testRecord(i)
		rec.Meta = rec.Meta[:min(len(rec.Meta), 3000)]
		if len(rec.Blocks) > 1 {
			rec.Blocks, rec.CRCs = rec.Blocks[:1], rec.CRCs[:1]
		}
		rec.Done = func(err error) {
			if err != nil || acked.Add(1) != i {
				t.Errorf("record %d: callback out of order, or %v", i, err)
			}
		}
		if got := submit(t, j, rec); got != i {
			t.Fatalf("record %d got number %d", i, got)
		}
		if r.IntN(4) == 0 {
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if r.IntN(20) == 0 && i < 595 {
			release()
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if acked.Load() != 600 {
		t.Fatalf("%d callbacks", acked.Load())
	}
	st := j.Stats()
	if st.Records != 600 || st.Bytes < 3*uint64(ring.Size) {
		t.Fatalf("stats %+v", st)
	}
	// From the last release on all is there, whatever lap it is on.
	tail, seen := *released.Load(), uint64(0)
	end, err := Replay(ring, tail, func(r Replayed) error {
		if r.Seq != tail.Seq+seen {
			t.Fatalf("record %d, want %d", r.Seq, tail.Seq+seen)
		}
		seen++
		return nil
	})
	if err != nil || end != j.Durable() || seen == 0 {
		t.Fatalf("replay from %+v ended at %+v after %d records, %v; want %+v", tail, end, seen, err, j.Durable())
	}
}

func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Parallel, WriteAhead} {
		d := memdisk.New(8 << 20)
		ring := newRing(t, d, 256*Block)
		var acked atomic.Uint64
		type cut struct {
			d     *memdisk.Disk
			acked uint64
		}
		var cuts []cut
		var seed uint64
		d.SetHook(func(memdisk.Op) error {
			k := acked.Load()
			seed++
			cuts = append(cuts, cut{d.CrashClone(seed, int(seed%3)*50, nil), k})
			return nil
		})
		j := Open(Config{Ring: ring, Mode: mode, Full: func() { t.Error("the ring is full") }, Failed: ignore}, start, start)
		const n = 60
		for i := uint64(1); i <= n; i++ {
			rec := testRecord(i)
			rec.Done = func(error) { acked.Add(1) }
			submit(t, j, rec)
			if i%4 == 0 {
				if err := j.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		for i, c := range cuts {
			after := reopen(t, c.d, ring)
			var last uint64
			end, err := Replay(after, start, func(r Replayed) error {
				checkRecord(t, r)
				if r.Seq != last+1 {
					t.Fatalf("record %d after %d", r.Seq, last)
				}
				last = r.Seq
				for _, w := range testRecord(r.Seq).Direct {
					got := make([]byte, len(w.Data))
					if _, err := after.File.ReadAt(got, w.Off); err != nil || !bytes.Equal(got, w.Data) {
						t.Fatalf("cut %d: direct data of record %d is not there", i, r.Seq)
					}
				}
				return nil
			})
			if err != nil || last < c.acked || end.Seq != last+1 {
				t.Fatalf("cut %d: %d records, %d were acknowledged, end %+v, %v", i, last, c.acked, end, err)
			}
			// The journal goes on from there, and a torn group does not come back.
			if err := Invalidate(after, end); err != nil {
				t.Fatal(err)
			}
			if again, err := Replay(after, start, func(Replayed) error { return nil }); err != nil || again != end {
				t.Fatalf("cut %d: the second replay ends at %+v, the first at %+v, %v", i, again, end, err)
			}
			j2 := Open(Config{Ring: after, Mode: mode, Full: func() {}, Failed: ignore}, start, end)
			submit(t, j2, testRecord(end.Seq))
			if err := j2.Close(); err != nil {
				t.Fatal(err)
			}
			if again, err := Replay(after, start, func(r Replayed) error { checkRecord(t, r); return nil }); err != nil || again.Seq != end.Seq+1 {
				t.Fatalf("cut %d: after one more record the end is %+v, want %d, %v", i, again, end.Seq+1, err)
			}
		}
		if len(cuts) < 30 {
			t.Fatalf("only %d cuts", len(cuts))
		}
	}
}

// Rot in data that was durable does not hide what came after it.
func TestRotInTheMiddle(t *testing.T) {
	t.Parallel()
	d := memdisk.New(8 << 20)
	ring := newRing(t, d, 256*Block)
	j := Open(Config{Ring: ring, Mode: Parallel, Full: func() {}, Failed: ignore}, start, start)
	for i := uint64(1); i <= 5; i++ {
		submit(t, j, testRecord(i))
		if err := j.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	// Record 2 has two blocks after the one of its group; record 1 has one.
	off := ring.Off + 2*Block + Block + 100
	if err := d.Corrupt("f", off, 3); err != nil {
		t.Fatal(err)
	}
	var bad []int
	end, err := Replay(ring, start, func(r Replayed) error {
		if r.Seq == 2 {
			bad = r.Bad
		} else {
			checkRecord(t, r)
		}
		return nil
	})
	if err != nil || end.Seq != 6 || len(bad) != 1 {
		t.Fatalf("end %+v, %v, bad %v", end, err, bad)
	}
}

func TestOtherSaltIsNoGroup(t *testing.T) {
	t.Parallel()
	d := memdisk.New(8 << 20)
	ring := newRing(t, d, 64*Block)
	j := Open(Config{Ring: ring, Mode: Parallel, Full: func() {}, Failed: ignore}, start, start)
	submit(t, j, testRecord(1))
	j.Close()
	ring.Salt++
	if end, err := Replay(ring, start, func(Replayed) error { t.Error("found a record"); return nil }); err != nil || end != start {
		t.Fatal(end, err)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	m := memdisk.New(8 << 20)
	d := faultdisk.New(m)
	ring := newRing(t, d, 64*Block)
	j := Open(Config{Ring: ring, Mode: Parallel, Full: func() {}, Failed: ignore}, start, start)
	d.Set(faultdisk.EIO("write", 0, 1<<30))
	got := make(chan error, 2)
	rec := testRecord(1)
	rec.Done = func(err error) { got <- err }
	submit(t, j, rec)
	if err := <-got; !errors.Is(err, errno.EIO) {
		t.Fatalf("callback: %v", err)
	}
	d.Set(nil)
	if err := j.Reserve(Need{Size: Block}, nil); !errors.Is(err, errno.EIO) {
		t.Fatalf("after a failure: %v", err)
	}
	if err := j.Wait(1); !errors.Is(err, errno.EIO) {
		t.Fatalf("wait: %v", err)
	}
	if err := j.Close(); !errors.Is(err, errno.EIO) {
		t.Fatalf("close: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	ring := newRing(t, memdisk.New(8<<20), 64*Block)
	j := Open(Config{Ring: ring, Mode: Parallel, Full: func() {}, Failed: ignore}, start, start)
	defer j.Close()
	if err := j.Reserve(Need{Size: MaxRecord(ring.Size) + 1}, nil); err == nil {
		t.Fatal("no error")
	}
}

// goldenGroup is the format, byte by byte.
func TestGolden(t *testing.T) {
	t.Parallel()
	d := memdisk.New(8 << 20)
	ring := newRing(t, d, 64*Block)
	j := Open(Config{Ring: ring, Mode: Parallel, Full: func() {}, Failed: ignore}, start, start)
	blk := bytes.Repeat([]byte{7}, Block)
	submit(t, j, &Record{Meta: []byte("abc"), Blocks: [][]byte{blk}, CRCs: []uint32{Checksum(blk)}})
	j.Close()
	got := make([]byte, 2*Block)
	if _, err := ring.File.ReadAt(got, ring.Off); err != nil {
		t.Fatal(err)
	}
	want := []byte("PULPOJNL")
	want = binary.LittleEndian.AppendUint64(want, ring.Salt)
	want = binary.LittleEndian.AppendUint64(want, 1)
	for _, v := range []uint32{1, 12 + 3 + 4, 1} {
		want = binary.LittleEndian.AppendUint32(want, v)
	}
	records := []byte{3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c'}
	records = binary.LittleEndian.AppendUint32(records, 0x978678a9)
	want = binary.LittleEndian.AppendUint32(want, Checksum(append(bytes.Clone(want), records...)))
	want = append(want, records...)
	want = append(want, make([]byte, Block-len(want))...)
	want = append(want, blk...)
	if !bytes.Equal(got, want) {
		t.Fatalf("got\n%x\nwant\n%x", got[:80], want[:80])
	}
}

func FuzzGroup(f *testing.F) {
	d := memdisk.New(8 << 20)
	ring := newRing(f, d, 64*Block)
	j := Open(Config{Ring: ring, Mode: Parallel, Full: func() {}, Failed: ignore}, start, start)
	submit(f, j, testRecord(5))
	j.Close()
	b := make([]byte, 64*Block)
	if _, err := ring.File.ReadAt(b, ring.Off); err != nil {
		f.Fatal(err)
	}
	f.Add(b[40:200], uint32(1), uint32(2))
	f.Add([]byte{}, uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, records []byte, count, blocks uint32) {
		// A header that fits, so that the records are looked at.
		blocks %= 8
		g := make([]byte, headerLen)
		binary.LittleEndian.PutUint64(g, magic)
		binary.LittleEndian.PutUint64(g[16:], 9)
		binary.LittleEndian.PutUint32(g[24:], count)
		binary.LittleEndian.PutUint32(g[28:], uint32(len(records)))
		binary.LittleEndian.PutUint32(g[32:], blocks)
		g = append(g, records...)
		binary.LittleEndian.PutUint32(g[36:], groupCRC(g))
		all := make([]byte, roundUp(int64(len(g)))+int64(blocks)*Block)
		copy(all, g)
		if r := parseGroup(all, 0, 9); r != nil && uint32(len(r.records)) != count {
			t.Fatalf("%d records of %d", len(r.records), count)
		}
		parseGroup(records, 0, 9)
	})
}
