package osdmon

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Numbers as commands take them, with Ceph's words for those that are none;
// "" for none.

// parseInt is strict_strtoll.
func parseInt(s string) (int64, string) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil:
		return n, ""
	case strings.Contains(err.Error(), "range"):
		return 0, fmt.Sprintf("The option value '%s' seems to be invalid", s)
	}
	return 0, fmt.Sprintf("Expected option value to be integer, got '%s'", s)
}

// parseFloat is strict_strtod.
func parseFloat(s string) (float64, string) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f {
		return 0, fmt.Sprintf("Expected option value to be float, got '%s'", s)
	}
	return f, ""
}

// parseSI takes decimal units: 5k, 1M (strict_si_cast).
func parseSI(s string) (int64, string) {
	if s == "" {
		return 0, "strict_sistrtoll: value not specified"
	}
	digits, exp := s, 0
	switch last := s[len(s)-1]; last {
	case 'K', 'k':
		exp = 1
	case 'M':
		exp = 2
	case 'G':
		exp = 3
	case 'T':
		exp = 4
	case 'P':
		exp = 5
	case 'E':
		exp = 6
	case 'B':
		digits = s[:len(s)-1]
	}
	if exp > 0 {
		digits = s[:len(s)-1]
	}
	mult := uint64(1)
	for range exp {
		mult *= 1000
	}
	return scaled(digits, mult, "strict_si_cast")
}

// parseIEC takes binary units: 5K, 5Ki, 5KB, 1M (strict_iec_cast).
func parseIEC(s string) (int64, string) {
	if s == "" {
		return 0, "strict_iecstrtoll: value not specified"
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r != '-' && r != '+' && (r < '0' || r > '9') })
	if end < 0 {
		return scaled(s, 1, "strict_iec_cast")
	}
	unit := s[end:]
	if len(unit) > 2 || len(unit) == 2 && unit[1] != 'i' && unit[1] != 'B' {
		return 0, "strict_iecstrtoll: illegal prefix (length > 2)"
	}
	shift := 0
	switch unit[0] {
	case 'K', 'k':
		shift = 10
	case 'M':
		shift = 20
	case 'G':
		shift = 30
	case 'T':
		shift = 40
	case 'P':
		shift = 50
	case 'E':
		shift = 60
	case 'B':
		if len(unit) > 1 {
			return 0, "strict_iecstrtoll: illegal prefix"
		}
	default:
		return 0, "strict_iecstrtoll: unit prefix not recognized"
	}
	return scaled(s[:end], 1<<shift, "strict_iec_cast")
}

func scaled(digits string, mult uint64, who string) (int64, string) {
	n, why := parseInt(digits)
	if why != "" {
		return 0, why
	}
	if n < 0 {
		return 0, who + ": value should not be negative"
	}
	hi, lo := bits.Mul64(uint64(n), mult)
	if hi != 0 || lo > 1<<63-1 {
		return 0, who + ": value seems to be too large"
	}
	return int64(lo), ""
}
