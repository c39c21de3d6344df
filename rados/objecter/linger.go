package objecter

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Linger is an interest in an object that outlives its request (LingerOp): a
// watch, or a notify whose outcome comes in a message of its own. Whoever begins
// it fills in the exported fields and leaves it alone until its end.
//
//	begun -> registering -> registered -> lost, or ended by its owner
//	              ^             |
//	              +-------------+  new interval, session lost
//
// An OSD knows a watch for as long as the session lives over which it was
// registered, and for the timeout after it. So whenever an operation would be
// sent again the interest is registered anew: with a new tid, for the answer to
// the old one would be found in the OSD's log and register nothing. A watch that
// was registered before says so (reconnect, with a generation); the OSD refuses
// if it has given the watch up, since notifications may have been missed. That
// is the end of the watch. In between pings prove that it is alive.
type Linger struct {
	Object      string
	Locator     object.Locator
	SnapContext object.SnapContext // of a watch, which is a write
	Flags       uint32             // besides FlagRead or FlagWrite
	Timeout     time.Duration      // until the OSD gives it up, in seconds; 0: the OSD's default
	IsNotify    bool               // a notify with this content; else a watch
	Payload     []byte
	// Notice is told what becomes of it, one notice at a time, in order. It must
	// not wait, nor call the Objecter.
	Notice func(Notice)

	cookie     uint64
	op         *Op      // the registration under way
	ping       *Op      // the ping under way
	session    *session // over which it is registered
	place      Op       // where it is; never sent
	registered bool
	generation uint32
	valid      time.Time // it was known to be registered then
	notifyID   uint64    // of a notify; 0: not known yet
}

// Cookie is the interest's number, unique in this client.
func (l *Linger) Cookie() uint64 { return l.cookie }

// NoticeKind is what has become of a Linger.
type NoticeKind uint8

const (
	// Registered: the first registration was answered. With Err it is the end.
	Registered NoticeKind = iota
	// Lost: the watch, or notify, has ended with Err.
	Lost
	// Notified: a notification for a watch has come.
	Notified
	// Completed: the outcome of a notify has come, which is the end.
	Completed
)

// Notice tells the owner of a Linger what has become of it.
type Notice struct {
	Linger *Linger
	Kind   NoticeKind
	Err    error
	Msg    *msg.WatchNotify // of Notified and Completed
}

type (
	// Begin hands over an interest.
	Begin struct{ Linger *Linger }
	// End gives an interest up; no notice follows. The OSD is not told.
	End struct{ Linger *Linger }
	// Notify is a message about an interest. It does not alias buffers.
	Notify struct {
		Session uint64
		Msg     *msg.WatchNotify
	}
)

func (Begin) event()  {}
func (End) event()    {}
func (Notify) event() {}

func (c *Core) begin(now time.Time, l *Linger) {
	c.nextCookie++
	l.cookie = c.nextCookie
	c.lingers[l.cookie] = l
	c.wakeFor(now, l)
	c.register(now, l)
}

// pingInterval is how often a watch is pinged at least, so that the OSD hears of
// it several times before it gives it up.
func (l *Linger) pingInterval() time.Duration {
	if l.Timeout > 0 {
		return min(l.Timeout/4, tickInterval)
	}
	return tickInterval
}

// wakeFor has the next tick early enough for a watch.
func (c *Core) wakeFor(now time.Time, l *Linger) {
	if at := now.Add(l.pingInterval()); !l.IsNotify && !c.wake.IsZero() && at.Before(c.wake) {
		c.wake = at
	}
}

// register sends, or sends again, what registers an interest.
func (c *Core) register(now time.Time, l *Linger) {
	c.withdraw(l)
	op := msg.Op{Code: msg.OpWatch}
	flags := msg.FlagWrite
	switch {
	case l.IsNotify:
		flags = msg.FlagRead
		l.notifyID = 0
		var e wire.Encoder
		e.U32(1) // version
		e.U32(uint32(l.Timeout / time.Second))
		e.Blob(l.Payload)
		op = msg.Op{Code: msg.OpNotify, In: buffer.Wrap(e.Bytes())}
	case l.registered:
		l.generation++
		op.SetWatch(msg.WatchReconnect, l.generation, uint32(l.Timeout/time.Second))
	default:
		op.SetWatch(msg.WatchWatch, 0, uint32(l.Timeout/time.Second))
	}
	op.PutU64(0, l.cookie)
	l.op = l.request(op, flags, now)
	l.op.seenPool = l.registered
	c.submit(now, l.op)
}

func (l *Linger) request(op msg.Op, flags uint32, now time.Time) *Op {
	o := &Op{
		Object: l.Object, Locator: l.Locator, Ops: []msg.Op{op}, Flags: l.Flags | flags, Snap: object.NoSnap, linger: l,
	}
	if flags == msg.FlagWrite {
		o.SnapContext, o.MTime = l.SnapContext, now
	}
	return o
}

// withdraw takes back what is under way for an interest, answered or not.
func (c *Core) withdraw(l *Linger) {
	l.session = nil
	if l.op != nil {
		c.forget(l.op)
		l.op = nil
	}
	if l.ping != nil {
		c.forget(l.ping)
		l.ping = nil
	}
}

// end forgets an interest.
func (c *Core) end(l *Linger) {
	if c.lingers[l.cookie] == l {
		c.withdraw(l)
		delete(c.lingers, l.cookie)
	}
}

// lose ends an interest with an error.
func (c *Core) lose(l *Linger, err error) {
	c.end(l)
	kind := Registered
	if l.registered {
		kind = Lost
		if c.dead == nil {
			c.wantMap(false) // it may say why: that we are blocklisted
		}
	}
	c.ready.Notices = append(c.ready.Notices, Notice{Linger: l, Kind: kind, Err: err})
}

// pingWatch asks whether a watch is alive, if nothing else is under way for it,
// and it was not asked only now because of another watch.
func (c *Core) pingWatch(now time.Time, l *Linger) {
	if l.IsNotify || !l.registered || l.op != nil || l.ping != nil || now.Sub(l.valid) < l.pingInterval()/2 {
		return
	}
	op := msg.Op{Code: msg.OpWatch}
	op.SetWatch(msg.WatchPing, l.generation, 0)
	op.PutU64(0, l.cookie)
	l.ping = l.request(op, msg.FlagWrite, now)
	c.submit(now, l.ping)
}

// ended takes an operation of an interest away that has ended, and tells
// whether it was a ping.
func (l *Linger) ended(op *Op) (pinged bool) {
	if op == l.ping {
		l.ping = nil
		return true
	}
	l.op = nil
	return false
}

// lingerReply reads the answer to a registration or ping.
func (c *Core) lingerReply(op *Op, s *session, rep *msg.OSDOpReply) {
	l := op.linger
	pinged := l.ended(op)
	if err := errno.Error(rep.Result); err != nil {
		// An object that was removed, and a watch that was given up, are the same
		// to who watched: it is not connected any more.
		if l.registered && errors.Is(err, errno.ENOENT) {
			err = errno.ENOTCONN
		}
		c.lose(l, err)
		return
	}
	l.valid = op.sentAt
	if pinged {
		return
	}
	l.session = s
	l.place = Op{Object: op.Object, Locator: op.Locator, Flags: op.Flags, hash: op.hash, target: op.target, sent: true}
	if l.IsNotify && len(rep.Ops) == 1 && rep.Ops[0].Out.Len() >= 8 {
		l.notifyID = wire.NewDecoder(rep.Ops[0].Out.Bytes()).U64()
	}
	if !l.registered {
		l.registered = true
		c.ready.Notices = append(c.ready.Notices, Notice{Linger: l, Kind: Registered})
	}
}

// notify passes on what came for an interest.
func (c *Core) notify(in Notify) {
	l := c.lingers[in.Msg.Cookie]
	if l == nil || c.byID[in.Session] == nil {
		return
	}
	switch {
	case in.Msg.What == msg.NotifyNotify && !l.IsNotify:
		c.ready.Notices = append(c.ready.Notices, Notice{Linger: l, Kind: Notified, Msg: in.Msg})
	case in.Msg.What == msg.NotifyDisconnect && !l.IsNotify:
		c.lose(l, fmt.Errorf("osd gave the watch up: %w", errno.ENOTCONN))
	case in.Msg.What == msg.NotifyComplete && l.IsNotify:
		// It may come before the reply that tells its number. One of an earlier
		// attempt came over another session.
		if l.notifyID == 0 || l.notifyID == in.Msg.NotifyID {
			c.end(l)
			c.ready.Notices = append(c.ready.Notices, Notice{Linger: l, Kind: Completed, Msg: in.Msg})
		}
	}
}

// staleWith takes back the registrations that a lost session carried and returns
// whose they are. Those that were not sent yet are operations like others.
func (c *Core) staleWith(s *session) []*Linger {
	return c.stale(func(l *Linger) bool {
		return l.session == s || l.op != nil && l.op.session == s && l.op.attempts > 0
	})
}

// staleNow is staleWith for those that the newest map has made void.
func (c *Core) staleNow() []*Linger {
	return c.stale(func(l *Linger) bool {
		if l.op != nil {
			return !l.op.sent && l.op.attempts > 0
		}
		return !l.place.sent || !l.place.target.exists
	})
}

func (c *Core) stale(is func(*Linger) bool) []*Linger {
	var out []*Linger
	for _, l := range c.lingersInOrder() {
		if is(l) {
			c.withdraw(l)
			out = append(out, l)
		}
	}
	return out
}

func (c *Core) lingersInOrder() []*Linger {
	return slices.SortedFunc(maps.Values(c.lingers), func(a, b *Linger) int { return cmp.Compare(a.cookie, b.cookie) })
}

func (c *Core) registerAll(now time.Time, ls []*Linger) {
	for _, l := range ls {
		c.register(now, l)
	}
}

// checkLingers verifies the invariants of interests.
func (c *Core) checkLingers() error {
	var errs []error
	for cookie, l := range c.lingers {
		if l.cookie != cookie {
			errs = append(errs, fmt.Errorf("cookie %d is filed under %d", l.cookie, cookie))
		}
		if (l.op == nil) != (l.session != nil) || l.session != nil && c.byOSD[l.session.osd] != l.session {
			errs = append(errs, fmt.Errorf("cookie %d: registering %v, session %v", cookie, l.op != nil, l.session))
		}
		if s := l.session; s != nil && (!s.up || s.osd != l.place.target.place.Primary) {
			errs = append(errs, fmt.Errorf("cookie %d: registered with osd.%d (up %v), its primary is osd.%d", cookie, s.osd, s.up, l.place.target.place.Primary))
		}
		for _, op := range []*Op{l.op, l.ping} {
			if op != nil && (c.ops[op.tid] != op || op.linger != l) {
				errs = append(errs, fmt.Errorf("cookie %d: tid %d is not under way", cookie, op.tid))
			}
		}
		if l.ping != nil && !l.registered {
			errs = append(errs, fmt.Errorf("cookie %d: pinged before it is registered", cookie))
		}
	}
	for tid, op := range c.ops {
		if l := op.linger; l != nil && (c.lingers[l.cookie] != l || l.op != op && l.ping != op) {
			errs = append(errs, fmt.Errorf("tid %d is for a linger that does not know it", tid))
		}
	}
	return errors.Join(errs...)
}
