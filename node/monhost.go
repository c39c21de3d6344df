package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/node/monstore"
)

// monHost runs a monitor's machine: two messengers, one with the monitor's
// address and one with the manager's, lead into one loop, which owns machine and
// store.
type monHost struct {
	m       *mon.Mon
	db      *monstore.Store
	log     *slog.Logger
	in      *inbox[monInput]
	msgrs   []*msgr.Messenger
	fsid    msg.FSID
	ids     globalIDs
	local   localCalls
	metrics *metric.Registry // the machine's, with ours

	stop   chan struct{}
	done   chan struct{}
	failed func(error)
	lastID atomic.Uint64
	conns  map[uint64]sink // the loop's own
}

// monInput is an event with the connection it is about, if that is new.
type monInput struct {
	ev   mon.Event
	conn sink
}

// sink is where a session's messages go: a connection, or a caller in this
// process.
type sink interface {
	SendBody(b msgr.Body, tid uint64) error
	Close()
}

// monInflight bounds the events that wait for the monitor's loop; connections
// are held back above it.
const monInflight = 1024

func newMonHost(m *mon.Mon, counters *metric.Registry, db *monstore.Store, fsid msg.FSID, log *slog.Logger, failed func(error)) *monHost {
	h := &monHost{
		m: m, metrics: counters, db: db, log: log, fsid: fsid, in: newInbox[monInput](monInflight), stop: make(chan struct{}),
		done: make(chan struct{}), failed: failed, conns: map[uint64]sink{},
	}
	h.ids.waiting = map[uint64]chan uint64{}
	h.openLocal()
	return h
}

// messenger makes the endpoint for the monitor's address or the manager's.
func (h *monHost) messenger(name entity.Name, addrs entity.AddrVec, a acceptor) (*msgr.Messenger, error) {
	m, err := msgr.New(msgr.Config{
		Name:  name,
		Addrs: addrs,
		Policy: func(entity.Type) msgr.Policy {
			return msgr.Policy{Lossy: true, Stateless: true, Required: requiredFeatures, MaxInflight: 16 << 20}
		},
		Auth:    &authenticator{acceptor: a, log: h.log},
		Handler: &monHandler{h, name.Type == entity.Mgr},
		Log:     h.log,
	})
	if err != nil {
		return nil, err
	}
	h.msgrs = append(h.msgrs, m)
	group := "msgr"
	if name.Type == entity.Mgr {
		group = "msgr-mgr"
	}
	h.metrics.Add(msgrMetrics(group, m.Stats))
	return m, nil
}

// requiredFeatures are the bits that every peer must have: only MSG_ADDR2, so that
// older kernels are let in.
const requiredFeatures = 1 << 59

// run is the loop. It ends with close.
func (h *monHost) run() {
	defer close(h.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-h.in.wake:
			now := time.Now()
			for _, in := range h.in.take() {
				switch ev := in.ev.(type) {
				case mon.SessionOpened:
					h.conns[ev.ID] = in.conn
				case mon.SessionClosed:
					delete(h.conns, ev.ID)
				}
				h.m.Step(now, in.ev)
			}
		case now := <-timer.C:
			h.m.Step(now, mon.Tick{})
		}
		if err := h.carryOut(); err != nil {
			h.failed(fmt.Errorf("monitor: %w", err))
			return
		}
		if at := h.m.Wake(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
	}
}

// carryOut does what the machine decided, until it has nothing more to do.
func (h *monHost) carryOut() error {
	for {
		r := h.m.Ready()
		if r.Err != nil {
			return r.Err
		}
		if r.Empty() {
			return nil
		}
		if r.Batch != nil {
			if err := h.db.Write(r.Batch, r.Sync); err != nil {
				return err
			}
		}
		for _, s := range r.Sends {
			if c := h.conns[s.Session]; c != nil {
				c.SendBody(s.Body, s.TID)
			}
		}
		for _, g := range r.GlobalIDs {
			h.ids.answer(g.Token, g.ID)
		}
		for _, id := range r.Closes {
			if c := h.conns[id]; c != nil {
				c.Close()
			}
		}
		if r.Batch != nil {
			h.m.Step(time.Now(), mon.Persisted{})
		}
	}
}

// serve accepts connections on a listener until the messenger is closed.
func (h *monHost) serve(m *msgr.Messenger, ln net.Listener) {
	if err := m.Serve(ln); err != nil && !errors.Is(err, msgr.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		h.failed(fmt.Errorf("monitor: %w", err))
	}
}

// close ends messengers, loop and store, in this order.
func (h *monHost) close() error {
	h.in.close()
	h.ids.close()
	var errs []error
	for _, m := range h.msgrs {
		errs = append(errs, m.Close())
	}
	close(h.stop)
	<-h.done
	return errors.Join(append(errs, h.db.Close())...)
}

// newGlobalID asks the machine for a global id and waits for it.
func (h *monHost) newGlobalID() (uint64, error) {
	token, ch := h.ids.wait()
	if ch == nil || !h.in.put(monInput{ev: mon.WantGlobalID{Token: token}}) {
		return 0, errMonStops
	}
	id, ok := <-ch
	if !ok {
		return 0, errMonStops
	}
	return id, nil
}

// globalIDs are the logins that wait for an id.
type globalIDs struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan uint64 // nil: closed
}

func (g *globalIDs) wait() (uint64, chan uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		return 0, nil
	}
	g.last++
	ch := make(chan uint64, 1)
	g.waiting[g.last] = ch
	return g.last, ch
}

func (g *globalIDs) answer(token, id uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ch := g.waiting[token]; ch != nil {
		ch <- id
		delete(g.waiting, token)
	}
}

func (g *globalIDs) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, ch := range g.waiting {
		close(ch)
	}
	g.waiting = nil
}

// monHandler turns what happens on connections into events.
type monHandler struct {
	*monHost
	mgr bool // the manager's address
}

func (h *monHandler) Opened(c *msgr.Conn) {
	id := h.lastID.Add(1)
	c.SetValue(id)
	who, _ := c.Identity().(*cephx.Identity)
	if who == nil {
		c.Close()
		return
	}
	name := c.PeerName()
	if name.Type == entity.Client {
		name.Num = int64(c.GlobalID())
	}
	addrs := c.PeerAddrs()
	if len(addrs) == 0 {
		addrs = entity.AddrVec{c.PeerAddr()}
	}
	h.in.put(monInput{mon.SessionOpened{
		ID: id, Name: name, Addrs: addrs, Features: c.Features(), Identity: who, Mgr: h.mgr,
	}, c})
}

func (h *monHandler) Receive(c *msgr.Conn, m *msgr.Message) {
	id, _ := c.Value().(uint64)
	// Monitor messages are small and rare: a copy lets the machine keep what it
	// likes for as long as it likes.
	typ, tid := m.Type, m.TID
	body, err := msg.Decode(typ, m.Version, m.Compat, bytes.Clone(m.Front), buffer.ListOf(bytes.Clone(m.Data.Bytes())))
	m.Release()
	if err != nil {
		h.log.Warn("bad message", "type", typ, "peer", c.PeerName(), "addr", c.PeerAddr(), "err", err)
		c.Close()
		return
	}
	h.in.put(monInput{ev: mon.Received{ID: id, Body: body, TID: tid}})
}

func (h *monHandler) Closed(c *msgr.Conn, _ error) {
	if id, ok := c.Value().(uint64); ok {
		h.in.post(monInput{ev: mon.SessionClosed{ID: id}})
	}
}

func (h *monHandler) RemoteReset(c *msgr.Conn) { c.Close() }

// command runs a command with all rights: one of the monitors' ("osd tree"), or
// with tell one of this daemon's ("config show"), as the admin socket does.
func (h *monHost) command(ctx context.Context, cmd []byte, tell bool) (out []byte, status string, err error) {
	tid, answer := h.local.begin()
	defer h.local.end(tid)
	var body msg.Body = &msg.MonCommand{Paxos: msg.NoPaxos, FSID: h.fsid, Cmd: []string{string(cmd)}}
	if tell {
		body = &msg.Command{FSID: h.fsid, Cmd: []string{string(cmd)}}
	}
	if !h.in.put(monInput{ev: mon.Received{ID: localSession, Body: body, TID: tid}}) {
		return nil, "", errMonStops
	}
	select {
	case r := <-answer:
		return r.out, r.status, errno.Error(r.result)
	case <-ctx.Done():
		return nil, "", ctx.Err()
	case <-h.done:
		return nil, "", errMonStops
	}
}

var errMonStops = errors.New("the monitor stops")

// admin runs a command of the admin socket.
func (h *monHost) admin(cmd []byte) ([]byte, error) {
	out, status, err := h.command(context.Background(), cmd, true)
	if err != nil && status != "" {
		err = fmt.Errorf("%s: %w", status, err)
	}
	return out, err
}

// localSession is the number of this process's own session with the machine.
const localSession = 1

// openLocal begins the session, with all rights.
func (h *monHost) openLocal() {
	all := map[string]string{}
	for _, service := range []entity.Type{entity.Mon, entity.Mgr, entity.OSD, entity.MDS} {
		all[service.String()] = "allow *"
	}
	h.lastID.Store(localSession)
	h.in.put(monInput{mon.SessionOpened{
		ID: localSession, Name: entity.Name{Type: entity.Client}, Features: msgr.SupportedFeatures,
		Identity: &cephx.Identity{Name: entity.AuthName{Type: entity.Client, ID: "admin"}, Method: cephx.MethodNone, Caps: all},
	}, &h.local})
}

// commandResult is the answer to a command.
type commandResult struct {
	result int32
	status string
	out    []byte
}

// localCalls are the commands of this process that wait for an answer.
type localCalls struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan commandResult
}

func (l *localCalls) begin() (tid uint64, answer <-chan commandResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == nil {
		l.waiting = map[uint64]chan commandResult{}
	}
	l.last++
	ch := make(chan commandResult, 1)
	l.waiting[l.last] = ch
	return l.last, ch
}

func (l *localCalls) end(tid uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, tid)
}

// SendBody takes the machine's answer.
func (l *localCalls) SendBody(b msgr.Body, tid uint64) error {
	var r commandResult
	switch b := b.(type) {
	case *msg.CommandReply:
		r = commandResult{b.Result, b.Status, b.Data.Bytes()}
	case *msg.MonCommandAck:
		r = commandResult{b.Result, b.Status, b.Data.Bytes()}
	default:
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ch := l.waiting[tid]; ch != nil {
		ch <- r
		delete(l.waiting, tid)
	}
	return nil
}

// Close is the machine's wish to end the session; it lasts as long as the
// machine.
func (*localCalls) Close() {}
