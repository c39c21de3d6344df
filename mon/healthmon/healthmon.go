// Package healthmon says how the cluster is (Ceph's HealthMonitor): it gathers
// the checks of all services, keeps which of them are muted, notes changes in
// the cluster log, and answers "health" and "status".
package healthmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

const (
	keyMutes = "mutes"
	interval = 2 * time.Second // between looks at the checks
)

// mute silences a check. It ends when the time is over, when the check clears,
// or when it counts more than it did; a sticky one only when the time is over.
type mute struct {
	Code    string
	Until   time.Time // zero: no end
	Sticky  bool
	Summary string
	Count   int64
}

type mutes map[string]mute

func (l mutes) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	wire.EncodeMap(e, l, func(code string, u mute) {
		e.Str(code)
		e.Time(u.Until)
		e.Bool(u.Sticky)
		e.Str(u.Summary)
		e.S64(u.Count)
	})
	e.End(m)
}

func (l *mutes) Decode(d *wire.Decoder) {
	env := d.Begin("health mutes", 1)
	*l = wire.DecodeMap(d, 25, func() (string, mute) {
		u := mute{Code: d.Str(), Until: d.Time(), Sticky: d.Bool(), Summary: d.Str(), Count: d.S64()}
		return u.Code, u
	})
	d.End(env)
}

// Service is the machine.
type Service struct {
	host      service.Host
	checkers  []service.Checker
	reporters []service.Reporter
	dumpers   []service.Reporter

	mutes   mutes
	pending mutes // nil: unchanged

	known   map[string]service.Check // at the last look
	looked  bool
	nextTry time.Time
	hour    time.Time // of the last line about the whole
}

// New makes the service.
func New(h service.Host) *Service { return &Service{host: h} }

// Watch tells who contributes: checks, the text of "status" and its JSON form,
// which has another order.
func (s *Service) Watch(c []service.Checker, text, dump []service.Reporter) {
	s.checkers, s.reporters, s.dumpers = c, text, dump
}

// Name is the service's.
func (s *Service) Name() string { return "health" }

// Load reads the state.
func (s *Service) Load(r service.Reader) error {
	s.mutes = mutes{}
	s.Drop()
	if v := r.Get(keyMutes); v != nil {
		return wire.Unmarshal(v, &s.mutes)
	}
	return nil
}

// Propose returns what is pending.
func (s *Service) Propose(time.Time) []byte {
	p := s.pending
	s.Drop()
	if p == nil {
		return nil
	}
	return wire.Marshal(p)
}

// Drop forgets what is pending.
func (s *Service) Drop() { s.pending = nil }

// Apply folds a change in.
func (s *Service) Apply(b []byte, w service.Writer) error {
	var l mutes
	if err := wire.Unmarshal(b, &l); err != nil {
		return err
	}
	s.mutes = l
	if s.mutes == nil {
		s.mutes = mutes{}
	}
	w.Put(keyMutes, b)
	return nil
}

func (s *Service) current() mutes {
	if s.pending != nil {
		return s.pending
	}
	return s.mutes
}

func (s *Service) change() mutes {
	if s.pending == nil {
		if s.pending = maps.Clone(s.mutes); s.pending == nil {
			s.pending = mutes{}
		}
	}
	return s.pending
}

// checks gathers all checks by code; two of one code are added up.
func (s *Service) checks(now time.Time) map[string]service.Check {
	all := map[string]service.Check{}
	for _, c := range s.checkers {
		for _, k := range c.Checks(now) {
			if old, ok := all[k.Code]; ok {
				k.Count += old.Count
				k.Detail = append(slices.Clone(old.Detail), k.Detail...)
				k.Severity = max(k.Severity, old.Severity)
			}
			all[k.Code] = k
		}
	}
	return all
}

func codes(all map[string]service.Check) []string { return slices.Sorted(maps.Keys(all)) }

// worst is the severity of what is not muted.
func (s *Service) worst(all map[string]service.Check) service.Severity {
	var w service.Severity
	for code, c := range all {
		if _, muted := s.mutes[code]; !muted {
			w = max(w, c.Severity)
		}
	}
	return w
}

// Overall is the word for the cluster's health, for metrics and admin sockets.
func (s *Service) Overall(now time.Time) service.Severity { return s.worst(s.checks(now)) }

// Lead begins to look anew.
func (s *Service) Lead() { s.looked, s.known, s.nextTry = false, nil, time.Time{} }

// Wake is when the checks are looked at again.
func (s *Service) Wake() time.Time {
	if s.nextTry.IsZero() {
		return s.host.Now()
	}
	return s.nextTry
}

// Tick notes in the log what has changed, and ends mutes.
func (s *Service) Tick(now time.Time) {
	s.nextTry = now.Add(interval)
	all := s.checks(now)
	for _, code := range slices.Sorted(maps.Keys(s.current())) {
		u := s.current()[code]
		c, raised := all[code]
		switch {
		case !u.Until.IsZero() && !now.Before(u.Until):
			s.host.Log(msg.LogInfo, "", "Health alert mute %s cleared (passed TTL)", code)
		case u.Sticky:
			continue
		case !raised:
			s.host.Log(msg.LogInfo, "", "Health alert mute %s cleared (health alert cleared)", code)
		case c.Count > u.Count:
			s.host.Log(msg.LogInfo, "", "Health alert mute %s cleared (count increased from %d to %d)", code, u.Count, c.Count)
		default:
			continue
		}
		delete(s.change(), code)
	}
	if hour := now.Truncate(time.Hour); !s.hour.IsZero() && hour.After(s.hour) {
		s.hour = hour
		s.host.Log(msg.LogInfo, "", "overall %s", strings.TrimSuffix(s.line(all, now), "\n"))
	} else if s.hour.IsZero() {
		s.hour = hour
	}
	if !s.looked {
		// The leader before may have noted the same; what is wrong now is known.
		s.looked, s.known = true, all
		for _, code := range codes(all) {
			s.host.Log(level(all[code].Severity), "", "Health check failed: %s (%s)", all[code].Summary, code)
		}
		return
	}
	for _, code := range codes(all) {
		c := all[code]
		old, was := s.known[code]
		switch {
		case !was:
			s.host.Log(level(c.Severity), "", "Health check failed: %s (%s)", c.Summary, code)
		case old.Summary != c.Summary || old.Severity != c.Severity:
			s.host.Log(level(c.Severity), "", "Health check update: %s (%s)", c.Summary, code)
		}
	}
	for _, code := range codes(s.known) {
		if _, still := all[code]; !still {
			s.host.Log(msg.LogInfo, "", "Health check cleared: %s (was: %s)", code, s.known[code].Summary)
		}
	}
	if len(s.known) > 0 && len(all) == 0 {
		s.host.Log(msg.LogInfo, "", "Cluster is now healthy")
	}
	s.known = all
}

func level(v service.Severity) msg.LogLevel {
	if v == service.Err {
		return msg.LogError
	}
	return msg.LogWarn
}

// Commands registers health ... and status.
func (s *Service) Commands(t *command.Table) {
	t.Read("health", s.health)
	t.Write("health mute", s.mute)
	t.Write("health unmute", s.unmute)
	t.Read("status", s.status)
}

// Dump writes the member "health" of a report.
func (s *Service) Dump(f *jsonfmt.Formatter, now time.Time) {
	f.Object("health", func() { s.dump(f, s.checks(now), true) })
}

// mutedList renders the list of mutes: CODE(59m) CODE.
func (s *Service) mutedList(now time.Time) string {
	var out []string
	for _, code := range slices.Sorted(maps.Keys(s.mutes)) {
		text := code
		if u := s.mutes[code].Until; !u.IsZero() {
			text += "(" + service.Age(u.Sub(now)) + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func (s *Service) health(c *command.Call) command.Reply {
	all := s.checks(c.Now)
	detail := c.Has("detail")
	return c.Either(func() string {
		var b strings.Builder
		b.WriteString(s.line(all, c.Now))
		if detail {
			for _, code := range codes(all) {
				s.detail(&b, all[code], c.Now)
			}
		}
		return b.String()
	}, func(f *jsonfmt.Formatter) { f.Object("health", func() { s.dump(f, all, detail) }) })
}

// line is the whole in one line.
func (s *Service) line(all map[string]service.Check, now time.Time) string {
	text := s.worst(all).String()
	var open []string
	for _, code := range codes(all) {
		if _, muted := s.mutes[code]; !muted {
			open = append(open, all[code].Summary)
		}
	}
	if len(open) > 0 {
		text += " " + strings.Join(open, "; ")
	}
	if len(s.mutes) > 0 {
		if len(open) > 0 {
			text += ";"
		}
		text += " (muted: " + s.mutedList(now) + ")"
	}
	return text + "\n"
}

func (s *Service) detail(b *strings.Builder, k service.Check, now time.Time) {
	if u, muted := s.mutes[k.Code]; muted {
		b.WriteString("(MUTED")
		if !u.Until.IsZero() {
			b.WriteString(" ttl " + service.Age(u.Until.Sub(now)))
			if u.Sticky {
				b.WriteByte(',')
			}
		}
		if u.Sticky {
			b.WriteString(" STICKY")
		}
		b.WriteString(") ")
	}
	short := map[service.Severity]string{service.Warn: "WRN", service.Err: "ERR"}[k.Severity]
	if short == "" {
		short = "OK"
	}
	fmt.Fprintf(b, "[%s] %s: %s\n", short, k.Code, k.Summary)
	for _, d := range k.Detail {
		fmt.Fprintf(b, "    %s\n", d)
	}
}

func (s *Service) dump(f *jsonfmt.Formatter, all map[string]service.Check, detail bool) {
	f.Str("status", s.worst(all).String())
	f.Object("checks", func() {
		for _, code := range codes(all) {
			k := all[code]
			f.Object(code, func() {
				f.Str("severity", k.Severity.String())
				f.Object("summary", func() {
					f.Str("message", k.Summary)
					f.Int("count", k.Count)
				})
				if detail {
					f.Array("detail", func() {
						for _, d := range k.Detail {
							f.Object("item", func() { f.Str("message", d) })
						}
					})
				}
				_, muted := s.mutes[code]
				f.Bool("muted", muted)
			})
		}
	})
	f.Array("mutes", func() {
		for _, code := range slices.Sorted(maps.Keys(s.mutes)) {
			u := s.mutes[code]
			f.Object("mute", func() {
				f.Str("code", code)
				if !u.Until.IsZero() {
					f.Str("ttl", jsonfmt.Time(u.Until))
				}
				f.Bool("sticky", u.Sticky)
				f.Str("summary", u.Summary)
				f.Int("count", u.Count)
			})
		}
	})
}

func (s *Service) mute(c *command.Call) command.Reply {
	code := c.Str("code")
	if code == "" {
		return command.Fail(errno.EINVAL, "must specify an alert code to mute")
	}
	u := mute{Code: code, Sticky: c.Bool("sticky")}
	if ttl := c.Str("ttl"); ttl != "" {
		sec, err := config.ParseSpan(ttl)
		if err != nil {
			return command.Fail(errno.EINVAL, "invalid duration: %s", ttl)
		}
		u.Until = c.Now.Add(time.Duration(sec) * time.Second)
	}
	if !u.Sticky {
		k, raised := s.checks(c.Now)[code]
		if !raised {
			return command.Fail(errno.ENOENT, "health alert %s is not currently raised", code)
		}
		u.Summary, u.Count = k.Summary, k.Count
	}
	s.change()[code] = u
	return command.Committed("")
}

func (s *Service) unmute(c *command.Call) command.Reply {
	code := c.Str("code")
	if code == "" {
		clear(s.change())
		return command.Committed("")
	}
	if _, ok := s.current()[code]; !ok {
		return command.Reply{}
	}
	delete(s.change(), code)
	return command.Committed("")
}

func (s *Service) status(c *command.Call) command.Reply {
	all := s.checks(c.Now)
	return c.Either(func() string { return s.text(all, c.Now) }, func(f *jsonfmt.Formatter) {
		f.Object("status", func() {
			f.Stringer("fsid", s.host.FSID())
			f.Object("health", func() { s.dump(f, all, false) })
			for _, r := range s.dumpers {
				r.StatusDump(f, c.Now)
			}
		})
	}).LineUnlessPlain(c)
}

// text is the plain form of "status". A line with one blank ends each section.
func (s *Service) text(all map[string]service.Check, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  cluster:\n    id:     %v\n    health: %v\n", s.host.FSID(), s.worst(all))
	for _, code := range codes(all) {
		if _, muted := s.mutes[code]; !muted {
			fmt.Fprintf(&b, "            %s\n", all[code].Summary)
		}
	}
	if len(s.mutes) > 0 {
		fmt.Fprintf(&b, "            (muted: %s)\n", s.mutedList(now))
	}
	sections := []service.Section{{Name: "services"}}
	for _, r := range s.reporters {
		sections[0].Lines = append(sections[0].Lines, r.StatusServices(now)...)
	}
	for _, r := range s.reporters {
		sections = append(sections, r.StatusSections(now)...)
	}
	for _, sec := range sections {
		fmt.Fprintf(&b, " \n  %s:\n", sec.Name)
		width := map[string]int{"io": len("recovery:")}[sec.Name]
		for _, l := range sec.Lines {
			width = max(width, len(l.Label)+1)
		}
		for _, l := range sec.Lines {
			label := l.Label
			if label != "" {
				label += ":"
			}
			fmt.Fprintf(&b, "    %s %s\n", label+strings.Repeat(" ", width-len(label)), l.Text)
		}
	}
	b.WriteString(" \n")
	return b.String()
}
