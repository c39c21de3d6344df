package cephx

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// The transcripts are those of stock clients and daemons; testdata/README.
type transcripts struct {
	Connections []*transcript
	Rotating    []struct {
		Entity       string
		EntitySecret string `json:"entity_secret"`
		Service      entity.Type
		ReplyFront   hexBytes `json:"reply_front"`
		Plaintext    hexBytes `json:"plaintext_after_magic"`
		MaxVer       uint64   `json:"max_ver"`
		Secrets      []struct {
			ID      uint64
			Key     hexBytes
			Expires [2]int64
		}
	}
}

type transcript struct {
	File, Connecting, Accepting string
	Auth                        *struct {
		Kind            string
		Entity          string
		RequestedID     uint64    `json:"requested_global_id"`
		GlobalID        uint64    `json:"global_id"`
		ServerChallenge hexNumber `json:"server_challenge"`
		ClientChallenge hexNumber `json:"client_challenge"`
		OtherKeys       string    `json:"other_keys"`
		Mode            uint32    `json:"con_mode"`
		Modes           []uint32  `json:"preferred_modes"`
		SessionKey      hexBytes  `json:"session_key"`
		ConnSecret      hexBytes  `json:"connection_secret"`
		Service         entity.Type
		Nonce           hexNumber
		Ticket          hexBytes
		SecretID        uint64 `json:"secret_id"`
		TicketInfo      struct {
			Name      string
			GlobalID  uint64 `json:"global_id"`
			Expires   [2]int64
			CapsHex   hexBytes `json:"caps_hex"`
			Plaintext hexBytes
		} `json:"ticket_info"`
		Tickets []struct {
			Service    entity.Type
			SessionKey hexBytes `json:"session_key"`
			Validity   int64    `json:"validity_sec"`
			Ticket     hexBytes
		}
	}
	Frames []struct {
		Tag     string
		Payload hexBytes
	}
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type hexNumber uint64

func (n *hexNumber) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 16, 64)
	*n = hexNumber(v)
	return err
}

// random is the number as the bytes of a random source.
func (n hexNumber) random() []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

var loadTranscripts = sync.OnceValues(func() (*transcripts, error) {
	f, err := os.Open("testdata/handshakes.json.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var ts transcripts
	err = json.NewDecoder(z).Decode(&ts)
	return &ts, err
})

func golden(t testing.TB) *transcripts {
	t.Helper()
	ts, err := loadTranscripts()
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func goldenKeyring(t testing.TB) Keyring {
	t.Helper()
	text, err := os.ReadFile("testdata/keyring.txt")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := ParseKeyring(text)
	if err != nil {
		t.Fatal(err)
	}
	lim := ring[entity.AuthName{Type: entity.Client, ID: "lim"}]
	lim.Caps = map[string]string{"mon": "allow r", "osd": "allow rw pool=rbd"}
	ring[entity.AuthName{Type: entity.Client, ID: "lim"}] = lim
	return ring
}

// goldenRotating are the captured secrets; those of AUTH and the monitors were
// not to be had and are made up.
func goldenRotating(t testing.TB) Rotating {
	t.Helper()
	r := Rotating{}
	for _, g := range golden(t).Rotating {
		s := Secrets{ByID: map[uint64]ExpiringKey{}, MaxID: g.MaxVer}
		for _, k := range g.Secrets {
			s.ByID[k.ID] = ExpiringKey{KeyOf(time.Time{}, [16]byte(k.Key)), time.Unix(k.Expires[0], k.Expires[1])}
		}
		r[g.Service] = s
	}
	for _, service := range []entity.Type{entity.Auth, entity.Mon} {
		s := Secrets{ByID: map[uint64]ExpiringKey{}, MaxID: 3}
		for id := uint64(1); id <= 3; id++ {
			s.ByID[id] = ExpiringKey{KeyOf(time.Time{}, [16]byte{byte(service), byte(id)}), time.Unix(1999999999, 0)}
		}
		r[service] = s
	}
	return r
}

// frame returns the payload fields of the nth frame of a tag.
func (c *transcript) frame(t testing.TB, tag string, nth int) *wire.Decoder {
	t.Helper()
	for _, f := range c.Frames {
		if f.Tag == tag {
			if nth == 0 {
				return wire.NewDecoder(f.Payload)
			}
			nth--
		}
	}
	t.Fatalf("%s: no %s", c.File, tag)
	return nil
}

func (c *transcript) request(t testing.TB) (method uint32, modes []uint32, payload []byte) {
	d := c.frame(t, "AUTH_REQUEST", 0)
	method = d.U32()
	modes = wire.DecodeSlice(d, 4, d.U32)
	payload = d.Blob()
	mustFinish(t, d)
	return
}

func (c *transcript) blob(t testing.TB, tag string) []byte {
	d := c.frame(t, tag, 0)
	b := d.Blob()
	mustFinish(t, d)
	return b
}

func (c *transcript) done(t testing.TB) (id uint64, mode uint32, payload []byte) {
	d := c.frame(t, "AUTH_DONE", 0)
	id, mode, payload = d.U64(), d.U32(), d.Blob()
	mustFinish(t, d)
	return
}

func mustFinish(t testing.TB, d *wire.Decoder) {
	t.Helper()
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n got %x\nwant %x", what, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func name(t testing.TB, s string) entity.AuthName {
	t.Helper()
	n, err := entity.ParseAuthName(s)
	must(t, err)
	return n
}

// captured is about when all transcripts were made.
var captured = time.Unix(1795177540, 0)

// Our client says bit for bit what the stock client said, and takes the same
// secrets from the stock monitor's answers.
func TestClientReplaysStockTranscripts(t *testing.T) {
	t.Parallel()
	ring := goldenKeyring(t)
	type instance struct {
		c    *Client
		rand *bytes.Buffer
	}
	clients := map[string]instance{} // by file and global id
	logins, services, renewals := 0, 0, 0
	for i, tr := range golden(t).Connections {
		a := tr.Auth
		if a == nil {
			continue
		}
		label := fmt.Sprintf("%d: %s: %s to %s", i, tr.File, tr.Connecting, tr.Accepting)
		id := fmt.Sprint(tr.File, a.GlobalID)
		in, known := clients[id]
		var h ClientHandshake
		if a.Kind == "mon login" {
			logins++
			if !known {
				var want []entity.Type
				bits, err := strconv.ParseUint(a.OtherKeys, 0, 32)
				must(t, err)
				for _, s := range Services {
					if bits&uint64(s) != 0 {
						want = append(want, s)
					}
				}
				in.rand = &bytes.Buffer{}
				in.c, err = NewClient(name(t, a.Entity), ring[name(t, a.Entity)].Key, want, At(captured, in.rand))
				must(t, err)
				clients[id] = in
			}
			in.rand.Write(a.ClientChallenge.random())
			h = in.c.Login()
		} else {
			services++
			if known {
				in.rand.Write(a.Nonce.random())
				h = in.c.Connect(a.Service)
			} else { // of a login that was not captured
				var blob ticketBlob
				must(t, wire.Unmarshal(a.Ticket, &blob))
				ticket := newTicket(grant{Service: a.Service, Key: KeyOf(captured, [16]byte(a.SessionKey)), Ticket: blob}, a.GlobalID, captured)
				h = ticket.Connect(At(captured, bytes.NewReader(a.Nonce.random())))
			}
		}
		wantMethod, _, wantPayload := tr.request(t)
		method, payload, err := h.Request(a.Modes)
		must(t, err)
		if method != wantMethod {
			t.Errorf("%s: method %d, want %d", label, method, wantMethod)
		}
		equal(t, label+": AUTH_REQUEST", payload, wantPayload)
		more, err := h.More(tr.blob(t, "AUTH_REPLY_MORE"))
		must(t, err)
		equal(t, label+": AUTH_REQUEST_MORE", more, tr.blob(t, "AUTH_REQUEST_MORE"))
		gid, mode, payload := tr.done(t)
		done, err := h.Done(gid, mode, payload)
		if err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		equal(t, label+": session key", done.SessionKey, a.SessionKey)
		equal(t, label+": connection secret", done.ConnSecret, a.ConnSecret)
		if a.Kind != "mon login" {
			continue
		}
		for _, want := range a.Tickets {
			got, ok := in.c.Ticket(want.Service)
			if !ok {
				t.Errorf("%s: no ticket for %v", label, want.Service)
				continue
			}
			equal(t, label+": ticket session key", got.key.Secret(), want.SessionKey)
			equal(t, label+": ticket", wire.Marshal(got.blob), want.Ticket)
			if got.Expires().Sub(captured) != time.Duration(want.Validity)*time.Second {
				t.Errorf("%s: ticket for %v expires at %v", label, want.Service, got.Expires())
			}
		}
		now := captured
		for nth := 0; ; nth++ {
			asked, answered := tr.mauth(nth)
			if asked == nil {
				break
			}
			renewals++
			if p, err := in.c.Renew(); p != nil || err != nil {
				t.Errorf("%s: renewal at once: %x, %v", label, p, err)
			}
			now = now.Add(18 * time.Second)
			at := now
			in.c.env.Now = func() time.Time { return at }
			if !in.c.RenewAt().Equal(now) {
				t.Errorf("%s: renews at %v, want three quarters of 24 s", label, in.c.RenewAt())
			}
			in.rand.Write(hexNumber(mauthNonce(t, asked, in.c.tickets[entity.Auth].key)).random())
			p, err := in.c.Renew()
			must(t, err)
			equal(t, label+": MAuth", p, asked)
			old, _ := in.c.Ticket(entity.OSD)
			if _, err := in.c.Reply(0, answered); err != nil {
				t.Fatalf("%s: %v", label, err)
			}
			if fresh, _ := in.c.Ticket(entity.OSD); fresh == old || !fresh.Expires().Equal(now.Add(24*time.Second)) {
				t.Errorf("%s: ticket was not renewed", label)
			}
		}
	}
	if logins < 20 || services < 20 || renewals != 2 {
		t.Errorf("%d logins, %d service connections, %d renewals", logins, services, renewals)
	}
}

// mauth returns the payloads of the nth MAuth and its reply.
func (c *transcript) mauth(nth int) (asked, answered []byte) {
	for i, f := range c.Frames {
		if f.Tag != "MAuth" {
			continue
		}
		if nth--; nth >= 0 {
			continue
		}
		d := wire.NewDecoder(f.Payload)
		d.Skip(18) // paxos header
		if d.U32() != ProtocolCephx {
			panic("protocol")
		}
		return d.Blob(), mauthReply(c.Frames[i+1].Payload)
	}
	return nil, nil
}

func mauthReply(front []byte) []byte {
	d := wire.NewDecoder(front)
	d.Skip(4 + 4 + 8) // protocol, result, global id
	return d.Blob()
}

func mauthNonce(t testing.TB, payload []byte, k Key) uint64 {
	d := wire.NewDecoder(payload)
	d.Skip(2 + 1 + 8 + 4)
	var blob ticketBlob
	blob.Decode(d)
	var a authorize
	openFrom(d, k, &a)
	must(t, d.Err())
	return a.Nonce
}

// Our daemons answer bit for bit as stock daemons.
func TestServiceReplaysStockTranscripts(t *testing.T) {
	t.Parallel()
	rotating := goldenRotating(t)
	n := 0
	for i, tr := range golden(t).Connections {
		a := tr.Auth
		if a == nil || a.Kind != "service authorizer" {
			continue
		}
		n++
		label := fmt.Sprintf("%d: %s: %s to %s", i, tr.File, tr.Connecting, tr.Accepting)
		acceptor := &ServiceAcceptor{
			Service: a.Service,
			Secrets: rotating[a.Service],
			Env:     At(captured, io.MultiReader(bytes.NewReader(a.ServerChallenge.random()), bytes.NewReader(a.ConnSecret))),
		}
		h := acceptor.Accept()
		method, modes, payload := tr.request(t)
		if a.Mode == ModeSecure {
			modes = []uint32{ModeSecure}
		}
		reply, done, err := h.Request(method, modes, payload)
		if err != nil || done != nil {
			t.Fatalf("%s: %v, %v", label, done, err)
		}
		equal(t, label+": AUTH_REPLY_MORE", reply, tr.blob(t, "AUTH_REPLY_MORE"))
		reply, done, err = h.More(tr.blob(t, "AUTH_REQUEST_MORE"))
		if err != nil || done == nil {
			t.Fatalf("%s: %v", label, err)
		}
		gid, mode, want := tr.done(t)
		equal(t, label+": AUTH_DONE", reply, want)
		equal(t, label+": session key", done.SessionKey, a.SessionKey)
		equal(t, label+": connection secret", done.ConnSecret, a.ConnSecret)
		id := done.Identity
		caps := ""
		if len(a.TicketInfo.CapsHex) > 0 {
			caps = string(a.TicketInfo.CapsHex[4:])
		}
		if done.GlobalID != gid || done.Mode != mode || id.GlobalID != gid || id.Name.String() != a.TicketInfo.Name ||
			id.Caps[a.Service.String()] != caps || id.Expires.Unix() != a.TicketInfo.Expires[0] {
			t.Errorf("%s: %+v %+v", label, done, id)
		}
	}
	if n < 20 {
		t.Errorf("only %d connections", n)
	}
}

func TestTicketInfoIsStock(t *testing.T) {
	t.Parallel()
	for _, tr := range golden(t).Connections {
		if tr.Auth == nil || len(tr.Auth.TicketInfo.Plaintext) == 0 {
			continue
		}
		var info ticketInfo
		must(t, wire.Unmarshal(tr.Auth.TicketInfo.Plaintext, &info))
		equal(t, "ticket info", wire.Marshal(info), tr.Auth.TicketInfo.Plaintext)
	}
}

func TestRotatingSecretsAreStock(t *testing.T) {
	t.Parallel()
	rotating := goldenRotating(t)
	for _, g := range golden(t).Rotating {
		key, err := ParseKey(g.EntitySecret)
		must(t, err)
		payload := mauthReply(g.ReplyFront)
		c, err := NewClient(name(t, g.Entity), key, nil, Env{})
		must(t, err)
		s, err := c.Reply(0, payload)
		must(t, err)
		equal(t, g.Entity, wire.Marshal(s), g.Plaintext)

		// The monitor's side: the very same answer.
		keys := NewKeyServer(TTLs{}, nil)
		rotating[g.Service] = *s
		keys.Replace(goldenKeyring(t), rotating)
		reply, err := keys.MAuth(Env{}, &Identity{Name: c.Name(), Method: MethodCephx}, RotatingRequest())
		must(t, err)
		equal(t, g.Entity+": MAuthReply", reply, payload)
	}
}

// script gives out recorded random bytes and times in the order they are asked
// for.
type script struct {
	bytes.Buffer
	times []time.Time
}

func (s *script) now() time.Time {
	if len(s.times) > 1 {
		defer func() { s.times = s.times[1:] }()
	}
	return s.times[0]
}

// record makes a ticket come out as it was recorded: the session key with its
// time, and, where we have the secret to know it, the ticket's own time.
func (s *script) record(t testing.TB, g grant, rotating Rotating) {
	created := g.Key.Created
	if secret, ok := rotating[g.Service].Secret(g.Ticket.SecretID); ok {
		var info ticketInfo
		if open(secret, g.Ticket.Blob, &info) == nil {
			created = info.Created
		}
	}
	s.times = append(s.times, created, g.Key.Created)
	s.Write(g.Key.Secret())
}

// sameTickets puts the recorded ciphertexts of tickets whose secret we do not
// have in the place of ours, so that the rest can be compared.
func sameTickets(ours []byte, got, want []grant) []byte {
	for i := range min(len(got), len(want)) {
		if s := got[i].Service; s == entity.Auth || s == entity.Mon {
			ours = bytes.Replace(ours, got[i].Ticket.Blob, want[i].Ticket.Blob, 1)
		}
	}
	return ours
}

func loginGrants(t testing.TB, payload []byte, account Key) (grants []grant) {
	t.Helper()
	d := wire.NewDecoder(payload)
	d.Skip(6)
	grants = decodeGrants(d, account, Key{})
	d.Blob()
	extra := d.Nested()
	if extra.Left() > 0 {
		grants = append(grants, decodeGrants(extra, grants[0].Key, Key{})...)
	}
	d.Join(extra)
	mustFinish(t, d)
	return grants
}

// Our monitor answers logins bit for bit as the stock one, but for the inside
// of tickets that only the monitors themselves can read.
func TestMonitorReplaysStockLogins(t *testing.T) {
	t.Parallel()
	ring, rotating := goldenKeyring(t), goldenRotating(t)
	n := 0
	for i, tr := range golden(t).Connections {
		a := tr.Auth
		if a == nil || a.Kind != "mon login" || a.RequestedID != 0 {
			continue // a claimed id comes with a ticket we cannot read
		}
		n++
		label := fmt.Sprintf("%d: %s: %s", i, tr.File, a.Entity)
		account := ring[name(t, a.Entity)]
		gid, mode, want := tr.done(t)
		wantGrants := loginGrants(t, want, account.Key)

		s := &script{}
		s.Write(a.ServerChallenge.random())
		var ttl TTLs
		for j, g := range wantGrants {
			if g.Service != entity.Auth {
				ttl.Service = g.Validity
			}
			s.record(t, g, rotating)
			if j == 0 {
				s.times = append(s.times, captured) // for Identity.Expires
				s.Write(a.ConnSecret)
			}
		}
		keys := NewKeyServer(ttl, nil)
		keys.Replace(ring, rotating)
		acceptor := &MonAcceptor{Keys: keys, Env: Env{s.now, s}, NewGlobalID: func() (uint64, error) { return gid, nil }}
		h := acceptor.Accept()
		method, modes, payload := tr.request(t)
		if a.Mode == ModeSecure {
			modes = []uint32{ModeSecure}
		}
		reply, done, err := h.Request(method, modes, payload)
		if err != nil || done != nil {
			t.Fatalf("%s: %v, %v", label, done, err)
		}
		equal(t, label+": AUTH_REPLY_MORE", reply, tr.blob(t, "AUTH_REPLY_MORE"))
		reply, done, err = h.More(tr.blob(t, "AUTH_REQUEST_MORE"))
		if err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		equal(t, label+": AUTH_DONE", sameTickets(reply, loginGrants(t, reply, account.Key), wantGrants), want)
		equal(t, label+": session key", done.SessionKey, a.SessionKey)
		equal(t, label+": connection secret", done.ConnSecret, a.ConnSecret)
		if done.GlobalID != gid || done.Mode != mode || done.Identity.Name != name(t, a.Entity) ||
			done.Identity.Caps["mon"] != account.Caps["mon"] {
			t.Errorf("%s: %+v", label, done.Identity)
		}
		if s.Len() != 0 {
			t.Errorf("%s: %d random bytes left over", label, s.Len())
		}
	}
	if n < 20 {
		t.Errorf("only %d logins", n)
	}
}

// The same for renewals, with an AUTH ticket of our own in place of the one we
// cannot read.
func TestMonitorReplaysStockRenewals(t *testing.T) {
	t.Parallel()
	ring, rotating := goldenKeyring(t), goldenRotating(t)
	for _, tr := range golden(t).Connections {
		asked, want := tr.mauth(0)
		if asked == nil {
			continue
		}
		admin := name(t, tr.Auth.Entity)
		session := KeyOf(captured, [16]byte(tr.Auth.SessionKey))
		secret, _ := rotating[entity.Auth].Secret(2)
		ours := ticketBlob{2, seal(secret, ticketInfo{Name: admin, GlobalID: tr.Auth.GlobalID, Key: session})}

		d := wire.NewDecoder(asked)
		d.Skip(2 + 1 + 8 + 4)
		var theirs ticketBlob
		theirs.Decode(d)
		asked = bytes.Replace(asked, wire.Marshal(theirs), wire.Marshal(ours), 1)

		grantsOf := func(payload []byte) []grant {
			d := wire.NewDecoder(payload)
			d.Skip(6)
			grants := decodeGrants(d, session, Key{})
			mustFinish(t, d)
			return grants
		}
		s := &script{}
		for _, g := range grantsOf(want) {
			s.record(t, g, rotating)
		}
		keys := NewKeyServer(TTLs{Service: 24 * time.Second}, nil)
		keys.Replace(ring, rotating)
		id := &Identity{Name: admin, GlobalID: tr.Auth.GlobalID, Method: MethodCephx}
		reply, err := keys.MAuth(Env{s.now, s}, id, asked)
		must(t, err)
		equal(t, "MAuthReply", sameTickets(reply, grantsOf(reply), grantsOf(want)), want)
		return
	}
	t.Error("no renewal in the transcripts")
}

// What a stock monitor refuses is refused with the same number.
func TestMonitorRefusesLikeStock(t *testing.T) {
	t.Parallel()
	n := 0
	for i, tr := range golden(t).Connections {
		last := tr.Frames[len(tr.Frames)-1]
		if last.Tag != "AUTH_BAD_METHOD" {
			continue
		}
		n++
		d := wire.NewDecoder(last.Payload)
		wantMethod, wantResult, wantMethods := d.U32(), d.S32(), wire.DecodeSlice(d, 4, d.U32)

		var challenge hexNumber
		if len(tr.Frames) > 2 {
			challenge = hexNumber(binary.LittleEndian.Uint64(tr.blob(t, "AUTH_REPLY_MORE")[1:]))
		}
		keys := NewKeyServer(TTLs{}, nil)
		keys.Replace(goldenKeyring(t), goldenRotating(t))
		acceptor := &MonAcceptor{Keys: keys, Env: At(captured, bytes.NewReader(challenge.random())),
			NewGlobalID: func() (uint64, error) { t.Error("id given to a stranger"); return 1, nil }}
		h := acceptor.Accept()
		_, _, err := h.Request(tr.request(t))
		if err == nil {
			_, _, err = h.More(tr.blob(t, "AUTH_REQUEST_MORE"))
		}
		var r *Refusal
		if !errors.As(err, &r) {
			t.Errorf("connection %d: %v", i, err)
			continue
		}
		if r.Method != wantMethod || errno.Code(r) != wantResult || fmt.Sprint(r.Methods) != fmt.Sprint(wantMethods) {
			t.Errorf("connection %d: method %d, result %d, methods %v; stock: %d, %d, %v",
				i, r.Method, errno.Code(r), r.Methods, wantMethod, wantResult, wantMethods)
		}
	}
	if n != 3 {
		t.Errorf("%d refusals", n)
	}
}
