package objecter

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// trusting lets everybody in.
type trusting struct{}

func (trusting) Accept(entity.Type, entity.Addr) msgr.ServerAuth { return trusting{} }
func (trusting) Connect(context.Context, entity.Type) (msgr.ClientAuth, error) {
	return trustingClient{}, nil
}
func (trusting) Request(uint32, []msgr.Mode, []byte) ([]byte, *msgr.AuthDone, error) {
	return nil, &msgr.AuthDone{GlobalID: 1, Mode: msgr.ModeCRC}, nil
}
func (trusting) More([]byte) ([]byte, *msgr.AuthDone, error) { return nil, nil, errors.New("no") }

type trustingClient struct{}

func (trustingClient) Request([]msgr.Mode) (uint32, []byte, error) {
	return msgr.MethodNone, []byte{1}, nil
}
func (trustingClient) More([]byte) ([]byte, error) { return nil, errors.New("no") }
func (trustingClient) Done(id uint64, mode msgr.Mode, _ []byte) (*msgr.AuthDone, error) {
	return &msgr.AuthDone{GlobalID: id, Mode: mode}, nil
}
func (trustingClient) BadMethod(*msgr.BadMethod) bool { return false }

// fakeOSD answers writes with success and reads with the object's name, or
// keeps silent.
type fakeOSD struct {
	t      testing.TB
	net    *msgr.Messenger
	addr   entity.Addr
	silent atomic.Bool
	deaf   bool // keeps no record of what it heard

	mu    sync.Mutex
	conns []*msgr.Conn
	heard chan *msg.OSDOp
}

func startOSD(t testing.TB) *fakeOSD {
	o := &fakeOSD{t: t, heard: make(chan *msg.OSDOp, 1000)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = entity.Addr{Type: entity.AddrMsgr2, Nonce: 5, AP: netip.MustParseAddrPort(l.Addr().String())}
	o.net, err = msgr.New(msgr.Config{
		Name: entity.Name{Type: entity.OSD}, Addrs: entity.AddrVec{o.addr}, Auth: trusting{}, Handler: o,
		Policy: func(entity.Type) msgr.Policy { return msgr.Policy{Lossy: true} },
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { _ = o.net.Serve(l); close(served) }()
	t.Cleanup(func() { o.net.Close(); l.Close(); <-served })
	return o
}

func (o *fakeOSD) Opened(c *msgr.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conns = append(o.conns, c)
}
func (o *fakeOSD) Closed(*msgr.Conn, error) {}
func (o *fakeOSD) RemoteReset(c *msgr.Conn) { c.Close() }
func (o *fakeOSD) Receive(c *msgr.Conn, m *msgr.Message) {
	defer m.Release()
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	op, ok := body.(*msg.OSDOp)
	if err != nil || !ok {
		o.t.Errorf("%T, %v", body, err)
		return
	}
	if !o.deaf {
		o.heard <- &msg.OSDOp{OID: op.OID, Retry: op.Retry, Epoch: op.Epoch, PG: op.PG, Ops: []msg.Op{{Code: op.Ops[0].Code, Args: op.Ops[0].Args}}}
	}
	if o.silent.Load() {
		return
	}
	rep := &msg.OSDOpReply{OID: op.OID, PG: op.PG.PG, Retry: op.Retry, Ops: make([]msg.Op, len(op.Ops))}
	for i := range rep.Ops {
		rep.Ops[i].Code = op.Ops[i].Code
		if op.Ops[i].Code == msg.OpRead {
			rep.Ops[i].Out = buffer.ListOf([]byte(op.OID))
		}
	}
	_ = c.SendBody(rep, m.TID)
}

// say sends a message of its own over the newest connection.
func (o *fakeOSD) say(b msg.Body) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.conns[len(o.conns)-1].SendBody(b, 0)
}

func (o *fakeOSD) hangUp() {
	o.mu.Lock()
	conns := o.conns
	o.conns = nil
	o.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// mapWith is a map of one OSD and of pool 1.
func mapWith(t testing.TB, o *fakeOSD) *osdmap.Map {
	m := osdmap.New()
	m.FSID = msg.FSID{7}
	m.Epoch = 3
	m.MaxOSD = 1
	m.State = []osdmap.State{osdmap.StateExists | osdmap.StateUp}
	m.Weight = []uint32{osdmap.WeightIn}
	m.Info = make([]osdmap.Info, 1)
	m.XInfo = make([]osdmap.XInfo, 1)
	m.UUID = make([]entity.UUID, 1)
	m.ClientAddrs = []entity.AddrVec{{o.addr}}
	m.ClusterAddrs, m.HBBackAddrs, m.HBFrontAddrs = make([]entity.AddrVec, 1), make([]entity.AddrVec, 1), make([]entity.AddrVec, 1)
	p := osdmap.NewPool(osdmap.Replicated)
	p.PGNum, p.PGPNum, p.Size, p.MinSize = 8, 8, 1, 1
	m.Pools[1], m.PoolNames[1] = p, "p"
	// With no CRUSH rule, pg_temp says who serves.
	for s := range uint32(8) {
		m.PGTemp[object.PG{Pool: 1, Seed: s}] = []int32{0}
	}
	m.Crush = crush.New()
	return m
}

// fakeMons hands out one map.
type fakeMons struct {
	m    *osdmap.Map
	subs chan uint64
}

func (f *fakeMons) Subscribe(_ string, start uint64, _ bool) {
	select {
	case f.subs <- start:
	default:
	}
}
func (f *fakeMons) Got(string, uint64) {}
func (f *fakeMons) Version(context.Context, string) (uint64, uint64, error) {
	return uint64(f.m.Epoch), 1, nil
}

func startObjecter(t testing.TB, osd *fakeOSD, cfg Config) *Objecter {
	mons := &fakeMons{m: mapWith(t, osd), subs: make(chan uint64, 100)}
	h := &deferred{}
	n, err := msgr.New(msgr.Config{
		Name: entity.Name{Type: entity.Client, Num: -1}, Auth: trusting{}, Handler: h,
		Policy: func(entity.Type) msgr.Policy { return msgr.Policy{Lossy: true} },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Monitors, cfg.Dialer = mons, n
	o := New(cfg)
	h.Objecter = o
	t.Cleanup(func() { o.Close(); n.Close() })
	full := mons.m.Encode()
	o.TakeMaps(&msg.OSDMap{FSID: mons.m.FSID, Full: map[uint32][]byte{3: full}})
	if o.Map() == nil || o.Map().Epoch != 3 {
		t.Fatal("the map is not taken")
	}
	return o
}

// deferred is a handler that is known only after its messenger.
type deferred struct{ *Objecter }

func TestShell(t *testing.T) {
	t.Parallel()
	osd := startOSD(t)
	o := startObjecter(t, osd, Config{})
	ctx := t.Context()
	var work sync.WaitGroup
	for range 200 {
		work.Go(func() {
			c, err := o.Do(ctx, read("name"))
			if err != nil || string(c.Reply.Ops[0].Out.Bytes()) != "name" {
				t.Error(err)
			}
			c.Data.Release()
		})
	}
	work.Wait()
	if s := o.Stats(); s.InFlight != 0 || s.Sent != 200 || s.Sessions != 1 {
		t.Fatalf("%+v", s)
	}

	// A reset while an operation waits for its answer.
	osd.silent.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := o.Do(ctx, write("again"))
		done <- err
	}()
	await(t, osd, func(m *msg.OSDOp) bool { return m.OID == "again" && m.Retry == 0 })
	osd.silent.Store(false)
	osd.hangUp()
	await(t, osd, func(m *msg.OSDOp) bool { return m.OID == "again" && m.Retry == 1 })
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	// A caller who gives up.
	osd.silent.Store(true)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := o.Do(short, write("never")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if s := o.Stats(); s.InFlight != 0 {
		t.Fatalf("%+v", s)
	}
	if _, err := o.Do(ctx, func() *Op { op := write("x"); op.Locator.Pool = 99; return op }()); err == nil {
		t.Fatal("a pool that is not there")
	}

	go func() {
		_, err := o.Do(ctx, write("waits"))
		done <- err
	}()
	await(t, osd, func(m *msg.OSDOp) bool { return m.OID == "waits" })
	o.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := o.Do(ctx, write("late")); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestShellLinger(t *testing.T) {
	t.Parallel()
	osd := startOSD(t)
	o := startObjecter(t, osd, Config{})
	notices := make(chan Notice, 10)
	w := &Linger{Object: "o", Locator: object.Locator{Pool: 1, Hash: -1}, Notice: func(n Notice) { notices <- n }}
	expect := func(kind NoticeKind, err error) Notice {
		t.Helper()
		n := <-notices
		if n.Linger != w || n.Kind != kind || !errors.Is(n.Err, err) {
			t.Fatalf("%s: %v; want kind %d, %v", noticeWords(n), n.Err, kind, err)
		}
		return n
	}
	watched := func(op uint8, generation uint32) func(*msg.OSDOp) bool {
		return func(m *msg.OSDOp) bool {
			cookie, what, gen, _ := m.Ops[0].Watch()
			return m.OID == "o" && m.Ops[0].Code == msg.OpWatch && cookie == w.Cookie() && what == op && gen == generation
		}
	}
	began := time.Now()
	o.Begin(w)
	await(t, osd, watched(msg.WatchWatch, 0))
	expect(Registered, nil)
	first := o.ValidUntil(w)
	if first.Before(began) || first.After(time.Now()) {
		t.Fatalf("valid until %v", first)
	}
	hello := &msg.WatchNotify{What: msg.NotifyNotify, Cookie: w.Cookie(), NotifyID: 7, Content: []byte("hello"), Notifier: 42}
	osd.say(hello)
	if n := expect(Notified, nil); string(n.Msg.Content) != "hello" || n.Msg.NotifyID != 7 || n.Msg.Notifier != 42 {
		t.Fatalf("%+v", n.Msg)
	}
	osd.hangUp()
	await(t, osd, watched(msg.WatchReconnect, 1))
	for o.ValidUntil(w).Equal(first) { // until the answer is here
		time.Sleep(time.Millisecond)
	}
	osd.say(hello)
	expect(Notified, nil)
	osd.say(&msg.WatchNotify{What: msg.NotifyDisconnect, Cookie: w.Cookie()})
	expect(Lost, errno.ENOTCONN)
	osd.say(hello)
	if _, err := o.Do(t.Context(), read("o")); err != nil { // behind what was said
		t.Fatal(err)
	}
	if len(notices) > 0 {
		t.Fatal(noticeWords(<-notices))
	}
}

func await(t *testing.T, osd *fakeOSD, is func(*msg.OSDOp) bool) {
	t.Helper()
	for timeout := time.After(2 * time.Minute); ; {
		select {
		case m := <-osd.heard:
			if is(m) {
				return
			}
		case <-timeout:
			t.Fatal("the OSD does not hear of it")
		}
	}
}

func TestWaitMap(t *testing.T) {
	t.Parallel()
	osd := startOSD(t)
	o := startObjecter(t, osd, Config{})
	if m, err := o.WaitLatestMap(t.Context()); err != nil || m.Epoch != 3 {
		t.Fatal(m, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := o.WaitMap(ctx, 4); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := o.WaitMap(t.Context(), 4)
		got <- err
	}()
	for s := o.cfg.Monitors.(*fakeMons).subs; <-s != 4; { // the wish is told
	}
	inc := osdmap.NewIncremental(o.Map().FSID, 4)
	next, err := o.Map().Apply(inc)
	if err != nil {
		t.Fatal(err)
	}
	o.TakeMaps(&msg.OSDMap{FSID: msg.FSID{8}, Incrementals: map[uint32][]byte{4: inc.Encode(0)}}) // not ours
	o.TakeMaps(&msg.OSDMap{FSID: inc.FSID, Incrementals: map[uint32][]byte{4: inc.Encode(osdmap.FullCRC(next.Encode()))}})
	if err := <-got; err != nil || o.Map().Epoch != 4 {
		t.Fatal(err)
	}
}
