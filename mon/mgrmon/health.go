package mgrmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Checks says what is wrong with the groups and the pools.
func (s *Service) Checks(now time.Time) []service.Check {
	h := &health{s: s, p: s.pgmap(), now: now, most: int(s.intOption("mon_health_max_detail", 50))}
	h.sum = h.p.current()
	h.groups()
	h.objects()
	h.scrubs()
	h.counts()
	h.pools()
	h.slowOps()
	h.slowPings()
	return h.checks
}

type health struct {
	s      *Service
	p      *pgmap
	sum    *sums
	now    time.Time
	most   int // lines of detail
	checks []service.Check
}

func (h *health) add(code string, sev service.Severity, count int64, detail []string, format string, args ...any) {
	h.checks = append(h.checks, service.Check{
		Code: code, Severity: sev, Summary: fmt.Sprintf(format, args...), Count: count, Detail: detail,
	})
}

// consequence is what a bad state of a group means to users.
type consequence struct {
	code     string
	severity service.Severity
	words    string
}

var (
	unavailable = &consequence{"PG_AVAILABILITY", service.Warn, "Reduced data availability: "}
	degraded    = &consequence{"PG_DEGRADED", service.Warn, "Degraded data redundancy: "}
	noRoom      = &consequence{"PG_BACKFILL_FULL", service.Warn, "Low space hindering backfill (add storage if this doesn't resolve itself): "}
	damaged     = &consequence{"PG_DAMAGED", service.Err, "Possible data damage: "}
	osdsFull    = &consequence{"PG_RECOVERY_FULL", service.Err, "Full OSDs blocking recovery: "}
)

// badStates are the states to complain of, in the order of their numbers: at
// once, or when a group has been in it for a while.
var badStates = []struct {
	state msg.PGState
	means *consequence
	since func(*msg.PGStat) time.Time // nil: complain at once
}{
	{msg.PGActive, unavailable, func(g *msg.PGStat) time.Time { return g.LastActive }}, // if it is missing
	{msg.PGDown, unavailable, nil},
	{msg.PGRecoveryUnfound, damaged, nil},
	{msg.PGBackfillUnfound, damaged, nil},
	{msg.PGDegraded, degraded, nil},
	{msg.PGInconsistent, damaged, nil},
	{msg.PGPeering, unavailable, lastPeered},
	{msg.PGIncomplete, unavailable, nil},
	{msg.PGStale, unavailable, func(g *msg.PGStat) time.Time { return g.LastUnstale }},
	{msg.PGBackfillTooFull, noRoom, nil},
	{msg.PGUndersized, degraded, func(g *msg.PGStat) time.Time { return g.LastFullsized }},
	{msg.PGRecoveryTooFull, osdsFull, nil},
	{msg.PGSnapTrimError, damaged, nil},
}

func inBadState(state, bad msg.PGState) bool {
	return (state&bad != 0) != (bad == msg.PGActive)
}

func badName(bad msg.PGState) string {
	if bad == msg.PGActive {
		return "inactive"
	}
	return bad.String()
}

// cause is what led to a complaint.
type cause struct {
	states map[msg.PGState]int
	detail []string
	pg     object.PG // of the last line
}

// groups complains of groups in bad states.
func (h *health) groups() {
	suspect := false
	for state := range h.sum.all.states {
		for _, b := range badStates {
			suspect = suspect || inBadState(state, b.state)
		}
	}
	if !suspect {
		return
	}
	cutoff := h.now.Add(-time.Duration(h.s.stuckThreshold()) * time.Second)
	found := map[*consequence]*cause{}
	for g := range h.p.groups() {
		for _, b := range badStates {
			if !inBadState(g.State, b.state) {
				continue
			}
			if b.since != nil {
				since := b.since(g)
				if since.IsZero() {
					since = g.LastChange
				}
				if !since.Before(cutoff) {
					continue // may still recover
				}
			}
			c := found[b.means]
			if c == nil {
				c = &cause{states: map[msg.PGState]int{}}
				found[b.means] = c
			}
			c.states[b.state]++
			if len(c.detail) > h.most {
				continue
			}
			if len(c.detail) > 0 && c.pg == g.PG {
				c.detail = c.detail[:len(c.detail)-1] // a group has one line
			}
			c.pg = g.PG
			c.detail = append(c.detail, h.line(h.p.placed(g), b.state, b.since))
		}
	}
	for _, means := range []*consequence{unavailable, degraded, noRoom, damaged, osdsFull} {
		c := found[means]
		if c == nil {
			continue
		}
		var words []string
		var count int64
		for _, state := range slices.Sorted(maps.Keys(c.states)) {
			n := c.states[state]
			words = append(words, plural(n, "pg")+" "+badName(state))
			count += int64(n)
		}
		if t := h.trouble("degraded"); means == degraded && t != nil {
			words = slices.Insert(words, 0, t.text())
		}
		h.add(means.code, means.severity, count, c.detail, "%s%s", means.words, strings.Join(words, ", "))
	}
}

func plural(n int, what string) string {
	if n > 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

// line is the detail about one group.
func (h *health) line(g *msg.PGStat, bad msg.PGState, since func(*msg.PGStat) time.Time) string {
	var b strings.Builder
	if since != nil {
		fmt.Fprintf(&b, "pg %v is stuck %s", g.PG, badName(bad))
		if t := since(g); t.IsZero() {
			b.WriteString(" since forever")
		} else {
			b.WriteString(" for " + service.Age(h.now.Sub(t)))
		}
		fmt.Fprintf(&b, ", current state %v, last acting %s", g.State, osdVector(g.Acting))
	} else {
		fmt.Fprintf(&b, "pg %v is %v, acting %s", g.PG, g.State, osdVector(g.Acting))
		if n := g.Objects.Unfound; n > 0 {
			fmt.Fprintf(&b, ", %d unfound", n)
		}
	}
	if pool := h.p.m.Pools[g.PG.Pool]; g.State&msg.PGIncomplete != 0 && pool.MinSize > 1 {
		fmt.Fprintf(&b, " (reducing pool %s min_size from %d may help; search ceph.com/docs for 'incomplete')",
			h.p.m.PoolNames[g.PG.Pool], pool.MinSize)
	}
	return b.String()
}

// trouble returns one of the troubles of all objects, nil if there is none.
func (h *health) trouble(what string) *share {
	for _, t := range h.sum.all.troubles() {
		if t.what == what {
			return &t
		}
	}
	return nil
}

// objects complains of objects that are damaged, lost or misplaced.
func (h *health) objects() {
	all := &h.sum.all.Objects
	if n := all.ScrubErrors; n > 0 {
		h.add("OSD_SCRUB_ERRORS", service.Err, n, nil, "%d scrub errors", n)
	}
	if n := all.LargeOmap; n > 0 {
		var detail []string
		h.eachPool(func(id int64, _ *osdmap.Pool, sum *poolSum) {
			if n := sum.Objects.LargeOmap; n > 0 {
				detail = append(detail, fmt.Sprintf("%d large objects found in pool '%s'", n, h.p.m.PoolNames[id]))
			}
		})
		detail = append(detail, "Search the cluster log for 'Large omap object found' for more details.")
		h.add("LARGE_OMAP_OBJECTS", service.Warn, n, detail, "%d large omap objects", n)
	}
	if t := h.trouble("misplaced"); t != nil && h.s.boolOption("mon_warn_on_misplaced", false) {
		h.add("OBJECT_MISPLACED", service.Warn, t.n, nil, "%s", t.text())
	}
	if t := h.trouble("unfound"); t != nil {
		var detail []string
		for g := range h.p.groups() {
			if n := g.Objects.Unfound; n > 0 {
				detail = append(detail, fmt.Sprintf("pg %v has %d unfound objects", g.PG, n))
				if len(detail) > h.most {
					detail = append(detail, "(additional pgs left out for brevity)")
					break
				}
			}
		}
		h.add("OBJECT_UNFOUND", service.Warn, t.n, detail, "%s", t.text())
	}
}

// counts complains of too many groups and too few OSDs.
func (h *health) counts() {
	total, _, in := h.p.m.NumOSDs()
	if limit := h.s.intOption("mon_max_pg_per_osd", 250); in > 0 && limit > 0 {
		per := int64(max(int(h.sum.all.Up), h.sum.all.groups) / in)
		if per > limit {
			h.add("TOO_MANY_PGS", service.Warn, per-limit, nil, "too many PGs per OSD (%d > max %d)", per, limit)
		}
	}
	size := h.s.intOption("osd_pool_default_size", 3)
	if h.s.boolOption("mon_warn_on_too_few_osds", true) && int64(total) < size {
		h.add("TOO_FEW_OSDS", service.Warn, size-int64(total), nil, "OSD count %d < osd_pool_default_size %d", total, size)
	}
}

func (h *health) eachPool(visit func(id int64, p *osdmap.Pool, sum *poolSum)) {
	for _, id := range slices.Sorted(maps.Keys(h.sum.pools)) {
		visit(id, h.p.m.Pools[id], h.sum.pools[id])
	}
}

// pools complains of how pools are set up, and of those near their quota. That
// a pool has reached it is the OSD map's to tell.
func (h *health) pools() {
	crit := float32(h.s.intOption("mon_pool_quota_crit_threshold", 0)) / 100
	warn := float32(h.s.intOption("mon_pool_quota_warn_threshold", 0)) / 100
	var noApp, fewPGP, full, nearFull []string
	var fulls, nears int64
	h.eachPool(func(id int64, p *osdmap.Pool, sum *poolSum) {
		name := h.p.m.PoolNames[id]
		if len(p.Applications) == 0 && p.TierOf < 0 && sum.Objects.Objects > 0 {
			noApp = append(noApp, fmt.Sprintf("application not enabled on pool '%s'", name))
		}
		if p.PGNumTarget > p.PGPNumTarget {
			fewPGP = append(fewPGP, fmt.Sprintf("pool %s pg_num %d > pgp_num %d", name, p.PGNumTarget, p.PGPNumTarget))
		}
		isFull, isNear := false, false
		quota := func(n int64, limit uint64, words string) {
			switch line := fmt.Sprintf("pool '%s' has %s", name, words); {
			case limit == 0 || uint64(max(n, 0)) >= limit:
			case crit > 0 && float32(n) >= float32(limit)*crit:
				full, isFull = append(full, line), true
			case warn > 0 && float32(n) >= float32(limit)*warn:
				nearFull, isNear = append(nearFull, line), true
			}
		}
		o := &sum.Objects
		quota(o.Objects, p.QuotaMaxObjects, fmt.Sprintf("%d objects (max %d)", o.Objects, p.QuotaMaxObjects))
		quota(o.Bytes, p.QuotaMaxBytes, fmt.Sprintf("%s (max %s)", size(o.Bytes), jsonfmt.Bytes(p.QuotaMaxBytes)))
		if isFull {
			fulls++
		}
		if isNear {
			nears++
		}
	})
	if n := len(noApp); n > 0 && h.s.boolOption("mon_warn_on_pool_no_app", true) {
		noApp = append(noApp, "use 'ceph osd pool application enable <pool-name> <app-name>', where <app-name> is 'cephfs', 'rbd', 'rgw', or freeform for custom applications.")
		h.add("POOL_APP_NOT_ENABLED", service.Warn, int64(n), noApp, "%d pool(s) do not have an application enabled", n)
	}
	if n := len(fewPGP); n > 0 {
		h.add("SMALLER_PGP_NUM", service.Warn, int64(n), fewPGP, "%d pools have pg_num > pgp_num", n)
	}
	if fulls > 0 {
		h.add("POOL_FULL", service.Err, fulls, full, "%d pools full", fulls)
	}
	if nears > 0 {
		h.add("POOL_NEAR_FULL", service.Warn, nears, nearFull, "%d pools nearfull", nears)
	}
}

// slowOps complains of requests that OSDs have not answered for long.
func (h *health) slowOps() {
	var ops int64
	var oldest time.Duration
	var daemons []string
	for _, id := range slices.Backward(h.p.osdIDs()) {
		st := &h.p.osds[id].stat
		if st.SlowOps == 0 || !h.p.m.IsUp(id) {
			continue
		}
		ops += int64(st.SlowOps)
		oldest = max(oldest, st.OldestSlowOp)
		daemons = append(daemons, fmt.Sprint("osd.", id))
	}
	if len(daemons) == 0 {
		return
	}
	who := daemons[0] + " has slow ops"
	if n := len(daemons); n > 1 {
		more := ""
		if n > 10 {
			daemons, more = daemons[:10], "..."
		}
		who = "daemons [" + strings.Join(daemons, ",") + "]" + more + " have slow ops."
	}
	h.add("SLOW_OPS", service.Warn, 1, nil, "%d slow ops, oldest one blocked for %d sec, %s", ops, int64(oldest.Seconds()), who)
}
