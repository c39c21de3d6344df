package monclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
)

// Config is what a Client needs to know. Name, Mons and, with cephx, Key are
// required.
type Config struct {
	Name entity.AuthName
	Key  cephx.Key // zero: the cluster authenticates nobody
	// Mons are the monitors known before the first monitor map; afterwards those
	// of the map count.
	Mons []entity.AddrVec
	// Tickets are the services to get tickets for; nil: mon, osd and mgr, and
	// mds for daemons.
	Tickets []entity.Type
	// Subscribe is subscribed from the beginning, besides config and monmap.
	Subscribe map[string]msg.Sub
	// OnMessage gets what no call waits for, among it maps. The body aliases
	// the message, which is released when OnMessage returns. nil: dropped.
	OnMessage func(c *msgr.Conn, m *msgr.Message, body msg.Body)
	// OnSession is told of each new session, after subscriptions and calls were
	// sent again. A daemon announces itself here. It must not wait.
	OnSession func()
	// OnMonMap gets each new monitor map, to keep and not to change.
	OnMonMap func(*monmap.Map)
	Log      *slog.Logger

	Ping    time.Duration // between keepalives; 0: 10 s
	Timeout time.Duration // of a session that does not answer them; 0: 30 s
	Hunt    time.Duration // for a first round of attempts; 0: 3 s
}

// parallel is how many monitors are dialled at once.
const parallel = 3

// maxHuntFactor is how far the time for a round grows.
const maxHuntFactor = 10

// Client is a party's line to the monitors.
type Client struct {
	cfg     Config
	log     *slog.Logger
	account account
	cephx   *cephx.Client // nil without authentication
	ring    *cephx.SecretRing
	host    string

	lost  chan struct{} // the session ended; capacity 1
	renew chan struct{} // tickets are wanted; capacity 1
	ready chan struct{} // closed when monitor map and configuration are there
	done  chan struct{} // closed by Close
	keyed chan struct{} // closed when there are rotating secrets
	end   sync.WaitGroup

	mu      sync.Mutex
	dialer  Dialer
	conn    *msgr.Conn // the session; nil while hunting
	hunt    *hunt      // under way
	opened  chan *msgr.Conn
	mons    []entity.AddrVec
	monMap  *monmap.Map       // nil: none came yet
	options map[string]string // central configuration; nil: none came yet
	subs    map[string]*subscription
	calls   map[uint64]*call
	lastTID uint64
	err     error // why everything ended
}

// Dialer opens sessions: a *msgr.Messenger.
type Dialer interface {
	Dial(ctx context.Context, peer entity.Type, addrs entity.AddrVec) (*msgr.Conn, error)
}

// ErrClosed is what everything says after Close.
var ErrClosed = errors.New("monclient: closed")

// New makes a client.
func New(cfg Config) (*Client, error) {
	if len(cfg.Mons) == 0 {
		return nil, fmt.Errorf("monclient: no addresses of monitors: %w", errno.EINVAL)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Ping == 0 {
		cfg.Ping = 10 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Hunt == 0 {
		cfg.Hunt = 3 * time.Second
	}
	c := &Client{
		cfg: cfg, log: cfg.Log, mons: cfg.Mons, ring: new(cephx.SecretRing),
		lost: make(chan struct{}, 1), renew: make(chan struct{}, 1), ready: make(chan struct{}), done: make(chan struct{}), keyed: make(chan struct{}),
		subs: map[string]*subscription{}, calls: map[uint64]*call{},
	}
	c.host, _ = os.Hostname()
	if cfg.Key.IsZero() {
		c.account = &cephx.NoneClient{Name: cfg.Name}
	} else {
		want := cfg.Tickets
		if want == nil {
			want = []entity.Type{entity.Mon, entity.OSD, entity.Mgr}
			if c.isDaemon() {
				want = append(want, entity.MDS)
			}
		}
		x, err := cephx.NewClient(cfg.Name, cfg.Key, want, cephx.Env{})
		if err != nil {
			return nil, err
		}
		c.account, c.cephx = x, x
	}
	c.subs["config"] = &subscription{}
	c.subs["monmap"] = &subscription{}
	for what, s := range cfg.Subscribe {
		c.subs[what] = &subscription{Sub: s}
	}
	return c, nil
}

func (c *Client) isDaemon() bool {
	return c.cfg.Name.Type != entity.Client && c.cfg.Name.Type != entity.Mon
}

// Start begins to hunt over d and returns when the client has the monitor map
// and the configuration. It fails if the monitors refuse the account, or at the
// end of ctx; the client is closed then. d must have c as its handler of
// connections to monitors (Opened, Receive, Closed) and use Connect.
func (c *Client) Start(ctx context.Context, d Dialer) error {
	c.mu.Lock()
	c.dialer = d
	c.mu.Unlock()
	c.end.Go(c.run)
	select {
	case <-c.ready:
		return nil
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		c.fail(fmt.Errorf("monclient: connect to the monitors: %w", context.Cause(ctx)))
		c.end.Wait()
		return c.Err()
	}
}

// Close ends the session and fails all calls. It waits for the client's
// goroutine; the messenger goes on.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	c.end.Wait()
	return nil
}

// Done is closed when the client has ended: after Close, or when the monitors
// refused it.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client has ended; nil while it runs.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	close(c.done)
	conn, calls := c.conn, c.calls
	c.conn, c.calls = nil, map[uint64]*call{}
	c.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	for _, k := range calls {
		k.end(nil, err)
	}
}

// GlobalID is the client's number in the cluster; 0 before the first session.
func (c *Client) GlobalID() uint64 { return c.account.GlobalID() }

// FSID is the cluster's; zero before Start has returned.
func (c *Client) FSID() msg.FSID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.monMap == nil {
		return msg.FSID{}
	}
	return c.monMap.FSID
}

// MonMap is the newest monitor map; nil before Start has returned.
func (c *Client) MonMap() *monmap.Map {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.monMap
}

// Options is the central configuration for this client. The map does not
// change.
func (c *Client) Options() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.options
}

// Rotating holds the rotating secrets of a daemon's service, for the accepting
// side of authentication.
func (c *Client) Rotating() *cephx.SecretRing { return c.ring }

// WaitRotating waits until a daemon has the secrets of its service; before that
// it can let nobody in.
func (c *Client) WaitRotating(ctx context.Context) error {
	if c.cephx == nil {
		return nil
	}
	select {
	case <-c.keyed:
		return nil
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return fmt.Errorf("monclient: rotating secrets: %w", context.Cause(ctx))
	}
}

// run hunts for a session, then supervises it, until the client ends.
func (c *Client) run() {
	factor := 1.0
	refused := 0
	for {
		conn, err := c.hunting(time.Duration(float64(c.cfg.Hunt) * factor))
		if c.Err() != nil {
			return
		}
		if err != nil {
			factor = min(factor*1.5, maxHuntFactor)
			if isRefusal(err) {
				refused++
				if c.refused(refused, err) {
					return
				}
			}
			c.log.Info("no monitor found", "err", err)
			select {
			case <-c.done:
				return
			case <-time.After(time.Duration(float64(100*time.Millisecond) * factor)):
			}
			continue
		}
		factor, refused = 1, 0
		c.supervise(conn)
	}
}

// isRefusal reports whether a monitor answered that it will not have us.
func isRefusal(err error) bool {
	return errors.Is(err, errno.EACCES) || errors.Is(err, errno.EPERM) || errors.Is(err, errno.EOPNOTSUPP)
}

// refused decides what a refused login means, and reports whether it is the
// end.
func (c *Client) refused(times int, err error) bool {
	select {
	case <-c.ready:
	default:
		// Never let in: key or name are wrong.
		c.fail(fmt.Errorf("monclient: log in as %v: %w", c.cfg.Name, err))
		return true
	}
	if c.cephx != nil && times >= 3 {
		// The monitors do not know the old ticket any more.
		c.log.Warn("global id is given up, the monitors refuse it", "global_id", c.GlobalID(), "err", err)
		c.cephx.Forget()
	}
	return false
}

// hunting dials monitors until one lets us in.
func (c *Client) hunting(limit time.Duration) (*msgr.Conn, error) {
	h := new(hunt)
	c.mu.Lock()
	c.hunt = h
	c.opened = make(chan *msgr.Conn, 1)
	opened, dialer := c.opened, c.dialer
	mons := make([]entity.AddrVec, 0, len(c.mons))
	for _, i := range rand.Perm(len(c.mons)) {
		mons = append(mons, c.mons[i])
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), limit)
	var dials sync.WaitGroup
	defer func() {
		cancel()
		dials.Wait()
		c.mu.Lock()
		c.hunt = nil
		c.mu.Unlock()
	}()

	failed := make(chan error, len(mons))
	dial := func(addrs entity.AddrVec) {
		dials.Go(func() {
			_, err := dialer.Dial(ctx, entity.Mon, addrs)
			if err != nil {
				err = fmt.Errorf("mon at %v: %w", addrs, err)
			}
			failed <- err
		})
	}
	next, running := 0, 0
	var errs []error
	for {
		for ; running < parallel && next < len(mons); next, running = next+1, running+1 {
			dial(mons[next])
		}
		if running == 0 {
			return nil, errors.Join(errs...)
		}
		select {
		case conn := <-opened:
			return conn, nil
		case err := <-failed:
			if err == nil {
				// Opened was called, or will be.
				select {
				case conn := <-opened:
					return conn, nil
				case <-ctx.Done():
				case <-c.done:
				}
				continue
			}
			running--
			if !errors.Is(err, errLate) {
				errs = append(errs, err)
			}
		case <-c.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, errors.Join(append(errs, fmt.Errorf("no monitor answered within %v: %w", limit, errno.ETIMEDOUT))...)
		}
	}
}

// Opened takes the first session of a hunt (msgr.Handler).
func (c *Client) Opened(conn *msgr.Conn) {
	c.mu.Lock()
	if c.hunt == nil || c.conn != nil || c.err != nil {
		c.mu.Unlock()
		conn.Close()
		return
	}
	c.conn = conn
	select {
	case <-c.lost: // of the session before
	default:
	}
	select {
	case c.opened <- conn:
	default: // cannot be: a hunt has one winner
	}
	subs := make(map[string]msg.Sub, len(c.subs))
	for what, s := range c.subs {
		subs[what] = s.Sub
	}
	bodies := []envelope{{body: &msg.MonGetMap{}}, {body: &msg.MonSubscribe{What: subs, Host: c.host}}}
	for _, k := range c.callsInOrder() {
		bodies = append(bodies, envelope{k.body, k.tid})
	}
	c.mu.Unlock()
	for _, b := range bodies {
		// A session that is lost already is noticed elsewhere.
		_ = conn.SendBody(b.retained(), b.tid)
	}
	if c.cfg.OnSession != nil {
		c.cfg.OnSession()
	}
}

type envelope struct {
	body msg.Body
	tid  uint64
}

// retained gives the messenger references of its own, since calls may be sent
// again.
func (b envelope) retained() msg.Body {
	b.body.Payload().Retain()
	return b.body
}

// Closed notices that the session has ended (msgr.Handler).
func (c *Client) Closed(conn *msgr.Conn, err error) {
	c.mu.Lock()
	mine := c.conn == conn
	if mine {
		c.conn = nil
	}
	c.mu.Unlock()
	if mine {
		c.log.Info("monitor session lost", "mon", conn.PeerName(), "err", err)
		c.signal(c.lost)
	}
}

// RemoteReset is not expected: sessions with monitors are lossy.
func (c *Client) RemoteReset(conn *msgr.Conn) { conn.Close() }

func (c *Client) signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// renewSoon asks for tickets without waiting for the next tick.
func (c *Client) renewSoon() { c.signal(c.renew) }

// supervise keeps a session alive and its tickets fresh until it is lost.
func (c *Client) supervise(conn *msgr.Conn) {
	c.log.Info("monitor session", "mon", conn.PeerName(), "addr", conn.PeerAddr(), "global_id", c.GlobalID())
	since := time.Now()
	pinged := since
	tick := time.NewTicker(min(c.cfg.Ping, time.Second*5))
	defer tick.Stop()
	c.refresh(conn)
	for {
		select {
		case <-c.lost:
			return
		case <-c.done:
			return
		case <-c.renew:
			c.refresh(conn)
		case now := <-tick.C:
			last := conn.LastKeepaliveAck()
			if last.Before(since) {
				last = since
			}
			if now.Sub(last) > c.cfg.Timeout {
				c.log.Info("monitor is silent", "mon", conn.PeerName(), "since", last)
				conn.Close()
				c.Closed(conn, errno.ETIMEDOUT)
				continue
			}
			if now.Sub(pinged) >= c.cfg.Ping {
				pinged = now
				conn.SendKeepalive()
			}
			c.refresh(conn)
		}
	}
}

// refresh asks for tickets and rotating secrets that are due.
func (c *Client) refresh(conn *msgr.Conn) {
	if c.cephx == nil {
		return
	}
	now := time.Now()
	epoch := uint32(0)
	if m := c.MonMap(); m != nil {
		epoch = m.Epoch
	}
	ask := func(payload []byte) {
		_ = conn.SendBody(&msg.Auth{Paxos: msg.NoPaxos, Protocol: cephx.ProtocolCephx, Request: payload, MonMapEpoch: epoch}, 0)
	}
	if !now.Before(c.cephx.RenewAt()) {
		switch payload, err := c.cephx.Renew(); {
		case err != nil:
			c.log.Warn("tickets cannot be renewed", "err", err)
		case payload != nil:
			ask(payload)
		}
	}
	if c.isDaemon() && c.ring.Stale(now, rotatingMargin) {
		ask(cephx.RotatingRequest())
	}
}

// rotatingMargin is how long before the current secret expires a daemon asks
// for newer ones.
const rotatingMargin = 30 * time.Second

// Receive handles a message of the session (msgr.Handler).
func (c *Client) Receive(conn *msgr.Conn, m *msgr.Message) {
	defer m.Release()
	c.mu.Lock()
	mine := c.conn == conn
	c.mu.Unlock()
	if !mine {
		return
	}
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	if err != nil {
		c.log.Warn("message of a monitor is not understood", "type", m.Type, "err", err)
		return
	}
	switch b := body.(type) {
	case *msg.MonMap:
		c.takeMonMap(b.Map)
	case *msg.Config:
		c.mu.Lock()
		c.options = maps.Clone(b.Options)
		c.isReady()
		c.mu.Unlock()
	case *msg.AuthReply:
		c.takeAuth(b)
		return
	case *msg.MonSubscribeAck:
		return
	default:
		if c.answer(m, body) {
			return
		}
	}
	if c.cfg.OnMessage != nil {
		c.cfg.OnMessage(conn, m, body)
	}
}

// isReady lets Start return once everything is there. Called with c.mu held.
func (c *Client) isReady() {
	if c.options == nil || c.monMap == nil {
		return
	}
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
}

func (c *Client) takeMonMap(b []byte) {
	m, err := monmap.Decode(bytes.Clone(b))
	if err != nil {
		c.log.Warn("monitor map is not understood", "err", err)
		return
	}
	if c.useMonMap(m) && c.cfg.OnMonMap != nil {
		c.cfg.OnMonMap(m)
	}
}

// useMonMap reports whether the map is the newest.
func (c *Client) useMonMap(m *monmap.Map) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.monMap != nil && m.FSID != c.monMap.FSID {
		c.log.Error("monitor of another cluster", "fsid", m.FSID, "want", c.monMap.FSID)
		return false
	}
	newest := c.monMap == nil || m.Epoch >= c.monMap.Epoch
	if newest {
		c.monMap = m
		var mons []entity.AddrVec
		for _, name := range m.Ranks {
			if v := m.Mons[name].Addrs; hasMsgr2(v) {
				mons = append(mons, v)
			}
		}
		if len(mons) > 0 {
			c.mons = mons
		}
		c.got("monmap", uint64(m.Epoch))
	}
	c.isReady()
	return newest
}

func hasMsgr2(v entity.AddrVec) bool {
	_, ok := v.Msgr2()
	return ok
}

func (c *Client) takeAuth(b *msg.AuthReply) {
	if c.cephx == nil {
		return
	}
	secrets, err := c.cephx.Reply(b.Result, b.Reply)
	if err != nil {
		c.log.Warn("monitor refuses tickets", "err", err)
		return
	}
	if secrets != nil {
		if err := c.ring.Set(*secrets); err != nil {
			c.log.Warn("rotating secrets are not taken", "err", err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		select {
		case <-c.keyed:
		default:
			close(c.keyed)
		}
	}
}
