package clsrbd

import (
	"bytes"
	"fmt"

	"github.com/pulpo-storage/pulpo/wire"
)

// BitVectorHeader is the size in bytes of the header of a [BitVector] on disk,
// with which decoding its length begins.
const BitVectorHeader = 4 + 6 + 8

// DecodeBitVectorLen reads the header: the number of elements.
func DecodeBitVectorLen(d *wire.Decoder) uint64 { return decodeLen(d, d.Blob()) }

func decodeLen(d *wire.Decoder, header []byte) uint64 {
	h := wire.NewDecoder(header)
	env := h.Begin("BitVector", 1)
	n := h.U64()
	h.End(env)
	d.Join(h)
	return n
}

// BitVectorPart is where on disk the blocks of a vector are that hold a range of
// elements, and their checksums: what must be read and written to change these
// elements, however long the vector is.
type BitVectorPart struct {
	First            uint64 // element; the first of a block
	n                uint64 // elements
	DataOff, DataLen uint64 // bytes of the object
	SumsOff, SumsLen uint64
}

// PartOf returns the part of a vector of n elements that holds those of
// [from, to), a range that is not empty.
func PartOf(n, from, to uint64) BitVectorPart {
	const perBlock = perByte * crcBlock
	if from >= to || to > n {
		panic(fmt.Sprintf("BUG: elements [%d, %d) of %d", from, to, n))
	}
	first := from / perBlock
	blocks := (to-1)/perBlock + 1 - first
	p := BitVectorPart{First: first * perBlock}
	p.n = min(n-p.First, blocks*perBlock)
	p.DataOff, p.DataLen = BitVectorHeader+first*crcBlock, bytesFor(p.n)
	// The footer: its length, the checksum of the header, the number of blocks.
	p.SumsOff, p.SumsLen = BitVectorHeader+bytesFor(n)+12+first*4, blocks*4
	return p
}

// Decode keeps the bytes of the part and verifies them with its checksums. The
// result's element 0 is First.
func (p *BitVectorPart) Decode(data, sums []byte) (*BitVector, error) {
	if uint64(len(data)) != p.DataLen || uint64(len(sums)) != p.SumsLen {
		return nil, fmt.Errorf("%w: %d bytes and %d of checksums instead of %d and %d",
			wire.ErrShort, len(data), len(sums), p.DataLen, p.SumsLen)
	}
	if !bytes.Equal(blockSums(data), sums) {
		return nil, fmt.Errorf("%w: crc of block", wire.ErrValue)
	}
	return &BitVector{p.n, data}, nil
}

// Encode is the inverse of Decode. The vector keeps the bytes.
func (p *BitVectorPart) Encode(v *BitVector) (data, sums []byte) { return v.data, blockSums(v.data) }

func bytesFor(n uint64) uint64 { return n/perByte + min(n%perByte, 1) }

// blockSums is the checksums of blocks, as they stand in the footer.
func blockSums(data []byte) []byte {
	var e wire.Encoder
	for ; len(data) > 0; data = data[min(crcBlock, len(data)):] {
		e.U32(wire.CRC32C(0, data[:min(crcBlock, len(data))]))
	}
	return e.Bytes()
}
