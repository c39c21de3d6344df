package pg

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

func addrPort(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

func opNotify(cookie uint64, timeout uint32, content string) msg.Op {
	o := opIn(msg.OpNotify, encoded(func(e *wire.Encoder) {
		e.U32(1)
		e.U32(timeout)
		e.Str(content)
	}))
	o.PutU64(0, cookie)
	return o
}

func opAck(id, cookie uint64, answer string) msg.Op {
	return opIn(msg.OpNotifyAck, encoded(func(e *wire.Encoder) {
		e.U64(id)
		e.U64(cookie)
		e.Str(answer)
	}))
}

// notifies sends a notification and returns its id.
func (c *client) notifies(name string, timeout uint32, content string) uint64 {
	c.w.t.Helper()
	r := c.do(name, opNotify(99, timeout, content))
	wantResult(c.w.t, r, 0)
	return wire.NewDecoder(r.Ops[0].Out.Bytes()).U64()
}

// gets checks that the client was sent a notification on a watch.
func (c *client) gets(id, cookie uint64, content string) {
	c.w.t.Helper()
	m := c.hears(msg.NotifyNotify)[0]
	if m.NotifyID != id || m.Cookie != cookie || string(m.Content) != content {
		c.w.t.Fatalf("%v got %+v, want %d %q for %d", c.s.Name, m, id, content, cookie)
	}
}

// learns checks what the client is told of its notification.
func (c *client) learns(id uint64, result int32, outcome string) {
	c.w.t.Helper()
	m := c.hears(msg.NotifyComplete)[0]
	d := wire.NewDecoder(m.Data.Bytes())
	got := ""
	wire.DecodeSlice(d, 20, func() (none struct{}) { got += fmt.Sprintf("%d/%d %q ", d.U64(), d.U64(), d.Blob()); return })
	got += "missed"
	wire.DecodeSlice(d, 16, func() (none struct{}) { got += fmt.Sprintf(" %d/%d", d.U64(), d.U64()); return })
	if d.Err() != nil || d.Left() > 0 {
		c.w.t.Fatalf("outcome: %v, %d bytes left", d.Err(), d.Left())
	}
	if m.NotifyID != id || m.Result != result || m.Cookie != 99 || m.Notifier != uint64(c.s.Name.Num) || got != outcome {
		c.w.t.Fatalf("%v learned %+v: %s, want %d: %d %s", c.s.Name, m, got, id, result, outcome)
	}
}

func TestNotifyWithoutWatchers(t *testing.T) {
	w := newWorld(t)
	n := w.client(3, 3)
	n.want(enoent, "o", opNotify(99, 0, "x"))
	n.hears()
	w.do("o", opWriteFull("x"))
	w.sends = nil
	id := n.notifies("o", 0, "hi")
	if _, ok := w.sends[0].Body.(*msg.OSDOpReply); !ok {
		t.Errorf("first came %T, not the answer", w.sends[0].Body)
	}
	n.learns(id, 0, "missed")
}

func TestNotifyReachesAll(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(1, 1), w.client(2, 2)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "o", watches(8))
	id := a.notifies("o", 0, "hi") // to itself too
	a.gets(id, 7, "hi")
	b.gets(id, 8, "hi")
	b.want(0, "o", opAck(id, 7, "not mine"))
	b.want(0, "o", opAck(id+1, 8, "not that"))
	b.want(0, "o", opAck(id, 8, "B"))
	b.want(0, "o", opAck(id, 8, "twice"))
	a.hears()
	a.want(0, "o", opAck(id, 7, ""))
	a.learns(id, 0, `1/7 "" 2/8 "B" missed`)
	a.want(0, "o", opAck(id, 7, "too late"))
	a.hears()
	if next := a.notifies("o", 0, ""); next == id {
		t.Errorf("two notifications with id %d", id)
	}
}

func TestNotifyTimesOut(t *testing.T) {
	w := newWorld(t)
	a, b, n := w.client(1, 1), w.client(2, 2), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "o", watches(8))
	id := n.notifies("o", 5, "hi")
	a.want(0, "o", opAck(id, 7, "A"))
	w.pass(4 * time.Second)
	n.hears()
	w.pass(2 * time.Second)
	n.learns(id, etimedout, `1/7 "A" missed 2/8`)
	b.want(0, "o", opAck(id, 8, "too late"))
	n.hears()
	w.wantWatchers("o", 7, 8) // nobody is removed for it
	// Without a timeout it is the OSD's.
	id = n.notifies("o", 0, "hi")
	for range 2 {
		w.pass(14 * time.Second)
		a.want(0, "o", pings(7))
		b.want(0, "o", pings(8))
	}
	n.hears()
	w.pass(3 * time.Second)
	n.learns(id, etimedout, `missed 1/7 2/8`)
}

// Who does not watch any more is not waited for, nor said to have missed it.
func TestNotifyEndsWithItsWatchers(t *testing.T) {
	w := newWorld(t)
	a, b, n := w.client(1, 1), w.client(2, 2), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "o", opWatch(msg.WatchWatch, 8, 10))
	id := n.notifies("o", 100, "hi")
	a.want(0, "o", unwatches(7))
	n.hears()
	w.pass(11 * time.Second)
	n.learns(id, 0, `missed`)
	a.want(0, "o", watches(7))
	id = n.notifies("o", 100, "hi")
	wantResult(t, w.do("o", msg.Op{Code: msg.OpDelete}), 0)
	n.learns(id, 0, `missed`)
}

func TestNotifyWaitsForWhoIsAway(t *testing.T) {
	w := newWorld(t)
	a, n := w.client(1, 1), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	a.closes()
	id := n.notifies("o", 20, "hi")
	n.hears()
	a = a.again()
	a.want(0, "o", reconnects(7))
	a.gets(id, 7, "hi")
	a.want(0, "o", opAck(id, 7, "A"))
	n.learns(id, 0, `1/7 "A" missed`)
}

func TestNotifyOutlivesItsSenderForWhoIsAway(t *testing.T) {
	w := newWorld(t)
	a, b, n := w.client(1, 1), w.client(2, 2), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	b.want(0, "o", watches(8))
	b.closes()
	id := n.notifies("o", 20, "hi")
	n.closes()
	n.hears()
	b = b.again()
	b.want(0, "o", reconnects(8))
	b.gets(id, 8, "hi")
	a.want(0, "o", opAck(id, 7, ""))
	b.want(0, "o", opAck(id, 8, ""))
	n.hears()
	// All have been reached: nothing is kept.
	n.notifies("o", 1<<30, "hi")
	n.closes()
	if got := len(w.pg.objects.byID[w.request("o", 0, 0).Op.Object().Head()].notifies); got > 0 {
		t.Errorf("%d notifications of nobody are kept", got)
	}
}

// Who is due to be removed is not waited for.
func TestNotifyDoesNotWaitForTheSilent(t *testing.T) {
	w := newWorld(t)
	a, n := w.client(1, 1), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	w.now = w.now.Add(31 * time.Second) // the tick is late
	id := n.notifies("o", 0, "hi")
	a.hears()
	n.learns(id, 0, "missed")
	w.pass(0)
	w.wantWatchers("o")
}

// Nobody hears of what a crash can take back.
func TestNotifyWaitsForWrites(t *testing.T) {
	w := newWorld(t)
	a, n := w.client(1, 1), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	w.manual = true
	n.do("o", opWriteFull("new"))
	n.do("o", opNotify(99, 0, "look"))
	a.hears()
	w.commit(1)
	m := a.hears(msg.NotifyNotify)[0]
	if v := w.replies[w.tid-1].UserVersion; m.Version != v {
		t.Errorf("notified of version %d, it is %d", m.Version, v)
	}
	// An acknowledgement, its outcome and a removal wait as well.
	n.do("o", opWriteFull("newer"))
	a.do("o", opAck(m.NotifyID, 7, ""))
	n.hears()
	w.commit(1)
	n.learns(m.NotifyID, 0, `1/7 "" missed`)
	w.pass(31 * time.Second)
	a.hears()
	w.commit(1)
	a.hears(msg.NotifyDisconnect)
}

// A watch counts from the moment that its transaction is on its way, but what it
// brings waits until that is durable.
func TestWatchIsHeldUntilDurable(t *testing.T) {
	w := newWorld(t)
	a, n := w.client(1, 1), w.client(3, 3)
	w.do("o", opWriteFull("x"))
	w.manual = true
	a.do("o", watches(7))
	n.do("o", opNotify(99, 0, "look"))
	a.do("o", pings(7))
	a.hears()
	w.commit(1)
	a.hears(msg.NotifyNotify)
	wantResult(t, w.replies[w.tid], 0) // of the ping
}

func TestNotifyOfOldClients(t *testing.T) {
	w := newWorld(t)
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	a.want(0, "o", watches(8))
	// What does not decode is a notification without content.
	bad := msg.Op{Code: msg.OpNotify, In: buffer.Wrap([]byte("abc"))}
	bad.PutU64(0, 99)
	r := a.do("o", bad)
	wantResult(t, r, 0)
	id := wire.NewDecoder(r.Ops[0].Out.Bytes()).U64()
	if m := a.hears(msg.NotifyNotify, msg.NotifyNotify); len(m[0].Content) != 0 {
		t.Errorf("got %q", m[0].Content)
	}
	ack := msg.Op{Code: msg.OpNotifyAck}
	ack.PutU64(0, id)
	a.want(0, "o", ack) // on all watches
	a.learns(id, 0, `1/7 "" 1/8 "" missed`)
}

func TestNotifyHasALimit(t *testing.T) {
	w := newWorld(t)
	w.env.Config.MaxWriteSize = 100
	a := w.client(1, 1)
	w.do("o", opWriteFull("x"))
	a.want(0, "o", watches(7))
	long := string(make([]byte, 101))
	a.want(-int32(errno.EMSGSIZE), "o", opNotify(99, 0, long))
	a.hears()
	id := a.notifies("o", 0, "hi")
	a.want(-int32(errno.EMSGSIZE), "o", opAck(id, 7, long))
	a.gets(id, 7, "hi")
}

// Whatever clients send, the group stays sound and lets go of it in the end.
func FuzzNotify(f *testing.F) {
	content := opNotify(99, 5, "hi").In.Bytes()
	ack := opAck(1, 7, "yes").In.Bytes()
	f.Add(content, ack, []byte{7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, msg.WatchWatch})
	f.Add([]byte{}, []byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, content, ack, args []byte) {
		w := newWorld(t)
		a := w.client(1, 1)
		w.do("o", opWriteFull("x"))
		a.want(0, "o", watches(7))
		watch, notify, answer := msg.Op{Code: msg.OpWatch}, opIn(msg.OpNotify, string(content)), opIn(msg.OpNotifyAck, string(ack))
		for _, op := range []*msg.Op{&watch, &notify, &answer} {
			copy(op.Args[:], args)
		}
		for _, op := range []msg.Op{watch, notify, answer} {
			a.do("o", op)
		}
		a.closes()
		w.restart(true)
		w.pass(200 * 365 * 24 * time.Hour) // longer than any timeout
		w.wantWatchers("o")
	})
}
