package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr/frame"
)

// Mode is how the frames of a connection are protected.
type Mode uint32

const (
	ModeCRC    Mode = 1
	ModeSecure Mode = 2
)

func (m Mode) String() string {
	switch m {
	case ModeCRC:
		return "crc"
	case ModeSecure:
		return "secure"
	}
	return fmt.Sprintf("mode %d", uint32(m))
}

// AuthDone is the outcome of an authentication.
type AuthDone struct {
	GlobalID   uint64
	Mode       Mode
	SessionKey []byte // key of AUTH_SIGNATURE; nil with method none
	ConnSecret []byte // 64 bytes in secure mode
	Identity   any    // accepting side: who it is, for the handler (Conn.Identity)
}

// ServerAuth is the accepting side of one authentication. A returned
// *BadMethod becomes an AUTH_BAD_METHOD frame; any other error ends the
// connection.
type ServerAuth interface {
	// Request answers an AUTH_REQUEST, More an AUTH_REQUEST_MORE. If done is
	// nil the reply goes out as AUTH_REPLY_MORE, else as AUTH_DONE. modes are
	// those the peer prefers, already cut to what this side accepts (not empty).
	// Payloads are borrowed.
	Request(method uint32, modes []Mode, payload []byte) (reply []byte, done *AuthDone, err error)
	More(payload []byte) (reply []byte, done *AuthDone, err error)
}

// ClientAuth is the connecting side of one authentication.
type ClientAuth interface {
	// Request returns the first payload.
	Request(modes []Mode) (method uint32, payload []byte, err error)
	// More answers an AUTH_REPLY_MORE.
	More(payload []byte) ([]byte, error)
	// Done takes the AUTH_DONE and gives the secrets.
	Done(globalID uint64, mode Mode, payload []byte) (*AuthDone, error)
	// BadMethod is told of a refusal. With retry the same connection tries
	// again from Request (say, with a fresh ticket), at most twice.
	BadMethod(b *BadMethod) (retry bool)
}

// BadMethod is the refusal of an authentication (AUTH_BAD_METHOD).
type BadMethod struct {
	Method  uint32
	Result  int32    // negative errno
	Methods []uint32 // allowed
	Modes   []Mode   // allowed
}

func (b *BadMethod) Error() string {
	return fmt.Sprintf("authentication with method %d refused: %v", b.Method, b.Unwrap())
}

func (b *BadMethod) Unwrap() error {
	if b.Result >= 0 { // a refusal without a reason
		return errno.EACCES
	}
	return errno.Error(b.Result)
}

// sign makes an AUTH_SIGNATURE over the bytes of one direction. Without a key,
// as after method none, it is zero.
func sign(key, log []byte) (s frame.Signature) {
	if key == nil {
		return s
	}
	h := hmac.New(sha256.New, key)
	h.Write(log)
	h.Sum(s[:0])
	return s
}

func numbers(modes []Mode) []uint32 {
	out := make([]uint32, len(modes))
	for i, m := range modes {
		out[i] = uint32(m)
	}
	return out
}

func modes(numbers []uint32) []Mode {
	out := make([]Mode, len(numbers))
	for i, n := range numbers {
		out[i] = Mode(n)
	}
	return out
}
