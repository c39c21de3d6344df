package objecter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Monitors is what an Objecter wants of the monitors: a *monclient.Client.
// Calls do not wait, but for Version.
type Monitors interface {
	Subscribe(what string, start uint64, onetime bool)
	Got(what string, version uint64)
	Version(ctx context.Context, what string) (newest, oldest uint64, err error)
}

// Dialer opens sessions: a *msgr.Messenger, whose handler passes what happens on
// connections to OSDs to the Objecter.
type Dialer interface {
	Dial(ctx context.Context, peer entity.Type, addrs entity.AddrVec) (*msgr.Conn, error)
}

// Config is what an Objecter needs to know; the first two are required.
type Config struct {
	Monitors Monitors
	Dialer   Dialer
	MaxOps   int   // in flight; 0: 1024
	MaxBytes int64 // of payloads in flight; 0: 100 MiB
	// OnMap is told of each new map, or the newest if there were several. It must
	// not wait.
	OnMap func(*osdmap.Map)
	Log   *slog.Logger
}

// ErrClosed is what operations end with when the Objecter is closed.
var ErrClosed = errors.New("objecter: closed")

// Objecter runs a Core: the shell of this package.
//
// Whoever steps the core hands its effects on in the order in which they were
// decided, but outside of the lock: they go to queues under the lock, and each
// queue is emptied by one goroutine at a time, the first that finds it idle.
// Lock order: mapMu > mu > queue.mu.
type Objecter struct {
	cfg    Config
	log    *slog.Logger
	budget budget
	ctx    context.Context // of dials and questions
	cancel context.CancelFunc
	work   sync.WaitGroup

	current atomic.Pointer[osdmap.Map]
	mapMu   sync.Mutex // folding maps in, one message at a time

	control queue[func()] // what does not belong to a session
	notices queue[Notice]

	mu       sync.Mutex
	core     *Core
	sessions map[uint64]*link
	conns    map[*msgr.Conn]*link
	waiters  map[chan struct{}]uint32 // for an epoch
	timer    *time.Timer
	wake     time.Time // what timer is set to
	closed   bool
}

// link is the connection of a session.
type link struct {
	conn *msgr.Conn
	out  queue[Send]

	// Under Objecter.mu.
	session uint64 // 0: Dial has not returned
	gone    bool   // Closed was called
}

// New makes an objecter without a map. It subscribes to maps when they are
// needed.
func New(cfg Config) *Objecter {
	if cfg.MaxOps == 0 {
		cfg.MaxOps = 1024
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 100 << 20
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	o := &Objecter{
		cfg: cfg, log: cfg.Log, core: NewCore(), budget: budget{maxOps: cfg.MaxOps, maxByte: cfg.MaxBytes},
		sessions: map[uint64]*link{}, conns: map[*msgr.Conn]*link{}, waiters: map[chan struct{}]uint32{},
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// Close fails all operations and closes the sessions with OSDs. It waits for
// the objecter's goroutines.
func (o *Objecter) Close() {
	o.cancel()
	o.step(Shutdown{ErrClosed})
	o.mu.Lock()
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Unlock()
	o.work.Wait()
}

// Stats returns the core's counters.
func (o *Objecter) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Stats()
}

// Map is the newest OSD map; nil before the first.
func (o *Objecter) Map() *osdmap.Map { return o.current.Load() }

// WaitMap waits for a map of at least that epoch, asking for it.
func (o *Objecter) WaitMap(ctx context.Context, epoch uint32) (*osdmap.Map, error) {
	for {
		ch := make(chan struct{})
		o.mu.Lock()
		if m := o.current.Load(); m != nil && m.Epoch >= epoch {
			o.mu.Unlock()
			return m, nil
		}
		o.waiters[ch] = epoch
		o.mu.Unlock()
		start := uint64(0)
		if m := o.Map(); m != nil {
			start = uint64(m.Epoch) + 1
		}
		o.cfg.Monitors.Subscribe("osdmap", start, true)
		var err error
		select {
		case <-ch:
			continue
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-o.ctx.Done():
			err = ErrClosed
		}
		o.mu.Lock()
		delete(o.waiters, ch)
		o.mu.Unlock()
		return nil, fmt.Errorf("wait for osdmap e%d: %w", epoch, err)
	}
}

// WaitLatestMap waits for the newest map there is at the time of the call.
func (o *Objecter) WaitLatestMap(ctx context.Context) (*osdmap.Map, error) {
	newest, _, err := o.cfg.Monitors.Version(ctx, "osdmap")
	if err != nil {
		return nil, err
	}
	return o.WaitMap(ctx, uint32(newest))
}

// Barrier holds back all operations until the map has that epoch.
func (o *Objecter) Barrier(epoch uint32) { o.step(Barrier{epoch}) }

// Do submits an operation and waits for its end. The reply may be one of
// failure; the caller releases Data. If ctx ends first the operation may have
// been done or not.
func (o *Objecter) Do(ctx context.Context, op *Op) (Completion, error) {
	if err := ctx.Err(); err != nil {
		op.release()
		return Completion{}, context.Cause(ctx)
	}
	size := int64(0)
	for i := range op.Ops {
		size += int64(op.Ops[i].In.Len())
	}
	held, err := o.budget.acquire(ctx, size)
	if err != nil {
		op.release()
		return Completion{}, err
	}
	defer o.budget.release(held)
	done := make(chan Completion, 1)
	op.Owner = done
	o.step(Submit{op})
	select {
	case c := <-done:
		return c, c.Err
	case <-ctx.Done():
	}
	o.step(Cancel{op})
	select {
	case c := <-done: // an answer already there wins
		return c, c.Err
	default:
		return Completion{}, context.Cause(ctx)
	}
}

// step folds an event in and carries out what follows.
func (o *Objecter) step(in Event) {
	o.mu.Lock()
	o.core.Step(time.Now(), in)
	r := o.core.Ready()
	rare := len(r.Close) > 0 || len(r.Open) > 0 || r.Subscribe != nil || r.AskNewest
	if rare {
		o.control.push(func() { o.carryOut(r) })
	}
	var links [4]*link
	busy := links[:0]
	for _, s := range r.Send {
		if l := o.sessions[s.Session]; l != nil {
			l.out.push(s)
			if len(busy) == 0 || busy[len(busy)-1] != l {
				busy = append(busy, l)
			}
		}
	}
	for _, n := range r.Notices {
		o.notices.push(n)
	}
	o.rearm()
	o.mu.Unlock()
	if rare {
		o.control.drain(func(f func()) { f() })
	}
	for _, l := range busy {
		l.out.drain(l.send)
	}
	for _, c := range r.Done {
		c.Op.Owner.(chan Completion) <- c
	}
	if len(r.Notices) > 0 {
		o.notices.drain(func(n Notice) { n.Linger.Notice(n) })
	}
}

// Begin begins an interest in an object, which its Notice function hears of.
func (o *Objecter) Begin(l *Linger) { o.step(Begin{l}) }

// End gives an interest up; a notice that was decided before may still come.
func (o *Objecter) End(l *Linger) { o.step(End{l}) }

// ValidUntil is when an interest was last known to be registered.
func (o *Objecter) ValidUntil(l *Linger) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return l.valid
}

// send sends one message of the session's queue. A connection that is over is
// noticed by Closed.
func (l *link) send(s Send) { _ = l.conn.SendBody(s.Body, s.TID) }

// rearm sets the timer to when the core wants to be woken. Called with mu held.
func (o *Objecter) rearm() {
	wake := o.core.Wake()
	if wake.IsZero() || o.closed || !o.wake.IsZero() && !wake.Before(o.wake) {
		return
	}
	o.wake = wake
	d := max(time.Until(wake), 0)
	if o.timer == nil {
		o.timer = time.AfterFunc(d, o.tick)
	} else {
		o.timer.Reset(d)
	}
}

func (o *Objecter) tick() {
	o.mu.Lock()
	o.wake = time.Time{}
	o.mu.Unlock()
	o.step(Tick{})
}

// carryOut does what happens rarely. It is called by one goroutine at a time.
func (o *Objecter) carryOut(r Ready) {
	for _, id := range r.Close {
		o.mu.Lock()
		l := o.sessions[id]
		delete(o.sessions, id)
		o.mu.Unlock()
		if l != nil {
			l.conn.Close()
		}
	}
	for _, open := range r.Open {
		o.spawn(func() { o.dial(open) })
	}
	if r.Subscribe != nil {
		o.cfg.Monitors.Subscribe("osdmap", uint64(r.Subscribe.Start), !r.Subscribe.Continuous)
	}
	if r.AskNewest {
		o.spawn(func() {
			newest, _, err := o.cfg.Monitors.Version(o.ctx, "osdmap")
			if err != nil {
				if o.ctx.Err() == nil {
					o.step(Shutdown{fmt.Errorf("objecter: newest osdmap: %w", err)})
				}
				return
			}
			o.step(Newest{uint32(newest)})
		})
	}
}

// spawn runs f in a goroutine that Close waits for.
func (o *Objecter) spawn(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.work.Go(f)
	}
}

func (o *Objecter) dial(open Open) {
	conn, err := o.cfg.Dialer.Dial(o.ctx, entity.OSD, open.Addrs)
	if err != nil {
		o.log.Info("osd not reached", "osd", open.OSD, "addr", open.Addrs, "err", err)
		o.step(Closed{Session: open.Session, Err: err, Refused: errors.Is(err, errno.EACCES)})
		return
	}
	o.mu.Lock()
	l := o.linkOf(conn)
	l.session = open.Session
	gone := l.gone
	if gone {
		delete(o.conns, conn)
	} else {
		o.sessions[open.Session] = l
	}
	wanted := o.core.Wants(open.Session)
	o.mu.Unlock()
	switch {
	case gone:
		o.step(Closed{Session: open.Session, Err: errno.ENOTCONN})
	case !wanted:
		conn.Close()
	default:
		o.step(Opened{open.Session})
	}
}

// linkOf finds a connection's link or makes it: Opened may come before Dial
// returns. Called with mu held.
func (o *Objecter) linkOf(conn *msgr.Conn) *link {
	l := o.conns[conn]
	if l == nil {
		l = &link{conn: conn}
		o.conns[conn] = l
	}
	return l
}

// Opened takes note of a connection (msgr.Handler).
func (o *Objecter) Opened(conn *msgr.Conn) {
	o.mu.Lock()
	l := o.linkOf(conn)
	o.mu.Unlock()
	conn.SetValue(l)
}

// Closed notices the end of a connection (msgr.Handler).
func (o *Objecter) Closed(conn *msgr.Conn, err error) {
	o.mu.Lock()
	l := o.linkOf(conn)
	l.gone = true
	session := l.session
	if session != 0 {
		delete(o.conns, conn)
		delete(o.sessions, session)
	}
	o.mu.Unlock()
	if session != 0 {
		o.step(Closed{Session: session, Err: err})
	}
}

// RemoteReset is not expected: sessions with OSDs are lossy.
func (o *Objecter) RemoteReset(conn *msgr.Conn) { conn.Close() }

// Receive handles a message of an OSD (msgr.Handler).
func (o *Objecter) Receive(conn *msgr.Conn, m *msgr.Message) {
	l, _ := conn.Value().(*link)
	if l == nil {
		m.Release()
		return
	}
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	if err != nil {
		// An answer that cannot be read would be waited for forever.
		o.log.Warn("message of an osd is not understood", "osd", conn.PeerName(), "type", m.Type, "err", err)
		m.Release()
		if m.Type == msg.TypeOSDOpReply {
			conn.Close()
		}
		return
	}
	o.mu.Lock()
	session := l.session
	o.mu.Unlock()
	switch b := body.(type) {
	case *msg.OSDOpReply:
		data := m.Data.Retain()
		tid := m.TID
		m.Release()
		o.step(Reply{Session: session, TID: tid, Msg: b, Data: data})
		return
	case *msg.OSDBackoff:
		o.step(Backoff{Session: session, Msg: b})
	case *msg.OSDMap:
		o.TakeMaps(b)
	case *msg.WatchNotify:
		n := *b
		n.Content = bytes.Clone(b.Content)
		n.Data = buffer.ListOf(bytes.Clone(b.Data.Bytes()))
		o.step(Notify{Session: session, Msg: &n})
	}
	m.Release()
}
