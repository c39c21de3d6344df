package cephx

import (
	"slices"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// ServiceAcceptor accepts connections to a daemon: clients that show an
// authorizer (CephxAuthorizeHandler). It serves all connections of the daemon.
//
// How long a ticket is good for is decided by the secrets, as in Ceph: one
// whose secret was rotated out is refused, one that merely passed its time is
// accepted until then, since clocks differ. Identity.Expires tells the time.
type ServiceAcceptor struct {
	Service entity.Type
	Secrets SecretSource
	Methods []uint32 // accepted; nil: cephx
	Env     Env
}

// Accept makes the handshake of one connection.
func (a *ServiceAcceptor) Accept() ServerHandshake { return &serviceServer{a: a} }

type serviceServer struct {
	a         *ServiceAcceptor
	mode      uint32
	challenge uint64 // 0: none is out
}

func methodsOr(methods []uint32) []uint32 {
	if len(methods) == 0 {
		return []uint32{MethodCephx}
	}
	return methods
}

func (h *serviceServer) Request(method uint32, modes []uint32, payload []byte) ([]byte, *Done, error) {
	methods := methodsOr(h.a.Methods)
	if !slices.Contains(methods, method) {
		return nil, nil, &Refusal{Method: method, Methods: methods, Errno: errno.EOPNOTSUPP, Why: "method is not allowed"}
	}
	if method == MethodNone {
		return acceptNone(modes, payload, methods, nil)
	}
	if len(modes) == 0 {
		return nil, nil, h.refuse(claim{}, "no connection mode in common")
	}
	h.mode, h.challenge = modes[0], 0
	c, why := verifyAuthorizer(wire.NewDecoder(payload), h.a.Service, h.a.Secrets)
	if why != "" {
		return nil, nil, h.refuse(c, why)
	}
	// Whether it has a challenge does not matter: it cannot be ours.
	n, err := h.a.Env.u64()
	if err != nil {
		return nil, nil, err
	}
	h.challenge = n
	return seal(c.ticket.Key, authChallenge(n)), nil, nil
}

func (h *serviceServer) More(payload []byte) ([]byte, *Done, error) {
	c, why := verifyAuthorizer(wire.NewDecoder(payload), h.a.Service, h.a.Secrets)
	challenge := h.challenge
	h.challenge = 0 // a challenge is good for one answer
	switch {
	case why != "":
	case challenge == 0:
		why = "answer without a challenge"
	case !c.proof.HasChallenge || c.proof.ChallengeInc != challenge+1:
		why = "wrong answer to the challenge; is this a replay?"
	}
	if why != "" {
		return nil, nil, h.refuse(c, why)
	}
	secret, err := h.a.Env.bytes(secretSize(h.mode))
	if err != nil {
		return nil, nil, err
	}
	var e wire.Encoder
	sealTo(&e, c.ticket.Key, authorizeReply{c.proof.Nonce + 1, secret})
	return e.Bytes(), &Done{
		GlobalID:   c.GlobalID,
		Mode:       h.mode,
		SessionKey: c.ticket.Key.Secret(),
		ConnSecret: secret,
		Identity: &Identity{
			Name:     c.ticket.Name,
			GlobalID: c.GlobalID,
			Method:   MethodCephx,
			Caps:     map[string]string{h.a.Service.String(): c.ticket.Caps},
			Expires:  c.ticket.Expires,
		},
	}, nil
}

func (h *serviceServer) refuse(c claim, why string) error {
	return &Refusal{
		Who: c.ticket.Name, GlobalID: c.GlobalID,
		Method: MethodCephx, Methods: methodsOr(h.a.Methods),
		Errno: errno.EACCES, Why: why,
	}
}

// capsNone are what a peer may do when nobody is authenticated: everything.
func capsNone() map[string]string {
	caps := map[string]string{}
	for _, t := range []entity.Type{entity.Mon, entity.OSD, entity.MDS, entity.Mgr} {
		caps[t.String()] = "allow *"
	}
	return caps
}

// acceptNone is the whole handshake with method none: the peer says who it is
// and is believed. newID gives a monitor's client that has no global id one.
func acceptNone(modes []uint32, payload []byte, methods []uint32, newID func() (uint64, error)) ([]byte, *Done, error) {
	d := wire.NewDecoder(payload)
	d.U8() // authModeMon, or the version of a daemon's authorizer
	var name entity.AuthName
	name.Decode(d)
	id := d.U64()
	refuse := func(no errno.Errno, why string) error {
		return &Refusal{Who: name, GlobalID: id, Method: MethodNone, Methods: methods, Errno: no, Why: why}
	}
	if d.Err() != nil {
		return nil, nil, refuse(errno.EINVAL, "malformed request: "+d.Err().Error())
	}
	if !slices.Contains(modes, ModeCRC) {
		return nil, nil, refuse(errno.EOPNOTSUPP, "secure mode needs a session key, method none has none")
	}
	if id == 0 && newID != nil {
		var err error
		if id, err = newID(); err != nil {
			return nil, nil, err
		}
	}
	return nil, &Done{
		GlobalID: id,
		Mode:     ModeCRC,
		Identity: &Identity{Name: name, GlobalID: id, Method: MethodNone, Caps: capsNone()},
	}, nil
}

var _ ServerHandshake = (*serviceServer)(nil)
