// Package monmap is the list of monitors (Ceph's MonMap, src/mon/MonMap.h):
// names, addresses and ranks. It is the first thing a client asks for and the
// last word on who may vote: a monitor's rank, its position in Ranks, is its
// number in mon.N.
//
// A Map that was published is read only; Clone it to make the next epoch.
// Source: doc/protocol/maps.md#monmap.
//
// No compatibility promise.
package monmap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/wire"
)

// Features of the monitors (mon_feature_t).
type Features uint64

// FeaturesPacific are what a new cluster of this release has persistently.
const FeaturesPacific Features = 255

var featureNames = []string{"kraken", "luminous", "mimic", "osdmap-prune", "nautilus", "octopus", "pacific", "elector-pinging"}

// Names returns the names of the features, lowest bit first.
func (f Features) Names() []string {
	s := []string{}
	for i, n := range featureNames {
		if f&(1<<i) != 0 {
			s = append(s, n)
		}
	}
	return s
}

// FeatureByName is the inverse of Names for one feature.
func FeatureByName(name string) (Features, bool) {
	i := slices.Index(featureNames, name)
	if i < 0 {
		return 0, false
	}
	return 1 << i, true
}

func (f Features) encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(uint64(f))
	e.End(m)
}

func (f *Features) decode(d *wire.Decoder) {
	env := d.Begin("mon_feature_t", 1)
	*f = Features(d.U64())
	d.End(env)
}

// Mon is one monitor (mon_info_t).
type Mon struct {
	Name     string
	Addrs    entity.AddrVec
	Priority uint16
	Weight   uint16
	CrushLoc map[string]string
}

// Strategy is how monitors elect a leader.
type Strategy uint8

const (
	Classic      Strategy = 1 // the lowest rank that can
	Disallow     Strategy = 2 // of those that are allowed to
	Connectivity Strategy = 3 // the best connected
)

// Map is MonMap.
type Map struct {
	FSID          entity.UUID
	Epoch         uint32
	LastChanged   time.Time
	Created       time.Time
	Persistent    Features
	Optional      Features
	Mons          map[string]*Mon
	Ranks         []string // names in the order of their ranks
	MinMonRelease entity.Release

	RemovedRanks      []uint32 // of the last change
	Strategy          Strategy
	DisallowedLeaders []string
	StretchMode       bool
	TiebreakerMon     string
	StretchMarkedDown []string
}

// New returns an empty map of a new cluster.
func New(fsid entity.UUID, created time.Time) *Map {
	return &Map{
		FSID: fsid, Created: created, LastChanged: created, Persistent: FeaturesPacific,
		Mons: map[string]*Mon{}, MinMonRelease: entity.Pacific, Strategy: Classic,
	}
}

// Clone returns a copy to change.
func (m *Map) Clone() *Map {
	c := *m
	c.Mons = make(map[string]*Mon, len(m.Mons))
	for name, mon := range m.Mons {
		n := *mon
		n.Addrs = slices.Clone(mon.Addrs)
		n.CrushLoc = maps.Clone(mon.CrushLoc)
		c.Mons[name] = &n
	}
	c.Ranks = slices.Clone(m.Ranks)
	c.RemovedRanks = slices.Clone(m.RemovedRanks)
	c.DisallowedLeaders = slices.Clone(m.DisallowedLeaders)
	c.StretchMarkedDown = slices.Clone(m.StretchMarkedDown)
	return &c
}

// Add puts a monitor at the last rank.
func (m *Map) Add(mon *Mon) error {
	if _, ok := m.Mons[mon.Name]; ok {
		return fmt.Errorf("mon.%s exists", mon.Name)
	}
	m.Mons[mon.Name] = mon
	m.Ranks = append(m.Ranks, mon.Name)
	return nil
}

// Remove drops a monitor; those after it move up one rank.
func (m *Map) Remove(name string) error {
	rank, ok := m.Rank(name)
	if !ok {
		return fmt.Errorf("mon.%s does not exist", name)
	}
	delete(m.Mons, name)
	m.Ranks = slices.Delete(m.Ranks, rank, rank+1)
	m.RemovedRanks = []uint32{uint32(rank)}
	return nil
}

// Rank returns a monitor's rank.
func (m *Map) Rank(name string) (int, bool) {
	i := slices.Index(m.Ranks, name)
	return i, i >= 0
}

// ByRank returns a monitor by its rank, nil if there is none.
func (m *Map) ByRank(rank int) *Mon {
	if rank < 0 || rank >= len(m.Ranks) {
		return nil
	}
	return m.Mons[m.Ranks[rank]]
}

// Encode returns the map as it travels.
func (m *Map) Encode() []byte { return wire.Marshal(encoding{m}) }

// Decode reads a map of nautilus or newer.
func Decode(b []byte) (*Map, error) {
	m := new(Map)
	if err := wire.Unmarshal(b, encoding{m}); err != nil {
		return nil, fmt.Errorf("monmap: %w", err)
	}
	return m, nil
}

// encoding is Map's form on the wire; Map itself has the simpler Encode.
type encoding struct{ *Map }

func (m encoding) Encode(e *wire.Encoder) {
	mark := e.Begin(9, 6)
	m.FSID.Encode(e)
	e.U32(m.Epoch)
	e.Time(m.LastChanged)
	e.Time(m.Created)
	m.Persistent.encode(e)
	m.Optional.encode(e)
	wire.EncodeMap(e, m.Mons, func(name string, mon *Mon) {
		e.Str(name)
		mark := e.Begin(5, 1)
		e.Str(mon.Name)
		mon.Addrs.Encode(e)
		e.U16(mon.Priority)
		e.U16(mon.Weight)
		wire.EncodeMap(e, mon.CrushLoc, func(k, v string) {
			e.Str(k)
			e.Str(v)
		})
		e.End(mark)
	})
	wire.EncodeSlice(e, m.Ranks, e.Str)
	e.U8(uint8(m.MinMonRelease))
	wire.EncodeSlice(e, m.RemovedRanks, e.U32)
	e.U8(uint8(m.Strategy))
	wire.EncodeSlice(e, m.DisallowedLeaders, e.Str)
	e.Bool(m.StretchMode)
	e.Str(m.TiebreakerMon)
	wire.EncodeSlice(e, m.StretchMarkedDown, e.Str)
	e.End(mark)
}

func (m encoding) Decode(d *wire.Decoder) {
	env := d.Begin("MonMap", 9)
	if env.Version < 6 && d.Err() == nil {
		d.Failf("monitor map of version %d is from before nautilus", env.Version)
	}
	m.FSID.Decode(d)
	m.Epoch = d.U32()
	m.LastChanged = d.Time()
	m.Created = d.Time()
	m.Persistent.decode(d)
	m.Optional.decode(d)
	m.Mons = wire.DecodeMap(d, 10, func() (string, *Mon) {
		name, mon := d.Str(), new(Mon)
		env := d.Begin("mon_info_t", 5)
		mon.Name = d.Str()
		mon.Addrs.Decode(d)
		if env.Version >= 2 {
			mon.Priority = d.U16()
		}
		if env.Version >= 4 {
			mon.Weight = d.U16()
		}
		if env.Version >= 5 {
			mon.CrushLoc = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
		}
		d.End(env)
		return name, mon
	})
	m.Ranks = wire.DecodeSlice(d, 4, d.Str)
	m.Strategy = Classic
	if env.Version >= 7 {
		m.MinMonRelease = entity.Release(d.U8())
	}
	if env.Version >= 8 {
		m.RemovedRanks = wire.DecodeSlice(d, 4, d.U32)
		m.Strategy = Strategy(d.U8())
		m.DisallowedLeaders = wire.DecodeSlice(d, 4, d.Str)
	}
	if env.Version >= 9 {
		m.StretchMode = d.Bool()
		m.TiebreakerMon = d.Str()
		m.StretchMarkedDown = wire.DecodeSlice(d, 4, d.Str)
	}
	d.End(env)
	for _, name := range m.Ranks {
		if m.Mons[name] == nil {
			d.Failf("mon.%s has a rank and no address", name)
		}
	}
}

// Text is what `ceph mon dump` prints.
func (m *Map) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d\nfsid %v\n", m.Epoch, m.FSID)
	fmt.Fprintf(&b, "last_changed %s\ncreated %s\n", jsonfmt.Time(m.LastChanged), jsonfmt.Time(m.Created))
	fmt.Fprintf(&b, "min_mon_release %d (%v)\nelection_strategy: %d\n", m.MinMonRelease, m.MinMonRelease, m.Strategy)
	if m.StretchMode {
		fmt.Fprintf(&b, "stretch_mode_enabled 1\ntiebreaker_mon %s\n", m.TiebreakerMon)
	}
	if m.StretchMode || len(m.DisallowedLeaders) > 0 {
		fmt.Fprintf(&b, "disallowed_leaders %s\n", strings.Join(m.DisallowedLeaders, ","))
	}
	for rank, name := range m.Ranks {
		mon := m.Mons[name]
		fmt.Fprintf(&b, "%d: %v mon.%s", rank, mon.Addrs, name)
		if len(mon.CrushLoc) > 0 {
			fmt.Fprintf(&b, "; crush_location %s", mon.location())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (mon *Mon) location() string {
	var s []string
	for _, k := range slices.Sorted(maps.Keys(mon.CrushLoc)) {
		s = append(s, k+"="+mon.CrushLoc[k])
	}
	return "{" + strings.Join(s, ",") + "}"
}

// Dump writes the fields of `ceph mon dump -f json` into the open object; the
// monitor adds the quorum.
func (m *Map) Dump(f *jsonfmt.Formatter) {
	f.Uint("epoch", uint64(m.Epoch))
	f.Stringer("fsid", m.FSID)
	f.Str("modified", jsonfmt.GMTime(m.LastChanged))
	f.Str("created", jsonfmt.GMTime(m.Created))
	f.Uint("min_mon_release", uint64(m.MinMonRelease))
	f.Stringer("min_mon_release_name", m.MinMonRelease)
	f.Int("election_strategy", int64(m.Strategy))
	// The colons are Ceph's.
	f.Str("disallowed_leaders: ", strings.Join(m.DisallowedLeaders, ","))
	f.Bool("stretch_mode", m.StretchMode)
	f.Str("tiebreaker_mon", m.TiebreakerMon)
	var removed []string
	for _, r := range m.RemovedRanks {
		removed = append(removed, fmt.Sprint(r))
	}
	f.Str("removed_ranks: ", strings.Join(removed, ","))
	f.Object("features", func() {
		f.Strs("persistent", "bit_flag", m.Persistent.Names())
		f.Strs("optional", "bit_flag", m.Optional.Names())
	})
	f.Array("mons", func() {
		for rank, name := range m.Ranks {
			mon := m.Mons[name]
			f.Object("mon", func() {
				f.Int("rank", int64(rank))
				f.Str("name", name)
				f.AddrVec("public_addrs", mon.Addrs)
				f.Str("addr", mon.Addrs.LegacyString())
				f.Str("public_addr", mon.Addrs.LegacyString())
				f.Uint("priority", uint64(mon.Priority))
				f.Uint("weight", uint64(mon.Weight))
				f.Str("crush_location", mon.location())
			})
		}
	})
}
