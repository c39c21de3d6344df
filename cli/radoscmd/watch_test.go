package radoscmd

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pulpo-storage/pulpo/wire"
)

// screen is what a command has printed so far.
type screen struct {
	mu   sync.Mutex
	cond *sync.Cond
	b    bytes.Buffer
	end  bool
}

func newScreen() *screen {
	s := new(screen)
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cond.Broadcast()
	return s.b.Write(b)
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = true
	s.cond.Broadcast()
}

// wait waits until the screen shows something; false: the command has ended.
func (s *screen) wait(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(s.b.String(), text) {
		if s.end {
			return false
		}
		s.cond.Wait()
	}
	return true
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func testToolWatch(t *testing.T, conf string) {
	k := newTool(t, conf)
	k.wantErr("error calling watch: (2) No such file or directory\nerror 2: (2) No such file or directory", "watch", "o")
	k.wantErr("error calling notify: (2) No such file or directory\nerror 2: (2) No such file or directory", "notify", "o", "x")
	k.want("", "create", "o")
	k.want("", "notify", "o", "nobody hears it")

	s := newScreen()
	in, enter := io.Pipe()
	done := make(chan error)
	go func() {
		err := k.command(in, s, "watch", "o")
		s.close()
		done <- err
	}()
	if !s.wait("press enter to exit...\n") {
		t.Fatal(<-done)
	}
	out, err := k.try("", "listwatchers", "o")
	m := regexp.MustCompile(`^watcher=[0-9.:/]+ (client\.\d+) cookie=(\d+)\n$`).FindStringSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%q, %v", out, err)
	}
	const dump = "00000000  05 00 00 00 68 65 6c 6c  6f                       |....hello|\n00000009\n"
	k.want("reply "+m[1]+" cookie "+m[2]+" : 9 bytes\n"+dump, "notify", "o", "hello")
	k.want("", "rm", "o")
	if !s.wait("ERROR cookie " + m[2] + " err (107) Transport endpoint is not connected\n") {
		t.Fatal(<-done)
	}
	if _, err := enter.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`\nNOTIFY cookie ` + m[2] + ` notify_id \d+ from \d+\n` + regexp.QuoteMeta(dump)).MatchString(s.String()) {
		t.Fatalf("%s", s)
	}
}

func testToolCall(t *testing.T, conf string) {
	k := newTool(t, conf)
	var e wire.Encoder
	m := e.Begin(1, 1)
	e.Str("l")
	e.U8(1) // exclusive
	e.Str("")
	e.Str("")
	e.Str("")
	e.Duration(0)
	e.U8(0)
	e.End(m)
	lock := string(e.Bytes())
	if out, err := k.try(lock, "call", k.pool, "o", "lock", "lock", "-"); err != nil || out != "" {
		t.Fatalf("%q, %v", out, err)
	}
	k.want("\x01\x01\x09\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00l", "call", k.pool, "o", "lock", "list_locks")
	k.wantErr("error calling lock.lock on "+k.pool+"/o: (16) Device or resource busy", "call", k.pool, "o", "lock", "lock", lock)
	k.wantErr("error calling lock.lock on "+k.pool+"/o: (22) Invalid argument", "call", k.pool, "o", "lock", "lock")
	k.wantErr("error calling lock.nothing on "+k.pool+"/o: (95) Operation not supported", "call", k.pool, "o", "lock", "nothing")
}
