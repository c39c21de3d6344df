package mgrmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// slowPing is the time above which heartbeats are slow, in microseconds; 0: never.
func (s *Service) slowPing() float64 {
	if ms := s.floatOption("mon_warn_on_slow_ping_time", 0); ms > 0 {
		return ms * 1e3
	}
	return float64(s.intOption("osd_heartbeat_grace", 20)) * 1e6 * s.floatOption("mon_warn_on_slow_ping_ratio", 0.05)
}

// pingStale is the age from which ping times say little.
func (s *Service) pingStale() time.Duration {
	return time.Duration(s.intOption("osd_heartbeat_stale", 600)) * time.Second
}

// DumpNetwork answers "dump_osd_network" of the manager: which heartbeats took
// longer than so many milliseconds.
func (s *Service) DumpNetwork(c *command.Call) command.Reply {
	threshold := c.IntOr("value", int64(s.slowPing()/1e3))
	if threshold < 0 {
		threshold = int64(s.slowPing() / 1e3)
	}
	var list []msg.PingLink
	for o, r := range s.pgmap().osds {
		list = append(list, msg.PingLinks(o, r.stat.Pings, uint32(min(threshold*1000, 1<<32-1)))...)
	}
	return c.Dump(func(f *jsonfmt.Formatter) { msg.DumpPingLinks(f, threshold, list, s.h.Now(), s.pingStale()) })
}

// slowPings complains of networks on which heartbeats take long, though they come.
func (h *health) slowPings() {
	limit := h.s.slowPing()
	if limit <= 0 {
		return
	}
	oldest := h.now.Add(-time.Duration(h.s.intOption("osd_heartbeat_grace", 20)) * time.Minute)
	slow := map[string][]msg.PingLink{}
	for o, r := range h.p.osds {
		for _, l := range msg.PingLinks(o, r.stat.Pings, uint32(min(limit, 1<<32-1))) {
			if !l.Updated.Before(oldest) && float64(l.Longest()) > limit {
				slow[l.Side] = append(slow[l.Side], l)
			}
		}
	}
	for _, side := range slices.Sorted(maps.Keys(slow)) {
		list := slow[side]
		msg.SortPingLinks(list)
		var detail []string
		for i, l := range list {
			if i == 10 {
				detail = append(detail, "Truncated long network list.  Use ceph daemon mgr.# dump_osd_network for more information")
				break
			}
			line := fmt.Sprintf("Slow OSD heartbeats on %s from %s to %s %s msec", side, h.where(l.From), h.where(l.To), msg.Milliseconds(l.Longest()))
			if l.Average[0] < l.Average[1] && l.Average[1] < l.Average[2] {
				line += " possibly improving"
			}
			detail = append(detail, line)
		}
		h.add("OSD_SLOW_PING_TIME_"+strings.ToUpper(side), service.Warn, int64(len(list)), detail,
			"Slow OSD heartbeats on %s (longest %sms)", side, msg.Milliseconds(list[0].Longest()))
	}
}

// where is an OSD with what it is in above its host, by which one tells which
// switch is meant: osd.3 [dc1,rack2].
func (h *health) where(osd int32) string {
	var in []string
	for c, at := h.p.m.Crush, osd; ; {
		parent, ok := c.Parent(at)
		if !ok {
			break
		}
		if t := c.TypeName(parent); t != "root" && t != "host" {
			in = append(in, c.ItemName(parent))
		}
		at = parent
	}
	slices.Reverse(in)
	down := ""
	if h.p.m.IsDown(osd) {
		down = " (down)"
	}
	return fmt.Sprintf("osd.%d [%s]%s", osd, strings.Join(in, ","), down)
}
