// Package servicetest is a monitor's core for the tests of its services: one
// monitor that leads, storage in memory, and commits that happen at once.
//
// No compatibility promise.
package servicetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// Host is the machine as services see it, with settings, a clock and peers
// that the test changes as it likes.
type Host struct {
	T       testing.TB
	Options map[string]string
	Clock   time.Time
	Cluster msg.FSID
	Peers   []*service.Session
	Lines   []string // of the cluster log

	store  store
	random counter
	parts  []service.Service
	ticks  []service.Ticker
	table  *command.Table
}

// New returns a host without services.
func New(t testing.TB) *Host {
	return &Host{
		T: t, Options: map[string]string{}, Clock: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
		store: store{}, table: command.NewTable(),
	}
}

// Add adds parts: services, and what else registers commands or wants to know
// the time.
func (h *Host) Add(parts ...any) {
	h.T.Helper()
	for _, p := range parts {
		if s, ok := p.(service.Service); ok {
			h.parts = append(h.parts, s)
			if err := s.Load(h.store); err != nil {
				h.T.Fatalf("load %s: %v", s.Name(), err)
			}
		}
		if c, ok := p.(service.Commander); ok {
			c.Commands(h.table)
		}
		if t, ok := p.(service.Ticker); ok {
			h.ticks = append(h.ticks, t)
		}
	}
}

// Found begins a new cluster.
func (h *Host) Found(fsid msg.FSID) {
	h.T.Helper()
	h.Cluster = fsid
	for _, s := range h.parts {
		if f, ok := s.(service.Founder); ok {
			if b := f.Found(service.Genesis{FSID: fsid, Created: h.Clock, Rand: &h.random}); b != nil {
				h.Apply(s, b)
			}
		}
	}
}

// Apply hands a change to a service as if it had been committed.
func (h *Host) Apply(s service.Service, change []byte) {
	h.T.Helper()
	if err := s.Apply(change, h.store); err != nil {
		h.T.Fatalf("apply to %s: %v", s.Name(), err)
	}
}

// Commit proposes and applies what is pending. It reports whether there was
// anything.
func (h *Host) Commit() bool {
	h.T.Helper()
	any := false
	for _, s := range h.parts {
		if b := s.Propose(h.Clock); b != nil {
			any = true
			h.Apply(s, b)
		}
	}
	return any
}

// Advance lets time pass in steps of a second, with ticks and commits.
func (h *Host) Advance(d time.Duration) {
	h.T.Helper()
	for end := h.Clock.Add(d); ; {
		for _, t := range h.ticks {
			if w := t.Wake(); !w.IsZero() && !h.Clock.Before(w) {
				t.Tick(h.Clock)
			}
		}
		h.Commit()
		if !h.Clock.Before(end) {
			return
		}
		h.Clock = h.Clock.Add(min(time.Second, end.Sub(h.Clock)))
	}
}

// Reload makes a service begin again from what is stored.
func (h *Host) Reload(s service.Service) {
	h.T.Helper()
	if err := s.Load(h.store); err != nil {
		h.T.Fatalf("load %s: %v", s.Name(), err)
	}
}

// Find returns a command that was registered, nil for none.
func (h *Host) Find(prefix string) *command.Entry { return h.table.Find(prefix) }

// Call gives a command, of which it waits for the commit.
func (h *Host) Call(c *command.Call) command.Reply {
	h.T.Helper()
	e := h.table.Find(c.Prefix)
	if e == nil {
		return command.Fail(errno.EINVAL, "command not known")
	}
	if bad, ok := e.Check(c); !ok {
		return command.Fail(errno.EINVAL, "bad or missing field '%s'", bad)
	}
	c.Now = h.Clock
	r := e.Run(c)
	if r.Commit {
		if e.Kind != command.Write {
			h.T.Fatalf("%s wants a commit but is not of kind Write", c.Prefix)
		}
		h.Commit()
	}
	return r
}

// JSON gives a command as clients send it.
func (h *Host) JSON(cmd string, input []byte) command.Reply {
	h.T.Helper()
	c, err := command.Parse([]string{cmd})
	if err != nil {
		return command.Fail(errno.Errno(-errno.Code(err)), "%v", err)
	}
	c.Input = input
	return h.Call(c)
}

// Run gives a command, "prefix" and then pairs of names and values, and fails
// the test if it is refused.
func (h *Host) Run(prefix string, args ...any) command.Reply {
	h.T.Helper()
	r := h.Try(prefix, args...)
	if r.Failed() {
		h.T.Fatalf("%s %v: %v %s", prefix, args, r.Errno, r.Status)
	}
	return r
}

// Try gives a command that may be refused.
func (h *Host) Try(prefix string, args ...any) command.Reply {
	h.T.Helper()
	m := map[string]any{"prefix": prefix}
	for pair := range slices.Chunk(args, 2) {
		m[pair[0].(string)] = pair[1]
	}
	text, err := json.Marshal(m)
	if err != nil {
		h.T.Fatal(err)
	}
	return h.JSON(string(text), nil)
}

// Session returns the session of an account with capabilities on the monitors.
func (h *Host) Session(id uint64, account, monCaps string) *service.Session {
	h.T.Helper()
	name, err := entity.ParseAuthName(account)
	if err != nil {
		h.T.Fatal(err)
	}
	c, err := caps.ParseMon(monCaps, account)
	if err != nil {
		h.T.Fatal(err)
	}
	return &service.Session{ID: id, Name: entity.Name{Type: name.Type, Num: int64(id)}, Auth: name, Caps: c, Opened: h.Clock}
}

// The Host.

var _ service.Host = (*Host)(nil)

func (h *Host) Name() string                         { return "a" }
func (h *Host) FSID() msg.FSID                       { return h.Cluster }
func (h *Host) Now() time.Time                       { return h.Clock }
func (h *Host) Rand() io.Reader                      { return &h.random }
func (h *Host) Leader() bool                         { return true }
func (h *Host) Reader(string) service.Reader         { return h.store }
func (h *Host) Send(*service.Session, msg.Body)      {}
func (h *Host) Sessions() iter.Seq[*service.Session] { return slices.Values(h.Peers) }
func (h *Host) Option(name string) string            { return h.Options[name] }

func (h *Host) Log(level msg.LogLevel, channel, format string, args ...any) {
	h.Lines = append(h.Lines, fmt.Sprintf(format, args...))
}

// Logged reports whether a line of the cluster log has some text in it.
func (h *Host) Logged(text string) bool {
	return slices.ContainsFunc(h.Lines, func(l string) bool { return strings.Contains(l, text) })
}

// counter is a reader of bytes that look random and are the same in each run.
type counter struct{ n uint64 }

func (c *counter) Read(b []byte) (int, error) {
	for rest := b; len(rest) > 0; c.n++ {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, c.n))
		rest = rest[copy(rest, sum[:]):]
	}
	return len(b), nil
}

// store keeps keys and values in memory.
type store map[string][]byte

func (s store) Get(key string) []byte        { return s[key] }
func (s store) Put(key string, value []byte) { s[key] = bytes.Clone(value) }
func (s store) Delete(key string)            { delete(s, key) }

func (s store) Scan(from, to string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(s)) {
			if k >= from && (to == "" || k < to) && !yield(k, s[k]) {
				return
			}
		}
	}
}
