package python

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// A module writes JSON as Python does, which is neither of the monitors' forms:
// all but ASCII is escaped, members are sorted, and in one line there is a blank
// after each comma and colon. A value is nil, a bool, an int, int64, uint64,
// float64, string or json.Number, or a []any, []string or map[string]any.

// Compact renders a value in one line, as json.dumps(v, sort_keys=True).
func Compact(v any) string {
	var b strings.Builder
	render(&b, v, "", "")
	return b.String()
}

// Indented renders a value over many lines, as json.dumps(v, indent=4,
// sort_keys=True).
func Indented(v any) string {
	var b strings.Builder
	render(&b, v, "\n", "    ")
	return b.String()
}

// render writes a value; line is what a new line begins with, "" for none.
func render(b *strings.Builder, v any, line, step string) {
	comma, inner := ", ", ""
	if line != "" {
		inner = line + step
		comma = "," + inner
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool, int, int64, uint64:
		fmt.Fprint(b, v)
	case float64:
		b.WriteString(Float(v))
	case json.Number:
		b.WriteString(string(v))
	case string:
		quote(b, v)
	case []string:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		render(b, list, line, step)
	case []any:
		if len(v) == 0 {
			b.WriteString("[]")
			return
		}
		b.WriteString("[" + inner)
		for i, el := range v {
			if i > 0 {
				b.WriteString(comma)
			}
			render(b, el, inner, step)
		}
		b.WriteString(line + "]")
	case map[string]any:
		if len(v) == 0 {
			b.WriteString("{}")
			return
		}
		b.WriteString("{" + inner)
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(comma)
			}
			quote(b, k)
			b.WriteString(": ")
			render(b, v[k], inner, step)
		}
		b.WriteString(line + "}")
	default:
		panic(fmt.Sprintf("BUG: python: %T in a document", v))
	}
}

func quote(b *strings.Builder, s string) {
	const short = "\"\\\n\r\t\b\f"
	b.WriteByte('"')
	for _, c := range s {
		switch i := strings.IndexRune(short, c); {
		case i >= 0:
			b.WriteString(`\` + `"\nrtbf`[i:i+1])
		case c >= ' ' && c <= '~':
			b.WriteRune(c)
		case c > 0xffff:
			hi, lo := utf16.EncodeRune(c)
			fmt.Fprintf(b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(b, `\u%04x`, c)
		}
	}
	b.WriteByte('"')
}
