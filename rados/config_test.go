package rados

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/entity"
)

func TestParseMonHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"[v2:127.0.0.1:26400,v1:127.0.0.1:25572]", "[v2:127.0.0.1:26400/0,v1:127.0.0.1:25572/0]"},
		{"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],[v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]",
			"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] [v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]"},
		{"10.0.0.1, 10.0.0.2:3301;10.0.0.3", "v2:10.0.0.1:3300/0 v2:10.0.0.2:3301/0 v2:10.0.0.3:3300/0"},
		{"v2:10.0.0.1:6800 v1:10.0.0.2:6789", "v2:10.0.0.1:6800/0"},
		{"[v2:[::1]:3300,v1:[::1]:6789]", "[v2:[::1]:3300/0,v1:[::1]:6789/0]"},
		{"[2001:db8::1],[2001:db8::2]:3310", "v2:[2001:db8::1]:3300/0 v2:[2001:db8::2]:3310/0"},
	} {
		got, err := parseMonHost(t.Context(), c.in)
		var s []string
		for _, v := range got {
			s = append(s, v.String())
		}
		if err != nil || strings.Join(s, " ") != c.want {
			t.Errorf("%s: %s, %v; want %s", c.in, strings.Join(s, " "), err, c.want)
		}
	}
	for _, bad := range []string{"", "10.0.0.1:6789", "v2:10.0.0.1:port", "[]", "v1:10.0.0.1:6789"} {
		if got, err := parseMonHost(t.Context(), bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

const testKey = "AQBlDExnAAAAABAAq0tTCu3BRnPY/xu6fIZxGQ=="

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ring := write("ceph.client.foo.keyring", "[client.foo]\n\tkey = "+testKey+"\n")
	path := write("ceph.conf", `
; a comment
[global]
mon host = v2:10.0.0.1:3300 # first
keyring = `+dir+`/$cluster.$name.keyring
ms_client_mode = crc secure
[client]
objecter-inflight-ops = 7
[client.foo]
mon_host = "10.0.0.2"
ms client mode = secure
`)
	c, err := ReadConfig(path, WithName("client.foo"))
	if err != nil {
		t.Fatal(err)
	}
	if c.MonHost != "10.0.0.2" || c.Key != testKey || !c.Secure || c.SecureMon || c.MaxOps != 7 || c.Name != "client.foo" {
		t.Fatalf("%+v", c)
	}
	if m := c.modes(entity.OSD); len(m) != 1 {
		t.Fatalf("modes %v", m)
	}
	_, err = ReadConfig(path)
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("no keyring for client.admin: %v", err)
	}
	_, err = ReadConfig(path, WithKeyring(ring))
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no key of client.admin") {
		t.Fatalf("keyring of somebody else: %v", err)
	}
	t.Setenv("CEPH_CONF", path)
	if c, err = ReadConfig("", WithName("client.foo"), WithMonHost("10.9.9.9"), WithOption("key", testKey)); err != nil || c.MonHost != "10.9.9.9" {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err = ReadConfig(dir + "/nothing"); err == nil {
		t.Fatal("a file that does not exist")
	}
	for _, bad := range []string{"[global\n", "[global]\nno equals sign\n"} {
		if _, err := ReadConfig(write("bad", bad)); err == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if c, err = ReadConfig(write("none", "[global]\nmon host = 1.2.3.4\nauth client required = none\n")); err != nil || c.Key != "" {
		t.Fatalf("%+v, %v", c, err)
	}
}

func FuzzParseMonHost(f *testing.F) {
	f.Add("[v2:10.0.0.1:3300,v1:10.0.0.1:6789],10.0.0.2;[::1]")
	f.Fuzz(func(t *testing.T, s string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // no names are looked up
		mons, err := parseMonHost(ctx, s)
		for _, v := range mons {
			if _, ok := v.Msgr2(); !ok || err != nil {
				t.Fatalf("%q: %v, %v", s, mons, err)
			}
		}
	})
}
