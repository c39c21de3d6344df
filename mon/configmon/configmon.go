// Package configmon is the central configuration (Ceph's ConfigMonitor):
// settings of options for everybody, a type of daemon, or one daemon, perhaps
// only of a device class or a place in the CRUSH map.
//
// The settings are keys of kvmon, config/SECTION/[MASK/]NAME, with their history
// under config-history/VERSION/: a state of its own is not needed. What a
// session's daemon is concerned by is pushed to it (MConfig) when it subscribes
// and when that changes.
package configmon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/kvmon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

const (
	keyConfig  = "config/"
	keyHistory = "config-history/"
)

// setting is one committed setting.
type setting struct {
	target
	name  string
	value string
	key   string // without keyConfig
}

// Placer tells where an OSD is in the CRUSH map.
type Placer interface {
	// Place returns the device class and the buckets above it by type.
	Place(osd int32) (class string, loc map[string]string)
}

// Service is the machine.
type Service struct {
	host   service.Host
	kv     *kvmon.Service
	placer Placer // nil: nothing is known
	exists func(entity.AuthName) bool

	settings []setting // in the order in which they are listed
	version  uint64    // newest version of the history
	sent     map[uint64]map[string]string
}

// New makes the service over the keys of kv.
func New(h service.Host, kv *kvmon.Service) *Service {
	return &Service{host: h, kv: kv, sent: map[uint64]map[string]string{}}
}

// SetDaemons tells who knows which daemons there are.
func (m *Service) SetDaemons(exists func(entity.AuthName) bool) { m.exists = exists }

// SetPlacer tells who knows where OSDs are.
func (m *Service) SetPlacer(p Placer) { m.placer = p }

// Changed reads the settings again if a commit touched them, and reports whether
// it did.
func (m *Service) Changed(keys []string) bool {
	touched := slices.ContainsFunc(keys, func(k string) bool {
		return strings.HasPrefix(k, keyConfig) || strings.HasPrefix(k, keyHistory)
	})
	if touched {
		m.Reload()
	}
	return touched
}

// Reload reads the settings.
func (m *Service) Reload() {
	m.settings = nil
	for k, v := range m.kv.Reader().Scan(keyConfig, keyConfig+"\xff") {
		k = strings.TrimPrefix(k, keyConfig)
		who, name := splitKey(k)
		t, ok := parseTarget(who)
		if o := config.Find(name); !ok || o != nil && o.Has("no_mon_update") {
			continue // written past us, by config-key
		}
		m.settings = append(m.settings, setting{target: t, name: name, value: string(v), key: k})
	}
	slices.SortStableFunc(m.settings, func(a, b setting) int {
		if c := order(a.section) - order(b.section); c != 0 {
			return c
		}
		if c := strings.Compare(a.section, b.section); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	m.version = 1
	for k := range m.kv.Reader().Scan(keyHistory, keyHistory+"\xff") {
		num, _, _ := strings.Cut(strings.TrimPrefix(k, keyHistory), "/")
		if n, err := strconv.ParseUint(num, 10, 64); err == nil {
			m.version = max(m.version, n)
		}
	}
}

// order is the place of a section in lists: global, then each type and its
// daemons.
func order(section string) int {
	typ, _, _ := strings.Cut(section, ".")
	return slices.Index(types, typ) + 1
}

// splitKey splits a key into its target and its name; names of module options
// have slashes: mgr/mgr/balancer/active.
func splitKey(k string) (who, name string) {
	if i := strings.Index(k, "/mgr/"); i >= 0 {
		return k[:i], k[i+1:]
	}
	i := strings.LastIndexByte(k, '/')
	if i < 0 {
		return "", k
	}
	return k[:i], k[i+1:]
}

func (m *Service) place(name entity.AuthName) place {
	p := place{name: name}
	if id, err := strconv.ParseInt(name.ID, 10, 32); err == nil && name.Type == entity.OSD && m.placer != nil {
		p.class, p.loc = m.placer.Place(int32(id))
	}
	return p
}

// effective returns the settings that are for a daemon, by option.
func (m *Service) effective(p place) map[string]setting {
	out := map[string]setting{}
	for _, s := range m.settings {
		if s.section != "global" && s.section != p.name.Type.String() && s.section != p.name.String() || !s.matches(p) {
			continue
		}
		if old, ok := out[s.name]; !ok || s.rank() >= old.rank() {
			out[s.name] = s
		}
	}
	return out
}

// For returns what is sent to a daemon or client.
func (m *Service) For(name entity.AuthName) map[string]string {
	out := map[string]string{}
	for n, s := range m.effective(m.place(name)) {
		out[n] = s.value
	}
	return out
}

// Topics is what can be subscribed to.
func (m *Service) Topics() []string { return []string{"config"} }

// Versions are not asked for.
func (m *Service) Versions(string) (oldest, newest uint64) { return 1, m.version }

// Publish sends a subscriber its configuration, at first even if it is empty:
// clients wait for it.
func (m *Service) Publish(s *service.Session, _ string, next uint64) ([]msg.Body, uint64) {
	now := m.For(s.Auth)
	if before, told := m.sent[s.ID]; told && next != 0 && maps.Equal(before, now) {
		return nil, next
	}
	m.sent[s.ID] = now
	return []msg.Body{&msg.Config{Options: now}}, m.version + 1
}

// SessionClosed forgets what a session was sent.
func (m *Service) SessionClosed(s *service.Session) { delete(m.sent, s.ID) }

// Found stages the settings a new cluster begins with, by section.
func (m *Service) Found(now time.Time, options map[string]map[string]string) error {
	changes := map[string]*string{}
	for section, settings := range options {
		for name, value := range settings {
			v, bad, ok := check(config.Name(name), value, false)
			if !ok {
				return fmt.Errorf("option %s: %s", name, bad.Status)
			}
			changes[section+"/"+config.Name(name)] = &v
		}
	}
	m.stage(now, "", changes)
	return nil
}
