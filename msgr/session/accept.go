package session

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr/frame"
)

// Terms are what a party asks of sessions with a type of peer.
type Terms struct {
	Lossy    bool
	Required uint64 // features
	Modes    []Mode // accepted or offered, best first
}

// AcceptConfig is what an Acceptor needs to know.
type AcceptConfig struct {
	Name     entity.Name
	Addrs    entity.AddrVec // published
	Seen     entity.Addr    // of the peer, as its socket says
	Features uint64
	Terms    func(peer entity.Type) Terms
	Auth     func(peer entity.Type) ServerAuth
}

// Ask is a question of an [Acceptor] that its owner must answer before it reads
// on.
type Ask int

const (
	AskNothing Ask = iota
	AskOpen        // Ident asks for a session: answer with Open, or close
	AskResume      // Reconnect asks for one: answer with Resume, Reset, Retry or RetryGlobal
)

type acceptState int

const (
	awaitHello acceptState = iota
	awaitAuth
	awaitAuthMore
	awaitSignature
	awaitIdent
	accepted
)

func (s acceptState) String() string {
	return [...]string{"awaiting HELLO", "awaiting AUTH_REQUEST", "awaiting AUTH_REQUEST_MORE", "awaiting AUTH_SIGNATURE",
		"awaiting an ident", "established"}[s]
}

// maxRequests is how often a connection may try to authenticate.
const maxRequests = 4

// Acceptor is the accepting side of a handshake.
type Acceptor struct {
	Handshake
	cfg      AcceptConfig
	state    acceptState
	terms    Terms
	auth     ServerAuth
	requests int
	offered  []Mode

	Peer      entity.Type
	Done      *AuthDone         // once authenticated
	Refused   error             // why the peer was last told no; mostly it goes away then
	Ident     frame.ClientIdent // with AskOpen
	Reconnect frame.Reconnect   // with AskResume
}

// NewAcceptor begins a handshake; the banner and HELLO are to be sent.
func NewAcceptor(cfg AcceptConfig) *Acceptor {
	a := &Acceptor{cfg: cfg}
	a.start(false)
	a.send(frame.TagHello, &frame.Hello{Type: cfg.Name.Type, Seen: cfg.Seen})
	return a
}

// Lossy says what the session will be.
func (a *Acceptor) Lossy() bool { return a.terms.Lossy }

// Filled says that the bytes of Need are there. An error ends the connection,
// without a word to the peer.
func (a *Acceptor) Filled() (Ask, error) {
	tag, payload, ok, err := a.receive()
	if !ok {
		return AskNothing, err
	}
	ask, err := a.handle(tag, payload)
	a.Rx.Next()
	return ask, err
}

func (a *Acceptor) handle(tag frame.Tag, payload []byte) (Ask, error) {
	switch {
	case tag == frame.TagHello && a.state == awaitHello:
		return AskNothing, a.hello(payload)
	case tag == frame.TagAuthRequest && a.state == awaitAuth:
		return AskNothing, a.authRequest(payload)
	case tag == frame.TagAuthRequestMore && a.state == awaitAuthMore:
		return AskNothing, a.authMore(payload)
	case tag == frame.TagAuthSignature && a.state == awaitSignature:
		a.state = awaitIdent
		return AskNothing, a.verify(payload)
	case tag == frame.TagClientIdent && a.state == awaitIdent:
		return a.ident(payload)
	case tag == frame.TagSessionReconnect && a.state == awaitIdent:
		if err := frame.Decode(tag, payload, &a.Reconnect); err != nil {
			return AskNothing, err
		}
		return AskResume, nil
	}
	return AskNothing, unexpected(tag, a.state)
}

func (a *Acceptor) hello(payload []byte) error {
	var p frame.Hello
	if err := frame.Decode(frame.TagHello, payload, &p); err != nil {
		return err
	}
	if p.Type.String() == "unknown" || p.Type == entity.Auth {
		return fmt.Errorf("%w: peer of type %d", ErrProtocol, p.Type)
	}
	a.Peer = p.Type
	a.terms = a.cfg.Terms(p.Type)
	a.state = awaitAuth
	return nil
}

func (a *Acceptor) authRequest(payload []byte) error {
	var p frame.AuthRequest
	if err := frame.Decode(frame.TagAuthRequest, payload, &p); err != nil {
		return err
	}
	if a.requests++; a.requests > maxRequests {
		return fmt.Errorf("%w: authentication request %d on one connection", ErrProtocol, a.requests)
	}
	a.offered = nil
	for _, m := range modes(p.Modes) {
		if slices.Contains(a.terms.Modes, m) && !slices.Contains(a.offered, m) {
			a.offered = append(a.offered, m)
		}
	}
	if len(a.offered) == 0 {
		return a.authResult(nil, nil, &BadMethod{
			Method: p.Method, Result: errno.Code(errno.EOPNOTSUPP), Modes: a.terms.Modes,
		})
	}
	a.auth = a.cfg.Auth(a.Peer)
	return a.authResult(a.auth.Request(p.Method, a.offered, p.Payload))
}

func (a *Acceptor) authMore(payload []byte) error {
	var p frame.AuthMore
	if err := frame.Decode(frame.TagAuthRequestMore, payload, &p); err != nil {
		return err
	}
	return a.authResult(a.auth.More(p.Payload))
}

func (a *Acceptor) authResult(reply []byte, done *AuthDone, err error) error {
	var bad *BadMethod
	if errors.As(err, &bad) {
		a.Refused = err
		a.send(frame.TagAuthBadMethod, &frame.AuthBadMethod{
			Method: bad.Method, Result: bad.Result, Methods: bad.Methods, Modes: numbers(bad.Modes),
		})
		a.state = awaitAuth
		return nil
	}
	if err != nil {
		return err
	}
	if done == nil {
		a.send(frame.TagAuthReplyMore, &frame.AuthMore{Payload: reply})
		a.state = awaitAuthMore
		return nil
	}
	if !slices.Contains(a.offered, done.Mode) {
		return fmt.Errorf("BUG: authenticated for %v, which was not offered", done.Mode)
	}
	a.Done = done
	a.send(frame.TagAuthDone, &frame.AuthDone{GlobalID: done.GlobalID, Mode: uint32(done.Mode), Payload: reply})
	a.state = awaitSignature
	return a.authenticated(done)
}

func (a *Acceptor) ident(payload []byte) (Ask, error) {
	p := &a.Ident
	if err := frame.Decode(frame.TagClientIdent, payload, p); err != nil {
		return AskNothing, err
	}
	if len(p.Addrs) == 0 || p.Addrs[0].Blank() {
		return AskNothing, fmt.Errorf("%w: ident without an address", ErrProtocol)
	}
	if !slices.Contains(a.cfg.Addrs, p.Target) {
		return AskNothing, fmt.Errorf("%w: peer wants to reach %v, this is %v", ErrProtocol, p.Target, a.cfg.Addrs)
	}
	if missing := a.terms.Required &^ p.Supported; missing != 0 {
		a.Refused = MissingFeatures(missing)
		n := frame.Number(missing)
		a.send(frame.TagMissingFeatures, &n)
		return AskNothing, nil
	}
	return AskOpen, nil
}

// Features are those that both sides have, once Ident has come.
func (a *Acceptor) Features() uint64 { return a.cfg.Features & a.Ident.Supported }

// Open grants a new session.
func (a *Acceptor) Open(globalSeq, cookie uint64) {
	p := frame.ServerIdent{
		Addrs: a.cfg.Addrs, ID: a.cfg.Name.Num, GlobalSeq: globalSeq,
		Supported: a.cfg.Features, Required: a.terms.Required, Cookie: cookie,
	}
	if a.terms.Lossy {
		p.Flags |= frame.FlagLossy
	}
	a.send(frame.TagServerIdent, &p)
	a.finish()
}

// Resume goes on with a session of which inSeq was the last message received.
func (a *Acceptor) Resume(inSeq uint64) {
	n := frame.Number(inSeq)
	a.send(frame.TagSessionReconnectOK, &n)
	a.finish()
}

func (a *Acceptor) finish() {
	a.state = accepted
	a.established()
}

// Reset says that the session to be resumed is gone.
func (a *Acceptor) Reset() { a.send(frame.TagSessionReset, &frame.Reset{Full: true}) }

// Retry says that the connect_seq is behind.
func (a *Acceptor) Retry(connectSeq uint64) {
	n := frame.Number(connectSeq)
	a.send(frame.TagSessionRetry, &n)
}

// RetryGlobal says that the global_seq is behind.
func (a *Acceptor) RetryGlobal(globalSeq uint64) {
	n := frame.Number(globalSeq)
	a.send(frame.TagSessionRetryGlobal, &n)
}
