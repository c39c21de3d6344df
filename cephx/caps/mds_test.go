package caps

import "testing"

func mustMDS(t *testing.T, text string) *MDS {
	t.Helper()
	c, err := ParseMDS(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMDSAllows(t *testing.T) {
	t.Parallel()
	root := func(path string, a Access) MDSRequest { return MDSRequest{Path: path, Access: a} }
	user := func(uid, gid, inodeUID, inodeGID, mode uint32, a Access) MDSRequest {
		return MDSRequest{UID: uid, GID: gid, InodeUID: inodeUID, InodeGID: inodeGID, InodeMode: mode, Access: a}
	}
	chown := func(uid, inodeUID, to uint32) MDSRequest {
		return MDSRequest{UID: uid, GID: 10, InodeUID: inodeUID, InodeMode: 0o700, Access: MayChown, NewUID: to}
	}
	chgrp := func(inodeUID, to uint32) MDSRequest {
		return MDSRequest{UID: 10, GID: 10, Groups: []uint32{11}, InodeUID: inodeUID, InodeMode: 0o700, Access: MayChgrp, NewGID: to}
	}
	tests := []struct {
		caps string
		r    MDSRequest
		want bool
	}{
		{"allow", root("a", MayWrite|MaySnapshot|MaySetVxattr), true},
		{"allow", root("a", MayFull), false},
		{"allow *", root("a", MayWrite|MaySnapshot|MaySetVxattr|MayFull), true},
		{"allow r", root("a", MayRead|MayExecute), true},
		{"allow r", root("a", MayWrite), false},
		{"allow rw", root("a", MayRead|MayWrite), true},
		{"allow rw", root("a", MaySetVxattr), false},
		{"allow rwp", root("a", MaySetVxattr), true},
		{"allow rws", root("a", MaySnapshot), true},
		{"allow rwf", root("a", MayFull), true},
		{"allow rw path=/foo", root("foo", MayWrite), true},
		{"allow rw path=/foo", root("foo/bar", MayWrite), true},
		{"allow rw path=/foo", root("food", MayWrite), false},
		{"allow rw path=/foo", root("", MayWrite), false},
		{"allow rw path=/foo/", root("foo/bar", MayWrite), true},
		{"allow rw path=/", root("foo", MayWrite), true},
		{"allow r, allow rw path=/foo", root("x", MayWrite), false},
		{"allow r, allow rw path=/foo", root("foo/x", MayWrite), true},
		{"allow rw fsname=a", MDSRequest{FS: "a", Access: MayWrite}, true},
		{"allow rw fsname=a", MDSRequest{FS: "b", Access: MayWrite}, false},
		{"allow rw root_squash", MDSRequest{UID: 0, GID: 5, Access: MayWrite}, false},
		{"allow rw root_squash", MDSRequest{UID: 5, GID: 0, Access: MayWrite}, false},
		{"allow rw root_squash", MDSRequest{UID: 5, GID: 5, Access: MayWrite}, true},
		{"allow rw root_squash", MDSRequest{UID: 0, Access: MayRead}, true},
		{"allow rw network 10.0.0.0/8", root("a", MayRead), false},
		{"allow rw network 127.0.0.0/8", root("a", MayRead), true},
		// A grant for a user looks at the inode's mode.
		{"allow rw uid=10", user(10, 10, 10, 10, 0o600, MayRead|MayWrite), true},
		{"allow rw uid=10", user(10, 10, 10, 10, 0o400, MayWrite), false},
		{"allow rw uid=10", user(11, 10, 11, 10, 0o777, MayRead), false},
		{"allow rw uid=10", user(10, 10, 99, 99, 0o004, MayRead), true},
		{"allow rw uid=10", user(10, 10, 99, 99, 0o770, MayRead), false},
		{"allow rw uid=10", user(10, 10, 99, 10, 0o070, MayRead), false}, // group not named
		{"allow rw uid=10 gids=10", user(10, 10, 99, 10, 0o070, MayRead|MayWrite|MayExecute), true},
		{"allow rw uid=10 gids=10,11", user(10, 12, 99, 10, 0o777, MayRead), false},
		{"allow rw uid=4294967295", user(7, 7, 99, 99, 0, MayRead), true}, // any
		{"allow rw uid=10", chown(10, 10, 10), true},
		{"allow rw uid=10", chown(10, 10, 11), false},
		{"allow rw uid=10", chown(10, 11, 10), false},
		{"allow rw uid=10 gids=10,11", chgrp(10, 11), true},
		{"allow rw uid=10 gids=10,11", chgrp(10, 12), false},
		{"allow rw uid=10 gids=10", chgrp(10, 11), false},
		{"allow rw uid=10 gids=10,11", chgrp(99, 11), false},
	}
	for _, tt := range tests {
		if got := mustMDS(t, tt.caps).Allows(&tt.r, loopback); got != tt.want {
			t.Errorf("%q: %+v allowed %v, want %v", tt.caps, tt.r, got, tt.want)
		}
	}
}

func TestMDSSessionChecks(t *testing.T) {
	t.Parallel()
	c := mustMDS(t, "allow rw fsname=a path=/x")
	if !c.AllowsFS("a") || c.AllowsFS("b") || !c.AllowsPath("x/y") || c.AllowsPath("y") {
		t.Error("checks of a session disagree with the grant")
	}
	for text, want := range map[string]bool{"allow *": true, "allow * path=/a": false, "allow rwps": false, "allow * root_squash": false} {
		if got := mustMDS(t, text).AllowAll(); got != want {
			t.Errorf("%q: AllowAll %v, want %v", text, got, want)
		}
	}
}
