package caps

import (
	"net/netip"
	"reflect"
	"testing"
)

func mustMon(t *testing.T, text, name string) *Mon {
	t.Helper()
	m, err := ParseMon(text, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMonGrantsAddUp(t *testing.T) {
	t.Parallel()
	m := mustMon(t, "allow service osd r, allow service osd w", "")
	if !m.Allows("osd", "", nil, Read|Write, loopback) {
		t.Error("reading by one grant and writing by another do not add up")
	}
	if m.Allows("osd", "", nil, Exec, loopback) || m.Allows("mon", "", nil, Read, loopback) {
		t.Error("more allowed than granted")
	}
}

func TestMonDaemonPrivateKeys(t *testing.T) {
	t.Parallel()
	m := mustMon(t, "allow profile osd", "osd.3")
	for key, want := range map[string]bool{
		"daemon-private/osd.3/x": true, "daemon-private/osd.33/x": false, "daemon-private/osd.3": false, "x": false,
	} {
		for _, verb := range []string{"get", "put", "set", "exists", "delete"} {
			if got := m.Allows("config-key", "config-key "+verb, map[string]string{"key": key}, Write, loopback); got != want {
				t.Errorf("config-key %s %s: %v, want %v", verb, key, got, want)
			}
		}
	}
	if m.Allows("config-key", "config-key get", nil, Read, loopback) {
		t.Error("allowed without the argument that is constrained")
	}
}

func TestMonAllowAll(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"allow *": true, "allow r, allow all": true, "allow rwx": false, "allow * network 127.0.0.0/8": false,
		"allow * fsname=a": false, "allow service mon *": false, "profile mgr": false,
	} {
		if got := mustMon(t, text, "").AllowAll(); got != want {
			t.Errorf("%q: AllowAll %v, want %v", text, got, want)
		}
	}
}

func TestMonFileSystems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		caps, fs string
		need     Perm
		want     bool
	}{
		{"allow *", "a", Write, true},
		{"allow r", "a", Read, true},
		{"allow r", "a", Write, false},
		{"allow r fsname=a", "a", Read, true},
		{"allow r fsname=a", "b", Read, false},
		{"allow * fsname=a", "b", Read, false},
		{"allow r fsname=a, allow rw fsname=b", "b", Write, true},
		{"profile mds", "a", Read, true},
		{"profile fs-client", "a", Read, true},
		{"profile osd", "a", Read, false},
	} {
		if got := mustMon(t, tt.caps, "").AllowsFS(tt.fs, tt.need); got != tt.want {
			t.Errorf("%q sees %s: %v, want %v", tt.caps, tt.fs, got, tt.want)
		}
	}
}

func TestMonNetworkOfTheSession(t *testing.T) {
	t.Parallel()
	m := mustMon(t, "allow r, profile read-write network 10.0.0.0/8", "")
	if m.Allows("osd", "", nil, Write, loopback) {
		t.Error("allowed from outside of the network")
	}
	if !m.Allows("osd", "", nil, Write, netip.MustParseAddr("10.1.2.3")) {
		t.Error("refused from inside of the network")
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	got := Args(map[string]any{
		"prefix": "auth add", "entity": "client.x", "n": float64(3), "yes": true,
		"caps": []any{"mon", "allow r", "osd", "allow rwx"}, "list": []any{"a", "b"},
	})
	want := map[string]string{
		"entity": "client.x", "n": "3", "yes": "true",
		"caps_mon": "allow r", "caps_osd": "allow rwx", "list": "[a,b]",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Args(map[string]any{"caps": []any{"mon"}}); got["caps"] != "[mon]" {
		t.Errorf("odd list of caps: %v", got)
	}
}

func TestParsePerm(t *testing.T) {
	t.Parallel()
	if p := ParsePerm("rwx"); p != Read|Write|Exec {
		t.Errorf("rwx is %d", p)
	}
	if p := ParsePerm("rx"); p != Read|Exec {
		t.Errorf("rx is %d", p)
	}
}
