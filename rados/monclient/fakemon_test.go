package monclient

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
)

// fakeMon is a monitor that lets clients in, remembers what they say and
// answers what it is told to.
type fakeMon struct {
	t     *testing.T
	net   *msgr.Messenger
	addr  entity.Addr
	fsid  msg.FSID
	keys  *cephx.KeyServer
	admin cephx.Key
	osd   cephx.Key
	mute  atomic.Bool // no answers

	mu    sync.Mutex
	conns []*msgr.Conn
	said  chan heard
	auths int
}

// heard is something a client said.
type heard struct {
	conn *msgr.Conn
	tid  uint64
	body msg.Body
}

func newKey(t *testing.T) cephx.Key {
	k, err := cephx.NewKey(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func startMon(t *testing.T, ttl cephx.TTLs) *fakeMon {
	t.Helper()
	m := &fakeMon{t: t, fsid: msg.FSID{1, 2, 3}, admin: newKey(t), osd: newKey(t), said: make(chan heard, 1000)}
	m.keys = cephx.NewKeyServer(ttl, nil)
	rotating, _, err := cephx.Rotating(nil).Rotate(time.Now(), ttl, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m.keys.Replace(cephx.Keyring{
		{Type: entity.Client, ID: "admin"}: {Key: m.admin, Caps: map[string]string{"mon": "allow *", "osd": "allow *"}},
		{Type: entity.OSD, ID: "0"}:        {Key: m.osd, Caps: map[string]string{"mon": "allow profile osd", "osd": "allow *"}},
	}, rotating)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = entity.Addr{Type: entity.AddrMsgr2, AP: netip.MustParseAddrPort(l.Addr().String())}
	var ids atomic.Uint64
	ids.Store(4000)
	acceptor := &cephx.MonAcceptor{Keys: m.keys, NewGlobalID: func() (uint64, error) { return ids.Add(1), nil }}
	m.net, err = msgr.New(msgr.Config{
		Name: entity.Name{Type: entity.Mon}, Addrs: entity.AddrVec{m.addr}, Auth: accepts{acceptor}, Handler: m,
		Policy: func(entity.Type) msgr.Policy { return msgr.Policy{Lossy: true} },
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { _ = m.net.Serve(l); close(served) }()
	t.Cleanup(func() { m.net.Close(); l.Close(); <-served })
	return m
}

type accepts struct{ a *cephx.MonAcceptor }

func (a accepts) Accept(entity.Type, entity.Addr) msgr.ServerAuth { return serverSide{a.a.Accept()} }
func (a accepts) Connect(context.Context, entity.Type) (msgr.ClientAuth, error) {
	return nil, errors.New("a monitor that dials nobody")
}

type serverSide struct{ h cephx.ServerHandshake }

func (s serverSide) Request(method uint32, modes []msgr.Mode, payload []byte) ([]byte, *msgr.AuthDone, error) {
	var m []uint32
	for _, x := range modes {
		m = append(m, uint32(x))
	}
	return s.result(s.h.Request(method, m, payload))
}

func (s serverSide) More(payload []byte) ([]byte, *msgr.AuthDone, error) {
	return s.result(s.h.More(payload))
}

func (s serverSide) result(reply []byte, d *cephx.Done, err error) ([]byte, *msgr.AuthDone, error) {
	var no *cephx.Refusal
	if errors.As(err, &no) {
		return nil, nil, &msgr.BadMethod{Method: no.Method, Result: -int32(no.Errno), Methods: no.Methods, Modes: []msgr.Mode{msgr.ModeSecure, msgr.ModeCRC}}
	}
	if err != nil || d == nil {
		return reply, nil, err
	}
	return reply, &msgr.AuthDone{GlobalID: d.GlobalID, Mode: msgr.Mode(d.Mode), SessionKey: d.SessionKey, ConnSecret: d.ConnSecret, Identity: d.Identity}, nil
}

func (m *fakeMon) monMap() []byte {
	mm := monmap.New(m.fsid, time.Unix(1_700_000_000, 0))
	mm.Epoch = 1
	if err := mm.Add(&monmap.Mon{Name: "a", Addrs: entity.AddrVec{m.addr}}); err != nil {
		m.t.Error(err)
	}
	return mm.Encode()
}

func (m *fakeMon) Opened(c *msgr.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = append(m.conns, c)
}
func (m *fakeMon) Closed(*msgr.Conn, error) {}
func (m *fakeMon) RemoteReset(c *msgr.Conn) { c.Close() }

func (m *fakeMon) Receive(c *msgr.Conn, x *msgr.Message) {
	defer x.Release()
	body, err := msg.Decode(x.Type, x.Version, x.Compat, append([]byte(nil), x.Front...), buffer.ListOf(x.Data.Bytes()))
	if err != nil {
		m.t.Error(err)
		return
	}
	if m.mute.Load() {
		return
	}
	switch b := body.(type) {
	case *msg.MonGetMap:
		_ = c.SendBody(&msg.MonMap{Map: m.monMap()}, x.TID)
	case *msg.MonSubscribe:
		if _, ok := b.What["config"]; ok {
			_ = c.SendBody(&msg.Config{Options: map[string]string{"rados_option": "1"}}, 0)
		}
	case *msg.Auth:
		id, _ := c.Identity().(*cephx.Identity)
		out, err := m.keys.MAuth(cephx.Env{}, id, b.Request)
		if err != nil {
			m.t.Error(err)
		}
		m.mu.Lock()
		m.auths++
		m.mu.Unlock()
		_ = c.SendBody(&msg.AuthReply{Protocol: b.Protocol, GlobalID: id.GlobalID, Reply: out}, 0)
	}
	select {
	case m.said <- heard{c, x.TID, body}:
	default:
		m.t.Error("the client says more than it should")
	}
}

// hang up on everybody.
func (m *fakeMon) hangUp() {
	m.mu.Lock()
	conns := m.conns
	m.conns = nil
	m.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// next waits until a client says a body of a type.
func next[T msg.Body](t *testing.T, m *fakeMon) (T, heard) {
	t.Helper()
	for timeout := time.After(2 * time.Minute); ; {
		select {
		case h := <-m.said:
			if b, ok := h.body.(T); ok {
				return b, h
			}
		case <-timeout:
			var want T
			t.Fatalf("nobody says %T", want)
		}
	}
}

// start makes a client with a messenger of its own, not yet started.
func newClient(t *testing.T, cfg Config) (*Client, *msgr.Messenger) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n, err := msgr.New(msgr.Config{
		Name: entity.Name{Type: cfg.Name.Type, Num: -1}, Auth: dials{c}, Handler: c,
		Policy: func(entity.Type) msgr.Policy { return msgr.Policy{Lossy: true} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); n.Close() })
	return c, n
}

type dials struct{ *Client }

func (d dials) Accept(entity.Type, entity.Addr) msgr.ServerAuth { return nil }
