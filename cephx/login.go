package cephx

import (
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// Requests of the cephx protocol between client and monitor (CEPHX_GET_*).
const (
	reqAuthKey      = 0x0100 // a login: AUTH ticket, other tickets along with it
	reqPrincipalKey = 0x0200 // service tickets, for the AUTH ticket
	reqRotatingKey  = 0x0400 // rotating secrets of a daemon's service
)

// authenticate is the client's answer to the challenge (CephXAuthenticate).
type authenticate struct {
	Challenge uint64 // the client's own
	Proof     uint64
	OldTicket ticketBlob // AUTH ticket of the global id it claims
	Keys      uint32     // services it wants tickets for
	// Legacy clients, of struct version below 3, do not know that a claim
	// needs a ticket.
	Legacy bool
}

func (a authenticate) Encode(e *wire.Encoder) {
	e.U8(3)
	e.U64(a.Challenge)
	e.U64(a.Proof)
	a.OldTicket.Encode(e)
	e.U32(a.Keys)
}

func (a *authenticate) Decode(d *wire.Decoder) {
	v := version(d, "CephXAuthenticate", 1)
	a.Challenge = d.U64()
	a.Proof = d.U64()
	a.OldTicket.Decode(d)
	if a.Keys = 0; v >= 2 {
		a.Keys = d.U32()
	}
	a.Legacy = v < 3
}

// MonAcceptor accepts connections to a monitor: logins of clients and daemons,
// and the authorizers of other monitors (Monitor::handle_auth_request with
// CephxServiceHandler). It serves all connections of the monitor.
type MonAcceptor struct {
	Keys    *KeyServer
	Methods []uint32 // accepted; nil: cephx
	Env     Env
	// NewGlobalID gives an id that no other session has or had. It may block.
	NewGlobalID func() (uint64, error)
	// AllowInsecureReclaim lets legacy clients claim a global id without its
	// ticket (auth_allow_insecure_global_id_reclaim).
	AllowInsecureReclaim bool
}

// Accept makes the handshake of one connection.
func (a *MonAcceptor) Accept() ServerHandshake { return &loginServer{a: a} }

type loginServer struct {
	a         *MonAcceptor
	mode      uint32
	name      entity.AuthName
	globalID  uint64 // claimed; 0: a new one is wanted
	challenge uint64
	peer      ServerHandshake // if it is another monitor with an authorizer
}

func (h *loginServer) Request(method uint32, modes []uint32, payload []byte) ([]byte, *Done, error) {
	h.peer, h.challenge = nil, 0
	methods := methodsOr(h.a.Methods)
	if !slices.Contains(methods, method) {
		return nil, nil, &Refusal{Method: method, Methods: methods, Errno: errno.EOPNOTSUPP, Why: "method is not allowed"}
	}
	if method == MethodNone {
		return acceptNone(modes, payload, methods, h.a.NewGlobalID)
	}
	if len(modes) == 0 {
		return nil, nil, h.refuse(errno.EOPNOTSUPP, "no connection mode in common")
	}
	h.mode = modes[0]
	d := wire.NewDecoder(payload)
	switch mode := d.U8(); {
	case d.Err() == nil && mode == authModeMon:
	case mode >= authModeAuthorizer && mode <= authModeAuthorizerMax:
		h.peer = monPeer{(&ServiceAcceptor{
			Service: entity.Mon, Secrets: h.a.Keys.Secrets(entity.Mon), Methods: h.a.Methods, Env: h.a.Env,
		}).Accept()}
		return h.peer.Request(method, modes, payload)
	default:
		return nil, nil, h.refuse(errno.EOPNOTSUPP, "neither a login nor an authorizer")
	}
	h.name.Decode(d)
	h.globalID = d.U64()
	if d.Err() != nil {
		return nil, nil, h.refuse(errno.EINVAL, "malformed request: "+d.Err().Error())
	}
	// An account that does not exist gets a challenge too: which ones exist is
	// not to be found out this way.
	n, err := h.a.Env.u64()
	if err != nil {
		return nil, nil, err
	}
	h.challenge = n
	return wire.Marshal(authChallenge(n)), nil, nil
}

func (h *loginServer) More(payload []byte) ([]byte, *Done, error) {
	if h.peer != nil {
		return h.peer.More(payload)
	}
	challenge := h.challenge
	h.challenge = 0
	if challenge == 0 {
		return nil, nil, h.refuse(errno.EACCES, "answer without a challenge")
	}
	d := wire.NewDecoder(payload)
	kind := d.U16()
	var req authenticate
	req.Decode(d)
	if d.Err() != nil {
		return nil, nil, h.refuse(errno.EACCES, "malformed answer: "+d.Err().Error())
	}
	if kind != reqAuthKey {
		return nil, nil, h.refuse(errno.EINVAL, "not a request for an AUTH ticket")
	}
	l := login{
		keys: h.a.Keys, state: h.a.Keys.state.Load(), env: h.a.Env,
		name: h.name, globalID: h.globalID, challenge: challenge,
		newID: h.a.NewGlobalID, insecureReclaim: h.a.AllowInsecureReclaim,
		secretSize: secretSize(h.mode), wantSecret: true,
	}
	reply, err := l.run(req)
	if r, ok := err.(*Refusal); ok {
		r.Methods = methodsOr(h.a.Methods)
	}
	if err != nil {
		return nil, nil, err
	}
	return reply, &Done{
		GlobalID:   l.globalID,
		Mode:       h.mode,
		SessionKey: l.sessionKey.Secret(),
		ConnSecret: l.connSecret,
		Identity: &Identity{
			Name:      h.name,
			GlobalID:  l.globalID,
			Method:    MethodCephx,
			Caps:      l.caps,
			Expires:   l.expires,
			challenge: challenge,
		},
	}, nil
}

func (h *loginServer) refuse(no errno.Errno, why string) error {
	return &Refusal{
		Who: h.name, GlobalID: h.globalID,
		Method: MethodCephx, Methods: methodsOr(h.a.Methods), Errno: no, Why: why,
	}
}

// monPeer accepts authorizers of monitors only. Clients can hold tickets for
// the monitor service too, but log in.
type monPeer struct{ ServerHandshake }

func (p monPeer) More(payload []byte) ([]byte, *Done, error) {
	reply, done, err := p.ServerHandshake.More(payload)
	if err != nil || done == nil {
		return reply, done, err
	}
	id := done.Identity
	if id.Name.Type != entity.Mon {
		return nil, nil, &Refusal{
			Who: id.Name, GlobalID: id.GlobalID, Method: MethodCephx,
			Methods: []uint32{MethodCephx}, Errno: errno.EACCES, Why: "only monitors may skip the login",
		}
	}
	id.Caps = map[string]string{"mon": "allow *"}
	return reply, done, nil
}

// login is one answer to a challenge: on a new connection, or on a running
// session whose AUTH ticket is to be renewed.
type login struct {
	keys      *KeyServer
	state     *keyState
	env       Env
	name      entity.AuthName
	challenge uint64

	newID           func() (uint64, error) // nil on a running session
	insecureReclaim bool
	wantSecret      bool // a connection secret is due, of secretSize bytes
	secretSize      int

	globalID   uint64 // claimed, then given
	sessionKey Key
	connSecret []byte
	caps       map[string]string
	expires    time.Time
}

func (l *login) refuse(no errno.Errno, why string) error {
	return &Refusal{Who: l.name, GlobalID: l.globalID, Method: MethodCephx, Errno: no, Why: why}
}

// run checks the answer and makes the reply (doc/protocol/cephx.md#login):
//
//	u16 0x0100, s32 0, ticket reply for AUTH under the account's secret,
//	bufferlist enc{string connection secret} under the session key,
//	bufferlist ticket reply for the other services under the session key
func (l *login) run(req authenticate) ([]byte, error) {
	account, known := l.keys.entity(l.state, l.name)
	if !known || account.Key.IsZero() {
		return nil, l.refuse(errno.EACCES, "no such account")
	}
	if req.Proof != proof(account.Key, l.challenge, req.Challenge) {
		return nil, l.refuse(errno.EACCES, "wrong key")
	}
	if account.Caps["mon"] == "" {
		return nil, l.refuse(errno.EACCES, "account has no mon caps")
	}
	if req.Keys == 0 && l.secretSize > 0 {
		return nil, l.refuse(errno.EOPNOTSUPP, "client is too old for secure mode")
	}
	old, err := l.claim(req)
	if err != nil {
		return nil, err
	}
	auth, err := l.keys.issue(l.state, l.env, entity.Auth, l.name, l.globalID)
	if err != nil {
		return nil, err
	}
	l.sessionKey = auth.Key
	l.expires = l.env.now().Add(auth.Validity)
	l.caps = maps.Clone(account.Caps)

	var e wire.Encoder
	e.U16(reqAuthKey)
	e.S32(0)
	encodeGrants(&e, []grant{auth}, account.Key, old)
	if req.Keys == 0 { // before nautilus
		return e.Bytes(), nil
	}
	var cbl, extra wire.Encoder
	if l.wantSecret {
		if l.connSecret, err = l.env.bytes(l.secretSize); err != nil {
			return nil, err
		}
		sealTo(&cbl, l.sessionKey, sealedString(l.connSecret))
	}
	e.Blob(cbl.Bytes())
	if grants := l.keys.issueAll(l.state, l.env, req.Keys, l.name, l.globalID); len(grants) > 0 {
		encodeGrants(&extra, grants, l.sessionKey, Key{})
	}
	e.Blob(extra.Bytes())
	return e.Bytes(), nil
}

// claim decides about the global id. For an old one the ticket that came with
// it must show that it is the sender's; then its session key is returned, which
// hides the new ticket from everybody else (verify_old_ticket).
func (l *login) claim(req authenticate) (Key, error) {
	if l.globalID == 0 {
		if len(req.OldTicket.Blob) > 0 {
			return Key{}, l.refuse(errno.EINVAL, "old ticket without the global id it belongs to")
		}
		if l.newID == nil {
			return Key{}, l.refuse(errno.EACCES, "session without a global id")
		}
		id, err := l.newID()
		l.globalID = id
		return Key{}, err
	}
	var old ticketInfo
	why := ""
	secret, ok := l.state.rotating[entity.Auth].Secret(req.OldTicket.SecretID)
	switch {
	case len(req.OldTicket.Blob) == 0:
		why = "claims a global id without its ticket"
	case !ok:
		why = "claims a global id with a ticket of a secret that is not known (any more)"
	case open(secret, req.OldTicket.Blob, &old) != nil || old.Key.IsZero():
		why = "claims a global id with a bad ticket"
	case old.GlobalID != l.globalID:
		why = "claims a global id with the ticket of another one"
	case old.Name != l.name:
		why = "claims the global id of another account"
	default:
		return old.Key, nil
	}
	if l.insecureReclaim && req.Legacy {
		return Key{}, nil
	}
	return Key{}, l.refuse(errno.EACCES, why)
}
