// Package numops is the class "numops": arithmetic on numbers that are the values
// of an omap, as text (cls_numops).
//
// The text is what C reads with strtod and writes with "%.10g". A key that is not
// there has the value 0.
//
// No compatibility promise.
package numops

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Class returns the class.
func Class() objclass.Class {
	const flags = objclass.Read | objclass.Write
	return objclass.Class{
		"add": {Flags: flags, Call: func(c objclass.Context, in []byte) ([]byte, error) {
			return nil, change(c, in, func(v, by float64) float64 { return v + by })
		}},
		"mul": {Flags: flags, Call: func(c objclass.Context, in []byte) ([]byte, error) {
			return nil, change(c, in, func(v, by float64) float64 { return v * by })
		}},
	}
}

func change(c objclass.Context, in []byte, f func(v, by float64) float64) error {
	var key, arg string
	if err := objclass.Parse(in, func(d *wire.Decoder) { key, arg = d.Str(), d.Str() }); err != nil {
		return err
	}
	by, ok := parse(arg)
	if !ok {
		return fmt.Errorf("%q is no number: %w", arg, errno.EINVAL)
	}
	var v float64
	if b, err := c.OmapValue(key); err == nil {
		if v, ok = parse(string(b)); !ok {
			return fmt.Errorf("%s has the value %q, which is no number: %w", key, b, errno.EBADMSG)
		}
	}
	return c.SetOmap([]objclass.Entry{{Key: key, Value: []byte(format(f(v, by)))}})
}

var (
	number  = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)
	hexa    = regexp.MustCompile(`^[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?\d+)?$`)
	special = regexp.MustCompile(`^[+-]?(?i:inf|infinity|nan(\([0-9A-Za-z_]*\))?)$`)
)

// parse reads a number as strtod does, which ends at a zero byte, begins after
// white space, and makes nothing of an empty text.
func parse(s string) (v float64, ok bool) {
	s, _, _ = strings.Cut(s, "\x00")
	if s == "" {
		return 0, true
	}
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	switch {
	case number.MatchString(s):
	case hexa.MatchString(s):
		if !strings.ContainsAny(s, "pP") {
			s += "p0"
		}
	case special.MatchString(s):
		if strings.ContainsAny(s, "aA") {
			return math.Copysign(math.NaN(), map[bool]float64{true: -1, false: 1}[s[0] == '-']), true
		}
	default:
		return 0, false
	}
	v, _ = strconv.ParseFloat(s, 64) // too large is infinite, as in C
	return v, true
}

func format(v float64) string {
	switch {
	case math.IsNaN(v) && math.Signbit(v):
		return "-nan"
	case math.IsNaN(v):
		return "nan"
	case math.IsInf(v, 1):
		return "inf"
	case math.IsInf(v, -1):
		return "-inf"
	}
	return strconv.FormatFloat(v, 'g', 10, 64)
}
