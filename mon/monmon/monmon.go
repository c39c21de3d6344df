// Package monmon keeps the monitor map (Ceph's MonmapMonitor), and with it the
// number each monitor has in the raft group and what it has told of itself.
//
// A monitor's rank changes when others come or go; its raft number does not.
package monmon

import (
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

// Core is what the service asks of the monitor.
type Core interface {
	service.Host
	Quorum() Quorum
	Features() uint64
}

// Service is the machine.
type Service struct {
	host Core
	r    service.Reader

	m    *monmap.Map
	raw  []byte
	ids  map[string]uint64
	meta map[string]map[string]string

	pending change
}

// change is what one commit alters.
type change struct {
	Map  []byte            // nil: none
	IDs  map[string]uint64 // with Map
	Meta map[string]map[string]string
}

func (c change) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Blob(c.Map)
	wire.EncodeMap(e, c.IDs, func(n string, id uint64) { e.Str(n); e.U64(id) })
	wire.EncodeMap(e, c.Meta, func(n string, kv map[string]string) {
		e.Str(n)
		encodeStrings(e, kv)
	})
	e.End(m)
}

func (c *change) Decode(d *wire.Decoder) {
	env := d.Begin("monmap change", 1)
	c.Map = slices.Clone(d.Blob())
	c.IDs = wire.DecodeMap(d, 12, func() (string, uint64) { return d.Str(), d.U64() })
	c.Meta = wire.DecodeMap(d, 8, func() (string, map[string]string) { return d.Str(), decodeStrings(d) })
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

// Propose returns what is pending.
func (m *Service) Propose(time.Time) []byte {
	c := m.pending
	m.Drop()
	if c.Map == nil && len(c.Meta) == 0 {
		return nil
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

// Describe stages what this monitor tells of itself, if it is news.
func (m *Service) Describe(meta map[string]string) {
	if !maps.Equal(m.meta[m.host.Name()], meta) {
		m.pending.Meta = map[string]map[string]string{m.host.Name(): meta}
	}
}

// Moved stages this monitor's addresses, if they are others than in the map:
// a cluster may be started anew elsewhere.
func (m *Service) Moved(addrs entity.AddrVec, now time.Time) {
	mon := m.m.Mons[m.host.Name()]
	if mon == nil || len(addrs) == 0 || mon.Addrs.Equal(addrs) {
		return
	}
	next := m.m.Clone()
	next.Epoch++
	next.LastChanged = now
	next.Mons[m.host.Name()].Addrs = addrs
	m.pending.Map, m.pending.IDs = next.Encode(), m.ids
}

// Daemons are the monitors.
func (m *Service) Daemons() []service.Daemon {
	var out []service.Daemon
	for _, n := range m.m.Ranks {
		out = append(out, service.Daemon{Type: entity.Mon, ID: n, Metadata: m.meta[n]})
	}
	return out
}
