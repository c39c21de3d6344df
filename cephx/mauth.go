package cephx

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// ProtocolCephx is the protocol number of MAuth and MAuthReply.
const ProtocolCephx = MethodCephx

// MAuth answers the payload of an MAuth message on a running monitor session:
// renewal of service tickets, renewal of the AUTH ticket, or rotating secrets
// for a daemon. The reply is the payload of MAuthReply; with an error there is
// none, and MAuthReply.result is its number. See doc/protocol/cephx.md#mauth.
func (k *KeyServer) MAuth(env Env, id *Identity, payload []byte) ([]byte, error) {
	refuse := func(no errno.Errno, why string) error {
		return &Refusal{Who: id.Name, GlobalID: id.GlobalID, Method: id.Method, Errno: no, Why: why}
	}
	if id.Method != MethodCephx {
		return nil, refuse(errno.EOPNOTSUPP, "session does not use cephx")
	}
	d := wire.NewDecoder(payload)
	kind := d.U16()
	if d.Err() != nil {
		return nil, refuse(errno.EPERM, "malformed request")
	}
	s := k.state.Load()
	switch kind {
	case reqAuthKey:
		return k.relogin(s, env, id, d)
	case reqPrincipalKey:
		return k.renew(s, env, id, d)
	case reqRotatingKey:
		return k.rotatingFor(s, id)
	}
	return nil, refuse(errno.EINVAL, fmt.Sprintf("unknown request %#x", kind))
}

// relogin renews the AUTH ticket. The challenge is that of the session's
// beginning, so an old answer would do again; but the reply is of use only to
// who knows the secret and the old session key, and must be the same session.
func (k *KeyServer) relogin(s *keyState, env Env, id *Identity, d *wire.Decoder) ([]byte, error) {
	var req authenticate
	req.Decode(d)
	if d.Err() != nil || id.challenge == 0 {
		return nil, &Refusal{Who: id.Name, GlobalID: id.GlobalID, Method: id.Method, Errno: errno.EPERM, Why: "malformed login"}
	}
	l := login{keys: k, state: s, env: env, name: id.Name, globalID: id.GlobalID, challenge: id.challenge}
	return l.run(req)
}

func (k *KeyServer) renew(s *keyState, env Env, id *Identity, d *wire.Decoder) ([]byte, error) {
	c, why := verifyAuthorizer(d, entity.Auth, k.Secrets(entity.Auth))
	var keys uint32
	if why == "" {
		version(d, "CephXServiceTicketRequest", 1)
		keys = d.U32()
		switch {
		case d.Err() != nil:
			why = "malformed request for tickets"
		case c.ticket.GlobalID != id.GlobalID || c.ticket.Name != id.Name:
			why = "AUTH ticket is not that of the session"
		}
	}
	if why == "" {
		if account, ok := k.entity(s, id.Name); !ok || account.Key.IsZero() {
			why = "account does not exist any more"
		}
	}
	if why != "" {
		return nil, &Refusal{Who: id.Name, GlobalID: id.GlobalID, Method: id.Method, Errno: errno.EPERM, Why: why}
	}
	var e wire.Encoder
	e.U16(reqPrincipalKey)
	e.S32(0)
	encodeGrants(&e, k.issueAll(s, env, keys, id.Name, id.GlobalID), c.ticket.Key, Key{})
	return e.Bytes(), nil
}

// rotatingFor gives a daemon the secrets of its own service, under its own.
func (k *KeyServer) rotatingFor(s *keyState, id *Identity) ([]byte, error) {
	account, known := k.entity(s, id.Name)
	secrets, ok := s.rotating[id.Name.Type]
	if !known || account.Key.IsZero() || !ok || id.Name.Type == entity.Auth {
		return nil, &Refusal{Who: id.Name, GlobalID: id.GlobalID, Method: id.Method, Errno: errno.EPERM, Why: "no rotating secrets for this account"}
	}
	var e wire.Encoder
	e.U16(reqRotatingKey)
	e.S32(0)
	sealTo(&e, account.Key, secrets)
	return e.Bytes(), nil
}
