package cephx

import (
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// authorizer shows that its sender is the one a ticket is about
// (CephXAuthorizer): the ticket, and a nonce encrypted with its session key.
//
//	u8 1, u64 global_id, u32 service, ticket blob,
//	enc{u8 2, u64 nonce, bool have_challenge, u64 server_challenge + 1}
//
// See doc/protocol/cephx.md#service-connections. The first one a connection sends has no challenge. The daemon answers with
// one, and the second authorizer must have it, plus one.
type authorizer struct {
	GlobalID uint64
	Service  entity.Type
	Ticket   ticketBlob
	proof    authorize
	key      Key // session key
}

type authorize struct {
	Nonce        uint64
	HasChallenge bool
	ChallengeInc uint64
}

func (a authorize) Encode(e *wire.Encoder) {
	e.U8(2)
	e.U64(a.Nonce)
	e.Bool(a.HasChallenge)
	e.U64(a.ChallengeInc)
}

func (a *authorize) Decode(d *wire.Decoder) {
	v := version(d, "CephXAuthorize", 1)
	*a = authorize{Nonce: d.U64()}
	if v >= 2 {
		a.HasChallenge = d.Bool()
		a.ChallengeInc = d.U64()
	}
}

func (a authorizer) Encode(e *wire.Encoder) {
	e.U8(1)
	e.U64(a.GlobalID)
	e.U32(uint32(a.Service))
	a.Ticket.Encode(e)
	sealTo(e, a.key, a.proof)
}

// authChallenge is the daemon's answer to the first authorizer
// (CephXAuthorizeChallenge) and, with the same form, the monitor's to the
// first payload of a login (CephXServerChallenge).
type authChallenge uint64

func (c authChallenge) Encode(e *wire.Encoder) {
	e.U8(1)
	e.U64(uint64(c))
}

func (c *authChallenge) Decode(d *wire.Decoder) {
	version(d, "challenge", 1)
	*c = authChallenge(d.U64())
}

// authorizeReply proves to the client that the daemon could read its ticket
// (CephXAuthorizeReply). Version 2 brings a connection secret.
type authorizeReply struct {
	NonceInc   uint64
	ConnSecret []byte
}

func (r authorizeReply) Encode(e *wire.Encoder) {
	if len(r.ConnSecret) == 0 {
		e.U8(1)
		e.U64(r.NonceInc)
		return
	}
	e.U8(2)
	e.U64(r.NonceInc)
	e.Blob(r.ConnSecret)
}

func (r *authorizeReply) Decode(d *wire.Decoder) {
	v := version(d, "CephXAuthorizeReply", 1)
	*r = authorizeReply{NonceInc: d.U64()}
	if v >= 2 {
		r.ConnSecret = append([]byte(nil), d.Blob()...)
	}
}

// claim is what an authorizer says, and the ticket in it.
type claim struct {
	GlobalID uint64 // as claimed outside of the ticket
	ticket   ticketInfo
	proof    authorize
}

// verifyAuthorizer reads an authorizer from d and opens its ticket. The second
// result says why it is not genuine; it is for the log only. A claim that is
// genuine may still be a replay: the caller compares the challenge.
func verifyAuthorizer(d *wire.Decoder, service entity.Type, secrets SecretSource) (claim, string) {
	var c claim
	if v := d.U8(); v < authModeAuthorizer || v > authModeAuthorizerMax {
		return c, "not an authorizer"
	}
	c.GlobalID = d.U64()
	forService := d.U32()
	var blob ticketBlob
	blob.Decode(d)
	sealed := d.Blob()
	if d.Err() != nil {
		return c, "malformed authorizer: " + d.Err().Error()
	}
	if forService != uint32(service) {
		return c, "authorizer is for another service"
	}
	secret, ok := secrets.Secret(blob.SecretID)
	if !ok {
		return c, "ticket is of a secret that is not known (any more)"
	}
	if open(secret, blob.Blob, &c.ticket) != nil || c.ticket.Key.IsZero() {
		return c, "ticket cannot be decrypted"
	}
	if c.ticket.GlobalID != c.GlobalID {
		return c, "ticket belongs to another global id"
	}
	if open(c.ticket.Key, sealed, &c.proof) != nil {
		return c, "sender does not know the ticket's session key"
	}
	return c, ""
}
