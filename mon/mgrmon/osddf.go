package mgrmon

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

func (s *Service) osdDfCommands(t *command.Table) { t.Read("osd df", s.osdDf) }

// osdDf shows the space of OSDs, and with "tree" that of the buckets above
// them; of all, or of those of a pool, a CRUSH node or a device class.
func (s *Service) osdDf(c *command.Call) command.Reply {
	d := osdDf{p: s.pgmap(), tree: c.Str("output_method") == "tree"}
	if name := c.Str("filter"); name != "" && !d.filter(name) {
		return command.Fail(errno.EINVAL, "'%s' not a pool, crush node or device class name", name)
	}
	d.at = d.p.placement()
	d.average = d.averageUse()
	m := d.p.m
	d.view = crush.TreeView{Map: m.Crush, PoolName: func(id int64) (string, bool) {
		n, ok := m.PoolNames[id]
		return n, ok
	}}
	return c.Either(d.text, func(f *jsonfmt.Formatter) { f.Object("df", func() { d.dump(f) }) }).LineUnlessPlain(c)
}

type osdDf struct {
	p       *pgmap
	tree    bool
	at      placement
	view    crush.TreeView
	nodes   map[int32]bool // shown; nil: all
	class   string         // of the OSDs that are shown; "": all
	average float64        // percent

	// What is known after all items were shown.
	total      msg.StoreStats
	minVar     float64 // -1: none
	maxVar     float64
	squares    float64
	weightsSum float64
}

// filter restricts what is shown.
func (d *osdDf) filter(name string) bool {
	c := d.p.m.Crush
	if _, pool, ok := d.p.m.PoolByName(name); ok {
		d.nodes = map[int32]bool{}
		if r := c.Rule(int(pool.CrushRule)); r != nil {
			for _, step := range r.Steps {
				if step.Op == crush.OpTake {
					below(c, step.Arg1, d.nodes)
				}
			}
		}
		return true
	}
	if _, ok := c.ClassID(name); ok {
		d.class = name
		return true
	}
	id, ok := c.ItemID(name)
	if ok {
		d.nodes = map[int32]bool{}
		below(c, id, d.nodes)
	}
	return ok
}

// below collects an item and all that is below it.
func below(c *crush.Map, id int32, out map[int32]bool) {
	out[id] = true
	if b := c.Bucket(id); b != nil {
		for _, item := range b.Items {
			below(c, item, out)
		}
	}
}

func (d *osdDf) shown(id int32) bool {
	return (d.nodes == nil || d.nodes[id]) && (id < 0 || d.class == "" || d.p.m.Crush.ClassOf(id) == d.class)
}

func usePercent(s *msg.StoreStats) float64 {
	kb, usedKB := s.Total>>10, usedRaw(s)>>10
	if kb == 0 || usedKB == 0 {
		return 0
	}
	return 100 * float64(usedKB) / float64(kb)
}

func (d *osdDf) averageUse() float64 {
	var kb, usedKB int64
	for o := range d.p.m.MaxOSD {
		if d.p.m.IsOut(o) || !d.shown(o) {
			continue
		}
		if st, ok := d.p.stat(o); ok {
			kb += st.Store.Total >> 10
			usedKB += usedRaw(&st.Store) >> 10
		}
	}
	if kb == 0 {
		return 0
	}
	return 100 * float64(usedKB) / float64(kb)
}

// space adds up an item. It stops at the first OSD that has not reported, and
// says so: the use of such a bucket is not known.
func (d *osdDf) space(id int32, sum *msg.StoreStats) bool {
	b := d.p.m.Crush.Bucket(id)
	if b == nil {
		if id < 0 {
			return false
		}
		if d.p.m.IsOut(id) || !d.shown(id) {
			return true
		}
		st, ok := d.p.stat(id)
		sum.Add(&st.Store)
		return ok
	}
	for _, item := range slices.Backward(b.Items) {
		if !d.space(item, sum) {
			return false
		}
	}
	return true
}

// osdUse is one item as it is shown.
type osdUse struct {
	crush.TreeItem
	reweight     float64
	space        msg.StoreStats
	percent, rel float64 // of its size; relative to the average
	pgs          int
	status       string
}

// each visits the items in the order of the tree, and then those that are in no
// bucket. There is nothing to show of a bucket if it is not a tree.
func (d *osdDf) each(item, stray func(*osdUse)) {
	d.minVar, d.maxVar = -1, -1
	m := d.p.m
	done := map[int32]bool{}
	use := func(i crush.TreeItem, visit func(*osdUse)) {
		if !d.tree && (i.ID < 0 || done[i.ID]) || !d.shown(i.ID) {
			return
		}
		u := &osdUse{TreeItem: i, reweight: -1, rel: 1}
		if d.space(i.ID, &u.space) {
			u.percent = usePercent(&u.space)
		}
		if d.average != 0 {
			u.rel = u.percent / d.average
		}
		if i.ID >= 0 {
			done[i.ID] = true
			u.reweight = 0
			if m.Exists(i.ID) {
				u.reweight = m.WeightOf(i.ID)
			}
			u.pgs = d.at.of(i.ID).groups()
			switch {
			case m.IsUp(i.ID):
				u.status = "up"
			case m.IsDestroyed(i.ID):
				u.status = "destroyed"
			default:
				u.status = "down"
			}
			d.count(u)
		}
		visit(u)
	}
	seen := d.view.Walk(func(i crush.TreeItem) { use(i, item) })
	for o := range m.MaxOSD {
		if m.Exists(o) && !seen[o] {
			use(crush.TreeItem{ID: o}, stray)
		}
	}
	for _, o := range slices.Sorted(maps.Keys(d.p.osds)) {
		if d.nodes == nil && d.class == "" || done[o] {
			st, _ := d.p.stat(o)
			d.total.Add(&st.Store)
		}
	}
}

// count takes an OSD into the deviation from the average.
func (d *osdDf) count(u *osdUse) {
	if u.reweight <= 0 {
		return
	}
	if d.minVar < 0 || u.rel < d.minVar {
		d.minVar = u.rel
	}
	d.maxVar = max(d.maxVar, u.rel)
	dev := u.percent - d.average
	d.squares += u.reweight * dev * dev
	d.weightsSum += u.reweight
}

func (d *osdDf) deviation() float64 {
	if d.weightsSum <= 0 {
		return 0
	}
	return math.Sqrt(d.squares / d.weightsSum)
}

func (d *osdDf) dump(f *jsonfmt.Formatter) {
	visit := func(list *[]*osdUse) func(*osdUse) {
		return func(u *osdUse) { *list = append(*list, u) }
	}
	var nodes, strays []*osdUse
	d.each(visit(&nodes), visit(&strays))
	write := func(name string, list []*osdUse) {
		f.Array(name, func() {
			for _, u := range list {
				f.Object("item", func() { d.view.DumpWithAll(f, u.TreeItem, func() { u.dump(f) }) })
			}
		})
	}
	write("nodes", nodes)
	write("stray", strays)
	f.Object("summary", func() {
		dumpKB(f, "total_", &d.total)
		f.Float("average_utilization", d.average)
		f.Float("min_var", d.minVar)
		f.Float("max_var", d.maxVar)
		f.Float("dev", d.deviation())
	})
}

func (u *osdUse) dump(f *jsonfmt.Formatter) {
	f.Float("reweight", u.reweight)
	dumpKB(f, "", &u.space)
	f.Float("utilization", u.percent)
	f.Float("var", u.rel)
	f.Int("pgs", int64(u.pgs))
	if u.ID >= 0 {
		f.Str("status", u.status)
	}
}

func dumpKB(f *jsonfmt.Formatter, prefix string, s *msg.StoreStats) {
	f.Int(prefix+"kb", s.Total>>10)
	f.Int(prefix+"kb_used", usedRaw(s)>>10)
	f.Int(prefix+"kb_used_data", s.Allocated>>10)
	f.Int(prefix+"kb_used_omap", s.OmapAllocated>>10)
	f.Int(prefix+"kb_used_meta", s.InternalMetadata>>10)
	f.Int(prefix+"kb_avail", s.Available>>10)
}

func (d *osdDf) text() string {
	var t jsonfmt.Table
	heads := []string{"ID", "CLASS", "WEIGHT", "REWEIGHT", "SIZE", "RAW USE", "DATA", "OMAP", "META", "AVAIL", "%USE", "VAR", "PGS", "STATUS"}
	for _, h := range heads {
		t.Column(h, jsonfmt.Right)
	}
	if d.tree {
		t.Column("TYPE NAME", jsonfmt.Left)
	}
	row := func(u *osdUse) {
		pgs := "-"
		if u.ID >= 0 {
			pgs = fmt.Sprint(u.pgs)
		}
		cells := append([]string{fmt.Sprint(u.ID), d.p.m.Crush.ClassOf(u.ID), jsonfmt.Weight(u.Weight), jsonfmt.Weight(u.reweight)}, sizes(&u.space)...)
		cells = append(cells, low(u.percent), low(u.rel), pgs, u.status)
		if d.tree {
			cells = append(cells, d.view.Label(u.TreeItem))
		}
		t.Row(cells...)
	}
	d.each(row, row)
	t.Row(append(append([]string{"", "", "", "TOTAL"}, sizes(&d.total)...), low(d.average))...)
	return t.String() + fmt.Sprintf("MIN/MAX VAR: %s/%s  STDDEV: %s\n", low(d.minVar), low(d.maxVar), low(d.deviation()))
}

// sizes are in whole KiB, as OSDs once reported them.
func sizes(s *msg.StoreStats) []string {
	var out []string
	for _, n := range []int64{s.Total, usedRaw(s), s.Allocated, s.OmapAllocated, s.InternalMetadata, s.Available} {
		out = append(out, size(n>>10<<10))
	}
	return out
}

// low renders a number with low precision (lowprecision_t).
func low(v float64) string {
	switch {
	case v < -0.01:
		return "-"
	case v < 0.001:
		return "0"
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
