package msgr

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// However often the connection is cut, each message of a lossless session
// arrives once and in order, both ways, and nobody hears of the cuts.
func TestLosslessReplay(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{ModeCRC, ModeSecure} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			const messages = 3000
			var calls, overlaps atomic.Int32
			counter := func(done chan struct{}) func(*Conn, *Message) {
				next := uint64(0)
				return func(c *Conn, m *Message) {
					if calls.Add(1) > 2 { // one for each side
						overlaps.Add(1)
					}
					if got := binary.LittleEndian.Uint64(m.Front); got != next || m.Data.Len() != int(got%3000) {
						t.Errorf("message %d (%d bytes) came, want %d", got, m.Data.Len(), next)
					}
					m.Release()
					if next++; next == messages {
						close(done)
					}
					calls.Add(-1)
				}
			}
			atServer, atClient := make(chan struct{}), make(chan struct{})
			server := newServer(t, Config{Modes: only(mode), Policy: lossless})
			server.onRecv = counter(atServer)
			p := newProxy(t, server)
			client := newClient(t, Config{Modes: only(mode), Policy: lossless})
			client.onRecv = counter(atClient)

			rng := rand.New(rand.NewPCG(1, uint64(mode)))
			var passed, limit atomic.Int64
			limit.Store(100_000)
			budget := func(b []byte) bool {
				if passed.Add(int64(len(b))) < limit.Load() {
					return true
				}
				passed.Store(0)
				p.cut()
				return false
			}
			p.up.Store(&budget)
			p.down.Store(&budget)

			c := client.dial(t, server)
			s := server.want(t, "opened").c
			send := func(c *Conn) {
				for i := range messages {
					data := buffer.Copy(make([]byte, i%3000))
					c.Send(&Message{Type: 1, Front: binary.LittleEndian.AppendUint64(nil, uint64(i)), Data: buffer.List{data}})
				}
			}
			go send(s)
			send(c)
			for done := 0; done < 2; {
				select {
				case <-atServer:
					atServer = nil
					done++
				case <-atClient:
					atClient = nil
					done++
				case <-time.After(20 * time.Millisecond):
					limit.Store(rng.Int64N(400_000) + 50_000)
				case <-t.Context().Done():
					t.Fatal("not all came")
				}
			}
			p.up.Store(nil)
			p.down.Store(nil)
			server.quiet(t)
			client.quiet(t)
			if overlaps.Load() > 0 {
				t.Error("two calls of a handler for one connection at a time")
			}
			if n := client.Stats().Dialled; n < 3 {
				t.Errorf("only %d connections were made: nothing was cut", n)
			}
			// Acknowledgements trim what is kept.
			eventually(t, "all acknowledged", func() bool {
				a, _ := c.Queued()
				b, bytes := s.Queued()
				return a == 0 && b == 0 && bytes == 0
			})
		})
	}
}

// A server that was restarted has forgotten its sessions. The client goes on
// with a new one, and hears of it; what was queued is dropped.
func TestRemoteReset(t *testing.T) {
	t.Parallel()
	first := newServer(t, Config{Policy: lossless})
	p := newProxy(t, first)
	client := newClient(t, Config{Policy: lossless})
	c := client.dial(t, first)
	first.want(t, "opened")
	c.Send(&Message{Type: 1, Front: []byte("one")})
	first.want(t, "message").m.Release()

	second := newServer(t, Config{Policy: lossless})
	second.SetAddrs(first.addrs)
	p.mu.Lock()
	p.to = second.addrs[0].AP.String()
	p.mu.Unlock()
	p.cut()
	client.want(t, "reset")
	s := second.want(t, "opened").c
	c.Send(&Message{Type: 1, Front: []byte("two")})
	if m := second.want(t, "message").m; string(m.Front) != "two" || m.Seq != 1 {
		t.Errorf("message %q, seq %d", m.Front, m.Seq)
	}
	s.Send(&Message{Type: 1, Front: []byte("three")})
	if m := client.want(t, "message").m; string(m.Front) != "three" || m.Seq != 1 {
		t.Errorf("message %q, seq %d", m.Front, m.Seq)
	}
}

// A lossy session is over with its connection, on both sides.
func TestLossyEnds(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{})
	p := newProxy(t, server)
	client := newClient(t, Config{})
	c := client.dial(t, server)
	s := server.want(t, "opened").c
	p.cut()
	if e := client.want(t, "closed"); e.c != c || e.err == nil {
		t.Errorf("client: %v", e.err)
	}
	if e := server.want(t, "closed"); e.c != s || e.err == nil {
		t.Errorf("server: %v", e.err)
	}
	if err := c.Send(&Message{Data: buffer.ListOf(make([]byte, 5000))}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after the end: %v", err)
	}
	if n, _ := c.Queued(); n != 0 {
		t.Errorf("%d messages queued after the end", n)
	}
}

// The accepting side says whether a session is lossy.
func TestServerDecidesLossy(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{})
	p := newProxy(t, server)
	client := newClient(t, Config{Policy: lossless})
	client.dial(t, server)
	p.cut()
	client.want(t, "closed")
}

// rawDial does a client's handshake by hand, with a state of its own.
func rawDial(t *testing.T, server *node, own entity.Addr, id uint64, s *session.State, cookie uint64) (net.Conn, *session.Connector, session.Outcome, error) {
	t.Helper()
	nc, err := net.Dial("tcp", server.addrs[0].AP.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	h := session.NewConnector(session.ConnectConfig{
		Name: entity.Name{Type: entity.Client}, Addrs: entity.AddrVec{own}, Peer: entity.OSD, Target: server.addrs[0],
		Features: SupportedFeatures, Terms: session.Terms{Modes: []Mode{ModeCRC}},
		Auth:      noneClient{&NoneAuth{GlobalID: id}, entity.OSD},
		GlobalSeq: func(n uint64) uint64 { return n + 1 },
		Cookie:    func() uint64 { return cookie },
	}, s)
	outcome, err := greet(nc, &source{r: nc, buf: make([]byte, 1024)}, h)
	return nc, h, outcome, err
}

func clientAddr(nonce uint32) entity.Addr {
	return entity.Addr{Type: entity.AddrAny, Nonce: nonce, AP: netip.MustParseAddrPort("127.0.0.1:0")}
}

// A client that opens its session again replaces it, and the handler hears of
// the end first. Another cookie is another session while the first has its
// connection, and another nonce another client.
func TestReplaced(t *testing.T) {
	t.Parallel()
	for _, policy := range []Policy{{Lossy: true}, {}} {
		server := newServer(t, Config{Auth: &NoneAuth{}, Policy: func(entity.Type) Policy { return policy }})
		open := func(nonce uint32, cookie, seq uint64) (*Conn, net.Conn, error) {
			nc, _, _, err := rawDial(t, server, clientAddr(nonce), 4100, &session.State{GlobalSeq: seq}, cookie)
			if err != nil {
				return nil, nil, err
			}
			return server.want(t, "opened").c, nc, nil
		}
		must := func(c *Conn, nc net.Conn, err error) *Conn {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		first := must(open(1, 5, 10))
		must(open(1, 6, 11))
		must(open(2, 5, 12))
		if _, _, err := open(1, 5, 8); err == nil {
			t.Error("a late connection replaced a newer one")
		}
		nc, _, _, err := rawDial(t, server, clientAddr(1), 4100, &session.State{GlobalSeq: 20}, 5)
		if err != nil {
			t.Fatal(err)
		}
		if e := server.want(t, "closed"); e.c != first || !errors.Is(e.err, ErrReplaced) {
			t.Errorf("closed %v", e.err)
		}
		server.want(t, "opened")
		if n := server.Stats().Sessions; n != 3 {
			t.Errorf("%d sessions, want 3", n)
		}
		nc.Close()
		if policy.Lossy {
			server.want(t, "closed")
			continue
		}
		// A lossless one waits for its peer, until that opens another.
		s := server.incomingOf(clientAddr(1))
		eventually(t, "connection lost", func() bool {
			for _, c := range s {
				c.mu.Lock()
				lost := c.link == nil && !c.lostAt.IsZero()
				c.mu.Unlock()
				if lost {
					return true
				}
			}
			return false
		})
		if _, _, _, err := rawDial(t, server, clientAddr(1), 4100, &session.State{GlobalSeq: 30}, 7); err != nil {
			t.Fatal(err)
		}
		if e := server.want(t, "closed"); !errors.Is(e.err, ErrReplaced) {
			t.Errorf("closed %v", e.err)
		}
		server.want(t, "opened")
	}
}

// Where sessions are stateless a peer may have several that look the same.
func TestStateless(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Auth: &NoneAuth{}, Policy: func(entity.Type) Policy { return Policy{Lossy: true, Stateless: true} }})
	for seq := range uint64(3) {
		if _, _, _, err := rawDial(t, server, clientAddr(1), 4100, &session.State{GlobalSeq: 9 - seq}, 0); err != nil {
			t.Fatal(err)
		}
		server.want(t, "opened")
	}
	if n := server.Stats().Sessions; n != 3 {
		t.Errorf("%d sessions, want 3", n)
	}
}

func (m *Messenger) incomingOf(a entity.Addr) []*Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*Conn(nil), m.incoming[a]...)
}

// Only the identity that opened a session resumes it; also a peer that claims
// to have had messages which were not sent begins anew.
func TestResumeRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Auth: &NoneAuth{}, Policy: lossless})
	var mine session.State
	if _, _, _, err := rawDial(t, server, clientAddr(1), 4100, &mine, 5); err != nil {
		t.Fatal(err)
	}
	server.want(t, "opened")

	fresh := uint64(1000)
	for what, change := range map[string]func(s *session.State) (id uint64){
		"another identity":   func(s *session.State) uint64 { return 4101 },
		"wrong cookie":       func(s *session.State) uint64 { s.ClientCookie++; return 4100 },
		"other server":       func(s *session.State) uint64 { s.ServerCookie++; return 4100 },
		"unsent messages":    func(s *session.State) uint64 { s.InSeq = 99; return 4100 },
		"another's identity": func(s *session.State) uint64 { return 1 },
	} {
		s := mine
		id := change(&s)
		fresh++
		_, h, outcome, err := rawDial(t, server, clientAddr(1), id, &s, fresh)
		if err != nil || outcome != session.Opened || !h.WasReset {
			t.Errorf("%s: outcome %v, reset %v, %v", what, outcome, h.WasReset, err)
		}
		server.want(t, "opened")
	}
	again := mine
	if _, _, outcome, err := rawDial(t, server, clientAddr(1), 4100, &again, 5); err != nil || outcome != session.Resumed {
		t.Errorf("the owner: outcome %v, %v", outcome, err)
	}
}

// A lossless session whose peer stays away ends.
func TestPeerStaysAway(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{Auth: &NoneAuth{}, Policy: lossless, IdleAfter: 50 * time.Millisecond})
	nc, _, _, err := rawDial(t, server, clientAddr(1), 4100, new(session.State), 5)
	if err != nil {
		t.Fatal(err)
	}
	s := server.want(t, "opened").c
	s.Send(&Message{Type: 1})
	nc.Close()
	if e := server.want(t, "closed"); !errors.Is(e.err, ErrIdle) {
		t.Errorf("closed %v", e.err)
	}
	if n := server.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{IdleAfter: 200 * time.Millisecond})
	client := newClient(t, Config{IdleAfter: -1})
	quiet := client.dial(t, server)
	s := server.want(t, "opened").c
	alive := client.dial(t, server)
	server.want(t, "opened")
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case <-tick.C:
				alive.SendKeepalive()
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	if e := server.want(t, "closed"); e.c != s || !errors.Is(e.err, ErrIdle) {
		t.Errorf("closed %v", e.err)
	}
	if e := client.want(t, "closed"); e.c != quiet {
		t.Error("the session with traffic was closed")
	}
}

func TestKeepalive(t *testing.T) {
	t.Parallel()
	server := newServer(t, Config{})
	client := newClient(t, Config{})
	c := client.dial(t, server)
	if !c.LastKeepaliveAck().IsZero() {
		t.Error("an answer before the question")
	}
	before := time.Now()
	c.SendKeepalive()
	eventually(t, "answered", func() bool { return !c.LastKeepaliveAck().IsZero() })
	if at := c.LastKeepaliveAck(); at.Before(before.Truncate(time.Microsecond)) || at.After(time.Now()) {
		t.Errorf("answered the keepalive of %v, sent after %v", at, before)
	}
}
