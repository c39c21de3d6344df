package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/monmap"
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
	home    string
	log     *slog.Logger
	in      *inbox[monInput]
	msgrs   []*msgr.Messenger
	peers   *monPeers
	fsid    msg.FSID
	ids     globalIDs
	local   localCalls
	metrics *metric.Registry // the machine's, with ours

	adminSockets []*AdminSocket

	stop   chan struct{}
	done   chan struct{}
	failed func(error)
	lastID atomic.Uint64
	leads  atomic.Bool     // and could hand over
	conns  map[uint64]sink // the loop's own
	heard  func(*monmap.Map)
	epoch  uint32 // of the map that it was told
}

// monConfig is what one monitor of a process is started with.
type monConfig struct {
	Name string // "a"
	FSID entity.UUID
	// Home is the monitor's directory: its store, and the keyring with the key
	// that all monitors share ("mon.").
	Home string
	// Listeners are the open ports of the monitor and of the manager that it
	// plays; they are the host's from the call on. Addrs are the addresses that
	// others reach them at.
	Listener, MgrListener net.Listener
	Addrs, MgrAddrs       entity.AddrVec
	Mgr                   string // name of that manager
	// A monitor with an empty store begins a cluster of its own with Found, or
	// joins the one that Seeds, some of its monitors, belong to.
	Found []mon.Op
	Seeds []entity.AddrVec
	// Admin sockets are paths, that of the monitor and of its manager; "": none.
	AdminSocket, MgrAdminSocket string
	Options                     map[string]string // this process's own settings
	Log                         *slog.Logger
	// ReopenLog goes on with a new file for the log; may be nil.
	ReopenLog func() error
	// Heard is told each monitor map; may be nil.
	Heard func(*monmap.Map)
	// Failed is told when the monitor cannot go on; errors.Is(err,
	// mon.ErrRemoved) if that is because it is no member any more.
	Failed func(error)
}

// startMonHost runs a monitor. It returns when the monitor listens, which may be
// long before there is a quorum.
func startMonHost(c monConfig) (h *monHost, err error) {
	h = &monHost{
		log: c.Log, fsid: c.FSID, in: newInbox[monInput](monInflight), stop: make(chan struct{}),
		done: make(chan struct{}), failed: c.Failed, heard: c.Heard, conns: map[uint64]sink{}, metrics: new(metric.Registry),
	}
	h.ids.waiting = map[uint64]chan uint64{}
	started := false
	defer func() {
		if err == nil {
			return
		}
		c.Listener.Close()
		c.MgrListener.Close()
		switch {
		case started:
			err = errors.Join(err, h.abort())
		case h.db != nil:
			err = errors.Join(err, h.db.Close())
		}
		h = nil
	}()
	own, err := readKeyring(c.Home + "/keyring")
	if err != nil {
		return h, err
	}
	if h.db, err = monstore.Open(c.Home+"/store", c.Log); err != nil {
		return h, fmt.Errorf("monitor's store: %w", err)
	}
	h.home = c.Home
	if empty, err := storeEmpty(h.db); err != nil {
		return h, err
	} else if empty && len(c.Found) > 0 {
		if err := h.db.Write(c.Found, true); err != nil {
			return h, err
		}
	}
	h.metrics.Add(processMetrics())
	keys := cephx.NewKeyServer(cephx.TTLs{}, own)
	h.m, err = mon.New(mon.Config{
		Metrics: h.metrics,
		Name:    c.Name, FSID: c.FSID, Seeds: c.Seeds, Addrs: c.Addrs,
		Rand: rand.Reader, Keys: keys, Options: c.Options, Metadata: monMetadata(c.Home), Log: c.Log, ReopenLog: c.ReopenLog,
		Manager: mon.Manager{Name: c.Mgr, Addrs: c.MgrAddrs, Features: msgr.SupportedFeatures, Metadata: mgrMetadata(c.MgrAddrs)},
	}, h.db, time.Now())
	if err != nil {
		return h, err
	}
	h.openLocal()
	logins := &cephx.MonAcceptor{Keys: keys, NewGlobalID: h.newGlobalID}
	tickets := &cephx.ServiceAcceptor{Service: entity.Mgr, Secrets: keys.Secrets(entity.Mgr)}
	monMsgr, err := h.messenger(entity.Name{Type: entity.Mon, Num: h.m.Rank()}, c.Addrs, logins, monConnector{keys})
	if err != nil {
		return h, err
	}
	h.peers = newMonPeers(h, c.Name, monMsgr)
	mgrMsgr, err := h.messenger(entity.Name{Type: entity.Mgr}, c.MgrAddrs, tickets, nil)
	if err != nil {
		return h, err
	}
	started = true
	go h.run()
	go h.serve(monMsgr, c.Listener)
	go h.serve(mgrMsgr, c.MgrListener)
	for session, path := range map[uint64]string{localSession: c.AdminSocket, localManager: c.MgrAdminSocket} {
		if path == "" {
			continue
		}
		a, err := ListenAdmin(path, func(cmd []byte) ([]byte, error) { return h.admin(session, cmd) }, c.Log)
		if err != nil {
			return h, err
		}
		h.adminSockets = append(h.adminSockets, a)
	}
	c.Log.Info("monitor serves", "addrs", c.Addrs, "mgr", c.MgrAddrs)
	return h, nil
}

func storeEmpty(db *monstore.Store) (empty bool, err error) {
	empty = true
	err = db.Scan("", "", func(string, []byte) bool { empty = false; return false })
	return empty, err
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

// messenger makes the endpoint for the monitor's address or the manager's.
func (h *monHost) messenger(name entity.Name, addrs entity.AddrVec, a acceptor, c connector) (*msgr.Messenger, error) {
	m, err := msgr.New(msgr.Config{
		Name:  name,
		Addrs: addrs,
		Policy: func(entity.Type) msgr.Policy {
			return msgr.Policy{Lossy: true, Stateless: true, Required: requiredFeatures, MaxInflight: 16 << 20}
		},
		Auth:    &authenticator{acceptor: a, connector: c, log: h.log},
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
	var space time.Time
	for {
		if now := time.Now(); now.Sub(space) >= spaceEvery {
			space = now
			h.m.Step(now, diskSpace(h.home))
		}
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
		if m := h.m.MonMap(); m != nil && m.Epoch != h.epoch && h.heard != nil {
			h.epoch = m.Epoch
			h.heard(m)
		}
		h.leads.Store(h.m.MayHandOver())
		if at := h.m.Wake(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
	}
}

// spaceEvery is how often a monitor looks at its disk.
const spaceEvery = 10 * time.Second

func diskSpace(dir string) mon.DiskSpace {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return mon.DiskSpace{}
	}
	return mon.DiskSpace{Total: fs.Blocks * uint64(fs.Bsize), Available: fs.Bavail * uint64(fs.Bsize)}
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
		for _, p := range r.Peers {
			h.peers.send(p)
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

// handOverTime is how long a leader that stops waits for another one to lead:
// elections without a leader take longer.
const handOverTime = 500 * time.Millisecond

// close lets another monitor lead if there is one, then ends messengers, loop and
// store, in this order.
func (h *monHost) close() error {
	if h.leads.Load() {
		h.in.post(monInput{ev: mon.HandOver{}})
		limit := time.After(handOverTime)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for waiting := true; waiting && h.leads.Load(); {
			select {
			case <-tick.C:
			case <-h.done:
				waiting = false
			case <-limit:
				waiting = false
			}
		}
	}
	return h.abort()
}

// abort ends the monitor as it is.
func (h *monHost) abort() error {
	var errs []error
	for _, a := range h.adminSockets {
		errs = append(errs, a.Close())
	}
	h.in.close()
	h.ids.close()
	if h.peers != nil {
		h.peers.close()
	}
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
	select {
	case id, ok := <-ch:
		if !ok {
			return 0, errMonStops
		}
		return id, nil
	case <-time.After(loginPatience):
		h.ids.forget(token)
		return 0, errNoQuorum
	}
}

// loginPatience is how long a login waits for a global id (mon_lease): without a
// quorum there may be none, and the client does better elsewhere.
const loginPatience = 5 * time.Second

var errNoQuorum = errors.New("no quorum that gives global ids")

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

func (g *globalIDs) forget(token uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.waiting, token)
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
	if !c.Incoming() {
		return // monPeers dialled
	}
	who, _ := c.Identity().(*cephx.Identity)
	if isMonPeer(who) && !h.mgr {
		c.SetValue(fromPeer{})
		return
	}
	id := h.lastID.Add(1)
	c.SetValue(id)
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
	if _, peer := c.Value().(fromPeer); peer {
		h.receivePeer(c, m)
		return
	}
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
	switch v := c.Value().(type) {
	case uint64:
		h.in.post(monInput{ev: mon.SessionClosed{ID: v}})
	case monLineEnd:
		v.ended()
	}
}

func (h *monHandler) RemoteReset(c *msgr.Conn) { c.Close() }

// command runs a command with all rights: one of the monitors' ("osd tree"), or
// with tell one of this daemon's ("config show").
func (h *monHost) command(ctx context.Context, cmd []byte, tell bool) (out []byte, status string, err error) {
	var body msg.Body = &msg.MonCommand{Paxos: msg.NoPaxos, FSID: h.fsid, Cmd: []string{string(cmd)}}
	if tell {
		body = &msg.Command{FSID: h.fsid, Cmd: []string{string(cmd)}}
	}
	return h.ask(ctx, localSession, body)
}

// ask sends a command in one of this process's own sessions.
func (h *monHost) ask(ctx context.Context, session uint64, cmd msg.Body) (out []byte, status string, err error) {
	tid, answer := h.local.begin()
	defer h.local.end(tid)
	if !h.in.put(monInput{ev: mon.Received{ID: session, Body: cmd, TID: tid}}) {
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

// admin runs a command of an admin socket, the monitor's or the manager's.
func (h *monHost) admin(session uint64, cmd []byte) ([]byte, error) {
	if _, err := admin.Parse(string(cmd)); err != nil {
		return nil, err // in the words of admin sockets, which are not those of monitors
	}
	out, status, err := h.ask(context.Background(), session, &msg.Command{FSID: h.fsid, Cmd: []string{string(cmd)}})
	if err != nil && status != "" {
		err = fmt.Errorf("%s: %w", status, err)
	}
	return out, err
}

// The numbers of this process's own sessions with the machine, as a client of the
// monitor and of the manager.
const (
	localSession = 1
	localManager = 2
)

// openLocal begins these sessions, with all rights.
func (h *monHost) openLocal() {
	all := map[string]string{}
	for _, service := range []entity.Type{entity.Mon, entity.Mgr, entity.OSD, entity.MDS} {
		all[service.String()] = "allow *"
	}
	h.lastID.Store(localManager)
	for _, id := range []uint64{localSession, localManager} {
		h.in.put(monInput{mon.SessionOpened{
			ID: id, Local: true, Name: entity.Name{Type: entity.Client}, Features: msgr.SupportedFeatures, Mgr: id == localManager,
			Identity: &cephx.Identity{Name: entity.AuthName{Type: entity.Client, ID: "admin"}, Method: cephx.MethodNone, Caps: all},
		}, &h.local})
	}
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
	case *msg.MgrCommandReply:
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
