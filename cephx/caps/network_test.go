package caps

import (
	"net/netip"
	"testing"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	tests := []struct {
		net, addr string
		want      bool
	}{
		{"1.2.3.0/24", "1.2.3.4", true},
		{"1.2.3.0/24", "1.2.4.4", false},
		{"1.2.3.99/24", "1.2.3.4", true}, // bits of the host do not matter
		{"1.2.3.4/32", "1.2.3.4", true},
		{"1.2.3.4/33", "1.2.3.4", true}, // as many as there are
		{"1.2.3.4/33", "1.2.3.5", false},
		{"0.0.0.0/0", "9.9.9.9", true},
		{"0.0.0.0/0", "::1", false},
		{"0.0.0.0/0", "::ffff:9.9.9.9", true},
		{"::/0", "9.9.9.9", false},
		{"fe80::/10", "fe80::1", true},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fe80::/10", "2001::1", false},
		{"::1/200", "::1", true},
		{"1.2.3.4", "1.2.3.4", false}, // no length: matches nothing
		{"1.2.3.4/", "1.2.3.4", false},
		{"[::1]/64", "::1", false},
		{"1.2.3/24", "1.2.3.4", false},
		{"1.2.3.4/99999999999999999999", "1.2.3.4", false},
	}
	for _, tt := range tests {
		if got := parseNetwork(tt.net).contains(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s contains %s: %v, want %v", tt.net, tt.addr, got, tt.want)
		}
	}
	if parseNetwork("0.0.0.0/0").contains(netip.Addr{}) {
		t.Error("a peer of unknown address is in a network")
	}
	if !(network{}).contains(netip.Addr{}) {
		t.Error("without a clause an unknown address is refused")
	}
}
