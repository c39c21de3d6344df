package rbd_test

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

// extentsOf asks for a range until its end.
func (w *world) extentsOf(img *rbd.Image, off, n int64) (all []rbd.Extent) {
	w.Helper()
	for n > 0 {
		part, err := img.Extents(w.ctx, off, n)
		w.must(err)
		for _, e := range part {
			if e.Offset != off || e.Length <= 0 || e.Length > n {
				w.Fatalf("%s: extent %+v, want one at %d of at most %d bytes", img.Spec(), e, off, n)
			}
			off, n = off+e.Length, n-e.Length
			if k := len(all); k > 0 && all[k-1].Data == e.Data {
				all[k-1].Length += e.Length
			} else {
				all = append(all, e)
			}
		}
	}
	return all
}

// testExtents compares where there is data with what the stock tool says. It
// tells of objects up to their end, so it may say more, but not of other
// objects; the rest must be zeros.
func testExtents(w *world) {
	for _, c := range []struct {
		name string
		o    rbd.CreateOptions
	}{
		{"extents-plain", rbd.CreateOptions{Order: 20}},
		{"extents-bare", rbd.CreateOptions{Order: 20, Features: rbd.Layering}},
		{"extents-striped", rbd.CreateOptions{Order: 20, StripeUnit: 65536, StripeCount: 4}},
	} {
		const size = 24*mib + 5000
		img := w.create(c.name, size, c.o)
		w.write(img, 3*mib-9000, pattern(70000, 1))
		w.write(img, 9*mib+4096, pattern(4096, 2))
		w.must(img.CreateSnapshot(w.ctx, "s"))
		w.must(img.ProtectSnapshot(w.ctx, "s"))
		w.write(img, size-4000, pattern(4000, 3))
		w.write(img, 9*mib+512<<10, pattern(65536, 4))
		w.must(img.Discard(w.ctx, 2*mib, mib))
		w.must(rbd.Clone(w.ctx, w.open(c.name, rbd.OpenOptions{Snapshot: "s"}), w.io(), c.name+"-child", rbd.CloneOptions{CreateOptions: rbd.CreateOptions{Order: 21, Features: c.o.Features}}))
		child := w.open(c.name+"-child", rbd.OpenOptions{})
		w.write(child, 14*mib+100, pattern(100, 5))
		w.must(child.WriteZeroes(w.ctx, 9*mib, 4096))
		w.must(child.Resize(w.ctx, 30*mib, rbd.ResizeOptions{}))
		for _, spec := range []struct {
			img  *rbd.Image
			name string
		}{
			{img, c.name}, {child, c.name + "-child"},
			{w.openIn(w.ioOf(w.another()), c.name, rbd.OpenOptions{ReadOnly: true}), c.name}, // by the map of another's
			{w.open(c.name, rbd.OpenOptions{Snapshot: "s"}), c.name + "@s"},
			{w.open(c.name+"-child", rbd.OpenOptions{ReadOnly: true}), c.name + "-child"},
		} {
			w.compareExtents(spec.img, spec.name)
		}
		for _, bad := range [][2]int64{{-1, 5}, {0, 0}, {0, size + 1}, {size, 1}, {5, 1<<63 - 1}} {
			_, err := img.Extents(w.ctx, bad[0], bad[1])
			w.wantErr(err, errno.EINVAL)
		}
	}
}

func (w *world) compareExtents(img *rbd.Image, name string) {
	w.Helper()
	var diff []struct{ Offset, Length int64 }
	w.must(json.Unmarshal([]byte(w.stock("diff", name, "--format", "json")), &diff))
	size := img.Size()
	const unit = 512
	said := make([]bool, size/unit+1)
	for _, d := range diff {
		for at := d.Offset / unit * unit; at < d.Offset+d.Length; at += unit {
			said[at/unit] = true
		}
	}
	content := w.read(img, 0, int(size))
	all, data := w.extentsOf(img, 0, size), int64(0)
	for _, e := range all {
		part := content[e.Offset : e.Offset+e.Length]
		if !e.Data {
			if !bytes.Equal(part, make([]byte, len(part))) {
				w.Errorf("%s: %+v is not zeros", name, e)
			}
			continue
		}
		data += e.Length
		for at := e.Offset; at < e.Offset+e.Length; at++ {
			if !said[at/unit] && content[at] != 0 {
				w.Fatalf("%s: data at %d in %+v, rbd diff: %v", name, at, e, diff)
			}
		}
	}
	if data == 0 || data > 2*mib {
		w.Errorf("%s: %d bytes of data in %v", name, data, all)
	}
	// A part of it has the same answer.
	for _, r := range [][2]int64{{3*mib - 10000, 20000}, {9 * mib, 8192}, {1, size - 1}} {
		for _, e := range w.extentsOf(img, r[0], r[1]) {
			for at := e.Offset; at < e.Offset+e.Length; at += 4096 {
				if in := covered(all, at); in != e.Data {
					w.Fatalf("%s: byte %d data: %v in %v, %v in all", name, at, e.Data, fmt.Sprint(r), in)
				}
			}
		}
	}
}

func covered(all []rbd.Extent, at int64) bool {
	for _, e := range all {
		if at < e.Offset+e.Length {
			return e.Data
		}
	}
	return false
}
