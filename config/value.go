package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
)

// Error says what is wrong with a value, in Ceph's words.
type Error struct {
	Words string
	No    errno.Errno
}

func (e *Error) Error() string { return e.Words }

// Unwrap gives the number.
func (e *Error) Unwrap() error { return e.No }

func bad(format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...), errno.EINVAL}
}

// Parse checks a value and brings it into its normal form.
func (o *Option) Parse(v string) (string, error) {
	switch o.Type {
	case Bool:
		return parseBool(v)
	case Int, Uint, Size:
		return o.parseInt(v)
	case Float:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil || math.IsNaN(f) {
			return "", bad("strict_strtod: expected double, got: '%s'", v)
		}
		if err := o.bounds(f, func(f float64) string { return strconv.FormatFloat(f, 'f', 6, 64) }); err != nil {
			return "", err
		}
		return strconv.FormatFloat(f, 'f', 6, 64), nil
	case Secs, Millisecs:
		n, err := parseSpan(v)
		if err != nil {
			return "", err
		}
		return strconv.FormatInt(n, 10), nil
	case Addr:
		if v == "" || v == "-" {
			return "-", nil
		}
		a, err := entity.ParseAddr(v, entity.AddrMsgr2)
		if err != nil {
			return "", bad("")
		}
		return a.String(), nil
	case AddrVec:
		if v == "" || v == "-" || v == "[]" {
			return v, nil
		}
		a, err := entity.ParseAddrVec(v)
		if err != nil {
			return "", bad("")
		}
		return a.String(), nil
	case UUID:
		u, err := entity.ParseUUID(v)
		if err != nil {
			return "", bad("")
		}
		return u.String(), nil
	}
	if o.isLevel() {
		return parseLevels(v)
	}
	if len(o.Enum) > 0 {
		for _, e := range o.Enum {
			if e == v {
				return v, nil
			}
		}
		return "", bad("'%s' is not one of the permitted values: %s", v, strings.Join(o.Enum, ", "))
	}
	return v, nil
}

func parseBool(v string) (string, error) {
	switch strings.ToLower(v) {
	case "true":
		return "true", nil
	case "false":
		return "false", nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return "", bad("Expected option value to be integer, got '%s'", v)
	}
	return strconv.FormatBool(n != 0), nil
}

// parseInt reads a number with a unit prefix: decimal for numbers, binary for
// sizes.
func (o *Option) parseInt(v string) (string, error) {
	fn, base := "strict_si_cast", int64(1000)
	if o.Type == Size {
		fn, base = "strict_iecstrtoll", 1024
	}
	if v == "" {
		return "", bad("strict_sistrtoll: value not specified")
	}
	digits, unit := v, ""
	if i := strings.IndexFunc(v, func(r rune) bool { return (r < '0' || r > '9') && r != '-' && r != '+' }); i >= 0 {
		digits, unit = v[:i], v[i:]
	}
	shift := 0
	switch strings.TrimSuffix(unit, "i") {
	case "":
	case "B":
	case "K", "k":
		shift = 1
	case "M":
		shift = 2
	case "G":
		shift = 3
	case "T":
		shift = 4
	case "P":
		shift = 5
	case "E":
		shift = 6
	default:
		return "", bad("%s: unit prefix not recognized", fn)
	}
	if strings.HasSuffix(unit, "i") && o.Type != Size {
		return "", bad("%s: unit prefix not recognized", fn)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return "", bad("strict_strtoll: expected integer, got: '%s'", digits)
	}
	if n < 0 && o.Type != Int {
		return "", bad("%s: value should not be negative", map[bool]string{true: "strict_iecstrtoll", false: "strict_sistrtoll"}[o.Type == Size])
	}
	for range shift {
		if n > math.MaxInt64/base || n < math.MinInt64/base {
			return "", bad("%s: value seems to be too large", fn)
		}
		n *= base
	}
	if err := o.bounds(float64(n), func(f float64) string { return strconv.FormatInt(int64(f), 10) }); err != nil {
		return "", err
	}
	return strconv.FormatInt(n, 10), nil
}

func (o *Option) bounds(v float64, text func(float64) string) error {
	if lo, err := strconv.ParseFloat(o.Min, 64); err == nil && v < lo {
		return bad("Value '%s' is below minimum %s", text(v), text(lo))
	}
	if hi, err := strconv.ParseFloat(o.Max, 64); err == nil && v > hi {
		return bad("Value '%s' exceeds maximum %s", text(v), text(hi))
	}
	return nil
}

var spans = map[string]int64{
	"": 1, "s": 1, "sec": 1, "second": 1, "seconds": 1,
	"m": 60, "min": 60, "minute": 60, "minutes": 60,
	"h": 3600, "hr": 3600, "hour": 3600, "hours": 3600,
	"d": 86400, "day": 86400, "days": 86400,
	"w": 604800, "wk": 604800, "week": 604800, "weeks": 604800,
	"mo": 2592000, "month": 2592000, "months": 2592000,
	"y": 31536000, "yr": 31536000, "year": 31536000, "years": 31536000,
}

// ParseSpan reads a span of time such as 90, 1d or "2h 30m", in seconds.
func ParseSpan(v string) (int64, error) { return parseSpan(v) }

func parseSpan(v string) (int64, error) {
	rest := strings.TrimSpace(v)
	if rest == "" {
		return 0, bad("value not specified")
	}
	var total int64
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i < 0 {
			i = len(rest)
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		if err != nil {
			return 0, bad("expected digit")
		}
		rest = strings.TrimLeft(rest[i:], " ")
		j := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		if j < 0 {
			j = len(rest)
		}
		unit := strings.TrimSpace(rest[:j])
		mult, ok := spans[unit]
		if !ok {
			return 0, bad("unrecogized unit '%s'", unit)
		}
		if n > math.MaxInt64/mult/2 || total > math.MaxInt64/2 {
			return 0, bad("value '%s' is too large", v)
		}
		total += n * mult
		rest = rest[j:]
	}
	return total, nil
}

// levelPair reports whether a default is that of a debug level: N/M.
func levelPair(v string) bool {
	a, b, ok := strings.Cut(v, "/")
	_, e1 := strconv.Atoi(a)
	_, e2 := strconv.Atoi(b)
	return ok && e1 == nil && e2 == nil
}

// parseLevels reads a debug level: N logs up to N, N/M also gathers up to M.
func parseLevels(v string) (string, error) {
	parts := strings.SplitN(v, "/", 3)
	n, err := strconv.Atoi(parts[0])
	m := n
	if err == nil && len(parts) > 1 {
		m, err = strconv.Atoi(parts[1])
	}
	if err != nil {
		return "", bad("value must take the form N or N/M, where N and M are integers")
	}
	if n < 0 || n > 99 || m < 0 || m > 99 {
		return "", &Error{"value must be in range [0, 99]", errno.ERANGE}
	}
	return fmt.Sprintf("%d/%d", n, m), nil
}
