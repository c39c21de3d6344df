package cephx

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/wire"
)

// Entity is an account: its secret and its capabilities by service
// (EntityAuth). A value that was handed out is not changed any more.
type Entity struct {
	Key  Key
	Caps map[string]string
}

func (n Entity) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	n.Key.Encode(e)
	wire.EncodeMap(e, n.Caps, func(service, caps string) {
		e.Str(service)
		e.Str(caps)
	})
	e.End(m)
}

func (n *Entity) Decode(d *wire.Decoder) {
	env := d.Begin("entity", 1)
	n.Key.Decode(d)
	n.Caps = wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
	d.End(env)
}

// Keyring is a set of accounts (KeyRing): of a keyring file, or of the whole
// cluster.
type Keyring map[entity.AuthName]Entity

// Names are the names in Ceph's order, by type and then id.
func (k Keyring) Names() []entity.AuthName {
	return slices.SortedFunc(maps.Keys(k), entity.AuthName.Compare)
}

func (k Keyring) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	wire.EncodeMapFunc(e, k, entity.AuthName.Compare, func(name entity.AuthName, n Entity) {
		name.Encode(e)
		n.Encode(e)
	})
	e.End(m)
}

func (k *Keyring) Decode(d *wire.Decoder) {
	env := d.Begin("keyring", 1)
	*k = wire.DecodeMap(d, 26, func() (name entity.AuthName, n Entity) {
		name.Decode(d)
		n.Decode(d)
		return name, n
	})
	d.End(env)
}

// Text is the keyring file: what `ceph auth get` prints.
func (k Keyring) Text() string {
	var b strings.Builder
	for _, name := range k.Names() {
		n := k[name]
		fmt.Fprintf(&b, "[%v]\n", name)
		if !n.Key.IsZero() {
			fmt.Fprintf(&b, "\tkey = %s\n", n.Key.Base64())
		}
		for _, service := range slices.Sorted(maps.Keys(n.Caps)) {
			fmt.Fprintf(&b, "\tcaps %s = \"%s\"\n", service, strings.ReplaceAll(n.Caps[service], `"`, `\"`))
		}
	}
	return b.String()
}

// Format prints the names only, so that a log never shows keys; the file is
// made by Text.
func (k Keyring) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "keyring of %v", k.Names()) }

// ParseKeyring reads a keyring file. Errors name the line.
func ParseKeyring(text []byte) (Keyring, error) {
	p := keyringParser{ring: Keyring{}}
	for len(text) > 0 {
		var raw []byte
		raw, text, _ = bytes.Cut(text, []byte("\n"))
		p.line++
		line := string(raw)
		first := p.line
		// A backslash at the end joins lines.
		for strings.HasSuffix(strings.TrimSuffix(line, "\r"), `\`) && len(text) > 0 {
			raw, text, _ = bytes.Cut(text, []byte("\n"))
			p.line++
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\r"), `\`) + string(raw)
		}
		if err := p.parse(line); err != nil {
			return nil, fmt.Errorf("keyring line %d: %w", first, err)
		}
	}
	return p.ring, nil
}

type keyringParser struct {
	ring Keyring
	line int

	name entity.AuthName // of the section
	in   int
}

// Where a line belongs to.
const (
	inNothing = iota
	inEntity
	inOther // [global], which is skipped
)

func (p *keyringParser) parse(line string) error {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' || line[0] == ';' {
		return nil
	}
	if line[0] == '[' {
		section, rest, ok := strings.Cut(line[1:], "]")
		if rest = strings.TrimSpace(rest); !ok || rest != "" && rest[0] != '#' && rest[0] != ';' {
			return fmt.Errorf("bad section %q", line)
		}
		return p.section(strings.TrimSpace(section))
	}
	setting, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("want NAME = VALUE")
	}
	value, err := unquoteValue(strings.TrimSpace(value))
	if err != nil {
		return err
	}
	if p.in == inNothing {
		return fmt.Errorf("setting before the first section")
	}
	if p.in == inOther {
		return nil
	}
	// Words of a setting may be joined by spaces or underscores.
	words := strings.FieldsFunc(setting, func(r rune) bool { return r == ' ' || r == '\t' || r == '_' })
	n := p.ring[p.name]
	switch {
	case len(words) == 1 && words[0] == "key":
		if n.Key, err = ParseKey(value); err != nil {
			return err
		}
	case len(words) == 2 && words[0] == "caps":
		if n.Caps == nil {
			n.Caps = map[string]string{}
		}
		n.Caps[words[1]] = value
	case len(words) == 1 && words[0] == "auid": // of old keyrings; means nothing
	default:
		// It may well be a key on a line of its own: it is not repeated.
		return fmt.Errorf("unknown setting")
	}
	p.ring[p.name] = n
	return nil
}

func (p *keyringParser) section(s string) error {
	if s == "global" {
		p.in = inOther
		return nil
	}
	name, err := entity.ParseAuthName(s)
	if err != nil {
		return err
	}
	p.name, p.in = name, inEntity
	return nil
}

// unquoteValue takes off quotes, with \ escaping in double ones, and a comment
// after the value.
func unquoteValue(s string) (string, error) {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		if i := strings.IndexAny(s, "#;"); i >= 0 {
			s = strings.TrimSpace(s[:i])
		}
		return s, nil
	}
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == quote:
			if rest := strings.TrimSpace(s[i+1:]); rest != "" && rest[0] != '#' && rest[0] != ';' {
				return "", fmt.Errorf("text after the closing quote")
			}
			return b.String(), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("quote is not closed")
}
