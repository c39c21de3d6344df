package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/errno"
)

// stock is a file that a stock tool wrote.
func stock(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name + ".gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rewrite reads a diff and writes it again.
func rewrite(r *DiffReader, w io.Writer, version int) error {
	out, err := NewDiffWriter(w, version, r.DiffHeader)
	if err != nil {
		return err
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if rec.Zero {
			err = out.Zero(rec.Offset, rec.Length)
		} else {
			p := make([]byte, rec.Length)
			if _, err = io.ReadFull(r, p); err == nil {
				err = out.Write(rec.Offset, p)
			}
		}
		if err != nil {
			return err
		}
	}
}

func TestStockDiffs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]DiffHeader{
		"img-to-s1.diff":   {To: "s1", Size: 16 << 20},
		"img-s1-s2.diff":   {From: "s1", To: "s2", Size: 16 << 20},
		"img-s2-head.diff": {From: "s2", Size: 16 << 20},
	} {
		b := stock(t, name)
		r, err := NewDiffReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if r.DiffHeader != want {
			t.Errorf("%s: %+v", name, r.DiffHeader)
		}
		var out bytes.Buffer
		if err := rewrite(r, &out, 1); err != nil || !bytes.Equal(out.Bytes(), b) {
			t.Errorf("%s: written again it has %d bytes, not %d, %v", name, out.Len(), len(b), err)
		}
	}
}

func TestStockImage(t *testing.T) {
	t.Parallel()
	b := stock(t, "img.v2.export")
	r := bufio.NewReader(bytes.NewReader(b))
	h, err := ReadImageHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	want := &ImageHeader{Order: 22, Features: 317, StripeUnit: 4 << 20, StripeCount: 1, Metadata: map[string]string{"key1": "value1"}, Diffs: 3}
	if !reflect.DeepEqual(h, want) {
		t.Errorf("%+v", h)
	}
	var out bytes.Buffer
	if n, err := h.WriteTo(&out); err != nil || n != int64(out.Len()) {
		t.Errorf("%d bytes, %v", n, err)
	}
	for _, want := range []DiffHeader{{To: "s1", Protected: true, Size: 16 << 20}, {From: "s1", To: "s2", Size: 16 << 20}, {From: "s2", Size: 16 << 20}} {
		d, err := NewDiffReader(r)
		if err != nil {
			t.Fatal(err)
		}
		if d.DiffHeader != want {
			t.Errorf("%+v", d.DiffHeader)
		}
		if err := rewrite(d, &out, 2); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), b) {
		t.Errorf("written again it has %d bytes, not %d", out.Len(), len(b))
	}
}

func TestStockMerge(t *testing.T) {
	t.Parallel()
	a, err1 := NewDiffReader(bytes.NewReader(stock(t, "img-to-s1.diff")))
	b, err2 := NewDiffReader(bytes.NewReader(stock(t, "img-s1-s2.diff")))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Merge(&out, a, b); err != nil {
		t.Fatal(err)
	}
	if want := stock(t, "merged.diff"); !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%d bytes, stock %d", out.Len(), len(want))
	}
	a, _ = NewDiffReader(bytes.NewReader(stock(t, "img-to-s1.diff")))
	b, _ = NewDiffReader(bytes.NewReader(stock(t, "img-s2-head.diff")))
	if err := Merge(io.Discard, a, b); !errors.Is(err, errno.EINVAL) {
		t.Errorf("diffs that do not follow each other: %v", err)
	}
}

// apply does what a diff says to an image.
func apply(b, image []byte) ([]byte, error) {
	d, err := NewDiffReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	image = append(bytes.Clone(image), make([]byte, d.Size)...)[:d.Size]
	for {
		rec, err := d.Next()
		if err == io.EOF {
			return image, nil
		}
		if err != nil {
			return nil, err
		}
		part := image[rec.Offset:][:rec.Length]
		if clear(part); !rec.Zero {
			if _, err := io.ReadFull(d, part); err != nil {
				return nil, err
			}
		}
	}
}

// TestMerge compares one merged diff with two.
func TestMerge(t *testing.T) {
	t.Parallel()
	draw := func(t *rapid.T, h DiffHeader) []byte {
		h.Size = rapid.Uint64Range(0, 60).Draw(t, "size")
		var out bytes.Buffer
		version := rapid.IntRange(1, 2).Draw(t, "version")
		w, err := NewDiffWriter(&out, version, h)
		if err != nil {
			t.Fatal(err)
		}
		for at := uint64(0); ; {
			at += rapid.Uint64Range(0, 10).Draw(t, "gap")
			n := rapid.Uint64Range(0, 20).Draw(t, "length")
			if at+n > h.Size {
				break
			}
			if rapid.Bool().Draw(t, "zero") {
				err = w.Zero(at, n)
			} else {
				err = w.Write(at, bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, int(n)))
			}
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	rapid.Check(t, func(t *rapid.T) {
		first, second := draw(t, DiffHeader{From: "a", To: "b"}), draw(t, DiffHeader{From: "b", To: "c"})
		a, err1 := NewDiffReader(bytes.NewReader(first))
		b, err2 := NewDiffReader(bytes.NewReader(second))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		var merged bytes.Buffer
		if err := Merge(&merged, a, b); err != nil {
			t.Fatal(err)
		}
		start := bytes.Repeat([]byte{7}, 40)
		want, err := apply(first, start)
		if err == nil {
			want, err = apply(second, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := apply(merged.Bytes(), start)
		// What a shrink in between takes away is not in the diffs.
		if a.Size >= b.Size && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%v, want %v: %v", got, want, err)
		}
	})
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	good := stock(t, "img-s2-head.diff")
	for n := range good {
		r, err := NewDiffReader(bytes.NewReader(good[:n]))
		if err == nil {
			err = rewrite(r, io.Discard, 1)
		}
		if !errors.Is(err, errno.EINVAL) {
			t.Errorf("%d bytes of %d: %v", n, len(good), err)
		}
	}
	for _, s := range []string{"rbd diff v3\n", "rbd diff v1\nq", "rbd diff v1\ne", "rbd diff v1\nf\xff\xff\xff\xff", "something else\n...."} {
		if _, err := NewDiffReader(bytes.NewReader([]byte(s))); !errors.Is(err, errno.EINVAL) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzDiff(f *testing.F) {
	f.Add(stock(f, "img-s2-head.diff"))
	var v2 bytes.Buffer
	w, err := NewDiffWriter(&v2, 2, DiffHeader{From: "a", To: "b", Size: 100, Protected: true})
	if err == nil {
		err = errors.Join(w.Write(1, []byte("abc")), w.Zero(10, 20), w.Close())
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v2.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewDiffReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if r.From == "" && len(b) > 1<<16 || rewriteBounded(r, &once) != nil {
			return
		}
		again, err := NewDiffReader(bytes.NewReader(once.Bytes()))
		if err == nil {
			err = rewriteBounded(again, &twice)
		}
		if err != nil || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Fatalf("%x written again does not read the same: %v", b, err)
		}
	})
}

// rewriteBounded is rewrite that allocates no more than there is.
func rewriteBounded(r *DiffReader, w io.Writer) error {
	out, err := NewDiffWriter(w, 2, r.DiffHeader)
	if err != nil {
		return err
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if rec.Zero {
			err = out.Zero(rec.Offset, rec.Length)
		} else {
			var p []byte
			if p, err = io.ReadAll(r); err == nil && uint64(len(p)) != rec.Length {
				err = fmt.Errorf("%d bytes of %d", len(p), rec.Length)
			}
			if err == nil {
				err = out.Write(rec.Offset, p)
			}
		}
		if err != nil {
			return err
		}
	}
}

func FuzzImageHeader(f *testing.F) {
	b := stock(f, "img.v2.export")
	f.Add(b[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadImageHeader(bufio.NewReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		var out bytes.Buffer
		h.WriteTo(&out)
		again, err := ReadImageHeader(bufio.NewReader(&out))
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%+v, then %+v, %v", h, again, err)
		}
	})
}
