package frame

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/wire"
)

const (
	preambleLen = 32
	maxSegments = 4

	alignControl = 8
	alignData    = 4096
)

// Errors of a peer that does not speak the protocol, or of a damaged stream.
// They end the connection.
var (
	ErrFrame = errors.New("bad frame")
	ErrCRC   = errors.New("bad checksum")
	ErrTag   = errors.New("bad authentication tag") // of GCM
	ErrLimit = errors.New("frame over the limit")
)

// preamble announces the segments of a frame.
type preamble struct {
	tag  Tag
	n    int // segments
	size [maxSegments]uint32
}

func (p *preamble) append(b []byte) []byte {
	at := len(b)
	b = append(b, byte(p.tag), byte(p.n))
	for i := range maxSegments {
		align := uint16(0)
		if i < p.n {
			align = alignControl
			if i == segData {
				align = alignData
			}
		}
		b = binary.LittleEndian.AppendUint32(b, p.size[i])
		b = binary.LittleEndian.AppendUint16(b, align)
	}
	b = append(b, 0, 0)
	return binary.LittleEndian.AppendUint32(b, wire.CRC32C(0, b[at:]))
}

func (p *preamble) parse(b []byte) error {
	if got, want := wire.CRC32C(0, b[:28]), binary.LittleEndian.Uint32(b[28:]); got != want {
		return fmt.Errorf("%w of a preamble: %#x, announced %#x", ErrCRC, got, want)
	}
	*p = preamble{tag: Tag(b[0]), n: int(b[1])}
	switch {
	case p.tag < 1 || p.tag > lastTag:
		return fmt.Errorf("%w: %v", ErrFrame, p.tag)
	case p.n < 1 || p.n > maxSegments || (p.n > 1 && p.tag != TagMessage):
		return fmt.Errorf("%w: %v with %d segments", ErrFrame, p.tag, p.n)
	case b[26] != 0:
		return fmt.Errorf("%w: flags %#x", ErrFrame, b[26])
	}
	for i := range maxSegments {
		p.size[i] = binary.LittleEndian.Uint32(b[2+6*i:])
		if i >= p.n && p.size[i] != 0 {
			return fmt.Errorf("%w: segment %d of %d has a length", ErrFrame, i, p.n)
		}
	}
	return nil
}
