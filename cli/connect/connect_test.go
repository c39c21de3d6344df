package connect

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func settings(t *testing.T, args ...string) *Settings {
	t.Helper()
	var s Settings
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.AddFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &s
}

// The options reach the client: a keyring without the account is noticed, and so
// is a monitor that does not answer.
func TestConnect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	keyring, conf := filepath.Join(dir, "keyring"), filepath.Join(dir, "ceph.conf")
	for file, text := range map[string]string{
		keyring: "[client.known]\n\tkey = AQBnxjNkAAAAABAAxXl5Jc5vbSJcBAhNfWhJ7g==\n", conf: "[global]\nkeyring = " + keyring + "\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mon := "v2:" + l.Addr().String()
	for _, tc := range []struct {
		args []string
		late bool
	}{
		{[]string{"-c", filepath.Join(dir, "nosuch")}, false},
		{[]string{"-c", conf, "-m", mon, "-n", "client.unknown"}, false},
		{[]string{"-c", conf, "-m", mon, "-n", "client.known", "--id", "unknown"}, false},
		{[]string{"-c", conf, "-m", mon, "-n", "client.known", "-k", filepath.Join(dir, "nosuch")}, false},
		{[]string{"-c", conf, "-m", mon, "-n", "client.known"}, true},
		{[]string{"-c", conf, "-m", mon, "--id", "known", "-k", keyring}, true},
	} {
		s := settings(t, tc.args...)
		s.Timeout = 200 * time.Millisecond
		c, err := s.Connect(t.Context())
		if err == nil {
			c.Close()
		}
		if err == nil || errors.Is(err, context.DeadlineExceeded) != tc.late {
			t.Errorf("%q: %v", tc.args, err)
		}
	}
}
