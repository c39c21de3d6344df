package msgr

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
)

// keyAuth is an authentication that takes two steps and ends with keys.
type keyAuth struct {
	key    string // SessionKey; both ends must agree
	id     uint64
	refuse func() *BadMethod // accepting side
	retry  bool              // connecting side: try again after a refusal
}

func (a keyAuth) Accept(entity.Type, entity.Addr) ServerAuth { return keyServer{a, new([]Mode)} }

func (a keyAuth) Connect(context.Context, entity.Type) (ClientAuth, error) { return keyClient{a}, nil }

func (a keyAuth) done(id uint64, mode Mode) *AuthDone {
	d := &AuthDone{GlobalID: id, Mode: mode, SessionKey: []byte(a.key), Identity: "account"}
	if mode == ModeSecure {
		d.ConnSecret = bytes.Repeat([]byte("connection secre"), 4)
	}
	return d
}

type keyServer struct {
	keyAuth
	modes *[]Mode
}

func (s keyServer) Request(method uint32, modes []Mode, payload []byte) ([]byte, *AuthDone, error) {
	if s.refuse != nil {
		if bad := s.refuse(); bad != nil {
			return nil, nil, bad
		}
	}
	*s.modes = modes
	return []byte("challenge"), nil, nil
}

func (s keyServer) More(payload []byte) ([]byte, *AuthDone, error) {
	if string(payload) != "answer to challenge" {
		return nil, nil, errors.New("wrong answer")
	}
	return []byte("welcome"), s.done(s.id, (*s.modes)[0]), nil
}

type keyClient struct{ keyAuth }

func (c keyClient) Request(modes []Mode) (uint32, []byte, error) { return 2, []byte("hello"), nil }
func (c keyClient) More(payload []byte) ([]byte, error) {
	return append([]byte("answer to "), payload...), nil
}

func (c keyClient) Done(id uint64, mode Mode, payload []byte) (*AuthDone, error) {
	if string(payload) != "welcome" {
		return nil, errors.New("not welcome")
	}
	return c.done(id, mode), nil
}
func (c keyClient) BadMethod(*BadMethod) bool { return c.retry }

// event is a call of the handler.
type event struct {
	what string
	c    *Conn
	m    *Message
	err  error
}

// recorder is a handler that reports its calls on a channel; with echo it
// answers each message with its data.
type recorder struct {
	events chan event
	echo   bool
	onRecv func(*Conn, *Message) // takes messages instead
}

func newRecorder() *recorder { return &recorder{events: make(chan event, 4096)} }

func (r *recorder) Opened(c *Conn)            { r.events <- event{what: "opened", c: c} }
func (r *recorder) Closed(c *Conn, err error) { r.events <- event{what: "closed", c: c, err: err} }
func (r *recorder) RemoteReset(c *Conn)       { r.events <- event{what: "reset", c: c} }
func (r *recorder) Receive(c *Conn, m *Message) {
	switch {
	case r.onRecv != nil:
		r.onRecv(c, m)
	case r.echo:
		c.Send(&Message{Type: m.Type + 1, TID: m.TID, Front: bytes.Clone(m.Front), Data: m.Data.Retain()})
		m.Release()
	default:
		r.events <- event{what: "message", c: c, m: m}
	}
}

// want waits for the next call and fails unless it is what.
func (r *recorder) want(t testing.TB, what string) event {
	t.Helper()
	select {
	case e := <-r.events:
		if e.what != what {
			t.Fatalf("handler got %q (%v), want %q", e.what, e.err, what)
		}
		return e
	case <-time.After(2 * time.Minute):
		t.Fatalf("handler got nothing, want %q", what)
	}
	panic("unreachable")
}

// quiet fails if a call is waiting.
func (r *recorder) quiet(t testing.TB) {
	t.Helper()
	select {
	case e := <-r.events:
		t.Fatalf("handler got %q, want nothing", e.what)
	default:
	}
}

// node is a messenger with its handler.
type node struct {
	*Messenger
	*recorder
	addrs entity.AddrVec
}

func newNode(t testing.TB, cfg Config) *node {
	t.Helper()
	n := &node{recorder: newRecorder()}
	if cfg.Handler == nil {
		cfg.Handler = n.recorder
	}
	if cfg.Auth == nil {
		cfg.Auth = keyAuth{key: "0123456789abcdef", id: 4100}
	}
	var err error
	if n.Messenger, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Messenger.Close() })
	return n
}

// newServer is a node that listens on loopback, an osd.3 unless told otherwise.
func newServer(t testing.TB, cfg Config) *node {
	t.Helper()
	if cfg.Name.Type == 0 {
		cfg.Name = entity.Name{Type: entity.OSD, Num: 3}
	}
	n := newNode(t, cfg)
	n.listen(t, netip.MustParseAddrPort("127.0.0.1:0"))
	return n
}

func (n *node) listen(t testing.TB, at netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	addr := entity.Addr{Type: entity.AddrMsgr2, Nonce: 77, AP: l.Addr().(*net.TCPAddr).AddrPort()}
	n.addrs = entity.AddrVec{addr}
	n.SetAddrs(n.addrs)
	var wg sync.WaitGroup
	wg.Go(func() { n.Serve(l) })
	t.Cleanup(func() {
		n.Messenger.Close()
		wg.Wait()
	})
}

func newClient(t testing.TB, cfg Config) *node {
	t.Helper()
	if cfg.Name.Type == 0 {
		cfg.Name = entity.Name{Type: entity.Client, Num: -1}
	}
	return newNode(t, cfg)
}

func (n *node) dial(t testing.TB, to *node) *Conn {
	t.Helper()
	c, err := n.Dial(context.Background(), to.cfg.Name.Type, to.addrs)
	if err != nil {
		t.Fatal(err)
	}
	if e := n.want(t, "opened"); e.c != c {
		t.Fatal("opened another Conn than dialled")
	}
	return c
}

func only(m Mode) func(entity.Type) []Mode {
	return func(entity.Type) []Mode { return []Mode{m} }
}

func lossless(entity.Type) Policy { return Policy{} }
