package diskstore

import (
	"encoding/binary"
	"fmt"
)

// refBlocks is how many blocks of the file a record of reference counts covers.
const refBlocks = 64

// refChunk holds the counts of blocks that have more than one reference. A
// count of zero means that there is one, or none: the bitmap knows.
type refChunk [refBlocks]uint32

func (c *refChunk) empty() bool { return *c == refChunk{} }

// encode is a varint for each count.
func (c *refChunk) encode() []byte {
	b := make([]byte, 0, refBlocks)
	for _, n := range c {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

func decodeRefChunk(b []byte) (*refChunk, error) {
	r := reader{b: b}
	c := &refChunk{}
	for i := range c {
		n := r.uint()
		if n > 1<<31 || n == 1 {
			return nil, fmt.Errorf("reference count %d: %w", n, errRecord)
		}
		c[i] = uint32(n)
	}
	return c, r.end()
}
