package rbd_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/pulpo-storage/pulpo/rbd"
)

// model is what an image should be: bytes, and those of its snapshots.
type model struct {
	head  []byte
	snaps []modelSnap // oldest first
}

type modelSnap struct {
	name  string
	bytes []byte
}

// testModel does random things to an image, some of them with a second client,
// and compares it and its snapshots with arrays of bytes. At the end librbd reads
// the image, and rebuilds its object map.
func testModel(w *world) {
	var serial atomic.Uint32
	rapid.Check(w.T, func(t *rapid.T) {
		n := serial.Add(1)
		name := fmt.Sprint("model-", n)
		h := &history{T: t, w: w, name: name}
		o := rbd.CreateOptions{Order: 12 + uint8(rapid.IntRange(0, 2).Draw(t, "order"))}
		if rapid.Bool().Draw(t, "striped") {
			o.StripeUnit, o.StripeCount = 1024, 3
		}
		size := rapid.IntRange(1, 60000).Draw(t, "size")
		h.must(rbd.Create(w.ctx, w.io(), name, uint64(size), o))
		h.m.head = make([]byte, size)
		h.pool = w.pool
		h.open()
		defer h.close()
		steps := rapid.IntRange(1, 14).Draw(t, "steps")
		for range steps {
			h.step()
			h.compare(h.img, h.m.head)
		}
		for _, s := range h.m.snaps {
			h.compare(h.at(s.name), s.bytes)
		}
		h.diffs()
		if n%8 == 0 { // starting the stock tools costs more than all before
			h.stock()
		}
	})
}

type history struct {
	*rapid.T
	w     *world
	pool  string
	name  string
	img   *rbd.Image
	m     model
	old   []string // parents
	count int
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) open() {
	img, err := rbd.Open(h.w.ctx, h.w.io(), h.name, rbd.OpenOptions{})
	h.must(err)
	h.img = img
}

func (h *history) at(snap string) *rbd.Image {
	img, err := rbd.Open(h.w.ctx, h.w.io(), h.name, rbd.OpenOptions{Snapshot: snap})
	h.must(err)
	return img
}

func (h *history) close() { h.img.Close(h.w.ctx) }

func (h *history) compare(img *rbd.Image, want []byte) {
	h.Helper()
	if img.Size() != int64(len(want)) {
		h.Fatalf("%s has %d bytes, want %d", img.Spec(), img.Size(), len(want))
	}
	got := make([]byte, len(want))
	if n, err := img.ReadAt(h.w.ctx, got, 0); n != len(want) || err != nil && len(want) > 0 {
		h.Fatalf("%s: %d bytes, %v", img.Spec(), n, err)
	}
	if !bytes.Equal(got, want) {
		h.Fatalf("%s: %s", img.Spec(), difference(got, want))
	}
}

// span draws a range of the image.
func (h *history) span() (off, n int) {
	off = rapid.IntRange(0, len(h.m.head)).Draw(h.T, "off")
	n = rapid.IntRange(0, len(h.m.head)-off).Draw(h.T, "length")
	if unit := 4096; rapid.IntRange(0, 3).Draw(h.T, "aligned") == 0 && off+n > 2*unit {
		off -= off % unit
		n -= n % unit
	}
	return off, n
}

func (h *history) snap() (modelSnap, bool) {
	if len(h.m.snaps) == 0 {
		return modelSnap{}, false
	}
	return rapid.SampledFrom(h.m.snaps).Draw(h.T, "snapshot"), true
}

func (h *history) step() {
	ctx, m := h.w.ctx, &h.m
	h.count++
	switch what := rapid.SampledFrom([]string{
		"write", "write", "write", "write", "zero", "zero", "same", "resize", "snapshot", "snapshot", "remove", "rollback", "clone", "flatten", "reopen", "other",
	}).Draw(h.T, "step"); what {
	case "write":
		off, n := h.span()
		p := pattern(n, uint32(h.count))
		_, err := h.img.WriteAt(ctx, p, int64(off))
		h.must(err)
		copy(m.head[off:], p)
	case "zero":
		off, n := h.span()
		h.must(h.img.WriteZeroes(ctx, int64(off), int64(n)))
		clear(m.head[off : off+n])
	case "same":
		off, n := h.span()
		n -= n % 3
		h.must(h.img.WriteSame(ctx, int64(off), int64(n), []byte("xyz")))
		copy(m.head[off:off+n], bytes.Repeat([]byte("xyz"), n/3))
	case "resize":
		size := rapid.IntRange(0, 60000).Draw(h.T, "size")
		h.must(h.img.Resize(ctx, uint64(size), rbd.ResizeOptions{AllowShrink: true}))
		if size <= len(m.head) {
			m.head = m.head[:size]
		} else {
			m.head = append(m.head, make([]byte, size-len(m.head))...)
		}
	case "snapshot":
		name := fmt.Sprint("s", h.count)
		h.must(h.img.CreateSnapshot(ctx, name))
		m.snaps = append(m.snaps, modelSnap{name, slices.Clone(m.head)})
	case "remove":
		if s, ok := h.snap(); ok {
			h.must(h.img.RemoveSnapshot(ctx, s.name))
			m.snaps = slices.DeleteFunc(m.snaps, func(x modelSnap) bool { return x.name == s.name })
		}
	case "rollback":
		if s, ok := h.snap(); ok {
			h.must(h.img.Rollback(ctx, s.name, nil))
			m.head = slices.Clone(s.bytes)
		}
	case "clone": // go on with a clone of a snapshot
		s, ok := h.snap()
		if !ok || len(h.old) > 2 || len(s.bytes) == 0 { // of nothing there are no clones
			return
		}
		child := fmt.Sprint(h.name, "c")
		h.must(rbd.Clone(ctx, h.at(s.name), h.w.io(), child, rbd.CloneOptions{Format: 2}))
		h.must(h.img.Close(ctx))
		h.old = append(h.old, h.name)
		h.name = child
		h.m = model{head: slices.Clone(s.bytes)}
		h.open()
	case "flatten":
		if h.img.Info().Parent != nil {
			h.must(h.img.Flatten(ctx, nil))
		}
	case "reopen":
		h.must(h.img.Close(ctx))
		h.open()
	case "other": // another client takes the image over
		img, err := rbd.Open(ctx, h.w.io(), h.name, rbd.OpenOptions{})
		h.must(err)
		off, n := h.span()
		p := pattern(n, uint32(h.count))
		_, err = img.WriteAt(ctx, p, int64(off))
		h.must(err)
		copy(m.head[off:], p)
		h.must(img.Close(ctx))
	}
}

// diffs compares all pairs of snapshots: what Diff does not tell of is the same,
// and what it says does not exist is zeros.
func (h *history) diffs() {
	times := append([]modelSnap{{"", nil}}, h.m.snaps...)
	times = append(times, modelSnap{"", h.m.head})
	for i, from := range times {
		for _, to := range times[i+1:] {
			img := h.img
			if to.name != "" {
				img = h.at(to.name)
			}
			for _, whole := range []bool{false, true} {
				// What does not change is what both have; from is zeros where it ends.
				got := append(slices.Clone(from.bytes), make([]byte, len(to.bytes))...)[:len(to.bytes)]
				last := int64(0)
				err := img.Diff(h.w.ctx, rbd.DiffOptions{From: from.name, WholeObject: whole}, func(x rbd.DiffExtent) error {
					if x.Offset < last || x.Length <= 0 || x.Offset+x.Length > int64(len(to.bytes)) {
						return fmt.Errorf("extent %+v after %d", x, last)
					}
					last = x.Offset + x.Length
					part := to.bytes[x.Offset:][:x.Length]
					if !x.Exists && bytes.Count(part, []byte{0}) != len(part) {
						return fmt.Errorf("extent %+v is not zeros", x)
					}
					copy(got[x.Offset:], part)
					return nil
				})
				h.must(err)
				if !bytes.Equal(got, to.bytes) {
					h.Fatalf("diff from %q to %q (whole %v): %s", from.name, to.name, whole, difference(got, to.bytes))
				}
			}
		}
	}
}

// stock reads everything with librbd and has it rebuild the object map.
func (h *history) stock() {
	h.must(h.img.Close(h.w.ctx))
	for _, s := range append(slices.Clone(h.m.snaps), modelSnap{"", h.m.head}) {
		spec := h.name
		if s.name != "" {
			spec += "@" + s.name
		}
		out, err := h.w.command("rbd", "-p", h.pool, "export", spec, "-")
		h.must(err)
		if !bytes.Equal([]byte(out), s.bytes) {
			h.Fatalf("stock export of %s: %s", spec, difference([]byte(out), s.bytes))
		}
	}
	h.w.checkObjectMaps(h.T, h.name)
}
