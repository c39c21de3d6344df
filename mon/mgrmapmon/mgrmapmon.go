// Package mgrmapmon keeps the manager map (Ceph's MgrMonitor): which manager is
// active and where it listens. The manager is played by the leading monitor, so
// whoever begins to lead puts itself there.
//
// What a module of the stock manager would do is either done by the monitor, or
// not at all; the list of modules that are on is kept for tools that ask.
package mgrmapmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mgrmap"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	keyMap  = "map"
	keyMeta = "meta"
)

// AlwaysOn are the modules whose work is always done.
var AlwaysOn = []string{
	"balancer", "crash", "devicehealth", "orchestrator", "pg_autoscaler", "progress", "rbd_support", "status", "telemetry", "volumes",
}

// Module is a module of the stock manager that is not always on.
type Module struct {
	Name  string
	Error string // why it cannot run; "": it can
}

const notHere = "this manager does not have it"

// modules are all of them.
var modules = []Module{
	{"alerts", notHere}, {"influx", notHere}, {"insights", notHere}, {"iostat", ""}, {"localpool", notHere}, {"mirroring", notHere},
	{"nfs", notHere}, {"osd_support", notHere}, {"prometheus", "this manager's counters are at the address given with \"pulpo up --metrics\""},
	{"restful", notHere}, {"selftest", notHere}, {"snap_schedule", notHere}, {"stats", notHere}, {"telegraf", notHere},
	{"test_orchestrator", notHere}, {"zabbix", notHere},
}

// FindModule returns a module that is known by name, always on or not.
func FindModule(name string) (Module, bool) {
	for _, m := range modules {
		if m.Name == name {
			return m, true
		}
	}
	return Module{Name: name}, slices.Contains(AlwaysOn, name)
}

// Manager is the manager that a monitor plays.
type Manager struct {
	Name     string
	Addrs    entity.AddrVec
	Features uint64
	Metadata map[string]string
}

// Service is the machine.
type Service struct {
	host service.Host
	self Manager

	m    *mgrmap.Map
	raw  []byte
	meta map[string]map[string]string

	pending     *mgrmap.Map
	pendingMeta map[string]map[string]string // of all, nil: unchanged
}

// New makes the service of a monitor that plays self, if that has a name.
func New(h service.Host, self Manager) *Service { return &Service{host: h, self: self} }

// Name is the service's.
func (s *Service) Name() string { return "mgrmap" }

type change struct {
	Map  []byte
	Name string // whose metadata
	Meta map[string]string
	// All, if there are any, is the metadata of all managers.
	All map[string]map[string]string
}

func (c change) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	e.Blob(c.Map)
	e.Str(c.Name)
	text := func(k, v string) { e.Str(k); e.Str(v) }
	wire.EncodeMap(e, c.Meta, text)
	wire.EncodeMap(e, c.All, func(n string, kv map[string]string) { e.Str(n); wire.EncodeMap(e, kv, text) })
	e.End(m)
}

func (c *change) Decode(d *wire.Decoder) {
	env := d.Begin("mgrmap change", 2)
	c.Map = slices.Clone(d.Blob())
	c.Name = d.Str()
	text := func() (string, string) { return d.Str(), d.Str() }
	c.Meta = wire.DecodeMap(d, 8, text)
	if c.All = nil; env.Version >= 2 {
		c.All = wire.DecodeMap(d, 8, func() (string, map[string]string) { return d.Str(), wire.DecodeMap(d, 8, text) })
	}
	d.End(env)
}

// Found begins with a map without a manager.
func (s *Service) Found(g service.Genesis) []byte {
	m := &mgrmap.Map{
		Epoch: 1, Modules: []string{"iostat"}, ActiveChange: g.Created,
		AlwaysOnModules: map[uint32][]string{uint32(entity.Pacific): AlwaysOn},
	}
	return wire.Marshal(change{Map: m.Encode()})
}

// Load reads the state.
func (s *Service) Load(r service.Reader) error {
	s.m, s.raw, s.meta = &mgrmap.Map{}, nil, map[string]map[string]string{}
	s.Drop()
	if s.raw = r.Get(keyMap); s.raw == nil {
		return nil
	}
	var err error
	if s.m, err = mgrmap.Decode(s.raw); err != nil {
		return err
	}
	if v := r.Get(keyMeta); v != nil {
		var c change
		if err := wire.Unmarshal(v, &c); err != nil {
			return err
		}
		if s.meta = c.All; len(s.meta) == 0 {
			s.meta = map[string]map[string]string{c.Name: c.Meta}
		}
	}
	return nil
}

// Propose returns what is pending.
func (s *Service) Propose(time.Time) []byte {
	next, meta := s.pending, s.pendingMeta
	s.Drop()
	if next == nil {
		return nil
	}
	return wire.Marshal(change{Map: next.Encode(), Name: next.ActiveName, All: meta})
}

// Drop forgets what is pending.
func (s *Service) Drop() { s.pending, s.pendingMeta = nil, nil }

// Apply folds a change in.
func (s *Service) Apply(b []byte, w service.Writer) error {
	var c change
	if err := wire.Unmarshal(b, &c); err != nil {
		return err
	}
	m, err := mgrmap.Decode(c.Map)
	if err != nil {
		return err
	}
	s.m, s.raw = m, c.Map
	w.Put(keyMap, c.Map)
	if len(c.Meta) > 0 {
		c.All = map[string]map[string]string{c.Name: c.Meta} // as written by version 1
	}
	if len(c.All) > 0 {
		s.meta = c.All
		w.Put(keyMeta, wire.Marshal(change{All: c.All}))
	}
	return nil
}

// Map is the committed map; it is read only.
func (s *Service) Map() *mgrmap.Map { return s.m }

// next is the pending map, begun if there is none.
func (s *Service) next() *mgrmap.Map {
	if s.pending == nil {
		m := *s.m
		m.Modules, m.Standbys = slices.Clone(s.m.Modules), maps.Clone(s.m.Standbys)
		m.Epoch++
		s.pending = &m
	}
	return s.pending
}

// Lead stages that the manager of this monitor is the active one.
func (s *Service) Lead(now time.Time) {
	if s.self.Name == "" || s.m.Available && s.m.ActiveName == s.self.Name && s.m.ActiveAddrs.Equal(s.self.Addrs) {
		return
	}
	m := s.next()
	before := s.m.ActiveName
	m.ActiveName, m.ActiveAddrs, m.ActiveFeatures = s.self.Name, s.self.Addrs, s.self.Features
	// The manager has another number with each life, below the ids of clients like
	// that of a stock cluster's first manager.
	m.ActiveGID = s.newGID()
	m.ActiveChange, m.Available = now, true
	maps.DeleteFunc(m.Standbys, func(_ uint64, b *mgrmap.Standby) bool { return b.Name == s.self.Name })
	s.setMeta(s.self)
	if before != "" && before != s.self.Name {
		s.host.Log(msg.LogInfo, "", "Activating manager daemon %s", s.self.Name)
	}
	s.host.Log(msg.LogInfo, "", "Manager daemon %s is now available", s.self.Name)
}

// newGID is a number that no manager of the map has.
func (s *Service) newGID() uint64 {
	m := s.current()
	n := max(m.ActiveGID, 4097-1)
	for _, b := range m.Standbys {
		n = max(n, b.GID)
	}
	return n + 1
}

func (s *Service) setMeta(of Manager) {
	if s.pendingMeta == nil {
		s.pendingMeta = maps.Clone(s.meta)
		if s.pendingMeta == nil {
			s.pendingMeta = map[string]map[string]string{}
		}
	}
	kv := of.Metadata
	if kv == nil {
		kv = map[string]string{}
	}
	s.pendingMeta[of.Name] = kv
}

// Standbys stages who else could be the manager: those of the other monitors in
// quorum, in any order.
func (s *Service) Standbys(all []Manager) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Manager) int { return strings.Compare(a.Name, b.Name) })
	all = slices.DeleteFunc(all, func(b Manager) bool { return b.Name == "" || b.Name == s.current().ActiveName })
	all = slices.CompactFunc(all, func(a, b Manager) bool { return a.Name == b.Name })
	have := map[string]*mgrmap.Standby{}
	for _, b := range s.current().Standbys {
		have[b.Name] = b
	}
	same := len(have) == len(all)
	for _, b := range all {
		same = same && have[b.Name] != nil
	}
	if same {
		return
	}
	m := s.next()
	gid := s.newGID()
	m.Standbys = map[uint64]*mgrmap.Standby{}
	for _, b := range all {
		if old := have[b.Name]; old != nil {
			m.Standbys[old.GID] = old
			continue
		}
		m.Standbys[gid] = &mgrmap.Standby{GID: gid, Name: b.Name, Features: b.Features}
		gid++
		s.setMeta(b)
		s.host.Log(msg.LogInfo, "", "Standby manager daemon %s started", b.Name)
	}
}

// Topics is what can be subscribed to.
func (s *Service) Topics() []string { return []string{"mgrmap", "servicemap"} }

// Versions are the epochs at hand.
func (s *Service) Versions(topic string) (oldest, newest uint64) {
	if topic == "servicemap" {
		return 1, 1
	}
	return uint64(s.m.Epoch), uint64(s.m.Epoch)
}

// Publish sends the map if it is new to the subscriber.
func (s *Service) Publish(_ *service.Session, topic string, next uint64) ([]msg.Body, uint64) {
	_, newest := s.Versions(topic)
	if next > newest {
		return nil, next
	}
	if topic == "servicemap" {
		var e wire.Encoder
		m := e.Begin(1, 1)
		e.U32(1)
		e.Time(time.Time{})
		e.U32(0) // no services: gateways report elsewhere
		e.End(m)
		return []msg.Body{&msg.ServiceMap{Map: e.Bytes()}}, newest + 1
	}
	return []msg.Body{&msg.MgrMap{Map: s.raw}}, newest + 1
}

// Daemons are the active manager and those that stand by.
func (s *Service) Daemons() []service.Daemon {
	if !s.m.Available {
		return nil
	}
	all := []service.Daemon{{Type: entity.Mgr, ID: s.m.ActiveName, Metadata: s.meta[s.m.ActiveName]}}
	for _, gid := range slices.Sorted(maps.Keys(s.m.Standbys)) {
		b := s.m.Standbys[gid]
		all = append(all, service.Daemon{Type: entity.Mgr, ID: b.Name, Metadata: s.meta[b.Name]})
	}
	return all
}

// Commands registers mgr ... .
func (s *Service) Commands(t *command.Table) {
	t.Read("mgr dump", s.dump)
	t.Read("mgr stat", s.stat)
	t.Read("mgr services", func(c *command.Call) command.Reply {
		return c.Dump(func(f *jsonfmt.Formatter) { f.Object("services", func() {}) })
	})
	t.Read("mgr module ls", s.moduleLs)
	t.Write("mgr module enable", s.moduleEnable)
	t.Write("mgr module disable", s.moduleDisable)
	t.Write("mgr fail", s.fail)
	t.Read("service dump", func(c *command.Call) command.Reply {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Object("service_map", func() { s.DumpServices(f) })
		})
	})
	t.Read("service status", func(c *command.Call) command.Reply {
		return c.Dump(func(f *jsonfmt.Formatter) { f.Object("service_status", func() {}) })
	})
}

// DumpServices writes the members of the map of services in JSON.
func (s *Service) DumpServices(f *jsonfmt.Formatter) {
	f.Int("epoch", 1)
	f.Str("modified", jsonfmt.Time(time.Time{}))
	f.Object("services", func() {})
}

func (s *Service) dump(c *command.Call) command.Reply {
	if e := c.Int("epoch"); e != 0 && e != int64(s.m.Epoch) {
		return command.Fail(errno.ENOENT, "there is no map for epoch %d", e)
	}
	return c.Dump(func(f *jsonfmt.Formatter) { f.Object("mgrmap", func() { s.m.Dump(f) }) })
}

func (s *Service) stat(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("stat", func() {
			f.Uint("epoch", uint64(s.m.Epoch))
			f.Bool("available", s.m.Available)
			f.Str("active_name", s.m.ActiveName)
			f.Int("num_standby", int64(len(s.m.Standbys)))
		})
	})
}

func (s *Service) moduleLs(c *command.Call) command.Reply {
	return c.Dump(func(f *jsonfmt.Formatter) {
		f.Object("modules", func() {
			f.Strs("always_on_modules", "module", AlwaysOn)
			f.Strs("enabled_modules", "module", s.m.Modules)
			f.Array("disabled_modules", func() {
				for _, m := range modules {
					if !slices.Contains(s.m.Modules, m.Name) {
						f.Object("module", func() {
							f.Str("name", m.Name)
							f.Bool("can_run", m.Error == "")
							f.Str("error_string", m.Error)
							f.Object("module_options", func() {})
						})
					}
				}
			})
		})
	})
}

func (s *Service) moduleEnable(c *command.Call) command.Reply {
	n := c.Str("module")
	module, known := FindModule(n)
	switch {
	case n == "":
		return command.Fail(errno.EINVAL, "")
	case slices.Contains(AlwaysOn, n):
		return command.Say("module '%s' is already enabled (always-on)", n)
	case slices.Contains(s.current().Modules, n):
		return command.Say("module '%s' is already enabled", n)
	case !known && !c.Bool("force"):
		return command.Fail(errno.ENOENT, "all mgr daemons do not support module '%s', pass --force to force enablement", n)
	case module.Error != "" && !c.Bool("force"):
		return command.Fail(errno.ENOENT, "module '%s' reports that it cannot run on the active manager daemon: %s (pass --force to force enablement)",
			n, module.Error)
	}
	m := s.next()
	m.Modules = append(m.Modules, n)
	slices.Sort(m.Modules)
	return command.Committed("")
}

func (s *Service) current() *mgrmap.Map {
	if s.pending != nil {
		return s.pending
	}
	return s.m
}

func (s *Service) moduleDisable(c *command.Call) command.Reply {
	n := c.Str("module")
	switch {
	case n == "":
		return command.Fail(errno.EINVAL, "")
	case slices.Contains(AlwaysOn, n):
		return command.Fail(errno.EINVAL, "module '%s' cannot be disabled (always-on)", n)
	case !slices.Contains(s.current().Modules, n):
		return command.Say("module '%s' is already disabled", n)
	}
	m := s.next()
	m.Modules = slices.DeleteFunc(m.Modules, func(x string) bool { return x == n })
	return command.Committed("")
}

// fail makes the active manager begin anew: there is no other one.
func (s *Service) fail(c *command.Call) command.Reply {
	who := c.StrOr("who", s.m.ActiveName)
	if who != s.m.ActiveName || !s.m.Available {
		return command.Say("Daemon not found '%s', already failed?", who)
	}
	s.next().ActiveChange = c.Now
	return command.Committed("")
}

// Checks: without a manager nothing counts placement groups.
func (s *Service) Checks(time.Time) []service.Check {
	if s.current().Available {
		return nil
	}
	return []service.Check{{Code: "MGR_DOWN", Severity: service.Warn, Summary: "no active mgr", Count: 1}}
}

// StatusServices is the line of "ceph -s".
func (s *Service) StatusServices(now time.Time) []service.Line {
	text := "no daemons active"
	if s.m.Available {
		text = fmt.Sprintf("%s(active, since %s)", s.m.ActiveName, service.Age(now.Sub(s.m.ActiveChange)))
		var names []string
		for _, b := range s.m.Standbys {
			names = append(names, b.Name)
		}
		if slices.Sort(names); len(names) > 0 {
			text += ", standbys: " + strings.Join(names, ", ")
		}
	}
	return []service.Line{{Label: "mgr", Text: text}}
}

// StatusSections has nothing to add.
func (s *Service) StatusSections(time.Time) []service.Section { return nil }

// StatusDump writes the members of the JSON status.
func (s *Service) StatusDump(f *jsonfmt.Formatter, _ time.Time) {
	f.Object("mgrmap", func() {
		f.Bool("available", s.m.Available)
		f.Int("num_standbys", int64(len(s.m.Standbys)))
		f.Strs("modules", "module", s.m.Modules)
		f.Object("services", func() {})
	})
	f.Object("servicemap", func() { s.DumpServices(f) })
	f.Object("progress_events", func() {})
}
