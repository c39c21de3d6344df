package msgr

import "io"

const (
	handshakeBuffer = 1 << 10
	readBuffer      = 32 << 10 // a small message, or several, in one read
)

// source reads a socket through a buffer. What is larger than the buffer is
// read straight into its place.
type source struct {
	r        io.Reader
	buf      []byte
	from, to int // unread part of buf
}

// fill reads all of dst.
func (s *source) fill(dst []byte) error {
	n := copy(dst, s.buf[s.from:s.to])
	s.from += n
	for dst = dst[n:]; len(dst) > 0; dst = dst[n:] {
		var err error
		if len(dst) >= len(s.buf) {
			n, err = s.r.Read(dst)
		} else {
			s.from = 0
			s.to, err = s.r.Read(s.buf)
			n = copy(dst, s.buf[:s.to])
			s.from = n
		}
		if n == 0 && err != nil {
			return err
		}
	}
	return nil
}

// resize changes the buffer, which must have room for what is in it.
func (s *source) resize(n int) {
	buf := make([]byte, n)
	s.to = copy(buf, s.buf[s.from:s.to])
	s.from, s.buf = 0, buf
}
