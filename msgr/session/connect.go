package session

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr/frame"
)

// ErrWait: the peer is about to connect to us and wants us to wait.
var ErrWait = errors.New("peer says WAIT")

// MissingFeatures is the refusal of a session for want of feature bits.
type MissingFeatures uint64

func (f MissingFeatures) Error() string { return fmt.Sprintf("missing features %#x", uint64(f)) }
func (MissingFeatures) Unwrap() error   { return errno.EPROTO }

// ConnectConfig is what a Connector needs to know.
type ConnectConfig struct {
	Name     entity.Name
	Addrs    entity.AddrVec // published, or made up by a client
	Seen     entity.Addr    // of the peer, as its socket says
	Peer     entity.Type    // who should be there
	Target   entity.Addr    // and with which address
	Features uint64
	Terms    Terms
	Auth     ClientAuth
	// GlobalSeq gives the next number of a connection of this party, above
	// atLeast. Cookie gives a random one.
	GlobalSeq func(atLeast uint64) uint64
	Cookie    func() uint64
}

// Outcome is how far a [Connector] has come.
type Outcome int

const (
	Pending Outcome = iota
	Opened          // a new session; see WasReset
	Resumed         // the old one; the peer has received up to PeerSeq
)

type connectState int

const (
	connHello connectState = iota
	connAuth
	connSignature
	connIdent
	connReconnect
	connected
)

func (s connectState) String() string {
	return [...]string{"awaiting HELLO", "authenticating", "awaiting AUTH_SIGNATURE", "awaiting SERVER_IDENT",
		"awaiting SESSION_RECONNECT_OK", "established"}[s]
}

// maxTurns bounds the SESSION_RETRY and SESSION_RESET answers on a connection.
const maxTurns = 8

// Connector is the connecting side of a handshake.
type Connector struct {
	Handshake
	cfg     ConnectConfig
	state   connectState
	session *State
	refused int
	turns   int

	Done     *AuthDone         // once authenticated
	Ident    frame.ServerIdent // with Opened
	WasReset bool              // the peer had forgotten the session; a new one was opened
	Full     bool              // ... and what is queued for it must be dropped
	PeerSeq  uint64            // with Resumed
}

// NewConnector begins a handshake for s, a new session or one to be resumed;
// it changes s as it goes. The banner and HELLO are to be sent.
func NewConnector(cfg ConnectConfig, s *State) *Connector {
	c := &Connector{cfg: cfg, session: s}
	c.start(true)
	c.send(frame.TagHello, &frame.Hello{Type: cfg.Name.Type, Seen: cfg.Seen})
	return c
}

// Filled says that the bytes of Need are there. An error ends the connection.
func (c *Connector) Filled() (Outcome, error) {
	tag, payload, ok, err := c.receive()
	if !ok {
		return Pending, err
	}
	out, err := c.handle(tag, payload)
	c.Rx.Next()
	return out, err
}

func (c *Connector) handle(tag frame.Tag, payload []byte) (Outcome, error) {
	switch {
	case tag == frame.TagHello && c.state == connHello:
		return Pending, c.hello(payload)
	case tag == frame.TagAuthReplyMore && c.state == connAuth:
		return Pending, c.authMore(payload)
	case tag == frame.TagAuthBadMethod && c.state == connAuth:
		return Pending, c.badMethod(payload)
	case tag == frame.TagAuthDone && c.state == connAuth:
		return Pending, c.authDone(payload)
	case tag == frame.TagAuthSignature && c.state == connSignature:
		if err := c.verify(payload); err != nil {
			return Pending, err
		}
		if c.session.Resumable() {
			c.reconnect()
		} else {
			c.ident()
		}
		return Pending, nil
	case tag == frame.TagServerIdent && c.state == connIdent:
		return c.opened(payload)
	case tag == frame.TagMissingFeatures && c.state == connIdent:
		var n frame.Number
		if err := frame.Decode(tag, payload, &n); err != nil {
			return Pending, err
		}
		return Pending, MissingFeatures(n)
	case tag == frame.TagWait && (c.state == connIdent || c.state == connReconnect):
		return Pending, ErrWait
	case c.state == connReconnect:
		return c.answer(tag, payload)
	}
	return Pending, unexpected(tag, c.state)
}

func (c *Connector) hello(payload []byte) error {
	var p frame.Hello
	if err := frame.Decode(frame.TagHello, payload, &p); err != nil {
		return err
	}
	if p.Type != c.cfg.Peer {
		return fmt.Errorf("%w: peer is of type %v, wanted %v", ErrProtocol, p.Type, c.cfg.Peer)
	}
	return c.authRequest()
}

func (c *Connector) authRequest() error {
	method, payload, err := c.cfg.Auth.Request(c.cfg.Terms.Modes)
	if err != nil {
		return err
	}
	c.send(frame.TagAuthRequest, &frame.AuthRequest{Method: method, Modes: numbers(c.cfg.Terms.Modes), Payload: payload})
	c.state = connAuth
	return nil
}

func (c *Connector) authMore(payload []byte) error {
	var p frame.AuthMore
	if err := frame.Decode(frame.TagAuthReplyMore, payload, &p); err != nil {
		return err
	}
	reply, err := c.cfg.Auth.More(p.Payload)
	if err != nil {
		return err
	}
	c.send(frame.TagAuthRequestMore, &frame.AuthMore{Payload: reply})
	return nil
}

func (c *Connector) badMethod(payload []byte) error {
	var p frame.AuthBadMethod
	if err := frame.Decode(frame.TagAuthBadMethod, payload, &p); err != nil {
		return err
	}
	bad := &BadMethod{Method: p.Method, Result: p.Result, Methods: p.Methods, Modes: modes(p.Modes)}
	if retry := c.cfg.Auth.BadMethod(bad); !retry || c.refused == 2 {
		return bad
	}
	c.refused++
	return c.authRequest()
}

func (c *Connector) authDone(payload []byte) error {
	var p frame.AuthDone
	err := frame.Decode(frame.TagAuthDone, payload, &p)
	if err != nil {
		return err
	}
	mode := Mode(p.Mode)
	if !slices.Contains(c.cfg.Terms.Modes, mode) {
		return fmt.Errorf("%w: peer chose %v, which was not offered", ErrProtocol, mode)
	}
	if c.Done, err = c.cfg.Auth.Done(p.GlobalID, mode, p.Payload); err != nil {
		return err
	}
	c.Done.Mode = mode
	c.state = connSignature
	return c.authenticated(c.Done)
}

func (c *Connector) ident() {
	s := c.session
	s.GlobalSeq = c.cfg.GlobalSeq(s.GlobalSeq)
	s.ClientCookie = c.cfg.Cookie()
	p := frame.ClientIdent{
		Addrs: c.cfg.Addrs, Target: c.cfg.Target, GlobalID: int64(c.Done.GlobalID), GlobalSeq: s.GlobalSeq,
		Supported: c.cfg.Features, Required: c.cfg.Terms.Required, Cookie: s.ClientCookie,
	}
	if c.cfg.Peer == entity.Mon {
		p.GlobalID = -1 // monitors give ids out
	}
	if c.cfg.Terms.Lossy {
		p.Flags |= frame.FlagLossy
	}
	c.send(frame.TagClientIdent, &p)
	c.state = connIdent
}

func (c *Connector) reconnect() {
	s := c.session
	s.GlobalSeq = c.cfg.GlobalSeq(s.GlobalSeq)
	s.ConnectSeq++
	c.send(frame.TagSessionReconnect, &frame.Reconnect{
		Addrs: c.cfg.Addrs, ClientCookie: s.ClientCookie, ServerCookie: s.ServerCookie,
		GlobalSeq: s.GlobalSeq, ConnectSeq: s.ConnectSeq, MsgSeq: s.InSeq,
	})
	c.state = connReconnect
}

// opened takes the SERVER_IDENT.
func (c *Connector) opened(payload []byte) (Outcome, error) {
	p := &c.Ident
	if err := frame.Decode(frame.TagServerIdent, payload, p); err != nil {
		return Pending, err
	}
	if !slices.Contains(p.Addrs, c.cfg.Target) {
		return Pending, fmt.Errorf("%w: peer is %v, wanted %v", ErrProtocol, p.Addrs, c.cfg.Target)
	}
	if missing := c.cfg.Terms.Required &^ p.Supported; missing != 0 {
		return Pending, fmt.Errorf("peer %v: %w", c.cfg.Target, MissingFeatures(missing))
	}
	s := c.session
	s.Lossy = p.Flags&frame.FlagLossy != 0
	s.ServerCookie = p.Cookie
	s.PeerGlobalSeq = p.GlobalSeq
	s.ConnectSeq, s.InSeq = 0, 0
	c.state = connected
	c.established()
	return Opened, nil
}

// Features are those that both sides have, once Ident has come.
func (c *Connector) Features() uint64 { return c.cfg.Features & c.Ident.Supported }

// answer takes what a SESSION_RECONNECT leads to.
func (c *Connector) answer(tag frame.Tag, payload []byte) (Outcome, error) {
	var n frame.Number
	switch tag {
	case frame.TagSessionReconnectOK:
		if err := frame.Decode(tag, payload, &n); err != nil {
			return Pending, err
		}
		c.PeerSeq = uint64(n)
		c.state = connected
		c.established()
		return Resumed, nil
	case frame.TagSessionReset, frame.TagSessionRetry, frame.TagSessionRetryGlobal:
	default:
		return Pending, unexpected(tag, c.state)
	}
	if c.turns++; c.turns > maxTurns {
		return Pending, fmt.Errorf("%w: the peer does not come to terms", ErrProtocol)
	}
	if tag == frame.TagSessionReset {
		var p frame.Reset
		if err := frame.Decode(tag, payload, &p); err != nil {
			return Pending, err
		}
		c.WasReset, c.Full = true, p.Full
		c.ident()
		return Pending, nil
	}
	if err := frame.Decode(tag, payload, &n); err != nil {
		return Pending, err
	}
	if tag == frame.TagSessionRetry {
		c.session.ConnectSeq = max(c.session.ConnectSeq, uint64(n))
	} else {
		c.session.GlobalSeq = max(c.session.GlobalSeq, uint64(n))
	}
	c.reconnect()
	return Pending, nil
}
