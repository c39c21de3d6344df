package cephx

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// ErrNoTicket is a connection to a service that there is no ticket for; a
// renewal or a new login may bring one.
var ErrNoTicket = fmt.Errorf("cephx: no ticket for the service: %w", errno.EACCES)

var errRaced = errors.New("cephx: another login has changed the global id meanwhile")

// Ticket is a ticket with its session key, as its holder has it
// (CephXTicketHandler). It does not change.
type Ticket struct {
	service  entity.Type
	globalID uint64
	key      Key
	blob     ticketBlob
	renew    time.Time // after three quarters of its life
	expires  time.Time
}

func newTicket(g grant, globalID uint64, now time.Time) *Ticket {
	return &Ticket{
		service:  g.Service,
		globalID: globalID,
		key:      g.Key,
		blob:     g.Ticket,
		renew:    now.Add(g.Validity - g.Validity/4),
		expires:  now.Add(g.Validity),
	}
}

// Expires is when services may begin to refuse it.
func (t *Ticket) Expires() time.Time { return t.expires }

// Connect makes the handshake of a connection that shows this ticket.
func (t *Ticket) Connect(env Env) ClientHandshake {
	return &connectClient{env: env, find: func() (*Ticket, error) { return t, nil }}
}

// authorizer is the first one of a connection, or the answer to a challenge.
func (t *Ticket) authorizer(p authorize) authorizer {
	return authorizer{GlobalID: t.globalID, Service: t.service, Ticket: t.blob, proof: p, key: t.key}
}

// Client is the connecting side of one account: its global id and the tickets
// it holds (CephxClientHandler with CephXTicketManager). It serves all
// connections of one client instance, concurrently.
type Client struct {
	name entity.AuthName
	key  Key
	want uint32
	env  Env

	mu        sync.Mutex
	globalID  uint64
	challenge uint64 // of the last login
	tickets   map[entity.Type]*Ticket
	renewing  Key // session key of the AUTH ticket that the last Renew showed
}

// NewClient makes a client that wants tickets for the services named.
func NewClient(name entity.AuthName, key Key, want []entity.Type, env Env) (*Client, error) {
	if key.IsZero() {
		return nil, fmt.Errorf("cephx: %v has no key: %w", name, errno.EACCES)
	}
	c := &Client{name: name, key: key, want: uint32(entity.Auth), env: env, tickets: map[entity.Type]*Ticket{}}
	for _, t := range want {
		c.want |= uint32(t)
	}
	return c, nil
}

// Name is the account.
func (c *Client) Name() entity.AuthName { return c.name }

// GlobalID is the id of this client instance; 0 before the first login.
func (c *Client) GlobalID() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.globalID
}

// Forget drops the global id and all tickets: the next login is that of a new
// client instance. It is the way out when a claim of the old id is refused
// (the monitors lost its secrets); what the old instance had, such as locks and
// watches, and its not yet answered writes, belongs to a stranger from then on.
func (c *Client) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.globalID, c.challenge = 0, 0
	clear(c.tickets)
}

// Ticket returns the ticket for a service, also an expired one.
func (c *Client) Ticket(service entity.Type) (*Ticket, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.tickets[service]
	return t, ok
}

// needed are the wanted services whose tickets are missing or should be
// renewed. Called with c.mu held.
func (c *Client) needed(now time.Time) uint32 {
	need := c.want
	for service, t := range c.tickets {
		if now.Before(t.renew) {
			need &^= uint32(service)
		}
	}
	return need
}

// RenewAt is when Renew will have something to ask for; the zero time for now.
func (c *Client) RenewAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var at time.Time
	for i, service := range c.wanted() {
		t := c.tickets[service]
		if t == nil {
			return time.Time{}
		}
		if i == 0 || t.renew.Before(at) {
			at = t.renew
		}
	}
	return at
}

func (c *Client) wanted() []entity.Type {
	var out []entity.Type
	for bit := range 8 {
		if c.want&(1<<bit) != 0 {
			out = append(out, entity.Type(1<<bit))
		}
	}
	return out
}

// Renew makes the payload of the MAuth that asks for what is needed, on the
// running monitor session; nil if nothing is.
func (c *Client) Renew() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	need := c.needed(c.env.now())
	auth := c.tickets[entity.Auth]
	if need == 0 {
		return nil, nil
	}
	if auth == nil {
		return nil, ErrNoTicket
	}
	n, err := c.env.u64()
	if err != nil {
		return nil, err
	}
	c.renewing = auth.key
	if need&uint32(entity.Auth) != 0 {
		answer, _ := c.answer(c.challenge, n, need)
		return wire.Marshal(answer), nil
	}
	var e wire.Encoder
	e.U16(reqPrincipalKey)
	auth.authorizer(authorize{Nonce: n}).Encode(&e)
	e.U8(1)
	e.U32(need)
	return e.Bytes(), nil
}

// answer is the answer to a challenge, with the session key of the ticket that
// it shows. Called with c.mu held.
func (c *Client) answer(challenge, own uint64, need uint32) (a loginAnswer, shown Key) {
	a = loginAnswer{Challenge: own, Proof: proof(c.key, challenge, own), Keys: need | uint32(entity.Auth)}
	if t := c.tickets[entity.Auth]; t != nil {
		a.OldTicket, shown = t.blob, t.key
	}
	return a, shown
}

type loginAnswer authenticate

func (a loginAnswer) Encode(e *wire.Encoder) {
	e.U16(reqAuthKey)
	authenticate(a).Encode(e)
}

// RotatingRequest is the payload of the MAuth with which a daemon asks for the
// rotating secrets of its service.
func RotatingRequest() []byte {
	var e wire.Encoder
	e.U16(reqRotatingKey)
	return e.Bytes()
}

// Reply takes an MAuthReply to Renew or RotatingRequest. Rotating secrets are
// returned if it brings them.
func (c *Client) Reply(result int32, payload []byte) (*Secrets, error) {
	if err := errno.Error(result); err != nil {
		return nil, fmt.Errorf("cephx: monitor refuses %v: %w", c.name, err)
	}
	d := wire.NewDecoder(payload)
	kind, status := d.U16(), d.S32()
	if err := errno.Error(status); err != nil && d.Err() == nil {
		return nil, fmt.Errorf("cephx: monitor refuses %v: %w", c.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var rotating *Secrets
	switch kind {
	case reqAuthKey:
		_, err := c.loggedIn(d, c.globalID, c.renewing, nil)
		return nil, err
	case reqPrincipalKey:
		if grants := decodeGrants(d, c.renewing, Key{}); d.Err() == nil {
			c.keep(grants)
		}
	case reqRotatingKey:
		rotating = new(Secrets)
		openFrom(d, c.key, rotating)
	default:
		d.Failf("reply to request %#x", kind)
	}
	if d.Err() != nil {
		return nil, fmt.Errorf("cephx: reply of the monitor: %w", d.Err())
	}
	return rotating, nil
}

// keep takes tickets over. Called with c.mu held.
func (c *Client) keep(grants []grant) {
	now := c.env.now()
	for _, g := range grants {
		c.tickets[g.Service] = newTicket(g, c.globalID, now)
	}
}

// loggedIn reads the reply to a login after its header and keeps the tickets;
// shown is the session key of the ticket that the login showed. Called with
// c.mu held.
func (c *Client) loggedIn(d *wire.Decoder, globalID uint64, shown Key, secret *[]byte) (Key, error) {
	grants := decodeGrants(d, c.key, shown)
	i := slices.IndexFunc(grants, func(g grant) bool { return g.Service == entity.Auth })
	if d.Err() == nil && i < 0 {
		d.Failf("login without an AUTH ticket")
	}
	if d.Err() != nil {
		return Key{}, fmt.Errorf("cephx: reply to the login: %w", d.Err())
	}
	key := grants[i].Key
	if d.Left() > 0 {
		cbl := d.Nested()
		if secret != nil && cbl.Left() > 0 {
			openFrom(cbl, key, (*sealedString)(secret))
		} else {
			cbl.Skip(cbl.Left())
		}
		d.Join(cbl)
		extra := d.Nested()
		if extra.Left() > 0 {
			grants = append(grants, decodeGrants(extra, key, Key{})...)
		}
		d.Join(extra)
	}
	if d.Err() != nil {
		return Key{}, fmt.Errorf("cephx: reply to the login: %w", d.Err())
	}
	if globalID != c.globalID {
		// The tickets at hand are of another instance.
		clear(c.tickets)
		c.globalID = globalID
	}
	c.keep(grants)
	return key, nil
}

// Login makes the handshake of a connection to a monitor. Several may be under
// way, to several monitors; the last one to finish counts.
func (c *Client) Login() ClientHandshake { return &loginClient{c: c} }

type loginClient struct {
	c         *Client
	globalID  uint64 // claimed
	challenge uint64
	shown     Key // session key of the AUTH ticket that goes with the claim
}

func (h *loginClient) Request([]uint32) (uint32, []byte, error) {
	h.challenge, h.globalID = 0, h.c.GlobalID()
	var e wire.Encoder
	e.U8(authModeMon)
	h.c.name.Encode(&e)
	e.U64(h.globalID)
	return MethodCephx, e.Bytes(), nil
}

func (h *loginClient) More(payload []byte) ([]byte, error) {
	var ch authChallenge
	if err := wire.Unmarshal(payload, &ch); err != nil {
		return nil, fmt.Errorf("cephx: challenge of the monitor: %w", err)
	}
	if h.challenge != 0 {
		return nil, errors.New("cephx: monitor sent a second challenge")
	}
	if h.challenge = uint64(ch); h.challenge == 0 {
		return nil, errors.New("cephx: challenge of the monitor is zero")
	}
	own, err := h.c.env.u64()
	if err != nil {
		return nil, err
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if h.c.globalID != h.globalID {
		return nil, errRaced
	}
	answer, shown := h.c.answer(h.challenge, own, h.c.needed(h.c.env.now()))
	h.shown = shown
	return wire.Marshal(answer), nil
}

func (h *loginClient) Done(globalID uint64, mode uint32, payload []byte) (*Done, error) {
	if h.challenge == 0 {
		return nil, errors.New("cephx: monitor ended the login without a challenge")
	}
	d := wire.NewDecoder(payload)
	kind, status := d.U16(), d.S32()
	if err := errno.Error(status); err != nil && d.Err() == nil {
		return nil, fmt.Errorf("cephx: login of %v: %w", h.c.name, err)
	}
	if d.Err() == nil && kind != reqAuthKey {
		d.Failf("reply to request %#x", kind)
	}
	if globalID == 0 {
		d.Failf("login without a global id")
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	done := &Done{GlobalID: globalID, Mode: mode}
	key, err := h.c.loggedIn(d, globalID, h.shown, &done.ConnSecret)
	if err != nil {
		return nil, err
	}
	if len(done.ConnSecret) != secretSize(mode) {
		return nil, fmt.Errorf("cephx: connection secret of %d bytes for mode %d", len(done.ConnSecret), mode)
	}
	h.c.challenge = h.challenge
	done.SessionKey = key.Secret()
	return done, nil
}

// BadMethod gives up: another try would send the same.
func (h *loginClient) BadMethod(uint32, int32, []uint32) bool { return false }

// Connect makes the handshake of a connection to a service, which shows the
// ticket that is at hand when the connection is ready for it.
func (c *Client) Connect(service entity.Type) ClientHandshake {
	return &connectClient{
		env: c.env,
		find: func() (*Ticket, error) {
			t, ok := c.Ticket(service)
			if !ok {
				return nil, fmt.Errorf("%v: %w", service, ErrNoTicket)
			}
			return t, nil
		},
		refused: func(t *Ticket) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.tickets[service] == t {
				delete(c.tickets, service) // Renew asks for another
				return false
			}
			return c.tickets[service] != nil
		},
	}
}

type connectClient struct {
	env     Env
	find    func() (*Ticket, error)
	refused func(*Ticket) (another bool)

	ticket     *Ticket
	nonce      uint64
	challenged bool
}

func (h *connectClient) Request([]uint32) (uint32, []byte, error) {
	var err error
	if h.ticket, err = h.find(); err != nil {
		return 0, nil, err
	}
	if h.nonce, err = h.env.u64(); err != nil {
		return 0, nil, err
	}
	h.challenged = false
	return MethodCephx, wire.Marshal(h.ticket.authorizer(authorize{Nonce: h.nonce})), nil
}

func (h *connectClient) More(payload []byte) ([]byte, error) {
	var ch authChallenge
	if h.ticket == nil || h.challenged {
		return nil, errors.New("cephx: unexpected challenge of the service")
	}
	if err := open(h.ticket.key, payload, &ch); err != nil {
		return nil, fmt.Errorf("cephx: challenge of the service: %w", err)
	}
	h.challenged = true
	return wire.Marshal(h.ticket.authorizer(authorize{
		Nonce: h.nonce, HasChallenge: true, ChallengeInc: uint64(ch) + 1,
	})), nil
}

func (h *connectClient) Done(globalID uint64, mode uint32, payload []byte) (*Done, error) {
	if h.ticket == nil {
		return nil, errors.New("cephx: service ended the handshake before it began")
	}
	d := wire.NewDecoder(payload)
	var reply authorizeReply
	openFrom(d, h.ticket.key, &reply)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("cephx: reply of the service: %w", err)
	}
	if reply.NonceInc != h.nonce+1 {
		return nil, fmt.Errorf("cephx: service cannot read the ticket: %w", errno.EACCES)
	}
	if len(reply.ConnSecret) != secretSize(mode) {
		return nil, fmt.Errorf("cephx: connection secret of %d bytes for mode %d", len(reply.ConnSecret), mode)
	}
	return &Done{
		GlobalID:   globalID,
		Mode:       mode,
		SessionKey: h.ticket.key.Secret(),
		ConnSecret: reply.ConnSecret,
	}, nil
}

// BadMethod drops a ticket that is not accepted, and tries again if a newer one
// has come meanwhile.
func (h *connectClient) BadMethod(_ uint32, result int32, _ []uint32) bool {
	if h.refused == nil || h.ticket == nil || result != -int32(errno.EACCES) {
		return false
	}
	return h.refused(h.ticket)
}
