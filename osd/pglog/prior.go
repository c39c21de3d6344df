package pglog

import (
	"slices"

	"github.com/pulpo-storage/pulpo/osdmap"
)

// Prior is who may have writes that were acknowledged (PriorSet): the members of
// now, and those of each past interval that may have had some.
type Prior struct {
	Probe []int32          // to be asked; they are up. Ascending
	Down  map[int32]uint32 // would be asked if they were up, with their lost_at
	// Blocked: of some interval nobody is up. What was written in it is not known,
	// and nothing may go on until one of BlockedBy comes back, or has been declared
	// lost.
	Blocked   bool
	BlockedBy []int32
	upFrom    map[int32]uint32
}

// BuildPrior says who is to be asked by a map, if started is the newest epoch in
// which the group is known to have been active. What lost OSDs had cannot be read:
// they are asked, but know nothing of the past.
func BuildPrior(m *osdmap.Map, up, acting []int32, past *PastIntervals, started uint32, lost map[int32]bool) *Prior {
	p := &Prior{Down: map[int32]uint32{}, upFrom: map[int32]uint32{}}
	blocked := map[int32]bool{}
	ask := func(o int32) {
		p.upFrom[o] = m.Info[o].UpFrom
	}
	for _, list := range [][]int32{acting, up} {
		for _, o := range list {
			if m.IsUp(o) {
				ask(o)
			}
		}
	}
	for _, i := range past.List {
		if i.Last < started {
			continue
		}
		known, missed := false, false
		var candidates []int32
		for _, o := range i.Acting {
			switch {
			case m.IsUp(o) && lost[o]:
				ask(o)
				missed = true
				candidates = append(candidates, o)
			case m.IsUp(o):
				ask(o)
				known = true
			case !m.Exists(o):
				// It was removed from the cluster: what it had is not to be had.
				missed = true
			case m.Info[o].LostAt > i.First:
				known = true // whatever it had has been given up
				p.Down[o] = m.Info[o].LostAt
			default:
				p.Down[o] = m.Info[o].LostAt
				missed = true
				candidates = append(candidates, o)
			}
		}
		if !known && missed {
			p.Blocked = true
			for _, o := range candidates {
				blocked[o] = true
			}
		}
	}
	for o := range p.upFrom {
		p.Probe = append(p.Probe, o)
	}
	slices.Sort(p.Probe)
	for o := range blocked {
		p.BlockedBy = append(p.BlockedBy, o)
	}
	slices.Sort(p.BlockedBy)
	return p
}

// Affected reports whether a newer map makes another answer: who was asked has
// gone or is another process, who was down is up, or has been given up.
func (p *Prior) Affected(m *osdmap.Map) bool {
	for o, from := range p.upFrom {
		if !m.IsUp(o) || m.Info[o].UpFrom != from {
			return true
		}
	}
	for o, lost := range p.Down {
		if m.IsUp(o) || !m.Exists(o) || m.Info[o].LostAt != lost {
			return true
		}
	}
	return false
}
