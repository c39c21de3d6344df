package buffer

import "hash/crc32"

// A Ref may know the checksums of its bytes, as Ceph's bufferlist does, so that
// they are computed once between the disk and the wire: a store that has checked
// what it read against its checksums hands those on, and the frame that carries
// the bytes derives its own from them; a frame that has been checked leaves
// behind what a store keeps.

// SumPiece is the length of the pieces that sums are of.
const SumPiece = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WithSums returns r with the CRC-32C (in its usual form, as hash/crc32 has it) of
// each whole piece of its bytes, from the first on. It keeps sums.
func (r Ref) WithSums(sums []uint32) Ref {
	if len(sums) != len(r.b)/SumPiece {
		panic("BUG: wrong number of checksums")
	}
	r.sums = sums
	return r
}

// Sums returns what WithSums was given, or nil. It must not be changed.
func (r Ref) Sums() []uint32 { return r.sums }

// Summed returns r with sums, which it computes.
func (r Ref) Summed() Ref {
	sums := make([]uint32, len(r.b)/SumPiece)
	for i := range sums {
		sums[i] = crc32.Checksum(r.b[i*SumPiece:(i+1)*SumPiece], castagnoli)
	}
	return r.WithSums(sums)
}

// CRC32C is wire.CRC32C of the bytes: of the pieces whose sums are known it does
// not look at them.
func (r Ref) CRC32C(seed uint32) uint32 {
	// In the usual form, crc(A+B) is crc(B) and crc(A) moved over len(B) zeros.
	crc := ^seed
	for _, s := range r.sums {
		crc = overPiece(crc) ^ s
	}
	return ^crc32.Update(crc, castagnoli, r.b[len(r.sums)*SumPiece:])
}

// moved is overPiece by the bytes of its argument: it is linear.
var moved = func() (t [4][256]uint32) {
	var zeros [SumPiece]byte
	for bit := range 32 {
		// Update inverts before and after.
		one := ^crc32.Update(^uint32(1<<bit), castagnoli, zeros[:])
		for i := range 256 {
			if i>>(bit%8)&1 == 1 {
				t[bit/8][i] ^= one
			}
		}
	}
	return t
}()

// overPiece is what a piece of zeros makes of a register.
func overPiece(crc uint32) uint32 {
	return moved[0][crc&0xff] ^ moved[1][crc>>8&0xff] ^ moved[2][crc>>16&0xff] ^ moved[3][crc>>24]
}
