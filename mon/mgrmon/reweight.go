package mgrmon

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/osdmon"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// reweightCommands are those that even out the load by changing the weights of
// OSDs that are far from the average, and the rehearsals of them.
func (s *Service) reweightCommands(t *command.Table) {
	for _, by := range []string{"utilization", "pg"} {
		t.Read("osd test-reweight-by-"+by, func(c *command.Call) command.Reply {
			_, r := s.reweight(c, by == "pg")
			return r
		})
		t.Write("osd reweight-by-"+by, func(c *command.Call) command.Reply {
			plan, r := s.reweight(c, by == "pg")
			if r.Failed() || plan.changed == 0 {
				return r
			}
			e := t.Find("osd reweightn")
			q := command.New(e.Prefix, map[string]any{"weights": plan.weightsText()})
			q.Now, q.Caller = c.Now, c.Caller
			done := e.Run(q)
			done.Output = r.Output
			return done
		})
	}
}

// reweightPlan is what is to be changed and why (reweight::by_utilization).
type reweightPlan struct {
	percent   int64   // of the average: from there on an OSD has too much
	maxChange float64 // of a weight
	maxOSDs   int64
	average   float64
	weights   map[int32]uint32
	changed   int
	steps     []weightStep
	spread    *osdmon.Spread // nil: no OSD is up and in
}

type weightStep struct {
	osd      int32
	from, to uint32
}

func (p *reweightPlan) overload() float64 { return p.average * float64(p.percent) / 100 }

// weightsText is the argument of "osd reweightn".
func (p *reweightPlan) weightsText() string {
	var parts []string
	for _, o := range slices.Sorted(maps.Keys(p.weights)) {
		parts = append(parts, fmt.Sprintf("'%d':'%d'", o, p.weights[o]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (s *Service) reweight(c *command.Call, byPG bool) (*reweightPlan, command.Reply) {
	p := s.pgmap()
	var pools []int64
	for _, name := range c.Strs("pools") {
		id, _, ok := p.m.PoolByName(name)
		if !ok {
			return nil, command.Fail(errno.ENOENT, "pool '%s' does not exist", name)
		}
		pools = append(pools, id)
	}
	slices.Sort(pools)
	pools = slices.Compact(pools)
	plan := &reweightPlan{
		percent:   c.IntOr("oload", 120),
		maxChange: c.FloatOr("max_change", s.floatOption("mon_reweight_max_change", 0.05)),
		maxOSDs:   c.IntOr("max_osds", s.intOption("mon_reweight_max_osds", 4)),
		weights:   map[int32]uint32{},
	}
	switch {
	case plan.maxChange <= 0:
		return nil, command.Fail(errno.EINVAL, "max_change %s must be positive", jsonfmt.Short(plan.maxChange))
	case plan.maxOSDs <= 0:
		return nil, command.Fail(errno.EINVAL, "max_osds %d must be positive", plan.maxOSDs)
	case plan.percent <= 100:
		return nil, command.Fail(errno.EINVAL, "You must give a percentage higher than 100. "+
			"The reweighting threshold will be calculated as <average-utilization> times <input-percentage>. "+
			"For example, an argument of 200 would reweight OSDs which are twice as utilized as the average OSD.\n"+reweightFailed)
	}
	load, why := s.loadByUse(plan)
	if byPG {
		load, why = s.loadByPG(plan, pools)
	}
	if why != "" {
		return nil, command.Fail(errno.EDOM, "%s\n%s", why, reweightFailed)
	}
	plan.choose(p.m, load, c.Bool("no_increasing"))
	inc := osdmap.NewIncremental(p.m.FSID, p.m.Epoch+1)
	inc.NewWeight = plan.weights
	next, err := p.m.Apply(inc)
	if err != nil {
		return nil, command.Err(errno.EINVAL)
	}
	plan.spread, _ = osdmon.SpreadOf(p.m, next, pools)
	r := c.Either(plan.text, func(f *jsonfmt.Formatter) { f.Object("reweight_by_utilization", func() { plan.dump(f) }) })
	r.Status = "no change"
	return plan, r
}

// reweightFailed is what Ceph says of either command.
const reweightFailed = "FAILED reweight-by-pg"

// osdLoad is how much an OSD has of what is to be evened out.
type osdLoad struct {
	osd  int32
	load float32
}

// loadByUse is the used part of each OSD; why says what makes it no measure.
func (s *Service) loadByUse(plan *reweightPlan) (all []osdLoad, why string) {
	p := s.pgmap()
	least := s.intOption("mon_reweight_min_bytes_per_osd", 100<<20)
	sum, n := p.current().osds.space, int64(max(1, len(p.osds)))
	switch {
	case sum.Total/n < least:
		return nil, fmt.Sprintf("Refusing to reweight: we only have %d kb across all osds!", sum.Total>>10)
	case usedRaw(&sum)/n < least:
		return nil, fmt.Sprintf("Refusing to reweight: we only have %d kb used across all osds!", usedRaw(&sum)>>10)
	}
	plan.average = float64(usedRaw(&sum)) / float64(sum.Total)
	for _, o := range p.osdIDs() {
		st, _ := p.stat(o)
		all = append(all, osdLoad{o, float32(float64(usedRaw(&st.Store)) / float64(st.Store.Total))})
	}
	return all, ""
}

// loadByPG is the number of groups of each OSD by its CRUSH weight.
func (s *Service) loadByPG(plan *reweightPlan, pools []int64) (all []osdLoad, why string) {
	p := s.pgmap()
	weight := func(o int32) float64 {
		w, _ := p.m.Crush.ItemWeight(o)
		return float64(float32(w) / osdmap.WeightIn)
	}
	groups, copies, weights := map[int32]int{}, 0, 0.0
	for g := range p.groups() {
		if pools != nil && !slices.Contains(pools, g.PG.Pool) {
			continue
		}
		for _, o := range g.Acting {
			if !p.m.Exists(o) || weight(o) <= 0 {
				continue
			}
			if groups[o] == 0 {
				weights += weight(o)
			}
			groups[o]++
			copies++
		}
	}
	if n := len(groups); n == 0 || int64(copies/n) < s.intOption("mon_reweight_min_pgs_per_osd", 10) {
		return nil, fmt.Sprintf("Refusing to reweight: we only have %d PGs across %d osds!", copies, n)
	}
	plan.average = float64(copies) / weights
	for _, o := range p.osdIDs() {
		if groups[o] > 0 {
			all = append(all, osdLoad{o, float32(float64(groups[o]) / weight(o))})
		}
	}
	return all, ""
}

// choose picks the OSDs that are farthest from the average: those that have too
// much get less, and those that have less than the average get more, up to their
// full weight.
func (p *reweightPlan) choose(m *osdmap.Map, all []osdLoad, onlyLess bool) {
	slices.SortStableFunc(all, func(a, b osdLoad) int {
		return cmp.Compare(math.Abs(float64(b.load)-p.average), math.Abs(float64(a.load)-p.average))
	})
	maxStep := uint32(p.maxChange * osdmap.WeightIn)
	for _, l := range all {
		if int64(p.changed) >= p.maxOSDs {
			return
		}
		from := m.Weight[l.osd]
		if from == osdmap.WeightOut {
			continue
		}
		want := math.Min(p.average/float64(l.load)*float64(from), math.MaxUint32)
		to := uint32(want)
		switch {
		case float64(l.load) >= p.overload():
			if from > maxStep {
				to = max(to, from-maxStep)
			}
		case !onlyLess && float64(l.load) <= p.average:
			if to = min(to, from+maxStep, osdmap.WeightIn); to <= from {
				continue
			}
		default:
			continue
		}
		p.weights[l.osd] = to
		p.changed++
		p.steps = append(p.steps, weightStep{l.osd, from, to})
	}
}

func weightPart(w uint32) float64 { return float64(float32(w) / osdmap.WeightIn) }

func (p *reweightPlan) text() string {
	var b strings.Builder
	if p.spread != nil {
		b.WriteString(p.spread.Text())
	}
	fmt.Fprintf(&b, "\noload %d\nmax_change %s\nmax_change_osds %d\naverage_utilization %.4f\noverload_utilization %.4f\n",
		p.percent, jsonfmt.Short(p.maxChange), p.maxOSDs, p.average, p.overload())
	for _, s := range p.steps {
		fmt.Fprintf(&b, "osd.%d weight %.4f -> %.4f\n", s.osd, weightPart(s.from), weightPart(s.to))
	}
	return b.String()
}

// dump writes the plan; like Ceph it leaves out weights that grow.
func (p *reweightPlan) dump(f *jsonfmt.Formatter) {
	f.Int("overload_min", p.percent)
	f.Float("max_change", p.maxChange)
	f.Int("max_change_osds", p.maxOSDs)
	f.Float("average_utilization", p.average)
	f.Float("overload_utilization", p.overload())
	f.Array("reweights", func() {
		for _, s := range p.steps {
			if s.to < s.from {
				f.Object("osd", func() {
					f.Int("osd", int64(s.osd))
					f.Float("weight", weightPart(s.from))
					f.Float("new_weight", weightPart(s.to))
				})
			}
		}
	})
	if p.spread != nil {
		p.spread.Dump(f)
	}
}
