package admin

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Args are the arguments of a command: string, bool, int64, float64, or []any
// of them.
type Args map[string]any

// maxCommand bounds the text of a command.
const maxCommand = 1 << 20

// Parse reads a command. The error has Ceph's words.
func Parse(text string) (Args, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var raw map[string]any
	if len(text) > maxCommand || dec.Decode(&raw) != nil || raw == nil {
		return nil, refusal("invalid json")
	}
	args := Args{}
	for name, v := range raw {
		v, ok := argument(v)
		if !ok {
			return nil, refusal("invalid json")
		}
		args[name] = v
	}
	for _, name := range []string{"prefix", "format"} {
		if _, ok := args[name].(string); args[name] != nil && !ok {
			return nil, refusal("invalid json, missing format and/or prefix")
		}
	}
	return args, nil
}

// argument turns a decoded JSON value into an argument.
func argument(v any) (any, bool) {
	switch v := v.(type) {
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
			a, ok := argument(el)
			if _, nested := a.([]any); !ok || nested {
				return nil, false
			}
			list[i] = a
		}
		return list, true
	}
	return nil, false
}

// Has reports whether an argument was given.
func (a Args) Has(name string) bool { return a[name] != nil }

// Str returns a string argument, "" if it is missing. A list is joined by blanks,
// a number becomes its digits.
func (a Args) Str(name string) string { return strings.Join(a.Strs(name), " ") }

// Strs returns a list of strings; anything else is a list of one.
func (a Args) Strs(name string) []string {
	list, ok := a[name].([]any)
	if !ok {
		if a[name] == nil {
			return nil
		}
		list = []any{a[name]}
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprint(v)
	}
	return out
}

// Int returns a number, def if it is missing.
func (a Args) Int(name string, def int64) int64 {
	switch v := a[name].(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	}
	return def
}
