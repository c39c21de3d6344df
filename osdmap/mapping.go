package osdmap

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
)

// NoOSD is in the place of an OSD where there is none (CRUSH_ITEM_NONE); as a
// primary it is -1.
const NoOSD = crush.ItemNone

// Mapping says where a placement group is. The lists are shared: read only. In
// those of an erasure pool the position is the shard, NoOSD a hole.
type Mapping struct {
	Up            []int32 // where CRUSH and upmap want it, of the OSDs that are up
	UpPrimary     int32   // -1: none
	Acting        []int32 // who serves it now
	ActingPrimary int32   // -1: none
}

// ObjectToPG returns the raw group of an object, with the full hash for a seed.
func (m *Map) ObjectToPG(loc object.Locator, name string) (object.PG, error) {
	p := m.Pools[loc.Pool]
	if p == nil {
		return object.PG{}, fmt.Errorf("pool %d does not exist: %w", loc.Pool, errno.ENOENT)
	}
	if loc.Hash >= 0 {
		return object.PG{Pool: loc.Pool, Seed: uint32(loc.Hash)}, nil
	}
	return object.PG{Pool: loc.Pool, Seed: p.Hash(loc.Namespace, loc.Key, name)}, nil
}

// PGToUpActing maps a group, raw or actual. A group of a pool that does not
// exist maps to nothing.
func (m *Map) PGToUpActing(pg object.PG) Mapping {
	p := m.Pools[pg.Pool]
	if p == nil {
		return Mapping{UpPrimary: -1, ActingPrimary: -1}
	}
	slot := m.cache.slot(pg, p)
	if slot != nil {
		if v := slot.Load(); v != nil {
			return *v
		}
	}
	v := m.mapPG(p, pg)
	if slot != nil {
		slot.Store(&v)
	}
	return v
}

// PGToRaw returns where CRUSH alone puts a group, of the OSDs that exist, and
// the first of them.
func (m *Map) PGToRaw(pg object.PG) (osds []int32, primary int32) {
	p := m.Pools[pg.Pool]
	if p == nil {
		return nil, -1
	}
	osds, _ = m.rawOSDs(p, pg)
	return osds, firstOSD(osds)
}

// PGToUpmapped is PGToRaw with the exceptions made for the group (pg_upmap,
// pg_upmap_items).
func (m *Map) PGToUpmapped(pg object.PG) []int32 {
	p := m.Pools[pg.Pool]
	if p == nil {
		return nil
	}
	osds, _ := m.rawOSDs(p, pg)
	return m.applyUpmap(p, pg, osds)
}

// ObjectToOSDs is the whole way of an object: its actual group and where that
// is.
func (m *Map) ObjectToOSDs(loc object.Locator, name string) (object.PG, Mapping, error) {
	raw, err := m.ObjectToPG(loc, name)
	if err != nil {
		return raw, Mapping{}, err
	}
	pg := m.Pools[loc.Pool].RawToActual(raw)
	return pg, m.PGToUpActing(pg), nil
}

func (m *Map) mapPG(p *Pool, pg object.PG) Mapping {
	osds, seed := m.rawOSDs(p, pg)
	osds = m.applyUpmap(p, pg, osds)
	up := m.filterUp(p, osds)
	v := Mapping{Up: up, UpPrimary: firstOSD(up)}
	m.applyAffinity(p, seed, &v)
	actual := p.RawToActual(pg)
	v.Acting = m.filterUp(p, m.PGTemp[actual])
	v.ActingPrimary = firstOSD(v.Acting)
	if primary, ok := m.PrimaryTemp[actual]; ok {
		v.ActingPrimary = primary
	}
	if len(v.Acting) == 0 {
		v.Acting = v.Up
		if v.ActingPrimary == -1 {
			v.ActingPrimary = v.UpPrimary
		}
	}
	return v
}

// rawOSDs asks CRUSH.
func (m *Map) rawOSDs(p *Pool, pg object.PG) (osds []int32, seed uint32) {
	seed = p.PlacementSeed(pg)
	if rule := m.Crush.FindRule(int(p.CrushRule), uint8(p.Type), p.Size); rule >= 0 {
		osds = m.Crush.DoRule(rule, seed, int(p.Size), m.Weight, pg.Pool)
	}
	if p.IsReplicated() {
		return slices.DeleteFunc(osds, func(o int32) bool { return !m.Exists(o) }), seed
	}
	for i, o := range osds {
		if !m.Exists(o) {
			osds[i] = NoOSD
		}
	}
	return osds, seed
}

// applyUpmap puts the exceptions that were made for a group in the place of
// what CRUSH said. One that leads to an OSD that is out does not count.
func (m *Map) applyUpmap(p *Pool, pg object.PG, osds []int32) []int32 {
	if len(m.PGUpmap)+len(m.PGUpmapItems) == 0 {
		return osds
	}
	pg = p.RawToActual(pg)
	isOut := func(o int32) bool { return o >= 0 && o < m.MaxOSD && m.Weight[o] == 0 }
	if to, ok := m.PGUpmap[pg]; ok {
		if slices.ContainsFunc(to, isOut) {
			return osds
		}
		osds = slices.Clone(to)
	}
	for _, item := range m.PGUpmapItems[pg] {
		if i := slices.Index(osds, item.From); i >= 0 && !slices.Contains(osds, item.To) && !isOut(item.To) {
			osds[i] = item.To
		}
	}
	return osds
}

// filterUp drops the OSDs that are not up, or leaves holes for them.
func (m *Map) filterUp(p *Pool, osds []int32) []int32 {
	if len(osds) == 0 {
		return nil
	}
	up := make([]int32, 0, len(osds))
	for _, o := range osds {
		if m.IsUp(o) {
			up = append(up, o)
		} else if !p.IsReplicated() {
			up = append(up, NoOSD)
		}
	}
	return up
}

// applyAffinity chooses another primary where the first has not its full
// affinity: by hash, an OSD refuses the part of its groups that it should.
func (m *Map) applyAffinity(p *Pool, seed uint32, v *Mapping) {
	if len(m.PrimaryAffinity) == 0 {
		return
	}
	affinity := func(o int32) uint32 {
		if o < 0 || o >= m.MaxOSD {
			return AffinityDefault
		}
		return m.PrimaryAffinity[o]
	}
	if !slices.ContainsFunc(v.Up, func(o int32) bool { return affinity(o) != AffinityDefault }) {
		return
	}
	pos := -1
	for i, o := range v.Up {
		if o == NoOSD {
			continue
		}
		if a := affinity(o); a < AffinityDefault && crush.Hash32_2(seed, uint32(o))>>16 >= a {
			// Refused; but someone must do it if all do.
			if pos < 0 {
				pos = i
			}
			continue
		}
		pos = i
		break
	}
	if pos < 0 {
		return
	}
	v.UpPrimary = v.Up[pos]
	if p.IsReplicated() {
		copy(v.Up[1:pos+1], v.Up[:pos])
		v.Up[0] = v.UpPrimary
	}
}

func firstOSD(osds []int32) int32 {
	for _, o := range osds {
		if o != NoOSD {
			return o
		}
	}
	return -1
}

// mappingCache keeps the mappings that were asked for. A map does not change,
// so they hold as long as it.
type mappingCache struct {
	mu    sync.RWMutex
	pools map[int64][]atomic.Pointer[Mapping]
}

// maxCachedPGs is the size of pool above which nothing is kept.
const maxCachedPGs = 1 << 18

// publish marks the map as one that will not change.
func (m *Map) publish() { m.cache = &mappingCache{pools: map[int64][]atomic.Pointer[Mapping]{}} }

// slot returns the place of a group's mapping; nil if it is not kept: raw
// groups, whose placement may differ from that of the actual one while a pool
// has more groups than placements, and maps that may still change.
func (c *mappingCache) slot(pg object.PG, p *Pool) *atomic.Pointer[Mapping] {
	if c == nil || pg.Seed >= p.PGNum || p.PGNum > maxCachedPGs {
		return nil
	}
	c.mu.RLock()
	slots := c.pools[pg.Pool]
	c.mu.RUnlock()
	if slots == nil {
		c.mu.Lock()
		if slots = c.pools[pg.Pool]; slots == nil {
			slots = make([]atomic.Pointer[Mapping], p.PGNum)
			c.pools[pg.Pool] = slots
		}
		c.mu.Unlock()
	}
	return &slots[pg.Seed]
}
