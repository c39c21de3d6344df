// Package logmon keeps the cluster log (Ceph's LogMonitor): lines from daemons
// and of the monitors themselves, in channels ("cluster", and "audit" for
// commands), so that any monitor can show the last of them and subscribers
// ("ceph -w") see them come.
//
// Lines of the monitors wait up to a second for a change that is committed
// anyway; that a command was given must not cost a write of its own.
package logmon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	keyLine = "line/" // + number, 16 hex digits
	keep    = 10000   // lines
	linger  = time.Second
	burst   = 256 // lines that do not wait
	longest = 64 << 10
	// keepBytes bounds what the kept lines take: they are part of what a monitor
	// that lags gets as a whole.
	keepBytes = 16 << 20
	// keepOwn is how many lines a peon keeps while it cannot send them.
	keepOwn = 256
)

// Core is what the service asks of the monitor.
type Core interface {
	service.Host
	Rank() int64
	Addrs() entity.AddrVec
}

// Service is the machine.
type Service struct {
	host Core
	r    service.Reader

	first, last uint64 // numbers of the kept lines; last 0: none
	pending     []msg.LogEntry
	since       time.Time // of the oldest pending one
	urgent      bool
	size        int               // bytes of the kept lines
	seq         uint64            // of our own lines
	own         []msg.LogEntry    // lines of this monitor that only the leader can add
	daemons     map[uint64]uint64 // newest line of a session
}

// New makes the service.
func New(h Core) *Service { return &Service{host: h, daemons: map[uint64]uint64{}} }

// Name is the service's.
func (m *Service) Name() string { return "log" }

func lineKey(n uint64) string { return keyLine + fmt.Sprintf("%016x", n) }

// Load reads the state.
func (m *Service) Load(r service.Reader) error {
	m.r, m.first, m.last, m.size = r, 1, 0, 0
	n := 0
	for k, v := range r.Scan(keyLine, keyLine+"\xff") {
		num, err := strconv.ParseUint(strings.TrimPrefix(k, keyLine), 16, 64)
		if err != nil {
			return fmt.Errorf("key %q", k)
		}
		if n == 0 {
			m.first = num
		}
		n++
		m.last = num
		m.size += len(v)
		var e msg.LogEntry
		if err := wire.Unmarshal(v, &e); err != nil {
			return fmt.Errorf("line %d: %w", num, err)
		}
		m.seq = max(m.seq, e.Seq)
	}
	m.Drop()
	return nil
}

// Add stages a line of this monitor; channel "" is "cluster".
func (m *Service) Add(level msg.LogLevel, channel, text string) {
	if channel == "" {
		channel = "cluster"
	}
	m.seq++
	line := msg.LogEntry{
		Name: entity.AuthName{Type: entity.Mon, ID: m.host.Name()}, Rank: entity.Name{Type: entity.Mon, Num: m.host.Rank()}, Addrs: m.host.Addrs(),
		Stamp: m.host.Now(), Seq: m.seq, Level: level, Message: text, Channel: channel,
	}
	if m.host.Leader() {
		m.add(line)
		return
	}
	if m.own = append(m.own, line); len(m.own) > keepOwn {
		m.own = m.own[1:]
	}
}

// TakeOwn returns the lines that this monitor has for the leader.
func (m *Service) TakeOwn() []msg.LogEntry {
	l := m.own
	m.own = nil
	return l
}

// Took stages lines of another monitor, on the leader.
func (m *Service) Took(l []msg.LogEntry) {
	for _, e := range l {
		m.add(e)
	}
}

func (m *Service) add(e msg.LogEntry) {
	if len(m.pending) >= keep {
		return // a flood; the log keeps no more anyway
	}
	if len(e.Message) > longest {
		e.Message = e.Message[:longest]
	}
	if len(m.pending) == 0 {
		m.since = m.host.Now()
	}
	m.pending = append(m.pending, e)
}

// Due reports whether the pending lines should be committed though nothing
// else is.
func (m *Service) Due(now time.Time) bool {
	return len(m.pending) > 0 && (m.urgent || len(m.pending) >= burst || now.Sub(m.since) >= linger)
}

// Wake is when the pending lines are due.
func (m *Service) Wake() time.Time {
	if len(m.pending) == 0 {
		return time.Time{}
	}
	return m.since.Add(linger)
}

// Tick has nothing to stage: Due does it.
func (m *Service) Tick(time.Time) {}

type lines []msg.LogEntry

func (l lines) Encode(e *wire.Encoder) {
	mark := e.Begin(1, 1)
	wire.EncodeSlice(e, l, func(n msg.LogEntry) { n.Encode(e) })
	e.End(mark)
}

func (l *lines) Decode(d *wire.Decoder) {
	env := d.Begin("log lines", 1)
	*l = wire.DecodeSlice(d, 6, func() (n msg.LogEntry) { n.Decode(d); return n })
	d.End(env)
}

// Propose returns what is pending.
func (m *Service) Propose(time.Time) []byte {
	if len(m.pending) == 0 {
		return nil
	}
	b := wire.Marshal(lines(m.pending))
	m.Drop()
	return b
}

// Drop forgets what is pending.
func (m *Service) Drop() { m.pending, m.urgent = nil, false }

// Apply folds a change in.
func (m *Service) Apply(b []byte, w service.Writer) error {
	var l lines
	if err := wire.Unmarshal(b, &l); err != nil {
		return err
	}
	for _, e := range l {
		m.last++
		line := wire.Marshal(e)
		m.size += len(line)
		w.Put(lineKey(m.last), line)
	}
	for ; m.last-m.first+1 > keep || m.size > keepBytes && m.first < m.last; m.first++ {
		m.size -= len(w.Get(lineKey(m.first)))
		w.Delete(lineKey(m.first))
	}
	return nil
}

// Text is how a line is shown.
func Text(e msg.LogEntry) string {
	return fmt.Sprintf("%s %v (%v) %d : %s [%s] %s", jsonfmt.Time(e.Stamp), e.Name, e.Rank, e.Seq, e.Channel, short(e.Level), e.Message)
}

func short(l msg.LogLevel) string {
	switch l {
	case msg.LogDebug:
		return "DBG"
	case msg.LogInfo:
		return "INF"
	case msg.LogSec:
		return "SEC"
	case msg.LogWarn:
		return "WRN"
	case msg.LogError:
		return "ERR"
	}
	return "UNKNOWN"
}

var levels = map[string]msg.LogLevel{
	"debug": msg.LogDebug, "info": msg.LogInfo, "sec": msg.LogSec, "security": msg.LogSec,
	"warn": msg.LogWarn, "warning": msg.LogWarn, "error": msg.LogError, "err": msg.LogError,
}

// at reads a line, which is there if its number is that of a kept one.
func (m *Service) at(n uint64) (e msg.LogEntry, ok bool) {
	v := m.r.Get(lineKey(n))
	return e, v != nil && wire.Unmarshal(v, &e) == nil
}

// Last returns the last lines of a channel (any, if it is "*") at or above a
// level, oldest first: so many, and as in Ceph the line before them, if it is at
// or above the level too.
func (m *Service) Last(num int, level msg.LogLevel, channel string) []msg.LogEntry {
	var out []msg.LogEntry
	for n := m.last; n >= m.first && n > 0 && len(out) <= num; n-- {
		e, ok := m.at(n)
		if !ok || channel != "*" && e.Channel != channel {
			continue
		}
		if e.Level >= level {
			out = append(out, e)
		} else if len(out) == num {
			break
		}
	}
	slices.Reverse(out)
	return out
}

// Commands registers log and log last.
func (m *Service) Commands(t *command.Table) {
	t.Read("log last", m.logLast)
	t.Write("log", m.log)
}

func (m *Service) logLast(c *command.Call) command.Reply {
	num := int(max(0, c.IntOr("num", 20)))
	level := msg.LogInfo
	if s := c.Str("level"); s != "" {
		l, ok := levels[s]
		if !ok {
			return command.Fail(errno.EINVAL, "Invalid severity '%s'", s)
		}
		level = l
	}
	list := m.Last(num, level, c.StrOr("channel", "cluster"))
	return c.Either(func() string {
		var b strings.Builder
		for _, e := range list {
			b.WriteString(Text(e) + "\n")
		}
		return b.String()
	}, func(f *jsonfmt.Formatter) {
		f.Array("tail", func() {
			for _, e := range list {
				Dump(f, e)
			}
		})
	})
}

// Dump writes a line as an object.
func Dump(f *jsonfmt.Formatter, e msg.LogEntry) {
	f.Object("entry", func() {
		f.Str("name", e.Name.String())
		f.Str("rank", e.Rank.String())
		f.AddrVec("addrs", e.Addrs)
		f.Str("stamp", jsonfmt.Time(e.Stamp))
		f.Uint("seq", e.Seq)
		f.Str("channel", e.Channel)
		f.Str("priority", "["+short(e.Level)+"]")
		f.Str("message", e.Message)
	})
}

func (m *Service) log(c *command.Call) command.Reply {
	m.add(msg.LogEntry{
		Name: c.Caller.Auth, Rank: entity.Name{Type: c.Caller.Name.Type, Num: -1}, Addrs: c.Caller.Addrs,
		Stamp: c.Now, Level: msg.LogInfo, Message: strings.Join(c.Strs("logtext"), " "), Channel: "cluster",
	})
	m.urgent = true
	return command.Committed("")
}

// Messages are those of daemons with lines for the log.
func (m *Service) Messages() []uint16 { return []uint16{msg.TypeLog} }

// Receive takes lines of a daemon. Lines that come again, since their ack was
// lost, are not added twice.
func (m *Service) Receive(s *service.Session, b msg.Body) service.Answer {
	l, ok := b.(*msg.Log)
	if !ok || len(l.Entries) == 0 || !s.Capable("mon", "w") && !s.Capable("log", "w") {
		return service.Answer{}
	}
	last := m.daemons[s.ID]
	for _, e := range l.Entries {
		if e.Seq > last || e.Seq == 0 {
			m.add(e)
			last = max(last, e.Seq)
		}
	}
	m.daemons[s.ID] = last
	return service.Answer{Commit: true, Body: &msg.LogAck{FSID: m.host.FSID(), Last: last, Channel: l.Entries[0].Channel}}
}

// SessionClosed forgets what a session has sent.
func (m *Service) SessionClosed(s *service.Session) {
	delete(m.daemons, s.ID)
}

// Topics are log-LEVEL.
func (m *Service) Topics() []string { return []string{"log-*"} }

// Versions are the numbers of the kept lines.
func (m *Service) Versions(string) (oldest, newest uint64) { return m.first, m.last }

// Publish returns the lines of the level from number next on; for 0 the newest
// one, and then what comes.
func (m *Service) Publish(_ *service.Session, topic string, next uint64) ([]msg.Body, uint64) {
	level, ok := levels[strings.TrimPrefix(topic, "log-")]
	if !ok {
		return nil, next
	}
	if next == 0 {
		for next = m.last; next > m.first; next-- {
			if e, ok := m.at(next); ok && e.Level >= level {
				break
			}
		}
	}
	// Clients drop what has no newer version than what they had.
	out := &msg.Log{Paxos: msg.Paxos{Version: m.last, Session: -1}, FSID: m.host.FSID()}
	for n := max(next, m.first); n <= m.last; n++ {
		if e, ok := m.at(n); ok && e.Level >= level {
			out.Entries = append(out.Entries, e)
		}
	}
	next = max(next, m.last+1)
	if len(out.Entries) == 0 {
		return nil, next
	}
	return []msg.Body{out}, next
}
