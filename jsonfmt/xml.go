package jsonfmt

import (
	"fmt"
	"strings"
)

// XML renders the document as XML: each value is an element of its name, with
// underscores for blanks, and there are no attributes. What has no name in the
// tree is called root at the outermost level, and item within. The indented style
// ("xml-pretty") has one blank a level and ends in an empty line.
func (f *Formatter) XML(root string, pretty bool) string {
	f.checkClosed()
	var b []byte
	for _, n := range f.tops {
		b = n.appendXML(b, root, pretty, 0)
	}
	if pretty && len(b) > 0 {
		b = append(b, '\n')
	}
	return string(b)
}

func (n *node) appendXML(b []byte, otherwise string, pretty bool, depth int) []byte {
	name := n.name
	if name == "" {
		name = otherwise
	}
	name = strings.ReplaceAll(name, " ", "_")
	indent := func() {
		for range depth {
			if pretty {
				b = append(b, ' ')
			}
		}
	}
	end := func() {
		if pretty {
			b = append(b, '\n')
		}
	}
	indent()
	b = fmt.Appendf(b, "<%s>", name)
	if n.kind == object || n.kind == array {
		end()
		for _, k := range n.kids {
			b = k.appendXML(b, "item", pretty, depth+1)
		}
		indent()
	} else {
		b = appendEscaped(b, n.text)
	}
	b = fmt.Appendf(b, "</%s>", name)
	end()
	return b
}

// appendEscaped adds text in which nothing is markup. Bytes of 0x80 and above
// pass unchanged.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '&':
			b = append(b, "&amp;"...)
		case c == '\'':
			b = append(b, "&apos;"...)
		case c == '"':
			b = append(b, "&quot;"...)
		case c < 0x20 && c != '\t' && c != '\n' || c == 0x7f:
			b = fmt.Appendf(b, "&#x%02x;", c)
		default:
			b = append(b, c)
		}
	}
	return b
}
