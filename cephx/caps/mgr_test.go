package caps

import "testing"

func TestMgrAllows(t *testing.T) {
	t.Parallel()
	type args = map[string]string
	tests := []struct {
		caps, service, module, command string
		args                           args
		need                           Perm
		want                           bool
	}{
		{"allow *", "pg", "", "pg dump", nil, Read | Write | Exec, true},
		{"allow r", "pg", "", "pg dump", nil, Read, true},
		{"allow r", "pg", "", "pg scrub", nil, Write, false},
		{"allow r, allow w", "pg", "", "pg scrub", nil, Read | Write, true},
		{"allow service pg r", "pg", "", "pg dump", nil, Read, true},
		{"allow service pg r", "osd", "", "osd df", nil, Read, false},
		{"allow module iostat r", "py", "iostat", "iostat", nil, Read, true},
		{"allow module iostat r", "py", "crash", "crash ls", nil, Read, false},
		{`allow command "pg dump"`, "pg", "", "pg dump", nil, Read, true},
		{`allow command "pg dump"`, "pg", "", "pg ls", nil, Read, false},
		{`allow command "pg dump" with dumpcontents=all`, "pg", "", "pg dump", args{"dumpcontents": "all"}, Read, true},
		{`allow command "pg dump" with dumpcontents=all`, "pg", "", "pg dump", args{"dumpcontents": "x"}, Read, false},
		{`allow command "pg dump" with dumpcontents=all`, "pg", "", "pg dump", nil, Read, false},
		{"profile crash", "py", "crash", "crash post", nil, Write, true},
		{"profile crash", "py", "crash", "crash ls", nil, Read, false},
		{"profile read-only", "pg", "", "pg dump", nil, Read, true},
		{"profile read-only", "pg", "", "pg scrub", nil, Write, false},
		{"profile read-write", "pg", "", "pg scrub", nil, Read | Write, true},
		{"profile osd", "pg", "", "pg dump", nil, Read, false},
		// The module asks again with what the command is about.
		{"profile rbd pool=a", "py", "rbd_support", "rbd perf image stats", nil, Read | Write, true},
		{"profile rbd pool=a", "py", "rbd_support", "", args{"pool": "a"}, Write, true},
		{"profile rbd pool=a", "py", "rbd_support", "", args{"pool": "b"}, Read, false},
		{"profile rbd pool=a namespace=n", "py", "rbd_support", "", args{"pool": "a"}, Read, false},
		{"profile rbd pool prefix a", "py", "rbd_support", "", args{"pool": "ab"}, Read, true},
		{"profile rbd-read-only", "py", "rbd_support", "", nil, Read, true},
		{"profile rbd-read-only", "py", "rbd_support", "", nil, Write, false},
		{"profile rbd", "py", "other", "x", nil, Read, false},
		{"allow * network 127.0.0.0/8", "pg", "", "x", nil, Write, true},
		{"allow * network 10.0.0.0/8", "pg", "", "x", nil, Read, false},
	}
	for _, tt := range tests {
		m, err := ParseMgr(tt.caps)
		if err != nil {
			t.Errorf("%q: %v", tt.caps, err)
			continue
		}
		if got := m.Allows(tt.service, tt.module, tt.command, tt.args, tt.need, loopback); got != tt.want {
			t.Errorf("%q: %s/%s %q %v allowed %v, want %v", tt.caps, tt.service, tt.module, tt.command, tt.args, got, tt.want)
		}
	}
	m, _ := ParseMgr("allow *")
	n, _ := ParseMgr("allow * network 10.0.0.0/8")
	if !m.AllowAll() || n.AllowAll() {
		t.Error("AllowAll")
	}
}
