package python

import (
	"encoding/json"
	"testing"
)

// The expected texts are what Python 3 prints.
func TestFloat(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]float64{
		"0.0": 0, "1.0": 1, "0.1": 0.1, "8.847564458847045e-10": 19.0 / 21474836480, "0.0001": 1e-4, "1e-05": 1e-5,
		"1234567.5": 1234567.5, "1e+16": 1e16, "1000000000000000.0": 1e15, "-2.5": -2.5,
	} {
		if got := Float(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n     int64
		width int
		want  string
	}{
		{0, 5, "   0 "}, {303972352, 5, " 289M"}, {21170864128, 5, "19.7G"}, {21474836480, 6, "20480M"}, {19, 6, "   19 "},
		{9999, 5, "9999 "}, {10000, 5, "9.76k"}, {1 << 62, 5, "4096P"},
	} {
		if got := Bytes(tc.n, tc.width); got != tc.want {
			t.Errorf("bytes %d: %q, want %q", tc.n, got, tc.want)
		}
	}
	for n, want := range map[int64]string{9999: "9999 ", 12345: "12.3k", 1500000: "1500k"} {
		if got := Count(n, 5); got != want {
			t.Errorf("count %d: %q, want %q", n, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := Table{Align: "rlc"}
	table.Row("ID", "HOST", "NEW")
	if got := table.String(); got != "" {
		t.Errorf("without rows: %q", got)
	}
	table.Row("7", "vm", "*")
	table.Row("10", "a host", "yes!!")
	table.Row("11", "", "ab")
	const want = "ID  HOST     NEW   \n" +
		" 7  vm        *    \n" +
		"10  a host  yes!!  \n" +
		"11            ab   "
	if got := table.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	v := map[string]any{
		"b": []any{1, int64(-2), uint64(3), 4.0, json.Number("5e3")}, "a": []string{"é\n", "😀"}, "c": map[string]any{}, "d": []any{},
		"e": nil, "f": true,
	}
	const line = `{"a": ["\u00e9\n", "\ud83d\ude00"], "b": [1, -2, 3, 4.0, 5e3], "c": {}, "d": [], "e": null, "f": true}`
	if got := Compact(v); got != line {
		t.Errorf("got  %s\nwant %s", got, line)
	}
	const lines = "{\n    \"a\": [\n        1\n    ],\n    \"b\": {\n        \"c\": false\n    }\n}"
	if got := Indented(map[string]any{"a": []any{1}, "b": map[string]any{"c": false}}); got != lines {
		t.Errorf("got  %s\nwant %s", got, lines)
	}
}
