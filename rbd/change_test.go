package rbd_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

func testResize(w *world) {
	img := w.create("resize", mib, rbd.CreateOptions{Order: 16})
	want := pattern(mib, 1)
	w.write(img, 0, want)
	changed := img.Changed()
	w.must(img.Resize(w.ctx, 3*mib, rbd.ResizeOptions{}))
	select {
	case <-changed:
	default:
		w.Error("nobody was told that the size changed")
	}
	want = append(want, make([]byte, 2*mib)...)
	w.wantRead(img, 0, want)
	w.write(img, 3*mib-5, []byte("hello"))
	copy(want[3*mib-5:], "hello")
	w.wantErr(img.Resize(w.ctx, 500000, rbd.ResizeOptions{}), errno.EINVAL)
	var last, total uint64
	w.must(img.Resize(w.ctx, 500000, rbd.ResizeOptions{AllowShrink: true, Progress: func(d, t uint64) { last, total = max(last, d), t }}))
	if last != total || total == 0 {
		w.Errorf("progress ended at %d of %d", last, total)
	}
	_, err := img.WriteAt(w.ctx, []byte("xx"), 499999)
	w.wantErr(err, errno.EINVAL)
	w.must(img.Resize(w.ctx, mib, rbd.ResizeOptions{}))
	want = append(want[:500000], make([]byte, mib-500000)...)
	w.wantRead(img, 0, want)
	w.stock("resize", "resize", "--size", "2M")
	if n, err := img.ReadAt(w.ctx, make([]byte, 10), 2*mib-5); n != 5 || err != io.EOF || img.Size() != 2*mib {
		w.Errorf("%d bytes, %v, size %d after the other's resize", n, err, img.Size())
	}
	w.must(img.Close(w.ctx))
	w.checkObjectMap("resize")
}

func testZeroes(w *world) {
	img := w.create("zeroes", mib, rbd.CreateOptions{Order: 17})
	want := pattern(mib, 1)
	w.write(img, 0, want)
	zero := func(off, n int) {
		w.Helper()
		w.must(img.WriteZeroes(w.ctx, int64(off), int64(n)))
		clear(want[off : off+n])
		w.wantRead(img, 0, want)
	}
	zero(5, 10)
	zero(131072-3, 6)
	zero(200000, 300000) // removes whole objects
	zero(mib-7, 7)
	w.must(img.Discard(w.ctx, 600000, 10000)) // too little to be done
	w.wantRead(img, 0, want)
	w.must(img.Discard(w.ctx, 5*131072-1, 131072+2))
	clear(want[5*131072 : 6*131072])
	w.wantRead(img, 0, want)
	w.must(img.WriteSame(w.ctx, 700000, 30, []byte("abc")))
	copy(want[700000:], "abcabcabcabcabcabcabcabcabcabc")
	w.must(img.WriteSame(w.ctx, 800000, 4096, make([]byte, 512)))
	clear(want[800000:804096])
	w.must(img.WriteSame(w.ctx, 131072-6, 12, []byte("1234")))
	copy(want[131072-6:], "123412341234")
	w.wantRead(img, 0, want)
	w.wantErr(img.WriteSame(w.ctx, 0, 10, []byte("abc")), errno.EINVAL)
	w.wantErr(img.WriteZeroes(w.ctx, mib-1, 2), errno.EINVAL)
	w.must(img.Flush(w.ctx))
	if out := w.stock("export", "zeroes", "-"); !bytes.Equal([]byte(out), want) {
		w.Errorf("stock export: %s", difference([]byte(out), want))
	}
	w.must(img.Close(w.ctx))
	w.checkObjectMap("zeroes")
}

func testCompareAndWrite(w *world) {
	parent, _ := w.parent("compare", mib, rbd.CreateOptions{Order: 17})
	for _, img := range []*rbd.Image{w.clone(parent, "compare-c", rbd.CloneOptions{}), w.create("compare-p", mib, rbd.CreateOptions{Order: 17})} {
		p := w.read(img, 1000, 100)
		at, err := img.CompareAndWrite(w.ctx, append(p[:60:60], bytes.Repeat([]byte{0xff}, 40)...), pattern(100, 1), 1000)
		w.wantErr(err, errno.EILSEQ)
		if at != 1060 {
			w.Errorf("differs at %d", at)
		}
		w.wantRead(img, 1000, p)
		_, err = img.CompareAndWrite(w.ctx, p, pattern(100, 1), 1000)
		w.must(err)
		w.wantRead(img, 1000, pattern(100, 1))
		_, err = img.CompareAndWrite(w.ctx, p, p, 131072-50)
		w.wantErr(err, errno.EINVAL)
		_, err = img.CompareAndWrite(w.ctx, p, p[:50], 0)
		w.wantErr(err, errno.EINVAL)
	}
}

// testRemove removes images and looks whether anything is left.
func testRemove(w *world) {
	img := w.create("remove", mib, rbd.CreateOptions{Order: 16})
	w.write(img, 0, pattern(mib, 1))
	w.wantErr(rbd.Remove(w.ctx, w.io(), "remove", nil), errno.EBUSY)
	w.must(img.CreateSnapshot(w.ctx, "s"))
	w.must(img.Close(w.ctx))
	w.wantErr(rbd.Remove(w.ctx, w.io(), "remove", nil), errno.ENOTEMPTY)
	w.stock("snap", "purge", "remove")
	w.must(rbd.Remove(w.ctx, w.io(), "remove", nil))
	w.wantErr(rbd.Remove(w.ctx, w.io(), "remove", nil), fs.ErrNotExist)
	for o, err := range w.io().Objects(w.ctx) {
		w.must(err)
		if !strings.Contains(o.Name, img.ID()) {
			continue
		}
		if _, err := w.io().Stat(w.ctx, o.Name); !errors.Is(err, fs.ErrNotExist) { // what snapshots had is listed until it is trimmed
			w.Errorf("%s is left: %v", o.Name, err)
		}
	}
	list, err := rbd.TrashList(w.ctx, w.io())
	w.must(err)
	for _, t := range list {
		if t.ID == img.ID() {
			w.Errorf("%+v is left in the trash", t)
		}
	}
}

func testTrash(w *world) {
	img := w.create("trash", mib, rbd.CreateOptions{})
	w.write(img, 0, []byte("kept"))
	w.must(img.Close(w.ctx))
	id, err := rbd.TrashMove(w.ctx, w.io(), "trash", time.Hour)
	w.must(err)
	_, err = rbd.Open(w.ctx, w.io(), "trash", rbd.OpenOptions{})
	w.wantErr(err, fs.ErrNotExist)
	list, err := rbd.TrashList(w.ctx, w.io())
	w.must(err)
	found := false
	for _, t := range list {
		found = found || t.ID == id && t.Name == "trash" && t.Source == rbd.TrashUser && time.Until(t.Expires) > 50*time.Minute
	}
	if !found {
		w.Errorf("%+v", list)
	}
	w.wantErr(rbd.TrashRemove(w.ctx, w.io(), id, false, nil), errno.EPERM)
	w.must(rbd.TrashRestore(w.ctx, w.io(), id, "trash-again"))
	w.wantRead(w.open("trash-again", rbd.OpenOptions{ReadOnly: true}), 0, []byte("kept"))
	w.stock("trash", "mv", "trash-again")
	w.stock("trash", "restore", id)
	w.stock("trash", "mv", "trash-again")
	w.must(rbd.TrashRemove(w.ctx, w.io(), id, true, nil))
	_, err = w.io().Stat(w.ctx, clsrbd.Header(id))
	w.wantErr(err, fs.ErrNotExist)
}

func testMetadata(w *world) {
	img := w.create("metadata", mib, rbd.CreateOptions{})
	for i := range 70 {
		w.must(img.SetMetadata(w.ctx, string(rune('a'+i%26))+string(rune('a'+i/26)), "value"))
	}
	w.stock("image-meta", "set", "metadata", "theirs", "x y")
	all, err := img.Metadata(w.ctx)
	w.must(err)
	if len(all) != 71 || all["theirs"] != "x y" || all["ac"] != "value" {
		w.Errorf("%q", all)
	}
	w.must(img.RemoveMetadata(w.ctx, "ac"))
	w.wantErr(img.RemoveMetadata(w.ctx, "ac"), fs.ErrNotExist)
	if got := w.stock("image-meta", "get", "metadata", "ab"); got != "value\n" {
		w.Errorf("%q", got)
	}
}
