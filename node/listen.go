package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Endpoint says where a cluster's daemons listen and how others reach them.
type Endpoint struct {
	Bind   netip.Addr
	Public netip.Addr
	Port   uint16 // of the monitor; 0: one the kernel gives
}

// ParseListen reads ADDR or ADDR:PORT, IPv6 in brackets. An address that means
// every interface (0.0.0.0, ::) is published as the one other hosts would reach
// this one at.
func ParseListen(s string) (Endpoint, error) {
	var e Endpoint
	if ap, err := netip.ParseAddrPort(s); err == nil {
		e.Bind, e.Port = ap.Addr(), ap.Port()
	} else if e.Bind, err = netip.ParseAddr(s); err != nil {
		return e, fmt.Errorf("%q: want ADDR or ADDR:PORT with an IP address", s)
	}
	e.Bind = e.Bind.Unmap()
	e.Public = e.Bind
	if e.Bind.IsUnspecified() {
		var err error
		if e.Public, err = reachable(e.Bind.Is4()); err != nil {
			return e, fmt.Errorf("%q: %w", s, err)
		}
	}
	return e, nil
}

// reachable picks the first global unicast address of an interface that is up.
func reachable(v4 bool) (netip.Addr, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, i := range ifs {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return netip.Addr{}, err
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr().Is4() == v4 && p.Addr().IsGlobalUnicast() {
				return p.Addr(), nil
			}
		}
	}
	// A host without a network: whoever connects is on it.
	if v4 {
		return netip.MustParseAddr("127.0.0.1"), nil
	}
	return netip.IPv6Loopback(), nil
}

// ErrPortTaken is a listening port that another process has.
var ErrPortTaken = errors.New("port is taken by another process")

// listen opens a TCP port; 0 is one the kernel gives.
func listen(bind netip.Addr, port uint16) (net.Listener, uint16, error) {
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind, port)))
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = ErrPortTaken
		} else if e := errors.Unwrap(errors.Unwrap(err)); e != nil {
			err = e
		}
		return nil, 0, fmt.Errorf("listen on %v: %w", netip.AddrPortFrom(bind, port), err)
	}
	return ln, ln.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}
