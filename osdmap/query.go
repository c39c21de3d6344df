package osdmap

import (
	"net/netip"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
)

// Exists reports whether an OSD of that id is part of the cluster.
func (m *Map) Exists(osd int32) bool {
	return osd >= 0 && osd < m.MaxOSD && m.State[osd]&StateExists != 0
}

// IsUp reports whether an OSD runs, as far as the map knows.
func (m *Map) IsUp(osd int32) bool { return m.Exists(osd) && m.State[osd]&StateUp != 0 }

// IsDown is the opposite of IsUp, also for OSDs that do not exist.
func (m *Map) IsDown(osd int32) bool { return !m.IsUp(osd) }

// IsOut reports whether an OSD takes no data.
func (m *Map) IsOut(osd int32) bool { return !m.Exists(osd) || m.Weight[osd] == WeightOut }

// IsIn is the opposite of IsOut.
func (m *Map) IsIn(osd int32) bool { return !m.IsOut(osd) }

// IsDestroyed reports whether an OSD is gone and only its id is kept.
func (m *Map) IsDestroyed(osd int32) bool { return m.Exists(osd) && m.State[osd]&StateDestroyed != 0 }

// HasFlag reports whether a flag of the cluster is set.
func (m *Map) HasFlag(f Flags) bool { return m.Flags&f != 0 }

// NumOSDs counts the OSDs that exist, are up, and are in.
func (m *Map) NumOSDs() (total, up, in int) {
	for o := range m.MaxOSD {
		if !m.Exists(o) {
			continue
		}
		total++
		if m.IsUp(o) {
			up++
		}
		if m.IsIn(o) {
			in++
		}
	}
	return total, up, in
}

// WeightOf is an OSD's weight as a fraction.
func (m *Map) WeightOf(osd int32) float64 { return float64(m.Weight[osd]) / WeightIn }

// AffinityOf is an OSD's primary affinity in 16.16 fixed point.
func (m *Map) AffinityOf(osd int32) uint32 {
	if len(m.PrimaryAffinity) == 0 {
		return AffinityDefault
	}
	return m.PrimaryAffinity[osd]
}

// PoolByName returns a pool and its id.
func (m *Map) PoolByName(name string) (int64, *Pool, bool) {
	for id, n := range m.PoolNames {
		if n == name {
			p := m.Pools[id]
			return id, p, p != nil
		}
	}
	return 0, nil, false
}

// OSDByUUID returns the OSD with that disk.
func (m *Map) OSDByUUID(u entity.UUID) (int32, bool) {
	for o := range m.MaxOSD {
		if m.Exists(o) && m.UUID[o] == u {
			return o, true
		}
	}
	return 0, false
}

// Blocklisted reports whether a client at that address may not do I/O: it is on
// the list itself, or all of its host is (port and nonce zero), or its network.
func (m *Map) Blocklisted(a entity.Addr, now time.Time) bool {
	if len(m.Blocklist)+len(m.RangeBlocklist) == 0 {
		return false
	}
	// Entries are of type any: the same client may come by either protocol.
	a.Type = entity.AddrAny
	if until, ok := m.Blocklist[a]; ok && now.Before(until) {
		return true
	}
	host := entity.Addr{Type: entity.AddrAny, AP: netip.AddrPortFrom(a.AP.Addr(), 0)}
	if until, ok := m.Blocklist[host]; ok && now.Before(until) {
		return true
	}
	for r, until := range m.RangeBlocklist {
		if p, err := r.AP.Addr().Prefix(int(r.Nonce)); err == nil && p.Contains(a.AP.Addr()) && now.Before(until) {
			return true
		}
	}
	return false
}

// CrushRuleInUse reports whether a pool uses the rule.
func (m *Map) CrushRuleInUse(rule int) bool {
	for _, p := range m.Pools {
		if int(p.CrushRule) == rule {
			return true
		}
	}
	return false
}

// NodeFlags returns the flags noup, nodown, noin, noout that hold for an OSD:
// its own, those of the buckets above it and of its device class.
func (m *Map) NodeFlags(osd int32) State {
	var s State
	if m.Exists(osd) {
		s = m.State[osd]
	}
	if class, ok := m.Crush.Classes[osd]; ok {
		s |= m.DeviceClassFlags[class]
	}
	if len(m.CrushNodeFlags) > 0 {
		for id := osd; ; {
			s |= m.CrushNodeFlags[id]
			parent, ok := m.Crush.Parent(id)
			if !ok {
				break
			}
			id = parent
		}
	}
	return s & (StateNoUp | StateNoDown | StateNoIn | StateNoOut)
}
