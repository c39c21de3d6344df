package node

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/internal/peer"
)

// shortDir is a directory with a path short enough for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "asok")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listenAdmin(t *testing.T, path string, do func([]byte) ([]byte, error)) *AdminSocket {
	t.Helper()
	a, err := ListenAdmin(path, do, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func echo(cmd []byte) ([]byte, error) { return cmd, nil }

func dial(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	return c
}

// readAnswer reads one answer and the end of the conversation.
func readAnswer(c net.Conn) (string, error) {
	b, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	if len(b) < 4 || int(binary.BigEndian.Uint32(b)) != len(b)-4 {
		return "", fmt.Errorf("answer of %d bytes begins with % x", len(b), b[:min(len(b), 4)])
	}
	return string(b[4:]), nil
}

func ask(t *testing.T, path, raw string) string {
	t.Helper()
	c := dial(t, path)
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	out, err := readAnswer(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAdminSocketEndsOfCommands(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.asok")
	listenAdmin(t, path, echo)
	for raw, want := range map[string]string{
		"{\"prefix\":\"version\"}\x00":           `{"prefix":"version"}`,
		"{\"prefix\":\"version\"}\n":             `{"prefix":"version"}`,
		"version\x00":                            "version",
		"\x00":                                   "",
		"{\"prefix\":\"a\"}\x00{\"more\":1}\x00": `{"prefix":"a"}`,
	} {
		if got := ask(t, path, raw); got != want {
			t.Errorf("%q was taken as %q", raw, got)
		}
	}
	c := dial(t, path)
	for _, b := range []byte("{\"prefix\":\"slowly\"}\x00") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readAnswer(c); got != `{"prefix":"slowly"}` || err != nil {
		t.Errorf("byte by byte: %q, %v", got, err)
	}
}

// The text before the output of a command that fails is that of a stock daemon.
func TestAdminSocketErrors(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.asok")
	answers := map[string]struct {
		out  string
		err  error
		want string
	}{
		"a": {"", fmt.Errorf("unknown command prefix a: %w", errno.EINVAL), "ERROR: (22) Invalid argument\nunknown command prefix a\n"},
		"b": {"", errno.ENOENT, "ERROR: (2) No such file or directory\n\n"},
		"c": {"output\n", fmt.Errorf("partly: %w", errno.EAGAIN), "ERROR: (11) Resource temporarily unavailable\npartly\noutput\n"},
		"d": {"", errors.New("no number"), "ERROR: (5) Input/output error\nno number\n"},
		"e": {"fine", nil, "fine"},
	}
	listenAdmin(t, path, func(cmd []byte) ([]byte, error) { a := answers[string(cmd)]; return []byte(a.out), a.err })
	for cmd, a := range answers {
		if got := ask(t, path, cmd+"\x00"); got != a.want {
			t.Errorf("%q, want %q", got, a.want)
		}
	}
}

func TestAdminSocketLargeOutput(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.asok")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	listenAdmin(t, path, func([]byte) ([]byte, error) { return big, nil })
	if got := ask(t, path, "x\x00"); got != string(big) {
		t.Errorf("%d bytes of %d", len(got), len(big))
	}
}

// Clients that say nothing, too much, or go away harm nobody else.
func TestAdminSocketBadClients(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.asok")
	asked := make(chan string, 100)
	listenAdmin(t, path, func(cmd []byte) ([]byte, error) { asked <- string(cmd); return cmd, nil })

	silent := dial(t, path)
	defer silent.Close()
	cut := dial(t, path)
	io.WriteString(cut, `{"prefix":"half`)
	cut.Close()
	endless := dial(t, path)
	junk := bytes.Repeat([]byte("x"), maxAdminCommand+2)
	endless.Write(junk) // the server may hang up before all is written
	if b, _ := io.ReadAll(endless); len(b) != 0 {
		t.Errorf("a command without an end got %d bytes", len(b))
	}
	gone := dial(t, path)
	io.WriteString(gone, "gone\x00")
	gone.Close()

	if got := ask(t, path, "still here\x00"); got != "still here" {
		t.Errorf("%q", got)
	}
	for len(asked) > 0 {
		if s := <-asked; s != "still here" && s != "gone" {
			t.Errorf("%d bytes were taken as a command", len(s))
		}
	}
}

func TestAdminSocketManyAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.asok")
	var mu sync.Mutex
	running, most := 0, 0
	listenAdmin(t, path, func(cmd []byte) ([]byte, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		defer func() { mu.Lock(); running--; mu.Unlock() }()
		return cmd, nil
	})
	var wg sync.WaitGroup
	for i := range 4 * maxAdminClients {
		wg.Go(func() {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			want := fmt.Sprint("command ", i)
			io.WriteString(c, want+"\x00")
			if got, err := readAnswer(c); got != want || err != nil {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if most > maxAdminClients {
		t.Errorf("%d ran at once", most)
	}
}

func TestAdminSocketClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.asok")
	begun, finish := make(chan bool), make(chan bool)
	a := listenAdmin(t, path, func([]byte) ([]byte, error) { begun <- true; <-finish; return nil, nil })
	idle := dial(t, path)
	busy := dial(t, path)
	io.WriteString(busy, "x\x00")
	<-begun
	closed := make(chan error)
	go func() { closed <- a.Close() }()
	if _, err := io.ReadAll(idle); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("idle client: %v", err)
	}
	select {
	case <-closed:
		t.Error("closed while a command runs")
	default:
	}
	close(finish)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestAdminSocketFile(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "a.asok")
	// What a process that died left behind.
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	listenAdmin(t, path, echo)
	if got := ask(t, path, "x\x00"); got != "x" {
		t.Errorf("%q", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: whoever may open it has all rights", st.Mode(), err)
	}
	if a, err := ListenAdmin(filepath.Join(dir, "nosuch", "a.asok"), echo, slog.New(slog.DiscardHandler)); err == nil {
		a.Close()
		t.Error("a socket without a directory")
	}
}

// A path that does not fit into a socket address works all the same.
func TestAdminSocketLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortDir(t), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.asok")
	a := listenAdmin(t, path, echo)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := ask(t, fmt.Sprintf("/proc/self/fd/%d/a.asok", d.Fd()), "x\x00"); got != "x" {
		t.Errorf("%q", got)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// The stock client asks for the commands' descriptions, checks what the user
// wrote against them, and sends it.
func TestAdminSocketWithStockClient(t *testing.T) {
	t.Parallel()
	peer.Require(t, "ceph")
	dir := shortDir(t)
	path := filepath.Join(dir, "osd.0.asok")
	const descriptions = `{
		"cmd000": {"sig": ["help"], "help": "list available commands"},
		"cmd001": {"sig": ["get_command_descriptions"], "help": ""},
		"cmd002": {"sig": ["perf", "dump", {"name": "logger", "req": "false", "type": "CephString"},
			{"name": "counter", "req": "false", "type": "CephString"}], "help": "dump perfcounters value"}
	}`
	listenAdmin(t, path, func(cmd []byte) ([]byte, error) {
		var c struct{ Prefix, Logger, Counter, Format string }
		if err := json.Unmarshal(cmd, &c); err != nil {
			return nil, fmt.Errorf("invalid json: %w", errno.EINVAL)
		}
		switch c.Prefix {
		case "get_command_descriptions":
			return []byte(descriptions), nil
		case "help":
			return []byte("{\n    \"help\": \"list available commands\"\n}\n"), nil
		case "perf dump":
			if c.Logger == "nosuch" {
				return nil, fmt.Errorf("no such logger: %w", errno.ENOENT)
			}
			return fmt.Appendf(nil, "logger %s counter %s\n", c.Logger, c.Counter), nil
		}
		return nil, fmt.Errorf("unknown command prefix %s: %w", c.Prefix, errno.EINVAL)
	})
	conf := filepath.Join(dir, "ceph.conf")
	if err := os.WriteFile(conf, []byte("[global]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for cmd, want := range map[string]string{
		"help":             "\"help\": \"list available commands\"",
		"perf dump osd op": "logger osd counter op",
		"perf dump nosuch": "ERROR: (2) No such file or directory\nno such logger",
		"perf undump":      "invalid command",
	} {
		wg.Go(func() {
			c := exec.CommandContext(t.Context(), "/usr/bin/ceph", append([]string{"daemon", path}, strings.Fields(cmd)...)...)
			c.Env = peer.Env(conf)
			out, err := c.CombinedOutput()
			if !strings.Contains(string(out), want) {
				t.Errorf("ceph daemon %s: %v\n%s\nwant %s", cmd, err, out, want)
			}
		})
	}
	wg.Wait()
}
