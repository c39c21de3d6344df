package rbd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

// parent makes an image with a protected snapshot "s", and returns it opened
// there, with its bytes.
func (w *world) parent(name string, size int, o rbd.CreateOptions) (*rbd.Image, []byte) {
	w.Helper()
	img := w.create(name, uint64(size), o)
	want := make([]byte, size)
	for i := 0; i+50000 < size; i += size / 5 {
		copy(want[i:], pattern(50000, uint32(i)))
		w.write(img, int64(i), want[i:i+50000])
	}
	w.must(img.CreateSnapshot(w.ctx, "s"))
	w.must(img.ProtectSnapshot(w.ctx, "s"))
	w.write(img, 0, bytes.Repeat([]byte("later"), 100))
	w.must(img.Close(w.ctx))
	return w.open(name, rbd.OpenOptions{Snapshot: "s"}), want
}

// clone makes a clone and opens it.
func (w *world) clone(parent *rbd.Image, name string, o rbd.CloneOptions) *rbd.Image {
	w.Helper()
	w.must(rbd.Clone(w.ctx, parent, w.io(), name, o))
	return w.open(name, rbd.OpenOptions{})
}

// testClones writes to clones of both clients, of both layouts, with snapshots in
// between, and flattens them.
func testClones(w *world) {
	for _, o := range []rbd.CreateOptions{{Order: 17}, {Order: 17, StripeUnit: 8192, StripeCount: 3}} {
		name := fmt.Sprint("clones-", o.StripeCount)
		parent, want := w.parent(name, 2*mib, o)
		ours := w.clone(parent, name+"-ours", rbd.CloneOptions{Format: 1})
		w.stock("clone", name+"@s", w.pool+"/"+name+"-stock")
		theirs := w.open(name+"-stock", rbd.OpenOptions{})
		for _, img := range []*rbd.Image{ours, theirs} {
			want := slices.Clone(want)
			info := img.Info()
			if info.Parent == nil || info.Parent.Overlap != 2*mib || info.Parent.Image != parent.ID() {
				w.Fatalf("%+v", info)
			}
			w.wantRead(img, 0, want)
			write := func(off, n int, seed uint32) {
				p := pattern(n, seed)
				copy(want[off:], p)
				w.write(img, int64(off), p)
			}
			check := func() {
				w.Helper()
				w.wantRead(img, 0, want)
				w.wantRead(w.open(img.Name(), rbd.OpenOptions{ReadOnly: true}), 0, want)
				if out := w.stock("export", img.Name(), "-"); !bytes.Equal([]byte(out), want) {
					w.Errorf("stock export of %s: %s", img.Name(), difference([]byte(out), want))
				}
			}
			write(100, 1000, 1)      // copies an object up
			write(1500000, 10, 2)    // of which the parent has nothing
			write(131072, 131072, 3) // all of an object
			check()
			w.must(img.CreateSnapshot(w.ctx, "c1"))
			c1 := slices.Clone(want)
			write(420000, 1000, 4) // copies up under a snapshot
			write(110, 3, 5)
			w.must(img.WriteZeroes(w.ctx, 850000, 10))
			clear(want[850000:850010])
			w.must(img.WriteZeroes(w.ctx, 5*131072, 131072))
			clear(want[5*131072 : 6*131072])
			check()
			w.wantRead(w.open(img.Name(), rbd.OpenOptions{Snapshot: "c1"}), 0, c1)
			w.python(`
with rbd.Image(io, sys.argv[3]) as img:
    img.write(b'librbd', 860000)
    img.write(b'librbd', 1700000)
`, img.Name())
			copy(want[860000:], "librbd")
			copy(want[1700000:], "librbd")
			check()
			w.must(img.Flatten(w.ctx, nil))
			w.wantErr(img.Flatten(w.ctx, nil), errno.EINVAL)
			if img.Info().Parent != nil {
				w.Errorf("%s has a parent when flattened", img.Name())
			}
			check()
			w.wantRead(w.open(img.Name(), rbd.OpenOptions{Snapshot: "c1"}), 0, c1)
			if out := w.stock("export", img.Name()+"@c1", "-"); !bytes.Equal([]byte(out), c1) {
				w.Errorf("stock export of %s@c1: %s", img.Name(), difference([]byte(out), c1))
			}
			w.must(img.Close(w.ctx))
			w.checkObjectMap(img.Name())
			w.stock("snap", "purge", img.Name())
		}
		w.stock("snap", "unprotect", name+"@s") // nobody is its clone any more
		w.stock("snap", "rm", name+"@s")
	}
}

// testCloneFormats looks at who knows of clones, and what may be done meanwhile.
func testCloneFormats(w *world) {
	parent, want := w.parent("formats", mib, rbd.CreateOptions{})
	pool := w.io()
	w.must(rbd.Clone(w.ctx, parent, pool, "formats-1", rbd.CloneOptions{Format: 1}))
	w.must(rbd.Clone(w.ctx, parent, pool, "formats-2", rbd.CloneOptions{Format: 2}))
	w.wantErr(rbd.Clone(w.ctx, parent, pool, "formats-2", rbd.CloneOptions{Format: 2}), fs.ErrExist)
	w.wantErr(rbd.Clone(w.ctx, parent, pool.Namespace("other"), "formats-3", rbd.CloneOptions{Format: 1}), errno.EXDEV)
	w.wantErr(rbd.Clone(w.ctx, parent, pool, "formats-3", rbd.CloneOptions{Format: 3}), errno.EINVAL)
	head := w.open("formats", rbd.OpenOptions{})
	w.wantErr(rbd.Clone(w.ctx, head, pool, "formats-3", rbd.CloneOptions{}), errno.EINVAL)
	names := func(img *rbd.Image) (out []string) {
		children, err := img.Children(w.ctx)
		w.must(err)
		for _, c := range children {
			out = append(out, c.Pool+"/"+c.Name)
		}
		return out
	}
	if got := names(parent); !slices.Equal(got, []string{w.pool + "/formats-1", w.pool + "/formats-2"}) {
		w.Errorf("children %q", got)
	}
	if got := w.stock("children", "formats@s"); got != fmt.Sprintf("%s/formats-1\n%s/formats-2\n", w.pool, w.pool) {
		w.Errorf("stock children: %q", got)
	}
	w.wantErr(head.UnprotectSnapshot(w.ctx, "s"), errno.EBUSY)
	w.must(rbd.Remove(w.ctx, pool, "formats-1", nil))
	w.must(head.UnprotectSnapshot(w.ctx, "s"))
	w.wantErr(rbd.Clone(w.ctx, parent, pool, "formats-3", rbd.CloneOptions{Format: 1}), errno.EINVAL)

	// The snapshot goes to the trash while its clone of format 2 lives.
	w.must(head.RemoveSnapshot(w.ctx, "s"))
	snaps, err := head.Snapshots(w.ctx)
	w.must(err)
	if len(snaps) != 1 || snaps[0].Type != rbd.SnapTrashed || snaps[0].TrashName != "s" || snaps[0].Children != 1 {
		w.Errorf("%+v", snaps)
	}
	child := w.open("formats-2", rbd.OpenOptions{})
	w.wantRead(child, 0, want)
	w.must(child.Flatten(w.ctx, nil))
	w.wantRead(child, 0, want)
	w.must(head.Refresh(w.ctx))
	if snaps, err = head.Snapshots(w.ctx); err != nil || len(snaps) != 0 {
		w.Errorf("%+v, %v", snaps, err)
	}
	w.must(head.Close(w.ctx))
	w.must(rbd.Remove(w.ctx, pool, "formats", nil))
}

func testCloneOfClone(w *world) {
	a, want := w.parent("generations", 2*mib, rbd.CreateOptions{Order: 18})
	b := w.clone(a, "generations-b", rbd.CloneOptions{Format: 2, CreateOptions: rbd.CreateOptions{Order: 16}})
	p := pattern(70000, 9)
	w.write(b, 400000, p)
	copy(want[400000:], p)
	w.must(b.CreateSnapshot(w.ctx, "s"))
	w.must(b.Close(w.ctx))
	c := w.clone(w.open("generations-b", rbd.OpenOptions{Snapshot: "s"}), "generations-c", rbd.CloneOptions{Format: 2, CreateOptions: rbd.CreateOptions{Order: 20}})
	w.wantRead(c, 0, want)
	w.write(c, mib, []byte("third"))
	copy(want[mib:], "third")
	w.wantRead(c, 0, want)
	w.must(c.Resize(w.ctx, mib+mib/2, rbd.ResizeOptions{AllowShrink: true}))
	w.must(c.Resize(w.ctx, 2*mib, rbd.ResizeOptions{}))
	clear(want[mib+mib/2:])
	w.wantRead(c, 0, want)
	if out := w.stock("export", "generations-c", "-"); !bytes.Equal([]byte(out), want) {
		w.Errorf("stock export: %s", difference([]byte(out), want))
	}
}

// testSharedSnapshot shrinks and flattens a clone that has snapshots: they keep
// what they had of the parent.
func testSharedSnapshot(w *world) {
	parent, want := w.parent("shared", 2*mib, rbd.CreateOptions{Order: 17})
	img := w.clone(parent, "shared-c", rbd.CloneOptions{Format: 2})
	w.must(img.CreateSnapshot(w.ctx, "all"))
	w.must(img.Resize(w.ctx, 700000, rbd.ResizeOptions{AllowShrink: true}))
	w.must(img.CreateSnapshot(w.ctx, "some"))
	w.must(img.Resize(w.ctx, 2*mib, rbd.ResizeOptions{}))
	w.write(img, 900000, []byte("new"))
	head := slices.Clone(want)
	clear(head[700000:])
	copy(head[900000:], "new")
	check := func() {
		w.Helper()
		w.wantRead(img, 0, head)
		w.wantRead(w.open("shared-c", rbd.OpenOptions{Snapshot: "all"}), 0, want)
		w.wantRead(w.open("shared-c", rbd.OpenOptions{Snapshot: "some"}), 0, want[:700000])
		for _, s := range []struct {
			spec string
			want []byte
		}{{"shared-c", head}, {"shared-c@all", want}, {"shared-c@some", want[:700000]}} {
			if out := w.stock("export", s.spec, "-"); !bytes.Equal([]byte(out), s.want) {
				w.Errorf("stock export of %s: %s", s.spec, difference([]byte(out), s.want))
			}
		}
	}
	check()
	w.must(img.Flatten(w.ctx, nil))
	check()
	w.must(img.Close(w.ctx))
	w.checkObjectMap("shared-c")
}
