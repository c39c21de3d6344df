package msgr

import (
	"context"
	"log/slog"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

// The parts of an authentication, which package session defines and uses.
type (
	Mode       = session.Mode
	AuthDone   = session.AuthDone
	ServerAuth = session.ServerAuth
	ClientAuth = session.ClientAuth
	BadMethod  = session.BadMethod
)

const (
	ModeCRC    = session.ModeCRC
	ModeSecure = session.ModeSecure
)

// Policy is how sessions with one type of peer behave.
type Policy struct {
	Lossy bool // a lost connection ends the session; else it is resumed and replayed
	// Stateless lets a peer have several lossy sessions at a time, each on its
	// own (stateless_server): stock clients open a second one with a monitor
	// for "tell", and all have the cookie 0. Else a new one ends the old one.
	Stateless bool
	Required  uint64 // feature bits the peer must have
	// MaxInflight bounds the bytes of received messages whose buffers this
	// connection's handler has not released; reading stops above it. 0: 64 MiB.
	MaxInflight int64
	// Budget bounds the same over all connections that share it; may be nil.
	Budget *Budget
	// MaxQueued, of a lossy session, is the number of bytes waiting to be sent
	// above which nothing more is read: who does not take answers gets no more
	// questions in. 0: no bound.
	MaxQueued int64
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
	// IdleAfter ends lossy sessions on which nothing came or went for so long,
	// and lossless ones whose peer has not come back. 0: 900 s; <0: never.
	IdleAfter time.Duration
	// MaxUnauthenticated bounds the connections whose handshake has not ended;
	// above it the oldest of them is closed, so that a crowd of silent
	// connections keeps nobody out. 0: 1024.
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

// Handler gets what happens on connections. Calls for one connection come one
// at a time and in order; a call that blocks stops reading from that
// connection only.
type Handler interface {
	// Opened: the session is established. The first call for a Conn, and made
	// once.
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
