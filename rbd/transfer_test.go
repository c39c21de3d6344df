package rbd_test

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

// filled makes an image with two snapshots and returns it with its bytes, of s1,
// s2 and now.
func (w *world) filled(name string, o rbd.CreateOptions) (*rbd.Image, [3][]byte) {
	w.Helper()
	img := w.create(name, mib+12345, o)
	var out [3][]byte
	cur := make([]byte, mib+12345)
	write := func(off int, p []byte) {
		copy(cur[off:], p)
		w.write(img, int64(off), p)
	}
	write(0, pattern(100000, 1))
	write(500000, pattern(300000, 2))
	out[0] = slices.Clone(cur)
	w.must(img.CreateSnapshot(w.ctx, "s1"))
	write(50000, pattern(100, 3))
	w.must(img.WriteZeroes(w.ctx, 520000, 150000))
	clear(cur[520000:670000])
	write(mib+12000, pattern(345, 4))
	out[1] = slices.Clone(cur)
	w.must(img.CreateSnapshot(w.ctx, "s2"))
	w.must(img.ProtectSnapshot(w.ctx, "s2"))
	write(1, pattern(2, 5))
	out[2] = slices.Clone(cur)
	return img, out
}

// testExport exports with each client and imports with the other.
func testExport(w *world) {
	dir := w.TempDir()
	for _, o := range []rbd.CreateOptions{{Order: 16}, {Order: 16, StripeUnit: 4096, StripeCount: 5}} {
		name := "export"
		if o.StripeCount > 0 {
			name = "export-striped"
		}
		img, want := w.filled(name, o)
		file := filepath.Join(dir, name)
		f, err := os.Create(file)
		w.must(err)
		w.must(img.Export(w.ctx, f, nil))
		w.must(f.Close())
		got, err := os.ReadFile(file)
		w.must(err)
		if !bytes.Equal(got, want[2]) {
			w.Errorf("exported: %s", difference(got, want[2]))
		}
		if st, err := os.Stat(file); err != nil || st.Sys().(*syscall.Stat_t).Blocks*512 > 600<<10 {
			w.Errorf("the file is not sparse: %d blocks, %v", st.Sys().(*syscall.Stat_t).Blocks, err)
		}
		var pipe bytes.Buffer
		s1 := w.open(name, rbd.OpenOptions{Snapshot: "s1"})
		w.must(s1.Export(w.ctx, &pipe, nil))
		if !bytes.Equal(pipe.Bytes(), want[0]) {
			w.Errorf("exported s1: %s", difference(pipe.Bytes(), want[0]))
		}
		w.must(rbd.Import(w.ctx, w.io(), name+"-1", bytes.NewReader(want[1]), rbd.ImportOptions{CreateOptions: o}))
		w.wantRead(w.open(name+"-1", rbd.OpenOptions{ReadOnly: true}), 0, want[1])
		w.wantErr(rbd.Import(w.ctx, w.io(), name+"-1", bytes.NewReader(nil), rbd.ImportOptions{}), fs.ErrExist)

		// Format 2 has snapshots, too.
		w.must(img.SetMetadata(w.ctx, "key", "value"))
		var v2 bytes.Buffer
		w.must(img.ExportImage(w.ctx, &v2, nil))
		w.must(os.WriteFile(file, v2.Bytes(), 0o600))
		w.stock("import", "--export-format", "2", file, w.pool+"/"+name+"-2")
		theirs := w.stock("export", "--export-format", "2", name, "-")
		w.must(rbd.ImportImage(w.ctx, w.io(), name+"-3", bytes.NewReader([]byte(theirs)), rbd.ImportOptions{}))
		for _, copied := range []string{name + "-2", name + "-3"} {
			c := w.open(copied, rbd.OpenOptions{ReadOnly: true})
			w.wantRead(c, 0, want[2])
			for i, s := range []string{"s1", "s2"} {
				w.wantRead(w.open(copied, rbd.OpenOptions{Snapshot: s}), 0, want[i])
			}
			if s, err := c.Snapshot(w.ctx, "s2"); err != nil || !s.Protected {
				w.Errorf("%s@s2 is not protected: %v", copied, err)
			}
			if v, err := c.GetMetadata(w.ctx, "key"); err != nil || v != "value" {
				w.Errorf("%s has metadata %q, %v", copied, v, err)
			}
			if i := c.Info(); i.StripeCount != img.Info().StripeCount || i.Order != 16 {
				w.Errorf("%+v", i)
			}
		}
		var again bytes.Buffer
		w.must(w.open(name+"-3", rbd.OpenOptions{ReadOnly: true}).ExportImage(w.ctx, &again, nil))
		if !bytes.Equal(again.Bytes(), []byte(theirs)) {
			w.Errorf("an import of a stock export is exported with %d bytes, not %d", again.Len(), len(theirs))
		}
	}
}

// testExportDiff compares the diffs of both clients to the byte, and applies
// them.
func testExportDiff(w *world) {
	img, want := w.filled("diffs", rbd.CreateOptions{Order: 16})
	s1, s2 := w.open("diffs", rbd.OpenOptions{Snapshot: "s1"}), w.open("diffs", rbd.OpenOptions{Snapshot: "s2"})
	var diffs [3]bytes.Buffer
	for i, d := range []struct {
		img  *rbd.Image
		from string
		args []string
	}{{s1, "", []string{"diffs@s1"}}, {s2, "s1", []string{"--from-snap", "s1", "diffs@s2"}}, {img, "s2", []string{"--from-snap", "s2", "diffs"}}} {
		for _, whole := range []bool{true, false} {
			args := append([]string{"export-diff"}, d.args...)
			if whole {
				args = append(args, "--whole-object")
			}
			diffs[i].Reset()
			w.must(d.img.ExportDiff(w.ctx, &diffs[i], rbd.DiffOptions{From: d.from, WholeObject: whole}, 1, nil))
			if theirs := w.stock(append(args, "-")...); !bytes.Equal(diffs[i].Bytes(), []byte(theirs)) {
				w.Errorf("%q: %d bytes, stock %d", args, diffs[i].Len(), len(theirs))
			}
		}
	}
	w.wantErr(s1.ExportDiff(w.ctx, io.Discard, rbd.DiffOptions{From: "s3"}, 1, nil), fs.ErrNotExist)
	w.wantErr(s1.ExportDiff(w.ctx, io.Discard, rbd.DiffOptions{From: "s2"}, 1, nil), errno.EINVAL)

	to := w.create("diffs-copy", 100, rbd.CreateOptions{})
	w.wantErr(to.ImportDiff(w.ctx, bytes.NewReader(diffs[1].Bytes()), nil), errno.EINVAL)
	for i := range diffs {
		w.must(to.ImportDiff(w.ctx, bytes.NewReader(diffs[i].Bytes()), nil))
		w.wantRead(to, 0, want[i])
	}
	w.wantErr(to.ImportDiff(w.ctx, bytes.NewReader(diffs[0].Bytes()), nil), fs.ErrExist)
	w.wantErr(to.ImportDiff(w.ctx, bytes.NewReader([]byte("nonsense\n")), nil), errno.EINVAL)
	w.wantRead(w.open("diffs-copy", rbd.OpenOptions{Snapshot: "s1"}), 0, want[0])

	var merged bytes.Buffer
	w.must(rbd.MergeDiffs(&merged, bytes.NewReader(diffs[0].Bytes()), bytes.NewReader(diffs[1].Bytes())))
	other := w.create("diffs-merged", 100, rbd.CreateOptions{})
	w.must(other.ImportDiff(w.ctx, &merged, nil))
	w.wantRead(other, 0, want[1])
}

func testCopies(w *world) {
	img, want := w.filled("copies", rbd.CreateOptions{Order: 16})
	w.must(img.SetMetadata(w.ctx, "key", "value"))
	w.must(rbd.Copy(w.ctx, img, w.io(), "copies-1", rbd.CopyOptions{CreateOptions: rbd.CreateOptions{Order: 18, StripeUnit: 8192, StripeCount: 2}}))
	one := w.open("copies-1", rbd.OpenOptions{ReadOnly: true})
	w.wantRead(one, 0, want[2])
	if i := one.Info(); i.Order != 18 || i.StripeCount != 2 {
		w.Errorf("%+v", i)
	}
	w.must(rbd.Copy(w.ctx, w.open("copies", rbd.OpenOptions{Snapshot: "s1"}), w.io(), "copies-2", rbd.CopyOptions{}))
	w.wantRead(w.open("copies-2", rbd.OpenOptions{ReadOnly: true}), 0, want[0])
	w.must(rbd.DeepCopy(w.ctx, img, w.io(), "copies-3", rbd.CopyOptions{}))
	check := func(name string) *rbd.Image {
		w.Helper()
		c := w.open(name, rbd.OpenOptions{ReadOnly: true})
		w.wantRead(c, 0, want[2])
		for i, s := range []string{"s1", "s2"} {
			w.wantRead(w.open(name, rbd.OpenOptions{Snapshot: s}), 0, want[i])
		}
		if v, err := c.GetMetadata(w.ctx, "key"); err != nil || v != "value" {
			w.Errorf("%s has metadata %q, %v", name, v, err)
		}
		return c
	}
	if s, err := check("copies-3").Snapshot(w.ctx, "s2"); err != nil || !s.Protected {
		w.Errorf("not protected: %v", err)
	}
	w.checkObjectMaps(w, "copies-3")

	// A copy of a clone is a clone, unless it is to be flat.
	clone := w.clone(w.open("copies", rbd.OpenOptions{Snapshot: "s2"}), "copies-c", rbd.CloneOptions{Format: 2})
	w.write(clone, 200000, []byte("clone"))
	w.must(clone.WriteZeroes(w.ctx, 0, 65536))
	now := w.read(clone, 0, mib+12345)
	w.must(clone.CreateSnapshot(w.ctx, "c"))
	w.must(rbd.DeepCopy(w.ctx, clone, w.io(), "copies-4", rbd.CopyOptions{}))
	w.must(rbd.DeepCopy(w.ctx, clone, w.io(), "copies-5", rbd.CopyOptions{Flatten: true}))
	for i, name := range []string{"copies-4", "copies-5"} {
		c := w.open(name, rbd.OpenOptions{ReadOnly: true})
		w.wantRead(c, 0, now)
		w.wantRead(w.open(name, rbd.OpenOptions{Snapshot: "c"}), 0, now)
		if linked := c.Info().Parent != nil; linked != (i == 0) {
			w.Errorf("%s has a parent: %v", name, linked)
		}
	}
}
