// Package mgrmap says which manager is active and what it can do (Ceph's
// MgrMap, src/mon/MgrMap.h). Clients subscribe to it to learn where statistics
// are reported and manager commands are sent.
//
// A Map that was published is read only. Source: doc/protocol/maps.md#mgrmap.
//
// No compatibility promise.
package mgrmap

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/wire"
)

// ModuleOption describes a setting of a module.
type ModuleOption struct {
	Name     string
	Type     uint8
	Level    uint8
	Flags    uint32
	Default  string
	Min, Max string
	Enum     []string
	Desc     string
	LongDesc string
	Tags     []string
	SeeAlso  []string
}

var (
	optionTypes  = []string{"uint", "int", "str", "float", "bool", "addr", "addrvec", "uuid", "size", "secs", "millisecs"}
	optionLevels = []string{"basic", "advanced", "dev"}
)

func name(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "unknown"
}

// Module describes a module that a manager has.
type Module struct {
	Name    string
	CanRun  bool
	Error   string // why it cannot
	Options map[string]*ModuleOption
}

// Standby is a manager that waits.
type Standby struct {
	GID      uint64
	Name     string
	Modules  []*Module
	Features uint64
}

// Client is one of the RADOS clients that the active manager has; they are
// blocklisted when it fails.
type Client struct {
	Name  string
	Addrs entity.AddrVec
}

// Map is MgrMap.
type Map struct {
	Epoch               uint32
	ActiveAddrs         entity.AddrVec
	ActiveGID           uint64 // 0: none
	Available           bool   // the active one serves
	ActiveName          string
	Standbys            map[uint64]*Standby
	Modules             []string          // that are on
	Services            map[string]string // name -> URI
	AvailableModules    []*Module
	ActiveChange        time.Time
	AlwaysOnModules     map[uint32][]string // by release
	ActiveFeatures      uint64
	LastFailureOSDEpoch uint32
	Clients             []Client
}

// Encode returns the map as it travels.
func (m *Map) Encode() []byte {
	var e wire.Encoder
	m.EncodeTo(&e)
	return e.Bytes()
}

// EncodeTo appends the map to e; MMgrMap carries it without a length.
func (m *Map) EncodeTo(e *wire.Encoder) {
	mark := e.Begin(12, 6)
	e.U32(m.Epoch)
	m.ActiveAddrs.Encode(e)
	e.U64(m.ActiveGID)
	e.Bool(m.Available)
	e.Str(m.ActiveName)
	wire.EncodeMap(e, m.Standbys, func(gid uint64, s *Standby) {
		e.U64(gid)
		mark := e.Begin(4, 1)
		e.U64(s.GID)
		e.Str(s.Name)
		names := make([]string, 0, len(s.Modules))
		for _, m := range s.Modules {
			names = append(names, m.Name)
		}
		slices.Sort(names)
		wire.EncodeSlice(e, names, e.Str)
		wire.EncodeSlice(e, s.Modules, func(m *Module) { m.encode(e) })
		e.U64(s.Features)
		e.End(mark)
	})
	wire.EncodeSlice(e, m.Modules, e.Str)
	wire.EncodeMap(e, m.Services, func(k, v string) {
		e.Str(k)
		e.Str(v)
	})
	wire.EncodeSlice(e, m.AvailableModules, func(m *Module) { m.encode(e) })
	e.Time(m.ActiveChange)
	wire.EncodeMap(e, m.AlwaysOnModules, func(release uint32, modules []string) {
		e.U32(release)
		wire.EncodeSlice(e, modules, e.Str)
	})
	e.U64(m.ActiveFeatures)
	e.U32(m.LastFailureOSDEpoch)
	wire.EncodeSlice(e, m.Clients, func(c Client) { c.Addrs.Encode(e) })
	wire.EncodeSlice(e, m.Clients, func(c Client) { e.Str(c.Name) })
	e.End(mark)
}

// Decode reads a map of nautilus or newer.
func Decode(b []byte) (*Map, error) {
	d := wire.NewDecoder(b)
	m := new(Map)
	m.DecodeFrom(d)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("mgrmap: %w", err)
	}
	return m, nil
}

// DecodeFrom reads the map from d; errors stay there.
func (m *Map) DecodeFrom(d *wire.Decoder) {
	env := d.Begin("MgrMap", 12)
	if env.Version < 8 && d.Err() == nil {
		d.Failf("manager map of version %d is from before nautilus", env.Version)
	}
	m.Epoch = d.U32()
	m.ActiveAddrs.Decode(d)
	m.ActiveGID = d.U64()
	m.Available = d.Bool()
	m.ActiveName = d.Str()
	m.Standbys = wire.DecodeMap(d, 14, func() (uint64, *Standby) {
		gid, s := d.U64(), new(Standby)
		env := d.Begin("MgrMap::StandbyInfo", 4)
		s.GID = d.U64()
		s.Name = d.Str()
		var names []string
		if env.Version >= 2 {
			names = wire.DecodeSlice(d, 4, d.Str)
		}
		if env.Version >= 3 {
			s.Modules = wire.DecodeSlice(d, 6, func() *Module { return decodeModule(d) })
		} else {
			for _, n := range names {
				s.Modules = append(s.Modules, &Module{Name: n, CanRun: true})
			}
		}
		if env.Version >= 4 {
			s.Features = d.U64()
		}
		d.End(env)
		return gid, s
	})
	m.Modules = wire.DecodeSlice(d, 4, d.Str)
	m.Services = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
	m.AvailableModules = wire.DecodeSlice(d, 6, func() *Module { return decodeModule(d) })
	m.ActiveChange = d.Time()
	m.AlwaysOnModules = wire.DecodeMap(d, 8, func() (uint32, []string) { return d.U32(), wire.DecodeSlice(d, 4, d.Str) })
	if env.Version >= 9 {
		m.ActiveFeatures = d.U64()
	}
	if env.Version >= 10 {
		m.LastFailureOSDEpoch = d.U32()
	}
	if env.Version >= 11 {
		m.Clients = wire.DecodeSlice(d, 5, func() (c Client) { c.Addrs.Decode(d); return c })
	}
	if env.Version >= 12 {
		names := wire.DecodeSlice(d, 4, d.Str)
		if len(names) != len(m.Clients) && d.Err() == nil {
			d.Failf("%d names for %d clients", len(names), len(m.Clients))
		}
		for i := range min(len(names), len(m.Clients)) {
			m.Clients[i].Name = names[i]
		}
	}
	d.End(env)
}

func (m *Module) encode(e *wire.Encoder) {
	mark := e.Begin(2, 1)
	e.Str(m.Name)
	e.Bool(m.CanRun)
	e.Str(m.Error)
	wire.EncodeMap(e, m.Options, func(name string, o *ModuleOption) {
		e.Str(name)
		mark := e.Begin(1, 1)
		e.Str(o.Name)
		e.U8(o.Type)
		e.U8(o.Level)
		e.U32(o.Flags)
		e.Str(o.Default)
		e.Str(o.Min)
		e.Str(o.Max)
		wire.EncodeSlice(e, o.Enum, e.Str)
		e.Str(o.Desc)
		e.Str(o.LongDesc)
		wire.EncodeSlice(e, o.Tags, e.Str)
		wire.EncodeSlice(e, o.SeeAlso, e.Str)
		e.End(mark)
	})
	e.End(mark)
}

func decodeModule(d *wire.Decoder) *Module {
	m := new(Module)
	env := d.Begin("MgrMap::ModuleInfo", 2)
	m.Name = d.Str()
	m.CanRun = d.Bool()
	m.Error = d.Str()
	if env.Version >= 2 {
		m.Options = wire.DecodeMap(d, 10, func() (string, *ModuleOption) {
			name, o := d.Str(), new(ModuleOption)
			env := d.Begin("MgrMap::ModuleOption", 1)
			o.Name = d.Str()
			o.Type = d.U8()
			o.Level = d.U8()
			o.Flags = d.U32()
			o.Default = d.Str()
			o.Min = d.Str()
			o.Max = d.Str()
			o.Enum = wire.DecodeSlice(d, 4, d.Str)
			o.Desc = d.Str()
			o.LongDesc = d.Str()
			o.Tags = wire.DecodeSlice(d, 4, d.Str)
			o.SeeAlso = wire.DecodeSlice(d, 4, d.Str)
			d.End(env)
			return name, o
		})
	}
	d.End(env)
	return m
}

// Dump writes the fields of `ceph mgr dump` into the open object.
func (m *Map) Dump(f *jsonfmt.Formatter) {
	f.Uint("epoch", uint64(m.Epoch))
	f.Uint("active_gid", m.ActiveGID)
	f.Str("active_name", m.ActiveName)
	f.AddrVec("active_addrs", m.ActiveAddrs)
	f.Str("active_addr", m.ActiveAddrs.LegacyString())
	f.Str("active_change", jsonfmt.Time(m.ActiveChange))
	f.Uint("active_mgr_features", m.ActiveFeatures)
	f.Bool("available", m.Available)
	f.Array("standbys", func() {
		for _, gid := range slices.Sorted(maps.Keys(m.Standbys)) {
			s := m.Standbys[gid]
			f.Object("standby", func() {
				f.Uint("gid", s.GID)
				f.Str("name", s.Name)
				f.Uint("mgr_features", s.Features)
				dumpModules(f, s.Modules)
			})
		}
	})
	f.Strs("modules", "module", m.Modules)
	dumpModules(f, m.AvailableModules)
	f.Object("services", func() {
		for _, k := range slices.Sorted(maps.Keys(m.Services)) {
			f.Str(k, m.Services[k])
		}
	})
	f.Object("always_on_modules", func() {
		for _, r := range slices.Sorted(maps.Keys(m.AlwaysOnModules)) {
			f.Strs(entity.Release(r).String(), "module", m.AlwaysOnModules[r])
		}
	})
	f.Uint("last_failure_osd_epoch", uint64(m.LastFailureOSDEpoch))
	f.Array("active_clients", func() {
		for _, c := range m.Clients {
			f.OpenObject("client")
			f.Str("name", c.Name)
			f.Array("addrvec", func() {
				for _, a := range c.Addrs {
					f.Object("addr", func() { f.Addr(a) })
				}
			})
			f.Close()
		}
	})
}

func dumpModules(f *jsonfmt.Formatter, modules []*Module) {
	f.OpenArray("available_modules")
	for _, m := range modules {
		f.OpenObject("module")
		f.Str("name", m.Name)
		f.Bool("can_run", m.CanRun)
		f.Str("error_string", m.Error)
		f.OpenObject("module_options")
		for _, k := range slices.Sorted(maps.Keys(m.Options)) {
			o := m.Options[k]
			f.OpenObject(k)
			f.Str("name", o.Name)
			f.Str("type", name(optionTypes, o.Type))
			f.Str("level", name(optionLevels, o.Level))
			f.Uint("flags", uint64(o.Flags))
			f.Str("default_value", o.Default)
			f.Str("min", o.Min)
			f.Str("max", o.Max)
			f.Strs("enum_allowed", "option", o.Enum)
			f.Str("desc", o.Desc)
			f.Str("long_desc", o.LongDesc)
			f.Strs("tags", "tag", o.Tags)
			f.Strs("see_also", "option", o.SeeAlso)
			f.Close()
		}
		f.Close()
		f.Close()
	}
	f.Close()
}
