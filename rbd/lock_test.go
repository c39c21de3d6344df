package rbd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd"
)

// testHandOver has three clients write to one image at a time, one of them
// librbd: the exclusive lock goes round, no write is lost, and the object map is
// what a rebuild makes of the objects.
func testHandOver(w *world) {
	const size, block, rounds = 8 * mib, 8192, 40
	a := w.create("handover", size, rbd.CreateOptions{Order: 16})
	b := w.openIn(w.ioOf(w.another()), "handover", rbd.OpenOptions{})
	want := make([]byte, size)
	var wg sync.WaitGroup
	// Blocks are dealt out, so that neighbours in an object have other writers.
	var mu sync.Mutex
	for i, img := range []*rbd.Image{a, b} {
		wg.Go(func() {
			for n := range rounds {
				off := (rand.IntN(size/block/3)*3 + i) * block
				p := pattern(block, uint32(n*2+i))
				if _, err := img.WriteAt(w.ctx, p, int64(off)); err != nil {
					w.Error(err)
					return
				}
				mu.Lock()
				copy(want[off:], p)
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		out, err := w.command("python3", "-c", prelude+fmt.Sprintf(`
import random
size, block, rounds = %d, %d, %d
with rbd.Image(io, 'handover') as img:
    for n in range(rounds):
        off = (random.randrange(size // block // 3) * 3 + 2) * block
        img.write(pattern(block, 1000 + n), off)
        print(off, 1000 + n)
`, size, block, rounds), w.conf, w.pool)
		if err != nil {
			w.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for line := range strings.Lines(out) {
			var off int
			var seed uint32
			if _, err := fmt.Sscan(line, &off, &seed); err != nil {
				w.Error(err)
			}
			copy(want[off:], pattern(block, seed))
		}
	})
	wg.Wait()
	w.wantRead(a, 0, want)
	w.wantRead(b, 0, want)
	if out := w.stock("export", "handover", "-"); !bytes.Equal([]byte(out), want) {
		w.Errorf("stock export: %s", difference([]byte(out), want))
	}
	w.must(a.Close(w.ctx))
	w.must(b.Close(w.ctx))
	w.checkObjectMap("handover")
}

// checkObjectMap compares the object map with one that librbd makes anew.
func (w *world) checkObjectMap(name string) {
	w.Helper()
	info := w.open(name, rbd.OpenOptions{ReadOnly: true}).Info()
	load := func() string {
		b, err := w.io().ReadFull(w.ctx, clsrbd.ObjectMapName(info.ID, clsrbd.HeadSnap))
		w.must(err)
		return fmt.Sprintf("%x", b)
	}
	if info.Flags != 0 {
		w.Errorf("%s: %v", name, info.Flags.Names())
	}
	before := load()
	w.stock("object-map", "rebuild", name)
	if after := load(); before != after {
		w.Errorf("%s: object map is\n%s, rebuilt\n%s", name, before, after)
	}
}

// testFirstWrites begins writes one shortly after the other to an image that
// nobody owns yet, so that some come while the image is being taken over. A
// snapshot is read by its object map, so it shows what that has missed.
func testFirstWrites(w *world) {
	const objects, order = 64, 12
	for i := range 10 {
		name := fmt.Sprintf("first-%d", i)
		img := w.create(name, objects<<order, rbd.CreateOptions{Order: order})
		want := make([]byte, objects<<order)
		var wg sync.WaitGroup
		for n := range objects {
			p := pattern(100, uint32(n+1))
			copy(want[n<<order:], p)
			wg.Go(func() {
				time.Sleep(time.Duration(n) * 100 * time.Microsecond)
				if _, err := img.WriteAt(w.ctx, p, int64(n)<<order); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
		w.must(img.CreateSnapshot(w.ctx, "s"))
		w.wantRead(w.open(name, rbd.OpenOptions{Snapshot: "s"}), 0, want)
		w.must(img.Close(w.ctx))
	}
}

// testOpenWhileTold opens an image while another client says that it owns it,
// and that it does not any more.
func testOpenWhileTold(w *world) {
	owner := w.create("told", mib, rbd.CreateOptions{})
	pool := w.ioOf(w.another())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(owner.AcquireLock(w.ctx), owner.ReleaseLock(w.ctx)); err != nil {
				w.Error(err)
				return
			}
		}
	})
	for range 60 {
		img, err := rbd.Open(w.ctx, pool, "told", rbd.OpenOptions{})
		w.must(err)
		w.must(img.Close(w.ctx))
	}
	close(stop)
	wg.Wait()
}

// testDeadOwner takes an image over from an owner that does not watch it any
// more, and keeps it from coming back.
func testDeadOwner(w *world) {
	w.must(rbd.Create(w.ctx, w.io(), "dead", mib, rbd.CreateOptions{}))
	former := w.another()
	id := w.open("dead", rbd.OpenOptions{ReadOnly: true}).ID()
	// As an owner that was cut off: the lock is there, the watch is not.
	w.must(w.ioOf(former).Lock(w.ctx, clsrbd.Header(id), rados.Lock{Name: clsrbd.LockName, Cookie: "auto 4711", Tag: "internal"}))
	img := w.open("dead", rbd.OpenOptions{})
	w.write(img, 0, pattern(100, 1))
	if !img.Owned() {
		w.Error("the image is written and not owned")
	}
	err := w.ioOf(former).Write(w.ctx, clsrbd.DataObject(img.Info().Prefix, 0), 0, []byte("late"))
	w.wantErr(err, errno.EBLOCKLISTED)
	w.wantRead(img, 0, pattern(100, 1))
	list, err := w.cluster.Blocklist(w.ctx)
	w.must(err)
	found := false
	for _, e := range list {
		found = found || e.Addr == former.Addr()
	}
	if !found {
		w.Errorf("%s is not in %v", former.Addr(), list)
	}
	w.must(w.cluster.BlocklistRemove(w.ctx, former.Addr()))
}

// testKeptLock refuses to hand an image over while its owner says so.
func testKeptLock(w *world) {
	a := w.create("kept", mib, rbd.CreateOptions{})
	w.must(a.AcquireLock(w.ctx))
	b := w.openIn(w.ioOf(w.another()), "kept", rbd.OpenOptions{})
	_, err := b.WriteAt(w.ctx, []byte("b"), 0)
	w.wantErr(err, errno.EROFS)
	if out, err := w.command("python3", "-c", prelude+`
with rbd.Image(io, 'kept') as img:
    img.write(b'c', 0)
`, w.conf, w.pool); err == nil {
		w.Errorf("librbd writes to an image that is kept: %s", out)
	}
	w.write(a, 0, []byte("a"))
	w.must(a.ReleaseLock(w.ctx))
	w.write(b, 0, []byte("b"))
	if a.Owned() || !b.Owned() {
		w.Errorf("owned: %v, %v", a.Owned(), b.Owned())
	}
	w.wantRead(a, 0, []byte("b"))
	// A lock of somebody's own is not ours to break.
	w.must(b.Close(w.ctx))
	w.stock("lock", "add", "kept", "mine")
	_, err = a.WriteAt(w.ctx, []byte("a"), 0)
	w.wantErr(err, errno.EROFS)
}

// testCancelledLock gives up waiting for an image.
func testCancelledLock(w *world) {
	a := w.create("cancelled", mib, rbd.CreateOptions{})
	w.must(a.AcquireLock(w.ctx))
	b := w.openIn(w.ioOf(w.another()), "cancelled", rbd.OpenOptions{})
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(w.ctx)
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := b.WriteAt(ctx, []byte("b"), 0); !errors.Is(err, why) && !errors.Is(err, errno.EROFS) {
		w.Errorf("got %v", err)
	}
	w.must(a.ReleaseLock(w.ctx))
	w.write(b, 0, []byte("b"))
	w.must(b.Close(w.ctx))
	_, err := b.WriteAt(w.ctx, []byte("b"), 0)
	if err == nil {
		w.Error("writing to a closed image")
	}
	if _, err := b.ReadAt(w.ctx, make([]byte, 1), 0); err == nil {
		w.Error("reading a closed image")
	}
}
