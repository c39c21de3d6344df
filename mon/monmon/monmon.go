// Package monmon keeps the monitor map (Ceph's MonmapMonitor), and with it the
// number each monitor has in the raft group and what it has told of itself.
//
// A monitor's rank changes when others come or go; its raft number does not.
package monmon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	keyMap   = "map/"  // + epoch
	keyRaft  = "raft"  // numbers by name
	keyStore = "store" // instances by name, last number
	keyGone  = "gone"  // former members by number
	keyMeta  = "meta/" // + name
	keptMaps = 500
)

// Quorum is what the core knows of the monitors that agree.
type Quorum struct {
	Names  []string // by rank
	Leader string   // "" while there is none
	Epoch  uint64   // election epoch: odd while electing, in Ceph
	Since  time.Time
}

// Clock is how a monitor's clock differs from the leader's.
type Clock struct{ Skew, Latency time.Duration }

// Space is what the file system of a monitor's store has, in bytes; Total 0:
// unknown.
type Space struct{ Total, Available uint64 }

// unclaimed is the instance of a monitor that was added and has not come yet.
var unclaimed = entity.UUID{0xff}

// Core is what the service asks of the monitor.
type Core interface {
	service.Host
	Quorum() Quorum
	Features() uint64
	// InGroup reports whether a number is in the raft group.
	InGroup(id uint64) bool
	// Clocks and Space are of the monitors in quorum, as the leader knows them.
	Clocks() map[string]Clock
	Space() map[string]Space
}

// Service is the machine.
type Service struct {
	host Core
	r    service.Reader

	m         *monmap.Map
	raw       []byte
	ids       map[string]uint64
	instances map[string]entity.UUID // of the stores of those that joined
	lastID    uint64                 // the highest number that any monitor had
	gone      map[uint64]Former
	meta      map[string]map[string]string

	pending change
}

// change is what one commit alters.
type change struct {
	Map  []byte            // nil: none
	IDs  map[string]uint64 // with Map
	Meta map[string]map[string]string
	next *monmap.Map // Map while it is pending
	// With Map.
	Instances map[string]entity.UUID
	LastID    uint64
	Gone      map[uint64]Former
}

// Former is a monitor that is in the map no more, under its number, but may
// still be in the raft group: its vote may be needed to get it out.
type Former struct {
	Name  string
	Addrs entity.AddrVec
}

func encodeGone(e *wire.Encoder, m map[uint64]Former) {
	wire.EncodeMap(e, m, func(id uint64, f Former) { e.U64(id); e.Str(f.Name); f.Addrs.Encode(e) })
}

func decodeGone(d *wire.Decoder) map[uint64]Former {
	return wire.DecodeMap(d, 16, func() (id uint64, f Former) {
		id, f.Name = d.U64(), d.Str()
		f.Addrs.Decode(d)
		return id, f
	})
}

func (c change) Encode(e *wire.Encoder) {
	m := e.Begin(3, 1)
	e.Blob(c.Map)
	wire.EncodeMap(e, c.IDs, func(n string, id uint64) { e.Str(n); e.U64(id) })
	wire.EncodeMap(e, c.Meta, func(n string, kv map[string]string) {
		e.Str(n)
		encodeStrings(e, kv)
	})
	c.encodeStores(e)
	encodeGone(e, c.Gone)
	e.End(m)
}

func (c change) encodeStores(e *wire.Encoder) {
	wire.EncodeMap(e, c.Instances, func(n string, u entity.UUID) { e.Str(n); u.Encode(e) })
	e.U64(c.LastID)
}

func (c *change) decodeStores(d *wire.Decoder) {
	c.Instances = wire.DecodeMap(d, 20, func() (n string, u entity.UUID) { n = d.Str(); u.Decode(d); return n, u })
	c.LastID = d.U64()
}

func (c *change) Decode(d *wire.Decoder) {
	env := d.Begin("monmap change", 3)
	c.Map = slices.Clone(d.Blob())
	c.IDs = wire.DecodeMap(d, 12, func() (string, uint64) { return d.Str(), d.U64() })
	c.Meta = wire.DecodeMap(d, 8, func() (string, map[string]string) { return d.Str(), decodeStrings(d) })
	if c.Instances, c.LastID = nil, 0; env.Version >= 2 {
		c.decodeStores(d)
	}
	if c.Gone = nil; env.Version >= 3 {
		c.Gone = decodeGone(d)
	}
	d.End(env)
}

func encodeStrings(e *wire.Encoder, kv map[string]string) {
	wire.EncodeMap(e, kv, func(k, v string) { e.Str(k); e.Str(v) })
}

func decodeStrings(d *wire.Decoder) map[string]string {
	return wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
}

// New makes the service.
func New(h Core) *Service { return &Service{host: h} }

// Name is the service's.
func (m *Service) Name() string { return "monmap" }

// Found makes the first change.
func Found(first *monmap.Map, ids map[string]uint64) []byte {
	return wire.Marshal(change{Map: first.Encode(), IDs: ids})
}

func mapKey(epoch uint32) string { return keyMap + fmt.Sprintf("%08x", epoch) }

// Load reads the state.
func (m *Service) Load(r service.Reader) error {
	m.r, m.m, m.raw, m.ids, m.meta = r, nil, nil, map[string]uint64{}, map[string]map[string]string{}
	m.instances, m.lastID, m.gone = map[string]entity.UUID{}, 0, nil
	for _, v := range r.Scan(keyMap, keyMap+"\xff") {
		m.raw = v
	}
	if m.raw != nil {
		var err error
		if m.m, err = monmap.Decode(m.raw); err != nil {
			return err
		}
	}
	if v := r.Get(keyRaft); v != nil {
		d := wire.NewDecoder(v)
		m.ids = wire.DecodeMap(d, 12, func() (string, uint64) { return d.Str(), d.U64() })
		if err := d.Finish(); err != nil {
			return err
		}
	}
	if v := r.Get(keyStore); v != nil {
		d := wire.NewDecoder(v)
		var c change
		c.decodeStores(d)
		if err := d.Finish(); err != nil {
			return err
		}
		m.instances, m.lastID = c.Instances, c.LastID
	}
	m.countIDs()
	if v := r.Get(keyGone); v != nil {
		d := wire.NewDecoder(v)
		m.gone = decodeGone(d)
		if err := d.Finish(); err != nil {
			return err
		}
	}
	for k, v := range r.Scan(keyMeta, keyMeta+"\xff") {
		d := wire.NewDecoder(v)
		m.meta[strings.TrimPrefix(k, keyMeta)] = decodeStrings(d)
		if err := d.Finish(); err != nil {
			return err
		}
	}
	m.Drop()
	return nil
}

// countIDs keeps the highest number.
func (m *Service) countIDs() {
	for _, id := range m.ids {
		m.lastID = max(m.lastID, id)
	}
}

// Propose returns what is pending.
func (m *Service) Propose(time.Time) []byte {
	c := m.pending
	m.Drop()
	if c.next == nil && len(c.Meta) == 0 {
		return nil
	}
	if c.next != nil {
		c.Map = c.next.Encode()
	}
	return wire.Marshal(c)
}

// Drop forgets what is pending.
func (m *Service) Drop() { m.pending = change{} }

// Apply folds a change in.
func (m *Service) Apply(b []byte, w service.Writer) error {
	var c change
	if err := wire.Unmarshal(b, &c); err != nil {
		return err
	}
	if len(c.Map) > 0 {
		next, err := monmap.Decode(c.Map)
		if err != nil {
			return err
		}
		m.m, m.raw, m.ids = next, c.Map, c.IDs
		w.Put(mapKey(next.Epoch), c.Map)
		if next.Epoch > keptMaps {
			w.Delete(mapKey(next.Epoch - keptMaps))
		}
		var e wire.Encoder
		wire.EncodeMap(&e, c.IDs, func(n string, id uint64) { e.Str(n); e.U64(id) })
		w.Put(keyRaft, e.Bytes())
		m.instances, m.lastID = c.Instances, max(m.lastID, c.LastID)
		m.countIDs()
		var stores wire.Encoder
		change{Instances: m.instances, LastID: m.lastID}.encodeStores(&stores)
		w.Put(keyStore, stores.Bytes())
		m.gone = c.Gone
		var gone wire.Encoder
		encodeGone(&gone, m.gone)
		w.Put(keyGone, gone.Bytes())
		for n := range m.meta {
			if next.Mons[n] == nil {
				delete(m.meta, n)
				w.Delete(keyMeta + n)
			}
		}
	}
	if m.meta == nil {
		m.meta = map[string]map[string]string{}
	}
	for _, n := range slices.Sorted(maps.Keys(c.Meta)) {
		m.meta[n] = c.Meta[n]
		var e wire.Encoder
		encodeStrings(&e, c.Meta[n])
		w.Put(keyMeta+n, e.Bytes())
	}
	return nil
}

// Map is the committed map; it is read only.
func (m *Service) Map() *monmap.Map { return m.m }

// FSID is the cluster's.
func (m *Service) FSID() msg.FSID {
	if m.m == nil {
		return msg.FSID{}
	}
	return msg.FSID(m.m.FSID)
}

// RaftID returns a monitor's number in the raft group, 0 if it is not in it.
func (m *Service) RaftID(name string) uint64 { return m.ids[name] }

// RaftIDs are the numbers by name. They are read only.
func (m *Service) RaftIDs() map[string]uint64 { return m.ids }

// Instance is the store that a monitor joined with; zero for one that was there
// from the beginning.
func (m *Service) Instance(name string) entity.UUID { return m.instances[name] }

// RaftName is the inverse.
func (m *Service) RaftName(id uint64) string {
	for n, i := range m.ids {
		if i == id {
			return n
		}
	}
	return ""
}

// Message is the map, for who asks.
func (m *Service) Message() msg.Body { return &msg.MonMap{Map: m.raw} }

// Topics is what can be subscribed to.
func (m *Service) Topics() []string { return []string{"monmap"} }

// Versions are the epochs at hand.
func (m *Service) Versions(string) (oldest, newest uint64) {
	return uint64(m.oldest()), uint64(m.m.Epoch)
}

func (m *Service) oldest() uint32 {
	for k := range m.r.Scan(keyMap, keyMap+"\xff") {
		n, _ := strconv.ParseUint(strings.TrimPrefix(k, keyMap), 16, 32)
		return uint32(n)
	}
	return m.m.Epoch
}

// Publish sends the map if it is new to the subscriber.
func (m *Service) Publish(_ *service.Session, _ string, next uint64) ([]msg.Body, uint64) {
	if next > uint64(m.m.Epoch) {
		return nil, next
	}
	return []msg.Body{m.Message()}, uint64(m.m.Epoch) + 1
}

// next is the pending map and what goes with it, begun if there is none.
func (m *Service) next(now time.Time) (*monmap.Map, *change) {
	c := &m.pending
	if c.next == nil {
		c.next = m.m.Clone()
		c.next.Epoch++
		c.next.LastChanged = now
		c.next.RemovedRanks = nil
		c.IDs, c.Instances, c.LastID = maps.Clone(m.ids), maps.Clone(m.instances), m.lastID
		if c.Instances == nil {
			c.Instances = map[string]entity.UUID{}
		}
		c.Gone = map[uint64]Former{}
		for id, f := range m.gone {
			if m.host.InGroup(id) {
				c.Gone[id] = f
			}
		}
	}
	return c.next, c
}

// Former is who had a number that is not in the map any more.
func (m *Service) Former(id uint64) (Former, bool) {
	f, ok := m.gone[id]
	return f, ok
}

// dismiss notes in the pending change that a number is not a member's any more.
func (c *change) dismiss(name string) {
	if id := c.IDs[name]; id != 0 {
		c.Gone[id] = Former{name, c.next.Mons[name].Addrs}
		delete(c.IDs, name)
	}
}

// view is the map as it will be once what is pending is committed.
func (m *Service) view() *monmap.Map {
	if m.pending.next != nil {
		return m.pending.next
	}
	return m.m
}

// Add stages a new monitor.
func (m *Service) add(name string, addrs entity.AddrVec, instance entity.UUID, now time.Time) error {
	if n := len(m.view().Ranks); n >= maxMons {
		return fmt.Errorf("there are %d monitors already", n)
	}
	next, c := m.next(now)
	if err := next.Add(&monmap.Mon{Name: name, Addrs: addrs}); err != nil {
		return err
	}
	c.LastID++
	c.IDs[name], c.Instances[name] = c.LastID, instance
	return nil
}

// maxMons is more than anybody should have.
const maxMons = 31

// Join stages that a monitor with an empty store is one of these. Whatever had
// its name with another store gets out of the raft group.
func (m *Service) Join(name string, addrs entity.AddrVec, instance entity.UUID, now time.Time) error {
	if name == "" || len(addrs) == 0 {
		return errors.New("name or address is missing")
	}
	if m.view().Mons[name] == nil {
		return m.add(name, addrs, instance, now)
	}
	have := m.instances[name]
	if m.pending.next != nil {
		have = m.pending.Instances[name]
	}
	if have == instance {
		return nil
	}
	next, c := m.next(now)
	if have != unclaimed {
		c.dismiss(name)
		c.LastID++
		c.IDs[name] = c.LastID
	}
	c.Instances[name] = instance
	next.Mons[name].Addrs = addrs
	return nil
}

// Describe stages what a monitor tells of itself, if it is news.
func (m *Service) Describe(name string, meta map[string]string) {
	if m.m.Mons[name] == nil || maps.Equal(m.meta[name], meta) {
		return
	}
	if m.pending.Meta == nil {
		m.pending.Meta = map[string]map[string]string{}
	}
	m.pending.Meta[name] = meta
}

// Moved stages a monitor's addresses, if they are others than in the map: a
// cluster may be started anew elsewhere.
func (m *Service) Moved(name string, addrs entity.AddrVec, now time.Time) {
	mon := m.view().Mons[name]
	if mon == nil || len(addrs) == 0 || mon.Addrs.Equal(addrs) {
		return
	}
	next, _ := m.next(now)
	next.Mons[name].Addrs = addrs
}

// Daemons are the monitors.
func (m *Service) Daemons() []service.Daemon {
	var out []service.Daemon
	for _, n := range m.m.Ranks {
		out = append(out, service.Daemon{Type: entity.Mon, ID: n, Metadata: m.meta[n]})
	}
	return out
}
