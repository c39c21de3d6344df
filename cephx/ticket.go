package cephx

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// ticketBlob is a ticket as its holder sees it (CephXTicketBlob): the number
// of the secret that opens it, and the ciphertext.
type ticketBlob struct {
	SecretID uint64
	Blob     []byte
}

func (t ticketBlob) Encode(e *wire.Encoder) {
	e.U8(1)
	e.U64(t.SecretID)
	e.Blob(t.Blob)
}

func (t *ticketBlob) Decode(d *wire.Decoder) {
	version(d, "CephXTicketBlob", 1)
	t.SecretID = d.U64()
	t.Blob = append([]byte(nil), d.Blob()...)
}

// version reads the version byte of the structs that have no envelope: without
// a length a newer one cannot be skipped, but Ceph appends only.
func version(d *wire.Decoder, name string, oldest uint8) uint8 {
	v := d.U8()
	if d.Err() == nil && v < oldest {
		d.Failf("%s of version %d", name, v)
	}
	return v
}

// ticketInfo is what a ticket says (CephXServiceTicketInfo with AuthTicket).
// Only monitors and the daemons of one service can read it.
type ticketInfo struct {
	Name     entity.AuthName
	GlobalID uint64
	Created  time.Time
	Expires  time.Time
	Caps     string // of the service the ticket is for
	Key      Key    // session key
}

func (t ticketInfo) Encode(e *wire.Encoder) {
	e.U8(1)
	e.U8(2) // AuthTicket
	t.Name.Encode(e)
	e.U64(t.GlobalID)
	e.U64(^uint64(0)) // auid, long gone
	e.Time(t.Created)
	e.Time(t.Expires)
	e.U8(1)       // AuthCapsInfo
	e.Bool(false) // allow_all
	if t.Caps == "" {
		e.U32(0)
	} else {
		e.U32(uint32(4 + len(t.Caps)))
		e.Str(t.Caps)
	}
	e.U32(0) // flags
	t.Key.Encode(e)
}

func (t *ticketInfo) Decode(d *wire.Decoder) {
	version(d, "CephXServiceTicketInfo", 1)
	v := version(d, "AuthTicket", 1)
	t.Name.Decode(d)
	t.GlobalID = d.U64()
	if v >= 2 {
		d.U64()
	}
	t.Created = d.Time()
	t.Expires = d.Time()
	version(d, "AuthCapsInfo", 1)
	all := d.Bool()
	caps := d.Nested()
	if t.Caps = ""; caps.Left() > 0 {
		t.Caps = caps.Str()
	}
	d.Join(caps)
	if all {
		t.Caps = "allow *"
	}
	d.U32()
	t.Key.Decode(d)
}

// grant is a ticket on its way to its holder, one element of a ticket reply
// (cephx_build_service_ticket_reply).
type grant struct {
	Service  entity.Type
	Key      Key           // session key
	Validity time.Duration // from now
	Ticket   ticketBlob
}

// sessionGrant is the part only the holder can read (CephXServiceTicket).
type sessionGrant struct {
	Key      Key
	Validity time.Duration
}

func (g sessionGrant) Encode(e *wire.Encoder) {
	e.U8(1)
	g.Key.Encode(e)
	e.Duration(g.Validity)
}

func (g *sessionGrant) Decode(d *wire.Decoder) {
	version(d, "CephXServiceTicket", 1)
	g.Key.Decode(d)
	g.Validity = d.Duration()
}

// encodeGrants writes a ticket reply (doc/protocol/cephx.md#ticket-reply) encrypted with the holder's key. With old,
// the tickets themselves are encrypted too, with the session key of the ticket
// they replace: only who held that one can use the new one.
func encodeGrants(e *wire.Encoder, grants []grant, k, old Key) {
	e.U8(1)
	e.U32(uint32(len(grants)))
	for _, g := range grants {
		e.U32(uint32(g.Service))
		e.U8(1)
		sealTo(e, k, sessionGrant{g.Key, g.Validity})
		blob := wire.Marshal(g.Ticket)
		e.Bool(!old.IsZero())
		if old.IsZero() {
			e.Blob(blob)
		} else {
			sealTo(e, old, sealedString(blob))
		}
	}
}

// decodeGrants is the holder's side; old is the session key of the ticket that
// it showed.
func decodeGrants(d *wire.Decoder, k, old Key) []grant {
	version(d, "ticket reply", 1)
	return wire.DecodeSlice(d, 14, func() (g grant) {
		service := d.U32()
		g.Service = entity.Type(service)
		if service > 0xff {
			d.Failf("ticket for service %#x", service)
			return g
		}
		version(d, "service ticket", 1)
		var s sessionGrant
		openFrom(d, k, &s)
		g.Key, g.Validity = s.Key, s.Validity
		var blob sealedString
		if d.Bool() {
			openFrom(d, old, &blob)
		} else {
			blob = d.Blob()
		}
		if d.Err() == nil {
			if err := wire.Unmarshal(blob, &g.Ticket); err != nil {
				d.Fail(fmt.Errorf("ticket for %v: %w", g.Service, err))
			}
		}
		return g
	})
}
