package clsrbd

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/wire"
)

// ObjectState is what an object map tells of one data object (OBJECT_*).
type ObjectState = uint8

const (
	ObjectNonexistent ObjectState = iota
	ObjectExists
	ObjectPending     // it is being removed
	ObjectExistsClean // it exists and did not change since the newest snapshot
)

// MaxObjects is the greatest length of an object map.
const MaxObjects = 256_000_000

// BitVector is an array of two-bit elements (ceph::BitVector<2>), the content
// of an object map: element n is the ObjectState of data object n. Four of them
// share a byte, the first in its highest bits. The zero value is empty.
//
// Encoded it is a header with the length, the bytes, and a footer. On disk the
// footer has checksums, of the header and of each 4 KiB of bytes, so that a
// method may change an element without reading and writing all the others; in
// calls it is empty.
type BitVector struct {
	n    uint64
	data []byte // (n+3)/4 bytes; unused bits are 0
}

const (
	perByte  = 4
	crcBlock = 4096
)

// NewBitVector returns n elements of value 0.
func NewBitVector(n uint64) *BitVector {
	return &BitVector{n: n, data: make([]byte, (n+perByte-1)/perByte)}
}

// Len is the number of elements.
func (v *BitVector) Len() uint64 { return v.n }

func shift(i uint64) uint { return uint(6 - 2*(i%perByte)) }

// Get is element i, which must be less than Len.
func (v *BitVector) Get(i uint64) uint8 {
	if i >= v.n {
		panic(fmt.Sprintf("BUG: element %d of %d", i, v.n))
	}
	return v.data[i/perByte] >> shift(i) & 3
}

// Set changes element i, which must be less than Len.
func (v *BitVector) Set(i uint64, x uint8) {
	if i >= v.n {
		panic(fmt.Sprintf("BUG: element %d of %d", i, v.n))
	}
	b, s := &v.data[i/perByte], shift(i)
	*b = *b&^(3<<s) | x&3<<s
}

// Resize changes the length; what is added has the value x.
func (v *BitVector) Resize(n uint64, x uint8) {
	old := v.n
	if n < old {
		v.data = v.data[:(n+perByte-1)/perByte]
		v.n = n
		v.trim()
		return
	}
	v.n = n
	v.data = append(v.data, make([]byte, int((n+perByte-1)/perByte)-len(v.data))...)
	if x == 0 {
		return
	}
	for ; old < n && old%perByte != 0; old++ {
		v.Set(old, x)
	}
	all := x & 3 * 0x55
	for ; old+perByte <= n; old += perByte {
		v.data[old/perByte] = all
	}
	for ; old < n; old++ {
		v.Set(old, x)
	}
}

// trim clears the bits after the last element. Ceph leaves there what was there
// before it made the vector shorter.
func (v *BitVector) trim() {
	if r := v.n % perByte; r != 0 {
		v.data[len(v.data)-1] &= 0xff << (8 - 2*r)
	}
}

// Clone returns a copy.
func (v *BitVector) Clone() *BitVector { return &BitVector{v.n, slices.Clone(v.data)} }

// Equal reports whether length and elements are the same.
func (v *BitVector) Equal(w *BitVector) bool { return v.n == w.n && bytes.Equal(v.data, w.data) }

func (v *BitVector) header() []byte {
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.U64(v.n)
	e.End(m)
	return e.Bytes()
}

// Encode appends the form without checksums, that of calls.
func (v *BitVector) Encode(e *wire.Encoder) {
	e.Blob(v.header())
	e.Raw(v.data)
	e.Blob(nil)
}

// EncodeDisk appends the form with checksums, that of objects.
func (v *BitVector) EncodeDisk(e *wire.Encoder) {
	h := v.header()
	e.Blob(h)
	e.Raw(v.data)
	var f wire.Encoder
	f.U32(wire.CRC32C(0, h))
	f.U32(uint32((len(v.data) + crcBlock - 1) / crcBlock))
	f.Raw(blockSums(v.data))
	e.Blob(f.Bytes())
}

// Decode reads either form and verifies checksums that are there.
func (v *BitVector) Decode(d *wire.Decoder) {
	h := d.Blob()
	n := decodeLen(d, h)
	if d.Err() == nil && n > uint64(d.Left())*perByte {
		d.Failf("%d elements in %d bytes", n, d.Left())
	}
	if d.Err() != nil {
		return
	}
	data := d.Raw(int((n + perByte - 1) / perByte))
	footer := d.Blob()
	if d.Err() != nil {
		return
	}
	if len(footer) > 0 {
		fd := wire.NewDecoder(footer)
		sum := fd.U32()
		sums := wire.DecodeSlice(fd, 4, fd.U32)
		d.Join(fd)
		checkSums(d, h, data, sum, sums)
	}
	if d.Err() == nil {
		*v = BitVector{n, slices.Clone(data)}
		v.trim()
	}
}

func checkSums(d *wire.Decoder, header, data []byte, sum uint32, sums []uint32) {
	if d.Err() != nil {
		return
	}
	if got := wire.CRC32C(0, header); got != sum {
		d.Failf("crc of header is %#x, not %#x", got, sum)
		return
	}
	if want := (len(data) + crcBlock - 1) / crcBlock; len(sums) != want {
		d.Failf("%d checksums of %d blocks", len(sums), want)
		return
	}
	i := 0
	for b := range slices.Chunk(data, crcBlock) {
		if got := wire.CRC32C(0, b); got != sums[i] {
			d.Failf("crc of block %d is %#x, not %#x", i, got, sums[i])
			return
		}
		i++
	}
}
