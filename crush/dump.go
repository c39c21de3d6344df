package crush

import (
	"maps"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Dump writes the fields of `ceph osd crush dump` into the open object.
func (m *Map) Dump(f *jsonfmt.Formatter) {
	f.Array("devices", func() {
		for id := range m.MaxDevices {
			f.Object("device", func() {
				f.Int("id", int64(id))
				f.Str("name", m.ItemName(id))
				if c, ok := m.Classes[id]; ok {
					f.Str("class", m.ClassNames[c])
				}
			})
		}
	})
	f.Array("types", func() {
		if _, ok := m.Types[0]; !ok {
			dumpType(f, 0, "device")
		}
		for _, t := range slices.Sorted(maps.Keys(m.Types)) {
			dumpType(f, t, m.Types[t])
		}
	})
	f.Array("buckets", func() {
		for _, b := range m.Buckets {
			if b != nil {
				f.Object("bucket", func() { m.dumpBucket(f, b) })
			}
		}
	})
	f.Array("rules", func() { m.DumpRules(f) })
	f.Object("tunables", func() { m.DumpTunables(f) })
	f.Object("choose_args", func() { m.DumpChooseArgs(f) })
}

func dumpType(f *jsonfmt.Formatter, id int32, name string) {
	f.Object("type", func() {
		f.Int("type_id", int64(id))
		f.Str("name", name)
	})
}

func (m *Map) dumpBucket(f *jsonfmt.Formatter, b *Bucket) {
	f.Int("id", int64(b.ID))
	if n, ok := m.Names[b.ID]; ok {
		f.Str("name", n)
	}
	f.Int("type_id", int64(b.Type))
	if n, ok := m.Types[int32(b.Type)]; ok {
		f.Str("type_name", n)
	}
	f.Int("weight", int64(b.Weight))
	f.Stringer("alg", b.Alg)
	f.Str("hash", "rjenkins1")
	f.Array("items", func() {
		for i, item := range b.Items {
			f.Object("item", func() {
				f.Int("id", int64(item))
				f.Int("weight", int64(b.ItemWeightAt(i)))
				f.Int("pos", int64(i))
			})
		}
	})
}

// DumpRules writes all rules into the open array.
func (m *Map) DumpRules(f *jsonfmt.Formatter) {
	for id, r := range m.Rules {
		if r != nil {
			m.DumpRule(f, id)
		}
	}
}

// DumpRule writes a rule as an object.
func (m *Map) DumpRule(f *jsonfmt.Formatter, id int) {
	r := m.Rule(id)
	f.OpenObject("rule")
	defer f.Close()
	f.Int("rule_id", int64(id))
	if n, ok := m.RuleNames[int32(id)]; ok {
		f.Str("rule_name", n)
	}
	f.Uint("ruleset", uint64(r.Ruleset))
	f.Uint("type", uint64(r.Type))
	f.Uint("min_size", uint64(r.MinSize))
	f.Uint("max_size", uint64(r.MaxSize))
	f.Array("steps", func() {
		for _, s := range r.Steps {
			f.Object("step", func() { m.dumpStep(f, s) })
		}
	})
}

var opNames = map[Op]string{
	OpNoop: "noop", OpTake: "take", OpEmit: "emit",
	OpChooseFirstN: "choose_firstn", OpChooseIndep: "choose_indep",
	OpChooseLeafFirstN: "chooseleaf_firstn", OpChooseLeafIndep: "chooseleaf_indep",
	OpSetChooseTries: "set_choose_tries", OpSetChooseLeafTries: "set_chooseleaf_tries",
}

func (m *Map) dumpStep(f *jsonfmt.Formatter, s Step) {
	name, ok := opNames[s.Op]
	if !ok {
		// Ceph's dump does not know the rarer ones either.
		f.Int("opcode", int64(s.Op))
		f.Int("arg1", int64(s.Arg1))
		f.Int("arg2", int64(s.Arg2))
		return
	}
	f.Str("op", name)
	switch s.Op {
	case OpTake:
		f.Int("item", int64(s.Arg1))
		f.Str("item_name", m.Names[s.Arg1])
	case OpChooseFirstN, OpChooseIndep, OpChooseLeafFirstN, OpChooseLeafIndep:
		f.Int("num", int64(s.Arg1))
		f.Str("type", m.Types[s.Arg2])
	case OpSetChooseTries, OpSetChooseLeafTries:
		f.Int("num", int64(s.Arg1))
	}
}

// DumpTunables writes the fields of `ceph osd crush show-tunables`.
func (m *Map) DumpTunables(f *jsonfmt.Formatter) {
	flag := func(name string, b bool) {
		v := int64(0)
		if b {
			v = 1
		}
		f.Int(name, v)
	}
	f.Uint("choose_local_tries", uint64(m.ChooseLocalTries))
	f.Uint("choose_local_fallback_tries", uint64(m.ChooseLocalFallbackTries))
	f.Uint("choose_total_tries", uint64(m.ChooseTotalTries))
	f.Uint("chooseleaf_descend_once", uint64(m.ChooseLeafDescendOnce))
	f.Uint("chooseleaf_vary_r", uint64(m.ChooseLeafVaryR))
	f.Uint("chooseleaf_stable", uint64(m.ChooseLeafStable))
	f.Uint("straw_calc_version", uint64(m.StrawCalcVersion))
	f.Uint("allowed_bucket_algs", uint64(m.AllowedBucketAlgs))
	f.Str("profile", m.Profile())
	flag("optimal_tunables", m.is(TunablesJewel))
	flag("legacy_tunables", m.is(TunablesArgonaut))
	f.Str("minimum_required_version", m.MinRequiredVersion())
	flag("require_feature_tunables", m.needsTunables())
	flag("require_feature_tunables2", m.needsTunables2())
	flag("has_v2_rules", m.hasV2Rules())
	flag("require_feature_tunables3", m.needsTunables3())
	flag("has_v3_rules", m.hasV3Rules())
	flag("has_v4_buckets", m.hasV4Buckets())
	flag("require_feature_tunables5", m.needsTunables5())
	flag("has_v5_rules", m.hasV5Rules())
}

// DumpChooseArgs writes a field per weight set, `ceph osd crush weight-set dump`.
func (m *Map) DumpChooseArgs(f *jsonfmt.Formatter) {
	for _, key := range slices.Sorted(maps.Keys(m.ChooseArgs)) {
		f.OpenArray(strconv.FormatInt(key, 10))
		for i := range m.ChooseArgs[key] {
			if a := &m.ChooseArgs[key][i]; !a.IsZero() {
				f.Object("choose_args", func() { dumpChooseArg(f, -1-i, a) })
			}
		}
		f.Close()
	}
}

func dumpChooseArg(f *jsonfmt.Formatter, bucket int, a *ChooseArg) {
	f.Int("bucket_id", int64(bucket))
	if len(a.WeightSet) > 0 {
		f.Array("weight_set", func() {
			for _, w := range a.WeightSet {
				f.Array("weights", func() {
					for _, v := range w {
						f.Float("weight", weightFloat(v))
					}
				})
			}
		})
	}
	if len(a.IDs) > 0 {
		f.Array("ids", func() {
			for _, id := range a.IDs {
				f.Int("id", int64(id))
			}
		})
	}
}

// weightFloat is a weight as a fraction; Ceph computes it in single precision.
func weightFloat(w uint32) float64 { return float64(float32(w) / WeightOne) }
