package configmon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/wire"
)

// Commands registers config ... .
func (m *Service) Commands(t *command.Table) {
	t.Write("config set", m.set)
	t.Write("config rm", m.rm)
	t.Write("config reset", m.reset)
	t.Write("config assimilate-conf", m.assimilate)
	t.Read("config get", m.get)
	t.Read("config dump", m.dump)
	t.Read("config help", m.help)
	t.Read("config ls", m.ls)
	t.Read("config log", m.log)
	t.Read("config show", m.show)
	t.Read("config show-with-defaults", m.show)
}

// grid renders columns as Ceph's TextTable does: left-justified, two blanks
// between them.
func grid(rows [][]string) string {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(c))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, c := range r {
			if i > 0 {
				b.WriteString("  ")
			}
			fmt.Fprintf(&b, "%-*s", width[i], c)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var heading = []string{"WHO", "MASK", "LEVEL", "OPTION", "VALUE", "RO"}

func (s setting) row(indent string) []string {
	level, ro := s.level()
	return []string{indent + s.section, s.masks(), level, s.name, s.value, map[bool]string{true: "*"}[ro]}
}

// level returns an option's level and whether it cannot change at runtime.
func (s setting) level() (string, bool) {
	if o := config.Find(s.name); o != nil {
		return o.Level, !o.Runtime
	}
	if strings.HasPrefix(s.name, "mgr/") {
		return "advanced", false
	}
	return "unknown", true
}

func (m *Service) dump(c *command.Call) command.Reply {
	return c.Either(func() string {
		rows := [][]string{heading}
		for _, s := range m.settings {
			indent := "  "
			if s.section == "global" {
				indent = ""
			} else if strings.Contains(s.section, ".") {
				indent = "    "
			}
			rows = append(rows, s.row(indent))
		}
		return grid(rows)
	}, func(f *jsonfmt.Formatter) {
		f.Array("config", func() {
			for _, s := range m.settings {
				level, ro := s.level()
				f.Object("option", func() {
					f.Str("section", s.section)
					f.Str("name", s.name)
					f.Str("value", s.value)
					f.Str("level", level)
					f.Bool("can_update_at_runtime", !ro)
					f.Str("mask", s.masks())
					s.dumpMask(f)
				})
			}
		})
	})
}

func (t target) dumpMask(f *jsonfmt.Formatter) {
	if t.locType != "" {
		f.Str("location_type", t.locType)
		f.Str("location_value", t.locValue)
	}
	if t.class != "" {
		f.Str("device_class", t.class)
	}
}

func (m *Service) get(c *command.Call) command.Reply {
	who := c.Str("who")
	name, err := entity.ParseAuthName(who)
	if err != nil {
		typ, ok := entity.ParseType(who)
		if !ok || !sectionOK(who) {
			return command.Fail(errno.EINVAL, "unrecognized entity '%s'", who)
		}
		name = entity.AuthName{Type: typ}
	}
	all := m.effective(m.place(name))
	if c.Has("key") {
		key := config.Name(c.Str("key"))
		if s, ok := all[key]; ok {
			return command.Text(s.value + "\n")
		}
		o := config.Find(key)
		switch {
		case o == nil:
			return command.Fail(errno.ENOENT, "unrecognized key '%s'", key)
		case key == "fsid":
			return command.Text(m.host.FSID().String() + "\n")
		}
		return command.Text(o.DefaultFor(true) + "\n")
	}
	names := slices.Sorted(maps.Keys(all))
	return c.Either(func() string {
		rows := [][]string{heading}
		for _, n := range names {
			rows = append(rows, all[n].row(""))
		}
		return grid(rows)
	}, func(f *jsonfmt.Formatter) {
		f.Object("config", func() {
			for _, n := range names {
				s := all[n]
				_, ro := s.level()
				f.Object(n, func() {
					f.Str("value", s.value)
					f.Str("section", s.section)
					f.Object("mask", func() { s.dumpMask(f) })
					f.Bool("can_update_at_runtime", !ro)
				})
			}
		})
	})
}

// check validates a setting; the result is the normal form of the value.
func check(name, value string, force bool) (string, command.Reply, bool) {
	if force {
		return value, command.Reply{}, true
	}
	o := config.Find(name)
	if o == nil {
		if strings.HasPrefix(name, "mgr/") && knownModuleOption(name) {
			return value, command.Reply{}, true
		}
		return "", command.Fail(errno.EINVAL, "unrecognized config option '%s'", name), false
	}
	v, err := o.Parse(value)
	if err != nil {
		no := errno.EINVAL
		var ce *config.Error
		if errors.As(err, &ce) {
			no = ce.No
		}
		return "", command.Fail(no, "error parsing value: %v", err), false
	}
	if o.Has("no_mon_update") {
		return "", command.Fail(errno.EINVAL, "%s is special and cannot be stored by the mon", name), false
	}
	return v, command.Reply{}, true
}

// knownModuleOption reports whether an option is one of the modules whose work
// the monitor itself does.
func knownModuleOption(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) >= 3 && slices.Contains([]string{
		"balancer", "crash", "dashboard", "devicehealth", "iostat", "orchestrator", "pg_autoscaler", "progress",
		"prometheus", "rbd_support", "restful", "status", "telemetry", "volumes",
	}, parts[1])
}

func (m *Service) set(c *command.Call) command.Reply {
	name := strings.ReplaceAll(c.Str("name"), " ", "_")
	v, bad, ok := check(name, c.Str("value"), c.Bool("force"))
	if !ok {
		return bad
	}
	t, ok := parseTarget(c.Str("who"))
	if !ok {
		return command.Fail(errno.EINVAL, "unrecognized config target '%s'", c.Str("who"))
	}
	if !m.stage(c.Now, "", map[string]*string{t.String() + "/" + name: &v}) {
		return command.Reply{}
	}
	return command.Committed("")
}

func (m *Service) rm(c *command.Call) command.Reply {
	t, ok := parseTarget(c.Str("who"))
	if !ok {
		return command.Fail(errno.EINVAL, "unrecognized config target '%s'", c.Str("who"))
	}
	name := strings.ReplaceAll(c.Str("name"), " ", "_")
	if !m.stage(c.Now, "", map[string]*string{t.String() + "/" + name: nil}) {
		return command.Reply{}
	}
	return command.Committed("")
}

// stage adds changes of settings (nil removes) as one version of the history;
// it reports whether there are any.
func (m *Service) stage(now time.Time, label string, changes map[string]*string) bool {
	version := ""
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		old, v := m.kv.Get(keyConfig+key), changes[key]
		if v == nil && old == nil || v != nil && old != nil && string(old) == *v {
			continue
		}
		if version == "" {
			version = keyHistory + strconv.FormatUint(m.nextVersion(), 10) + "/"
			var e wire.Encoder
			e.Time(now)
			e.Str(label)
			m.kv.Put(version, e.Bytes())
		}
		if old != nil {
			m.kv.Put(version+"-"+key, old)
		}
		if v != nil {
			m.kv.Put(version+"+"+key, []byte(*v))
			m.kv.Put(keyConfig+key, []byte(*v))
		} else {
			m.kv.Delete(keyConfig + key)
		}
	}
	return version != ""
}

// nextVersion is the version after all committed and pending ones.
func (m *Service) nextVersion() uint64 {
	v := m.version + 1
	for m.kv.Get(keyHistory+strconv.FormatUint(v, 10)+"/") != nil {
		v++
	}
	return v
}

// past is one version of the history.
type past struct {
	version uint64
	stamp   time.Time
	label   string
	changes map[string][2]*string // key: before, after
}

func (m *Service) past(version uint64) past {
	p := past{version: version, changes: map[string][2]*string{}}
	prefix := keyHistory + strconv.FormatUint(version, 10) + "/"
	for k, v := range m.kv.Reader().Scan(prefix, prefix+"\xff") {
		k = strings.TrimPrefix(k, prefix)
		if k == "" {
			d := wire.NewDecoder(v)
			p.stamp, p.label = d.Time(), d.Str()
			continue
		}
		value, ch := string(v), p.changes[k[1:]]
		if k[0] == '-' {
			ch[0] = &value
		} else {
			ch[1] = &value
		}
		p.changes[k[1:]] = ch
	}
	return p
}

func (m *Service) log(c *command.Call) command.Reply {
	num := c.IntOr("num", 10)
	if num <= 0 {
		num = 10
	}
	var list []past
	for v := m.version; v > 0 && int64(len(list)) < num; v-- {
		list = append(list, m.past(v))
	}
	return c.Either(func() string {
		var b strings.Builder
		for _, p := range list {
			fmt.Fprintf(&b, "--- %d --- %s ---", p.version, jsonfmt.Time(p.stamp))
			if p.label != "" {
				fmt.Fprintf(&b, " %s ---", p.label)
			}
			b.WriteByte('\n')
			for _, k := range slices.Sorted(maps.Keys(p.changes)) {
				if ch := p.changes[k]; ch[0] != nil {
					fmt.Fprintf(&b, "- %s = %s\n", k, *ch[0])
				}
				if ch := p.changes[k]; ch[1] != nil {
					fmt.Fprintf(&b, "+ %s = %s\n", k, *ch[1])
				}
			}
		}
		return b.String()
	}, func(f *jsonfmt.Formatter) {
		f.Array("changesets", func() {
			for _, p := range list {
				f.Object("changeset", func() {
					f.Uint("version", p.version)
					f.Str("timestamp", jsonfmt.Time(p.stamp))
					f.Str("name", p.label)
					f.Array("changes", func() {
						for _, k := range slices.Sorted(maps.Keys(p.changes)) {
							f.Object("change", func() {
								f.Str("name", k)
								if v := p.changes[k][0]; v != nil {
									f.Str("previous_value", *v)
								}
								if v := p.changes[k][1]; v != nil {
									f.Str("new_value", *v)
								}
							})
						}
					})
				})
			}
		})
	})
}

func (m *Service) reset(c *command.Call) command.Reply {
	to := c.IntOr("num", -1)
	if to < 0 || uint64(to) > m.version {
		return command.Fail(errno.EINVAL, "must specify a valid historical version to revert to; see 'ceph config log' for a list of avialable configuration historical versions")
	}
	changes := map[string]*string{}
	for v := m.version; v > uint64(to); v-- {
		for k, ch := range m.past(v).changes {
			changes[k] = ch[0]
		}
	}
	if !m.stage(c.Now, fmt.Sprintf("reset to %d", to), changes) {
		return command.Reply{}
	}
	return command.Committed("")
}

// assimilate takes the settings of a ceph.conf that can live here, and returns
// the others.
func (m *Service) assimilate(c *command.Call) command.Reply {
	file, err := config.ParseFile(c.Input)
	if err != nil {
		return command.Fail(errno.EINVAL, "failed to parse config: %v", err)
	}
	changes, left := map[string]*string{}, map[string]map[string]string{}
	for _, sec := range file.Sections {
		t, ok := parseTarget(sec.Name)
		if !ok || t.masks() != "" {
			continue // nobody's section
		}
		for _, set := range sec.Settings {
			v, _, ok := check(set.Name, set.Value, false)
			if ok {
				changes[sec.Name+"/"+set.Name] = &v
				continue
			}
			if left[sec.Name] == nil {
				left[sec.Name] = map[string]string{}
			}
			left[sec.Name][set.Name] = set.Value
		}
	}
	var b strings.Builder
	for _, sec := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(&b, "\n[%s]\n", sec)
		for _, n := range slices.Sorted(maps.Keys(left[sec])) {
			fmt.Fprintf(&b, "\t%s = %s\n", n, left[sec][n])
		}
	}
	return command.Reply{Output: []byte(b.String()), Commit: m.stage(c.Now, "assimilate-conf", changes)}
}

func (m *Service) ls(c *command.Call) command.Reply {
	return c.Either(func() string {
		var b strings.Builder
		for _, o := range config.Listed() {
			b.WriteString(o.Name + "\n")
		}
		return b.String()
	}, func(f *jsonfmt.Formatter) {
		f.Array("options", func() {
			for _, o := range config.Listed() {
				f.Str("option", o.Name)
			}
		})
	})
}

func (m *Service) help(c *command.Call) command.Reply {
	o := config.Find(config.Name(c.Str("key")))
	if o == nil {
		return command.Fail(errno.ENOENT, "")
	}
	return c.Either(o.Help, o.Dump)
}

// show lists what a running daemon is configured with, as far as it is known
// here: what the monitors told it.
func (m *Service) show(c *command.Call) command.Reply {
	who := c.Str("who")
	name, err := entity.ParseAuthName(who)
	typ, _, dotted := strings.Cut(who, ".")
	if !dotted || typ == "" {
		return command.Fail(errno.EINVAL, "invalid daemon name: use <type>.<id>")
	}
	if err != nil || m.exists == nil || !m.exists(name) {
		return command.Fail(errno.ENOENT, "no config state for daemon %s", who)
	}
	type line struct{ name, value, source string }
	lines := map[string]line{}
	if c.Prefix == "config show-with-defaults" || c.Has("key") {
		for _, o := range config.Options() {
			lines[o.Name] = line{o.Name, o.DefaultFor(true), "default"}
		}
	}
	for n, s := range m.effective(m.place(name)) {
		lines[n] = line{n, s.value, "mon"}
	}
	if c.Has("key") {
		l, ok := lines[config.Name(c.Str("key"))]
		if !ok {
			return command.Fail(errno.ENOENT, "")
		}
		return command.Text(l.value + "\n")
	}
	names := slices.Sorted(maps.Keys(lines))
	return c.Either(func() string {
		rows := [][]string{{"NAME", "VALUE", "SOURCE", "OVERRIDES", "IGNORES"}}
		for _, n := range names {
			rows = append(rows, []string{n, lines[n].value, lines[n].source, "", ""})
		}
		return grid(rows)
	}, func(f *jsonfmt.Formatter) {
		f.Array("config", func() {
			for _, n := range names {
				f.Object("value", func() {
					f.Str("name", n)
					f.Str("value", lines[n].value)
					f.Str("source", lines[n].source)
				})
			}
		})
	})
}
