package objecter

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// lingerWords is what an operation says about an interest; nothing if it is
// another one.
func lingerWords(op *msg.Op) string {
	switch op.Code {
	case msg.OpNotify:
		return fmt.Sprintf(" notify %d", op.U64(0))
	case msg.OpWatch:
		cookie, what, gen, _ := op.Watch()
		name := map[uint8]string{msg.WatchWatch: "watch", msg.WatchReconnect: "reconnect", msg.WatchPing: "ping"}[what]
		return fmt.Sprintf(" %s %d generation %d", name, cookie, gen)
	}
	return ""
}

func noticeWords(n Notice) string {
	s := fmt.Sprintf("%d %s", n.Linger.Cookie(), []string{"registered", "lost", "notified", "completed"}[n.Kind])
	if n.Err != nil {
		return s + ": " + n.Err.Error()
	}
	return s
}

// watchIn is a watch of an object that hashes to a placement group of two.
func watchIn(seed uint32) *Linger {
	return &Linger{Object: inPG(seed).Object, Locator: object.Locator{Pool: 1, Hash: -1}}
}

func (k *talk) result(osd int32, op *Op, result int32, out []byte) Reply {
	r := k.reply(osd, op, 0)
	r.Msg.Result = result
	r.Msg.Ops = []msg.Op{{Out: buffer.ListOf(out)}}
	return r
}

func (k *talk) notify(osd int32, l *Linger, what uint8, id uint64) Notify {
	return Notify{Session: k.sessions[osd], Msg: &msg.WatchNotify{What: what, Cookie: l.Cookie(), NotifyID: id}}
}

// tick lets the core have its next wish.
func (k *talk) tick(why string, want ...string) {
	k.t.Helper()
	k.now = k.c.Wake()
	k.expect(why, Tick{}, want...)
}

func registered(t *testing.T) (*talk, *Linger, string) {
	k := newTalk(t)
	w := watchIn(0)
	in := "osd.0: #%d " + w.Object + " in 1.0 e%d"
	k.expect("", Begin{w}, "open osd.0")
	k.expect("", k.opened(0), fmt.Sprintf(in, 1, 10)+" watch 1 generation 0")
	k.expect("", k.result(0, w.op, 0, nil), "1 registered")
	return k, w, in
}

func TestWatchIsPinged(t *testing.T) {
	t.Parallel()
	k, w, in := registered(t)
	since := k.now
	if !w.valid.Equal(since) {
		t.Fatal(w.valid)
	}
	k.tick("alive?", fmt.Sprintf(in, 2, 10)+" ping 1 generation 0")
	sent := k.now
	k.tick("no second question while one is open")
	if !w.valid.Equal(since) {
		t.Fatal(w.valid)
	}
	k.expect("", k.result(0, w.ping, 0, nil))
	if !w.valid.Equal(sent) {
		t.Fatalf("valid until %v, asked at %v", w.valid, sent)
	}
	k.tick("", fmt.Sprintf(in, 3, 10)+" ping 1 generation 0")
	k.expect("the OSD does not know it any more", k.result(0, w.ping, -int32(errno.ENOTCONN), nil),
		"want map 11 continuous false", "1 lost: Transport endpoint is not connected")
	k.expect("and that was it", k.notify(0, w, msg.NotifyNotify, 1))
}

func TestPingsKeepUpWithTimeouts(t *testing.T) {
	t.Parallel()
	k, w, _ := registered(t)
	short := watchIn(0)
	short.Timeout = 2 * time.Second
	in := "osd.0: #%d " + short.Object + " in 1.0 e10 "
	k.expect("", Begin{short}, fmt.Sprintf(in, 2)+"watch 2 generation 0")
	k.expect("", k.result(0, short.op, 0, nil), "2 registered")
	began, pings := k.now, map[*Linger]int{}
	for k.now.Sub(began) < time.Minute {
		if pause := k.c.Wake().Sub(k.now); pause <= 0 || pause > short.Timeout/4 {
			t.Fatalf("next tick in %v", pause)
		}
		k.now = k.c.Wake()
		k.c.Step(k.now, Tick{})
		k.c.Ready()
		for _, l := range []*Linger{w, short} {
			if l.ping != nil {
				pings[l]++
				k.expect("", k.result(0, l.ping, 0, nil))
			}
		}
	}
	if pings[short] < 115 || pings[w] > 25 || pings[w] < 12 {
		t.Fatalf("%d and %d pings in a minute", pings[short], pings[w])
	}
}

func TestWatchRefused(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	w := watchIn(0)
	k.expect("", Begin{w}, "open osd.0")
	k.expect("", k.opened(0), "osd.0: #1 "+w.Object+" in 1.0 e10 watch 1 generation 0")
	k.expect("", k.result(0, w.op, -int32(errno.ENOENT), nil), "1 registered: No such file or directory")
}

func TestWatchFollowsItsSession(t *testing.T) {
	t.Parallel()
	k, w, in := registered(t)
	a := write(w.Object)
	k.expect("", Submit{a}, fmt.Sprintf(in, 2, 10))
	k.tick("", fmt.Sprintf(in, 3, 10)+" ping 1 generation 0")
	k.expect("the session is wanted for the watch as well", k.lost(0), "open osd.0", "want map 11 continuous false")
	k.expect("the write is a retry, the watch a new request; the ping is moot", k.opened(0),
		fmt.Sprintf(in, 2, 10)+" retry 1", fmt.Sprintf(in, 4, 10)+" reconnect 1 generation 1")
	k.expect("", k.reply(0, a, 1), "#2 answered")
	k.expect("lost before the answer", k.lost(0), "open osd.0")
	k.expect("", k.opened(0), fmt.Sprintf(in, 5, 10)+" reconnect 1 generation 2")
	k.expect("nobody is told that it is back", k.result(0, w.op, 0, nil))
	k.tick("", fmt.Sprintf(in, 6, 10)+" ping 1 generation 2")
	k.expect("notified", k.notify(0, w, msg.NotifyNotify, 7), "1 notified")
	k.expect("", k.lost(0), "open osd.0")
	k.expect("", k.opened(0), fmt.Sprintf(in, 7, 10)+" reconnect 1 generation 3")
	k.expect("the object is gone", k.result(0, w.op, -int32(errno.ENOENT), nil), "1 lost: Transport endpoint is not connected")
}

func TestWatchNotRegisteredYetWatchesAgain(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	w := watchIn(0)
	k.expect("", Begin{w}, "open osd.0")
	k.expect("not sent, so the same request", k.lost(0), "open osd.0", "want map 11 continuous false")
	k.expect("", k.opened(0), "osd.0: #1 "+w.Object+" in 1.0 e10 watch 1 generation 0")
	first := w.op
	k.expect("twice in a row is a pause", k.lost(0))
	k.tick("", "open osd.0")
	k.expect("", k.opened(0), "osd.0: #2 "+w.Object+" in 1.0 e10 watch 1 generation 0")
	k.expect("of the old one", k.result(0, first, 0, nil))
	k.expect("", k.result(0, w.op, 0, nil), "1 registered")
}

func TestWatchFollowsItsPlace(t *testing.T) {
	t.Parallel()
	k, w, _ := registered(t)
	k.expect("not my interval", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1, Seed: 1}] = []int32{1} }))
	k.expect("another primary", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{1, 0} }), "open osd.1")
	k.expect("", k.opened(1), "osd.1: #2 "+w.Object+" in 1.0 e12 reconnect 1 generation 1")
	k.expect("again, before the answer", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{1} }),
		"osd.1: #3 "+w.Object+" in 1.0 e13 reconnect 1 generation 2")
	k.expect("", k.result(1, w.op, 0, nil))
	k.m = k.m.next(func(m *testMap) { m.epoch += 10 })
	k.expect("epochs are missing", NewMaps{Maps: []Map{k.m}, Gap: true}, "osd.1: #4 "+w.Object+" in 1.0 e24 reconnect 1 generation 3")
	k.expect("", k.result(1, w.op, 0, nil))
	k.expect("the OSD comes back elsewhere", k.map_(func(m *testMap) { m.up[1] = 200 }), "close osd.1", "open osd.1")
	k.expect("", k.opened(1), "osd.1: #5 "+w.Object+" in 1.0 e25 reconnect 1 generation 4")
	k.expect("", k.result(1, w.op, 0, nil))
	k.expect("nobody serves it", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = nil }), "want map 27 continuous false")
	k.expect("", k.map_(func(m *testMap) { m.acting[object.PG{Pool: 1}] = []int32{1} }), "osd.1: #6 "+w.Object+" in 1.0 e27 reconnect 1 generation 5")
	k.expect("", k.result(1, w.op, 0, nil))
	k.expect("the pool is removed", k.map_(func(m *testMap) { delete(m.pools, 1) }),
		"want map 29 continuous false", "1 lost: pool 1 does not exist: No such file or directory")
}

func TestWatchIsTakenAway(t *testing.T) {
	t.Parallel()
	k, w, _ := registered(t)
	k.expect("not about a watch", k.notify(0, w, msg.NotifyComplete, 1))
	k.expect("", k.notify(0, w, msg.NotifyDisconnect, 0),
		"want map 11 continuous false", "1 lost: osd gave the watch up: Transport endpoint is not connected")
	k.expect("nothing is left to do", k.lost(0))
}

func TestWatchIsGivenUp(t *testing.T) {
	t.Parallel()
	k, w, in := registered(t)
	k.tick("", fmt.Sprintf(in, 2, 10)+" ping 1 generation 0")
	ping := w.ping
	k.expect("", End{w})
	k.expect("", k.result(0, ping, 0, nil))
	k.expect("", k.notify(0, w, msg.NotifyNotify, 1))
	k.expect("twice", End{w})
	if s := k.c.Stats(); s.Lingers != 0 || s.InFlight != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestNotifyCompletes(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		k := newTalk(t)
		n := watchIn(0)
		n.IsNotify, n.Payload, n.Timeout = true, []byte("hey"), 5*time.Second
		k.expect("", Begin{n}, "open osd.0")
		k.expect("", k.opened(0), "osd.0: #1 "+n.Object+" in 1.0 e10 notify 1")
		if in := string(n.op.Ops[0].In.Bytes()); in != "\x01\x00\x00\x00\x05\x00\x00\x00\x03\x00\x00\x00hey" {
			t.Fatalf("%q", in)
		}
		k.expect("", k.lost(0), "open osd.0", "want map 11 continuous false")
		k.expect("notifies anew", k.opened(0), "osd.0: #2 "+n.Object+" in 1.0 e10 notify 1")
		reply := k.result(0, n.op, 0, []byte{7, 0, 0, 0, 0, 0, 0, 0})
		if early {
			k.expect("with nobody to wait for", k.notify(0, n, msg.NotifyComplete, 7), "1 completed")
			k.expect("", reply)
			continue
		}
		k.expect("", reply, "1 registered")
		k.expect("not mine", k.notify(0, n, msg.NotifyComplete, 6))
		k.expect("notifies are not pinged", Tick{})
		k.expect("", k.notify(0, n, msg.NotifyComplete, 7), "1 completed")
	}
}

func TestShutdownEndsLingers(t *testing.T) {
	t.Parallel()
	k, _, _ := registered(t)
	end := errors.New("the end")
	b := watchIn(1)
	k.expect("", Begin{b}, "open osd.1")
	k.expect("", Shutdown{end}, "close osd.0", "close osd.1", "1 lost: the end", "2 registered: the end")
	k.expect("", Begin{watchIn(0)}, "3 registered: the end")
	if s := k.c.Stats(); s.Lingers != 0 || s.InFlight != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestRequestsOfLingers(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	w := watchIn(0)
	w.Timeout = 30 * time.Second
	k.c.Step(k.now, Begin{w})
	op := w.op.Ops[0]
	op.PutU64(0, 0x7feeec018d1000)
	// A stock client's watch, but for the timeout at the end.
	if got := fmt.Sprintf("%x", op.Args); got != "00108d01ecee7f000000000000000000"+"03"+"00000000"+"1e000000"+"000000" {
		t.Errorf("watch: %s", got)
	}
	if w.op.Flags != msg.FlagWrite || !w.op.MTime.Equal(k.now) {
		t.Errorf("flags %#x at %v", w.op.Flags, w.op.MTime)
	}
}
