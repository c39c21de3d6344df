package entity

import (
	"encoding/hex"
	"testing"

	"github.com/pulpo-storage/pulpo/wire"
)

func TestAddrForms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, legacy string }{
		{"v2:127.0.0.1:6800/42", "v2:127.0.0.1:6800/42", "127.0.0.1:6800/42"},
		{"127.0.0.1:6800", "v2:127.0.0.1:6800/0", "127.0.0.1:6800/0"},
		{"v1:[::1]:6789/7", "v1:[::1]:6789/7", "[::1]:6789/7"},
		{"any:10.0.0.1:0/5", "any:10.0.0.1:0/5", "10.0.0.1:0/5"},
		{"10.0.0.1", "v2:10.0.0.1:0/0", "10.0.0.1:0/0"},
	} {
		a, err := ParseAddr(c.in, AddrMsgr2)
		if err != nil || a.String() != c.want || a.Legacy() != c.legacy {
			t.Errorf("%s: %v, %s, %v", c.in, a, a.Legacy(), err)
		}
		var back Addr
		if err := wire.Unmarshal(wire.Marshal(a), &back); err != nil || back != a {
			t.Errorf("%v came back as %v, %v", a, back, err)
		}
	}
	for _, bad := range []string{"", "host:1", "1.2.3.4:x", "1.2.3.4:1/x", "v3:1.2.3.4:1"} {
		if a, err := ParseAddr(bad, AddrMsgr2); err == nil {
			t.Errorf("%q parsed as %v", bad, a)
		}
	}
}

func TestAddrVec(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"[v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]", "v2:127.0.0.1:3300/0", "v2:[::1]:3300/0"} {
		v, err := ParseAddrVec(s)
		if err != nil || v.String() != s {
			t.Errorf("%s: %v, %v", s, v, err)
		}
		var back AddrVec
		if err := wire.Unmarshal(wire.Marshal(v), &back); err != nil || !back.Equal(v) {
			t.Errorf("%v came back as %v, %v", v, back, err)
		}
	}
	// A single address where a list is expected.
	a, _ := ParseAddr("v2:1.2.3.4:5/6", AddrMsgr2)
	var v AddrVec
	if err := wire.Unmarshal(wire.Marshal(a), &v); err != nil || len(v) != 1 || v[0] != a {
		t.Errorf("%v, %v", v, err)
	}
}

// The layout by hand, from doc/protocol: an IPv4 address of type "any".
func TestGoldenAddr(t *testing.T) {
	t.Parallel()
	raw, _ := hex.DecodeString("01" + "0101" + "1c000000" + "03000000" + "efbeadde" + "10000000" + "0200" + "1a0a" + "7f000001" + "0000000000000000")
	var a Addr
	if err := wire.Unmarshal(raw, &a); err != nil || a.String() != "any:127.0.0.1:6666/3735928559" {
		t.Errorf("%v, %v", a, err)
	}
	if got := wire.Marshal(a); string(got) != string(raw) {
		t.Errorf("encoded %x, want %x", got, raw)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"client.admin", "osd.3", "mon.", "mds.a.b"} {
		n, err := ParseAuthName(s)
		if err != nil || n.String() != s {
			t.Errorf("%s: %v, %v", s, n, err)
		}
	}
	for _, bad := range []string{"", "admin", "foo.bar"} {
		if n, err := ParseAuthName(bad); err == nil {
			t.Errorf("%q parsed as %v", bad, n)
		}
	}
	if (Name{OSD, 3}).String() != "osd.3" || (Name{Client, -1}).String() != "client.?" {
		t.Error("names print wrongly")
	}
}

func FuzzDecode(f *testing.F) {
	a, _ := ParseAddrVec("[v2:127.0.0.1:3300,v1:[::1]:6789/3]")
	f.Add(wire.Marshal(a))
	f.Add(wire.Marshal(Name{OSD, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v AddrVec
		if wire.Unmarshal(b, &v) == nil {
			var again AddrVec
			if err := wire.Unmarshal(wire.Marshal(v), &again); err != nil || len(again) != len(v) {
				t.Fatalf("%v became %v, %v", v, again, err)
			}
		}
		var n Name
		wire.Unmarshal(b, &n)
		var an AuthName
		wire.Unmarshal(b, &an)
	})
}
