package cephx

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

const someKey = "AQAVOABruMPZMhAAS71dL0ifsonzpVwH1uu5YQ=="

func TestKeyText(t *testing.T) {
	t.Parallel()
	k, err := ParseKey(someKey)
	must(t, err)
	if k.Base64() != someKey || k.Created.Unix() != 1795176469 || len(k.Secret()) != KeySize || k.IsZero() {
		t.Errorf("key of %v: %s", k.Created, k.Base64())
	}
	for _, bad := range []string{"", "zzz", "AAAA", someKey[:36], someKey + "AAAA", "AAAVOABruMPZMgAA", "AgAVOABruMPZMhAAS71dL0ifsonzpVwH1uu5YQ=="} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		} else if len(bad) > 16 && strings.Contains(err.Error(), bad[16:24]) {
			t.Errorf("%v repeats the secret", err)
		}
	}
	var zero Key
	must(t, wire.Unmarshal(wire.Marshal(Key{Created: time.Unix(5, 0)}), &zero))
	if !zero.IsZero() || zero.Secret() != nil || zero.Equal(k) || !k.Equal(KeyOf(time.Time{}, [16]byte(k.Secret()))) {
		t.Error("no key is a key")
	}
}

func TestKeyringOfStockCluster(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/keyring.txt")
	must(t, err)
	ring, err := ParseKeyring(text)
	must(t, err)
	if len(ring) != 8 {
		t.Errorf("%d accounts", len(ring))
	}
	admin := ring[name(t, "client.admin")]
	if admin.Key.Base64() != someKey || len(admin.Caps) != 4 || admin.Caps["osd"] != "allow *" {
		t.Errorf("client.admin: %v", admin)
	}
	// What we write is what the stock monitor writes.
	for _, n := range ring.Names() {
		if part := (Keyring{n: ring[n]}).Text(); !strings.Contains(string(text), part) {
			t.Errorf("not in the stock file:\n%s", part)
		}
	}
	if got := ring.Names()[0].String() + ring.Names()[7].String(); got != "mon.mgr.x" {
		t.Errorf("order: %v", ring.Names())
	}
}

// The outcome of each was compared with that of a stock ceph-authtool -l.
func TestParseKeyring(t *testing.T) {
	t.Parallel()
	const key = "key = " + someKey + "\n"
	for _, tt := range []struct{ text, want string }{
		{"", ""},
		{"# nothing\n; here\n\n", ""},
		{"[client.a]\n", ""},
		{"[client.a]\n" + key + "caps mon = \"allow r\"\n", "allow r"},
		{"[client.a]\r\n" + strings.TrimSuffix(key, "\n") + "\r\ncaps mon = \"allow r\"\r\n", "allow r"},
		{"[client.a] # x\n\t" + key + "  caps_mon = allow r ; y\n", "allow r"},
		{"[client.a]\n" + key + "caps mon = \"allow command \\\"x y\\\"\"", `allow command "x y"`},
		{"[client.a]\n" + key + "caps mon = 'allow command \"x y\"' # z\n", `allow command "x y"`},
		{"[client.a]\n" + key + "caps mon = allow \\\n r\n", "allow  r"},
		{"[client.a]\n" + key + "[client.a]\ncaps mon = allow r\n", "allow r"},
		{"[client.a]\n" + key + "caps mon =\n", ""},
		{"[global]\nfoo = 1\n[client.a]\n" + key + "auid = 5\ncaps mon = \"allow r;allow w\"\n", "allow r;allow w"},
		{"[client.a]\nkey = \"" + someKey + "\"\ncaps mon = x", "x"},
	} {
		ring, err := ParseKeyring([]byte(tt.text))
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		n := ring[name(t, "client.a")]
		if strings.Contains(tt.text, "key =") != (n.Key.Base64() == someKey) || n.Caps["mon"] != tt.want {
			t.Errorf("%q: %q", tt.text, ring.Text())
		}
		again, err := ParseKeyring([]byte(ring.Text()))
		if err != nil || again.Text() != ring.Text() {
			t.Errorf("%q: written and read again: %v, %q", tt.text, err, again.Text())
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"\n[clienta]\n", "line 2: bad entity name"},
		{"[bogus.a]\n", "line 1: bad entity name"},
		{"[ client.a", "line 1: bad section"},
		{"[client.a] x\n", "line 1: bad section"},
		{"[client.a]\nkey = zzz\n", "line 2: bad key"},
		{"[client.a]\nkey =\n", "line 2: bad key"},
		{"[client.a]\n\nkey " + someKey[:8] + "\n", "line 3: want NAME = VALUE"},
		{"[client.a]\n" + key + "bogus = 1\n", "line 3: unknown setting"},
		{"[client.a]\n" + key + "caps = 1\n", "line 3: unknown setting"},
		{"[client.a]\n" + key + "caps mon = \"allow r\n", "line 3: quote is not closed"},
		{"[client.a]\n" + key + "caps mon = \"allow r\" x\n", "line 3: text after"},
		{"[client.a]\ncaps mon = a \\\n b\nbogus = 1", "line 4: unknown setting"},
		{key, "line 1: setting before"},
	} {
		if _, err := ParseKeyring([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}
