package transfer

import (
	"bufio"
	"encoding/binary"
	"io"
	"maps"
	"slices"
)

// ImageHeader is what stands before the diffs of an image of format 2.
type ImageHeader struct {
	Order                   uint64
	Features                uint64
	StripeUnit, StripeCount uint64
	Metadata                map[string]string
	Diffs                   uint64 // how many follow
}

// WriteTo writes the header; the diffs, of version 2, must follow.
func (h *ImageHeader) WriteTo(to io.Writer) (int64, error) {
	w := &counting{w: bufio.NewWriter(to)}
	u64 := func(v uint64) { w.Write(binary.LittleEndian.AppendUint64(nil, v)) }
	io.WriteString(w, imageBanner)
	for _, f := range []struct {
		tag byte
		v   uint64
	}{{'O', h.Order}, {'T', h.Features}, {'U', h.StripeUnit}, {'C', h.StripeCount}} {
		w.Write([]byte{f.tag})
		u64(8)
		u64(f.v)
	}
	for _, k := range slices.Sorted(maps.Keys(h.Metadata)) {
		v := h.Metadata[k]
		w.Write([]byte{'M'})
		u64(uint64(8 + len(k) + len(v)))
		for _, s := range []string{k, v} {
			w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
			io.WriteString(w, s)
		}
	}
	io.WriteString(w, "E"+diffsBanner)
	u64(h.Diffs)
	return w.n, w.w.Flush()
}

type counting struct {
	w *bufio.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ReadImageHeader reads the header. EINVAL: it is none. The diffs are to be read
// from the same *bufio.Reader.
func ReadImageHeader(r *bufio.Reader) (*ImageHeader, error) {
	h := &ImageHeader{Metadata: map[string]string{}}
	if err := expect(r, imageBanner); err != nil {
		return nil, err
	}
	for {
		tag, err := r.ReadByte()
		if err != nil {
			return nil, short(err)
		}
		if tag == 'E' {
			break
		}
		n, err := readU64(r)
		if err != nil {
			return nil, err
		}
		fixed := map[byte]*uint64{'O': &h.Order, 'T': &h.Features, 'U': &h.StripeUnit, 'C': &h.StripeCount}
		switch {
		case fixed[tag] != nil:
			*fixed[tag], err = readU64(r)
		case tag == 'M':
			var k string
			if k, err = readName(r); err == nil {
				h.Metadata[k], err = readName(r)
			}
		case int64(n) < 0:
			err = bad("a field %q of %d bytes", tag, n)
		default:
			_, err = io.CopyN(io.Discard, r, int64(n))
		}
		if err != nil {
			return nil, short(err)
		}
	}
	if err := expect(r, diffsBanner); err != nil {
		return nil, err
	}
	var err error
	h.Diffs, err = readU64(r)
	return h, err
}

func expect(r io.Reader, banner string) error {
	b := make([]byte, len(banner))
	if _, err := io.ReadFull(r, b); err != nil {
		return short(err)
	}
	if string(b) != banner {
		return bad("%q instead of %q", b, banner)
	}
	return nil
}
