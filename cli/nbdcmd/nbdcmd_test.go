package nbdcmd

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestSocket replaces a socket that is left over, refuses one in use and a file,
// and leaves nothing behind.
func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "nbd") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := listen("unix:" + path); err == nil {
		l.Close()
		t.Fatal("a socket in use was taken")
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	l, err := listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is there after the end: %v", err)
	}
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listen("unix:" + path); err == nil {
		l.Close()
		t.Error("a file was replaced")
	}
}
