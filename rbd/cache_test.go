package rbd_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

// never keeps everything back until somebody asks for it.
var never = &rbd.CacheOptions{AtOnce: true, MaxAge: time.Hour, TargetDirty: 1 << 30}

// testCache keeps writes back, and gives them out when others need them.
func testCache(w *world) {
	w.must(rbd.Create(w.ctx, w.io(), "cache", 8*mib, rbd.CreateOptions{Order: 20}))
	img := w.open("cache", rbd.OpenOptions{Cache: never})
	other := w.openIn(w.ioOf(w.another()), "cache", rbd.OpenOptions{ReadOnly: true})
	a, b := pattern(3*mib, 1), pattern(4096, 2)
	w.write(img, 1000, a)
	w.write(img, 5000, b)
	copy(a[4000:], b)
	w.must(img.WriteZeroes(w.ctx, 2*mib, 12345))
	clear(a[2*mib-1000:][:12345])
	w.wantRead(img, 1000, a)
	w.wantRead(img, 500, append(make([]byte, 500), a...))
	w.wantRead(other, 1000, make([]byte, len(a))) // nothing of it is there yet
	w.must(img.Flush(w.ctx))
	w.wantRead(other, 1000, a)

	// Snapshots have what was written before.
	w.write(img, 0, b)
	w.must(img.CreateSnapshot(w.ctx, "s"))
	w.write(img, 0, []byte("later"))
	w.wantRead(w.open("cache", rbd.OpenOptions{Snapshot: "s"}), 0, b)
	copy(b, "later")
	w.wantRead(img, 0, b)

	// So has another client that takes the image over.
	second := w.openIn(w.ioOf(w.another()), "cache", rbd.OpenOptions{Cache: never})
	w.write(second, 5, []byte("second"))
	copy(b[5:], "second")
	w.wantRead(second, 0, b)
	w.wantRead(img, 0, []byte("later")) // it has the other's only when it asks for the image
	w.write(img, 11, []byte("first"))
	copy(b[11:], "first")
	w.wantRead(img, 0, b)
	if img.Owned() == second.Owned() {
		w.Errorf("owned: %v, %v", img.Owned(), second.Owned())
	}

	// Comparing and looking for data see what was kept back.
	if _, err := img.CompareAndWrite(w.ctx, []byte("first"), []byte("FIRST"), 11); err != nil {
		w.Error(err)
	}
	copy(b[11:], "FIRST")
	w.wantRead(img, 0, b)
	w.write(img, 7*mib, b)
	x, err := img.Extents(w.ctx, 7*mib, 4096)
	w.must(err)
	if len(x) != 1 || !x[0].Data {
		w.Errorf("extents: %+v", x)
	}

	// A smaller image has lost what was behind its end.
	w.write(img, 6*mib, b)
	w.must(img.Resize(w.ctx, 5*mib, rbd.ResizeOptions{AllowShrink: true}))
	if _, err := img.WriteAt(w.ctx, b, 5*mib-1); err == nil {
		w.Error("written behind the end")
	}
	w.must(img.Resize(w.ctx, 8*mib, rbd.ResizeOptions{}))
	w.wantRead(img, 6*mib, make([]byte, len(b)))

	w.write(img, 3, []byte("closed"))
	copy(b[3:], "closed")
	w.must(img.Close(w.ctx))
	w.must(second.Close(w.ctx))
	w.wantRead(other, 0, b)
	if out := w.stock("export", "cache", "-"); !bytes.Equal([]byte(out[:len(b)]), b) {
		w.Error("librbd reads something else")
	}
	w.checkObjectMaps(w.T, "cache")
}

// testWriteThrough writes through until the first flush.
func testWriteThrough(w *world) {
	w.must(rbd.Create(w.ctx, w.io(), "through", mib, rbd.CreateOptions{}))
	img := w.open("through", rbd.OpenOptions{Cache: &rbd.CacheOptions{MaxAge: time.Hour}})
	other := w.openIn(w.ioOf(w.another()), "through", rbd.OpenOptions{ReadOnly: true})
	w.write(img, 0, []byte("one"))
	w.wantRead(other, 0, []byte("one"))
	w.must(img.Flush(w.ctx))
	w.write(img, 0, []byte("two"))
	w.wantRead(other, 0, []byte("one"))
	w.wantRead(img, 0, []byte("two"))
	w.must(img.Flush(w.ctx))
	w.wantRead(other, 0, []byte("two"))
	if _, err := rbd.Open(w.ctx, w.io(), "through", rbd.OpenOptions{Cache: &rbd.CacheOptions{MaxDirty: 1}}); err == nil {
		w.Error("a cache of one byte")
	}
}

// testFenced takes the lock away from a client that keeps something back. It says
// so at the next flush, and does not write it any more.
func testFenced(w *world) {
	w.must(rbd.Create(w.ctx, w.io(), "fenced", mib, rbd.CreateOptions{}))
	cluster := w.another()
	img := w.openIn(w.ioOf(cluster), "fenced", rbd.OpenOptions{Cache: never})
	w.write(img, 0, []byte("durable"))
	w.must(img.Flush(w.ctx))
	w.write(img, 0, []byte("lost"))
	w.must(w.cluster.BlocklistAdd(w.ctx, cluster.Addr(), 0))
	// An OSD knows of it when it serves somebody who does.
	w.wantRead(w.open("fenced", rbd.OpenOptions{ReadOnly: true}), 0, []byte("durable"))
	w.wantErr(img.Flush(w.ctx), errno.EBLOCKLISTED)
	w.wantRead(w.open("fenced", rbd.OpenOptions{ReadOnly: true}), 0, []byte("durable"))
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	if img.Close(ctx) == nil {
		w.Error("closed as if nothing were lost")
	}
}

// testCacheModel is a random history of a client that crashes now and then: what
// was there at the last flush is there.
func testCacheModel(w *world) {
	const size = 50000
	serial := 0
	rapid.Check(w.T, func(t *rapid.T) {
		serial++
		name := fmt.Sprint("cache-model-", serial)
		o := rbd.CreateOptions{Order: 12, Features: rbd.Layering} // no lock: a crashed owner is waited for
		if rapid.Bool().Draw(t, "striped") {
			o.StripeUnit, o.StripeCount, o.Features = 1024, 3, rbd.Layering|rbd.Striping
		}
		w.must(rbd.Create(w.ctx, w.io(), name, size, o))
		open := func() *rbd.Image {
			img, err := rbd.Open(w.ctx, w.io(), name, rbd.OpenOptions{Cache: &rbd.CacheOptions{AtOnce: true, MaxDirty: 64 << 10, MaxAge: time.Hour}})
			w.must(err)
			return img
		}
		img := open()
		head, allowed := make([]byte, size), make([]map[byte]bool, size)
		synced := func() {
			for i, b := range head {
				allowed[i] = map[byte]bool{b: true}
			}
		}
		synced()
		for i := range rapid.IntRange(1, 20).Draw(t, "steps") {
			off := rapid.IntRange(0, size-1).Draw(t, "off")
			n := rapid.IntRange(1, size-off).Draw(t, "n")
			part := head[off : off+n]
			switch what := rapid.SampledFrom([]string{"write", "write", "write", "zero", "discard", "same", "flush", "crash", "reopen"}).Draw(t, "step"); what {
			case "write":
				copy(part, pattern(n, uint32(i)))
				_, err := img.WriteAt(w.ctx, part, int64(off))
				w.must(err)
			case "zero":
				clear(part)
				w.must(img.WriteZeroes(w.ctx, int64(off), int64(n)))
			case "discard": // an object has less than a unit: all or nothing
				w.must(img.Discard(w.ctx, int64(off), int64(n)))
				got := make([]byte, n)
				_, err := img.ReadAt(w.ctx, got, int64(off))
				w.must(err)
				for i := range got {
					if got[i] != part[i] && got[i] != 0 {
						t.Fatalf("byte %d is %d after a discard", off+i, got[i])
					}
				}
				copy(part, got)
			case "same":
				n -= n % 3
				part = part[:n]
				copy(part, bytes.Repeat([]byte("xyz"), n/3))
				w.must(img.WriteSame(w.ctx, int64(off), int64(n), []byte("xyz")))
			case "flush":
				w.must(img.Flush(w.ctx))
				synced()
			case "reopen":
				w.must(img.Close(w.ctx))
				synced()
				img = open()
			case "crash":
				img.Abandon()
				img = open()
				got := make([]byte, size)
				_, err := img.ReadAt(w.ctx, got, 0)
				w.must(err)
				for i, b := range got {
					if !allowed[i][b] {
						t.Fatalf("byte %d is %d after a crash", i, b)
					}
				}
				copy(head, got)
				synced()
			}
			for i, b := range part {
				allowed[off+i][b] = true
			}
			got := make([]byte, size)
			_, err := img.ReadAt(w.ctx, got, 0)
			w.must(err)
			if !bytes.Equal(got, head) {
				t.Fatal(difference(got, head))
			}
		}
		w.must(img.Close(w.ctx))
		plain, err := rbd.Open(w.ctx, w.io(), name, rbd.OpenOptions{ReadOnly: true})
		w.must(err)
		got := make([]byte, size)
		_, err = plain.ReadAt(w.ctx, got, 0)
		w.must(err)
		if !bytes.Equal(got, head) {
			t.Fatal(difference(got, head))
		}
	})
}

// testCacheTogether has many goroutines write, read and flush ranges of their own
// while snapshots are made and another client takes the image over and over.
func testCacheTogether(w *world) {
	const writers, each = 6, 200000
	w.must(rbd.Create(w.ctx, w.io(), "together", writers*each+4096, rbd.CreateOptions{Order: 16}))
	img := w.open("together", rbd.OpenOptions{Cache: &rbd.CacheOptions{AtOnce: true, MaxDirty: 256 << 10, MaxAge: 20 * time.Millisecond}})
	second := w.openIn(w.ioOf(w.another()), "together", rbd.OpenOptions{Cache: &rbd.CacheOptions{AtOnce: true}})
	want := make([]byte, writers*each)
	var all sync.WaitGroup
	for n := range writers {
		head := want[n*each:][:each]
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 3))
			for i := range 150 {
				off := r.IntN(each - 1)
				part := head[off:][:1+r.IntN(min(each-off, 30000)-1+1)]
				at := int64(n*each + off)
				switch r.IntN(6) {
				case 0:
					clear(part)
					if err := img.WriteZeroes(w.ctx, at, int64(len(part))); err != nil {
						w.Error(err)
					}
				case 1:
					if err := img.Flush(w.ctx); err != nil {
						w.Error(err)
					}
				case 2, 3:
					got := make([]byte, len(part))
					if _, err := img.ReadAt(w.ctx, got, at); err != nil || !bytes.Equal(got, part) {
						w.Errorf("%v, %s", err, difference(got, part))
					}
				default:
					copy(part, pattern(len(part), uint32(i)))
					if _, err := img.WriteAt(w.ctx, part, at); err != nil {
						w.Error(err)
					}
				}
			}
		})
	}
	for i := range 4 {
		w.must(img.CreateSnapshot(w.ctx, fmt.Sprint("s", i)))
		w.write(second, writers*each, pattern(4096, uint32(i)))
	}
	all.Wait()
	w.must(img.Close(w.ctx))
	w.wantRead(second, 0, want)
	w.must(second.Close(w.ctx))
	w.wantRead(w.open("together", rbd.OpenOptions{ReadOnly: true}), 0, append(want, pattern(4096, 3)...))
	w.checkObjectMaps(w.T, "together")
}
