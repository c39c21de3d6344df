package command

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
)

// Format is how the caller wants the output.
type Format uint8

const (
	Plain Format = iota
	JSON
	JSONPretty
	XML
	XMLPretty
)

// Caller is who gave a command.
type Caller struct {
	Name  entity.Name     // client.4123
	Auth  entity.AuthName // client.admin
	Addrs entity.AddrVec
}

// Call is one command with its arguments. It is read only to handlers.
type Call struct {
	Prefix string
	Format Format
	Input  []byte // bulk input (-i FILE)
	Caller Caller
	Now    time.Time
	Text   string // the command as it came, for the audit log

	args map[string]any // string, int64, float64, bool or []any of them
}

// maxCommand bounds the text of a command; bulk goes into its input.
const maxCommand = 1 << 20

// Parse reads a command: one JSON object, which old clients may split over
// several strings. The error is EINVAL with Ceph's words.
func Parse(cmd []string) (*Call, error) {
	text := strings.Join(cmd, "")
	if len(cmd) == 0 || text == "" {
		return nil, fmt.Errorf("no command: %w", errno.EINVAL)
	}
	if len(text) > maxCommand {
		return nil, fmt.Errorf("command too long: %w", errno.E2BIG)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("unparseable JSON %s: %w", text, errno.EINVAL)
	}
	c := &Call{Text: text, args: make(map[string]any, len(raw))}
	for name, v := range raw {
		arg, ok := argument(v)
		if !ok {
			return nil, fmt.Errorf("bad or missing field '%s': %w", name, errno.EINVAL)
		}
		if arg != nil {
			c.args[name] = arg
		}
	}
	prefix, ok := c.args["prefix"].(string)
	if !ok {
		return nil, fmt.Errorf("command 'prefix' not found: %w", errno.EINVAL)
	}
	c.Prefix = prefix
	delete(c.args, "prefix")
	switch f, _ := c.args["format"].(string); f {
	case "json":
		c.Format = JSON
	case "json-pretty":
		c.Format = JSONPretty
	case "xml":
		c.Format = XML
	case "xml-pretty":
		c.Format = XMLPretty
	case "table", "table-kv", "html", "html-pretty":
		return nil, fmt.Errorf("output format '%s' is not supported: %w", f, errno.EINVAL)
	}
	delete(c.args, "format")
	delete(c.args, "target")
	return c, nil
}

// argument turns a decoded JSON value into an argument; nil for null.
func argument(v any) (any, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string, bool:
		return v, true
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, true
		}
		f, err := v.Float64()
		return f, err == nil && !math.IsInf(f, 0)
	case []any:
		list := make([]any, len(v))
		for i, el := range v {
			if _, nested := el.([]any); nested {
				return nil, false
			}
			a, ok := argument(el)
			if !ok || a == nil {
				return nil, false
			}
			list[i] = a
		}
		return list, true
	}
	return nil, false
}

// New makes a call without parsing, for callers inside and for tests. Values
// are string, int64, float64, bool or []string.
func New(prefix string, args map[string]any) *Call {
	c := &Call{Prefix: prefix, args: map[string]any{}}
	for name, v := range args {
		switch v := v.(type) {
		case int:
			c.args[name] = int64(v)
		case []string:
			list := make([]any, len(v))
			for i, s := range v {
				list[i] = s
			}
			c.args[name] = list
		default:
			c.args[name] = v
		}
	}
	return c
}

// With returns a copy of c with one argument more: aliases of commands use it.
func (c *Call) With(prefix, name string, v any) *Call {
	d := New(prefix, map[string]any{name: v})
	for n, v := range c.args {
		if n != name {
			d.args[n] = v
		}
	}
	d.Format, d.Input, d.Caller, d.Now, d.Text = c.Format, c.Input, c.Caller, c.Now, c.Text
	return d
}

// Has reports whether an argument was given.
func (c *Call) Has(name string) bool { return c.args[name] != nil }

// Names are the names of the given arguments, sorted.
func (c *Call) Names() []string {
	names := make([]string, 0, len(c.args))
	for n := range c.args {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Args are all arguments, for capabilities that ask for them.
func (c *Call) Args() map[string]any { return c.args }

// Str returns a string argument, "" if it is missing.
func (c *Call) Str(name string) string {
	s, _ := c.args[name].(string)
	return s
}

// StrOr returns a string argument, def if it is missing.
func (c *Call) StrOr(name, def string) string {
	if s, ok := c.args[name].(string); ok {
		return s
	}
	return def
}

// Int returns a number, 0 if it is missing.
func (c *Call) Int(name string) int64 { return c.IntOr(name, 0) }

// IntOr returns a number, def if it is missing.
func (c *Call) IntOr(name string, def int64) int64 {
	if n, ok := c.args[name].(int64); ok {
		return n
	}
	return def
}

// Float returns a number, 0 if it is missing.
func (c *Call) Float(name string) float64 { return c.FloatOr(name, 0) }

// FloatOr returns a number, def if it is missing.
func (c *Call) FloatOr(name string, def float64) float64 {
	switch n := c.args[name].(type) {
	case float64:
		return n
	case int64:
		return float64(n)
	}
	return def
}

// Bool returns a switch. Clients older than nautilus send the words of the
// option ("--yes-i-really-mean-it") where newer ones send true.
func (c *Call) Bool(name string) bool {
	switch v := c.args[name].(type) {
	case bool:
		return v
	case string:
		return v == "true" || v == "--"+strings.ReplaceAll(name, "_", "-")
	}
	return false
}

// Strs returns a list of strings; a single string is a list of one, numbers
// become their digits.
func (c *Call) Strs(name string) []string {
	list, ok := c.args[name].([]any)
	if !ok {
		if c.args[name] == nil {
			return nil
		}
		list = []any{c.args[name]}
	}
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case int64:
			out = append(out, strconv.FormatInt(v, 10))
		}
	}
	return out
}

// Ints returns a list of numbers, such as CephOsdName with n=N; a single number
// is a list of one.
func (c *Call) Ints(name string) []int64 {
	switch v := c.args[name].(type) {
	case int64:
		return []int64{v}
	case []any:
		var out []int64
		for _, e := range v {
			if n, ok := e.(int64); ok {
				out = append(out, n)
			}
		}
		return out
	}
	return nil
}

// Floats returns a list of numbers, such as CephFloat with n=N.
func (c *Call) Floats(name string) []float64 {
	list, ok := c.args[name].([]any)
	if !ok && c.args[name] != nil {
		list = []any{c.args[name]}
	}
	var out []float64
	for _, v := range list {
		switch n := v.(type) {
		case float64:
			out = append(out, n)
		case int64:
			out = append(out, float64(n))
		}
	}
	return out
}

// PG returns an argument of type CephPgid.
func (c *Call) PG(name string) (object.PG, error) { return object.ParsePG(c.Str(name)) }

// ParseOSD reads "osd.3" or "3".
func ParseOSD(s string) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(s, "osd."), 10, 32)
	if err != nil || n < 0 {
		return -1, fmt.Errorf("'%s' is not an osd id: %w", s, errno.EINVAL)
	}
	return int32(n), nil
}
