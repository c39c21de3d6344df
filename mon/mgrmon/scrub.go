package mgrmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// scrubCommands tell OSDs to scrub groups, or to repair them. That they have been
// told is all that a command waits for.
func (s *Service) scrubCommands(t *command.Table) {
	for _, op := range []string{"scrub", "deep-scrub", "repair"} {
		t.Read("pg "+op, func(c *command.Call) command.Reply { return s.scrubPG(c, op) })
		t.Read("osd "+op, func(c *command.Call) command.Reply { return s.scrubOSDs(c, op) })
		t.Read("osd pool "+op, func(c *command.Call) command.Reply { return s.scrubPools(c, op) })
	}
}

// tellScrub tells an OSD and reports whether it is there to hear it.
func (s *Service) tellScrub(id int32, op string, m msg.OSDScrub) bool {
	o := s.pgmap().osds[id]
	if o == nil || o.sess == nil || !s.pgmap().m.IsUp(id) {
		return false
	}
	m.Deep, m.Repair = op == "deep-scrub", op == "repair"
	s.h.Send(o.sess, &m)
	return true
}

func (s *Service) scrubPG(c *command.Call, op string) command.Reply {
	p := s.pgmap()
	pg, err := object.ParsePG(c.Str("pgid"))
	if err != nil {
		return command.Fail(errno.EINVAL, "invalid pgid '%s'", c.Str("pgid"))
	}
	if p.group(pg) == nil {
		return command.Fail(errno.ENOENT, "pg %v does not exist", pg)
	}
	primary := p.m.PGToUpActing(pg).ActingPrimary
	if primary < 0 {
		return command.Fail(errno.EAGAIN, "pg %v has no primary osd", pg)
	}
	if !s.tellScrub(primary, op, msg.OSDScrub{PGs: []object.PG{pg}}) {
		return command.Fail(errno.EAGAIN, "pg %v primary osd.%d is not currently connected", pg, primary)
	}
	return command.Reply{Status: fmt.Sprintf("instructing pg %v on osd.%d to %s", pg, primary, op)}
}

func (s *Service) scrubOSDs(c *command.Call, op string) command.Reply {
	m := s.pgmap().m
	var osds []int32
	switch who := c.Str("who"); who {
	case "*", "all", "any":
		for o := range m.MaxOSD {
			if m.IsUp(o) {
				osds = append(osds, o)
			}
		}
	default:
		o, words := parseOSD(who)
		if words != "" {
			return command.Fail(errno.EINVAL, "%sinvalid osd '%s'", words, who)
		}
		if !m.IsUp(o) {
			return command.Fail(errno.EAGAIN, "osd.%d is not up", o)
		}
		osds = []int32{o}
	}
	var sent, failed []int32
	for _, o := range osds {
		if s.tellScrub(o, op, msg.OSDScrub{All: true}) {
			sent = append(sent, o)
		} else {
			failed = append(failed, o)
		}
	}
	if len(sent) == 0 {
		return command.Fail(errno.EAGAIN, "failed to instruct osd(s) %s to %s (not connected)", commas(failed), op)
	}
	status := fmt.Sprintf("instructed osd(s) %s to %s", commas(sent), op)
	if len(failed) > 0 {
		status += fmt.Sprintf("; osd(s) %s were not connected", commas(failed))
	}
	return command.Reply{Status: status}
}

func commas(osds []int32) string {
	words := make([]string, len(osds))
	for i, o := range osds {
		words[i] = fmt.Sprint(o)
	}
	return strings.Join(words, ",")
}

func (s *Service) scrubPools(c *command.Call, op string) command.Reply {
	ids, r := s.poolArgs(c)
	if r.Failed() {
		return r
	}
	m := s.pgmap().m
	by := map[int32][]object.PG{}
	for _, id := range ids {
		for seed := range m.Pools[id].PGNum {
			pg := object.PG{Pool: id, Seed: seed}
			if o := m.PGToUpActing(pg).ActingPrimary; o >= 0 {
				by[o] = append(by[o], pg)
			}
		}
	}
	var failed []string
	for _, o := range slices.Sorted(maps.Keys(by)) {
		if !s.tellScrub(o, op, msg.OSDScrub{PGs: by[o]}) {
			failed = append(failed, fmt.Sprintf("osd.%d is not currently connected", o))
		}
	}
	if len(failed) > 0 {
		return command.Fail(errno.EAGAIN, "%s", strings.Join(failed, "; "))
	}
	return command.Reply{}
}

// scrubs complains of groups that were not scrubbed in time, and of OSDs that
// needed other copies for what they should have been able to read themselves.
func (h *health) scrubs() {
	for _, k := range []struct {
		code, did, ratio, interval string
		ratioDef, intervalDef      float64
		opt                        osdmap.PoolOptKey
		stamp                      func(*msg.PGStat) time.Time
	}{
		{"PG_NOT_SCRUBBED", "scrubbed", "mon_warn_pg_not_scrubbed_ratio", "osd_scrub_max_interval", 0.5, 604800,
			osdmap.OptScrubMaxInterval, func(g *msg.PGStat) time.Time { return g.LastScrubStamp }},
		{"PG_NOT_DEEP_SCRUBBED", "deep-scrubbed", "mon_warn_pg_not_deep_scrubbed_ratio", "osd_deep_scrub_interval", 0.75, 604800,
			osdmap.OptDeepScrubInterval, func(g *msg.PGStat) time.Time { return g.LastDeepStamp }},
	} {
		ratio := h.s.floatOption(k.ratio, k.ratioDef)
		if ratio <= 0 {
			continue
		}
		var detail []string
		total := 0
		for g := range h.p.groups() {
			pool, at := h.p.m.Pools[g.PG.Pool], k.stamp(g)
			if pool == nil || unknown(g) || at.IsZero() {
				continue
			}
			interval := pool.Opts.Float(k.opt, 0)
			if interval <= 0 {
				interval = h.s.floatOption(k.interval, k.intervalDef)
			}
			if h.now.Sub(at).Seconds() <= interval*(1+ratio) {
				continue
			}
			if total++; total <= h.most {
				detail = append(detail, fmt.Sprintf("pg %v not %s since %s", g.PG, k.did, jsonfmt.Time(at)))
			}
		}
		if total > h.most {
			detail = append(detail, fmt.Sprintf("%d more pgs... ", total-h.most))
		}
		if total > 0 {
			h.add(k.code, service.Warn, int64(total), detail, "%d pgs not %s in time", total, k.did)
		}
	}
	var detail []string
	most := h.s.intOption("mon_osd_warn_num_repaired", 10)
	for _, id := range h.p.osdIDs() {
		if n := h.p.osds[id].stat.ShardsRepaired; most > 0 && n > uint64(most) {
			detail = append(detail, fmt.Sprintf("osd.%d had %d reads repaired", id, n))
		}
	}
	if n := len(detail); n > 0 {
		h.add("OSD_TOO_MANY_REPAIRS", service.Warn, int64(n), detail, "Too many repaired reads on %d OSDs", n)
	}
}
