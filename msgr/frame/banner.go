package frame

import (
	"encoding/binary"
	"fmt"
)

const (
	bannerPrefix = "ceph v2\n"
	bannerHead   = len(bannerPrefix) + 2 // and the length of what follows
	bannerMax    = 1 << 10

	revision1 = 1 // feature bit of the banner: msgr2.1
)

// Banner is what each side sends first: that it speaks msgr2.1, and nothing
// older.
func Banner() []byte {
	b := append([]byte(bannerPrefix), 16, 0)
	b = binary.LittleEndian.AppendUint64(b, revision1)
	return binary.LittleEndian.AppendUint64(b, revision1)
}

// BannerReader reads the banner of the peer, in the same cycle as a [Reader].
type BannerReader struct {
	raw  []byte
	have int
}

// Need returns the space for the next bytes.
func (r *BannerReader) Need() []byte {
	if r.raw == nil {
		r.raw = make([]byte, bannerHead)
	}
	return r.raw[r.have:]
}

// Raw is the banner as it was on the wire.
func (r *BannerReader) Raw() []byte { return r.raw }

// Filled says that the bytes of Need are there.
func (r *BannerReader) Filled() (done bool, err error) {
	r.have = len(r.raw)
	if string(r.raw[:len(bannerPrefix)]) != bannerPrefix {
		return false, fmt.Errorf("%w: not the banner of msgr2", ErrFrame)
	}
	n := int(binary.LittleEndian.Uint16(r.raw[len(bannerPrefix):]))
	if r.have == bannerHead {
		if n < 16 || n > bannerMax {
			return false, fmt.Errorf("%w: banner payload of %d bytes", ErrFrame, n)
		}
		r.raw = append(r.raw, make([]byte, n)...)
		return false, nil
	}
	supported := binary.LittleEndian.Uint64(r.raw[bannerHead:])
	required := binary.LittleEndian.Uint64(r.raw[bannerHead+8:])
	switch {
	case supported&revision1 == 0:
		return false, fmt.Errorf("%w: peer does not speak msgr2.1 (features %#x)", ErrFrame, supported)
	case required&^revision1 != 0:
		return false, fmt.Errorf("%w: peer requires msgr2 features %#x", ErrFrame, required)
	}
	return true, nil
}
