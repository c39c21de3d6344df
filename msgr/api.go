package msgr

import (
	"context"
	"log/slog"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
)

// Mode is how the frames of a connection are protected.
type Mode uint32

const (
	ModeCRC    Mode = 1
	ModeSecure Mode = 2
)

// Message is one message of either direction (Ceph's Message with its header).
// The bodies are opaque here: package msg knows them.
type Message struct {
	Type     uint16
	Version  uint16 // of the encoding
	Compat   uint16 // oldest decoder version able to read it
	Priority uint16 // 0: 127
	TID      uint64 // request id; replies copy it
	DataOff  uint16 // alignment hint of writes; not used here

	Front  []byte
	Middle []byte
	Data   buffer.List

	Seq      uint64    // of a received message, from 1
	Received time.Time // when its last byte came

	frame buffer.Ref // holds Front and Middle of a received message
}

// Release gives the buffers of a received message back. Front, Middle and Data
// must not be used afterwards, except for data that was retained.
func (m *Message) Release() {
	m.Data.Release()
	m.frame.Release()
	*m = Message{Type: m.Type, TID: m.TID, Seq: m.Seq}
}

// Policy is how sessions with one type of peer behave.
type Policy struct {
	Lossy    bool   // a lost connection ends the session; else it is resumed and replayed
	Required uint64 // feature bits the peer must have
	// MaxInflight bounds the bytes of received messages whose buffers this
	// connection's handler has not released; reading stops above it. 0: 64 MiB.
	MaxInflight int64
}

// Config is what a Messenger needs to know. Name, Auth and Handler are
// required.
type Config struct {
	Name      entity.Name    // own type and number; Num is what SERVER_IDENT tells
	Addrs     entity.AddrVec // own published addresses with nonce; a client leaves it empty
	Features  uint64         // supported; 0: SupportedFeatures
	Policy    func(peer entity.Type) Policy
	Modes     func(peer entity.Type) []Mode // accepted, and offered, best first; nil: crc, secure
	Auth      Authenticator
	Handler   Handler
	Log       *slog.Logger
	Handshake time.Duration // limit for a handshake; 0: 10 s
	IdleAfter time.Duration // close connections idle for so long; 0: 900 s; <0: never
	// MaxUnauthenticated bounds the connections whose handshake has not ended;
	// further ones are closed at once. 0: 1024.
	MaxUnauthenticated int
}

// Authenticator makes the two ends of authentication for each connection. One
// value serves all connections of a messenger, concurrently.
type Authenticator interface {
	// Accept is the accepting side for a connection from a peer of that type.
	Accept(peer entity.Type, addr entity.Addr) ServerAuth
	// Connect is the connecting side.
	Connect(ctx context.Context, peer entity.Type) (ClientAuth, error)
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
	Request(method uint32, modes []Mode, payload []byte) (reply []byte, done *AuthDone, err error)
	More(payload []byte) (reply []byte, done *AuthDone, err error)
}

// BadMethod is the refusal of an authentication (AUTH_BAD_METHOD).
type BadMethod struct {
	Method  uint32
	Result  int32    // negative errno
	Methods []uint32 // allowed
	Modes   []Mode   // allowed
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

// Handler gets what happens on connections. Calls for one connection come one
// at a time and in order; a call that blocks stops reading from that
// connection only.
type Handler interface {
	// Opened: the session is established, or established anew after a lossy
	// session was lost and dialled again.
	Opened(c *Conn)
	// Receive keeps m: the handler releases it.
	Receive(c *Conn, m *Message)
	// Closed: the session has ended for good and c will not be used again; err
	// says why (nil after Conn.Close). Messages not delivered are dropped.
	// Called exactly once for each connection that was Opened.
	Closed(c *Conn, err error)
	// RemoteReset: the peer has forgotten a lossless session; it goes on as a
	// new one on the same Conn.
	RemoteReset(c *Conn)
}
