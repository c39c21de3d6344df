package cephx

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// world is a cluster's authentication without a network: monitors, a daemon's
// acceptor, and one time and one random source for all.
type world struct {
	t    *testing.T
	time time.Time
	env  Env

	keys     *KeyServer
	ring     Keyring
	rotating Rotating
	ttl      TTLs
	mon      *MonAcceptor
	osd      *ServiceAcceptor
	ids      uint64
}

func chacha(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newWorld(t *testing.T) *world {
	w := &world{t: t, time: time.Unix(1700000000, 0).UTC(), ids: 4095}
	w.env = Env{Now: func() time.Time { return w.time }, Rand: chacha(1)}
	w.ring = Keyring{}
	w.add("client.admin", map[string]string{"mon": "allow *", "osd": "allow *", "mgr": "allow *"})
	w.add("client.other", map[string]string{"mon": "allow r", "osd": "allow r"})
	w.add("client.nocaps", nil)
	w.add("osd.0", map[string]string{"mon": "allow profile osd", "osd": "allow *"})
	w.add("mon.", map[string]string{"mon": "allow *"})
	w.keys = NewKeyServer(w.ttl, Keyring{{Type: entity.Mon}: w.ring[entity.AuthName{Type: entity.Mon}]})
	delete(w.ring, entity.AuthName{Type: entity.Mon})
	w.rotate()
	w.mon = &MonAcceptor{Keys: w.keys, Env: w.env, NewGlobalID: func() (uint64, error) { w.ids++; return w.ids, nil }}
	w.osd = &ServiceAcceptor{Service: entity.OSD, Secrets: w.keys.Secrets(entity.OSD), Env: w.env}
	return w
}

func (w *world) add(s string, caps map[string]string) {
	key, err := w.env.key()
	must(w.t, err)
	w.ring[name(w.t, s)] = Entity{key, caps}
}

func (w *world) rotate() {
	r, _, err := w.rotating.Rotate(w.time, w.ttl, w.env.rand())
	must(w.t, err)
	w.rotating = r
	w.keys.Replace(w.ring, r)
}

// client makes a client with the key that the ring has, or none of its own.
func (w *world) client(s string) *Client {
	c, err := NewClient(name(w.t, s), w.ring[name(w.t, s)].Key, []entity.Type{entity.Mon, entity.OSD, entity.Mgr}, w.env)
	must(w.t, err)
	return c
}

// run plays a handshake between two ends.
func run(c ClientHandshake, s ServerHandshake, modes ...uint32) (client, server *Done, err error) {
	if len(modes) == 0 {
		modes = []uint32{ModeSecure}
	}
	method, payload, err := c.Request(modes)
	if err != nil {
		return nil, nil, err
	}
	reply, server, err := s.Request(method, modes, payload)
	for err == nil && server == nil {
		if payload, err = c.More(reply); err != nil {
			return nil, nil, err
		}
		reply, server, err = s.More(payload)
	}
	if err != nil {
		return nil, nil, err
	}
	client, err = c.Done(server.GlobalID, server.Mode, reply)
	return client, server, err
}

func (w *world) login(c *Client) *Identity {
	w.t.Helper()
	client, server, err := run(c.Login(), w.mon.Accept())
	must(w.t, err)
	w.sameSecrets(client, server)
	return server.Identity
}

func (w *world) sameSecrets(client, server *Done) {
	w.t.Helper()
	equal(w.t, "session key", client.SessionKey, server.SessionKey)
	equal(w.t, "connection secret", client.ConnSecret, server.ConnSecret)
	if len(client.SessionKey) != KeySize || client.GlobalID != server.GlobalID || client.Mode != server.Mode {
		w.t.Errorf("client %+v, server %+v", client, server)
	}
	if want := secretSize(client.Mode); len(client.ConnSecret) != want {
		w.t.Errorf("connection secret of %d bytes in mode %d", len(client.ConnSecret), client.Mode)
	}
}

func wantRefusal(t *testing.T, err error, no errno.Errno, why string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Errno != no || !strings.Contains(r.Why, why) {
		t.Errorf("got %v, want a refusal with %v because of %q", err, no, why)
	}
}

func TestLoginAndConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, mode := range []uint32{ModeCRC, ModeSecure} {
		c := w.client("client.other")
		client, server, err := run(c.Login(), w.mon.Accept(), mode)
		must(t, err)
		w.sameSecrets(client, server)
		id := server.Identity
		if id.Name.String() != "client.other" || id.GlobalID != c.GlobalID() || id.Caps["mon"] != "allow r" ||
			!id.Expires.Equal(w.time.Add(72*time.Hour)) {
			t.Errorf("%+v", id)
		}
		client, server, err = run(c.Connect(entity.OSD), w.osd.Accept(), mode)
		must(t, err)
		w.sameSecrets(client, server)
		id = server.Identity
		if id.Name.String() != "client.other" || id.GlobalID != c.GlobalID() || id.Caps["osd"] != "allow r" ||
			len(id.Caps) != 1 || !id.Expires.Equal(w.time.Add(time.Hour)) {
			t.Errorf("%+v", id)
		}
	}
	if w.ids != 4097 {
		t.Errorf("two clients got ids up to %d", w.ids)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wrong := w.client("client.admin")
	wrong.key, _ = w.env.key()
	_, _, err := run(wrong.Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EACCES, "wrong key")

	nobody, _ := NewClient(name(t, "client.nobody"), wrong.key, nil, w.env)
	_, _, err = run(nobody.Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EACCES, "no such account")

	_, _, err = run(w.client("client.nocaps").Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EACCES, "no mon caps")

	_, _, err = run((&NoneClient{Name: name(t, "client.admin")}).Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EOPNOTSUPP, "method")

	_, _, err = w.mon.Accept().Request(MethodCephx, nil, []byte{authModeMon})
	wantRefusal(t, err, errno.EOPNOTSUPP, "mode")
	_, _, err = w.osd.Accept().Request(MethodCephx, nil, nil)
	wantRefusal(t, err, errno.EACCES, "mode")
	_, _, err = w.mon.Accept().Request(MethodCephx, []uint32{ModeCRC}, []byte{77})
	wantRefusal(t, err, errno.EOPNOTSUPP, "neither a login nor an authorizer")

	// A client that asks for no other keys expects no connection secret.
	ancient, s := w.client("client.admin"), w.mon.Accept()
	_, payload0, _ := ancient.Login().Request(nil)
	for mode, ok := range map[uint32]bool{ModeCRC: true, ModeSecure: false} {
		reply, _, err := s.Request(MethodCephx, []uint32{mode}, payload0)
		must(t, err)
		var ch authChallenge
		must(t, wire.Unmarshal(reply, &ch))
		_, done, err := s.More(wire.Marshal(loginAnswer{Challenge: 1, Proof: proof(ancient.key, uint64(ch), 1)}))
		if ok && (err != nil || done.ConnSecret != nil) {
			t.Errorf("ancient client: %v, %v", done, err)
		} else if !ok {
			wantRefusal(t, err, errno.EOPNOTSUPP, "too old")
		}
	}
	w.ids = 4095

	_, _, err = run(wrong.Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EACCES, "wrong key")
	if w.ids != 4095 {
		t.Error("a global id was spent on a refused client")
	}
	if _, err := NewClient(name(t, "client.admin"), Key{}, nil, w.env); !errors.Is(err, errno.EACCES) {
		t.Errorf("client without a key: %v", err)
	}

	// The challenge is good for one answer.
	h, c := w.mon.Accept(), w.client("client.admin").Login()
	method, payload, _ := c.Request(nil)
	reply, _, err := h.Request(method, []uint32{ModeCRC}, payload)
	must(t, err)
	answer, err := c.More(reply)
	must(t, err)
	bad := bytes.Clone(answer)
	bad[12] ^= 1
	_, _, err = h.More(bad)
	wantRefusal(t, err, errno.EACCES, "wrong key")
	_, _, err = h.More(answer)
	wantRefusal(t, err, errno.EACCES, "without a challenge")

	// Somebody who listened cannot answer the next challenge.
	h = w.mon.Accept()
	if _, _, err = h.Request(method, []uint32{ModeCRC}, payload); err != nil {
		t.Fatal(err)
	}
	_, _, err = h.More(answer)
	wantRefusal(t, err, errno.EACCES, "wrong key")
}

func TestReplayedAuthorizerRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)

	// Record a whole connection.
	h, s := c.Connect(entity.OSD), w.osd.Accept()
	method, first, err := h.Request([]uint32{ModeCRC})
	must(t, err)
	challenge, _, err := s.Request(method, []uint32{ModeCRC}, first)
	must(t, err)
	second, err := h.More(challenge)
	must(t, err)
	if _, done, err := s.More(second); err != nil || done == nil {
		t.Fatal(err)
	}
	// Its second answer on the same connection,
	_, _, err = s.More(second)
	wantRefusal(t, err, errno.EACCES, "without a challenge")
	// the whole of it on another one,
	s = w.osd.Accept()
	again, _, err := s.Request(method, []uint32{ModeCRC}, first)
	must(t, err)
	if bytes.Equal(again, challenge) {
		t.Error("the same challenge twice")
	}
	_, _, err = s.More(second)
	wantRefusal(t, err, errno.EACCES, "replay")
	// the answer in place of the first authorizer,
	s = w.osd.Accept()
	if _, done, err := s.Request(method, []uint32{ModeCRC}, second); err != nil || done != nil {
		t.Errorf("an authorizer with a challenge nobody sent: done %v, %v", done, err)
	}
	_, _, err = s.More(second)
	wantRefusal(t, err, errno.EACCES, "replay")
	// and the first in place of the answer.
	s = w.osd.Accept()
	if _, _, err = s.Request(method, []uint32{ModeCRC}, first); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.More(first)
	wantRefusal(t, err, errno.EACCES, "replay")
}

func TestAuthorizerRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)
	other := w.client("client.other")
	w.login(other)

	request := func(change func(a *authorizer)) error {
		ticket, _ := c.Ticket(entity.OSD)
		a := ticket.authorizer(authorize{Nonce: 7})
		change(&a)
		_, _, err := w.osd.Accept().Request(MethodCephx, []uint32{ModeCRC}, wire.Marshal(a))
		return err
	}
	must(t, request(func(*authorizer) {}))
	wantRefusal(t, request(func(a *authorizer) { a.GlobalID++ }), errno.EACCES, "another global id")
	wantRefusal(t, request(func(a *authorizer) { a.Service = entity.Mgr }), errno.EACCES, "another service")
	wantRefusal(t, request(func(a *authorizer) { a.Ticket.SecretID = 99 }), errno.EACCES, "not known")
	wantRefusal(t, request(func(a *authorizer) { a.Ticket.SecretID = 1 }), errno.EACCES, "cannot be decrypted")
	wantRefusal(t, request(func(a *authorizer) { a.Ticket.Blob = nil }), errno.EACCES, "cannot be decrypted")
	wantRefusal(t, request(func(a *authorizer) { a.key, _ = w.env.key() }), errno.EACCES, "session key")
	wantRefusal(t, request(func(a *authorizer) {
		ticket, _ := c.Ticket(entity.Mgr) // a ticket for the manager shown to an OSD
		a.Ticket = ticket.blob
	}), errno.EACCES, "cannot be decrypted")
	err := request(func(a *authorizer) {
		ticket, _ := other.Ticket(entity.OSD) // stolen, but without its session key
		a.Ticket, a.GlobalID = ticket.blob, other.GlobalID()
	})
	wantRefusal(t, err, errno.EACCES, "session key")
	if !strings.Contains(err.Error(), "client.other") {
		t.Errorf("%v does not name whose ticket it is", err)
	}
	for n := range 10 {
		_, _, err := w.osd.Accept().Request(MethodCephx, []uint32{ModeCRC}, bytes.Repeat([]byte{1}, n))
		wantRefusal(t, err, errno.EACCES, "authorizer")
	}
}

func TestTicketDiesWithItsSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)
	connect := func() error {
		_, _, err := run(c.Connect(entity.OSD), w.osd.Accept())
		return err
	}
	must(t, connect())
	// The secret is the current one of three: it serves until it is the oldest
	// and the next rotation comes.
	for range 2 {
		must(t, connect())
		w.time = w.rotating[entity.OSD].Due()
		w.rotate()
	}
	h := c.Connect(entity.OSD)
	_, _, err := run(h, w.osd.Accept())
	wantRefusal(t, err, errno.EACCES, "not known")
	// Told so, the client drops the ticket and asks for another one.
	if h.BadMethod(MethodCephx, errno.Code(err), nil) {
		t.Error("retries with the ticket that was refused")
	}
	if err := connect(); !errors.Is(err, ErrNoTicket) {
		t.Errorf("connect without a ticket: %v", err)
	}
	id := &Identity{Name: c.Name(), GlobalID: c.GlobalID(), Method: MethodCephx}
	payload, err := c.Renew()
	must(t, err)
	reply, err := w.keys.MAuth(w.env, id, payload)
	must(t, err)
	_, err = c.Reply(0, reply)
	must(t, err)
	must(t, connect())
}

func TestRefusedTicketWasRenewedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)
	h := c.Connect(entity.OSD)
	if _, _, err := h.Request(nil); err != nil {
		t.Fatal(err)
	}
	w.time = c.RenewAt()
	w.login(c)
	if !h.BadMethod(MethodCephx, -int32(errno.EACCES), nil) {
		t.Error("does not try the newer ticket")
	}
	if h.BadMethod(MethodCephx, -int32(errno.EOPNOTSUPP), nil) {
		t.Error("retries although the method is not supported")
	}
	if _, _, err := run(h, w.osd.Accept()); err != nil {
		t.Error(err)
	}
}

func TestReclaimGlobalID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)
	id := c.GlobalID()
	w.time = w.time.Add(time.Minute)
	if again := w.login(c); again.GlobalID != id || c.GlobalID() != id {
		t.Errorf("global id %d became %d", id, again.GlobalID)
	}
	if _, _, err := run(c.Connect(entity.OSD), w.osd.Accept()); err != nil {
		t.Error(err)
	}
	// With the AUTH secrets gone the claim fails, until the client gives up
	// who it was.
	w.rotating = Rotating{}
	w.rotate()
	w.time = w.time.Add(time.Minute)
	_, _, err := run(c.Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EACCES, "bad ticket")
	c.Forget()
	w.login(c)
	if c.GlobalID() == id {
		t.Error("the old id again")
	}
}

func TestReclaimRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine, theirs, other := w.client("client.admin"), w.client("client.admin"), w.client("client.other")
	for _, c := range []*Client{mine, theirs, other} {
		w.login(c)
	}
	ticketOf := func(c *Client) ticketBlob {
		ticket, _ := c.Ticket(entity.Auth)
		return ticket.blob
	}
	attempt := func(globalID uint64, ticket ticketBlob, version byte) (*Done, error) {
		h := w.mon.Accept()
		var e wire.Encoder
		e.U8(authModeMon)
		mine.name.Encode(&e)
		e.U64(globalID)
		reply, _, err := h.Request(MethodCephx, []uint32{ModeCRC}, e.Bytes())
		must(t, err)
		var challenge authChallenge
		must(t, wire.Unmarshal(reply, &challenge))
		payload := wire.Marshal(loginAnswer{Challenge: 5, Proof: proof(mine.key, uint64(challenge), 5), OldTicket: ticket, Keys: uint32(entity.Auth)})
		payload[2] = version
		_, done, err := h.More(payload)
		return done, err
	}
	bad := ticketOf(mine)
	bad.Blob = bytes.Clone(bad.Blob)
	bad.Blob[40] ^= 1
	lost := ticketOf(mine)
	lost.SecretID = 77

	if _, err := attempt(mine.GlobalID(), ticketOf(mine), 3); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		id     uint64
		ticket ticketBlob
		no     errno.Errno
		why    string
	}{
		{0, ticketOf(mine), errno.EINVAL, "old ticket without"},
		{mine.GlobalID(), ticketBlob{}, errno.EACCES, "without its ticket"},
		{mine.GlobalID(), bad, errno.EACCES, "bad ticket"},
		{mine.GlobalID(), lost, errno.EACCES, "not known"},
		{mine.GlobalID(), ticketOf(theirs), errno.EACCES, "of another one"},
		{other.GlobalID(), ticketOf(other), errno.EACCES, "another account"},
		{999999, ticketBlob{}, errno.EACCES, "without its ticket"},
	} {
		for _, insecure := range []bool{false, true} {
			w.mon.AllowInsecureReclaim = insecure
			_, err := attempt(tt.id, tt.ticket, 3)
			wantRefusal(t, err, tt.no, tt.why)
			done, err := attempt(tt.id, tt.ticket, 2)
			if insecure && tt.no == errno.EACCES {
				// Legacy clients are let in if the administrator insists.
				if err != nil || done.GlobalID != tt.id {
					t.Errorf("%q: legacy client: %v", tt.why, err)
				}
				continue
			}
			wantRefusal(t, err, tt.no, tt.why)
		}
	}
}

// A new AUTH ticket for a claimed id is of no use to another holder of the same
// account that listens: it comes encrypted with the old session key.
func TestReclaimedTicketIsHidden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)
	h, s := c.Login(), w.mon.Accept()
	method, payload, _ := h.Request(nil)
	reply, _, err := s.Request(method, []uint32{ModeCRC}, payload)
	must(t, err)
	payload, err = h.More(reply)
	must(t, err)
	reply, _, err = s.More(payload)
	must(t, err)

	d := wire.NewDecoder(reply)
	d.Skip(6)
	if decodeGrants(d, c.key, Key{}); !errors.Is(d.Err(), ErrSeal) {
		t.Errorf("opened without the old session key: %v", d.Err())
	}
}

func TestRenewOnSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	id := w.login(c)
	exchange := func() error {
		payload, err := c.Renew()
		must(t, err)
		if payload == nil {
			t.Fatal("nothing to renew")
		}
		reply, err := w.keys.MAuth(w.env, id, payload)
		if err != nil {
			return err
		}
		_, err = c.Reply(0, reply)
		return err
	}
	if p, err := c.Renew(); p != nil || err != nil {
		t.Errorf("renews at once: %x, %v", p, err)
	}
	if !c.RenewAt().Equal(w.time.Add(45 * time.Minute)) {
		t.Errorf("renews at %v", c.RenewAt())
	}
	// For three days and a half: service tickets every three quarters of an
	// hour, and the AUTH ticket on the third day.
	start, auth := w.time, c.tickets[entity.Auth]
	renewals := 0
	for w.time.Before(start.Add(84 * time.Hour)) {
		w.time = c.RenewAt()
		if w.rotating.Due().Before(w.time) {
			w.rotate()
		}
		must(t, exchange())
		renewals++
		if _, _, err := run(c.Connect(entity.OSD), w.osd.Accept()); err != nil {
			t.Fatalf("after %v: %v", w.time.Sub(start), err)
		}
	}
	if renewals < 110 || renewals > 114 {
		t.Errorf("%d renewals", renewals)
	}
	if c.tickets[entity.Auth] == auth || c.GlobalID() != id.GlobalID {
		t.Error("AUTH ticket was not renewed for the same id")
	}
	// The session is over for an account that was removed.
	w.time = c.RenewAt()
	delete(w.ring, c.Name())
	w.keys.Replace(w.ring, w.rotating)
	wantRefusal(t, exchange(), errno.EPERM, "account")
}

func TestMAuthRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.client("client.admin"), w.client("client.other")
	id := w.login(c)
	w.login(other)
	w.time = other.RenewAt()
	payload, err := other.Renew()
	must(t, err)
	_, err = w.keys.MAuth(w.env, id, payload)
	wantRefusal(t, err, errno.EPERM, "not that of the session")
	_, err = w.keys.MAuth(w.env, id, RotatingRequest())
	wantRefusal(t, err, errno.EPERM, "no rotating secrets")
	_, err = w.keys.MAuth(w.env, id, []byte{0, 8})
	wantRefusal(t, err, errno.EINVAL, "unknown request 0x800")
	_, err = w.keys.MAuth(w.env, id, nil)
	wantRefusal(t, err, errno.EPERM, "malformed")
	_, err = w.keys.MAuth(w.env, id, []byte{0, 1, 3})
	wantRefusal(t, err, errno.EPERM, "malformed")
	_, err = w.keys.MAuth(w.env, id, payload[:len(payload)-1])
	wantRefusal(t, err, errno.EPERM, "malformed")
	_, err = w.keys.MAuth(w.env, &Identity{Method: MethodNone}, payload)
	wantRefusal(t, err, errno.EOPNOTSUPP, "cephx")

	if _, err := c.Reply(-13, nil); !errors.Is(err, errno.EACCES) {
		t.Errorf("result -13: %v", err)
	}
	for _, junk := range [][]byte{nil, {0, 2}, {0, 2, 0, 0, 0, 0}, {0, 9, 0, 0, 0, 0}, {0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 1}} {
		if _, err := c.Reply(0, junk); err == nil {
			t.Errorf("reply %x is taken", junk)
		}
	}
}

func TestDaemonFetchesRotatingSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	osd := w.client("osd.0")
	id := w.login(osd)
	var ring SecretRing
	daemon := &ServiceAcceptor{Service: entity.OSD, Secrets: &ring, Env: w.env}
	c := w.client("client.admin")
	w.login(c)
	_, _, err := run(c.Connect(entity.OSD), daemon.Accept())
	wantRefusal(t, err, errno.EACCES, "not known")
	if !ring.Stale(w.time, 0) {
		t.Error("an empty ring is not stale")
	}
	fetch := func() {
		t.Helper()
		reply, err := w.keys.MAuth(w.env, id, RotatingRequest())
		must(t, err)
		s, err := osd.Reply(0, reply)
		must(t, err)
		must(t, ring.Set(*s))
	}
	fetch()
	if _, _, err = run(c.Connect(entity.OSD), daemon.Accept()); err != nil {
		t.Error(err)
	}
	due := w.rotating[entity.OSD].Due()
	if ring.Stale(due.Add(-time.Minute), 0) || !ring.Stale(due.Add(-time.Minute), 2*time.Minute) {
		t.Error("stale at the wrong time")
	}
	// The monitors rotate first; the daemon has the new tickets' secret already.
	w.time = due
	w.rotate()
	w.login(c)
	if _, _, err = run(c.Connect(entity.OSD), daemon.Accept()); err != nil {
		t.Error(err)
	}
	old := *ring.set.Load()
	fetch()
	if err := ring.Set(old); err == nil {
		t.Error("the ring went back to older secrets")
	}
}

func TestMonitorsAmongThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keys.Replace(nil, nil) // before there is a quorum
	ticket, err := w.keys.Mint(w.env, entity.Mon, entity.AuthName{Type: entity.Mon})
	must(t, err)
	client, server, err := run(ticket.Connect(w.env), w.mon.Accept())
	must(t, err)
	w.sameSecrets(client, server)
	if id := server.Identity; id.Name.String() != "mon." || id.Caps["mon"] != "allow *" {
		t.Errorf("%+v", id)
	}
	if _, err := w.keys.Mint(w.env, entity.OSD, entity.AuthName{Type: entity.Mon}); !errors.Is(err, errno.EIO) {
		t.Errorf("ticket without secrets: %v", err)
	}
	w.keys.Replace(w.ring, w.rotating)
	ticket, err = w.keys.Mint(w.env, entity.OSD, entity.AuthName{Type: entity.Mon})
	must(t, err)
	_, server, err = run(ticket.Connect(w.env), w.osd.Accept())
	must(t, err)
	if id := server.Identity; id.Name.String() != "mon." || id.Caps["osd"] != "allow *" {
		t.Errorf("%+v", id)
	}
	// A client has a ticket for the monitor service too, but must log in.
	c := w.client("client.admin")
	w.login(c)
	_, _, err = run(c.Connect(entity.Mon), w.mon.Accept())
	wantRefusal(t, err, errno.EACCES, "only monitors")
	if _, err := NewKeyServer(TTLs{}, nil).Mint(w.env, entity.Mon, entity.AuthName{Type: entity.Mon}); !errors.Is(err, errno.EACCES) {
		t.Errorf("ticket without the monitors' key: %v", err)
	}
}

func TestMethodNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mon.Methods = []uint32{MethodNone}
	w.osd.Methods = []uint32{MethodNone}
	c := &NoneClient{Name: name(t, "client.admin")}
	client, server, err := run(c.Login(), w.mon.Accept(), ModeSecure, ModeCRC)
	must(t, err)
	if client.GlobalID != 4096 || c.GlobalID() != 4096 || client.SessionKey != nil || server.SessionKey != nil ||
		client.Mode != ModeCRC || server.Identity.Caps["mon"] != "allow *" || server.Identity.Method != MethodNone {
		t.Errorf("%+v, %+v", client, server)
	}
	_, server, err = run(c.Connect(entity.OSD), w.osd.Accept(), ModeCRC)
	must(t, err)
	if id := server.Identity; id.GlobalID != 4096 || id.Name != c.Name || id.Caps["osd"] != "allow *" {
		t.Errorf("%+v", id)
	}
	_, _, err = run(c.Login(), w.mon.Accept(), ModeSecure)
	wantRefusal(t, err, errno.EOPNOTSUPP, "secure mode")
	_, _, err = run(w.client("client.admin").Login(), w.mon.Accept())
	wantRefusal(t, err, errno.EOPNOTSUPP, "method")
	_, _, err = w.osd.Accept().Request(MethodNone, []uint32{ModeCRC}, []byte{1, 8})
	wantRefusal(t, err, errno.EINVAL, "malformed")
	if _, err := c.Login().More(nil); err == nil {
		t.Error("client answers a challenge it does not know")
	}
	// The golden request of a stock client (client-refused).
	for _, tr := range golden(t).Connections {
		if method, _, want := tr.request(t); method == MethodNone {
			_, got, _ := (&NoneClient{Name: c.Name}).Login().Request(nil)
			equal(t, "AUTH_REQUEST of method none", got, want)
		}
	}
}

// A client that looks for a monitor may have several logins under way.
func TestLoginKeepsWhoeverFinishesLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	type ends struct {
		c     ClientHandshake
		s     ServerHandshake
		reply []byte
		done  *Done
	}
	begin := func() *ends {
		e := &ends{c: c.Login(), s: w.mon.Accept()}
		method, payload, err := e.c.Request(nil)
		must(t, err)
		e.reply, _, err = e.s.Request(method, []uint32{ModeCRC}, payload)
		must(t, err)
		return e
	}
	answer := func(e *ends) error {
		payload, err := e.c.More(e.reply)
		if err == nil {
			e.reply, e.done, err = e.s.More(payload)
		}
		return err
	}
	a, b, late := begin(), begin(), begin()
	must(t, answer(a))
	must(t, answer(b))
	for _, e := range []*ends{a, b} {
		_, err := e.c.Done(e.done.GlobalID, e.done.Mode, e.reply)
		must(t, err)
	}
	if a.done.GlobalID == b.done.GlobalID || c.GlobalID() != b.done.GlobalID {
		t.Errorf("ids %d and %d, kept %d", a.done.GlobalID, b.done.GlobalID, c.GlobalID())
	}
	for service, ticket := range c.tickets {
		if ticket.globalID != c.GlobalID() {
			t.Errorf("ticket for %v of id %d kept", service, ticket.globalID)
		}
	}
	if _, _, err := run(c.Connect(entity.OSD), w.osd.Accept()); err != nil {
		t.Error(err)
	}
	// One that began as a stranger cannot go on with the ticket of b.
	if err := answer(late); !errors.Is(err, errRaced) {
		t.Errorf("late login: %v", err)
	}
}

func TestServerLies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	w.login(c)
	h := c.Login()
	if _, err := h.Done(1, ModeCRC, nil); err == nil {
		t.Error("login without a challenge")
	}
	h.Request(nil)
	if _, err := h.More(wire.Marshal(authChallenge(0))); err == nil {
		t.Error("challenge of zero")
	}
	h.Request(nil)
	if _, err := h.More(wire.Marshal(authChallenge(5))); err != nil {
		t.Error(err)
	}
	if _, err := h.More(wire.Marshal(authChallenge(6))); err == nil {
		t.Error("two challenges")
	}
	for _, junk := range [][]byte{nil, {0, 1, 0, 0, 0, 0}, {0, 1, 0xf3, 0xff, 0xff, 0xff}, {0, 2, 0, 0, 0, 0}, {0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0}} {
		if _, err := h.Done(7, ModeCRC, junk); err == nil {
			t.Errorf("DONE %x is taken", junk)
		}
	}
	// A server that cannot read the ticket cannot make the reply, one that
	// replays an old reply has the wrong nonce.
	ticket, _ := c.Ticket(entity.OSD)
	s := c.Connect(entity.OSD)
	if _, err := s.More(nil); err == nil {
		t.Error("challenge before the beginning")
	}
	if _, err := s.Done(1, ModeCRC, nil); err == nil {
		t.Error("end before the beginning")
	}
	s.Request(nil)
	if _, err := s.More(seal(c.key, authChallenge(9))); !errors.Is(err, ErrSeal) {
		t.Errorf("challenge under another key: %v", err)
	}
	var e wire.Encoder
	sealTo(&e, ticket.key, authorizeReply{NonceInc: 12345})
	if _, err := s.Done(1, ModeCRC, e.Bytes()); !errors.Is(err, errno.EACCES) {
		t.Errorf("reply to another nonce: %v", err)
	}
	e.Reset()
	sealTo(&e, ticket.key, authorizeReply{NonceInc: s.(*connectClient).nonce + 1})
	if _, err := s.Done(1, ModeSecure, e.Bytes()); err == nil {
		t.Error("secure mode without a connection secret")
	}
}

// Whatever is printed, logged or refused, no secret is in it.
func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client("client.admin")
	id := w.login(c)
	key := w.ring[c.Name()].Key
	ticket, _ := c.Ticket(entity.OSD)
	wrong := w.client("client.admin")
	wrong.key, _ = w.env.key()
	_, _, refusal := run(wrong.Login(), w.mon.Accept())
	_, badLine := ParseKeyring([]byte("[client.a]\n" + key.Base64() + "\n"))
	_, badKey := ParseKeyring([]byte("[client.a]\nkey = " + key.Base64()[:37] + "\n"))

	var log bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&log, nil))
	l.Info("x", "key", key, "entity", w.ring[c.Name()].Key, "refusal", refusal)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "ring", fmt.Sprint(w.ring), "refusal", refusal)
	all := log.String() + fmt.Sprintf("%v %+v %#v %x %s %q %d", key, key, key, key, key, key, key) +
		fmt.Sprintf("%v %+v %#v", w.ring, w.ring, w.ring[c.Name()]) + fmt.Sprintf("%v %+v", w.rotating, w.rotating) +
		fmt.Sprintf("%+v", id) + refusal.Error() + badLine.Error() + badKey.Error()
	for what, secret := range map[string]Key{
		"account": key, "session": ticket.key, "AUTH": w.rotating[entity.Auth].ByID[2].Key,
	} {
		b := secret.Secret()
		for _, form := range []string{secret.Base64(), secret.Base64()[:20], string(b), fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprint(b), strings.Trim(fmt.Sprintf("%#v", b)[7:], "{}")} {
			if strings.Contains(all, form) {
				t.Errorf("the %s secret is printed: %q", what, form)
			}
		}
	}
	if !strings.Contains(all, "(key)") || !strings.Contains(all, "client.admin") {
		t.Errorf("too little is printed: %s", all)
	}
}

func TestKeyServerServesWhileReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Real time and random numbers: those of the world are not for many
	// goroutines.
	mon := &MonAcceptor{Keys: w.keys, NewGlobalID: func() (uint64, error) { return 1, nil }}
	osd := &ServiceAcceptor{Service: entity.OSD, Secrets: w.keys.Secrets(entity.OSD)}
	r, _, err := Rotating(nil).Rotate(time.Now(), w.ttl, chacha(9))
	must(t, err)
	w.keys.Replace(w.ring, r)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.keys.Replace(Keyring{}, r)
				w.keys.Replace(w.ring, r)
			}
		}
	})
	c, err := NewClient(name(t, "client.admin"), w.ring[name(t, "client.admin")].Key, []entity.Type{entity.OSD}, Env{})
	must(t, err)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 50 {
				_, _, err := run(c.Login(), mon.Accept())
				var refusal *Refusal
				if err != nil && (!errors.As(err, &refusal) || refusal.Why != "no such account") && !errors.Is(err, errRaced) {
					t.Error(err)
				}
				if _, _, err := run(c.Connect(entity.OSD), osd.Accept()); err != nil && !errors.Is(err, ErrNoTicket) {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	wg.Wait()
}
