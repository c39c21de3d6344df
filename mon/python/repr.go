package python

import (
	"fmt"
	"strings"
)

// Dict is a dictionary in the order in which it was filled, for Repr.
type Dict []Item

// Item is one of its entries.
type Item struct{ Key, Value any }

// Repr renders a Dict, string, int, int64, float64 or []string as print does.
func Repr(v any) string {
	switch v := v.(type) {
	case Dict:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = Repr(item.Key) + ": " + Repr(item.Value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []string:
		parts := make([]string, len(v))
		for i, s := range v {
			parts[i] = Repr(s)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		q := `'`
		if strings.Contains(v, `'`) && !strings.Contains(v, `"`) {
			q = `"`
		}
		return q + strings.NewReplacer(`\`, `\\`, q, `\`+q, "\n", `\n`, "\t", `\t`).Replace(v) + q
	case float64:
		return Float(v)
	}
	return fmt.Sprint(v)
}
