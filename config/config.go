package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// Config is the configuration of one daemon or client: what it was given
// itself, what the monitors sent, and defaults. It may be used by any goroutine.
type Config struct {
	who     entity.AuthName
	cluster string
	host    string

	mu      sync.RWMutex
	file    map[string]string // of ceph.conf, merged
	given   map[string]string // by command line or program; comes first
	central map[string]string // from the monitors
}

// New returns the configuration of who; host is the machine's short name, for
// values that mention it.
func New(who entity.AuthName, host string) *Config {
	return &Config{who: who, cluster: "ceph", host: host, given: map[string]string{}}
}

// Load takes the settings of a file: those of [global], of the type and of the
// name, each before the one before it.
func (c *Config) Load(f *File) {
	merged := map[string]string{}
	for _, name := range []string{"global", c.who.Type.String(), c.who.String()} {
		for _, s := range f.Sections {
			if s.Name == name {
				for _, set := range s.Settings {
					merged[set.Name] = set.Value
				}
			}
		}
	}
	c.mu.Lock()
	c.file = merged
	c.mu.Unlock()
}

// LoadSettings takes settings as those of a file. Options that the table knows
// are checked.
func (c *Config) LoadSettings(settings map[string]string) error {
	checked := map[string]string{}
	for name, v := range settings {
		name = Name(name)
		if o := Find(name); o != nil {
			var err error
			if v, err = o.Parse(v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		checked[name] = v
	}
	c.mu.Lock()
	c.file = checked
	c.mu.Unlock()
	return nil
}

// Unset takes back what Set gave.
func (c *Config) Unset(name string) {
	c.mu.Lock()
	delete(c.given, Name(name))
	c.mu.Unlock()
}

// Set gives an option a value that comes before all others. Options that the
// table knows are checked.
func (c *Config) Set(name, value string) error {
	name = Name(name)
	if o := Find(name); o != nil {
		v, err := o.Parse(value)
		if err != nil {
			return err
		}
		value = v
	}
	c.mu.Lock()
	c.given[name] = value
	c.mu.Unlock()
	return nil
}

// SetCentral replaces the settings that came from the monitors, and returns
// the names of options whose value changed by that.
func (c *Config) SetCentral(settings map[string]string) (changed []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.central
	c.central = maps.Clone(settings)
	for name := range settings {
		if c.own(name) {
			continue
		}
		if v, ok := old[name]; !ok || v != settings[name] {
			changed = append(changed, name)
		}
	}
	for name := range old {
		if _, ok := settings[name]; !ok && !c.own(name) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed
}

func (c *Config) own(name string) bool {
	_, a := c.given[name]
	_, b := c.file[name]
	return a || b
}

// raw returns a value without expanding it, and where it is from: override,
// file, mon or default.
func (c *Config) raw(name string) (value, from string, ok bool) {
	if v, ok := c.given[name]; ok {
		return v, "override", true
	}
	if v, ok := c.file[name]; ok {
		return v, "file", true
	}
	if v, ok := c.central[name]; ok {
		return v, "mon", true
	}
	if o := Find(name); o != nil {
		return o.DefaultFor(c.who.Type != entity.Client), "default", true
	}
	return "", "", false
}

// Get returns the value of an option with $variables replaced, "" if nobody
// knows it.
func (c *Config) Get(name string) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, _, _ := c.raw(Name(name))
	return c.expand(v, 0)
}

// Source says where the value of an option is from: override, file, mon or
// default; "" if nobody knows it.
func (c *Config) Source(name string) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, from, _ := c.raw(Name(name))
	return from
}

// maxExpand bounds variables in variables, which may mention each other.
const maxExpand = 8

// expand replaces $cluster, $type, $id, $name, $host, $pid and $option, also in
// braces. What nobody knows stays as it is.
func (c *Config) expand(s string, depth int) string {
	if depth > maxExpand || !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "$")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, tail := "", rest
		if inner, after, closed := strings.Cut(strings.TrimPrefix(rest, "{"), "}"); strings.HasPrefix(rest, "{") && closed {
			name, tail = inner, after
		} else {
			n := strings.IndexFunc(rest, func(r rune) bool {
				return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
			})
			if n < 0 {
				n = len(rest)
			}
			name, tail = rest[:n], rest[n:]
		}
		if v, ok := c.variable(name); ok && b.Len() < maxFile {
			b.WriteString(c.expand(v, depth+1))
		} else {
			b.WriteString("$" + rest[:len(rest)-len(tail)])
		}
		s = tail
	}
}

func (c *Config) variable(name string) (string, bool) {
	switch name {
	case "cluster":
		return c.cluster, true
	case "type":
		return c.who.Type.String(), true
	case "id":
		return c.who.ID, true
	case "num":
		return c.who.ID, true
	case "name":
		return c.who.String(), true
	case "host":
		return c.host, true
	case "pid":
		return strconv.Itoa(os.Getpid()), true
	case "home":
		return os.Getenv("HOME"), true
	case "":
		return "", false
	}
	v, _, ok := c.raw(name)
	return v, ok
}

// Bool returns an option of type bool.
func (c *Config) Bool(name string) bool {
	v, err := parseBool(c.Get(name))
	return err == nil && v == "true"
}

// Int returns an option that is a whole number, 0 if it is none.
func (c *Config) Int(name string) int64 {
	v := c.Get(name)
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return n // as nearly always, and this is asked for often
	}
	if o := Find(Name(name)); o != nil {
		if norm, err := o.Parse(v); err == nil {
			v = norm
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		f, _ := strconv.ParseFloat(v, 64)
		return int64(f)
	}
	return n
}

// Float returns an option that is a number, 0 if it is none.
func (c *Config) Float(name string) float64 {
	f, _ := strconv.ParseFloat(c.Get(name), 64)
	return f
}

// Seconds returns an option that is a number of seconds.
func (c *Config) Seconds(name string) time.Duration {
	v := c.Get(name)
	if f, err := strconv.ParseFloat(v, 64); err == nil {
		return time.Duration(f * float64(time.Second))
	}
	n, _ := parseSpan(v)
	return time.Duration(n) * time.Second
}

// Show returns all options with their values, for "config show".
func (c *Config) Show() map[string]string {
	all := map[string]string{"name": c.who.String(), "cluster": c.cluster}
	for _, o := range Options() {
		all[o.Name] = c.Get(o.Name)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, m := range []map[string]string{c.central, c.file, c.given} {
		for name := range m {
			if _, known := all[name]; !known {
				v, _, _ := c.raw(name)
				all[name] = c.expand(v, 0)
			}
		}
	}
	return all
}

// Change is an option that was given a value, whatever it is by default.
type Change struct {
	Name    string
	Default string
	Given   []Given // the last one counts
	Final   string  // with variables replaced
}

// Given is a value and where it is from: mon, file or override.
type Given struct{ From, Value string }

// Diff returns the options that were given values, sorted.
func (c *Config) Diff() []Change {
	c.mu.RLock()
	defer c.mu.RUnlock()
	levels := []struct {
		from   string
		values map[string]string
	}{{"mon", c.central}, {"file", c.file}, {"override", c.given}}
	names := map[string]bool{}
	for _, l := range levels {
		for name := range l.values {
			names[name] = true
		}
	}
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		v, _, _ := c.raw(name)
		ch := Change{Name: name, Final: c.expand(v, 0)}
		if o := Find(name); o != nil {
			ch.Default = o.DefaultFor(c.who.Type != entity.Client)
		}
		for _, l := range levels {
			if v, ok := l.values[name]; ok {
				ch.Given = append(ch.Given, Given{l.from, v})
			}
		}
		out = append(out, ch)
	}
	return out
}

// Dump writes the change as an object named after its option.
func (ch *Change) Dump(f *jsonfmt.Formatter) {
	o := Find(ch.Name)
	if o == nil {
		o = &Option{Type: Str}
	}
	f.Object(ch.Name, func() {
		o.value(f, "default", ch.Default)
		for _, g := range ch.Given {
			o.value(f, g.From, g.Value)
		}
		o.value(f, "final", ch.Final)
	})
}
