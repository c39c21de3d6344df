package osdmon

import (
	"fmt"
	"math"
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
		return 0, fmt.Sprintf("strict_strtod: expected double, got: '%s'", s)
	}
	return f, ""
}

const (
	unitPrefixes = "KMGTPE"
	numberChars  = "0123456789-+"
)

func hasUnit(s string) int {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(numberChars, r) })
}

// parseSI takes decimal units: 5K, 1M (strict_si_cast).
func parseSI(s string) (int64, string) {
	const who = "strict_sistrtoll"
	if s == "" {
		return 0, who + ": value not specified"
	}
	mult := uint64(1)
	if hasUnit(s) >= 0 {
		exp := strings.IndexByte(unitPrefixes, s[len(s)-1])
		if exp < 0 {
			return 0, "strict_si_cast: unit prefix not recognized"
		}
		for range exp + 1 {
			mult *= 1000
		}
		s = s[:len(s)-1]
	}
	return scaled(s, mult, who)
}

// parseIEC takes binary units: 5K, 5Ki, 1M, 10B (strict_iecstrtoll).
func parseIEC(s string) (int64, string) {
	const who = "strict_iecstrtoll"
	if s == "" {
		return 0, who + ": value not specified"
	}
	end := hasUnit(s)
	if end < 0 {
		return scaled(s, 1, who)
	}
	unit := s[end:]
	if len(unit) > 2 {
		return 0, who + ": illegal prefix (length > 2)"
	}
	exp := strings.IndexByte("B"+unitPrefixes, unit[0])
	switch {
	case unit == "Bi":
		return 0, who + ": illegal prefix \"Bi\""
	case exp < 0:
		return 0, who + ": unit prefix not recognized"
	}
	return scaled(s[:end], 1<<(10*exp), who)
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
	if hi != 0 || lo > math.MaxInt64 {
		return 0, who + ": value seems to be too large"
	}
	return int64(lo), ""
}
