package osd

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/pulpo-storage/pulpo/admin"
	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/heartbeat"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Notes are those of package pg.
const NoteCluster = pg.NoteCluster

// Config is what an OSD is told when it is made.
type Config struct {
	ID       int32
	Public   entity.AddrVec // where clients reach it, with the nonce of this process
	Cluster  entity.AddrVec // other OSDs; empty: Public
	HBFront  entity.AddrVec
	HBBack   entity.AddrVec
	Features uint64
	Class    string            // device class
	Weight   uint32            // CRUSH weight, 16.16: TiB
	Location map[string]string // CRUSH location
	Metadata map[string]string // for "osd metadata"
	Shards   int
	Options  *config.Config
	Version  admin.Version
	// Perf answers questions for counters, the shell's and ours; may be nil.
	Perf func(f *jsonfmt.Formatter, command, group, counter string)
	// ReopenLog goes on with a new file for the log; may be nil.
	ReopenLog func() error
	// Devices are the store's, for "list_devices".
	Devices []string
	// Load returns the machine's load averages of 1 and of 15 minutes and how many
	// processors it has; may be nil.
	Load func() (one, fifteen float64, processors int)
}

// State is how far the daemon is.
type State uint8

const (
	StateInitializing State = iota
	StatePreboot            // has no map, or one that lets it not up
	StateBooting            // has asked to be marked up
	StateActive
	StateWaiting  // was marked down, and waits until others answer
	StateStopping // has asked to be marked down
	StateStopped
)

var stateNames = [...]string{"initializing", "preboot", "booting", "active", "waiting_for_healthy", "stopping", "stopped"}

func (s State) String() string { return stateNames[s] }

// Event is an input of the OSD.
type Event interface{ osdEvent() }

// Start begins; the shell has a connection to the monitors, or is looking for one.
type Start struct{}

// MonConnected says that there is a connection to a monitor, a new one.
type MonConnected struct{}

// MonMessage is a message of a monitor: *msg.OSDMap, *msg.OSDDownAck.
type MonMessage struct{ Body msg.Body }

// Committed says that the OSD's own transactions up to a token are durable, or
// that the store failed.
type Committed struct {
	Token uint64
	Err   error
}

// WantEpoch: a shard has requests that wait for a map.
type WantEpoch struct{ Epoch uint32 }

// Command is a command of a client ("ceph tell") or of the admin socket.
type Command struct {
	ID   any // given back with the reply
	Text []string
	In   buffer.List // borrowed
}

// Stop asks to stop gracefully; Ready.Stopped says when it has.
type Stop struct{}

// Tick lets time pass.
type Tick struct{}

func (Start) osdEvent()        {}
func (MonConnected) osdEvent() {}
func (MonMessage) osdEvent()   {}
func (Committed) osdEvent()    {}
func (WantEpoch) osdEvent()    {}
func (Command) osdEvent()      {}
func (Stop) osdEvent()         {}
func (Tick) osdEvent()         {}
func (Answer) osdEvent()       {}
func (Moved) osdEvent()        {}

// Moved are groups that a shard has split off, now for their own shards.
type Moved struct{ Groups []object.SPG }

// Ready is what the OSD decided, in the order in which it must happen.
type Ready struct {
	// Writes are transactions on the meta collection.
	Writes []Write
	// ToShards are events for shards.
	ToShards []ToShard
	// ToHeartbeats are events for the heartbeats.
	ToHeartbeats []heartbeat.Event
	// Subscribe: if not zero, subscribe to the osdmap from that epoch on.
	Subscribe uint32
	// WantFull: the subscription is to begin with a full map.
	WantFull bool
	ToMon    []msg.Body
	Replies  []CommandReply
	Notes    []pg.Note
	Stopped  bool
	Fatal    error
}

// Write is a transaction of the OSD itself.
type Write struct {
	Token uint64
	Txn   *objstore.Txn
}

// ToShard is an event for a shard, or for all of them.
type ToShard struct {
	Shard int // -1: all
	Event ShardEvent
}

// CommandReply answers a command.
type CommandReply struct {
	ID     any
	Result int32
	Status string
	Out    []byte
}

// OSD is the part of the daemon that there is one of.
type OSD struct {
	cfg    Config
	store  objstore.Store
	shards []*Shard

	super     superblock
	maps      *Maps // Map is nil before the first
	published atomic.Pointer[Maps]
	givenTo   uint32        // epoch that the shards have; 0: none
	ungiven   []*osdmap.Map // newer ones; they may not be in the store yet
	state     State
	heard     uint32 // the newest map that a monitor has told this process of
	upSince   uint32 // epoch in which we were marked up
	bootEpoch uint32 // in which this process was, for the first time
	bootAt    time.Time
	stopAt    time.Time

	ready     Ready
	taken     bool
	nextToken uint64
	durable   uint64

	commands *admin.Table[func(c *call)]
	admin    admin.Daemon
	pgConfig *pg.Config
	history  historyLimits
	full     bool
	pretence pretence
	slots    scrub.Slots
	load     scrub.Load

	asks    map[uint64]*ask
	nextAsk uint64

	places    places
	hb        *heartbeat.Machine
	hbConfig  heartbeat.Config
	peers     []int32     // with whom groups are shared
	markdowns []time.Time // when we were marked down wrongly, of late
	wishes    wishes

	counters *counters
	reports  report
	wake     time.Time
	bench    *bench
}

// New makes an OSD of what its store holds.
func New(cfg Config, store objstore.Store, now time.Time) (*OSD, error) {
	o := &OSD{cfg: cfg, store: store, maps: &Maps{}, asks: map[uint64]*ask{}, commands: commands(), places: newPlaces()}
	var err error
	if o.super, err = readSuper(store); err != nil {
		return nil, err
	}
	if o.super.ID != cfg.ID {
		return nil, fmt.Errorf("osd.%d: the store is that of osd.%d: %w", cfg.ID, o.super.ID, errno.EINVAL)
	}
	if o.cfg.Shards < 1 {
		o.cfg.Shards = 1
	}
	// Monitors let pools have more groups only if all OSDs can split theirs.
	o.cfg.Metadata = maps.Clone(o.cfg.Metadata)
	if o.cfg.Metadata == nil {
		o.cfg.Metadata = map[string]string{}
	}
	o.cfg.Metadata["pg_split"] = "true"
	if len(o.cfg.Cluster) == 0 {
		o.cfg.Cluster = o.cfg.Public
	}
	o.hbConfig = heartbeat.Configuration(cfg.Options)
	o.hb = heartbeat.New(cfg.ID, o.super.FSID, o.hbConfig)
	o.wishes = wishes{temps: map[object.PG]wish{}, unasked: map[object.PG]bool{}}
	o.pgConfig, o.history = groupConfig(cfg.Options, 0, cfg.Shards), historyConfig(cfg.Options)
	o.limitPlaces()
	o.slots.SetMost(int(cfg.Options.Int("osd_max_scrubs")))
	o.admin = admin.Daemon{Config: cfg.Options, Version: cfg.Version, Changed: o.reconfigure, Perf: cfg.Perf, ReopenLog: cfg.ReopenLog}
	classes := Classes()
	o.counters = newCounters()
	sp := &splits{groups: map[object.SPG]uint32{}}
	for i := range o.cfg.Shards {
		o.shards = append(o.shards, newShard(i, o.cfg.Shards, cfg.ID, store, o.pgConfig, classes, &o.slots, o.counters, sp))
		o.shards[i].history.limits = o.history
	}
	if e := o.super.NewestMap; e > 0 {
		m, full, err := storedMap(store, e)
		if err != nil {
			return nil, fmt.Errorf("osd.%d: %w", cfg.ID, err)
		}
		o.maps = &Maps{Map: m, full: full, Oldest: o.super.OldestMap}
		for e := o.super.NewestMap; e > o.super.OldestMap && len(o.maps.recent) < maxRecent; e-- {
			b, err := readMeta(store, incName(e))
			if err != nil {
				break // there was none, or it is trimmed
			}
			o.maps.recent = append([][]byte{b}, o.maps.recent...)
		}
	}
	colls, err := store.Collections()
	if err != nil {
		return nil, fmt.Errorf("osd.%d: %w", cfg.ID, err)
	}
	for _, c := range colls {
		o.shards[ShardOf(c.PG.PG, o.cfg.Shards)].load(now, c.PG)
	}
	return o, nil
}

// Classes are the object classes that OSDs know.
func Classes() objclass.Registry {
	r := objclass.Registry{}
	registerClasses(r)
	return r
}

// Shards are the loops' machines. The shell steps each from one goroutine.
func (o *OSD) Shards() []*Shard { return o.shards }

// Heartbeats are the machine that pings other OSDs. The shell steps it from a
// goroutine of its own, so that nothing else holds it up.
func (o *OSD) Heartbeats() *heartbeat.Machine { return o.hb }

// Metrics are the counters of the daemon, "osd" in "perf dump".
func (o *OSD) Metrics() *metric.Group { return o.counters.group }

// Published returns the newest maps that the shards were given; nil before. It
// may be called from any goroutine.
func (o *OSD) Published() *Maps { return o.published.Load() }

// State is how far the daemon is.
func (o *OSD) State() State { return o.state }

// ID is the OSD's number.
func (o *OSD) ID() int32 { return o.cfg.ID }

// Disk is the uuid of the OSD's store.
func (o *OSD) Disk() entity.UUID { return o.super.UUID }

// Ready returns what was decided since the last call.
func (o *OSD) Ready() Ready {
	o.renew()
	o.taken = true
	return o.ready
}

func (o *OSD) renew() {
	if o.taken {
		o.taken = false
		o.ready = Ready{Fatal: o.ready.Fatal, Stopped: o.ready.Stopped}
	}
}

// Wake is when the OSD wants a Tick.
func (o *OSD) Wake() time.Time { return o.wake }

// Step takes in one event.
func (o *OSD) Step(now time.Time, in Event) {
	o.renew()
	switch in := in.(type) {
	case Start:
		o.start(now)
	case MonConnected:
		o.subscribe()
		// A monitor that is new to us, or new, may know nothing.
		o.reports.now, o.reports.sinceAll = true, reportAllEvery
		o.beat(heartbeat.MonConnected{})
		o.wishes.askAgain(now)
		if o.state == StateBooting || o.state == StatePreboot {
			o.boot(now)
		}
	case MonMessage:
		o.monMessage(now, in.Body)
	case Committed:
		if in.Err != nil {
			o.fatal(fmt.Errorf("osd.%d: commit: %w", o.cfg.ID, in.Err))
			return
		}
		o.durable = max(o.durable, in.Token)
		o.benchCommitted(now)
	case NeedUpThru, WantTemp:
		o.wish(now, in)
	case WantEpoch:
		if in.Epoch > o.super.NewestMap {
			o.subscribe()
		}
	case Command:
		o.command(now, in)
	case Answer:
		o.answered(now, in)
	case Places:
		o.takePlaces(in)
	case Moved:
		for _, id := range in.Groups {
			o.toShard(ShardOf(id.PG, o.cfg.Shards), Adopt{id})
		}
	case Stop:
		o.stop(now)
	case Tick:
		o.tick(now)
	default:
		panic(fmt.Sprintf("BUG: osd: event %T", in))
	}
	o.schedule(now)
}

func (o *OSD) note(level pg.NoteLevel, text string, err error) {
	o.ready.Notes = append(o.ready.Notes, pg.Note{Level: level, Text: text, Err: err})
}

func (o *OSD) fatal(err error) {
	if o.ready.Fatal == nil {
		o.ready.Fatal = err
	}
}

func (o *OSD) submit(txn *objstore.Txn) uint64 {
	o.nextToken++
	o.ready.Writes = append(o.ready.Writes, Write{o.nextToken, txn})
	return o.nextToken
}

func (o *OSD) toShard(i int, ev ShardEvent) {
	o.ready.ToShards = append(o.ready.ToShards, ToShard{i, ev})
}

func (o *OSD) enter(s State) {
	if o.state != s {
		o.state = s
		o.note(pg.NoteInfo, fmt.Sprintf("osd.%d is %v", o.cfg.ID, s), nil)
	}
}

// subscribe asks for the maps after the newest.
func (o *OSD) subscribe() { o.ready.Subscribe = o.super.NewestMap + 1 }

func (o *OSD) start(now time.Time) {
	o.enter(StatePreboot)
	o.subscribe()
	o.boot(now)
}

// bootEvery is how often to ask again to be marked up.
const bootEvery = 5 * time.Second

// boot asks to be marked up. It needs a map: a disk that has none may be a new
// one, or one whose cluster has gone on without it.
func (o *OSD) boot(now time.Time) {
	if o.maps.Map == nil || o.state == StateStopping || o.state == StateStopped {
		return
	}
	if err := o.dismissed(); err != nil {
		o.dismiss(err)
		return
	}
	if !o.mayBoot() {
		o.enter(StatePreboot) // until a map lets it
		return
	}
	o.enter(StateBooting)
	o.bootAt = now.Add(bootEvery)
	clean, place := o.cleanInterval(), o.place()
	o.ready.ToMon = append(o.ready.ToMon, &msg.OSDBoot{
		ID: o.cfg.ID, UUID: o.super.UUID, Epoch: o.super.NewestMap, BootEpoch: o.bootEpoch, CleanBegin: clean.Begin, CleanEnd: clean.End, Fresh: o.super.Mounted == 0,
		Public: o.cfg.Public, Cluster: o.cfg.Cluster, HBFront: o.cfg.HBFront, HBBack: o.cfg.HBBack, Features: o.cfg.Features,
		Class: place.class, Weight: place.weight, Location: place.location, Metadata: o.cfg.Metadata,
	})
}

func (o *OSD) monMessage(now time.Time, body msg.Body) {
	switch m := body.(type) {
	case *msg.OSDMap:
		o.onMaps(now, m)
	case *msg.OSDScrub:
		o.onScrub(m)
	case *msg.OSDForceRecovery:
		for _, g := range m.PGs {
			o.toShard(ShardOf(g, o.cfg.Shards), ForPG{object.SPG{PG: g, Shard: object.NoShard}, pg.Force{Backfill: m.Backfill, Cancel: m.Cancel}})
		}
	case *msg.OSDDownAck:
		if o.state == StateStopping {
			o.stopped()
		}
	}
}

// isUp reports whether the map shows this process, and not one before it.
func (o *OSD) isUp(m *osdmap.Map) bool {
	return m.IsUp(o.cfg.ID) && m.ClientAddrs[o.cfg.ID].Equal(o.cfg.Public)
}

func (o *OSD) onMaps(now time.Time, in *msg.OSDMap) {
	o.counters.mapMessages.Inc()
	o.heard = max(o.heard, in.Newest)
	fresh, wantFull, err := o.takeMaps(in)
	if err != nil {
		o.note(NoteCluster, "maps of the monitors", err)
		return
	}
	if wantFull {
		o.ready.WantFull = true
		o.subscribe()
	}
	if len(fresh) == 0 {
		if in.Newest > o.super.NewestMap {
			o.subscribe()
		}
		return
	}
	o.ungiven = append(o.ungiven, fresh...)
	o.counters.mapEpochs.Add(uint64(len(in.Full) + len(in.Incrementals)))
	o.counters.mapDups.Add(uint64(max(0, len(in.Full)+len(in.Incrementals)-len(fresh))))
	m := o.maps.Map
	defer o.tellHeartbeats()
	o.wishes.grant(m, o.cfg.ID)
	if err := o.dismissed(); err != nil && o.state != StateStopping && o.state != StateStopped {
		o.dismiss(err)
		return
	}
	switch up := o.isUp(m); {
	case o.state == StateStopping && !up:
		o.stopped()
	case o.state == StateStopping || o.state == StateStopped:
	case up && o.state != StateActive:
		o.upSince = m.Info[o.cfg.ID].UpFrom
		if o.bootEpoch == 0 {
			o.bootEpoch = o.upSince
		}
		o.super.Mounted, o.super.CleanThru = o.upSince, 0
		var txn objstore.Txn
		o.super.write(&txn)
		o.submit(&txn)
		o.enter(StateActive)
		o.reports.now = true
	case !up && o.state == StateActive:
		o.markedDown(now)
		return
	case o.state == StateWaiting:
		o.comeBack(now)
	case !up:
		// A map from before us, or we have been marked down to make place.
		if o.bootAt.IsZero() || o.state == StatePreboot || !m.IsUp(o.cfg.ID) {
			o.boot(now)
		}
	}
	if o.state == StateActive || o.givenTo > 0 {
		o.giveMaps()
	}
}

// giveMaps hands the shards the maps that they lack.
func (o *OSD) giveMaps() {
	m := o.maps.Map
	var list []*osdmap.Map
	if o.givenTo == 0 {
		// The first ones: all that the groups have not seen. What is missing was
		// trimmed; the groups take a gap for a change.
		first := m.Epoch + 1
		if len(o.ungiven) > 0 {
			first = o.ungiven[0].Epoch
		}
		for e := o.oldestNeeded(); e < first; e++ {
			if old, _, err := storedMap(o.store, e); err == nil {
				list = append(list, old)
			}
		}
	}
	list = append(list, o.ungiven...)
	o.ungiven = nil
	if len(list) == 0 {
		return
	}
	o.givenTo = m.Epoch
	o.published.Store(o.maps)
	o.toShard(-1, NewMaps{o.maps, list})
	// What the groups make of it is news for the monitors.
	o.reports.now = true
	o.reconfigure()
}

// oldestNeeded is the oldest epoch that a group has not gone beyond.
func (o *OSD) oldestNeeded() uint32 {
	oldest := o.super.NewestMap
	for _, s := range o.shards {
		for _, p := range s.groups {
			oldest = min(oldest, max(p.Info().Epoch, 1))
		}
	}
	return max(oldest, o.super.OldestMap)
}

// stop asks to be marked down first, so that clients look elsewhere before they
// miss us. By then the shards serve nobody any more, and the monitors are told so:
// the next primaries need not wait until our leases have ended.
func (o *OSD) stop(now time.Time) {
	if o.state == StateStopping || o.state == StateStopped {
		return
	}
	was := o.state
	o.enter(StateStopping)
	if was != StateActive {
		o.stopped()
		return
	}
	o.stopAt = now.Add(o.cfg.Options.Seconds("osd_mon_shutdown_timeout"))
	o.toShard(-1, Halt{})
	o.askAll(Ask{About: AboutCounts}, func(time.Time, []Answer) {
		if o.state == StateStopping {
			o.ready.ToMon = append(o.ready.ToMon, &msg.OSDMarkDown{ID: o.cfg.ID, Epoch: o.super.NewestMap, Dead: true})
		}
	})
}

// stopped is the end: the store says that it was a clean one.
func (o *OSD) stopped() {
	if o.state == StateStopped {
		return
	}
	o.enter(StateStopped)
	o.beat(heartbeat.Stopped{})
	o.super.CleanThru = o.super.NewestMap
	var txn objstore.Txn
	o.super.write(&txn)
	o.submit(&txn)
	o.ready.Stopped = true
}

func (o *OSD) tick(now time.Time) {
	switch {
	case o.state == StateBooting && !now.Before(o.bootAt):
		o.boot(now)
	case o.state == StatePreboot:
		o.subscribe()
	case o.state == StateWaiting:
		o.comeBack(now)
	case o.state == StateStopping && !now.Before(o.stopAt):
		// The monitors are not there to tell; they will notice.
		o.stopped()
	}
	o.wishTick(now)
	o.reportTick(now)
}

// schedule sets when to be woken.
func (o *OSD) schedule(now time.Time) {
	o.wake = o.reports.next
	if o.wake.IsZero() || o.state != StateActive {
		o.wake = now.Add(time.Second)
	}
	if t := o.wishes.deadline; !t.IsZero() && t.Before(o.wake) {
		o.wake = t
	}
	for _, t := range []time.Time{o.bootAt, o.stopAt} {
		if (o.state == StateBooting || o.state == StateStopping) && t.After(now) && t.Before(o.wake) {
			o.wake = t
		}
	}
	if o.reports.now && o.state == StateActive {
		o.wake = now
	}
}
