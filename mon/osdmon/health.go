package osdmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Checks are what the map shows to be wrong (OSDMap::check_health).
func (s *Service) Checks(time.Time) []service.Check {
	var all checks
	s.checkDown(&all)
	s.checkRatios(&all)
	s.checkFull(&all)
	s.checkFlags(&all)
	s.checkCrushAge(&all)
	s.checkPools(&all)
	if s.h.Option("mon_osd_down_out_interval") == "0" && s.boolOption("mon_warn_on_osd_down_out_interval_zero", true) {
		all.add("OSD_NO_DOWN_OUT_INTERVAL", service.Warn, 0, []string{"mon." + s.h.Name() + " has mon_osd_down_out_interval set to 0"},
			"mon %s has mon_osd_down_out_interval set to 0", s.h.Name())
	}
	return all
}

type checks []service.Check

func (c *checks) add(code string, sev service.Severity, count int, detail []string, format string, args ...any) {
	*c = append(*c, service.Check{Code: code, Severity: sev, Summary: fmt.Sprintf(format, args...), Count: int64(count), Detail: detail})
}

// each adds a check that counts its details, if there are any.
func (c *checks) each(code string, sev service.Severity, detail []string, format string) {
	if len(detail) > 0 {
		c.add(code, sev, len(detail), detail, format, len(detail))
	}
}

// place is where an item is, from the root down: root=default,host=a.
func (s *Service) place(item int32) string {
	var parts []string
	m := s.cur.Crush
	for {
		parent, ok := m.Parent(item)
		if !ok {
			break
		}
		parts = append(parts, m.TypeName(parent)+"="+m.ItemName(parent))
		item = parent
	}
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// checkDown reports OSDs that are down and in, and whole subtrees of them.
func (s *Service) checkDown(all *checks) {
	m := s.cur
	var down, orphans []string
	for o := range m.MaxOSD {
		switch {
		case !m.Exists(o):
			if m.Crush.Names[o] != "" && m.Crush.InTree(o) {
				orphans = append(orphans, fmt.Sprintf("osd.%d exists in crush map but not in osdmap", o))
			}
		case m.IsIn(o) && m.IsDown(o):
			down = append(down, fmt.Sprintf("osd.%d (%s) is down", o, s.place(o)))
		}
	}
	if len(down) > 0 {
		types := slices.Sorted(maps.Keys(m.Crush.Types))
		for _, t := range slices.Backward(types) {
			if t > 0 {
				s.checkSubtrees(all, t, t == types[len(types)-1])
			}
		}
	}
	all.each("OSD_DOWN", service.Warn, down, "%d osds down")
	all.each("OSD_ORPHAN", service.Warn, orphans, "%d osds exist in the crush map but not in the osdmap")
}

// checkSubtrees reports the buckets of a type below which no OSD is up and at
// least one is in.
func (s *Service) checkSubtrees(all *checks, typ int32, top bool) {
	m := s.cur
	name := m.Crush.Types[typ]
	var detail []string
	sum := 0
	for i := len(m.Crush.Buckets) - 1; i >= 0; i-- {
		b := m.Crush.Buckets[i]
		if b == nil || int32(b.Type) != typ || strings.Contains(m.Crush.Names[b.ID], "~") {
			continue
		}
		leaves := m.Crush.Leaves(b.ID)
		if !slices.ContainsFunc(leaves, m.IsIn) || slices.ContainsFunc(leaves, m.IsUp) {
			continue
		}
		where := ""
		if !top {
			where = " (" + s.place(b.ID) + ")"
		}
		detail = append(detail, fmt.Sprintf("%s %s%s (%d osds) is down", name, m.Crush.ItemName(b.ID), where, len(leaves)))
		sum += len(leaves)
	}
	if n := len(detail); n > 0 {
		plural := ""
		if n > 1 {
			plural = "s"
		}
		all.add("OSD_"+strings.ToUpper(name)+"_DOWN", service.Warn, n, detail, "%d %s%s (%d osds) down", n, name, plural, sum)
	}
}

func (s *Service) checkRatios(all *checks) {
	m := s.cur
	failsafe := float32(s.floatOption("osd_failsafe_full_ratio", 0.97))
	full, backfill, near := m.FullRatio, m.BackfillfullRatio, m.NearfullRatio
	var detail []string
	below := func(low, high *float32, lowName, highName string) {
		if *high < *low {
			detail = append(detail, fmt.Sprintf("%s (%s) < %s (%s), increased", highName, jsonfmt.Short(float64(*high)), lowName, jsonfmt.Short(float64(*low))))
			*high = *low
		}
	}
	below(&near, &backfill, "nearfull_ratio", "backfillfull_ratio")
	below(&backfill, &full, "backfillfull_ratio", "full_ratio")
	below(&full, &failsafe, "full_ratio", "osd_failsafe_full_ratio")
	if len(detail) > 0 {
		all.add("OSD_OUT_OF_ORDER_FULL", service.Err, 0, detail, "full ratio(s) out of order")
	}
}

func (s *Service) checkFull(all *checks) {
	m := s.cur
	var full, backfill, near []string
	for o := range m.MaxOSD {
		if !m.Exists(o) || !m.IsUp(o) || m.IsOut(o) {
			continue
		}
		switch st := m.State[o]; {
		case st&osdmap.StateFull != 0:
			full = append(full, fmt.Sprintf("osd.%d is full", o))
		case st&osdmap.StateBackfillFull != 0:
			backfill = append(backfill, fmt.Sprintf("osd.%d is backfill full", o))
		case st&osdmap.StateNearFull != 0:
			near = append(near, fmt.Sprintf("osd.%d is near full", o))
		}
	}
	all.each("OSD_FULL", service.Err, full, "%d full osd(s)")
	all.each("OSD_BACKFILLFULL", service.Warn, backfill, "%d backfillfull osd(s)")
	all.each("OSD_NEARFULL", service.Warn, near, "%d nearfull osd(s)")
}

const warnFlags = osdmap.FlagPauseRd | osdmap.FlagPauseWr | osdmap.FlagPauseRec | osdmap.FlagNoUp | osdmap.FlagNoDown |
	osdmap.FlagNoIn | osdmap.FlagNoOut | osdmap.FlagNoBackfill | osdmap.FlagNoRecover | osdmap.FlagNoScrub |
	osdmap.FlagNoDeepScrub | osdmap.FlagNoTierAgent | osdmap.FlagNoSnapTrim | osdmap.FlagNoRebalance

func (s *Service) checkFlags(all *checks) {
	m := s.cur
	if f := m.Flags & warnFlags; f != 0 {
		text := f.String()
		all.add("OSDMAP_FLAGS", service.Warn, len(text), nil, "%s flag(s) set", text)
	}
	if !m.HasFlag(osdmap.FlagSortBitwise) {
		all.add("OSD_NO_SORTBITWISE", service.Warn, 0, nil, "'sortbitwise' flag is not set")
	}
	names := func(st osdmap.State) string {
		var out []string
		for _, n := range []string{"nodown", "noin", "noout", "noup"} {
			if st&groupFlags[n] != 0 {
				out = append(out, n)
			}
		}
		return strings.Join(out, ",")
	}
	var detail []string
	for o := range m.MaxOSD {
		if t := names(m.State[o]); t != "" {
			detail = append(detail, fmt.Sprintf("osd.%d has flags %s", o, t))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.CrushNodeFlags)) {
		if t := names(m.CrushNodeFlags[id]); t != "" && m.Crush.Names[id] != "" {
			detail = append(detail, fmt.Sprintf("%s has flags %s", m.Crush.ItemName(id), t))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.DeviceClassFlags)) {
		if t := names(m.DeviceClassFlags[id]); t != "" && m.Crush.ClassNames[id] != "" {
			detail = append(detail, fmt.Sprintf("device class '%s' has flags %s", m.Crush.ClassNames[id], t))
		}
	}
	all.each("OSD_FLAGS", service.Warn, detail, "%d OSDs or CRUSH {nodes, device-classes} have {NOUP,NODOWN,NOIN,NOOUT} flags set")
}

// checkCrushAge warns of maps that lack what newer ones have.
func (s *Service) checkCrushAge(all *checks) {
	const see = "see http://docs.ceph.com/en/latest/rados/operations/crush-map/#tunables"
	oldest := s.h.Option("mon_crush_min_required_version")
	if oldest == "" {
		oldest = "hammer"
	}
	// The names of releases ascend.
	if have := s.cur.Crush.MinRequiredVersion(); s.boolOption("mon_warn_on_legacy_crush_tunables", true) && have < oldest {
		all.add("OLD_CRUSH_TUNABLES", service.Warn, 0, []string{see}, "crush map has legacy tunables (require %s, min is %s)", have, oldest)
	}
	if s.cur.Crush.StrawCalcVersion == 0 && s.boolOption("mon_warn_on_crush_straw_calc_version_zero", true) {
		all.add("OLD_CRUSH_STRAW_CALC_VERSION", service.Warn, 0, []string{see}, "crush map has straw_calc_version=0")
	}
}

func (s *Service) checkPools(all *checks) {
	m := s.cur
	var scrub, full, backfill, near, odd, single []string
	var noscrub, nodeep bool
	for _, id := range poolIDs(m) {
		p, name := m.Pools[id], m.PoolNames[id]
		if p.Has(osdmap.PoolFlagNoScrub) {
			scrub, noscrub = append(scrub, fmt.Sprintf("Pool %s has noscrub flag", name)), true
		}
		if p.Has(osdmap.PoolFlagNoDeepScrub) {
			scrub, nodeep = append(scrub, fmt.Sprintf("Pool %s has nodeep-scrub flag", name)), true
		}
		switch {
		case p.Has(osdmap.PoolFlagFull) && p.Has(osdmap.PoolFlagFullQuota):
			full = append(full, fmt.Sprintf("pool '%s' is full (running out of quota)", name))
		case p.Has(osdmap.PoolFlagFull):
			full = append(full, fmt.Sprintf("pool '%s' is full (no space)", name))
		case p.Has(osdmap.PoolFlagBackfillFull):
			backfill = append(backfill, fmt.Sprintf("pool '%s' is backfillfull", name))
		case p.Has(osdmap.PoolFlagNearFull):
			near = append(near, fmt.Sprintf("pool '%s' is nearfull", name))
		}
		if n := p.PGNumTarget; n&(n-1) != 0 {
			odd = append(odd, fmt.Sprintf("pool '%s' pg_num %d is not a power of two", name, n))
		}
		if p.Size == 1 {
			single = append(single, fmt.Sprintf("pool '%s' has no replicas configured", name))
		}
	}
	if len(scrub) > 0 {
		which := "noscrub"
		switch {
		case noscrub && nodeep:
			which = "noscrub, nodeep-scrub"
		case nodeep:
			which = "nodeep-scrub"
		}
		all.add("POOL_SCRUB_FLAGS", 0, 0, scrub, "Some pool(s) have the %s flag(s) set", which)
	}
	all.each("POOL_FULL", service.Warn, full, "%d pool(s) full")
	all.each("POOL_BACKFILLFULL", service.Warn, backfill, "%d pool(s) backfillfull")
	all.each("POOL_NEARFULL", service.Warn, near, "%d pool(s) nearfull")
	if s.boolOption("mon_warn_on_pool_pg_num_not_power_of_two", true) {
		all.each("POOL_PG_NUM_NOT_POWER_OF_TWO", service.Warn, odd, "%d pool(s) have non-power-of-two pg_num")
	}
	if s.boolOption("mon_warn_on_pool_no_redundancy", true) {
		all.each("POOL_NO_REDUNDANCY", service.Warn, single, "%d pool(s) have no replicas configured")
	}
}
