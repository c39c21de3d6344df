package rbd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

// testSnapshots makes and removes snapshots with each client, and reads them with
// the other.
func testSnapshots(w *world) {
	img := w.create("snapshots", 4*mib, rbd.CreateOptions{Order: 18})
	a, b, c := pattern(300000, 1), pattern(1000, 2), pattern(70000, 3)
	w.write(img, 100, a)
	w.must(img.CreateSnapshot(w.ctx, "s1"))
	w.wantErr(img.CreateSnapshot(w.ctx, "s1"), fs.ErrExist)
	w.write(img, 0, b)
	w.stock("snap", "create", "snapshots@s2") // by way of the owner
	w.write(img, 200000, c)

	state := func(parts ...any) []byte {
		p := make([]byte, 4*mib)
		for i := 0; i < len(parts); i += 2 {
			copy(p[parts[i].(int):], parts[i+1].([]byte))
		}
		return p
	}
	s1, s2, head := state(100, a), state(100, a, 0, b), state(100, a, 0, b, 200000, c)
	for name, want := range map[string][]byte{"s1": s1, "s2": s2} {
		snap := w.open("snapshots", rbd.OpenOptions{Snapshot: name})
		w.wantRead(snap, 0, want)
		if out := w.stock("export", "snapshots@"+name, "-"); !bytes.Equal([]byte(out), want) {
			w.Errorf("stock export of %s: %s", name, difference([]byte(out), want))
		}
		_, err := snap.WriteAt(w.ctx, b, 0)
		w.wantErr(err, errno.EROFS)
	}
	w.wantRead(img, 0, head)
	_, err := rbd.Open(w.ctx, w.io(), "snapshots", rbd.OpenOptions{Snapshot: "s3"})
	w.wantErr(err, fs.ErrNotExist)
}

// testForeignOwner has librbd, which owns the image, do what this client asks.
func testForeignOwner(w *world) {
	w.must(rbd.Create(w.ctx, w.io(), "foreign", 4*mib, rbd.CreateOptions{Order: 18}))
	owner := w.background(`
import time
with rbd.Image(io, 'foreign') as img:
    img.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
    img.write(b'owner', 0)
    print('ready', flush=True)
    sys.stdin.readline()
    print(sorted(s['name'] for s in img.list_snaps()), img.size())
`)
	owner.wait("ready")
	img := w.open("foreign", rbd.OpenOptions{})
	w.must(img.CreateSnapshot(w.ctx, "one"))
	w.wantErr(img.CreateSnapshot(w.ctx, "one"), fs.ErrExist)
	w.must(img.CreateSnapshot(w.ctx, "two"))
	w.must(img.RenameSnapshot(w.ctx, "two", "drei"))
	w.must(img.ProtectSnapshot(w.ctx, "drei"))
	w.wantErr(img.RemoveSnapshot(w.ctx, "drei"), errno.EBUSY)
	w.must(img.UnprotectSnapshot(w.ctx, "drei"))
	w.must(img.RemoveSnapshot(w.ctx, "drei"))
	w.must(img.Resize(w.ctx, 8*mib, rbd.ResizeOptions{}))
	w.wantErr(img.Resize(w.ctx, 6*mib, rbd.ResizeOptions{}), errno.EINVAL)
	w.must(img.Resize(w.ctx, 5*mib, rbd.ResizeOptions{AllowShrink: true}))
	if img.Size() != 5*mib || img.Owned() {
		w.Errorf("%d bytes, owned: %v", img.Size(), img.Owned())
	}
	_, err := img.WriteAt(w.ctx, []byte("no"), 0)
	w.wantErr(err, errno.EROFS)
	if got := owner.finish(); !strings.Contains(got, "['one'] 5242880") {
		w.Errorf("the owner says %q", got)
	}
	w.write(img, 0, []byte("mine"))
	w.wantRead(img, 0, []byte("miner"))
}

// testSnapshotRemoval removes snapshots in every order, under load.
func testSnapshotRemoval(w *world) {
	img := w.create("removal", mib, rbd.CreateOptions{Order: 16})
	var states [][]byte
	cur := make([]byte, mib)
	for i := range 5 {
		p := pattern(40000, uint32(i))
		copy(cur[i*130000:], p)
		w.write(img, int64(i*130000), p)
		w.must(img.CreateSnapshot(w.ctx, fmt.Sprint("s", i)))
		states = append(states, slices.Clone(cur))
	}
	for _, i := range []int{2, 0, 4} {
		w.must(img.RemoveSnapshot(w.ctx, fmt.Sprint("s", i)))
		w.wantErr(img.RemoveSnapshot(w.ctx, fmt.Sprint("s", i)), fs.ErrNotExist)
		w.write(img, int64(i*1000), cur[i*1000:][:500])
		w.checkObjectMap("removal")
	}
	for _, i := range []int{1, 3} {
		w.wantRead(w.open("removal", rbd.OpenOptions{Snapshot: fmt.Sprint("s", i)}), 0, states[i])
	}
	w.wantRead(img, 0, cur)
	snaps, err := img.Snapshots(w.ctx)
	w.must(err)
	if len(snaps) != 2 || snaps[0].Name != "s1" || snaps[1].Name != "s3" || snaps[0].Size != mib || snaps[0].Created.IsZero() {
		w.Errorf("%+v", snaps)
	}
	w.must(img.SetSnapshotLimit(w.ctx, 2))
	w.wantErr(img.CreateSnapshot(w.ctx, "more"), errno.EDQUOT)
	w.must(img.SetSnapshotLimit(w.ctx, rbd.NoLimit))
	w.must(img.CreateSnapshot(w.ctx, "more"))
}

// readings counts the snapshots that an image reads of its header.
type readings struct{ n atomic.Int64 }

func (r *readings) Enabled(context.Context, slog.Level) bool { return true }
func (r *readings) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *readings) WithGroup(string) slog.Handler            { return r }
func (r *readings) Handle(_ context.Context, rec slog.Record) error {
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "read" {
			r.n.Add(a.Value.Int64())
		}
		return true
	})
	return nil
}

// testReadOnce makes and removes snapshots: others are not read for that, however
// many there are.
func testReadOnce(w *world) {
	const count = 12
	w.must(rbd.Create(w.ctx, w.io(), "once", mib, rbd.CreateOptions{Order: 16}))
	var read readings
	img := w.open("once", rbd.OpenOptions{Log: slog.New(&read)})
	for i := range count {
		w.write(img, int64(i)*1000, pattern(500, uint32(i)))
		w.must(img.CreateSnapshot(w.ctx, fmt.Sprint("s", i)))
	}
	for i := range count / 2 {
		w.must(img.RemoveSnapshot(w.ctx, fmt.Sprint("s", 2*i)))
	}
	snaps, err := img.Snapshots(w.ctx)
	w.must(err)
	if len(snaps) != count/2 || snaps[0].Name != "s1" {
		w.Errorf("%+v", snaps)
	}
	// Each when it is new and when it is moved to the trash; now and then all of
	// them, if something else is written to the header between two readings.
	if n := read.n.Load(); n < count || n > 5*count {
		w.Errorf("%d snapshots were read for %d that came and %d that went", n, count, count/2)
	}
}

// testTwoClients has two clients change the snapshots of an image, each on its
// own, for there is no lock to own. Whatever one does, the other knows it then.
func testTwoClients(w *world) {
	w.must(rbd.Create(w.ctx, w.io(), "two", mib, rbd.CreateOptions{Order: 16, Features: rbd.Layering}))
	one, two := w.open("two", rbd.OpenOptions{}), w.openIn(w.ioOf(w.another()), "two", rbd.OpenOptions{})
	same := func(what string) []rbd.Snapshot {
		fresh, err := rbd.Open(w.ctx, w.io(), "two", rbd.OpenOptions{ReadOnly: true})
		w.must(err)
		defer fresh.Close(w.ctx)
		want, err := fresh.Snapshots(w.ctx)
		w.must(err)
		for i, img := range []*rbd.Image{one, two} {
			got, err := img.Snapshots(w.ctx)
			w.must(err)
			if !slices.Equal(got, want) {
				w.Fatalf("%s: client %d knows %+v, there is %+v", what, i+1, got, want)
			}
		}
		return want
	}
	for i := range 2 { // all they can do, in turn
		a, b := one, two
		if i%2 == 1 {
			a, b = b, a
		}
		name := func(s string) string { return fmt.Sprint(s, i) }
		for _, step := range []struct {
			what string
			do   func() error
		}{
			{"a creates", func() error { return a.CreateSnapshot(w.ctx, name("x")) }},
			{"b creates", func() error { return b.CreateSnapshot(w.ctx, name("y")) }},
			{"a renames what b made", func() error { return a.RenameSnapshot(w.ctx, name("y"), name("z")) }},
			{"b protects what a made", func() error { return b.ProtectSnapshot(w.ctx, name("x")) }},
			{"b renames that", func() error { return b.RenameSnapshot(w.ctx, name("x"), name("v")) }},
			{"a creates again", func() error { return a.CreateSnapshot(w.ctx, name("x")) }},
			{"a unprotects", func() error { return a.UnprotectSnapshot(w.ctx, name("v")) }},
			{"b removes what a made", func() error { return b.RemoveSnapshot(w.ctx, name("x")) }},
			{"a removes what b made", func() error { return a.RemoveSnapshot(w.ctx, name("z")) }},
		} {
			w.must(step.do())
			same(step.what)
		}
	}
	w.stock("snap", "rename", "two@v0", "two@w0") // librbd, too
	w.stock("snap", "protect", "two@w0")
	if got := same("the stock tool"); len(got) != 2 || got[0].Name != "w0" || !got[0].Protected {
		w.Errorf("%+v", got)
	}
	// Both at a time.
	var tasks sync.WaitGroup
	for i, img := range []*rbd.Image{one, two} {
		tasks.Go(func() {
			for n := range 4 {
				name := fmt.Sprint("both ", i, n)
				err := errors.Join(img.CreateSnapshot(w.ctx, name), img.RenameSnapshot(w.ctx, name, name+"'"))
				if n%2 == 0 {
					err = errors.Join(err, img.RemoveSnapshot(w.ctx, name+"'"))
				}
				if err != nil {
					w.Errorf("client %d: %v", i+1, err)
				}
			}
		})
	}
	tasks.Wait()
	if got := same("both"); len(got) != 2+4 {
		w.Errorf("%d snapshots: %+v", len(got), got)
	}
}
