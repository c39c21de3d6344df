package osdmon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// Erasure code profiles: how pools that use them will be coded. They are kept
// and checked; the pools themselves are not supported yet.

func (s *Service) profileCommands(t *command.Table) {
	t.Read("osd erasure-code-profile ls", s.cmdProfileLs)
	t.Read("osd erasure-code-profile get", s.cmdProfileGet)
	t.Write("osd erasure-code-profile set", s.cmdProfileSet)
	t.Write("osd erasure-code-profile rm", s.cmdProfileRm)
}

func (s *Service) cmdProfileLs(c *command.Call) command.Reply {
	names := slices.Sorted(maps.Keys(s.cur.ErasureCodeProfiles))
	r := s.showNames(c, "erasure-code-profiles", "profile", names)
	if c.Format != command.Plain {
		r = withNewline(r)
	}
	return r
}

func (s *Service) cmdProfileGet(c *command.Call) command.Reply {
	kv, ok := s.cur.ErasureCodeProfiles[c.Str("name")]
	if !ok {
		return command.Fail(errno.ENOENT, "unknown erasure code profile '%s'", c.Str("name"))
	}
	if c.Format == command.Plain {
		out := ""
		for _, k := range slices.Sorted(maps.Keys(kv)) {
			out += k + "=" + kv[k] + "\n"
		}
		return command.Text(out)
	}
	return withNewline(c.Dump(func(f *jsonfmt.Formatter) { f.Object("profile", func() { dumpStrings(f, kv) }) }))
}

// checkProfile refuses a profile that does not exist.
func (s *Service) checkProfile(name string) (command.Reply, bool) {
	if name == "" {
		name = "default"
	}
	if s.view().ErasureCodeProfiles[name]["plugin"] == "" {
		return command.Fail(errno.EINVAL, "cannot determine the erasure code plugin because there is no 'plugin' entry in the erasure_code_profile %s",
			profileText(s.view().ErasureCodeProfiles[name])), false
	}
	return command.Reply{}, true
}

func profileText(kv map[string]string) string {
	parts := make([]string, 0, len(kv))
	for _, k := range slices.Sorted(maps.Keys(kv)) {
		parts = append(parts, k+"="+kv[k])
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// parseProfile reads the arguments of a profile; what is not given is as in
// the default profile, unless the plugin is another one.
func parseProfile(args []string) (map[string]string, error) {
	given := map[string]string{}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		if strings.HasPrefix(k, "ruleset-") {
			return nil, fmt.Errorf("property '%s' is no longer supported; try 'crush-%s' instead: %w", k, k[len("ruleset-"):], errno.EINVAL)
		}
		given[k] = v
	}
	kv := map[string]string{"plugin": "jerasure", "technique": "reed_sol_van", "k": "2", "m": "2"}
	if p, ok := given["plugin"]; ok && p != "jerasure" {
		kv = map[string]string{}
	}
	maps.Copy(kv, given)
	return kv, nil
}

// shape is how many chunks a profile makes.
type shape struct{ k, m int }

// profileShape reads k and m.
func profileShape(kv map[string]string) (shape, error) {
	field := func(name string, least, def int) (int, error) {
		n, err := strconv.Atoi(kv[name])
		if err != nil {
			return 0, fmt.Errorf("could not convert %s=%s to int because Expected option value to be integer, got '%s', set to default %d: %w",
				name, kv[name], kv[name], def, errno.EINVAL)
		}
		if n < least {
			return 0, fmt.Errorf("%s=%d must be >= %d: %w", name, n, least, errno.EINVAL)
		}
		return n, nil
	}
	k, err := field("k", 2, 7)
	if err != nil {
		return shape{}, err
	}
	m, err := field("m", 1, 3)
	if err != nil {
		return shape{}, err
	}
	if k+m > 255 {
		return shape{}, fmt.Errorf("k=%d and m=%d are more than 255 chunks: %w", k, m, errno.EINVAL)
	}
	return shape{k, m}, nil
}

// normalizeProfile fills in what the plugin would, and checks the rest.
func normalizeProfile(kv map[string]string) error {
	def := func(k, v string) {
		if _, ok := kv[k]; !ok {
			kv[k] = v
		}
	}
	techniques := []string{"reed_sol_van", "reed_sol_r6_op", "cauchy_orig", "cauchy_good", "liberation", "blaum_roth", "liber8tion"}
	switch kv["plugin"] {
	case "jerasure":
		def("w", "8")
		def("jerasure-per-chunk-alignment", "false")
	case "isa":
		def("k", "7")
		def("m", "3")
		techniques = []string{"reed_sol_van", "cauchy"}
	default:
		return fmt.Errorf("erasure code plugin '%s' is not supported: %w", kv["plugin"], errno.EOPNOTSUPP)
	}
	def("technique", "reed_sol_van")
	if !slices.Contains(techniques, kv["technique"]) {
		return fmt.Errorf("technique=%s is not a valid coding technique.  Choose one of the following: %s: %w",
			kv["technique"], strings.Join(techniques, ", "), errno.ENOENT)
	}
	def("crush-root", "default")
	def("crush-failure-domain", "host")
	def("crush-device-class", "")
	_, err := profileShape(kv)
	return err
}

func (s *Service) cmdProfileSet(c *command.Call) command.Reply {
	name := c.Str("name")
	kv, err := parseProfile(c.Strs("profile"))
	if err != nil {
		return refuse(err)
	}
	if kv["plugin"] == "" {
		return command.Fail(errno.EINVAL, "erasure-code-profile %s must contain a plugin entry", profileText(kv))
	}
	if d, ok := kv["crush-failure-domain"]; ok {
		if _, ok := s.view().Crush.TypeID(d); !ok {
			return command.Fail(errno.EINVAL, "erasure-code-profile %s contains an invalid failure-domain \"%s\"", profileText(kv), d)
		}
	}
	if err := normalizeProfile(kv); err != nil {
		return refuse(err)
	}
	if old, ok := s.view().ErasureCodeProfiles[name]; ok {
		old = maps.Clone(old)
		if err := normalizeProfile(old); err == nil && maps.Equal(old, kv) {
			return command.Reply{}
		}
		if !c.Bool("force") {
			return command.Fail(errno.EPERM, "will not override erasure code profile %s because the existing profile %s is different from the proposed profile %s",
				name, profileText(old), profileText(kv))
		}
	}
	inc := s.stage()
	inc.NewErasureCodeProfiles[name] = kv
	inc.OldErasureCodeProfiles = slices.DeleteFunc(inc.OldErasureCodeProfiles, func(o string) bool { return o == name })
	return command.Reply{Commit: true}
}

func (s *Service) cmdProfileRm(c *command.Call) command.Reply {
	name, v := c.Str("name"), s.view()
	users := ""
	for _, id := range poolIDs(v) {
		if v.Pools[id].ErasureCodeProfile == name && name != "" {
			users += v.PoolNames[id] + " "
		}
	}
	if users != "" {
		return command.Fail(errno.EBUSY, "%spool(s) are using the erasure code profile '%s'", users, name)
	}
	if _, ok := v.ErasureCodeProfiles[name]; !ok {
		return command.Say("erasure-code-profile %s does not exist", name)
	}
	inc := s.stage()
	delete(inc.NewErasureCodeProfiles, name)
	if _, ok := s.cur.ErasureCodeProfiles[name]; ok {
		inc.OldErasureCodeProfiles = append(inc.OldErasureCodeProfiles, name)
	}
	return command.Reply{Commit: true}
}
