package pg

import (
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// xxh64 and xxh32 are Yann Collet's xxHash with a seed.
func xxh64(seed uint64, b []byte) uint64 {
	d := xxhash.NewWithSeed(seed)
	d.Write(b)
	return d.Sum64()
}

const (
	xxPrime1 = 0x9e3779b1
	xxPrime2 = 0x85ebca77
	xxPrime3 = 0xc2b2ae3d
	xxPrime4 = 0x27d4eb2f
	xxPrime5 = 0x165667b1
)

func xxh32(seed uint32, b []byte) uint32 {
	n := uint32(len(b))
	h := seed + xxPrime5
	if len(b) >= 16 {
		p1, p2 := uint32(xxPrime1), uint32(xxPrime2) // the sums wrap
		lanes := [4]uint32{seed + p1 + p2, seed + p2, seed, seed - p1}
		for len(b) >= 16 {
			for i := range lanes {
				lanes[i] = bits.RotateLeft32(lanes[i]+binary.LittleEndian.Uint32(b[4*i:])*xxPrime2, 13) * xxPrime1
			}
			b = b[16:]
		}
		h = bits.RotateLeft32(lanes[0], 1) + bits.RotateLeft32(lanes[1], 7) +
			bits.RotateLeft32(lanes[2], 12) + bits.RotateLeft32(lanes[3], 18)
	}
	h += n
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*xxPrime3, 17) * xxPrime4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*xxPrime5, 11) * xxPrime1
	}
	h = (h ^ h>>15) * xxPrime2
	h = (h ^ h>>13) * xxPrime3
	return h ^ h>>16
}
