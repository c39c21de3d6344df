package admin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// refusal is EINVAL with words.
func refusal(format string, args ...any) error {
	return &Refusal{errno.EINVAL, fmt.Sprintf(format, args...)}
}

// Refusal is an error that a tool shows as it is.
type Refusal struct {
	Errno errno.Errno
	Words string
}

func (r *Refusal) Error() string { return r.Words + ": " + r.Errno.Error() }

func (r *Refusal) Unwrap() error { return r.Errno }

// Table holds commands with what carries them out, an H.
type Table[H any] struct {
	byPrefix map[string][]entry[H]
}

type entry[H any] struct {
	sig, help string
	args      []param
	do        H
}

// param describes an argument, as in name=val,type=CephString,n=N.
type param struct {
	name, typ string
	optional  bool
	many      bool
	choices   []string
}

// Add adds a command; without help it is not listed.
func (t *Table[H]) Add(sig, help string, do H) {
	prefix, args := cut(sig)
	for _, e := range t.byPrefix[prefix] {
		if e.sig == sig {
			panic("BUG: two handlers for " + sig)
		}
	}
	if t.byPrefix == nil {
		t.byPrefix = map[string][]entry[H]{}
	}
	t.byPrefix[prefix] = append(t.byPrefix[prefix], entry[H]{sig, help, args, do})
}

func cut(sig string) (prefix string, args []param) {
	var words []string
	for part := range strings.FieldsSeq(sig) {
		if !strings.Contains(part, "=") {
			words = append(words, part)
			continue
		}
		var p param
		for kv := range strings.SplitSeq(part, ",") {
			k, v, _ := strings.Cut(kv, "=")
			switch k {
			case "name":
				p.name = v
			case "type":
				p.typ = v
			case "req":
				p.optional = v == "false"
			case "n":
				p.many = v == "N"
			case "strings":
				p.choices = strings.Split(v, "|")
			}
		}
		args = append(args, p)
	}
	return strings.Join(words, " "), args
}

// Has reports whether there is a command.
func (t *Table[H]) Has(prefix string) bool { return t.byPrefix[prefix] != nil }

// Find returns what carries a command out. The error is a *Refusal: there is no
// such command, or its arguments are not those of a signature of it.
func (t *Table[H]) Find(a Args) (do H, err error) {
	prefix := a.Str("prefix")
	all := t.byPrefix[prefix]
	for _, e := range all {
		if e.accepts(a) {
			return e.do, nil
		}
	}
	if all == nil {
		return do, refusal("unknown command prefix %s", prefix)
	}
	return do, refusal("invalid command json")
}

func (e *entry[H]) accepts(a Args) bool {
	for _, p := range e.args {
		v, given := a[p.name]
		switch list, many := v.([]any); {
		case !given:
			if !p.optional {
				return false
			}
		case many:
			if !p.many || slices.ContainsFunc(list, func(el any) bool { return !p.accepts(el) }) {
				return false
			}
		case !p.accepts(v):
			return false
		}
	}
	return true
}

func (p *param) accepts(v any) bool {
	switch v := v.(type) {
	case bool:
		return p.typ == "CephBool"
	case int64:
		return p.typ == "CephInt" || p.typ == "CephFloat"
	case float64:
		return p.typ == "CephFloat"
	case string:
		switch p.typ {
		case "CephInt":
			_, err := strconv.ParseInt(v, 10, 64)
			return err == nil
		case "CephFloat", "CephBool":
			return false
		case "CephChoices":
			return slices.Contains(p.choices, v)
		}
		return true
	}
	return false
}

// sorted are all commands in the order of their prefixes.
func (t *Table[H]) sorted() []entry[H] {
	var all []entry[H]
	for _, entries := range t.byPrefix {
		all = append(all, entries...)
	}
	slices.SortStableFunc(all, func(a, b entry[H]) int {
		return strings.Compare(strings.Fields(a.sig)[0], strings.Fields(b.sig)[0])
	})
	slices.SortFunc(all, func(a, b entry[H]) int { return strings.Compare(a.sig, b.sig) })
	return all
}

// Describe writes the answer to get_command_descriptions.
func (t *Table[H]) Describe(f *jsonfmt.Formatter) {
	f.Object("command_descriptions", func() {
		for i, e := range t.sorted() {
			f.Object(fmt.Sprintf("cmd%03d", i), func() {
				f.Array("sig", func() {
					for part := range strings.FieldsSeq(e.sig) {
						describe(f, part)
					}
				})
				f.Str("help", e.help)
			})
		}
	})
}

func describe(f *jsonfmt.Formatter, part string) {
	if !strings.Contains(part, "=") {
		f.Str("", part)
		return
	}
	f.Object("", func() {
		for kv := range strings.SplitSeq(part, ",") {
			k, v, _ := strings.Cut(kv, "=")
			f.Str(k, v)
		}
	})
}

// Help writes the answer to help.
func (t *Table[H]) Help(f *jsonfmt.Formatter) {
	f.Object("help", func() {
		for _, e := range t.sorted() {
			if prefix, _ := cut(e.sig); e.help != "" {
				f.Str(prefix, e.help)
			}
		}
	})
}
