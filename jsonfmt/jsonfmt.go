// Package jsonfmt writes JSON as Ceph's JSONFormatter does, byte for byte:
// fields in the order they were given, floats with 17 significant digits,
// "json" without blanks and "json-pretty" with four per level.
//
// The standard encoder cannot be used for what stock tools print and scripts
// compare: it sorts maps, and it renders floats in their shortest form.
//
// A [Formatter] records a tree of sections; the same tree can be rendered in
// both styles, and as XML, as Ceph's XMLFormatter does. Sections are closed by the caller; a field given inside an array
// has its name dropped in JSON, so one dump function serves both as a field and as
// an element; in XML it is the name of the element.
//
// No compatibility promise.
package jsonfmt

import (
	"fmt"
	"strconv"
)

// node is one value. Leaves hold what they print.
type node struct {
	name string
	text string
	kind kind
	kids []*node
}

type kind uint8

const (
	leaf kind = iota // a number or a word
	text             // a string
	object
	array
)

// Formatter builds one document. The zero value is ready.
type Formatter struct {
	tops []*node // finished or open sections at the outermost level
	open []*node // path to the innermost open section
}

func (f *Formatter) add(n *node) {
	if len(f.open) == 0 {
		f.tops = append(f.tops, n)
		return
	}
	in := f.open[len(f.open)-1]
	in.kids = append(in.kids, n)
}

func (f *Formatter) section(name string, k kind) {
	n := &node{name: name, kind: k}
	f.add(n)
	f.open = append(f.open, n)
}

// OpenObject opens an object; name is used if the enclosing section is one.
func (f *Formatter) OpenObject(name string) { f.section(name, object) }

// OpenArray opens an array.
func (f *Formatter) OpenArray(name string) { f.section(name, array) }

// Close closes the innermost section.
func (f *Formatter) Close() {
	if len(f.open) == 0 {
		panic("BUG: jsonfmt: Close without an open section")
	}
	f.open = f.open[:len(f.open)-1]
}

// Object writes an object whose fields body gives.
func (f *Formatter) Object(name string, body func()) {
	f.OpenObject(name)
	body()
	f.Close()
}

// Array writes an array whose elements body gives.
func (f *Formatter) Array(name string, body func()) {
	f.OpenArray(name)
	body()
	f.Close()
}

// Str writes a string.
func (f *Formatter) Str(name, v string) {
	f.add(&node{name: name, text: v, kind: text})
}

// Stringer writes what v prints as a string (Ceph's dump_stream).
func (f *Formatter) Stringer(name string, v fmt.Stringer) { f.Str(name, v.String()) }

// Int writes a signed number.
func (f *Formatter) Int(name string, v int64) {
	f.add(&node{name: name, text: strconv.FormatInt(v, 10)})
}

// Uint writes an unsigned number.
func (f *Formatter) Uint(name string, v uint64) {
	f.add(&node{name: name, text: strconv.FormatUint(v, 10)})
}

// Float writes a double.
func (f *Formatter) Float(name string, v float64) {
	f.add(&node{name: name, text: Float(v)})
}

// Bool writes true or false.
func (f *Formatter) Bool(name string, v bool) {
	f.add(&node{name: name, text: strconv.FormatBool(v)})
}

// Raw writes a value as it is (dump_format_unquoted).
func (f *Formatter) Raw(name, v string) {
	f.add(&node{name: name, text: v})
}

// Strs writes an array of strings, which XML calls elem each.
func (f *Formatter) Strs(name, elem string, v []string) {
	f.OpenArray(name)
	for _, s := range v {
		f.Str(elem, s)
	}
	f.Close()
}

// Float renders v as a C++ stream with 17 digits of precision does.
func Float(v float64) string { return strconv.FormatFloat(v, 'g', 17, 64) }

// Quote renders a JSON string. Bytes of 0x80 and above pass unchanged, whether
// they are UTF-8 or not; the slash is not escaped.
func Quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < 0x20 || c == 0x7f:
			b = fmt.Appendf(b, "\\u%04x", c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// JSON renders the compact style ("json"), without a newline at the end.
func (f *Formatter) JSON() string { return f.render(false) }

// Pretty renders the indented style ("json-pretty"), which ends in a newline.
func (f *Formatter) Pretty() string { return f.render(true) + "\n" }

func (f *Formatter) render(pretty bool) string {
	f.checkClosed()
	var b []byte
	for _, n := range f.tops {
		b = n.append(b, pretty, 0)
	}
	return string(b)
}

func (f *Formatter) checkClosed() {
	if len(f.open) > 0 {
		panic("BUG: jsonfmt: rendered with " + f.open[len(f.open)-1].name + " still open")
	}
}

func (n *node) append(b []byte, pretty bool, depth int) []byte {
	switch n.kind {
	case leaf:
		return append(b, n.text...)
	case text:
		return append(b, Quote(n.text)...)
	}
	left, right := byte('{'), byte('}')
	if n.kind == array {
		left, right = '[', ']'
	}
	b = append(b, left)
	for i, k := range n.kids {
		if i > 0 {
			b = append(b, ',')
		}
		b = newline(b, pretty, depth+1)
		if n.kind == object {
			b = append(b, '"')
			b = append(b, k.name...)
			b = append(b, '"', ':')
			if pretty {
				b = append(b, ' ')
			}
		}
		b = k.append(b, pretty, depth+1)
	}
	if len(n.kids) > 0 {
		b = newline(b, pretty, depth)
	}
	return append(b, right)
}

func newline(b []byte, pretty bool, depth int) []byte {
	if !pretty {
		return b
	}
	b = append(b, '\n')
	for range depth {
		b = append(b, "    "...)
	}
	return b
}
