package msgr

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msgr/session"
)

// SupportedFeatures is the feature mask of a 16.2 daemon.
const SupportedFeatures = 0x3f01cfbdfffdffff

// Messenger owns the connections of one party.
type Messenger struct {
	cfg   Config
	log   *slog.Logger
	nonce uint32 // of a client
	addrs atomic.Pointer[entity.AddrVec]

	ctx    context.Context // done once Close was called
	cancel context.CancelFunc
	wg     sync.WaitGroup // of all goroutines; New holds one count until Close

	pending                    pending
	accepted, dialled, refused atomic.Uint64

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
	incoming  map[entity.Addr][]*Conn // of conns, by PeerAddr
	lastSeq   uint64                  // global_seq
	past      Stats                   // of Conns that are gone
}

// New makes a messenger.
func New(cfg Config) (*Messenger, error) {
	if cfg.Name.Type == 0 || cfg.Auth == nil || cfg.Handler == nil {
		return nil, errors.New("messenger: Name, Auth and Handler are required")
	}
	if cfg.Features == 0 {
		cfg.Features = SupportedFeatures
	}
	if cfg.Handshake == 0 {
		cfg.Handshake = 10 * time.Second
	}
	if cfg.IdleAfter == 0 {
		cfg.IdleAfter = 900 * time.Second
	}
	if cfg.MaxUnauthenticated == 0 {
		cfg.MaxUnauthenticated = 1024
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Messenger{
		cfg: cfg, log: cfg.Log, nonce: max(uint32(cookie()), 1), // 0 stands for a whole host
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*Conn]struct{}),
		incoming:  make(map[entity.Addr][]*Conn),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.SetAddrs(cfg.Addrs)
	m.wg.Add(1)
	if cfg.IdleAfter > 0 {
		m.wg.Go(m.sweep)
	}
	return m, nil
}

// SetAddrs publishes own addresses, for connections made or accepted from now
// on.
func (m *Messenger) SetAddrs(v entity.AddrVec) {
	v = slices.Clone(v)
	m.addrs.Store(&v)
}

// Addrs are the published addresses; of a client the one that it has gone by
// since its first connection.
func (m *Messenger) Addrs() entity.AddrVec { return *m.addrs.Load() }

// Close ends all sessions and waits until all goroutines have ended, so that no
// call of the handler follows. The handler must not call it.
func (m *Messenger) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		m.wg.Wait()
		return nil
	}
	m.closed = true
	m.cancel()
	for l := range m.listeners {
		l.Close()
	}
	conns := make([]*Conn, 0, len(m.conns))
	for c := range m.conns {
		conns = append(conns, c)
	}
	m.mu.Unlock()
	m.pending.closeAll()
	for _, c := range conns {
		c.Close()
	}
	m.wg.Done()
	m.wg.Wait()
	return nil
}

// spawn runs f in a goroutine of the messenger, unless it is closed.
func (m *Messenger) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.wg.Go(f)
	return true
}

func (m *Messenger) track(l net.Listener) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners[l] = struct{}{}
	return !m.closed
}

func (m *Messenger) untrack(l net.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.listeners, l)
}

// enter takes up a dialled Conn.
func (m *Messenger) enter(c *Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

// remove forgets a Conn that has ended.
func (m *Messenger) remove(c *Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.conns[c]; !ok {
		return
	}
	delete(m.conns, c)
	m.past.add(&c.traffic)
	if c.incoming {
		key := c.PeerAddr()
		rest := slices.DeleteFunc(m.incoming[key], func(o *Conn) bool { return o == c })
		if len(rest) == 0 {
			delete(m.incoming, key)
		} else {
			m.incoming[key] = rest
		}
	}
}

// globalSeq numbers the connections of this party, above atLeast.
func (m *Messenger) globalSeq(atLeast uint64) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastSeq = max(m.lastSeq, atLeast) + 1
	return m.lastSeq
}

func (m *Messenger) policy(peer entity.Type) Policy {
	p := Policy{Lossy: true}
	if m.cfg.Policy != nil {
		p = m.cfg.Policy(peer)
	}
	if p.MaxInflight == 0 {
		p.MaxInflight = 64 << 20
	}
	return p
}

func (m *Messenger) terms(peer entity.Type) session.Terms {
	p := m.policy(peer)
	t := session.Terms{Lossy: p.Lossy, Required: p.Required, Modes: []Mode{ModeCRC, ModeSecure}}
	if m.cfg.Modes != nil {
		t.Modes = m.cfg.Modes(peer)
	}
	return t
}

// sweep ends sessions that are idle, and those whose peer does not come back.
func (m *Messenger) sweep() {
	tick := time.NewTicker(max(m.cfg.IdleAfter/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		}
		m.mu.Lock()
		conns := make([]*Conn, 0, len(m.conns))
		for c := range m.conns {
			conns = append(conns, c)
		}
		m.mu.Unlock()
		since := time.Now().Add(-m.cfg.IdleAfter)
		for _, c := range conns {
			c.endIfIdle(since)
		}
	}
}

// endIfIdle ends a session on which nothing has happened since then.
func (c *Conn) endIfIdle(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	switch {
	case c.link == nil:
		if c.incoming && !c.lostAt.IsZero() && c.lostAt.Before(since) {
			c.endLocked(ErrIdle)
		}
	case c.state.Lossy:
		if c.link.active.Load() < since.UnixNano() {
			c.endLocked(ErrIdle)
		}
	}
}

// cookie is a random number that is not zero.
func cookie() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}
