package caps

import (
	"net/netip"
	"strconv"
	"strings"
)

// network is the clause `network NET`. The zero value is no clause and holds
// every address.
type network struct {
	set    bool
	prefix netip.Prefix // not valid: the clause makes no sense and holds none
}

// parseNetwork reads ADDRESS/BITS. Too many bits are as many as there are, as
// in Ceph. Anything else parses as a clause but holds no address.
func parseNetwork(s string) network {
	addr, bits, ok := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	n, err2 := strconv.Atoi(bits)
	if !ok || err != nil || err2 != nil || n < 0 {
		return network{set: true}
	}
	return network{set: true, prefix: netip.PrefixFrom(a, min(n, a.BitLen())).Masked()}
}

func (n network) contains(addr netip.Addr) bool {
	return !n.set || n.prefix.IsValid() && addr.IsValid() && n.prefix.Contains(addr.Unmap().WithZone(""))
}
