package crashmon

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// The stock module writes JSON as Python does, which is neither of the monitors'
// forms: all but ASCII is escaped, members are sorted, and in one line there is
// a blank after each comma and colon.

// compact renders a value in one line.
func compact(v any) string {
	var b strings.Builder
	render(&b, v, "", "")
	return b.String()
}

// indented renders a value over many lines.
func indented(v any) string {
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
	case bool:
		fmt.Fprint(b, v)
	case json.Number:
		b.WriteString(string(v))
	case string:
		quote(b, v)
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
		panic(fmt.Sprintf("BUG: %T in a crash report", v))
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
