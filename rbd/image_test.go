package rbd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

const mib = 1 << 20

// testCreate makes images with each client and looks at them with the other.
func testCreate(w *world) {
	for _, c := range []struct {
		name string
		size uint64
		o    rbd.CreateOptions
		args []string
	}{
		{"create-plain", 10*mib + 1, rbd.CreateOptions{}, []string{"--size", "10485761B"}},
		{"create-bare", 16 * mib, rbd.CreateOptions{Features: rbd.Layering, Order: 20}, []string{"--size", "16M", "--order", "20", "--image-feature", "layering"}},
		{"create-striped", 12 * mib, rbd.CreateOptions{Order: 20, StripeUnit: 65536, StripeCount: 4}, []string{"--size", "12M", "--order", "20", "--stripe-unit", "65536", "--stripe-count", "4"}},
		{"create-empty", 0, rbd.CreateOptions{}, []string{"--size", "0"}},
	} {
		w.must(rbd.Create(w.ctx, w.io(), c.name, c.size, c.o))
		w.stock(append([]string{"create", c.name + "-stock"}, c.args...)...)
		w.wantErr(rbd.Create(w.ctx, w.io(), c.name, c.size, c.o), fs.ErrExist)
		w.wantErr(rbd.Create(w.ctx, w.io(), c.name+"-stock", c.size, c.o), fs.ErrExist)
		type info struct {
			Size, Objects                uint64
			Order                        uint8
			StripeUnit                   uint64 `json:"stripe_unit"`
			StripeCount                  uint64 `json:"stripe_count"`
			Prefix                       string `json:"block_name_prefix"`
			Features, Op_Features, Flags []string
		}
		var ours, theirs info
		w.must(json.Unmarshal([]byte(w.stock("info", c.name, "--format", "json")), &ours))
		w.must(json.Unmarshal([]byte(w.stock("info", c.name+"-stock", "--format", "json")), &theirs))
		got := w.open(c.name+"-stock", rbd.OpenOptions{ReadOnly: true}).Info()
		if ours.Prefix == theirs.Prefix || got.Prefix != theirs.Prefix {
			w.Errorf("prefixes %q, %q, read as %q", ours.Prefix, theirs.Prefix, got.Prefix)
		}
		ours.Prefix = theirs.Prefix
		if a, b := mustJSON(ours), mustJSON(theirs); a != b {
			w.Errorf("%s: made as %s, stock %s", c.name, a, b)
		}
		if got.Size != theirs.Size || got.Order != theirs.Order || got.Objects != theirs.Objects || !slices.Equal(got.Features.Names(), theirs.Features) {
			w.Errorf("%s: read as %+v, stock %+v", c.name, got, theirs)
		}
		if got.Created.IsZero() || got.Modified.IsZero() || got.Parent != nil || got.DataPool != "" {
			w.Errorf("%s: %+v", c.name, got)
		}
	}
	list, err := rbd.List(w.ctx, w.io())
	w.must(err)
	var names []string
	for _, e := range list {
		if len(e.Name) > 7 && e.Name[:7] == "create-" {
			names = append(names, e.Name)
		}
	}
	want := []string{"create-bare", "create-bare-stock", "create-empty", "create-empty-stock", "create-plain", "create-plain-stock", "create-striped", "create-striped-stock"}
	if !slices.Equal(names, want) {
		w.Errorf("listed %q", names)
	}

	for _, bad := range []struct {
		o    rbd.CreateOptions
		want error
	}{
		{rbd.CreateOptions{Order: 11}, errno.EDOM},
		{rbd.CreateOptions{Order: 26}, errno.EDOM},
		{rbd.CreateOptions{StripeUnit: 4096}, errno.EINVAL},
		{rbd.CreateOptions{StripeUnit: 100, StripeCount: 2}, errno.EINVAL},
		{rbd.CreateOptions{StripeUnit: 3 << 19, StripeCount: 2}, errno.EINVAL},
		{rbd.CreateOptions{Features: rbd.Layering | rbd.ObjectMap}, errno.EINVAL},
		{rbd.CreateOptions{Features: rbd.Layering | rbd.Operations}, errno.EINVAL},
		{rbd.CreateOptions{Features: 1 << 40}, errno.ENOSYS},
	} {
		w.wantErr(rbd.Create(w.ctx, w.io(), "create-bad", mib, bad.o), bad.want)
	}
	_, err = rbd.Open(w.ctx, w.io(), "create-bad", rbd.OpenOptions{})
	w.wantErr(err, fs.ErrNotExist)
	var e *rbd.Error
	if !errors.As(err, &e) || e.Op != "open" || e.Image != w.pool+"/create-bad" {
		w.Errorf("%#v", err)
	}
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// testBytes writes with each client and reads with the other, over the borders
// of objects.
func testBytes(w *world) {
	img := w.create("bytes", 16*mib, rbd.CreateOptions{Order: 20})
	want := make([]byte, 16*mib)
	write := func(off, n int, seed uint32) {
		p := pattern(n, seed)
		copy(want[off:], p)
		w.write(img, int64(off), p)
	}
	write(0, 1, 1)
	write(mib-3, 7, 2)
	write(3*mib, mib, 3)
	write(5*mib+100, 4*mib+5, 4)
	write(16*mib-4096, 4096, 5)
	w.wantRead(img, 0, want)
	w.python(`
with rbd.Image(io, 'bytes') as img:
    img.write(pattern(5000, 9), 2*1048576 - 2500)
    img.write(pattern(3, 10), 0)
`)
	copy(want[2*mib-2500:], pattern(5000, 9))
	copy(want, pattern(3, 10))
	w.wantRead(img, 0, want)
	for _, r := range [][2]int{{0, 1}, {1, 2}, {mib - 1, 2}, {2*mib - 3000, 6000}, {7 * mib, 1}, {15 * mib, mib}} {
		w.wantRead(img, int64(r[0]), want[r[0]:r[0]+r[1]])
	}
	if out := w.stock("export", "bytes", "-"); !bytes.Equal([]byte(out), want) {
		w.Errorf("stock export: %s", difference([]byte(out), want))
	}
}

// testBounds goes over the image's end and writes where one may not.
func testBounds(w *world) {
	img := w.create("bounds", 10000, rbd.CreateOptions{Features: rbd.Layering, Order: 12})
	w.write(img, 9990, pattern(10, 1))
	for _, bad := range []int64{-1, 9991, 10001, 1 << 60} {
		_, err := img.WriteAt(w.ctx, make([]byte, 10), bad)
		w.wantErr(err, errno.EINVAL)
	}
	p := make([]byte, 20)
	if n, err := img.ReadAt(w.ctx, p, 9990); n != 10 || err != io.EOF || !bytes.Equal(p[:n], pattern(10, 1)) {
		w.Errorf("%d bytes at the end, %v", n, err)
	}
	if n, err := img.ReadAt(w.ctx, p, 10000); n != 0 || err != io.EOF {
		w.Errorf("%d bytes behind the end, %v", n, err)
	}
	_, err := img.ReadAt(w.ctx, p, -1)
	w.wantErr(err, errno.EINVAL)
	if n, err := img.ReadAt(w.ctx, nil, 0); n != 0 || err != nil {
		w.Errorf("reading nothing: %d, %v", n, err)
	}
	_, err = w.open("bounds", rbd.OpenOptions{ReadOnly: true}).WriteAt(w.ctx, p, 0)
	w.wantErr(err, errno.EROFS)
	w.must(img.Close(w.ctx))
	if img.Close(w.ctx) == nil {
		w.Error("closed twice")
	}
}

// testStriping writes a striped image with one client and reads it with the
// other.
func testStriping(w *world) {
	img := w.create("striping", 3*mib+777, rbd.CreateOptions{Order: 16, StripeUnit: 4096, StripeCount: 3})
	want := make([]byte, 3*mib+777)
	for i, r := range [][2]int{{0, 5000}, {8191, 2}, {100000, mib}, {2 * mib, mib + 777}} {
		p := pattern(r[1], uint32(i))
		copy(want[r[0]:], p)
		w.write(img, int64(r[0]), p)
	}
	w.wantRead(img, 0, want)
	w.wantRead(img, 99999, want[99999:300000])
	if out := w.stock("export", "striping", "-"); !bytes.Equal([]byte(out), want) {
		w.Errorf("stock export: %s", difference([]byte(out), want))
	}
	w.python(`
with rbd.Image(io, 'striping') as img:
    img.write(pattern(70000, 5), 12345)
`)
	copy(want[12345:], pattern(70000, 5))
	w.wantRead(img, 0, want)
}
