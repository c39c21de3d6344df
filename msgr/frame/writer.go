package frame

import (
	"encoding/binary"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/wire"
)

// ByReference is the size from which a part of a payload is not copied into
// the batch.
const ByReference = 8 << 10

// sealApart is the size from which the sealed segments of a message get a
// buffer of their own.
const sealApart = 64 << 10

// Batch is a sequence of frames that leaves in one write. The zero value is
// ready.
type Batch struct {
	buf  []byte      // what is not by reference, in order
	cuts []int       // cuts[i] is where in buf refs[i] belongs
	refs buffer.List // held until Reset
	size int
}

// Len is the number of bytes to be written.
func (b *Batch) Len() int { return len(b.buf) + b.size }

// Contiguous returns all of it, if nothing is in it by reference.
func (b *Batch) Contiguous() ([]byte, bool) { return b.buf, len(b.refs) == 0 }

// Slices appends what is to be written to dst. It is valid until Reset.
func (b *Batch) Slices(dst [][]byte) [][]byte {
	at := 0
	for i, cut := range b.cuts {
		if cut > at {
			dst = append(dst, b.buf[at:cut])
		}
		dst = append(dst, b.refs[i].Bytes())
		at = cut
	}
	if at < len(b.buf) {
		dst = append(dst, b.buf[at:])
	}
	return dst
}

// Reset empties the batch and releases what it held.
func (b *Batch) Reset() {
	b.refs.Release()
	clear(b.refs)
	*b = Batch{buf: b.buf[:0], cuts: b.cuts[:0], refs: b.refs[:0]}
}

// Banner appends the banner.
func (b *Batch) Banner() { b.buf = append(b.buf, Banner()...) }

// refer keeps r.
func (b *Batch) refer(r buffer.Ref) {
	b.cuts = append(b.cuts, len(b.buf))
	b.refs = append(b.refs, r)
	b.size += r.Len()
}

// extend makes room for n bytes of undefined content.
func (b *Batch) extend(n int) []byte {
	at := len(b.buf)
	if cap(b.buf)-at < n {
		b.buf = append(make([]byte, 0, max(2*cap(b.buf), at+n)), b.buf...)
	}
	b.buf = b.buf[:at+n]
	return b.buf[at:]
}

// Writer puts frames together, in the order in which they must leave. The zero
// value is in crc mode.
type Writer struct {
	secure *stream
}

// Control appends a control frame.
func (w *Writer) Control(b *Batch, tag Tag, payload []byte) {
	p := preamble{tag: tag, n: 1}
	p.size[0] = uint32(len(payload))
	if w.secure != nil {
		w.sealHead(b, &p, payload)
		return
	}
	b.buf = p.append(b.buf)
	if len(payload) > 0 {
		b.buf = append(b.buf, payload...)
		b.buf = binary.LittleEndian.AppendUint32(b.buf, wire.CRC32C(^uint32(0), payload))
	}
}

// Message appends a message. It borrows front and middle, and keeps data.
func (w *Writer) Message(b *Batch, h *Header, front, middle []byte, data buffer.List) {
	p := preamble{tag: TagMessage, n: 1}
	p.size = [maxSegments]uint32{headerLen, uint32(len(front)), uint32(len(middle)), uint32(data.Len())}
	for i, n := range p.size {
		if n > 0 {
			p.n = i + 1
		}
	}
	if w.secure != nil {
		w.sealMessage(b, &p, h, front, middle, data)
		return
	}
	b.buf = p.append(b.buf)
	at := len(b.buf)
	b.buf = h.append(b.buf)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, wire.CRC32C(^uint32(0), b.buf[at:]))
	if p.n == 1 {
		return
	}
	var crc [maxSegments]uint32
	crc[segFront] = wire.CRC32C(^uint32(0), front)
	b.buf = append(b.buf, front...)
	if p.n > segMiddle {
		crc[segMiddle] = wire.CRC32C(^uint32(0), middle)
		b.buf = append(b.buf, middle...)
	}
	if p.n > segData {
		crc[segData] = ^uint32(0)
		for _, r := range data {
			crc[segData] = r.CRC32C(crc[segData])
			if r.Len() >= ByReference {
				b.refer(r)
				continue
			}
			b.buf = append(b.buf, r.Bytes()...)
			r.Release()
		}
	}
	b.buf = append(b.buf, statusComplete)
	for _, c := range crc[1:] {
		b.buf = binary.LittleEndian.AppendUint32(b.buf, c)
	}
}

// sealHead appends the chunks of the preamble and segment 0.
func (w *Writer) sealHead(b *Batch, p *preamble, seg []byte) {
	at := len(b.buf)
	b.buf = p.append(b.buf)
	inline := min(len(seg), inlineLen)
	b.buf = append(b.buf, seg[:inline]...)
	clear(b.extend(inlineLen - inline + tagLen))
	w.secure.seal(b.buf[at:])
	if rest := seg[inline:]; len(rest) > 0 {
		chunk := b.extend(pad(len(rest)) + tagLen)
		clear(chunk[copy(chunk, rest):])
		w.secure.seal(chunk)
	}
}

func (w *Writer) sealMessage(b *Batch, p *preamble, h *Header, front, middle []byte, data buffer.List) {
	var hdr [headerLen]byte
	w.sealHead(b, p, h.append(hdr[:0]))
	if p.n == 1 {
		return
	}
	n := pad(len(front)) + pad(len(middle)) + pad(int(p.size[segData])) + blockLen + tagLen
	var chunk []byte
	if n >= sealApart {
		r := buffer.Alloc(n)
		chunk = r.Bytes()
		b.refer(r)
	} else {
		chunk = b.extend(n)
	}
	c := chunk
	put := func(n int) { // n bytes are in c; pads them
		clear(c[n:pad(n)])
		c = c[pad(n):]
	}
	put(copy(c, front))
	put(copy(c, middle))
	at := 0
	for _, r := range data {
		at += copy(c[at:], r.Bytes())
	}
	put(at)
	data.Release()
	c[0] = statusComplete
	clear(c[1:])
	w.secure.seal(chunk)
}
