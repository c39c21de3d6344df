package entity

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/wire"
)

// AddrType says which protocol is spoken at an address.
type AddrType uint32

const (
	AddrNone   AddrType = 0
	AddrLegacy AddrType = 1 // msgr1
	AddrMsgr2  AddrType = 2
	AddrAny    AddrType = 3 // a client, which listens nowhere
)

func (t AddrType) prefix() string {
	switch t {
	case AddrLegacy:
		return "v1:"
	case AddrMsgr2:
		return "v2:"
	case AddrAny:
		return "any:"
	}
	return ""
}

// Socket families on the wire, whatever the system's own numbers are.
const (
	familyINET  = 2
	familyINET6 = 10
)

// Addr is an address with the nonce that tells two processes apart which had
// the same one (entity_addr_t). It is comparable.
type Addr struct {
	Type  AddrType
	Nonce uint32
	AP    netip.AddrPort // not valid: a blank address
}

// Blank reports whether the address names no host.
func (a Addr) Blank() bool { return !a.AP.IsValid() }

// String is Ceph's form with type: v2:127.0.0.1:6800/42; "-" for a blank one.
func (a Addr) String() string {
	if a.Type == AddrNone && a.Blank() {
		return "-"
	}
	return a.Type.prefix() + a.Legacy()
}

// Legacy is the form without the type: 127.0.0.1:0/42, as in blocklists.
func (a Addr) Legacy() string { return a.Socket() + "/" + strconv.FormatUint(uint64(a.Nonce), 10) }

// Socket is host and port alone; of a blank address, what Ceph prints there.
func (a Addr) Socket() string {
	if a.Blank() {
		return "(unrecognized address family 0)"
	}
	return a.AP.String()
}

// Compare orders addresses as Ceph does, which compares their memory on a
// little-endian machine: type, nonce with its lowest byte first, family, port,
// host. Sets of addresses travel in this order.
func (a Addr) Compare(b Addr) int {
	return cmp.Or(
		cmp.Compare(bits.ReverseBytes32(uint32(a.Type)), bits.ReverseBytes32(uint32(b.Type))),
		cmp.Compare(bits.ReverseBytes32(a.Nonce), bits.ReverseBytes32(b.Nonce)),
		cmp.Compare(a.family(), b.family()),
		cmp.Compare(a.AP.Port(), b.AP.Port()),
		a.AP.Addr().Compare(b.AP.Addr()),
	)
}

func (a Addr) family() int {
	switch {
	case a.Blank():
		return 0
	case a.AP.Addr().Is4() || a.AP.Addr().Is4In6():
		return familyINET
	}
	return familyINET6
}

// ParseAddr parses [TYPE:]HOST[:PORT][/NONCE], with HOST an IP address, IPv6 in
// brackets, and TYPE v1, v2 or any. Without a type it is the given default.
func ParseAddr(s string, def AddrType) (Addr, error) {
	a := Addr{Type: def}
	rest := s
	for _, t := range []AddrType{AddrLegacy, AddrMsgr2, AddrAny} {
		if r, ok := strings.CutPrefix(rest, t.prefix()); ok {
			a.Type, rest = t, r
			break
		}
	}
	if host, nonce, ok := strings.Cut(rest, "/"); ok {
		n, err := strconv.ParseUint(nonce, 10, 32)
		if err != nil {
			return Addr{}, fmt.Errorf("bad address %q: bad nonce %q", s, nonce)
		}
		a.Nonce, rest = uint32(n), host
	}
	if ap, err := netip.ParseAddrPort(rest); err == nil {
		a.AP = ap
		return a, nil
	}
	ip, err := netip.ParseAddr(strings.Trim(rest, "[]"))
	if err != nil {
		return Addr{}, fmt.Errorf("bad address %q: %q is not an IP address", s, rest)
	}
	a.AP = netip.AddrPortFrom(ip, 0)
	return a, nil
}

// Encode writes the form of peers with MSG_ADDR2.
func (a Addr) Encode(e *wire.Encoder) {
	e.U8(1)
	m := e.Begin(1, 1)
	e.U32(uint32(a.Type))
	e.U32(a.Nonce)
	switch ip := a.AP.Addr(); {
	case ip.Is4() || ip.Is4In6():
		b := ip.Unmap().As4()
		e.U32(16)
		e.U16(familyINET)
		e.Raw(binary.BigEndian.AppendUint16(nil, a.AP.Port()))
		e.Raw(b[:])
		e.U64(0)
	case ip.Is6():
		b := ip.As16()
		e.U32(28)
		e.U16(familyINET6)
		e.Raw(binary.BigEndian.AppendUint16(nil, a.AP.Port()))
		e.U32(0)
		e.Raw(b[:])
		e.U32(0)
	default:
		e.U32(0)
	}
	e.End(m)
}

// Decode reads the form with MSG_ADDR2 (marker 1) and the legacy one (0).
func (a *Addr) Decode(d *wire.Decoder) {
	a.decodeAfter(d, d.U8())
}

func (a *Addr) decodeAfter(d *wire.Decoder, marker uint8) {
	*a = Addr{}
	switch marker {
	case 0:
		d.Skip(3)
		a.Nonce = d.U32()
		ss := d.Raw(128)
		if d.Err() != nil {
			return
		}
		a.Type = AddrLegacy
		a.AP = sockaddr(d, binary.BigEndian.Uint16(ss), ss[2:])
		if a.Blank() {
			a.Type = AddrNone
		}
	case 1:
		env := d.Begin("entity_addr_t", 1)
		a.Type = AddrType(d.U32())
		a.Nonce = d.U32()
		ss := d.Blob()
		if len(ss) >= 2 {
			a.AP = sockaddr(d, binary.LittleEndian.Uint16(ss), ss[2:])
		}
		d.End(env)
	default:
		d.Failf("address marker %d", marker)
	}
}

func sockaddr(d *wire.Decoder, family uint16, b []byte) netip.AddrPort {
	switch {
	case family == 0:
	case family == familyINET && len(b) >= 6:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[2:6])), binary.BigEndian.Uint16(b))
	case family == familyINET6 && len(b) >= 22:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[6:22])), binary.BigEndian.Uint16(b))
	default:
		d.Failf("socket address of family %d with %d bytes", family, len(b))
	}
	return netip.AddrPort{}
}

// AddrVec is the list of addresses of one party (entity_addrvec_t).
type AddrVec []Addr

// String is [v2:A,v1:B], or the plain address if there is one.
func (v AddrVec) String() string {
	switch len(v) {
	case 0:
		return "-"
	case 1:
		return v[0].String()
	}
	s := make([]string, len(v))
	for i, a := range v {
		s[i] = a.String()
	}
	return "[" + strings.Join(s, ",") + "]"
}

// Msgr2 returns the address where msgr2 is spoken.
func (v AddrVec) Msgr2() (Addr, bool) { return v.OfType(AddrMsgr2) }

// OfType returns the first address of a type.
func (v AddrVec) OfType(t AddrType) (Addr, bool) {
	i := slices.IndexFunc(v, func(a Addr) bool { return a.Type == t })
	if i < 0 {
		return Addr{}, false
	}
	return v[i], true
}

// LegacyString is the msgr1 address, else the first, without its type: the one
// address that old fields of dumps have room for.
func (v AddrVec) LegacyString() string {
	a, ok := v.OfType(AddrLegacy)
	if !ok && len(v) > 0 {
		a = v[0]
	}
	return a.Legacy()
}

// Equal reports whether the lists are equal.
func (v AddrVec) Equal(w AddrVec) bool { return slices.Equal(v, w) }

// ParseAddrVec parses ADDR or [ADDR,ADDR...]. Without a type an address is
// msgr2.
func ParseAddrVec(s string) (AddrVec, error) {
	inner, ok := strings.CutPrefix(s, "[")
	if !ok || !strings.HasSuffix(inner, "]") || (strings.Count(s, "[") == 1 && strings.Count(s, ":") > 4 && !strings.Contains(s, "v")) {
		a, err := ParseAddr(s, AddrMsgr2)
		if err != nil {
			return nil, err
		}
		return AddrVec{a}, nil
	}
	var v AddrVec
	for p := range strings.SplitSeq(strings.TrimSuffix(inner, "]"), ",") {
		a, err := ParseAddr(p, AddrMsgr2)
		if err != nil {
			return nil, err
		}
		v = append(v, a)
	}
	return v, nil
}

func (v AddrVec) Encode(e *wire.Encoder) {
	e.U8(2)
	e.U32(uint32(len(v)))
	for _, a := range v {
		a.Encode(e)
	}
}

// Decode also accepts a single address in place of a list.
func (v *AddrVec) Decode(d *wire.Decoder) {
	*v = nil
	marker := d.U8()
	if marker != 2 {
		var a Addr
		a.decodeAfter(d, marker)
		if d.Err() == nil {
			*v = AddrVec{a}
		}
		return
	}
	*v = wire.DecodeSlice(d, 7, func() (a Addr) { a.Decode(d); return a })
}
