package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/msgr"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/rados/monclient"
)

// osdHost runs an OSD's machines: a loop for the daemon's own, one for each
// shard, a messenger, a line to the monitors and the store.
type osdHost struct {
	id      int32
	osd     *osd.OSD
	store   *diskstore.Store
	msgr    *msgr.Messenger
	mons    *monclient.Client
	lock    *os.File
	socket  *AdminSocket
	log     *slog.Logger
	options *config.Config
	fsid    msg.FSID
	shards  []*osdShard
	in      *inbox[osd.Event]
	fetches fetches
	peers   *peers
	beats   *heartbeats
	failed  func(error)
	ended   func()
	status  func(string)
	state   atomic.Uint32 // osd.State, as of the last step
	metrics metric.Registry
	logged  atomic.Uint64 // entries for the cluster's log

	share   int64        // memory, if osd_memory_target is not set
	target  atomic.Int64 // what it keeps to
	clients *msgr.Budget // what requests of clients may take of it
	memory  *memory      // of the process

	ctx     context.Context // ends with stop
	cancel  context.CancelFunc
	stop    chan struct{}
	stopped chan struct{} // the machine has stopped gracefully
	closing atomic.Bool   // it was asked to
	once    sync.Once
	wg      sync.WaitGroup // the loops
}

// osdInflight bounds the events in front of the daemon's own loop.
const osdInflight = 256

// osdShards is how many loops an OSD's groups are divided among (Ceph's
// osd_op_num_shards for solid state disks). A loop reads the disk itself, so this
// is how many reads are under way at a time.
const osdShards = 8

// osdCaps are the capabilities of an OSD's account.
var osdCaps = []string{"mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"}

// startOSD runs an OSD of the site.
func startOSD(ctx context.Context, s *site, e OSDEntry) (*osdHost, error) {
	name := osdName(e.ID)
	fail := func(err error) (*osdHost, error) { return nil, fmt.Errorf("%v: %w", name, err) }
	disk, err := entity.ParseUUID(e.UUID)
	if err != nil {
		return fail(err)
	}
	home := s.home(e.Daemon())
	key, err := readKey(home+"/keyring", name)
	if err != nil {
		return fail(err)
	}
	lock, err := s.lockDaemon(e.Daemon())
	if err != nil {
		return nil, err
	}
	h := &osdHost{
		id: e.ID, lock: lock, log: s.log.With("daemon", name.String()), fsid: s.fsid, in: newInbox[osd.Event](osdInflight),
		failed: func(err error) { s.failed(e.Daemon(), err) }, ended: func() { s.ended(e.Daemon()) }, status: func(text string) { s.say(e.Daemon(), text) },
		stop: make(chan struct{}), stopped: make(chan struct{}), options: config.New(name, hostname()),
		memory: s.memory, share: s.share, clients: msgr.NewBudget(0),
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.fetches = fetches{h: h, waiting: map[uint64]*fetching{}, peers: map[int32]*fetchPeer{}}
	fail = func(err error) (*osdHost, error) { return nil, fmt.Errorf("%v: %w", name, errors.Join(err, h.abort())) }
	if err := h.options.LoadSettings(s.id.Options); err != nil {
		return fail(err)
	}
	if h.store, err = openStore(s.storePath(e), s.fsid, disk, e.ID, h); err != nil {
		return fail(err)
	}
	s.runs()
	if err := h.serve(ctx, s, name, key, home); err != nil {
		return fail(err)
	}
	if h.socket, err = s.adminSocket(e.Daemon(), h.admin, h.log); err != nil {
		return fail(err)
	}
	return h, nil
}

// storePath is the directory of an OSD's store.
func (s *site) storePath(e OSDEntry) string {
	if e.Path != "" {
		return filepath.Join(e.Path, "store")
	}
	return s.dir.Join(e.Daemon(), "store")
}

// makeOSD makes an OSD's store. What an earlier attempt has left is nobody's.
func (s *site) makeOSD(e OSDEntry, size uint64) error {
	dir := s.storePath(e)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	disk, err := entity.ParseUUID(e.UUID)
	if err != nil {
		return err
	}
	if err := diskstore.Create(dir, diskstore.Options{Size: size, Log: s.log}); err != nil {
		return err
	}
	store, err := diskstore.Open(dir, diskstore.Options{Log: s.log})
	if err != nil {
		return err
	}
	return errors.Join(osd.Format(store, s.fsid, disk, e.ID), store.Close())
}

// openStore opens an OSD's store, which must be the one that was made for it.
func openStore(dir string, cluster, disk entity.UUID, id int32, h *osdHost) (*diskstore.Store, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("its store is gone from %s; if its disk was replaced, see pulpo join --help", dir)
	}
	s, err := diskstore.Open(dir, diskstore.Options{
		Memory: storeShare(h.share), Log: h.log,
		Events: diskstore.Events{
			ChecksumError: func(c objstore.Coll, o object.ID, off uint64) {
				h.log.Error("checksum error", "coll", c.String(), "object", o.String(), "offset", off)
			},
			Failed: func(err error) { h.failed(fmt.Errorf("store: %w", err)) },
		},
	})
	if err != nil {
		return nil, err
	}
	gotCluster, gotDisk, gotID, err := osd.Identity(s)
	if err == nil && (gotCluster != cluster || gotDisk != disk || gotID != id) {
		err = fmt.Errorf("the store is that of osd.%d, disk %v, of cluster %v", gotID, gotDisk, gotCluster)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// serve starts the daemon on its open store.
func (h *osdHost) serve(ctx context.Context, s *site, name entity.AuthName, key cephx.Key, home string) error {
	ln, port, err := listen(s.bind(), 0)
	if err != nil {
		return err
	}
	owned := false
	defer func() {
		if !owned {
			ln.Close()
		}
	}()
	addrs := s.addrs(port, newNonce())
	mons, err := s.dir.monAddrs(s.id)
	if err != nil {
		return err
	}
	h.mons, err = monclient.New(monclient.Config{
		Name: name, Key: key, Mons: mons, Log: h.log,
		OnMessage: h.fromMon, OnSession: func() { h.in.post(osd.MonConnected{}) }, OnMonMap: s.heard,
	})
	if err != nil {
		return err
	}
	auth := &authenticator{
		acceptor:  &cephx.ServiceAcceptor{Service: entity.OSD, Secrets: h.mons.Rotating()},
		connector: h.mons, log: h.log,
	}
	h.msgr, err = msgr.New(msgr.Config{
		Name: entity.Name{Type: entity.OSD, Num: int64(h.id)}, Addrs: addrs,
		Policy: func(peer entity.Type) msgr.Policy {
			p := msgr.Policy{Lossy: true, Stateless: true, Required: requiredFeatures}
			if peer == entity.Client {
				p.Budget, p.MaxQueued = h.clients, maxReplies
			}
			return p
		},
		Auth: auth, Handler: &osdHandler{h}, Log: h.log,
	})
	if err != nil {
		return err
	}
	peerLn, clusterAddrs, err := h.servePeers(s, auth)
	if err != nil {
		return err
	}
	defer func() {
		if !owned {
			peerLn.Close()
		}
	}()
	if h.beats, err = h.newHeartbeats(s, addrs[0].Nonce, auth); err != nil {
		return err
	}
	if err := h.mons.Start(ctx, h.msgr); err != nil {
		return err
	}
	if err := h.mons.WaitRotating(ctx); err != nil {
		return err
	}
	h.options.SetCentral(h.mons.Options())
	h.fitMemory()
	h.osd, err = osd.New(osd.Config{
		ID: h.id, Public: addrs, Cluster: clusterAddrs, HBFront: h.beats.addrs(heartbeat.Front), HBBack: h.beats.addrs(heartbeat.Back),
		Features: msgr.SupportedFeatures, Shards: osdShards, Options: h.options,
		Class: mediumOf(home), Weight: crushWeight(h.store.Usage().Total),
		Location: map[string]string{"root": "default", "host": hostname()},
		Metadata: osdMetadata(home, addrs, clusterAddrs, h.beats),
		Version:  admin.ParseVersion(mon.DefaultVersion),
		Perf:     h.perf, ReopenLog: s.reopenLog,
		Load: loadAverages,
	}, h.store, time.Now())
	if err != nil {
		return err
	}
	h.metrics.Add(h.osd.Metrics())
	h.metrics.Add(storeMetrics(h.store.Stats))
	h.metrics.Add(msgrMetrics("msgr", h.msgr.Stats))
	h.metrics.Add(memoryMetrics(h))
	for _, m := range h.osd.Shards() {
		h.shards = append(h.shards, h.newShard(m))
	}
	for _, shard := range h.shards {
		h.wg.Go(shard.run)
	}
	h.wg.Go(h.run)
	h.beats.start(h.osd.Heartbeats())
	h.in.post(osd.Start{})
	owned = true
	h.wg.Go(func() { h.accept(ln) })
	h.wg.Go(func() { h.peers.accept(peerLn) })
	return nil
}

func (h *osdHost) accept(ln net.Listener) {
	if err := h.msgr.Serve(ln); err != nil && !errors.Is(err, msgr.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		h.failed(err)
	}
}

func (h *osdHost) shardOf(g object.PG) *osdShard { return h.shards[osd.ShardOf(g, len(h.shards))] }

// run is the loop of the daemon's own machine.
func (h *osdHost) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-h.in.wake:
			for _, ev := range h.in.take() {
				h.osd.Step(time.Now(), ev)
				h.carryOut()
			}
		case now := <-timer.C:
			h.osd.Step(now, osd.Tick{})
			h.carryOut()
		}
		if at := h.osd.Wake(); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
	}
}

func (h *osdHost) carryOut() {
	r := h.osd.Ready()
	if st := uint32(h.osd.State()); h.state.Swap(st) != st {
		h.status(h.osd.State().String())
	}
	for _, w := range r.Writes {
		token := w.Token
		err := h.store.Submit(w.Txn, func(err error) { h.in.post(osd.Committed{Token: token, Err: err}) })
		if err != nil {
			// The daemon's own records are small and have room set aside.
			h.failed(fmt.Errorf("own records: %w", err))
			return
		}
	}
	for _, e := range r.ToShards {
		if n, ok := e.Event.(osd.NewMaps); ok {
			h.peers.follow(n.Maps.Map)
		}
		for i, s := range h.shards {
			if e.Shard < 0 || e.Shard == i {
				s.in.post(e.Event)
			}
		}
	}
	for _, ev := range r.ToHeartbeats {
		h.beats.in.post(ev)
	}
	if r.WantFull {
		h.mons.Subscribe("osdmap", 0, false)
	} else if r.Subscribe != 0 {
		h.mons.Subscribe("osdmap", uint64(r.Subscribe), false)
	}
	for _, b := range r.ToMon {
		if err := h.mons.Send(b); err != nil {
			// A new session begins with all that matters.
			h.log.Debug("no session with a monitor", "msg", fmt.Sprintf("%T", b), "err", err)
		}
	}
	for _, c := range r.Replies {
		c.ID.(commandSink).answer(c)
	}
	for _, n := range r.Notes {
		h.note(n)
	}
	if r.Stopped {
		h.once.Do(func() {
			close(h.stopped)
			if !h.closing.Load() {
				h.ended()
			}
		})
	}
	if r.Fatal != nil {
		h.failed(r.Fatal)
	}
}

// note logs what a machine found worth knowing.
func (h *osdHost) note(n pg.Note) {
	level := slog.LevelDebug
	switch n.Level {
	case pg.NoteInfo:
		level = slog.LevelInfo
	case pg.NoteWarn, pg.NoteClusterWarn:
		level = slog.LevelWarn
	case pg.NoteCluster:
		level = slog.LevelError
	case pg.NoteClusterInfo:
		level = slog.LevelInfo
	}
	attrs := []any{}
	if n.PG != (object.SPG{}) {
		attrs = append(attrs, "pg", n.PG.String())
	}
	if n.Err != nil {
		attrs = append(attrs, "err", n.Err)
	}
	h.log.Log(h.ctx, level, n.Text, attrs...)
	to := msg.LogError
	switch n.Level {
	case pg.NoteCluster:
	case pg.NoteClusterWarn:
		to = msg.LogWarn
	case pg.NoteClusterInfo:
		to = msg.LogInfo
	case pg.NoteClusterDebug:
		to = msg.LogDebug
	default:
		return
	}
	if h.mons == nil {
		return
	}
	text := n.Text
	if n.PG != (object.SPG{}) {
		text = n.PG.String() + " " + text
	}
	if n.Err != nil {
		text += ": " + n.Err.Error()
	}
	name := entity.AuthName{Type: entity.OSD, ID: strconv.Itoa(int(h.id))}
	h.mons.Send(&msg.Log{Paxos: msg.NoPaxos, FSID: h.fsid, Entries: []msg.LogEntry{{
		Name: name, Rank: entity.Name{Type: entity.OSD, Num: int64(h.id)}, Addrs: h.msgr.Addrs(), Stamp: time.Now(),
		Seq: h.logged.Add(1), Level: to, Message: text, Channel: "cluster",
	}}})
}

// fromMon takes what the monitors send of their own accord.
func (h *osdHost) fromMon(_ *msgr.Conn, m *msgr.Message, _ msg.Body) {
	// The machine takes it later, when the message's buffers are gone.
	body, err := msg.Decode(m.Type, m.Version, m.Compat, bytes.Clone(m.Front), buffer.ListOf(bytes.Clone(m.Data.Bytes())))
	if err != nil {
		h.log.Warn("bad message of a monitor", "type", m.Type, "err", err)
		return
	}
	switch b := body.(type) {
	case *msg.Config:
		h.options.SetCentral(b.Options)
		h.fitMemory()
		return
	case *msg.OSDMap:
		newest := uint32(0)
		for e := range b.Full {
			newest = max(newest, e)
		}
		for e := range b.Incrementals {
			newest = max(newest, e)
		}
		h.mons.Got("osdmap", uint64(newest))
	case *msg.ReportAll:
		h.in.put(osd.MonConnected{}) // as to a monitor that knows nothing yet
		return
	}
	h.in.put(osd.MonMessage{Body: body})
}

func (h *osdHost) name() string               { return fmt.Sprintf("osd.%d", h.id) }
func (h *osdHost) registry() *metric.Registry { return &h.metrics }

func (h *osdHost) serves() bool { return osd.State(h.state.Load()) == osd.StateActive }

// kill ends the daemon without a word to anybody.
func (h *osdHost) kill() error { return h.abort() }

// close stops the daemon: first it is marked down, then the groups stop, then
// the store closes with all that was acknowledged.
func (h *osdHost) close() error {
	h.closing.Store(true)
	if h.osd != nil {
		h.in.post(osd.Stop{})
		select {
		case <-h.stopped:
		case <-time.After(stopTimeout):
			h.log.Warn("stops without having been marked down")
		}
	}
	return h.abort()
}

// stopTimeout is above osd_mon_shutdown_timeout, after which the machine goes
// without a word of the monitors.
const stopTimeout = 10 * time.Second

// abort ends everything that was started.
func (h *osdHost) abort() error {
	var errs []error
	if h.msgr != nil {
		// Readers may wait for room in front of a shard.
		for _, s := range h.shards {
			s.in.close()
		}
		errs = append(errs, h.msgr.Close())
	}
	if h.peers != nil {
		errs = append(errs, h.peers.close())
	}
	if h.beats != nil {
		errs = append(errs, h.beats.close())
	}
	if h.mons != nil {
		errs = append(errs, h.mons.Close())
	}
	h.cancel()
	close(h.stop)
	h.wg.Wait()
	if h.store != nil {
		errs = append(errs, h.store.Close())
		h.store = nil
	}
	if h.socket != nil {
		errs = append(errs, h.socket.Close())
	}
	h.memory.add(-h.target.Swap(0))
	return errors.Join(append(errs, h.lock.Close())...)
}

// commandSink takes the answer to a command.
type commandSink interface{ answer(osd.CommandReply) }

// tellSink answers a client's command on its connection.
type tellSink struct {
	conn *msgr.Conn
	tid  uint64
}

func (s tellSink) answer(r osd.CommandReply) {
	reply := &msg.CommandReply{Result: r.Result, Status: r.Status}
	reply.Data = buffer.ListOf(r.Out)
	s.conn.SendBody(reply, s.tid)
}

// adminSink answers a command of the admin socket.
type adminSink chan osd.CommandReply

func (s adminSink) answer(r osd.CommandReply) { s <- r }

// admin runs a command of the admin socket.
func (h *osdHost) admin(cmd []byte) ([]byte, error) {
	sink := make(adminSink, 1)
	if !h.in.put(osd.Command{ID: sink, Text: []string{string(cmd)}}) {
		return nil, errOSDStops
	}
	select {
	case r := <-sink:
		err := errno.Error(r.Result)
		if err != nil && r.Status != "" {
			err = fmt.Errorf("%s: %w", r.Status, err)
		}
		return r.Out, err
	case <-h.stop:
		return nil, errOSDStops
	}
}

var errOSDStops = errors.New("the OSD stops")

// osdHandler turns what happens on connections into events.
type osdHandler struct{ *osdHost }

// fromMons reports whether a connection is the line to the monitors.
func fromMons(c *msgr.Conn) bool { return !c.Incoming() && c.PeerName().Type == entity.Mon }

func (h *osdHandler) Opened(c *msgr.Conn) {
	if fromMons(c) {
		h.mons.Opened(c)
		return
	}
	if !c.Incoming() {
		return // to another OSD, to fetch from
	}
	who, _ := c.Identity().(*cephx.Identity)
	if who == nil {
		c.Close()
		return
	}
	s := &pg.Session{Name: c.PeerName(), Addr: c.PeerAddr(), Features: c.Features(), Conn: c}
	if s.Name.Type == entity.Client {
		s.Name.Num = int64(c.GlobalID())
	}
	allowed, err := caps.ParseOSD(who.Caps[entity.OSD.String()])
	if err != nil {
		h.log.Warn("capability does not parse", "entity", who.Name.String(), "err", err)
	}
	s.Caps = allowed
	c.SetValue(s)
}

func (h *osdHandler) Receive(c *msgr.Conn, m *msgr.Message) {
	if fromMons(c) {
		h.mons.Receive(c, m)
		return
	}
	body, err := msg.Decode(m.Type, m.Version, m.Compat, m.Front, m.Data)
	if err != nil {
		h.log.Warn("bad message", "type", m.Type, "peer", c.PeerName().String(), "addr", c.PeerAddr().String(), "err", err)
		m.Release()
		c.Close()
		return
	}
	s, _ := c.Value().(*pg.Session)
	switch b := body.(type) {
	case *msg.OSDOp:
		if s == nil {
			m.Release()
			return
		}
		if !m.Charge(cost(b)) {
			m.Release()
			return
		}
		r := &pg.Request{Session: s, TID: m.TID, Op: b, Message: m, Received: m.Received}
		if !h.shardOf(b.PG.PG).in.put(r) {
			m.Release()
		}
		return
	case *msg.OSDOpReply:
		// What it tells lives on with the group that asked.
		for i := range b.Ops {
			b.Ops[i].Out.Retain()
		}
		h.fetches.answer(m.TID, b)
	case *msg.OSDBackoff:
		if s != nil && b.What == msg.BackoffAckBlock {
			h.shardOf(b.PG.PG).in.put(osd.ForPG{PG: b.PG, Event: pg.BackoffAck{Session: s, ID: b.ID}})
		}
	case *msg.Command:
		h.tell(c, s, m, b)
	case *msg.Ping:
	default:
		h.log.Debug("message that an OSD has no use for", "type", m.Type, "peer", c.PeerName().String())
	}
	m.Release()
}

// tell begins a command of a client, if it may.
func (h *osdHandler) tell(c *msgr.Conn, s *pg.Session, m *msgr.Message, b *msg.Command) {
	if s == nil {
		return
	}
	sink := tellSink{c, m.TID}
	switch {
	case !s.Caps.AllowAll():
		sink.answer(osd.CommandReply{Result: -int32(errno.EACCES)})
	default:
		h.in.put(osd.Command{ID: sink, Text: b.Cmd, In: buffer.ListOf(bytes.Clone(b.Data.Bytes()))})
	}
}

func (h *osdHandler) Closed(c *msgr.Conn, err error) {
	if fromMons(c) {
		h.mons.Closed(c, err)
		return
	}
	if !c.Incoming() {
		h.fetches.closed(c)
		return
	}
	if s, ok := c.Value().(*pg.Session); ok {
		for _, shard := range h.shards {
			shard.in.post(pg.SessionClosed{Session: s})
		}
	}
}

func (h *osdHandler) RemoteReset(c *msgr.Conn) { c.Close() }

// crushWeight is a size in TiB, 16.16, as a new OSD enters the CRUSH map.
func crushWeight(size uint64) uint32 { return uint32(size >> 24) }

// loadAverages are those of the machine.
func loadAverages() (one, fifteen float64, processors int) {
	var five float64
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(b), &one, &five, &fifteen)
	}
	return one, fifteen, runtime.NumCPU()
}
