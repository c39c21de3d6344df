package mgrmon

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

func (s *Service) safetyCommands(t *command.Table) {
	t.Read("osd ok-to-stop", s.okToStop)
	t.Read("osd safe-to-destroy", s.safeToDestroy)
}

// osdList reads a list of OSDs: numbers, osd.N, or all of them.
func osdList(m *osdmap.Map, names []string) ([]int32, command.Reply) {
	set := map[int32]bool{}
	for i, name := range names {
		if i == 0 && (name == "all" || name == "any" || name == "*") {
			for o := range m.MaxOSD {
				if m.Exists(o) {
					set[o] = true
				}
			}
			break
		}
		o, words := parseOSD(name)
		if words != "" {
			return nil, command.Fail(errno.EINVAL, "%sinvalid osd id '%s'", words, name)
		}
		set[o] = true
	}
	if len(set) == 0 {
		return nil, command.Fail(errno.EINVAL, "must specify one or more OSDs")
	}
	return slices.Sorted(maps.Keys(set)), command.Reply{}
}

// parseOSD reads N or osd.N; words say what is wrong.
func parseOSD(name string) (osd int32, words string) {
	id := strings.TrimPrefix(name, "osd.")
	n, err := strconv.ParseInt(id, 10, 32)
	switch {
	case err != nil:
		return 0, "Expected option value to be integer, got '" + id + "'"
	case n < 0:
		return 0, "expected numerical value, got: " + id
	}
	return int32(n), ""
}

// outage is what stopping some OSDs would do (offline_pg_report).
type outage struct {
	osds                                         []int32
	ok, notOK                                    int
	unknown, already, inactive, degraded, deeper []object.PG
}

func (r *outage) okToStop() bool { return r.notOK == 0 && len(r.unknown) == 0 }

func (p *pgmap) outage(osds []int32) *outage {
	r := &outage{osds: osds}
	for g := range p.groups() {
		if unknown(g) {
			r.unknown = append(r.unknown, g.PG)
			continue
		}
		left, hit := 0, false
		for _, o := range g.Acting {
			if slices.Contains(osds, o) {
				hit = true
			} else if o != osdmap.NoOSD {
				left++
			}
		}
		if !hit {
			continue
		}
		pool := p.m.Pools[g.PG.Pool]
		if g.State&msg.PGDegraded != 0 && g.State&msg.PGUndersized == 0 {
			// One of the members still misses objects; which one is not known,
			// so it is taken for one of those that would be left.
			left--
		}
		bad := false
		if g.State&msg.PGActive == 0 {
			r.already = append(r.already, g.PG)
			bad = true
		}
		if left < int(pool.MinSize) {
			r.inactive = append(r.inactive, g.PG)
			bad = true
		}
		switch {
		case bad:
			r.notOK++
			continue
		case g.State&msg.PGDegraded != 0:
			r.deeper = append(r.deeper, g.PG)
		default:
			r.degraded = append(r.degraded, g.PG)
		}
		r.ok++
	}
	return r
}

// widen adds OSDs near the first one as long as all may be stopped together.
func (p *pgmap) widen(r *outage, limit int) *outage {
	at := r.osds[0]
	for r.okToStop() && len(r.osds) < limit {
		parent, ok := p.m.Crush.Parent(at)
		if !ok {
			break
		}
		at = parent
		failed := false
		for _, o := range slices.Sorted(slices.Values(p.m.Crush.Leaves(at))) {
			if len(r.osds) >= limit {
				break
			}
			if !p.m.IsUp(o) || slices.Contains(r.osds, o) {
				continue
			}
			if more := p.outage(slices.Sorted(slices.Values(append(slices.Clone(r.osds), o)))); more.okToStop() {
				r = more
			} else {
				failed = true
			}
		}
		if failed {
			break
		}
	}
	return r
}

// okToStop tells whether data stays available if some OSDs stop.
func (s *Service) okToStop(c *command.Call) command.Reply {
	p := s.pgmap()
	osds, bad := osdList(p.m, c.Strs("ids"))
	if bad.Failed() {
		return bad
	}
	report := p.widen(p.outage(osds), int(c.IntOr("max", 1)))
	r := asDocument(c).Dump(func(f *jsonfmt.Formatter) { f.Object("ok_to_stop", func() { report.dump(f) }) })
	r.Output = append(r.Output, '\n')
	switch {
	case len(report.unknown) > 0:
		r.Errno = errno.EAGAIN
		r.Status = strconv.Itoa(len(report.unknown)) + " pgs have unknown state; cannot draw any conclusions"
	case !report.okToStop():
		r.Errno = errno.EBUSY
		r.Status = "unsafe to stop osd(s) at this time (" + strconv.Itoa(report.notOK) + " PGs are or would become offline)"
	}
	return r
}

func (r *outage) dump(f *jsonfmt.Formatter) {
	f.Bool("ok_to_stop", r.okToStop())
	dumpOSDs(f, "osds", r.osds)
	f.Int("num_ok_pgs", int64(r.ok))
	f.Int("num_not_ok_pgs", int64(r.notOK))
	for _, list := range []struct {
		name string
		pgs  []object.PG
	}{
		{"unknown_pgs", r.unknown}, {"bad_already_inactive", r.already}, {"bad_become_inactive", r.inactive},
		{"ok_become_degraded", r.degraded}, {"ok_become_more_degraded", r.deeper},
	} {
		if len(list.pgs) > 0 {
			f.Array(list.name, func() {
				for _, pg := range list.pgs {
					f.Stringer("pg", pg)
				}
			})
		}
	}
}

// safeToDestroy tells whether OSDs hold nothing any more that is needed.
func (s *Service) safeToDestroy(c *command.Call) command.Reply {
	p := s.pgmap()
	osds, bad := osdList(p.m, c.Strs("ids"))
	if bad.Failed() {
		return bad
	}
	sum := p.current()
	if sum.unknown > 0 {
		return command.Fail(errno.EAGAIN, "%d pgs have unknown state; cannot draw any conclusions", sum.unknown)
	}
	clean := 0
	for state, n := range sum.all.states {
		if state&msg.PGActive != 0 && state&msg.PGClean != 0 {
			clean += n
		}
	}
	var safe, active, silent, stored []int32
	at, affected := p.placement(), 0
	for _, o := range osds {
		last := p.osds[o] // what it holds counts even if it is out
		switch {
		case !p.m.Exists(o):
			safe = append(safe, o)
		case at.of(o).groups() > 0:
			active = append(active, o)
			affected += at.of(o).groups()
		case clean == sum.all.groups:
			safe = append(safe, o)
		case last == nil || !p.m.IsUp(o):
			silent = append(silent, o)
		case last.stat.PGs > 0:
			stored = append(stored, o)
		default:
			safe = append(safe, o)
		}
	}
	if c.Format != command.Plain {
		return c.Dump(func(f *jsonfmt.Formatter) {
			f.Object("osd_status", func() {
				dumpOSDs(f, "safe_to_destroy", safe)
				dumpOSDs(f, "active", active)
				dumpOSDs(f, "missing_stats", silent)
				dumpOSDs(f, "stored_pgs", stored)
			})
		})
	}
	words := ""
	say := func(osds []int32, text string) {
		if len(osds) > 0 {
			words += "OSD(s) " + osdSet(osds) + " " + text
		}
	}
	if len(safe) == len(osds) {
		say(safe, "are safe to destroy without reducing data durability.")
		return command.Say("%s", words)
	}
	say(safe, "are safe to destroy without reducing data durability. ")
	say(active, "have "+strconv.Itoa(affected)+" pgs currently mapped to them. ")
	say(silent, "have no reported stats, and not all PGs are active+clean; we cannot draw any conclusions. ")
	say(stored, "last reported they still store some PG data, and not all PGs are active+clean; we cannot be sure they aren't still needed.")
	if len(active)+len(stored) > 0 {
		return command.Fail(errno.EBUSY, "%s", words)
	}
	return command.Fail(errno.EAGAIN, "%s", words)
}
