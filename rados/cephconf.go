package rados

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
)

// conf is a ceph.conf: options by section. Names of options are in lower case
// with underscores.
type conf map[string]map[string]string

func parseConf(text []byte) (conf, error) {
	c := conf{}
	section := "global"
	scan := bufio.NewScanner(bytes.NewReader(text))
	pending := ""
	for n := 1; scan.Scan(); n++ {
		line := pending + strings.TrimSpace(scan.Text())
		pending = ""
		if rest, ok := strings.CutSuffix(line, "\\"); ok {
			pending = rest
			continue
		}
		line = strings.TrimSpace(stripComment(line))
		if line == "" {
			continue
		}
		if line[0] == '[' {
			name, ok := strings.CutSuffix(line[1:], "]")
			if !ok {
				return nil, fmt.Errorf("line %d: section without ]: %w", n, errno.EINVAL)
			}
			section = strings.TrimSpace(name)
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("line %d: no = in %q: %w", n, line, errno.EINVAL)
		}
		if c[section] == nil {
			c[section] = map[string]string{}
		}
		c[section][optionName(key)] = unquote(strings.TrimSpace(value))
	}
	return c, scan.Err()
}

// stripComment cuts what follows a # or ; that is not escaped or in quotes.
func stripComment(s string) string {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#' || c == ';':
			return s[:i]
		}
	}
	return s
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// optionName is the one form of an option's name: "mon host" is mon_host.
func optionName(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return r == ' ' || r == '\t' || r == '_' || r == '-'
	}), "_")
}

// get finds an option for an entity: in its own section, that of its type, then
// global.
func (c conf) get(entity, option string) (string, bool) {
	kind, _, _ := strings.Cut(entity, ".")
	for _, section := range []string{entity, kind, "global"} {
		if v, ok := c[section][option]; ok {
			return v, true
		}
	}
	return "", false
}

// expand fills in $name, $type, $id and $cluster.
func expand(s, entity string) string {
	kind, id, _ := strings.Cut(entity, ".")
	return strings.NewReplacer("$cluster", "ceph", "$name", entity, "$type", kind, "$id", id, "${cluster}", "ceph", "${name}", entity, "${type}", kind, "${id}", id).Replace(s)
}
