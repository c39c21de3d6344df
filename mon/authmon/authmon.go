// Package authmon keeps the cluster's accounts (Ceph's AuthMonitor): names,
// secrets and capabilities, the rotating secrets of services, and the range of
// global ids.
//
// The content of the key server that handshakes read is replaced after each
// commit, so a login sees an account as soon as the command that made it was
// answered.
//
// Global ids are handed out from a range that is committed before its first id
// is used; a new leader begins above it, so no id is given twice.
package authmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	keyEntity   = "entity/" // + name
	keyRotating = "rotating"
	keyMaxID    = "max_global_id"

	// firstGlobalID is where a stock cluster begins.
	firstGlobalID = 4096
	idBatch       = 10000 // mon_globalid_prealloc
)

// Service is the machine.
type Service struct {
	host service.Host
	keys *cephx.KeyServer
	ttl  func() cephx.TTLs

	entities cephx.Keyring
	rotating cephx.Rotating
	maxID    uint64 // committed end of the range

	nextID  uint64
	pending change

	expiry time.Time // of the first account that ends; zero: none does

	badCaps []string // accounts whose capabilities do not parse
	checked bool     // since the last change
}

// change is what one commit alters. A zero Entity removes.
type change struct {
	entities cephx.Keyring
	removed  map[entity.AuthName]bool
	rotating cephx.Rotating
	maxID    uint64
}

func (c *change) empty() bool {
	return len(c.entities) == 0 && len(c.removed) == 0 && c.rotating == nil && c.maxID == 0
}

func (c change) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	c.entities.Encode(e)
	wire.EncodeMapFunc(e, c.removed, entity.AuthName.Compare, func(n entity.AuthName, _ bool) { n.Encode(e) })
	e.Bool(c.rotating != nil)
	if c.rotating != nil {
		c.rotating.Encode(e)
	}
	e.U64(c.maxID)
	e.End(m)
}

func (c *change) Decode(d *wire.Decoder) {
	env := d.Begin("auth change", 1)
	c.entities.Decode(d)
	for n := range c.entities {
		// Accounts are kept by their text.
		if p, err := entity.ParseAuthName(n.String()); err != nil {
			d.Fail(err)
		} else if p != n {
			d.Fail(fmt.Errorf("account %q is not %q", n, p))
		}
	}
	c.removed = wire.DecodeMap(d, 8, func() (n entity.AuthName, _ bool) { n.Decode(d); return n, true })
	if d.Bool() {
		c.rotating.Decode(d)
	}
	c.maxID = d.U64()
	d.End(env)
}

// New makes the service. ttl tells how long tickets shall live.
func New(h service.Host, keys *cephx.KeyServer, ttl func() cephx.TTLs) *Service {
	return &Service{host: h, keys: keys, ttl: ttl}
}

// Name is the service's.
func (m *Service) Name() string { return "auth" }

// Bootstrap are the accounts that a new cluster has beside those it is given:
// with each a new daemon of one kind introduces itself.
var Bootstrap = []string{"mds", "mgr", "osd", "rbd", "rbd-mirror", "rgw"}

// Found makes the first change: the given accounts and the bootstrap ones.
func (m *Service) Found(g service.Genesis, accounts cephx.Keyring) ([]byte, error) {
	c := change{entities: maps.Clone(accounts), maxID: firstGlobalID}
	if c.entities == nil {
		c.entities = cephx.Keyring{}
	}
	for _, kind := range Bootstrap {
		name := entity.AuthName{Type: entity.Client, ID: "bootstrap-" + kind}
		if _, ok := c.entities[name]; ok {
			continue
		}
		key, err := cephx.NewKey(g.Created, g.Rand)
		if err != nil {
			return nil, err
		}
		c.entities[name] = cephx.Entity{Key: key, Caps: map[string]string{"mon": "allow profile bootstrap-" + kind}}
	}
	rotating, _, err := cephx.Rotating(nil).Rotate(g.Created, cephx.TTLs{}, g.Rand)
	if err != nil {
		return nil, err
	}
	c.rotating = rotating
	return wire.Marshal(c), nil
}

// Load reads the state.
func (m *Service) Load(r service.Reader) error {
	m.entities, m.rotating, m.maxID = cephx.Keyring{}, nil, 0
	for k, v := range r.Scan(keyEntity, keyEntity+"\xff") {
		name, err := entity.ParseAuthName(strings.TrimPrefix(k, keyEntity))
		if err != nil {
			return err
		}
		var n cephx.Entity
		if err := wire.Unmarshal(v, &n); err != nil {
			return fmt.Errorf("account %v: %w", name, err)
		}
		m.entities[name] = n
	}
	if v := r.Get(keyRotating); v != nil {
		if err := wire.Unmarshal(v, &m.rotating); err != nil {
			return fmt.Errorf("rotating secrets: %w", err)
		}
	}
	if v := r.Get(keyMaxID); v != nil {
		d := wire.NewDecoder(v)
		m.maxID = d.U64()
		if err := d.Finish(); err != nil {
			return fmt.Errorf("global ids: %w", err)
		}
	}
	m.nextID = m.maxID // until Lead
	m.Drop()
	m.publish()
	return nil
}

func (m *Service) publish() {
	m.checked = false
	m.expiry = firstExpiry(m.entities)
	if m.keys != nil {
		m.keys.Replace(m.entities, m.rotating)
	}
}

// Propose returns what is pending.
func (m *Service) Propose(time.Time) []byte {
	c := m.pending
	m.Drop()
	if c.empty() {
		return nil
	}
	return wire.Marshal(c)
}

// Drop forgets what is pending.
func (m *Service) Drop() {
	m.pending = change{entities: cephx.Keyring{}, removed: map[entity.AuthName]bool{}}
}

// Apply folds a change in.
func (m *Service) Apply(b []byte, w service.Writer) error {
	var c change
	if err := wire.Unmarshal(b, &c); err != nil {
		return err
	}
	// The key server's readers still hold the old map.
	entities := maps.Clone(m.entities)
	if entities == nil {
		entities = cephx.Keyring{}
	}
	for name, n := range c.entities {
		entities[name] = n
	}
	for _, name := range c.entities.Names() {
		w.Put(keyEntity+name.String(), wire.Marshal(c.entities[name]))
	}
	for name := range c.removed {
		delete(entities, name)
	}
	for _, name := range sortedNames(c.removed) {
		w.Delete(keyEntity + name.String())
	}
	m.entities = entities
	if c.rotating != nil {
		m.rotating = c.rotating
		w.Put(keyRotating, wire.Marshal(c.rotating))
	}
	if c.maxID != 0 {
		m.maxID = c.maxID
		var e wire.Encoder
		e.U64(c.maxID)
		w.Put(keyMaxID, e.Bytes())
	}
	m.publish()
	return nil
}

func sortedNames(set map[entity.AuthName]bool) []entity.AuthName {
	ring := cephx.Keyring{}
	for n := range set {
		ring[n] = cephx.Entity{}
	}
	return ring.Names()
}

// Lead is called when this monitor begins to lead: ids that the leader before
// may have given out are skipped.
func (m *Service) Lead() { m.nextID = max(m.maxID, firstGlobalID) }

// TakeGlobalIDs returns up to n fresh ids, if the committed range has any. Only
// the leader has.
func (m *Service) TakeGlobalIDs(n uint64) (first, last uint64, ok bool) {
	if m.nextID >= m.maxID {
		return 0, 0, false
	}
	first, last = m.nextID+1, min(m.nextID+n, m.maxID)
	m.nextID = last
	return first, last, true
}

// Wake says when ids run low or secrets must be rotated.
func (m *Service) Wake() time.Time {
	if m.maxID-min(m.nextID, m.maxID) < idBatch/2 && m.pending.maxID == 0 {
		return m.host.Now()
	}
	var due time.Time
	if m.pending.rotating == nil {
		if due = m.rotating.Due(); due.IsZero() {
			return m.host.Now()
		}
	}
	if !m.expiry.IsZero() && (due.IsZero() || m.expiry.Before(due)) {
		due = m.expiry
	}
	return due
}

// Tick stages what Wake said.
func (m *Service) Tick(now time.Time) {
	if !m.expiry.IsZero() && !now.Before(m.expiry) {
		m.expire(now)
	}
	if m.maxID-min(m.nextID, m.maxID) < idBatch/2 && m.pending.maxID == 0 {
		m.pending.maxID = max(m.maxID, firstGlobalID) + idBatch
	}
	if r, changed, err := m.rotating.Rotate(now, m.ttl(), m.host.Rand()); err == nil && changed && m.pending.rotating == nil {
		m.pending.rotating = r
	}
}

// Entity returns an account as it will be once what is pending is committed.
func (m *Service) Entity(name entity.AuthName) (cephx.Entity, bool) {
	if m.pending.removed[name] {
		return cephx.Entity{}, false
	}
	if n, ok := m.pending.entities[name]; ok {
		return n, true
	}
	n, ok := m.entities[name]
	return n, ok
}

// Put stages an account.
func (m *Service) Put(name entity.AuthName, n cephx.Entity) {
	delete(m.pending.removed, name)
	m.pending.entities[name] = n
}

// Remove stages the removal of an account.
func (m *Service) Remove(name entity.AuthName) {
	delete(m.pending.entities, name)
	m.pending.removed[name] = true
}

// Checks: capabilities that do not parse allow nothing, so somebody is locked
// out.
func (m *Service) Checks(time.Time) []service.Check {
	if !m.checked {
		m.checked, m.badCaps = true, nil
		for _, name := range m.entities.Names() {
			for _, s := range slices.Sorted(maps.Keys(m.entities[name].Caps)) {
				if err := caps.Validate(s, m.entities[name].Caps[s]); err != nil {
					m.badCaps = append(m.badCaps, name.String()+" "+words(err))
				}
			}
		}
	}
	if m.badCaps == nil {
		return nil
	}
	return []service.Check{{
		Code: "AUTH_BAD_CAPS", Severity: service.Err, Count: int64(len(m.badCaps)), Detail: m.badCaps,
		Summary: fmt.Sprintf("%d auth entities have invalid capabilities", len(m.badCaps)),
	}}
}

// Accounts is how many there are.
func (m *Service) Accounts() int { return len(m.entities) }
