package crush

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Decompile returns the text form of the map, as `crushtool -d` writes it.
// Compile reads it back; weights are rounded to three digits on the way.
func (m *Map) Decompile() string {
	var b strings.Builder
	b.WriteString("# begin crush map\n")
	// What is as it was in the first release is not said, so that texts from
	// then still mean the same.
	for _, t := range []struct {
		name        string
		value, unit uint32
	}{
		{"choose_local_tries", m.ChooseLocalTries, TunablesArgonaut.ChooseLocalTries},
		{"choose_local_fallback_tries", m.ChooseLocalFallbackTries, TunablesArgonaut.ChooseLocalFallbackTries},
		{"choose_total_tries", m.ChooseTotalTries, TunablesArgonaut.ChooseTotalTries},
		{"chooseleaf_descend_once", m.ChooseLeafDescendOnce, 0},
		{"chooseleaf_vary_r", uint32(m.ChooseLeafVaryR), 0},
		{"chooseleaf_stable", uint32(m.ChooseLeafStable), 0},
		{"straw_calc_version", uint32(m.StrawCalcVersion), 0},
		{"allowed_bucket_algs", m.AllowedBucketAlgs, legacyAlgs},
	} {
		if t.value != t.unit {
			fmt.Fprintf(&b, "tunable %s %d\n", t.name, t.value)
		}
	}

	b.WriteString("\n# devices\n")
	for id := range m.MaxDevices {
		if n, ok := m.Names[id]; ok {
			fmt.Fprintf(&b, "device %d %s", id, n)
			if c, ok := m.Classes[id]; ok {
				fmt.Fprintf(&b, " class %s", m.ClassNames[c])
			}
			b.WriteByte('\n')
		}
	}

	b.WriteString("\n# types\n")
	if _, ok := m.Types[0]; !ok && len(m.Types) > 0 {
		b.WriteString("type 0 osd\n")
	}
	for _, t := range slices.Sorted(maps.Keys(m.Types)) {
		fmt.Fprintf(&b, "type %d %s\n", t, m.Types[t])
	}

	b.WriteString("\n# buckets\n")
	done := make([]bool, len(m.Buckets))
	for i := range m.Buckets {
		m.decompileBucket(&b, int32(-1-i), done)
	}

	b.WriteString("\n# rules\n")
	for id, r := range m.Rules {
		if r != nil {
			m.decompileRule(&b, id, r)
		}
	}
	if len(m.ChooseArgs) > 0 {
		b.WriteString("\n# choose_args\n")
		for _, key := range slices.Sorted(maps.Keys(m.ChooseArgs)) {
			decompileChooseArgs(&b, key, m.ChooseArgs[key])
		}
	}
	b.WriteString("\n# end crush map\n")
	return b.String()
}

// decompileBucket writes a bucket after those it holds. Shadow buckets are not
// written: they follow from the rest.
func (m *Map) decompileBucket(out *strings.Builder, id int32, done []bool) {
	b := m.Bucket(id)
	if b == nil || done[-1-id] {
		return
	}
	done[-1-id] = true
	for _, item := range b.Items {
		m.decompileBucket(out, item, done)
	}
	if n, ok := m.Names[id]; ok && !ValidName(n) {
		return
	}
	fmt.Fprintf(out, "%s %s {\n\tid %d\t\t# do not change unnecessarily\n", m.typeName(int32(b.Type)), m.ItemName(id), id)
	shadows := m.ClassBucket[id]
	for _, c := range slices.Sorted(maps.Keys(shadows)) {
		fmt.Fprintf(out, "\tid %d class %s\t\t# do not change unnecessarily\n", shadows[c], m.ClassNames[c])
	}
	fmt.Fprintf(out, "\t# weight %s\n\talg %v", fixed(b.Weight), b.Alg)
	positions := false
	switch b.Alg {
	case Uniform:
		fmt.Fprintf(out, "\t# do not change bucket size (%d) unnecessarily", len(b.Items))
		positions = true
	case List:
		out.WriteString("\t# add new items at the end; do not change order unnecessarily")
	case Tree:
		out.WriteString("\t# do not change pos for existing items unnecessarily")
		positions = true
	}
	fmt.Fprintf(out, "\n\thash %d\t# rjenkins1\n", b.Hash)
	for i, item := range b.Items {
		fmt.Fprintf(out, "\titem %s weight %s", m.ItemName(item), fixed(b.ItemWeightAt(i)))
		if positions {
			fmt.Fprintf(out, " pos %d", i)
		}
		out.WriteByte('\n')
	}
	out.WriteString("}\n")
}

// typeName returns the name of a type, or one made up as Ceph's tools do.
func (m *Map) typeName(t int32) string {
	if n, ok := m.Types[t]; ok {
		return n
	}
	if t == 0 {
		return "device"
	}
	return fmt.Sprintf("type%d", t)
}

func (m *Map) decompileRule(out *strings.Builder, id int, r *Rule) {
	fmt.Fprintf(out, "rule %s {\n\tid %d\n", m.RuleNames[int32(id)], id)
	if int(r.Ruleset) != id {
		fmt.Fprintf(out, "\t# WARNING: ruleset %d != id %d; this will not recompile to the same map\n", r.Ruleset, id)
	}
	switch r.Type {
	case RuleReplicated:
		out.WriteString("\ttype replicated\n")
	case RuleErasure:
		out.WriteString("\ttype erasure\n")
	default:
		fmt.Fprintf(out, "\ttype %d\n", r.Type)
	}
	fmt.Fprintf(out, "\tmin_size %d\n\tmax_size %d\n", r.MinSize, r.MaxSize)
	for _, s := range r.Steps {
		if set, ok := setSteps[s.Op]; ok {
			fmt.Fprintf(out, "\tstep %s %d\n", set, s.Arg1)
			continue
		}
		switch s.Op {
		case OpNoop:
			out.WriteString("\tstep noop\n")
		case OpEmit:
			out.WriteString("\tstep emit\n")
		case OpTake:
			item, class, shadow := m.splitShadow(s.Arg1)
			fmt.Fprintf(out, "\tstep take %s", m.ItemName(item))
			if shadow {
				fmt.Fprintf(out, " class %s", m.ClassNames[class])
			}
			out.WriteByte('\n')
		case OpChooseFirstN, OpChooseIndep, OpChooseLeafFirstN, OpChooseLeafIndep:
			fmt.Fprintf(out, "\tstep %s %d type %s\n", strings.Replace(opNames[s.Op], "_", " ", 1), s.Arg1, m.typeName(s.Arg2))
		}
	}
	out.WriteString("}\n")
}

// setSteps are the steps that override a tunable.
var setSteps = map[Op]string{
	OpSetChooseTries:             "set_choose_tries",
	OpSetChooseLeafTries:         "set_chooseleaf_tries",
	OpSetChooseLocalTries:        "set_choose_local_tries",
	OpSetChooseLocalFallbackTrie: "set_choose_local_fallback_tries",
	OpSetChooseLeafVaryR:         "set_chooseleaf_vary_r",
	OpSetChooseLeafStable:        "set_chooseleaf_stable",
}

func decompileChooseArgs(out *strings.Builder, key int64, args []ChooseArg) {
	fmt.Fprintf(out, "choose_args %d {\n", uint64(key))
	for i := range args {
		a := &args[i]
		if a.IsZero() {
			continue
		}
		fmt.Fprintf(out, "  {\n    bucket_id %d\n", -1-i)
		if len(a.WeightSet) > 0 {
			out.WriteString("    weight_set [\n")
			for _, w := range a.WeightSet {
				out.WriteString("      [ ")
				for _, v := range w {
					out.WriteString(fixed(v) + " ")
				}
				out.WriteString("]\n")
			}
			out.WriteString("    ]\n")
		}
		if len(a.IDs) > 0 {
			out.WriteString("    ids [ ")
			for _, id := range a.IDs {
				fmt.Fprintf(out, "%d ", id)
			}
			out.WriteString("]\n")
		}
		out.WriteString("  }\n")
	}
	out.WriteString("}\n")
}

// fixed prints a weight with three digits.
func fixed(w uint32) string { return fmt.Sprintf("%.3f", weightFloat(w)) }
