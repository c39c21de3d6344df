package msgr

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr/frame"
	"github.com/pulpo-storage/pulpo/msgr/session"
	"github.com/pulpo-storage/pulpo/wire"
)

// What both ends learn of each other.
func TestIdentities(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Features: 0xf0f})
	client := newClient(t, Config{Features: 0xff, Modes: only(ModeSecure)})
	c := client.dial(t, server)
	s := server.want(t, "opened").c
	if c.Incoming() || !s.Incoming() || c.Mode() != ModeSecure || s.Mode() != ModeSecure {
		t.Errorf("incoming %v %v, modes %v %v", c.Incoming(), s.Incoming(), c.Mode(), s.Mode())
	}
	if c.Features() != 0xf || s.Features() != 0xf {
		t.Errorf("features %#x %#x", c.Features(), s.Features())
	}
	if c.PeerName() != (entity.Name{Type: entity.OSD, Num: 3}) || c.PeerAddr() != server.addrs[0] || !c.PeerAddrs().Equal(server.addrs) {
		t.Errorf("server seen as %v at %v", c.PeerName(), c.PeerAddrs())
	}
	if s.PeerName() != (entity.Name{Type: entity.Client, Num: 4100}) || s.Identity() != "account" || s.GlobalID() != 4100 {
		t.Errorf("client seen as %v, %v", s.PeerName(), s.Identity())
	}
	a := s.PeerAddr()
	if a.Type != entity.AddrAny || a.Nonce == 0 || a.AP != netip.MustParseAddrPort("127.0.0.1:0") {
		t.Errorf("client at %v", a)
	}
	client.dial(t, server)
	if b := server.want(t, "opened").c.PeerAddr(); b != a {
		t.Errorf("second connection of the client from %v, the first from %v", b, a)
	}
	s.SetValue(5)
	if s.Value() != 5 || c.Value() != nil {
		t.Errorf("values %v, %v", s.Value(), c.Value())
	}
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		server, client Config
		peer           entity.Type
		change         func(*entity.Addr)
		want           error
	}{
		"wrong nonce": {
			change: func(a *entity.Addr) { a.Nonce++ },
			want:   io.EOF,
		},
		"another type": {
			peer: entity.MDS,
			want: session.ErrProtocol,
		},
		"features missing": {
			server: Config{Policy: func(entity.Type) Policy { return Policy{Required: 1 << 62} }},
			want:   session.MissingFeatures(1 << 62),
		},
		"no common mode": {
			server: Config{Modes: only(ModeSecure)},
			client: Config{Modes: only(ModeCRC)},
			want:   errno.EOPNOTSUPP,
		},
		"refused key": {
			server: Config{Auth: keyAuth{refuse: func() *BadMethod { return &BadMethod{Method: 2, Result: -13} }}},
			want:   errno.EACCES,
		},
		"another key": {
			client: Config{Auth: keyAuth{key: "guess"}},
			want:   session.ErrSignature,
		},
		"only msgr1": {
			change: func(a *entity.Addr) { a.Type = entity.AddrLegacy },
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, c.server)
			client := newClient(t, c.client)
			addrs := entity.AddrVec{server.addrs[0]}
			if c.change != nil {
				c.change(&addrs[0])
			}
			peer := entity.OSD
			if c.peer != 0 {
				peer = c.peer
			}
			conn, err := client.Dial(t.Context(), peer, addrs)
			if err == nil || conn != nil || (c.want != nil && !errors.Is(err, c.want) && !reset(err)) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			client.quiet(t)
			server.quiet(t)
			eventually(t, "nothing left", func() bool {
				s := server.Stats()
				return s.Sessions == 0 && s.Unauthenticated == 0 && client.Stats().Sessions == 0
			})
		})
	}
}

// Why a peer was refused is in the log of who refused it.
func TestRefusalIsLogged(t *testing.T) {
	t.Parallel()
	for want, server := range map[string]Config{
		"Permission denied": {Auth: keyAuth{refuse: func() *BadMethod { return &BadMethod{Method: 2, Result: -13} }}},
		"missing features":  {Policy: func(entity.Type) Policy { return Policy{Required: 1 << 62} }},
		"bad signature":     {Auth: keyAuth{key: "another"}},
	} {
		r, w := io.Pipe()
		lines := make(chan string, 100)
		go func() {
			for s := bufio.NewScanner(r); s.Scan(); {
				lines <- s.Text()
			}
			close(lines)
		}()
		server.Log = slog.New(slog.NewTextHandler(w, nil))
		s := newServer(t, server)
		if _, err := newClient(t, Config{}).Dial(t.Context(), entity.OSD, s.addrs); err == nil {
			t.Errorf("%s: not refused", want)
		}
		eventually(t, "refused", func() bool { return s.Stats().Refused == 1 })
		s.Messenger.Close()
		w.Close()
		var all []string
		for l := range lines {
			all = append(all, l)
		}
		if len(all) != 1 || !strings.Contains(all[0], "connection refused") || !strings.Contains(all[0], want) {
			t.Errorf("log has %q, want one refusal with %q", all, want)
		}
	}
}

// reset: the peer closed the connection before it had read all.
func reset(err error) bool {
	return strings.Contains(err.Error(), "reset by peer") || errors.Is(err, io.EOF)
}

func TestDialCancelled(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := newClient(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	addrs := entity.AddrVec{{Type: entity.AddrMsgr2, AP: silent.Addr().(*net.TCPAddr).AddrPort()}}
	if _, err := client.Dial(ctx, entity.OSD, addrs); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	short := newClient(t, Config{Handshake: 20 * time.Millisecond})
	if _, err := short.Dial(t.Context(), entity.OSD, addrs); err == nil {
		t.Error("a handshake with nobody succeeded")
	}
	client.Messenger.Close()
	if _, err := client.Dial(t.Context(), entity.OSD, addrs); !errors.Is(err, ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
}

func TestAuthRetry(t *testing.T) {
	t.Parallel()
	refusals := 2
	auth := keyAuth{key: "k", refuse: func() *BadMethod {
		if refusals--; refusals >= 0 {
			return &BadMethod{Method: 2, Result: -13, Methods: []uint32{2}, Modes: []Mode{ModeCRC}}
		}
		return nil
	}}
	server := newServer(t, Config{Auth: auth})
	client := newClient(t, Config{Auth: keyAuth{key: "k", retry: true}})
	client.dial(t, server)
}

func TestNoneAuth(t *testing.T) {
	t.Parallel()
	name := entity.AuthName{Type: entity.Client, ID: "admin"}
	server := newServer(t, Config{Name: entity.Name{Type: entity.Mon}, Auth: &NoneAuth{}})
	client := newClient(t, Config{Auth: &NoneAuth{Name: name}})
	c := client.dial(t, server)
	if s := server.want(t, "opened").c; s.Identity() != name || s.GlobalID() == 0 || s.GlobalID() != c.GlobalID() || c.Mode() != ModeCRC {
		t.Errorf("%v with id %d here, %d there, %v", s.Identity(), s.GlobalID(), c.GlobalID(), c.Mode())
	}
	keyed := newClient(t, Config{})
	if _, err := keyed.Dial(t.Context(), entity.Mon, server.addrs); !errors.Is(err, errno.EOPNOTSUPP) {
		t.Errorf("cephx where none is wanted: %v", err)
	}
}

// Messages sent before a Close of the messenger do no harm, and nothing runs
// afterwards.
func TestCloseMessenger(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{{Lossy: true}, {}} {
		server := newServer(t, Config{Policy: func(entity.Type) Policy { return policy }})
		server.echo = true
		client := newClient(t, Config{Policy: func(entity.Type) Policy { return policy }})
		client.onRecv = func(_ *Conn, m *Message) { m.Release() }
		var wg sync.WaitGroup
		var conns []*Conn
		for range 4 {
			conns = append(conns, client.dial(t, server))
		}
		for _, c := range conns {
			wg.Go(func() {
				for c.Send(&Message{Type: 1, Data: buffer.ListOf(make([]byte, 10_000))}) == nil {
					if n, _ := c.Queued(); n > 100 {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		server.Messenger.Close()
		client.Messenger.Close()
		wg.Wait()
		for _, n := range []*node{server, client} {
			opened := 0
			for len(n.events) > 0 {
				switch e := <-n.events; e.what {
				case "opened":
					opened++
				case "closed":
					opened--
				}
			}
			if n == client {
				opened += 4 // seen by dial
			}
			if s := n.Stats(); opened != 0 || s.Sessions != 0 {
				t.Errorf("%d opened and not closed, %d sessions", opened, s.Sessions)
			}
		}
	}
}

// What the handler holds stops the reading of that connection, and of no
// other.
func TestFlowControl(t *testing.T) {
	t.Parallel()
	const limit, size = 100_000, 30_000
	server := newServer(t, Config{Policy: func(entity.Type) Policy { return Policy{Lossy: true, MaxInflight: limit} }})
	client := newClient(t, Config{})
	c := client.dial(t, server)
	server.want(t, "opened")
	const messages = 200
	for range messages {
		c.Send(&Message{Type: 1, Data: buffer.ListOf(make([]byte, size))})
	}
	var held []*Message
	for range limit / size {
		held = append(held, server.want(t, "message").m)
	}
	other := client.dial(t, server) // is served meanwhile
	server.want(t, "opened")
	other.Send(&Message{Type: 2})
	server.want(t, "message").m.Release()
	server.quiet(t)
	for n := len(held); n < messages; n++ {
		held[0].Release()
		held[0].Release() // has no effect
		held = append(held[1:], server.want(t, "message").m)
		if n%50 == 0 {
			server.quiet(t)
		}
	}
	// One that is larger than the limit comes when it is alone.
	for _, m := range held {
		m.Release()
	}
	c.Send(&Message{Type: 1, Data: buffer.ListOf(make([]byte, 3*limit))})
	server.want(t, "message").m.Release()
	// A connection that waits for its handler can be closed.
	c.Send(&Message{Type: 1, Data: buffer.ListOf(make([]byte, size))})
	last := server.want(t, "message")
	for range messages {
		c.Send(&Message{Type: 1, Data: buffer.ListOf(make([]byte, size))})
	}
	for range limit/size - 1 {
		server.want(t, "message")
	}
	last.c.Close()
	if e := server.want(t, "closed"); e.err != nil {
		t.Errorf("closed: %v", e.err)
	}
}

// In secure mode a bit flipped on the way ends that connection, at whatever
// frame; the messages before it have come, the one hit has not.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{})
	server.onRecv = func(_ *Conn, m *Message) {
		if !bytes.Equal(m.Data.Bytes(), pattern(500, int(m.TID))) {
			t.Errorf("message %d came changed", m.TID)
		}
		m.Release()
	}
	p := newProxy(t, server)
	client := newClient(t, Config{Modes: only(ModeSecure)})
	for i := range 20 {
		c := client.dial(t, server)
		server.want(t, "opened")
		flip := func(b []byte) bool {
			b[(i*97)%len(b)] ^= 1 << (i % 8)
			return true
		}
		p.up.Store(&flip)
		for j := range 5 {
			c.Send(&Message{Type: 1, TID: uint64(j), Data: buffer.ListOf(pattern(500, j))})
		}
		if e := server.want(t, "closed"); !errors.Is(e.err, frame.ErrTag) {
			t.Errorf("server: %v", e.err)
		}
		client.want(t, "closed")
		p.up.Store(nil)
	}
}

func controlBytes(tag frame.Tag, p frame.Payload) []byte {
	var (
		e wire.Encoder
		b frame.Batch
		w frame.Writer
	)
	p.Encode(&e)
	w.Control(&b, tag, e.Bytes())
	out, _ := b.Contiguous()
	return out
}

// Strangers that send garbage, or nothing, or half of something, cost little and
// hinder nobody.
func TestGarbage(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 connections")
	}
	server := newServer(t, Config{MaxUnauthenticated: 200, Handshake: 30 * time.Second})
	server.echo = true
	client := newClient(t, Config{})
	c := client.dial(t, server)
	server.want(t, "opened")

	hello := controlBytes(frame.TagHello, &frame.Hello{Type: entity.Client})
	request := controlBytes(frame.TagAuthRequest, &frame.AuthRequest{Method: 2, Modes: []uint32{1}, Payload: make([]byte, 16000)})
	random := make([]byte, 600)
	rand.Read(random)
	kinds := [][]byte{
		nil,
		random,
		frame.Banner(),
		append(frame.Banner(), random...),
		append(frame.Banner(), hello...),
		append(append(frame.Banner(), hello...), random...),
		append(append(frame.Banner(), hello...), request[:4000]...),
		append(append(frame.Banner(), hello...), request...),
		[]byte("GET / HTTP/1.0\r\n\r\n"),
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const open = 400
	ring := make([]net.Conn, open)
	for i := range 10_000 {
		nc, err := net.Dial("tcp", server.addrs[0].AP.String())
		if err != nil {
			t.Fatal(err)
		}
		nc.Write(kinds[i%len(kinds)])
		if old := ring[i%open]; old != nil {
			old.(*net.TCPConn).SetLinger(0)
			old.Close()
		}
		ring[i%open] = nc
		if i%500 == 0 {
			c.Send(&Message{Type: 1, TID: uint64(i), Front: []byte("still there?")})
			if m := client.want(t, "message").m; m.TID != uint64(i) {
				t.Fatalf("answer %d to %d", m.TID, i)
			}
			client.dial(t, server).Close()
			client.want(t, "closed")
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("heap has grown by %d bytes with %d connections open", grown, open)
	}
	for _, nc := range ring {
		nc.Close()
	}
	eventually(t, "all gone", func() bool { s := server.Stats(); return s.Unauthenticated == 0 && s.Sessions == 1 })
	if s := server.Stats(); s.Refused < 9_000 {
		t.Errorf("%d connections refused", s.Refused)
	}
}

// A peer that is authenticated and then breaks the rules costs its own session.
func TestBadPeer(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Auth: &NoneAuth{}})
	server.echo = true
	client := newClient(t, Config{Auth: &NoneAuth{}})
	good := client.dial(t, server)
	server.want(t, "opened")
	message := func(change func([]byte)) []byte {
		var (
			b frame.Batch
			w frame.Writer
		)
		w.Message(&b, &frame.Header{Seq: 1, Type: 1}, []byte("front"), nil, buffer.ListOf(make([]byte, 100)))
		out, _ := b.Contiguous()
		change(out)
		return out
	}
	for what, send := range map[string][]byte{
		"random":         pattern(300, 1),
		"bad front":      message(func(b []byte) { b[32+41+4] ^= 1 }),
		"bad data":       message(func(b []byte) { b[len(b)-20] ^= 1 }),
		"bad epilogue":   message(func(b []byte) { b[len(b)-3] ^= 1 }),
		"bad status":     message(func(b []byte) { b[len(b)-13] = 0 }),
		"second hello":   controlBytes(frame.TagHello, &frame.Hello{Type: entity.Client}),
		"short and gone": message(func([]byte) {})[:90],
	} {
		nc, _, _, err := rawDial(t, server, clientAddr(uint32(len(what))), 9, new(session.State), 5)
		if err != nil {
			t.Fatal(err)
		}
		bad := server.want(t, "opened").c
		nc.Write(send)
		if what == "short and gone" {
			nc.Close()
		}
		if e := server.want(t, "closed"); e.c != bad || e.err == nil {
			t.Errorf("%s: closed with %v", what, e.err)
		}
	}
	good.Send(&Message{Type: 1})
	client.want(t, "message")
}

type ping struct{ data []byte }

func (ping) MsgType() uint16             { return 2 }
func (ping) Versions() (uint16, uint16)  { return 8, 3 }
func (ping) EncodeFront(e *wire.Encoder) { e.Str("front") }
func (ping) Priority() uint16            { return 63 }
func (p ping) Payload() buffer.List      { return buffer.ListOf(p.data) }

func TestSendBody(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{})
	client := newClient(t, Config{})
	c := client.dial(t, server)
	if err := c.SendBody(ping{[]byte("data")}, 77); err != nil {
		t.Fatal(err)
	}
	server.want(t, "opened")
	m := server.want(t, "message").m
	if m.Type != 2 || m.Version != 8 || m.Compat != 3 || m.Priority != 63 || m.TID != 77 || m.Seq != 1 ||
		string(m.Front) != "\x05\x00\x00\x00front" || string(m.Data.Bytes()) != "data" {
		t.Errorf("%+v", m)
	}
	if time.Since(m.Received) > time.Minute {
		t.Errorf("received at %v", m.Received)
	}
}

// Who does not take answers gets no more questions in, and no more of the
// other side's memory.
func TestAnswersThatAreNotTaken(t *testing.T) {
	t.Parallel()
	const limit, size, messages = 200_000, 50_000, 1000
	server := newServer(t, Config{Policy: func(entity.Type) Policy { return Policy{Lossy: true, MaxQueued: limit} }})
	var most atomic.Int64
	server.onRecv = func(c *Conn, m *Message) {
		m.Release()
		c.Send(&Message{Type: 2, Data: buffer.ListOf(make([]byte, size))})
		if _, n := c.Queued(); n > most.Load() {
			most.Store(n)
		}
	}
	client := newClient(t, Config{})
	first, goOn := make(chan struct{}), make(chan struct{})
	var got atomic.Int64
	done := make(chan struct{})
	client.onRecv = func(_ *Conn, m *Message) {
		m.Release()
		switch got.Add(1) {
		case 1:
			close(first)
			<-goOn
		case messages:
			close(done)
		}
	}
	c := client.dial(t, server)
	for range messages {
		c.Send(&Message{Type: 1})
	}
	<-first
	// With the sockets full the server stops. That cannot be seen, but that it
	// goes on again can.
	close(goOn)
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatalf("only %d answers came", got.Load())
	}
	if n := most.Load(); n > limit+size {
		t.Errorf("%d bytes were queued, the limit is %d", n, limit)
	}
}

// What an answer will take counts as if it had come with the message.
func TestCharge(t *testing.T) {
	t.Parallel()
	budget := NewBudget(1 << 30)
	server := newServer(t, Config{Policy: func(entity.Type) Policy { return Policy{Lossy: true, MaxInflight: 100_000, Budget: budget} }})
	came, in := make(chan struct{}, 10), make(chan *Message, 10)
	server.onRecv = func(c *Conn, m *Message) {
		came <- struct{}{}
		if m.Charge(60_000) {
			in <- m
		} else {
			m.Release()
			in <- nil
		}
	}
	client := newClient(t, Config{})
	c := client.dial(t, server)
	session := server.want(t, "opened").c
	for range 3 {
		c.Send(&Message{Type: 1, Front: make([]byte, 5000)})
	}
	for range 2 {
		m := <-in
		if len(in) > 0 {
			t.Fatal("the next one did not wait")
		}
		if n := budget.Held(); n < 65_000 || n > 75_000 {
			t.Errorf("%d bytes are taken", n)
		}
		m.Release()
	}
	last := <-in
	c.Send(&Message{Type: 1})
	for range 4 {
		<-came
	}
	session.Close() // while it waits
	if m := <-in; m != nil {
		t.Error("it got what was not there")
	}
	last.Release()
	if n := budget.Held(); n != 0 {
		t.Errorf("%d bytes are taken in the end", n)
	}
}
