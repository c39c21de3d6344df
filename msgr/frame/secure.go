package frame

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

const (
	tagLen    = 16 // of GCM
	blockLen  = 16 // segments are padded to it
	inlineLen = 48 // bytes of segment 0 beside the preamble

	// SecretLen is the length of the connection secret of secure mode: a key,
	// and a nonce for each direction; the rest is unused.
	SecretLen = 64
)

func pad(n int) int { return (n + blockLen - 1) &^ (blockLen - 1) }

// stream seals or opens the chunks of one direction. Its counter cannot come
// round: 2^64 chunks take longer than any connection lasts.
type stream struct {
	aead  cipher.AEAD
	nonce [12]byte
}

// newStreams makes the two directions of one end from the connection secret.
func newStreams(secret []byte, connecting bool) (rx, tx *stream, err error) {
	if len(secret) != SecretLen {
		return nil, nil, fmt.Errorf("connection secret of %d bytes, want %d", len(secret), SecretLen)
	}
	block, err := aes.NewCipher(secret[:16])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, err
	}
	// Named from the connecting side: it receives with the first nonce.
	rx = &stream{aead: aead, nonce: [12]byte(secret[16:28])}
	tx = &stream{aead: aead, nonce: [12]byte(secret[28:40])}
	if !connecting {
		rx, tx = tx, rx
	}
	return rx, tx, nil
}

// Secure switches both directions of one end to secure mode, from the next
// frame on.
func Secure(r *Reader, w *Writer, secret []byte, connecting bool) error {
	rx, tx, err := newStreams(secret, connecting)
	if err != nil {
		return err
	}
	r.secure, w.secure = rx, tx
	r.begin(inPreamble, 0, preambleLen+inlineLen+tagLen)
	return nil
}

func (s *stream) step() {
	n := binary.LittleEndian.Uint64(s.nonce[4:])
	binary.LittleEndian.PutUint64(s.nonce[4:], n+1)
}

// seal encrypts b in place; the tag goes into its last bytes.
func (s *stream) seal(b []byte) {
	s.aead.Seal(b[:0], s.nonce[:], b[:len(b)-tagLen], nil)
	s.step()
}

// open decrypts b in place and returns it without the tag.
func (s *stream) open(b []byte) ([]byte, error) {
	p, err := s.aead.Open(b[:0], s.nonce[:], b, nil)
	if err != nil {
		return nil, ErrTag
	}
	s.step()
	return p, nil
}
