package cephx

import (
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

var fuzzKey = KeyOf(time.Unix(1, 0), [16]byte{1})

// fuzzDecoder checks that what decodes also encodes, and decodes again to the
// same bytes.
func fuzzDecoder[T wire.Marshaler](f *testing.F, seeds []T, decode func(*wire.Decoder) T) {
	for _, s := range seeds {
		f.Add(wire.Marshal(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b)
		v := decode(d)
		if d.Finish() != nil {
			return
		}
		once := wire.Marshal(v)
		d = wire.NewDecoder(once)
		twice := wire.Marshal(decode(d))
		if d.Finish() != nil || string(once) != string(twice) {
			t.Fatalf("%x decodes to %x and that to %x: %v", b, once, twice, d.Err())
		}
	})
}

func decoded[T any, P interface {
	*T
	wire.Unmarshaler
}](d *wire.Decoder) T {
	var v T
	P(&v).Decode(d)
	return v
}

func FuzzKey(f *testing.F) { fuzzDecoder(f, []Key{{}, fuzzKey}, decoded[Key]) }

func FuzzTicketBlob(f *testing.F) {
	fuzzDecoder(f, []ticketBlob{{SecretID: 2, Blob: []byte("x")}}, decoded[ticketBlob])
}

func FuzzTicketInfo(f *testing.F) {
	for _, tr := range golden(f).Connections {
		if tr.Auth != nil && tr.Auth.TicketInfo.Plaintext != nil {
			f.Add([]byte(tr.Auth.TicketInfo.Plaintext))
		}
	}
	fuzzDecoder(f, []ticketInfo{{Key: fuzzKey}, {Caps: "allow r"}}, decoded[ticketInfo])
}

func FuzzSecrets(f *testing.F) {
	for _, g := range golden(f).Rotating {
		f.Add([]byte(g.Plaintext))
	}
	fuzzDecoder(f, []Secrets{{}}, decoded[Secrets])
}

func FuzzRotating(f *testing.F) { fuzzDecoder(f, []Rotating{goldenRotating(f)}, decoded[Rotating]) }

func FuzzKeyringDecode(f *testing.F) {
	fuzzDecoder(f, []Keyring{goldenKeyring(f)}, decoded[Keyring])
}

func FuzzAuthenticate(f *testing.F) {
	fuzzDecoder(f, []authenticate{{Challenge: 1, Proof: 2, Keys: 3, OldTicket: ticketBlob{1, []byte("x")}}}, decoded[authenticate])
}

func FuzzAuthorize(f *testing.F) {
	fuzzDecoder(f, []authorize{{1, true, 2}}, decoded[authorize])
}

func FuzzAuthorizeReply(f *testing.F) {
	fuzzDecoder(f, []authorizeReply{{NonceInc: 1}, {1, []byte("x")}}, decoded[authorizeReply])
}

// fuzzGrants is a ticket reply as a value.
type fuzzGrants []grant

func (g fuzzGrants) Encode(e *wire.Encoder) { encodeGrants(e, g, fuzzKey, Key{}) }

func FuzzTicketReply(f *testing.F) {
	g := fuzzGrants{{Service: entity.OSD, Key: fuzzKey, Validity: time.Hour, Ticket: ticketBlob{2, []byte("x")}}}
	var e wire.Encoder
	encodeGrants(&e, g, fuzzKey, fuzzKey)
	f.Add(e.Bytes())
	fuzzDecoder(f, []fuzzGrants{g}, func(d *wire.Decoder) fuzzGrants { return decodeGrants(d, fuzzKey, fuzzKey) })
}

func FuzzKeyring(f *testing.F) {
	f.Add(goldenKeyring(f).Text())
	f.Add("[client.a]\nkey = " + someKey + "\ncaps mon = 'allow r' # x\n[global]\nx = \\\n1\n")
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := ParseKeyring([]byte(text))
		if err != nil {
			return
		}
		for n, e := range ring {
			for service := range e.Caps {
				if service == "" {
					t.Fatalf("%v: caps of no service", n)
				}
			}
		}
	})
}

// FuzzServers throws payloads at the accepting sides: never a panic, never in.
func FuzzServers(f *testing.F) {
	for _, tr := range golden(f).Connections {
		method, _, payload := tr.request(f)
		f.Add(method, payload, []byte{0, 1})
		for _, fr := range tr.Frames {
			if fr.Tag == "AUTH_REQUEST_MORE" {
				f.Add(method, payload, tr.blob(f, "AUTH_REQUEST_MORE"))
			}
		}
	}
	keys := NewKeyServer(TTLs{}, nil)
	keys.Replace(goldenKeyring(f), goldenRotating(f))
	f.Fuzz(func(t *testing.T, method uint32, first, second []byte) {
		env := At(captured, chacha(1))
		for _, h := range []ServerHandshake{
			(&MonAcceptor{Keys: keys, Env: env, NewGlobalID: func() (uint64, error) { return 1, nil }}).Accept(),
			(&ServiceAcceptor{Service: entity.OSD, Secrets: keys.Secrets(entity.OSD), Env: env}).Accept(),
		} {
			_, done, err := h.Request(method, []uint32{ModeSecure, ModeCRC}, first)
			if err == nil && done == nil {
				_, done, err = h.More(second)
			}
			if err == nil || done != nil {
				t.Fatalf("%T lets in %x %x", h, first, second)
			}
		}
		id := &Identity{Name: entity.AuthName{Type: entity.Client, ID: "admin"}, GlobalID: 4570, Method: MethodCephx, challenge: 1}
		if _, err := keys.MAuth(env, id, second); err == nil {
			t.Fatalf("MAuth answers %x", second)
		}
	})
}

// FuzzClients throws payloads at the connecting sides.
func FuzzClients(f *testing.F) {
	for _, tr := range golden(f).Connections {
		if tr.Auth != nil {
			_, _, done := tr.done(f)
			f.Add(tr.blob(f, "AUTH_REPLY_MORE"), done)
		}
	}
	admin := entity.AuthName{Type: entity.Client, ID: "admin"}
	ring := goldenKeyring(f)
	f.Fuzz(func(t *testing.T, more, done []byte) {
		env := At(captured, chacha(1))
		c, err := NewClient(admin, ring[admin].Key, []entity.Type{entity.OSD}, env)
		if err != nil {
			t.Fatal(err)
		}
		ticket := newTicket(grant{Service: entity.OSD, Key: fuzzKey, Validity: time.Hour}, 1, captured)
		for _, h := range []ClientHandshake{c.Login(), ticket.Connect(env), (&NoneClient{Name: admin}).Login()} {
			if _, _, err := h.Request(nil); err != nil {
				t.Fatal(err)
			}
			h.More(more)
			h.Done(7, ModeCRC, done)
		}
		c.Reply(0, done)
	})
}
