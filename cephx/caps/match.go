package caps

import (
	"fmt"
	"regexp"
	"strings"
)

// constraint is what an argument of a command must be (StringConstraint).
type constraint struct {
	kind  matchKind
	value string
	re    *regexp.Regexp // nil: it does not compile and matches nothing
}

type matchKind uint8

const (
	matchEqual matchKind = iota
	matchPrefix
	matchRegex
)

func equal(v string) constraint  { return constraint{kind: matchEqual, value: v} }
func prefix(v string) constraint { return constraint{kind: matchPrefix, value: v} }

// regex is a POSIX extended expression that must match the whole.
func regex(v string) constraint {
	c := constraint{kind: matchRegex, value: v}
	if re, err := regexp.CompilePOSIX("^(" + v + ")$"); err == nil {
		c.re = re
	}
	return c
}

func (c constraint) match(v string) bool {
	switch c.kind {
	case matchPrefix:
		return strings.HasPrefix(v, c.value)
	case matchRegex:
		return c.re != nil && c.re.MatchString(v)
	}
	return v == c.value
}

// constraints are those of a command by argument; all must hold, and their
// arguments must be there.
type constraints map[string]constraint

func (cs constraints) match(args map[string]string) bool {
	for key, c := range cs {
		v, ok := args[key]
		if !ok || !c.match(v) {
			return false
		}
	}
	return true
}

// pairs is KEY=VALUE, KEY prefix VALUE or KEY regex VALUE, once or more. Of a
// key that comes twice the first counts. loose allows spaces around =.
func (sc *scanner) pairs(loose bool) (constraints, bool) {
	cs := constraints{}
	pair := func() bool {
		at := sc.pos
		var key string
		if !sc.str(&key) {
			return false
		}
		c, ok := sc.condition(loose)
		if !ok {
			return sc.back(at)
		}
		if _, dup := cs[key]; !dup {
			cs[key] = c
		}
		return true
	}
	ok := sc.list(func() bool { return sc.spaces(isSep) }, pair)
	return cs, ok
}

func (sc *scanner) condition(loose bool) (constraint, bool) {
	at := sc.pos
	var v string
	if loose {
		sc.spaces(isSep)
	}
	if sc.lit("=") {
		if loose {
			sc.spaces(isSep)
		}
		if sc.str(&v) {
			return equal(v), true
		}
	}
	sc.back(at)
	if sc.spaces(isSep) {
		kind := prefix
		if sc.lit("regex") {
			kind = regex
		} else if !sc.lit("prefix") {
			return constraint{}, sc.back(at)
		}
		if sc.spaces(isSep) && sc.str(&v) {
			return kind(v), true
		}
	}
	return constraint{}, sc.back(at)
}

// with is the optional clause of commands and modules.
func (sc *scanner) with(loose bool) constraints {
	at := sc.pos
	if sc.spaces(isSep) && sc.lit("with") && sc.spaces(isSep) {
		if cs, ok := sc.pairs(loose); ok {
			return cs
		}
	}
	sc.back(at)
	return nil
}

// Args are the arguments of a command as the monitor compares them with
// capabilities (Monitor::_generate_command_map): everything is text, and the
// list caps [service, text, ...] becomes caps_SERVICE for each service.
func Args(cmd map[string]any) map[string]string {
	args := make(map[string]string, len(cmd))
	for key, v := range cmd {
		if key == "prefix" {
			continue
		}
		if list, ok := v.([]any); ok && key == "caps" && len(list)%2 == 0 {
			for i := 0; i < len(list); i += 2 {
				args["caps_"+argText(list[i])] = argText(list[i+1])
			}
			continue
		}
		args[key] = argText(v)
	}
	return args
}

func argText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		s := make([]string, len(v))
		for i := range v {
			s[i] = argText(v[i])
		}
		return "[" + strings.Join(s, ",") + "]"
	}
	return fmt.Sprint(v)
}
