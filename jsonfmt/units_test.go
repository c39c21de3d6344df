package jsonfmt

import "testing"

// The values are from outputs of the stock tools.
func TestUnits(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]uint64{
		"0 B": 0, "3 B": 3, "5.2 KiB": 5354, "12 KiB": 12288, "977 KiB": 1000000, "1003 KiB": 1027429, "204 KiB": 208896,
		"890 MiB": 933068800, "60 GiB": 64424509440, "59 GiB": 63491440640, "16 EiB": 1<<64 - 1, "2.2 MiB": 2289664,
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for want, n := range map[string]uint64{"0": 0, "1k": 1000, "999": 999, "24.68k": 24680, "1.23M": 1234567, "18.45E": 1<<64 - 1} {
		if got := SI(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for want, v := range map[string]float64{"0.9": 0.9, "1": 1, "0.699997": 0.6999969482421875, "60": 60, "1e-05": 1e-5} {
		if got := Short(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
