package monclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
)

var admin = entity.AuthName{Type: entity.Client, ID: "admin"}

func started(t *testing.T, m *fakeMon, cfg Config) *Client {
	t.Helper()
	if cfg.Name == (entity.AuthName{}) {
		cfg.Name, cfg.Key = admin, m.admin
	}
	if cfg.Mons == nil {
		cfg.Mons = []entity.AddrVec{{m.addr}}
	}
	c, n := newClient(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := c.Start(ctx, n); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStart(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	c := started(t, m, Config{Subscribe: map[string]msg.Sub{"osdmap": {Start: 7}}})
	if c.FSID() != m.fsid || c.GlobalID() == 0 || c.Options()["rados_option"] != "1" || len(c.MonMap().Ranks) != 1 {
		t.Fatalf("fsid %v, global id %d, options %v", c.FSID(), c.GlobalID(), c.Options())
	}
	b, _ := next[*msg.MonSubscribe](t, m)
	if b.What["osdmap"] != (msg.Sub{Start: 7}) || len(b.What) != 3 {
		t.Fatalf("%+v", b.What)
	}
}

func TestCommandAndVersion(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	c := started(t, m, Config{})
	done := make(chan error, 1)
	go func() {
		out, err := c.Command(t.Context(), `{"prefix":"x"}`, []byte("input"))
		if err == nil && (out.Result != -2 || out.Status != "no" || string(out.Data) != "data" || !errors.Is(out.Err(), errno.ENOENT)) {
			err = errors.New("another answer")
		}
		done <- err
	}()
	b, h := next[*msg.MonCommand](t, m)
	if b.FSID != m.fsid || b.Cmd[0] != `{"prefix":"x"}` || string(b.Data.Bytes()) != "input" {
		t.Fatalf("%+v", b)
	}
	ack := &msg.MonCommandAck{Result: -2, Status: "no"}
	ack.Data = buffer.ListOf([]byte("data"))
	_ = h.conn.SendBody(ack, h.tid)
	_ = h.conn.SendBody(ack, h.tid) // nobody waits for this one
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	go func() {
		newest, oldest, err := c.Version(t.Context(), "osdmap")
		if newest != 9 || oldest != 3 {
			err = errors.Join(err, errors.New("another version"))
		}
		done <- err
	}()
	v, h := next[*msg.MonGetVersion](t, m)
	_ = h.conn.SendBody(&msg.MonGetVersionReply{Handle: v.Handle, Version: 9, Oldest: 3}, 0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Command(ctx, "{}", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	c.Close()
	if _, err := c.Command(t.Context(), "{}", nil); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestSessionIsLost: the next session is the same client's, and begins with all
// that was asked for.
func TestSessionIsLost(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	var sessions atomic.Int32
	c := started(t, m, Config{OnSession: func() { sessions.Add(1) }})
	id := c.GlobalID()
	next[*msg.MonSubscribe](t, m)
	c.Subscribe("osdmap", 5, false)
	c.Subscribe("mgrmap", 0, true)
	c.Subscribe("fsmap", 0, true)
	for range 3 {
		next[*msg.MonSubscribe](t, m)
	}
	c.Subscribe("osdmap", 5, false) // nothing new
	c.Got("osdmap", 11)
	c.Got("mgrmap", 2)
	done := make(chan error, 1)
	go func() {
		_, err := c.Command(t.Context(), "{}", nil)
		done <- err
	}()
	_, first := next[*msg.MonCommand](t, m)
	m.hangUp()
	b, h := next[*msg.MonSubscribe](t, m)
	if b.What["osdmap"] != (msg.Sub{Start: 12}) || b.What["fsmap"] != (msg.Sub{OneTime: true}) || b.What["monmap"].Start != 2 {
		t.Fatalf("%+v", b.What)
	}
	if _, ok := b.What["mgrmap"]; ok {
		t.Fatal("what came once is asked for again")
	}
	_, second := next[*msg.MonCommand](t, m)
	if second.tid != first.tid || second.conn == first.conn {
		t.Fatalf("tid %d, then %d", first.tid, second.tid)
	}
	_ = h.conn.SendBody(&msg.MonCommandAck{}, second.tid)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := h.conn.GlobalID(); got != id || c.GlobalID() != id {
		t.Fatalf("global id was %d and is %d", id, got)
	}
	if sessions.Load() != 2 {
		t.Fatalf("%d sessions", sessions.Load())
	}
}

func TestHunt(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	// One that nobody listens at, one that accepts and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	at := func(l net.Listener) entity.AddrVec {
		return entity.AddrVec{{Type: entity.AddrMsgr2, AP: netip.MustParseAddrPort(l.Addr().String())}}
	}
	started(t, m, Config{Mons: []entity.AddrVec{at(silent), at(gone), at(gone), at(gone), {m.addr}}})
}

// TestOneLoginCounts: of two addresses of the same monitor one session comes
// out, whose tickets are the client's.
func TestOneLoginCounts(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	c := started(t, m, Config{Mons: []entity.AddrVec{{m.addr}, {m.addr}, {m.addr}}})
	_, h := next[*msg.MonSubscribe](t, m)
	if h.conn.GlobalID() != c.GlobalID() {
		t.Fatalf("session of %d, tickets of %d", h.conn.GlobalID(), c.GlobalID())
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	for _, cfg := range []Config{
		{Name: admin, Key: newKey(t)},
		{Name: entity.AuthName{Type: entity.Client, ID: "nobody"}, Key: m.admin},
	} {
		cfg.Mons = []entity.AddrVec{{m.addr}}
		c, n := newClient(t, cfg)
		if err := c.Start(t.Context(), n); !errors.Is(err, errno.EACCES) {
			t.Fatal(err)
		}
	}
	if _, err := New(Config{Name: admin, Key: m.admin}); err == nil {
		t.Fatal("a client without monitors")
	}
}

func TestNoMonitor(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	m.mute.Store(true)
	c, n := newClient(t, Config{Name: admin, Key: m.admin, Mons: []entity.AddrVec{{m.addr}}})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Start(ctx, n); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

// TestSilentMonitor: a session whose keepalives are not answered is given up.
func TestSilentMonitor(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	p := startProxy(t, m.addr)
	m.net.SetAddrs(entity.AddrVec{m.addr, p.addr})
	c := started(t, m, Config{Mons: []entity.AddrVec{{p.addr}}, Ping: 20 * time.Millisecond, Timeout: 500 * time.Millisecond})
	next[*msg.MonSubscribe](t, m)
	p.stall.Store(true)
	// The map names the monitor's own address.
	next[*msg.MonSubscribe](t, m)
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
}

// proxy forwards connections until it is told to stall.
type proxy struct {
	addr  entity.Addr
	stall atomic.Bool
}

func startProxy(t *testing.T, to entity.Addr) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: entity.Addr{Type: entity.AddrMsgr2, AP: netip.MustParseAddrPort(l.Addr().String())}}
	t.Cleanup(func() { l.Close() })
	pipe := func(dst, src net.Conn) {
		defer dst.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := src.Read(buf)
			if err != nil {
				return
			}
			if p.stall.Load() {
				continue
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to.AP.String())
			if err != nil {
				in.Close()
				continue
			}
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
	return p
}

func TestTicketsAreRenewed(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{Auth: time.Hour, Service: time.Second})
	c := started(t, m, Config{Ping: 50 * time.Millisecond})
	before, ok := c.cephx.Ticket(entity.OSD)
	if !ok {
		t.Fatal("no ticket for OSDs")
	}
	next[*msg.Auth](t, m)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		if now, ok := c.cephx.Ticket(entity.OSD); ok && now.Expires().After(before.Expires()) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the ticket stays the old one")
		}
	}
}

func TestDaemonGetsRotatingSecrets(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	c := started(t, m, Config{Name: entity.AuthName{Type: entity.OSD, ID: "0"}, Key: m.osd})
	if err := c.WaitRotating(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Rotating().Stale(time.Now(), 0) {
		t.Fatal("no rotating secrets")
	}
	// A body that expects no reply, and one that nobody here knows the answer to.
	if err := c.Send(&msg.OSDAlive{}); err != nil {
		t.Fatal(err)
	}
	next[*msg.OSDAlive](t, m)
}

func TestMessagesReachTheOwner(t *testing.T) {
	t.Parallel()
	m := startMon(t, cephx.TTLs{})
	got := make(chan uint32, 1)
	started(t, m, Config{OnMessage: func(_ *msgr.Conn, _ *msgr.Message, b msg.Body) {
		if b, ok := b.(*msg.OSDMap); ok {
			got <- b.Newest
		}
	}})
	_, h := next[*msg.MonSubscribe](t, m)
	_ = h.conn.SendBody(&msg.OSDMap{FSID: m.fsid, Newest: 42}, 0)
	if n := <-got; n != 42 {
		t.Fatal(n)
	}
}
