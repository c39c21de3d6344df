package mgrmon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// healthyWorld is a cluster where nothing is wrong.
func healthyWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	w.wantChecks(nil)
	return w
}

// again reports one group anew.
func (w *world) again(pg string, state msg.PGState, edit func(*msg.PGStat)) {
	w.t.Helper()
	g := w.group(pg, state)
	g.ReportedSeq = 1e6
	if edit != nil {
		edit(&g)
	}
	w.report(w.groupsReport(max(g.ActingPrimary, 0), g))
}

func TestHealthOfUnknownGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.wantChecks(nil) // they may still be reported
	w.pass(61 * time.Second)
	c := w.wantChecks(map[string]string{"PG_AVAILABILITY": "Reduced data availability: 105 pgs inactive"})["PG_AVAILABILITY"]
	if c.Count != 105 || c.Severity != service.Warn || len(c.Detail) != 51 {
		t.Errorf("count %d, %d lines", c.Count, len(c.Detail))
	}
	if want := "pg 1.0 is stuck inactive for 61s, current state unknown, last acting " + osdVector(w.m.PGToUpActing(w.group("1.0", 0).PG).Acting); c.Detail[0] != want {
		t.Errorf("%q, want %q", c.Detail[0], want)
	}
}

func TestHealthOfGroups(t *testing.T) {
	t.Parallel()
	w := healthyWorld(t)
	w.again("2.0", msg.PGPeering, nil)
	w.again("2.1", msg.PGActive|msg.PGUndersized|msg.PGDegraded, func(g *msg.PGStat) {
		g.Objects = msg.ObjectStats{Objects: 5, Copies: 15, Degraded: 3}
		g.Acting = []int32{2, osdmap.NoOSD, 1}
	})
	// What is bad whatever comes of it, and what may pass.
	w.wantChecks(map[string]string{"PG_DEGRADED": "Degraded data redundancy: 3/15 objects degraded (20.000%), 1 pg degraded"})

	w.pass(2 * time.Minute)
	w.again("3.3", msg.PGActive|msg.PGClean|msg.PGInconsistent, func(g *msg.PGStat) { g.Objects.ScrubErrors = 2 })
	w.again("3.4", msg.PGIncomplete, nil)
	w.again("3.5", msg.PGActive|msg.PGRecoveryUnfound|msg.PGDegraded, func(g *msg.PGStat) {
		g.Objects = msg.ObjectStats{Objects: 3, Copies: 9, Unfound: 1, Degraded: 3}
	})
	w.again("3.6", msg.PGActive|msg.PGBackfillTooFull, nil)
	w.again("3.7", msg.PGActive|msg.PGRecoveryTooFull, nil)
	got := w.wantChecks(map[string]string{
		"PG_AVAILABILITY":  "Reduced data availability: 1 pg inactive, 1 pg peering, 1 pg incomplete",
		"PG_DEGRADED":      "Degraded data redundancy: 6/24 objects degraded (25.000%), 2 pgs degraded, 1 pg undersized",
		"PG_DAMAGED":       "Possible data damage: 1 pg recovery_unfound, 1 pg inconsistent",
		"PG_BACKFILL_FULL": "Low space hindering backfill (add storage if this doesn't resolve itself): 1 pg backfill_toofull",
		"PG_RECOVERY_FULL": "Full OSDs blocking recovery: 1 pg recovery_toofull",
		"OSD_SCRUB_ERRORS": "2 scrub errors",
		"OBJECT_UNFOUND":   "1/8 objects unfound (12.500%)",
	})
	where := func(pg string) string { return osdVector(w.group(pg, 0).Acting) }
	for code, want := range map[string][]string{
		"PG_AVAILABILITY": {
			"pg 2.0 is stuck peering for 2m, current state peering, last acting " + where("2.0"),
			"pg 3.4 is incomplete, acting " + where("3.4") + " (reducing pool cephfs_metadata min_size from 2 may help; search ceph.com/docs for 'incomplete')",
		},
		"PG_DEGRADED": {
			"pg 2.1 is stuck undersized for 2m, current state active+undersized+degraded, last acting [2,NONE,1]",
			"pg 3.5 is active+recovery_unfound+degraded, acting " + where("3.5") + ", 1 unfound",
		},
		"PG_DAMAGED": {
			"pg 3.3 is active+clean+inconsistent, acting " + where("3.3"),
			"pg 3.5 is active+recovery_unfound+degraded, acting " + where("3.5") + ", 1 unfound",
		},
		"OBJECT_UNFOUND":   {"pg 3.5 has 1 unfound objects"},
		"OSD_SCRUB_ERRORS": nil,
	} {
		if d := got[code].Detail; !slices.Equal(d, want) {
			t.Errorf("%s:\n%s\nwant\n%s", code, strings.Join(d, "\n"), strings.Join(want, "\n"))
		}
	}
	for code, want := range map[string]service.Severity{
		"PG_AVAILABILITY": service.Warn, "PG_DEGRADED": service.Warn, "PG_DAMAGED": service.Err, "PG_RECOVERY_FULL": service.Err, "OSD_SCRUB_ERRORS": service.Err,
	} {
		if got[code].Severity != want {
			t.Errorf("%s is %v", code, got[code].Severity)
		}
	}
	w.s.StatusSections(w.now)
}

func TestStaleGroups(t *testing.T) {
	t.Parallel()
	w := healthyWorld(t)
	n := 0
	for g := range w.s.pgmap().groups() {
		if g.ActingPrimary == 2 {
			n++
		}
	}
	w.down(2)
	w.wantChecks(nil)
	w.pass(61 * time.Second)
	w.wantChecks(map[string]string{"PG_AVAILABILITY": fmt.Sprintf("Reduced data availability: %d pgs stale", n)})
}

func TestHealthOfPools(t *testing.T) {
	t.Parallel()
	w := healthyWorld(t)
	w.options["mon_warn_on_misplaced"] = "true"
	w.options["mon_pool_quota_warn_threshold"] = "50"
	w.options["mon_pool_quota_crit_threshold"] = "90"
	w.again("6.0", healthy, func(g *msg.PGStat) { g.Objects = msg.ObjectStats{Objects: 1, Copies: 3, Misplaced: 1} })
	w.again("7.0", healthy, func(g *msg.PGStat) {
		g.Objects = msg.ObjectStats{Objects: 600, Copies: 1800, Bytes: 950000, LargeOmap: 2}
	})
	w.change(func(inc *osdmap.Incremental) {
		p := w.m.Pools[2].Clone()
		p.PGPNumTarget = 16
		inc.NewPools[2] = p
	})
	got := w.wantChecks(map[string]string{
		"POOL_APP_NOT_ENABLED": "1 pool(s) do not have an application enabled",
		"OBJECT_MISPLACED":     "1/1803 objects misplaced (0.055%)",
		"POOL_FULL":            "1 pools full",
		"POOL_NEAR_FULL":       "1 pools nearfull",
		"SMALLER_PGP_NUM":      "1 pools have pg_num > pgp_num",
		"LARGE_OMAP_OBJECTS":   "2 large omap objects",
	})
	stock := []string{
		"application not enabled on pool 'ecpool'",
		"use 'ceph osd pool application enable <pool-name> <app-name>', where <app-name> is 'cephfs', 'rbd', 'rgw', or freeform for custom applications.",
	}
	if d := got["POOL_APP_NOT_ENABLED"].Detail; !slices.Equal(d, stock) {
		t.Errorf("%q", d)
	}
	if d := got["POOL_FULL"].Detail; len(d) != 1 || d[0] != "pool 'snap2' has 928 KiB (max 977 KiB)" {
		t.Errorf("%q", d)
	}
	if d := got["POOL_NEAR_FULL"].Detail; len(d) != 1 || d[0] != "pool 'snap2' has 600 objects (max 1000)" {
		t.Errorf("%q", d)
	}
	w.options["mon_warn_on_pool_no_app"] = "false"
	w.options["mon_warn_on_misplaced"] = "false"
	for _, c := range w.s.Checks(w.now) {
		if c.Code == "POOL_APP_NOT_ENABLED" || c.Code == "OBJECT_MISPLACED" {
			t.Errorf("%s is switched off", c.Code)
		}
	}
}

func TestHealthOfCounts(t *testing.T) {
	t.Parallel()
	w := healthyWorld(t)
	per := int(w.s.pgmap().current().all.Up) / 3
	w.options["mon_max_pg_per_osd"] = fmt.Sprint(per - 4)
	w.options["osd_pool_default_size"] = "5"
	got := w.wantChecks(map[string]string{
		"TOO_MANY_PGS": fmt.Sprintf("too many PGs per OSD (%d > max %d)", per, per-4),
		"TOO_FEW_OSDS": "OSD count 3 < osd_pool_default_size 5",
	})
	if got["TOO_FEW_OSDS"].Count != 2 || got["TOO_MANY_PGS"].Count != 4 {
		t.Errorf("%+v", got)
	}
}

func TestSlowOps(t *testing.T) {
	t.Parallel()
	w := healthyWorld(t)
	slow := func(osd int32, n uint32, oldest time.Duration) {
		r := w.groupsReport(osd)
		r.Stat.SlowOps, r.Stat.OldestSlowOp = n, oldest
		w.report(r)
	}
	slow(1, 4, 35500*time.Millisecond)
	w.wantChecks(map[string]string{"SLOW_OPS": "4 slow ops, oldest one blocked for 35 sec, osd.1 has slow ops"})
	slow(0, 2, 31*time.Second)
	w.wantChecks(map[string]string{"SLOW_OPS": "6 slow ops, oldest one blocked for 35 sec, daemons [osd.0,osd.1] have slow ops."})
	slow(0, 0, 0)
	slow(1, 0, 0)
	w.wantChecks(nil)
}
