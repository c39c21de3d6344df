package monmon

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/monmap"
)

// featureCommands are about what the monitors can do and what they must be able
// to do to join (mon_feature_t). A cluster is made with all that the release
// has, so there is never one left to be switched on.
func (m *Service) featureCommands(t *command.Table) {
	t.Read("mon feature ls", m.featureLs)
	t.Write("mon feature set", m.featureSet)
}

// featureNames are the names, with their bits if those are asked for.
func featureNames(f monmap.Features, values bool) []string {
	names := f.Names()
	if values {
		for i, n := range names {
			bit, _ := monmap.FeatureByName(n)
			names[i] = fmt.Sprintf("%s(%d)", n, bit)
		}
	}
	return names
}

func (m *Service) featureLs(c *command.Call) command.Reply {
	names := func(f monmap.Features) []string { return featureNames(f, c.Bool("with_value")) }
	all, on, optional := names(monmap.FeaturesPacific), names(m.m.Persistent), names(m.m.Optional)
	required := names(m.m.Persistent | m.m.Optional)
	return c.Either(func() string {
		join := func(s []string) string { return "[" + strings.Join(s, ",") + "]" }
		return fmt.Sprintf("all features\n\tsupported: %s\n\tpersistent: %s\non current monmap (epoch %d)\n\tpersistent: %s\n\trequired: %s\n",
			join(all), join(all), m.m.Epoch, join(on), join(required))
	}, func(f *jsonfmt.Formatter) {
		f.Object("features", func() {
			f.Object("all", func() {
				f.Strs("supported", "bit_flag", all)
				f.Strs("persistent", "bit_flag", all)
			})
			f.Object("monmap", func() {
				f.Strs("persistent", "bit_flag", on)
				f.Strs("optional", "bit_flag", optional)
				f.Strs("required", "bit_flag", required)
			})
		})
	}).LineUnlessPlain(c)
}

func (m *Service) featureSet(c *command.Call) command.Reply {
	name := c.Str("feature_name")
	bit, ok := monmap.FeatureByName(name)
	if !ok {
		return command.Fail(errno.ENOENT, "unknown feature '%s'", name)
	}
	shown := fmt.Sprintf("mon_feature_t([%s])", name)
	if !c.Bool("yes_i_really_mean_it") {
		return command.Fail(errno.EPERM, "please specify '--yes-i-really-mean-it' if you really, **really** want to set feature '%s' in the monmap.", shown)
	}
	if m.m.Persistent&bit == 0 {
		next, _ := m.next(c.Now)
		next.Persistent |= bit
		return command.Committed("setting feature '%s'", shown)
	}
	return command.Say("setting feature '%s'", shown)
}
