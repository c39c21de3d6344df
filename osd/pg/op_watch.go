package pg

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// effects are what a request means for watches and notifications beside its
// transaction: to whom connections lead, who is told. They come to be once the
// store has taken the transaction, in this order (do_osd_op_effects).
type effects struct {
	drops    []watchDrop
	connects []watchConnect
	notifies []*notify
	acks     []notifyAck
}

type watchDrop struct {
	WatchKey
	tell bool // the client has not asked for it
}

type watchConnect struct {
	WatchInfo
	pings bool
}

func (e *effects) empty() bool { return len(e.drops)+len(e.connects)+len(e.notifies)+len(e.acks) == 0 }

// outstanding are the effects of the newest transaction, which the store may yet
// refuse. Each Step but that refusal begins with them.
type outstanding struct {
	object  *objectContext // nil: none
	session *Session
	effects effects
	after   uint64
}

// takeEffect makes effects come true. What is sent waits for the transactions up
// to a token, so that nobody hears of what a crash can take back.
func (p *PG) takeEffect(now time.Time, s outstanding) {
	o, after := s.object, max(s.after, s.object.pending)
	for _, d := range s.effects.drops {
		p.removeWatch(o, d.WatchKey, d.tell, after)
	}
	for _, c := range s.effects.connects {
		w := o.watch(c.WatchKey)
		if w == nil {
			w = p.addWatch(o, c.WatchInfo)
		}
		p.connect(now, o, w, s.session, c.pings, after)
	}
	for _, n := range s.effects.notifies {
		p.startNotify(now, o, n, after)
	}
	for i := range s.effects.acks {
		p.ackNotify(o, s.session, &s.effects.acks[i], after)
	}
}

// leaveEffects leaves a request's effects until the store has taken its transaction.
func (p *PG) leaveEffects(r *Request, x *execution, f *flight) {
	if !x.effects.empty() {
		p.outstanding = outstanding{object: x.obj, session: r.Session, effects: x.effects, after: f.token}
	}
}

// settleEffects makes come true what is outstanding.
func (p *PG) settleEffects(now time.Time) {
	if s := p.outstanding; s.object != nil {
		p.outstanding = outstanding{}
		p.takeEffect(now, s)
	}
}

// sendAfter sends a message when the transactions up to a token are durable.
func (p *PG) sendAfter(after uint64, s Send) {
	if f := p.flight(after); f != nil {
		f.held = append(f.held, s)
		return
	}
	p.out().Sends = append(p.out().Sends, s)
}

// isPing reports whether an operation of code watch is not a write.
func isPing(op *msg.Op) bool {
	_, what, _, _ := op.Watch()
	return what == msg.WatchPing
}

// opWatch begins, ends, or goes on with watching.
func (x *execution) opWatch(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	cookie, what, _, timeout := op.Watch()
	if timeout == 0 {
		timeout = uint32(x.pg.env.Config.WatchTimeout / time.Second)
	}
	s := x.req.Session
	w := WatchInfo{WatchKey: WatchKey{cookie, s.Name}, Timeout: timeout, Addr: s.Addr}
	// Old and new clients are told apart by what they watch with, not by the address.
	w.Addr.Type = entity.AddrAny
	i, found := findWatch(x.info.Watchers, w.WatchKey)
	switch what {
	case msg.WatchWatch, msg.WatchLegacyWatch:
		if !found {
			x.info.Watchers = slices.Insert(slices.Clone(x.info.Watchers), i, w)
			x.modify = true
		} else {
			w = x.info.Watchers[i]
		}
		x.effects.connects = append(x.effects.connects, watchConnect{w, what == msg.WatchWatch})
	case msg.WatchReconnect:
		if !found {
			return errno.ENOTCONN
		}
		x.effects.connects = append(x.effects.connects, watchConnect{x.info.Watchers[i], true})
	case msg.WatchPing:
		if !found {
			return errno.ENOTCONN
		}
		return x.ping(w.WatchKey)
	case msg.WatchUnwatch:
		if found {
			x.info.Watchers = slices.Delete(slices.Clone(x.info.Watchers), i, i+1)
			x.modify = true
			x.effects.drops = append(x.effects.drops, watchDrop{w.WatchKey, false})
		}
	}
	return nil
}

// ping notes that a watch's client is there.
func (x *execution) ping(k WatchKey) error {
	w := x.obj.watch(k)
	if w == nil || w.session == nil {
		return errno.ETIMEDOUT // it has to connect again
	}
	if w.pings && !w.leaving {
		x.pg.giveUpAfter(x.now, w)
	}
	return nil
}

// dropWatchers is what becomes of the watches of an object that is removed.
func (x *execution) dropWatchers() {
	for i := range x.info.Watchers {
		x.effects.drops = append(x.effects.drops, watchDrop{x.info.Watchers[i].WatchKey, true})
	}
	x.info.Watchers = nil
}

// opNotify begins a notification. The answer is its id; what comes of it is told
// later.
func (x *execution) opNotify(op *msg.Op) error {
	if op.In.Len() > x.pg.env.Config.MaxWriteSize {
		return errno.EMSGSIZE
	}
	d := wire.NewDecoder(op.In.Bytes())
	d.U32() // always 1
	timeout := time.Duration(d.U32()) * time.Second
	content := d.Blob()
	if d.Err() != nil {
		timeout, content = 0, nil
	}
	if timeout == 0 {
		timeout = x.pg.env.Config.NotifyTimeout
	}
	s := x.req.Session
	n := &notify{id: x.pg.nextNotifyID(), cookie: op.U64(0), gid: uint64(s.Name.Num), sender: s, timeout: timeout,
		content: bytes.Clone(content)}
	x.effects.notifies = append(x.effects.notifies, n)
	var e wire.Encoder
	e.U64(n.id)
	out(op, e.Bytes())
	return nil
}

// opNotifyAck acknowledges a notification, perhaps with an answer.
func (x *execution) opNotifyAck(op *msg.Op) error {
	if op.In.Len() > x.pg.env.Config.MaxWriteSize {
		return errno.EMSGSIZE
	}
	d := wire.NewDecoder(op.In.Bytes())
	a := notifyAck{id: d.U64(), cookie: d.U64()}
	if d.Left() > 0 {
		a.content = bytes.Clone(d.Blob())
	}
	if d.Err() != nil {
		a = notifyAck{id: op.U64(0), any: true}
	}
	x.effects.acks = append(x.effects.acks, a)
	return nil
}

// opListWatchers lists who watches (obj_list_watch_response_t).
func (x *execution) opListWatchers(op *msg.Op) error {
	var e wire.Encoder
	m := e.Begin(1, 1)
	wire.EncodeSlice(&e, x.info.Watchers, func(w WatchInfo) {
		m := e.Begin(2, 1)
		w.Who.Encode(&e)
		e.U64(w.Cookie)
		e.U32(w.Timeout)
		w.Addr.Encode(&e)
		e.End(m)
	})
	e.End(m)
	out(op, e.Bytes())
	x.didRead(0)
	return nil
}

// describeWatch prints a watch's operation as Ceph does.
func describeWatch(op *msg.Op) string {
	cookie, what, gen, _ := op.Watch()
	name := map[uint8]string{msg.WatchUnwatch: "unwatch", msg.WatchWatch: "watch", msg.WatchReconnect: "reconnect", msg.WatchPing: "ping"}[what]
	if name == "" {
		name = "???"
	}
	s := fmt.Sprintf("%v %s cookie %d", op.Code, name, cookie)
	if gen != 0 {
		s += fmt.Sprintf(" gen %d", gen)
	}
	return s
}
