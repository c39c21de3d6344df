package object

// HashString is ceph_str_hash_rjenkins: Robert Jenkins' string hash (1996), in
// 12-byte blocks.
func HashString(s string) uint32 {
	a, b, c := uint32(0x9e3779b9), uint32(0x9e3779b9), uint32(0)
	n := len(s)
	for len(s) >= 12 {
		a += le32(s[0:])
		b += le32(s[4:])
		c += le32(s[8:])
		a, b, c = mix(a, b, c)
		s = s[12:]
	}
	c += uint32(n)
	// The low byte of c holds the length, so the tail goes above it.
	for i := range len(s) {
		x := uint32(s[i])
		switch {
		case i < 4:
			a += x << (8 * i)
		case i < 8:
			b += x << (8 * (i - 4))
		default:
			c += x << (8 * (i - 7))
		}
	}
	_, _, c = mix(a, b, c)
	return c
}

func le32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func mix(a, b, c uint32) (uint32, uint32, uint32) {
	a = (a - b - c) ^ c>>13
	b = (b - c - a) ^ a<<8
	c = (c - a - b) ^ b>>13
	a = (a - b - c) ^ c>>12
	b = (b - c - a) ^ a<<16
	c = (c - a - b) ^ b>>5
	a = (a - b - c) ^ c>>3
	b = (b - c - a) ^ a<<10
	c = (c - a - b) ^ b>>15
	return a, b, c
}

// LinuxHashString is ceph_str_hash_linux, the hash of old directories.
func LinuxHashString(s string) uint32 {
	var h uint64
	for i := range len(s) {
		c := uint64(s[i])
		h = (h + c<<4 + c>>4) * 11
	}
	return uint32(h)
}
