package config

import (
	"fmt"
	"slices"
	"strings"
)

// Setting is one line of a file.
type Setting struct{ Name, Value string }

// Section is a part of a file: [osd.3] and what follows.
type Section struct {
	Name     string
	Settings []Setting
}

// File is a parsed ceph.conf, its sections in order; two with one name are
// joined.
type File struct{ Sections []Section }

// maxFile bounds what is parsed: real files have a few kilobytes.
const maxFile = 8 << 20

// ParseFile reads the ceph.conf format: [section], name = value, comments after
// # or ; , a backslash at the end of a line joins it with the next, values may
// be quoted. Errors name the line.
func ParseFile(text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("configuration of %d bytes is too long", len(text))
	}
	f := &File{}
	section := ""
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := strings.TrimSuffix(lines[i], "\r")
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + strings.TrimSuffix(lines[i], "\r")
		}
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			name, rest, ok := strings.Cut(line[1:], "]")
			if rest = strings.TrimSpace(rest); !ok || rest != "" && rest[0] != '#' && rest[0] != ';' {
				return nil, fmt.Errorf("line %d: bad section %q", first, line)
			}
			section = strings.TrimSpace(name)
			f.section(section)
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok {
				// Comments may follow where a value is missing.
				return nil, fmt.Errorf("line %d: want NAME = VALUE, got %q", first, line)
			}
			if section == "" {
				return nil, fmt.Errorf("line %d: setting before the first section", first)
			}
			value, err := unquote(strings.TrimSpace(value))
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", first, err)
			}
			f.set(section, Name(name), value)
		}
	}
	return f, nil
}

func unquote(s string) (string, error) {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s) && strings.IndexByte(`#;\"'`, s[i+1]) >= 0:
				i++
				b.WriteByte(s[i])
			case c == '#' || c == ';':
				return strings.TrimSpace(b.String()), nil
			default:
				b.WriteByte(c)
			}
		}
		return strings.TrimSpace(b.String()), nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == s[0]:
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

func (f *File) section(name string) *Section {
	i := slices.IndexFunc(f.Sections, func(s Section) bool { return s.Name == name })
	if i < 0 {
		f.Sections = append(f.Sections, Section{Name: name})
		i = len(f.Sections) - 1
	}
	return &f.Sections[i]
}

// set adds a setting; the last one of a name counts.
func (f *File) set(section, name, value string) {
	s := f.section(section)
	for i := range s.Settings {
		if s.Settings[i].Name == name {
			s.Settings[i].Value = value
			return
		}
	}
	s.Settings = append(s.Settings, Setting{name, value})
}

// Get returns a setting of a section.
func (f *File) Get(section, name string) (string, bool) {
	for _, s := range f.Sections {
		if s.Name != section {
			continue
		}
		for _, set := range s.Settings {
			if set.Name == name {
				return set.Value, true
			}
		}
	}
	return "", false
}
