package caps

import (
	"net/netip"
	"testing"
)

func mustOSD(t *testing.T, text string) *OSD {
	t.Helper()
	c, err := ParseOSD(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOSDClassesBeyondTheDefaultList(t *testing.T) {
	t.Parallel()
	custom := ClassCall{Class: "custom", Method: "m", Read: true, Write: true}
	other := ClassCall{Class: "other", Method: "m", Read: true}
	lock := ClassCall{Class: "lock", Method: "lock", Read: true, Write: true, Allowed: true}
	tests := []struct {
		caps  string
		calls []ClassCall
		want  bool
	}{
		{"allow rwx", []ClassCall{lock}, true},
		{"allow rwx", []ClassCall{custom}, false},
		{"allow *", []ClassCall{custom}, true},
		{"allow * pool=p", []ClassCall{custom}, true},
		{"allow * pool=q", []ClassCall{custom}, false},
		{"allow class custom", []ClassCall{custom}, true},
		{"allow class custom m", []ClassCall{custom}, true},
		{"allow class custom n", []ClassCall{custom}, false},
		// Several grants may share the calls of one operation.
		{"allow class custom", []ClassCall{custom, other}, false},
		{"allow class custom, allow class other", []ClassCall{custom, other}, true},
		{"allow class other, allow x", []ClassCall{lock, other}, true},
		{"allow x, allow class other", []ClassCall{other, lock}, true},
		// A method that declares neither reading nor writing is open to all.
		{"allow r", []ClassCall{{Class: "lock", Method: "nop", Allowed: true}}, true},
		// More calls than have room on the stack.
		{"allow x", []ClassCall{lock, lock, lock, lock, lock, lock, lock, lock, lock, lock}, true},
		{"allow x", []ClassCall{lock, lock, lock, lock, lock, lock, lock, lock, lock, other}, false},
	}
	for _, tt := range tests {
		r := OSDRequest{Pool: "p", Object: "o", Classes: tt.calls}
		if got := mustOSD(t, tt.caps).Allows(&r, loopback); got != tt.want {
			t.Errorf("%q: %v allowed %v, want %v", tt.caps, tt.calls, got, tt.want)
		}
	}
	// Reads and writes of the same operation must be allowed by the grant that
	// allows the last call.
	r := OSDRequest{Pool: "p", Object: "o", Read: true, Classes: []ClassCall{lock}}
	if mustOSD(t, "allow r, allow x").Allows(&r, loopback) {
		t.Error("a read by one grant and a call by another passed")
	}
}

func TestOSDAllowAll(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"allow *": true, "allow r, allow all": true, "allow rwx": false, "allow * pool=p": false,
		"allow * network 127.0.0.0/8": false, "allow * object_prefix o": false, "profile rbd": false,
		"allow * tag a b=c": false, `allow * namespace=""`: false,
	} {
		if got := mustOSD(t, text).AllowAll(); got != want {
			t.Errorf("%q: AllowAll %v, want %v", text, got, want)
		}
	}
}

func TestNothingIsAllowedWithoutCaps(t *testing.T) {
	t.Parallel()
	if new(OSD).Allows(&OSDRequest{}, loopback) || new(Mon).Allows("mon", "", nil, 0, loopback) ||
		new(Mgr).Allows("mon", "", "", nil, 0, loopback) || new(MDS).Allows(&MDSRequest{}, loopback) {
		t.Error("no grants allowed something")
	}
	for _, text := range []string{"", "allow", "allow *, bogus", "allow * bogus", "allow *,profile x,"} {
		mon, err1 := ParseMon(text, "")
		osd, err2 := ParseOSD(text)
		mgr, err3 := ParseMgr(text)
		mds, err4 := ParseMDS(text)
		if err1 == nil || err2 == nil || err3 == nil || err4 == nil && text != "allow" {
			t.Errorf("%q parses", text)
		}
		if mon.Allows("mon", "", nil, 0, loopback) || mon.AllowAll() || osd.Allows(&OSDRequest{}, loopback) || osd.AllowAll() ||
			mgr.Allows("mon", "", "", nil, 0, loopback) || mgr.AllowAll() || mds.Allows(&MDSRequest{}, loopback) && text != "allow" {
			t.Errorf("%q does not parse and allows something", text)
		}
	}
}

func TestOSDAllowsDoesNotAllocate(t *testing.T) {
	c := mustOSD(t, "allow r pool=other, allow rwx pool=p namespace=n object_prefix o network 127.0.0.0/8")
	r := &OSDRequest{Pool: "p", Namespace: "n", Object: "o1", Read: true, Write: true,
		Classes: []ClassCall{{Class: "lock", Method: "lock", Write: true, Allowed: true}}}
	if n := testing.AllocsPerRun(100, func() {
		if !c.Allows(r, loopback) {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations for each operation", n)
	}
}

func BenchmarkOSDAllows(b *testing.B) {
	c, err := ParseOSD("profile rbd pool=vms, profile rbd-read-only pool=images")
	if err != nil {
		b.Fatal(err)
	}
	r := &OSDRequest{Pool: "images", Object: "rbd_data.1234.0000000000000001", Read: true}
	for b.Loop() {
		if !c.Allows(r, netip.Addr{}) {
			b.Fatal("refused")
		}
	}
}
