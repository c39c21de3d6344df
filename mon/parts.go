package mon

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/authmon"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/configmon"
	"github.com/pulpo-storage/pulpo/mon/crashmon"
	"github.com/pulpo-storage/pulpo/mon/fsmon"
	"github.com/pulpo-storage/pulpo/mon/healthmon"
	"github.com/pulpo-storage/pulpo/mon/kvmon"
	"github.com/pulpo-storage/pulpo/mon/logmon"
	"github.com/pulpo-storage/pulpo/mon/mgrmapmon"
	"github.com/pulpo-storage/pulpo/mon/mgrmon"
	"github.com/pulpo-storage/pulpo/mon/module"
	"github.com/pulpo-storage/pulpo/mon/monmon"
	"github.com/pulpo-storage/pulpo/mon/osdmon"
	"github.com/pulpo-storage/pulpo/mon/service"
)

// Manager is the manager that this process plays.
type Manager = mgrmapmon.Manager

// parts are the services of a monitor, wired.
type parts struct {
	m *Mon

	mon    *monmon.Service
	auth   *authmon.Service
	kv     *kvmon.Service
	config *configmon.Service
	crash  *crashmon.Service
	log    *logmon.Service
	health *healthmon.Service
	mgr    *mgrmapmon.Service
	fs     *fsmon.Service
	osd    *osdmon.Service
	stats  *mgrmon.Service
	module *module.Service

	services  []service.Service // with replicated state, in the order of their changes
	byName    map[string]service.Service
	all       []any
	tickers   []service.Ticker
	closers   []service.Closer
	receivers map[uint16]service.Receiver
	topics    map[string]service.Publisher
	inventory []service.Inventory
	following map[string][]service.Publisher // who has news when a service changed
}

func newParts(m *Mon) *parts {
	p := &parts{
		m: m, byName: map[string]service.Service{}, receivers: map[uint16]service.Receiver{},
		topics: map[string]service.Publisher{}, following: map[string][]service.Publisher{},
	}
	p.mon = monmon.New(m)
	p.auth = authmon.New(m, m.cfg.Keys, m.ticketTTLs)
	p.kv = kvmon.New(m, func(keys []string) {
		if p.config.Changed(keys) {
			m.configured()
		}
		p.crash.Changed(keys)
	})
	p.config = configmon.New(m, p.kv)
	p.crash = crashmon.New(m, p.kv, p.managerOption)
	p.log = logmon.New(m)
	p.health = healthmon.New(m)
	manager := m.cfg.Manager
	manager.Metadata = m.versioned(manager.Metadata)
	p.mgr = mgrmapmon.New(m, manager)
	p.fs = fsmon.New(m)
	p.osd = osdmon.New(m)
	p.stats = mgrmon.New(m, p.osd)
	p.osd.UseAccounts(accounts{p.auth})
	p.module = module.New(module.Config{
		Host: m, KV: p.kv, Mgr: p.mgr, OSD: p.osd, Stats: p.stats, Option: p.managerOption, Exists: p.exists,
	})

	p.services = []service.Service{p.mon, p.auth, p.kv, p.mgr, p.osd, p.health, p.log}
	p.all = []any{p.mon, p.auth, p.kv, p.config, p.crash, p.mgr, p.osd, p.stats, p.fs, p.health, p.log, p.module}
	var checkers []service.Checker
	for _, s := range p.services {
		p.byName[s.Name()] = s
	}
	for _, x := range p.all {
		if t, ok := x.(service.Ticker); ok {
			p.tickers = append(p.tickers, t)
		}
		if c, ok := x.(service.Closer); ok {
			p.closers = append(p.closers, c)
		}
		if c, ok := x.(service.Checker); ok {
			checkers = append(checkers, c)
		}
		if i, ok := x.(service.Inventory); ok {
			p.inventory = append(p.inventory, i)
		}
		if r, ok := x.(service.Receiver); ok {
			for _, typ := range r.Messages() {
				p.receivers[typ] = r
			}
		}
		if pub, ok := x.(service.Publisher); ok {
			for _, topic := range pub.Topics() {
				p.topics[topic] = pub
			}
			if s, ok := x.(service.Service); ok {
				p.following[s.Name()] = append(p.following[s.Name()], pub)
			}
		}
	}
	// The configuration lives in the key-value store; what of it is for an OSD
	// depends on where the OSD is.
	p.following[p.kv.Name()] = append(p.following[p.kv.Name()], p.config)
	p.following[p.osd.Name()] = append(p.following[p.osd.Name()], p.config)
	if pl, ok := any(p.osd).(configmon.Placer); ok {
		p.config.SetPlacer(pl)
	}
	p.config.SetDaemons(func(n entity.AuthName) bool {
		return slices.ContainsFunc(p.daemons(n.Type), func(d service.Daemon) bool { return d.ID == n.ID })
	})
	p.health.Watch(checkers,
		[]service.Reporter{p.mon, p.mgr, p.fs, p.osd, p.stats},
		[]service.Reporter{p.mon, p.osd, p.stats, p.fs, p.mgr})
	return p
}

// loaded is called when all services have read their state.
func (p *parts) loaded() {
	p.config.Reload()
	p.m.configured()
	p.crash.Reload()
}

// managerOption is the value that an option was given for the active manager,
// "" if it was given none.
func (p *parts) managerOption(name string) string {
	return p.config.For(entity.AuthName{Type: entity.Mgr, ID: p.mgr.Map().ActiveName})[name]
}

// lead is called when this monitor begins to lead.
func (p *parts) lead(now time.Time) {
	p.auth.Lead()
	p.osd.Lead(now)
	p.stats.Lead()
	p.health.Lead()
	p.mgr.Lead(now)
	p.mon.Describe(p.m.cfg.Name, p.m.metadata())
	p.mon.Moved(p.m.cfg.Name, p.m.cfg.Addrs, now)
}

// ready reports whether the state is there: a monitor that joins has none yet.
func (p *parts) ready() bool { return p.mon.Map() != nil }

func (p *parts) commands(t *command.Table) {
	for _, x := range p.all {
		if c, ok := x.(service.Commander); ok {
			// What these know is in the leader's memory only.
			t.AtLeader = x == any(p.stats) || x == any(p.health) || x == any(p.module)
			c.Commands(t)
		}
	}
	t.AtLeader = false
	t.Find("osd last-stat-seq").Leader = true
}

// publisher returns who serves a topic, nil for nobody.
func (p *parts) publisher(topic string) service.Publisher {
	if pub := p.topics[topic]; pub != nil {
		return pub
	}
	for t, pub := range p.topics {
		if prefix, ok := strings.CutSuffix(t, "*"); ok && strings.HasPrefix(topic, prefix) {
			return pub
		}
	}
	return nil
}

func (p *parts) news(name string) []service.Publisher { return p.following[name] }

// daemons are all daemons of a type by id.
func (p *parts) daemons(typ entity.Type) []service.Daemon {
	var out []service.Daemon
	for _, i := range p.inventory {
		for _, d := range i.Daemons() {
			if d.Type == typ {
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b service.Daemon) int {
		x, errX := strconv.Atoi(a.ID)
		y, errY := strconv.Atoi(b.ID)
		if errX == nil && errY == nil {
			return x - y
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// exists reports whether there is a daemon, such as "osd.3".
func (p *parts) exists(daemon string) bool {
	typ, id, _ := strings.Cut(daemon, ".")
	t, ok := entity.ParseType(typ)
	return ok && slices.ContainsFunc(p.daemons(t), func(d service.Daemon) bool { return d.ID == id })
}

// ticketTTLs are the configured lifetimes of tickets.
func (m *Mon) ticketTTLs() cephx.TTLs {
	return cephx.TTLs{Auth: m.seconds("auth_mon_ticket_ttl", 0), Service: m.seconds("auth_service_ticket_ttl", 0)}
}

// seconds is an option that is a time.
func (m *Mon) seconds(name string, def time.Duration) time.Duration {
	f, err := strconv.ParseFloat(m.Option(name), 64)
	if err != nil {
		return def
	}
	return time.Duration(f * float64(time.Second))
}

// metadata is what this monitor tells of itself.
func (m *Mon) metadata() map[string]string {
	meta := m.versioned(m.cfg.Metadata)
	if !m.parts.ready() {
		return meta
	}
	if mon := m.parts.mon.Map().Mons[m.cfg.Name]; mon != nil {
		meta["addrs"] = mon.Addrs.String()
	}
	return meta
}

// versioned adds the version to what a daemon tells of itself.
func (m *Mon) versioned(given map[string]string) map[string]string {
	meta := maps.Clone(given)
	if meta == nil {
		meta = map[string]string{}
	}
	meta["ceph_version"] = m.cfg.Version
	meta["ceph_release"] = "pacific"
	meta["ceph_version_short"] = ShortVersion(m.cfg.Version)
	return meta
}
