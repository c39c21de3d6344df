package osdmon

import "testing"

// Values and words as a stock monitor has them.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		parse func(string) (int64, string)
		in    string
		want  int64
		words string
	}{
		{parseIEC, "1Ki", 1024, ""},
		{parseIEC, "1Kx", 1024, ""},
		{parseIEC, "5G", 5 << 30, ""},
		{parseIEC, "7B", 7, ""},
		{parseIEC, "7Bi", 0, "strict_iecstrtoll: illegal prefix \"Bi\""},
		{parseIEC, "x", 0, "strict_iecstrtoll: unit prefix not recognized"},
		{parseIEC, "", 0, "strict_iecstrtoll: value not specified"},
		{parseIEC, "-1", 0, "strict_iecstrtoll: value should not be negative"},
		{parseIEC, "1.5G", 0, "strict_iecstrtoll: illegal prefix (length > 2)"},
		{parseIEC, "99999999999999999999", 0, "The option value '99999999999999999999' seems to be invalid"},
		{parseIEC, "16E", 0, "strict_iecstrtoll: value seems to be too large"},
		{parseSI, "5K", 5000, ""},
		{parseSI, "12", 12, ""},
		{parseSI, "x", 0, "strict_si_cast: unit prefix not recognized"},
		{parseSI, "", 0, "strict_sistrtoll: value not specified"},
		{parseSI, "-1", 0, "strict_sistrtoll: value should not be negative"},
		{parseSI, "1.5G", 0, "Expected option value to be integer, got '1.5'"},
		{parseInt, "x", 0, "Expected option value to be integer, got 'x'"},
	} {
		if got, words := k.parse(k.in); got != k.want || words != k.words {
			t.Errorf("%q: %d %q, want %d %q", k.in, got, words, k.want, k.words)
		}
	}
	if _, words := parseFloat("x"); words != "strict_strtod: expected double, got: 'x'" {
		t.Errorf("%q", words)
	}
}
