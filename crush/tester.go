package crush

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Test maps a range of inputs by a range of rules and prints what comes out,
// in the words of `crushtool --test`. Zero bounds of inputs mean 0 to 1023;
// see NewTest for the rest.
type Test struct {
	MinRule, MaxRule int // negative: all
	MinRep, MaxRep   int // negative: what each rule is made for
	MinX, MaxX       int // negative: 0 to 1023
	Pool             int64
	Weights          map[int32]uint32 // of devices; others are in

	ShowMappings    bool
	ShowBadMappings bool
	ShowStatistics  bool
	ShowUtilization bool
}

// NewTest returns a test of all rules with the sizes they are made for.
func NewTest() *Test {
	return &Test{MinRule: -1, MaxRule: -1, MinRep: -1, MaxRep: -1, MinX: -1, MaxX: -1, Pool: -1, Weights: map[int32]uint32{}}
}

// Run tests m and writes to w.
func (t *Test) Run(m *Map, w io.Writer) error {
	minRule, maxRule := t.MinRule, t.MaxRule
	if minRule < 0 || maxRule < 0 {
		minRule, maxRule = 0, len(m.Rules)-1
	}
	minX, maxX := t.MinX, t.MaxX
	if minX < 0 || maxX < 0 {
		minX, maxX = 0, 1023
	}
	weights := make([]uint32, m.MaxDevices)
	inTree := false
	for id := range m.MaxDevices {
		if given, ok := t.Weights[id]; ok {
			weights[id] = given
		} else if m.InTree(id) {
			weights[id] = WeightOne
		}
		inTree = inTree || weights[id] > 0
	}
	out := &printer{w: w}
	for r := minRule; r < len(m.Rules) && r <= maxRule; r++ {
		rule := m.Rule(r)
		if rule == nil {
			if t.ShowStatistics {
				out.printf("rule %d dne\n", r)
			}
			continue
		}
		minRep, maxRep := t.MinRep, t.MaxRep
		if minRep < 0 || maxRep < 0 {
			minRep, maxRep = int(rule.MinSize), int(rule.MaxSize)
		}
		if t.ShowStatistics {
			out.printf("rule %d (%s), x = %d..%d, numrep = %d..%d\n", r, m.RuleNames[int32(r)], minX, maxX, minRep, maxRep)
		}
		for n := minRep; n <= maxRep && inTree; n++ {
			t.run(m, out, r, n, minX, maxX, weights)
		}
	}
	return out.err
}

func (t *Test) run(m *Map, out *printer, rule, n, minX, maxX int, weights []uint32) {
	sizes, per := map[int]int{}, make([]int, len(weights))
	var osds []int32
	for x := minX; x <= maxX && out.err == nil; x++ {
		in := uint32(x)
		if t.Pool != -1 {
			in = Hash32_2(in, uint32(t.Pool))
		}
		osds = m.AppendRule(osds[:0], rule, in, n, weights, 0)
		if t.ShowMappings {
			out.printf("CRUSH rule %d x %d %s\n", rule, x, list(osds))
		}
		hole := false
		for _, o := range osds {
			if o == ItemNone {
				hole = true
			} else if int(o) < len(per) && o >= 0 {
				per[o]++
			}
		}
		sizes[len(osds)]++
		if t.ShowBadMappings && (len(osds) != n || hole) {
			out.printf("bad mapping rule %d x %d num_rep %d result %s\n", rule, x, n, list(osds))
		}
	}
	if t.ShowUtilization {
		for o, c := range per {
			out.printf("  device %d:\t%d\n", o, c)
		}
	}
	if t.ShowStatistics {
		for _, s := range slices.Sorted(maps.Keys(sizes)) {
			out.printf("rule %d (%s) num_rep %d result size == %d:\t%d/%d\n", rule, m.RuleNames[int32(rule)], n, s, sizes[s], maxX-minX+1)
		}
	}
}

// printer keeps the first error of writing.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func list(osds []int32) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, o := range osds {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(o)))
	}
	b.WriteByte(']')
	return b.String()
}
