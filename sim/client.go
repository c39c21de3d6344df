package sim

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/rados/objecter"
)

// client runs the objecter's core, as objecter.Objecter does, and writes down
// what it asked for and what it was told.
type client struct {
	w     *World
	index int
	name  string // "client.0"

	life     int
	p        *process
	core     *objecter.Core
	osdmap   *osdmap.Map
	line     *line
	sessions map[uint64]*end
	armed    moment
	pending  map[*objecter.Op]*record
}

func (w *World) makeClients() {
	for i := range w.plan.Clients {
		c := &client{w: w, index: i, name: fmt.Sprintf("client.%d", i)}
		w.clients = append(w.clients, c)
		c.start()
	}
}

// start begins a new life: with a global id of its own, once it has one.
func (c *client) start() {
	if c.p != nil && c.p.alive {
		return
	}
	c.life++
	c.p = c.w.newProcess(c.name, c.life, nil)
	c.core, c.osdmap = objecter.NewCore(), nil
	c.sessions, c.pending, c.armed = map[uint64]*end{}, map[*objecter.Op]*record{}, 0
	addrs := addrOf("v2:10.0.2.%d:0/%d", c.index+1, c.life)
	c.line = newLine(c.p, entity.Name{Type: entity.Client}, addrs, entity.AuthName{Type: entity.Client, ID: "admin"}, 0,
		func() {}, c.fromMon)
	c.w.tracef("%v starts", c.p)
}

// kill ends the process. What it asked for may be done or not.
func (c *client) kill(silent bool) {
	if !c.p.alive {
		return
	}
	c.w.tracef("%v dies", c.p)
	c.p.die(silent)
	c.w.dark[c.name] = silent
}

func (c *client) fromMon(b msg.Body) {
	if m, ok := b.(*msg.OSDMap); ok {
		c.takeMaps(m)
	}
}

// maxPending bounds what a client has under way at a time.
const maxPending = 4

// submit begins an operation of the plan, if it does not have too many.
func (c *client) submit(r *record) bool {
	if !c.p.alive || len(c.pending) >= maxPending && !r.final {
		return false
	}
	op := &objecter.Op{
		Object: r.object, Locator: object.Locator{Pool: c.w.plan.pool(), Hash: -1}, Ops: r.in.ops(), Snap: object.NoSnap, MTime: c.p.clock(),
		Flags: msg.FlagRead,
	}
	if r.in.writes() {
		op.Flags = msg.FlagWrite
		for _, s := range c.w.snaps {
			op.SnapContext.Snaps = append(op.SnapContext.Snaps, object.SnapID(s))
		}
		if len(c.w.snaps) > 0 {
			op.SnapContext.Seq = object.SnapID(c.w.snaps[0])
		}
		r.in.snaps = c.w.snaps
	} else if r.in.snap != 0 {
		op.Snap = object.SnapID(r.in.snap)
	}
	c.w.history.begin(r)
	c.pending[op] = r
	c.w.tracef("%v submits %v", c.p, r)
	c.step(objecter.Submit{Op: op})
	return true
}

// giveUp cancels what has not been answered: it may have been done.
func (c *client) giveUp() {
	for _, op := range c.inOrder() {
		c.w.tracef("%v gives up %v", c.p, c.pending[op])
		delete(c.pending, op)
		c.step(objecter.Cancel{Op: op})
	}
}

func (c *client) inOrder() []*objecter.Op {
	var out []*objecter.Op
	for _, r := range c.w.history.records {
		for op, q := range c.pending {
			if q == r {
				out = append(out, op)
			}
		}
	}
	return out
}

// step gives the core an event and does what it decides.
func (c *client) step(ev objecter.Event) {
	c.core.Step(c.p.clock(), ev)
	if err := c.core.Check(); err != nil {
		c.w.fail("objecter", "%v: %v", c.p, err)
	}
	r := c.core.Ready()
	for _, id := range r.Close {
		if e := c.sessions[id]; e != nil {
			delete(c.sessions, id)
			e.close()
		}
	}
	for _, o := range r.Open {
		c.dial(o)
	}
	for _, s := range r.Send {
		if e := c.sessions[s.Session]; e != nil {
			e.send(s.Body, s.TID)
		}
	}
	if r.Subscribe != nil {
		c.line.subscribe("osdmap", uint64(r.Subscribe.Start), !r.Subscribe.Continuous)
	}
	if r.AskNewest {
		c.line.call(func() msg.Body { return &msg.MonGetVersion{What: "osdmap"} }, func(b msg.Body) {
			if v, ok := b.(*msg.MonGetVersionReply); ok {
				c.step(objecter.Newest{Epoch: uint32(v.Version)})
			}
		})
	}
	for _, d := range r.Done {
		c.done(d)
	}
	c.rearm()
}

func (c *client) rearm() {
	t := c.core.Wake()
	if t.IsZero() {
		return
	}
	at := max(c.p.when(t), c.w.now) + moment(time.Millisecond)
	if c.armed != 0 && c.armed <= at {
		return
	}
	c.armed = at
	p := c.p
	c.w.at(at, func() {
		if p.alive && c.armed == at {
			c.armed = 0
			c.step(objecter.Tick{})
		}
	})
}

func (c *client) dial(o objecter.Open) {
	who := c.line.who
	c.w.net.dial(c.p, o.Addrs.String(), who, false, func(e *end, err error) {
		switch {
		case err != nil:
			c.step(objecter.Closed{Session: o.Session, Err: err})
			return
		case !c.core.Wants(o.Session):
			e.close()
			return
		}
		c.sessions[o.Session] = e
		e.closed = func(err error) {
			delete(c.sessions, o.Session)
			c.step(objecter.Closed{Session: o.Session, Err: err})
		}
		e.receive = func(f *frame) { c.fromOSD(o.Session, f) }
		c.step(objecter.Opened{Session: o.Session})
	})
}

func (c *client) fromOSD(session uint64, f *frame) {
	b, err := f.decode()
	if err != nil {
		c.w.fail("codec", "%v: %v", c.p, err)
		return
	}
	switch b := b.(type) {
	case *msg.OSDOpReply:
		c.step(objecter.Reply{Session: session, TID: f.tid, Msg: b, Data: buffer.ListOf(f.data)})
	case *msg.OSDBackoff:
		c.step(objecter.Backoff{Session: session, Msg: b})
	case *msg.OSDMap:
		c.takeMaps(b)
	}
}

func (c *client) takeMaps(m *msg.OSDMap) {
	news, gap, again := objecter.Follow(c.osdmap, m, func(epoch uint32, err error) {
		c.w.fail("maps", "%v: osdmap e%d: %v", c.p, epoch, err)
	})
	if len(news) > 0 {
		c.osdmap = news[len(news)-1]
		views := make([]objecter.Map, len(news))
		for i, n := range news {
			views[i] = objecter.View(n)
		}
		c.line.got("osdmap", uint64(c.osdmap.Epoch))
		c.step(objecter.NewMaps{Maps: views, Gap: gap})
	}
	if again {
		c.line.subscribe("osdmap", 0, true)
	}
}

func (c *client) done(d objecter.Completion) {
	r := c.pending[d.Op]
	if r == nil {
		return
	}
	delete(c.pending, d.Op)
	if d.Err != nil {
		c.w.fail("client", "%v: %v: %v", c.p, r, d.Err)
		return
	}
	out, err := r.in.read(d.Reply)
	if err != nil {
		c.w.fail("client", "%v: %v: %v", c.p, r, err)
		return
	}
	d.Data.Release()
	c.w.history.end(r, out)
	c.w.stats.Acked++
	c.w.tracef("%v is told %v", c.p, r)
}

// admin gives the commands of the plan, one after the other, each until it is
// answered.
type admin struct {
	w     *World
	p     *process
	line  *line
	queue []adminCommand
	busy  bool
}

type adminCommand struct {
	text string
	done func(*msg.MonCommandAck)
}

func (w *World) makeAdmin() {
	a := &admin{w: w}
	a.p = w.newProcess("admin", 1, nil)
	a.line = newLine(a.p, entity.Name{Type: entity.Client}, addrOf("v2:10.0.3.1:0/1"), entity.AuthName{Type: entity.Client, ID: "admin"}, 0, func() {}, func(msg.Body) {})
	w.admin = a
}

// ask gives a command; done may be nil.
func (a *admin) ask(prefix string, args map[string]any, done func(*msg.MonCommandAck)) {
	cmd := map[string]any{"prefix": prefix}
	for k, v := range args {
		cmd[k] = v
	}
	b, err := json.Marshal(cmd)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	a.give(string(b), done)
}

func (a *admin) give(text string, done func(*msg.MonCommandAck)) {
	a.queue = append(a.queue, adminCommand{text, done})
	a.next()
}

func (a *admin) next() {
	if a.busy || len(a.queue) == 0 {
		return
	}
	a.busy = true
	c := a.queue[0]
	a.queue = a.queue[1:]
	a.line.call(func() msg.Body { return &msg.MonCommand{Paxos: msg.NoPaxos, FSID: fsid, Cmd: []string{c.text}} }, func(b msg.Body) {
		a.busy = false
		ack, ok := b.(*msg.MonCommandAck)
		if !ok {
			a.w.fail("admin", "%s is answered by %T", c.text, b)
			return
		}
		if ack.Result == -int32(errno.EAGAIN) {
			a.p.after(time.Second, func() { a.give(c.text, c.done) })
			return
		}
		a.w.tracef("%s: %d %s", c.text, ack.Result, ack.Status)
		if c.done != nil {
			c.done(ack)
		}
		a.next()
	})
}
