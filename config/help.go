package config

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Help describes an option in words, as "config help" does.
func (o *Option) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s - %s\n  (%s, %s)\n", o.Name, o.Desc, o.Type, o.Level)
	if o.DaemonDefault == "" {
		fmt.Fprintf(&b, "  Default: %s\n", o.Default)
	} else {
		fmt.Fprintf(&b, "  Default (non-daemon): %s\n  Default (daemon): %s\n", o.Default, o.DaemonDefault)
	}
	if len(o.Enum) > 0 {
		fmt.Fprintf(&b, "  Possible values:  %s\n", strings.Join(o.Enum, " "))
	}
	if o.Min != "" {
		fmt.Fprintf(&b, "  Minimum: %s\n", o.Min)
	}
	if o.Max != "" {
		fmt.Fprintf(&b, "  Maximum: %s\n", o.Max)
	}
	fmt.Fprintf(&b, "  Can update at runtime: %t\n", o.Runtime)
	if len(o.Services) > 0 {
		fmt.Fprintf(&b, "  Services: [%s]\n", strings.Join(o.Services, ","))
	}
	return b.String()
}

// Dump describes an option as an object.
func (o *Option) Dump(f *jsonfmt.Formatter) {
	f.Object("option", func() {
		f.Str("name", o.Name)
		f.Str("type", string(o.Type))
		f.Str("level", o.Level)
		f.Str("desc", o.Desc)
		f.Str("long_desc", "")
		o.value(f, "default", o.Default)
		o.value(f, "daemon_default", o.DaemonDefault)
		f.Strs("tags", "item", nil)
		f.Strs("services", "item", o.Services)
		f.Strs("see_also", "item", nil)
		if o.Type == Str {
			f.Strs("enum_values", "item", o.Enum)
		}
		o.value(f, "min", o.Min)
		o.value(f, "max", o.Max)
		f.Bool("can_update_at_runtime", o.Runtime)
		f.Strs("flags", "item", o.Flags)
	})
}

// value writes numbers and switches as such.
func (o *Option) value(f *jsonfmt.Formatter, name, v string) {
	switch o.Type {
	case Bool, Int, Uint, Float:
		if v != "" {
			if o.Type == Float {
				v = strings.TrimSuffix(strings.TrimRight(v, "0"), ".")
			}
			f.Raw(name, v)
			return
		}
	}
	f.Str(name, v)
}
