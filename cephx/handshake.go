package cephx

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
)

// Methods of authentication (CEPH_AUTH_*).
const (
	MethodNone  uint32 = 1
	MethodCephx uint32 = 2
)

// Modes of a connection (CEPH_CON_MODE_*).
const (
	ModeCRC    uint32 = 1
	ModeSecure uint32 = 2
)

// The first byte of a first payload says what is asked for (AUTH_MODE_*).
const (
	authModeAuthorizer    = 1 // up to 9, by version of the authorizer
	authModeAuthorizerMax = 9
	authModeMon           = 10 // login to a monitor
)

// connSecretSize is the size of the connection secret in secure mode.
const connSecretSize = 64

func secretSize(mode uint32) int {
	if mode == ModeSecure {
		return connSecretSize
	}
	return 0
}

// Done is the outcome of an authentication, for the messenger.
type Done struct {
	GlobalID   uint64
	Mode       uint32
	SessionKey []byte    // signs the handshake; nil with method none
	ConnSecret []byte    // 64 bytes in secure mode
	Identity   *Identity // accepting side: who it is
}

// Identity is who is at the other end of an accepted connection.
type Identity struct {
	Name     entity.AuthName
	GlobalID uint64
	Method   uint32
	// Caps are the account's capabilities by service: of all services on a
	// monitor, of its own service on a daemon. With method none the peer may do
	// anything, and they say so.
	Caps    map[string]string
	Expires time.Time // of the ticket; zero: never

	challenge uint64 // of the login: a later one on the same session uses it again
}

// ServerHandshake is the accepting side of one authentication
// (AuthServer::handle_auth_request). If done is nil the reply asks for more
// (AUTH_REPLY_MORE), else it is that of AUTH_DONE. modes are those the peer
// prefers among the allowed ones, not empty. An error that is a [*Refusal]
// should be told to the peer (AUTH_BAD_METHOD).
type ServerHandshake interface {
	Request(method uint32, modes []uint32, payload []byte) (reply []byte, done *Done, err error)
	More(payload []byte) (reply []byte, done *Done, err error)
}

// ClientHandshake is the connecting side of one authentication (AuthClient).
type ClientHandshake interface {
	// Request returns the first payload. Called again, it starts anew.
	Request(modes []uint32) (method uint32, payload []byte, err error)
	// More answers an AUTH_REPLY_MORE.
	More(payload []byte) ([]byte, error)
	// Done takes the AUTH_DONE and gives the secrets.
	Done(globalID uint64, mode uint32, payload []byte) (*Done, error)
	// BadMethod is told of a refusal. With retry the connection may try again
	// from Request.
	BadMethod(method uint32, result int32, methods []uint32) (retry bool)
}

// Refusal is an authentication that was refused. It says what belongs in the
// log, never a secret; the peer learns the number and the allowed methods.
type Refusal struct {
	Who      entity.AuthName // as claimed; zero if it did not come so far
	GlobalID uint64          // as claimed
	Method   uint32
	Methods  []uint32    // allowed
	Errno    errno.Errno // what the peer is told
	Why      string      // what the log is told
}

func (r *Refusal) Error() string {
	who := "a peer"
	if r.Who != (entity.AuthName{}) {
		who = r.Who.String()
	}
	if r.GlobalID != 0 {
		who += fmt.Sprintf(" (global id %d)", r.GlobalID)
	}
	return fmt.Sprintf("cephx: %s refused: %s: %v", who, r.Why, r.Errno)
}

// Unwrap gives the number.
func (r *Refusal) Unwrap() error { return r.Errno }

// LogValue groups what is known.
func (r *Refusal) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("entity", r.Who.String()),
		slog.Uint64("global_id", r.GlobalID),
		slog.Uint64("method", uint64(r.Method)),
		slog.String("reason", r.Why),
		slog.Int("errno", int(r.Errno)),
	)
}
