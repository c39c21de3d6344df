package radoscmd

import (
	"strings"
	"testing"
)

func testToolSnapshots(t *testing.T, conf string) {
	k := newTool(t, conf)
	k.want("0 snaps\n", "lssnap")
	if _, err := k.try("0123456789", "put", "o", "-"); err != nil {
		t.Fatal(err)
	}
	k.want("created pool "+k.pool+" snap s\n", "mksnap", "s")
	k.wantErr("error creating pool "+k.pool+" snapshot s: (17) File exists", "mksnap", "s")
	k.wantErr("error removing pool "+k.pool+" snapshot x: (2) No such file or directory", "rmsnap", "x")
	out, err := k.try("", "lssnap")
	if f := strings.Fields(out); err != nil || len(f) != 6 || f[0] != "1" || f[1] != "s" || f[4] != "1" || f[5] != "snaps" {
		t.Fatalf("%q, %v", out, err)
	}
	if _, err := k.try("xy", "put", "o", "-", "--offset", "4"); err != nil {
		t.Fatal(err)
	}
	k.want("0123xy6789", "get", "o", "-")
	k.want("selected snap 1 's'\n0123456789", "get", "o", "-", "-s", "s")
	k.want("selected snap 1 's'\n0123456789", "get", "o", "-", "--snapid", "1")
	k.want("selected snap 1 's'\no\n", "ls", "--snap", "s")
	k.wantErr("error looking up snap 'x': (2) No such file or directory", "stat", "o", "-s", "x")
	k.wantErr("snapid 7 doesn't exist in pool "+k.pool, "stat", "o", "--snapid", "7")
	k.wantErr("error putting "+k.pool+"/o: (30) Read-only file system", "put", "o", "-", "-s", "s")
	k.want("o:\ncloneid\tsnaps\tsize\toverlap\n1\t1\t10\t[0~4,6~4]\nhead\t-\t10\n", "listsnaps", "o")
	k.want(`{"name":"o","clones":[{"id":1,"snapshots":[{"id":1,"name":"s"}],"size":10,"overlaps":[{"start":0,"length":4},{"start":6,"length":4}]},`+
		`{"id":"head","snapshots":[],"size":10}]}`, "listsnaps", "o", "--format", "json")
	k.wantErr("error rolling back "+k.pool+"/o to snapshot x: (2) No such file or directory", "rollback", "o", "x")
	k.want("rolled back pool "+k.pool+" to snapshot s\n", "rollback", "o", "s")
	k.want("0123456789", "get", "o", "-")
	k.want("", "rm", "o")
	k.want("selected snap 1 's'\n", "cp", "o", "o2", "-s", "s", "--target-nspace", "space")
	k.want("0123456789", "get", "o2", "-")
	k.wantErr("error removing "+k.pool+">space/none: (2) No such file or directory", "rm", "none")
	k.want("removed pool "+k.pool+" snap s\n", "rmsnap", "s")
	k.want("0 snaps\n", "lssnap")
}
