package mgrmon

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// The numbers are from a stock cluster of three OSDs that each weigh 1277/65536,
// with a pool of 32 groups of one replica.
func TestChooseWeights(t *testing.T) {
	t.Parallel()
	const crushWeight = 1277.0 / 65536
	fixed := func(w float64) uint32 { return uint32(w * osdmap.WeightIn) }
	for _, tc := range []struct {
		name    string
		groups  [3]int
		weights [3]uint32
		plan    reweightPlan
		less    bool
		want    []weightStep
	}{
		{
			name: "two have too much", groups: [3]int{12, 11, 9}, weights: [3]uint32{65536, 65536, 65536},
			plan: reweightPlan{percent: 101, maxChange: 0.2, maxOSDs: 2},
			want: []weightStep{{0, 65536, fixed(0.888885498046875)}, {1, 65536, fixed(0.969696044921875)}},
		},
		{
			name: "one gets less and one more", groups: [3]int{9, 13, 10},
			weights: [3]uint32{fixed(0.888885498046875), fixed(0.969696044921875), 65536},
			plan:    reweightPlan{percent: 101, maxChange: 0.2, maxOSDs: 5},
			want: []weightStep{
				{1, fixed(0.969696044921875), fixed(0.7956390380859375)},
				{0, fixed(0.888885498046875), 65536},
			},
		},
		{
			name: "none may get more", groups: [3]int{9, 13, 10},
			weights: [3]uint32{fixed(0.888885498046875), fixed(0.969696044921875), 65536},
			plan:    reweightPlan{percent: 101, maxChange: 0.2, maxOSDs: 5}, less: true,
			want: []weightStep{{1, fixed(0.969696044921875), fixed(0.7956390380859375)}},
		},
		{
			name: "a small step at a time", groups: [3]int{9, 13, 10}, weights: [3]uint32{65536, 65536, 65536},
			plan: reweightPlan{percent: 120, maxChange: 0.0625, maxOSDs: 1},
			want: []weightStep{{1, 65536, 61440}},
		},
		{
			name: "who is out stays out", groups: [3]int{16, 16, 0}, weights: [3]uint32{65536, 65536, 0},
			plan: reweightPlan{percent: 120, maxChange: 1, maxOSDs: 5},
		},
	} {
		m := osdmap.New()
		m.MaxOSD, m.Weight = 3, tc.weights[:]
		var all []osdLoad
		weights := 0.0
		for o, n := range tc.groups {
			if n > 0 {
				weights += crushWeight
			}
			all = append(all, osdLoad{int32(o), float32(float64(n) / crushWeight)})
		}
		p := tc.plan
		p.average, p.weights = 32/weights, map[int32]uint32{}
		p.choose(m, all, tc.less)
		if !slices.Equal(p.steps, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, p.steps, tc.want)
		}
		for _, s := range tc.want {
			if p.weights[s.osd] != s.to {
				t.Errorf("%s: weights %v", tc.name, p.weights)
			}
		}
	}
}

// Weights are changed by the OSD map's own command, and only if there is
// something to change.
func TestReweightApplies(t *testing.T) {
	t.Parallel()
	w := stockManager(t, goldens(t, "mgr"))
	var given string
	w.table.Write("osd reweightn", func(c *command.Call) command.Reply {
		given = c.Str("weights")
		return command.Reply{Commit: true}
	})
	r := w.run(`{"prefix":"osd reweight-by-pg","oload":101,"max_change":0.3}`)
	if r.Failed() || !r.Commit || !strings.Contains(string(r.Output), "\naverage_utilization ") {
		t.Fatalf("%+v: %s", r, r.Output)
	}
	plan, _ := w.s.reweight(command.New("osd reweight-by-pg", map[string]any{"oload": 101, "max_change": 0.3}), true)
	if len(plan.steps) == 0 || given != plan.weightsText() {
		t.Errorf("given %s, planned %v", given, plan.steps)
	}
	given = ""
	if r := w.run(`{"prefix":"osd reweight-by-pg","oload":1000,"no_increasing":true}`); r.Commit || r.Status != "no change" || given != "" {
		t.Errorf("%+v, given %q", r, given)
	}
}
