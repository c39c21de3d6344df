package osdmon

import (
	"slices"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Exceptions to CRUSH that balancers and administrators made hold only as long as
// they lead where CRUSH could have led: when pools, rules, weights or the tree
// change, those that do not are removed (OSDMap::check_pg_upmaps).

// cleanUpmaps removes the exceptions that are not valid any more, or shortens them.
func (s *Service) cleanUpmaps() {
	v := s.view()
	if len(v.PGUpmap)+len(v.PGUpmapItems) == 0 {
		return
	}
	inc := s.p.inc
	if len(inc.Crush)+len(inc.NewState)+len(inc.NewWeight)+len(inc.NewPools)+len(inc.OldPools)+len(inc.NewPGUpmap)+len(inc.NewPGUpmapItems) == 0 {
		return
	}
	rules := map[uint8]*upmapRule{}
	for pg := range v.PGUpmap {
		if !s.upmapHolds(v, rules, pg) {
			s.dropUpmap(pg)
		}
	}
	for pg, items := range v.PGUpmapItems {
		switch left := s.leftItems(v, pg, items); {
		case len(left) == 0 || !s.upmapHolds(v, rules, pg):
			s.dropUpmapItems(pg)
		case len(left) < len(items):
			s.stage().NewPGUpmapItems[pg] = left
		}
	}
}

// leftItems are those that change anything: from an OSD that the group would be on,
// to one that is in.
func (s *Service) leftItems(v *osdmap.Map, pg object.PG, items []osdmap.UpmapItem) (left []osdmap.UpmapItem) {
	raw, _ := v.PGToRaw(pg)
	for _, i := range items {
		if slices.Contains(raw, i.From) && (i.To < 0 || i.To >= v.MaxOSD || v.Weight[i.To] > 0) {
			left = append(left, i)
		}
	}
	return left
}

// upmapRule is what exceptions must keep of a rule.
type upmapRule struct {
	devices map[int32]bool // that it may choose
	leaf    []int32        // types of which each copy needs one of its own
	most    map[int32]int  // types of which at most so many are used
}

func readRule(m *osdmap.Map, p *osdmap.Pool) *upmapRule {
	r := &upmapRule{devices: map[int32]bool{}, most: map[int32]int{}}
	rule := m.Crush.Rule(m.Crush.FindRule(int(p.CrushRule), uint8(p.Type), p.Size))
	if rule == nil {
		return r
	}
	for _, st := range rule.Steps {
		n := int(st.Arg1)
		if n <= 0 {
			n += int(p.Size)
		}
		switch st.Op {
		case crush.OpTake:
			addDevices(m.Crush, st.Arg1, r.devices)
		case crush.OpChooseLeafFirstN, crush.OpChooseLeafIndep:
			if st.Arg2 > 0 {
				r.leaf = append(r.leaf, st.Arg2)
			}
		case crush.OpChooseFirstN, crush.OpChooseIndep:
			if st.Arg2 > 0 {
				r.most[st.Arg2] = n
			}
		}
	}
	return r
}

// addDevices adds the devices below an item that weigh anything.
func addDevices(c *crush.Map, item int32, to map[int32]bool) {
	if item >= 0 {
		to[item] = true
		return
	}
	b := c.Bucket(item)
	if b == nil {
		return
	}
	for i, child := range b.Items {
		if b.ItemWeightAt(i) > 0 {
			addDevices(c, child, to)
		}
	}
}

// upmapHolds reports whether a group with its exceptions is where its rule could
// have put it.
func (s *Service) upmapHolds(v *osdmap.Map, rules map[uint8]*upmapRule, pg object.PG) bool {
	p := v.Pools[pg.Pool]
	if p == nil || pg.Seed >= p.PGNum {
		return false
	}
	raw, _ := v.PGToRaw(pg)
	to, whole := v.PGUpmap[pg]
	if whole && (slices.Equal(to, raw) || len(to) != int(p.Size)) {
		return false
	}
	r := rules[p.CrushRule]
	if r == nil {
		r = readRule(v, p)
		rules[p.CrushRule] = r
	}
	osds := v.PGToUpmapped(pg)
	for _, o := range osds {
		if o != osdmap.NoOSD && (!v.Exists(o) || !r.devices[o] || v.Weight[o] == 0) {
			return false
		}
	}
	parents := func(typ int32) (list []int32) {
		for _, o := range osds {
			if b, ok := v.Crush.ParentOfType(o, typ); ok && o != osdmap.NoOSD {
				list = append(list, b)
			}
		}
		slices.Sort(list)
		return list
	}
	for _, typ := range r.leaf {
		if list := parents(typ); len(slices.Compact(slices.Clone(list))) < len(list) {
			return false
		}
	}
	for typ, most := range r.most {
		if len(slices.Compact(parents(typ))) > most {
			return false
		}
	}
	return true
}

func (s *Service) dropUpmap(pg object.PG) {
	inc := s.stage()
	delete(inc.NewPGUpmap, pg)
	if _, ok := s.cur.PGUpmap[pg]; ok && !slices.Contains(inc.OldPGUpmap, pg) {
		inc.OldPGUpmap = append(inc.OldPGUpmap, pg)
	}
}

func (s *Service) dropUpmapItems(pg object.PG) {
	inc := s.stage()
	delete(inc.NewPGUpmapItems, pg)
	if _, ok := s.cur.PGUpmapItems[pg]; ok && !slices.Contains(inc.OldPGUpmapItems, pg) {
		inc.OldPGUpmapItems = append(inc.OldPGUpmapItems, pg)
	}
}
