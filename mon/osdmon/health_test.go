package osdmon

import (
	"fmt"
	"strings"
	"testing"
)

// report prints the checks as "ceph health detail" does.
func (c *cluster) report() string {
	var b strings.Builder
	for _, k := range c.Checks(c.Clock) {
		fmt.Fprintf(&b, "%v %s: %s\n", k.Severity, k.Code, k.Summary)
		for _, d := range k.Detail {
			fmt.Fprintf(&b, "    %s\n", d)
		}
	}
	return b.String()
}

func TestHealth(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Options["mon_warn_on_pool_no_redundancy"] = "false"
	for o := range int32(3) {
		c.start(o)
	}
	c.Run("osd pool create", "pool", "a", "size", 1)
	if got := c.report(); got != "" {
		t.Fatalf("a new cluster:\n%s", got)
	}
	steps := []struct {
		do   func()
		want string
	}{
		{func() { c.Run("osd down", "ids", []string{"1"}) }, `
HEALTH_WARN OSD_DOWN: 1 osds down
    osd.1 (root=default,host=h) is down
`},
		{func() { c.Run("osd down", "ids", []string{"0", "2"}) }, `
HEALTH_WARN OSD_ROOT_DOWN: 1 root (3 osds) down
    root default (3 osds) is down
HEALTH_WARN OSD_HOST_DOWN: 1 host (3 osds) down
    host h (root=default) (3 osds) is down
HEALTH_WARN OSD_DOWN: 3 osds down
    osd.0 (root=default,host=h) is down
    osd.1 (root=default,host=h) is down
    osd.2 (root=default,host=h) is down
`},
		{func() { c.Run("osd out", "ids", []string{"all"}) }, ``},
		{func() { c.Run("osd rm", "ids", []string{"0"}) }, `
HEALTH_WARN OSD_ORPHAN: 1 osds exist in the crush map but not in the osdmap
    osd.0 exists in crush map but not in osdmap
`},
		{func() {
			c.Run("osd crush rm", "name", "osd.0")
			c.Run("osd set", "key", "noout")
			c.Run("osd set", "key", "pause")
			c.Run("osd set-group", "flags", "noup,noin", "who", []string{"1", "h", "ssd"})
		}, `
HEALTH_WARN OSDMAP_FLAGS: pauserd,pausewr,noout flag(s) set
HEALTH_WARN OSD_FLAGS: 3 OSDs or CRUSH {nodes, device-classes} have {NOUP,NODOWN,NOIN,NOOUT} flags set
    osd.1 has flags noin,noup
    h has flags noin,noup
    device class 'ssd' has flags noin,noup
`},
		{func() {
			c.Run("osd unset", "key", "noout")
			c.Run("osd unpause")
			c.Run("osd unset-group", "flags", "noup,noin", "who", []string{"1", "h", "ssd"})
			c.Run("osd set-nearfull-ratio", "ratio", 0.92)
			c.Run("osd set-full-ratio", "ratio", 0.98)
		}, `
HEALTH_ERR OSD_OUT_OF_ORDER_FULL: full ratio(s) out of order
    backfillfull_ratio (0.9) < nearfull_ratio (0.92), increased
    osd_failsafe_full_ratio (0.97) < full_ratio (0.98), increased
`},
		{func() {
			c.Run("osd set-nearfull-ratio", "ratio", 0.85)
			c.Run("osd set-full-ratio", "ratio", 0.95)
			c.Run("osd pool create", "pool", "b", "pg_num", 12, "size", 2)
			c.Run("osd pool set", "pool", "b", "var", "noscrub", "val", "1")
			c.Run("osd pool set", "pool", "a", "var", "nodeep-scrub", "val", "1")
			c.Options["mon_warn_on_pool_no_redundancy"] = "true"
		}, `
HEALTH_OK POOL_SCRUB_FLAGS: Some pool(s) have the noscrub, nodeep-scrub flag(s) set
    Pool a has nodeep-scrub flag
    Pool b has noscrub flag
HEALTH_WARN POOL_PG_NUM_NOT_POWER_OF_TWO: 1 pool(s) have non-power-of-two pg_num
    pool 'b' pg_num 12 is not a power of two
HEALTH_WARN POOL_NO_REDUNDANCY: 1 pool(s) have no replicas configured
    pool 'a' has no replicas configured
`},
		{func() {
			c.Run("osd pool rm", "pool", "a", "pool2", "a", "yes_i_really_really_mean_it", true)
			c.Run("osd pool rm", "pool", "b", "pool2", "b", "yes_i_really_really_mean_it", true)
			c.Run("osd crush tunables", "profile", "legacy")
			c.Options["mon_osd_down_out_interval"] = "0"
		}, `
HEALTH_WARN OLD_CRUSH_STRAW_CALC_VERSION: crush map has straw_calc_version=0
    see http://docs.ceph.com/en/latest/rados/operations/crush-map/#tunables
HEALTH_WARN OSD_NO_DOWN_OUT_INTERVAL: mon a has mon_osd_down_out_interval set to 0
    mon.a has mon_osd_down_out_interval set to 0
`},
	}
	for i, s := range steps {
		s.do()
		if got, want := c.report(), strings.TrimPrefix(s.want, "\n"); got != want {
			t.Errorf("step %d:\n%swant:\n%s", i, got, want)
		}
	}
}

// The words of a stock cluster for the state of its OSDs.
func TestStatus(t *testing.T) {
	t.Parallel()
	h, s := stockCluster(t, 131)
	h.Clock = s.Map().LastUpChange.Add(200e9)
	lines := s.StatusServices(h.Clock)
	if want := "3 osds: 3 up (since 3m), 3 in (since 3m); 30 remapped pgs"; len(lines) != 1 || lines[0].Label != "osd" || lines[0].Text != want {
		t.Errorf("%+v, want %s", lines, want)
	}
}
