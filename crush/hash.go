package crush

// Hash seeds and the two values that are mixed in where an argument is missing.
const (
	hashSeed = 1315423911
	hashX    = 231232
	hashY    = 1232
)

// hashMix is Robert Jenkins' mix of three words (1996).
func hashMix(a, b, c uint32) (uint32, uint32, uint32) {
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

// Hash32 is crush_hash32 of one word (rjenkins1).
func Hash32(a uint32) uint32 {
	h := hashSeed ^ a
	_, _, h = hashMix(a, hashX, h)
	_, _, h = hashMix(hashY, a, h)
	return h
}

// Hash32_2 is crush_hash32_2.
func Hash32_2(a, b uint32) uint32 {
	h := hashSeed ^ a ^ b
	x, y := uint32(hashX), uint32(hashY)
	a, b, h = hashMix(a, b, h)
	_, _, h = hashMix(x, a, h)
	_, _, h = hashMix(b, y, h)
	return h
}

// Hash32_3 is crush_hash32_3.
func Hash32_3(a, b, c uint32) uint32 {
	h := hashSeed ^ a ^ b ^ c
	x, y := uint32(hashX), uint32(hashY)
	a, b, h = hashMix(a, b, h)
	c, x, h = hashMix(c, x, h)
	y, _, h = hashMix(y, a, h)
	_, _, h = hashMix(b, x, h)
	_, _, h = hashMix(y, c, h)
	return h
}

// Hash32_4 is crush_hash32_4.
func Hash32_4(a, b, c, d uint32) uint32 {
	h := hashSeed ^ a ^ b ^ c ^ d
	x, y := uint32(hashX), uint32(hashY)
	a, b, h = hashMix(a, b, h)
	c, d, h = hashMix(c, d, h)
	_, x, h = hashMix(a, x, h)
	y, _, h = hashMix(y, b, h)
	_, _, h = hashMix(c, x, h)
	_, _, h = hashMix(y, d, h)
	return h
}

// Hash32_5 is crush_hash32_5.
func Hash32_5(a, b, c, d, e uint32) uint32 {
	h := hashSeed ^ a ^ b ^ c ^ d ^ e
	x, y := uint32(hashX), uint32(hashY)
	a, b, h = hashMix(a, b, h)
	c, d, h = hashMix(c, d, h)
	e, x, h = hashMix(e, x, h)
	y, _, h = hashMix(y, a, h)
	_, x, h = hashMix(b, x, h)
	y, _, h = hashMix(y, c, h)
	_, _, h = hashMix(d, x, h)
	_, _, h = hashMix(y, e, h)
	return h
}
