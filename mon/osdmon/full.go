package osdmon

import (
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

const osdFullBits = osdmap.StateNearFull | osdmap.StateBackfillFull | osdmap.StateFull

// checkFullness takes the OSDs' word for how full they are.
func (s *Service) checkFullness() {
	for o := range s.cur.MaxOSD {
		v := s.view()
		bits, ok := s.stats.Fullness(o)
		if bits &= osdFullBits; ok && v.IsUp(o) && v.State[o]&osdFullBits != bits {
			s.setState(o, bits, osdFullBits)
		}
	}
}

// checkQuotas marks pools full that reached their quota, and not full that are
// below it again.
func (s *Service) checkQuotas() {
	for _, id := range poolIDs(s.view()) {
		p := s.view().Pools[id]
		objects, bytes, ok := s.stats.PoolUsage(id)
		if !ok {
			continue
		}
		tooMany := p.QuotaMaxObjects > 0 && uint64(max(objects, 0)) >= p.QuotaMaxObjects
		tooMuch := p.QuotaMaxBytes > 0 && uint64(max(bytes, 0)) >= p.QuotaMaxBytes
		name := s.view().PoolNames[id]
		switch full := tooMany || tooMuch; {
		case full == p.Has(osdmap.PoolFlagFullQuota):
		case full:
			if tooMuch {
				s.h.Log(msg.LogWarn, "", "pool '%s' is full (reached quota's max_bytes: %s)", name, jsonfmt.Bytes(p.QuotaMaxBytes))
			}
			if tooMany {
				s.h.Log(msg.LogWarn, "", "pool '%s' is full (reached quota's max_objects: %d)", name, p.QuotaMaxObjects)
			}
			e := s.editPool(id)
			e.Flags |= osdmap.PoolFlagFullQuota | osdmap.PoolFlagFull
			e.Flags &^= osdmap.PoolFlagNearFull | osdmap.PoolFlagBackfillFull
		default:
			s.h.Log(msg.LogInfo, "", "pool '%s' no longer out of quota; removing NO_QUOTA flag", name)
			s.editPool(id).Flags &^= osdmap.PoolFlagFullQuota | osdmap.PoolFlagFull
		}
	}
}

const poolFullBits = osdmap.PoolFlagNearFull | osdmap.PoolFlagBackfillFull | osdmap.PoolFlagFull

// settlePoolFlags marks the pools that can place data on a full OSD, as full as
// the fullest.
func (s *Service) settlePoolFlags() {
	v := s.view()
	byRule := map[uint8]osdmap.PoolFlags{}
	fullest := func(rule uint8) osdmap.PoolFlags {
		flag, ok := byRule[rule]
		if ok {
			return flag
		}
		var worst osdmap.State
		for _, o := range ruleDevices(v, int(rule)) {
			if v.Exists(o) {
				worst |= v.State[o] & osdFullBits
			}
		}
		switch {
		case worst&osdmap.StateFull != 0:
			flag = osdmap.PoolFlagFull
		case worst&osdmap.StateBackfillFull != 0:
			flag = osdmap.PoolFlagBackfillFull
		case worst&osdmap.StateNearFull != 0:
			flag = osdmap.PoolFlagNearFull
		}
		byRule[rule] = flag
		return flag
	}
	for _, id := range poolIDs(v) {
		p := v.Pools[id]
		if p.Has(osdmap.PoolFlagFullQuota) {
			continue // is full, whatever the OSDs are
		}
		if want := fullest(p.CrushRule); p.Flags&poolFullBits != want {
			e := s.editPool(id)
			e.Flags = e.Flags&^poolFullBits | want
		}
	}
}

// ruleDevices returns the devices that a rule can choose from.
func ruleDevices(v *osdmap.Map, rule int) []int32 {
	var out []int32
	for _, root := range ruleRoots(v.Crush, rule) {
		out = append(out, v.Crush.Leaves(root)...)
	}
	return out
}
