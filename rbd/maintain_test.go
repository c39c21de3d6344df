package rbd_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
	"github.com/pulpo-storage/pulpo/rbd/calls"
)

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// checkObjectMaps compares the object maps of an image and its snapshots with
// those that librbd makes anew.
func (w *world) checkObjectMaps(t fataler, name string) {
	t.Helper()
	img, err := rbd.Open(w.ctx, w.io(), name, rbd.OpenOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	snaps, err := img.Snapshots(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if flags := img.Info().Flags; flags != 0 {
		t.Fatalf("%s: %v", name, flags.Names())
	}
	load := func() string {
		var out strings.Builder
		for _, s := range append(slices.Clone(snaps), rbd.Snapshot{ID: clsrbd.HeadSnap}) {
			b, err := w.io().Call(w.ctx, clsrbd.ObjectMapName(img.ID(), s.ID), calls.Class, calls.LoadObjectMap().Method, nil)
			if err != nil {
				t.Fatal(err)
			}
			v, err := calls.LoadObjectMap().Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%16s ", s.Name)
			for n := range v.Len() {
				fmt.Fprint(&out, v.Get(n))
			}
			fmt.Fprintln(&out)
		}
		return out.String()
	}
	before := load()
	if _, err := w.command("rbd", "-p", w.pool, "object-map", "rebuild", name); err != nil {
		t.Fatal(err)
	}
	if after := load(); before != after {
		t.Fatalf("%s: object maps are\n%srebuilt\n%s", name, before, after)
	}
}

func testRollback(w *world) {
	img := w.create("rollback", mib, rbd.CreateOptions{Order: 16})
	a, b := pattern(mib, 1), pattern(200000, 2)
	w.write(img, 0, a)
	w.must(img.CreateSnapshot(w.ctx, "s1"))
	w.write(img, 300000, b)
	w.must(img.CreateSnapshot(w.ctx, "s2"))
	s2 := slices.Clone(a)
	copy(s2[300000:], b)
	w.must(img.WriteZeroes(w.ctx, 0, 300000))
	w.must(img.Resize(w.ctx, mib/2, rbd.ResizeOptions{AllowShrink: true}))
	w.must(img.Rollback(w.ctx, "s2", nil))
	w.wantRead(img, 0, s2)
	w.checkObjectMaps(w, "rollback")
	w.must(img.Rollback(w.ctx, "s1", nil))
	w.wantRead(img, 0, a)
	w.wantRead(w.open("rollback", rbd.OpenOptions{Snapshot: "s2"}), 0, s2)
	if out := w.stock("export", "rollback", "-"); !bytes.Equal([]byte(out), a) {
		w.Errorf("stock export: %s", difference([]byte(out), a))
	}
	w.wantErr(img.Rollback(w.ctx, "s3", nil), fs.ErrNotExist)
	w.must(img.ReleaseLock(w.ctx)) // librbd would not ask for it
	w.stock("snap", "rollback", "rollback@s2")
	w.wantRead(img, 0, s2)
}

func testFeatures(w *world) {
	img := w.create("features", mib, rbd.CreateOptions{Features: rbd.Layering, Order: 16})
	data := pattern(mib/2, 1)
	w.write(img, 0, data)
	w.must(img.CreateSnapshot(w.ctx, "s"))
	w.wantErr(img.EnableFeatures(w.ctx, rbd.ObjectMap), errno.EINVAL)
	w.wantErr(img.EnableFeatures(w.ctx, rbd.Layering), errno.EINVAL)
	w.wantErr(img.DisableFeatures(w.ctx, rbd.ExclusiveLock), errno.EINVAL)
	w.must(img.EnableFeatures(w.ctx, rbd.ExclusiveLock))
	w.must(img.EnableFeatures(w.ctx, rbd.ObjectMap))
	if i := img.Info(); i.Features != rbd.Layering|rbd.ExclusiveLock|rbd.ObjectMap|rbd.FastDiff || i.Flags != rbd.ObjectMapInvalid|rbd.FastDiffInvalid {
		w.Errorf("features %v, flags %v", i.Features, i.Flags.Names())
	}
	w.write(img, mib-100, data[:100])
	w.must(img.RebuildObjectMap(w.ctx, nil))
	w.checkObjectMaps(w, "features")
	w.wantErr(img.DisableFeatures(w.ctx, rbd.ExclusiveLock), errno.EINVAL)
	w.stock("feature", "disable", "features", "fast-diff")
	w.write(img, 0, data[:10])
	w.stock("feature", "enable", "features", "fast-diff")
	w.stock("object-map", "rebuild", "features")
	w.must(img.DisableFeatures(w.ctx, rbd.ObjectMap))
	w.must(img.DisableFeatures(w.ctx, rbd.ExclusiveLock))
	if i := img.Info(); i.Features != rbd.Layering || i.Flags != 0 {
		w.Errorf("features %v, flags %v", i.Features, i.Flags.Names())
	}
	w.write(img, 0, data[:10])
	w.wantRead(img, 0, data)
	w.must(img.Close(w.ctx))
	for o, err := range w.io().Objects(w.ctx) {
		w.must(err)
		if strings.HasPrefix(o.Name, "rbd_object_map."+img.ID()) {
			w.Errorf("%s is left", o.Name)
		}
	}
}

func testRebuild(w *world) {
	img := w.create("rebuild", mib, rbd.CreateOptions{Order: 16})
	w.write(img, 0, pattern(400000, 1))
	w.must(img.CreateSnapshot(w.ctx, "s"))
	w.write(img, 100000, pattern(10, 2))
	w.must(img.WriteZeroes(w.ctx, 0, 65536))
	ok, err := img.CheckObjectMap(w.ctx, nil)
	w.must(err)
	if !ok {
		w.Error("the object map is wrong from the beginning")
	}
	// An object behind the client's back.
	prefix := img.Info().Prefix
	w.must(w.io().WriteFull(w.ctx, clsrbd.DataObject(prefix, 12), []byte("intruder")))
	if ok, err = img.CheckObjectMap(w.ctx, nil); ok || err != nil {
		w.Errorf("an object that the map does not know was not found: %v", err)
	}
	if f := img.Info().Flags; f != rbd.ObjectMapInvalid|rbd.FastDiffInvalid {
		w.Errorf("flags %v", f.Names())
	}
	w.wantRead(img, 12*65536, []byte("intruder"))
	done := uint64(0)
	w.must(img.RebuildObjectMap(w.ctx, func(d, _ uint64) { done = d }))
	if done != 16 {
		w.Errorf("progress ended at %d", done)
	}
	if f := img.Info().Flags; f != 0 {
		w.Errorf("flags %v", f.Names())
	}
	w.must(img.Close(w.ctx))
	w.checkObjectMaps(w, "rebuild")
}

func testNames(w *world) {
	img := w.create("names", mib, rbd.CreateOptions{})
	w.write(img, 0, []byte("bytes"))
	w.must(rbd.Rename(w.ctx, w.io(), "names", "names-new"))
	w.wantErr(rbd.Rename(w.ctx, w.io(), "names", "names-newer"), fs.ErrNotExist)
	w.stock("create", "--size", "1M", "names")
	w.wantErr(rbd.Rename(w.ctx, w.io(), "names", "names-new"), fs.ErrExist)
	w.wantRead(w.open("names-new", rbd.OpenOptions{ReadOnly: true}), 0, []byte("bytes"))
	w.stock("mv", "names-new", "names-stock") // by way of the owner
	w.wantRead(w.open("names-stock", rbd.OpenOptions{ReadOnly: true}), 0, []byte("bytes"))

	pool := w.io()
	in := pool.Namespace("space")
	w.wantErr(rbd.Create(w.ctx, in, "inside", mib, rbd.CreateOptions{}), fs.ErrNotExist)
	w.must(rbd.CreateNamespace(w.ctx, pool, "space"))
	w.wantErr(rbd.CreateNamespace(w.ctx, pool, "space"), fs.ErrExist)
	w.must(rbd.Create(w.ctx, in, "inside", mib, rbd.CreateOptions{}))
	inside := w.openIn(in, "inside", rbd.OpenOptions{})
	w.write(inside, 0, []byte("inside"))
	if inside.Spec() != w.pool+"/space/inside" {
		w.Error(inside.Spec())
	}
	w.must(inside.Close(w.ctx))
	if out := w.stock("--namespace", "space", "export", "inside", "-"); !strings.HasPrefix(out, "inside\x00") {
		w.Errorf("%q", out[:10])
	}
	names, err := rbd.Namespaces(w.ctx, pool)
	w.must(err)
	if !slices.Contains(names, "space") {
		w.Errorf("%q", names)
	}
	w.wantErr(rbd.RemoveNamespace(w.ctx, pool, "space"), errno.EBUSY)
	w.must(rbd.Remove(w.ctx, in, "inside", nil))
	w.must(rbd.RemoveNamespace(w.ctx, pool, "space"))
	w.wantErr(rbd.RemoveNamespace(w.ctx, pool, "space"), fs.ErrNotExist)
}
