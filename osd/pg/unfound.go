package pg

import (
	"slices"

	"github.com/pulpo-storage/pulpo/object"
)

// Objects that are missing here and that nobody is known to have (unfound). They
// are not given up: requests for them wait, and each copy that comes up is asked
// for what it has.

// Unfound is such an object.
type Unfound struct {
	ID   object.ID
	Need object.Version // what is missing
	Have object.Version // what is here; zero: nothing
}

// MightHave is an OSD that may have some of them.
type MightHave struct {
	OSD    int32
	Status string // in Ceph's words
}

// unfoundObjects returns all of them, in order.
func (p *PG) unfoundObjects() (list []Unfound) {
	for _, o := range p.missing.Sorted() {
		if p.lost(o) {
			i, _ := p.missing.Get(o)
			list = append(list, Unfound{o, i.Need, i.Have})
		}
	}
	return list
}

// numMissing is the number of objects that some member lacks.
func (p *PG) numMissing() int {
	all := map[object.ID]struct{}{}
	for _, m := range p.missingSets() {
		for o := range m.All() {
			all[o] = struct{}{}
		}
	}
	return len(all)
}

// pastMembers are the other OSDs that were members in an interval since the group
// was last clean, in order.
func (p *PG) pastMembers() (list []int32) {
	for _, i := range p.past.List {
		for _, o := range i.Acting {
			if o >= 0 && o != p.env.Whoami && !slices.Contains(list, o) {
				list = append(list, o)
			}
		}
	}
	slices.Sort(list)
	return list
}

// mightHave are the OSDs that were asked, could be, or will be when they are up.
func (p *PG) mightHave() (list []MightHave) {
	s := &p.peering
	if s.prior == nil {
		return nil
	}
	for _, o := range sortedOSDs(s.peers) {
		switch q := s.peers[o]; {
		case q.known, !q.info.Exists(), q.info.Empty():
			list = append(list, MightHave{o, "already probed"})
		case q.asked:
			list = append(list, MightHave{o, "querying"})
		default:
			list = append(list, MightHave{o, "not queried"})
		}
	}
	for _, o := range p.pastMembers() {
		switch {
		case s.peers[o] != nil:
		case p.osdmap.IsUp(o):
			list = append(list, MightHave{o, "querying"})
		default:
			list = append(list, MightHave{o, "osd is down"})
		}
	}
	slices.SortFunc(list, func(a, b MightHave) int { return int(a.OSD - b.OSD) })
	return list
}

// allProbed reports whether nobody is left who may have what is unfound: all have
// told what they have, are declared lost, or are no more
// (all_unfound_are_queried_or_lost).
func (p *PG) allProbed() bool {
	return !slices.ContainsFunc(p.mightHave(), func(m MightHave) bool {
		if m.Status == "already probed" || !p.osdmap.Exists(m.OSD) {
			return false
		}
		i := &p.osdmap.Info[m.OSD]
		return p.osdmap.IsUp(m.OSD) || i.LostAt <= i.UpFrom
	})
}
