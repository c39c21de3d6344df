package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Settings of the running daemon. What is changed here lasts until it ends.

// errorText is how Ceph prints an error number.
func errorText(no errno.Errno) string { return fmt.Sprintf("(%d) %v", int(no), no) }

func (d *Daemon) configShow(Args) Reply {
	all := d.Config.Show()
	return object("config_show", func(f *jsonfmt.Formatter) {
		first := []string{"name", "cluster"}
		for _, k := range first {
			f.Str(k, all[k])
		}
		for _, k := range slices.Sorted(maps.Keys(all)) {
			if !slices.Contains(first, k) {
				f.Str(k, all[k])
			}
		}
	})
}

func (d *Daemon) configGet(a Args) Reply {
	name := config.Name(a.Str("var"))
	v, ok := d.Config.Show()[name]
	if !ok {
		return fail(errno.ENOENT, "error getting '%s': %s", a.Str("var"), errorText(errno.ENOENT))
	}
	return object("config_get", func(f *jsonfmt.Formatter) { f.Str(name, v) })
}

// change sets an option, or with nil goes back to what it is otherwise. news
// tells of an effect; settings of the log have none that is told of.
func (d *Daemon) change(name string, value *string) (news string, no errno.Errno, why string) {
	o := config.Find(config.Name(name))
	if o == nil {
		return "", errno.ENOENT, ""
	}
	before := d.Config.Get(o.Name)
	if value == nil {
		d.Config.Unset(o.Name)
	} else {
		v, err := o.Parse(*value)
		if err != nil {
			return "", errno.EINVAL, err.Error()
		}
		if !o.Runtime {
			return "", errno.EPERM, "Configuration option '" + o.Name + "' may not be modified at runtime"
		}
		if err := d.Config.Set(o.Name, v); err != nil {
			return "", errno.EINVAL, err.Error()
		}
	}
	if after := d.Config.Get(o.Name); after != before && !strings.HasPrefix(o.Name, "debug_") {
		news = o.Name + " = '" + after + "' "
	}
	return news, 0, ""
}

func (d *Daemon) changed() {
	if d.Changed != nil {
		d.Changed()
	}
}

func (d *Daemon) configSet(a Args) Reply {
	name, value := a.Str("var"), a.Str("val")
	news, no, _ := d.change(name, &value)
	if no != 0 {
		return fail(no, "error setting '%s' to '%s': %s", name, value, errorText(no))
	}
	d.changed()
	return object("config_set", func(f *jsonfmt.Formatter) { f.Str("success", news) })
}

func (d *Daemon) configUnset(a Args) Reply {
	news, no, _ := d.change(a.Str("var"), nil)
	if no != 0 {
		return fail(errno.EINVAL, "error unsetting '%s': %s", a.Str("var"), errorText(errno.EINVAL))
	}
	d.changed()
	r := object("config_unset", func(*jsonfmt.Formatter) {})
	r.Status = news
	return r
}

func (d *Daemon) configDiff(a Args) Reply {
	only := config.Name(a.Str("var"))
	return object("config_diff", func(f *jsonfmt.Formatter) {
		f.Object("diff", func() {
			for _, ch := range d.Config.Diff() {
				if only == "" || ch.Name == only {
					ch.Dump(f)
				}
			}
		})
	})
}

func (d *Daemon) configHelp(a Args) Reply {
	name := a.Str("var")
	if name == "" {
		return Reply{Body: func(f *jsonfmt.Formatter) {
			f.Array("options", func() {
				for _, o := range config.Options() {
					o.Dump(f)
				}
			})
		}}
	}
	o := config.Find(config.Name(name))
	if o == nil {
		return fail(errno.ENOENT, "Setting not found: '%s'", name)
	}
	return object("config_help", func(f *jsonfmt.Formatter) { o.Dump(f) })
}

// injectArgs sets options as on a command line: --name value, --name=value, and
// for switches --name and --no-name.
func (d *Daemon) injectArgs(a Args) Reply {
	words := strings.Fields(a.Str("injected_args"))
	var news, strange []string
	var no errno.Errno
	wrong := ""
	for i := 0; i < len(words); i++ {
		word := words[i]
		if word == "--" {
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		o := config.Find(config.Name(name))
		if base, ok := strings.CutPrefix(config.Name(name), "no_"); o == nil && ok && !given {
			if o = config.Find(base); o != nil && o.Type == config.Bool {
				value, given = "false", true
			} else {
				o = nil
			}
		}
		switch {
		case o == nil || !strings.HasPrefix(word, "--"):
			strange = append(strange, word)
			continue
		case given:
		case o.Type == config.Bool && (i+1 == len(words) || strings.HasPrefix(words[i+1], "--")):
			value = "true"
		case i+1 == len(words):
			no = errno.EINVAL
			wrong += "Option " + word + " requires an argument.\n"
			continue
		default:
			i++
			value = words[i]
		}
		text, bad, why := d.change(o.Name, &value)
		if bad != 0 {
			no = bad
			wrong += "Parse error setting " + o.Name + " to '" + value + "' using injectargs (" + why + ").\n"
		}
		news = append(news, text)
	}
	if len(strange) > 0 {
		no = errno.EINVAL
		wrong += " failed to parse arguments: " + strings.Join(strange, ",") + "\n"
	}
	d.changed()
	if no != 0 {
		return Reply{Errno: no, Status: wrong + strings.Join(news, "")}
	}
	r := object("injectargs", func(*jsonfmt.Formatter) {})
	r.Status = strings.Join(news, "")
	return r
}
