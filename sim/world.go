package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
)

// birth is when all worlds begin.
var birth = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// World is one run: a cluster and its time.
type World struct {
	plan  *Plan
	now   moment
	queue queue
	trace io.Writer // nil: none is wanted
	draws map[string]*rand.Rand
	skew  map[string]time.Duration // of hosts' clocks
	dark  map[string]bool          // hosts without power
	net   *network

	mons    []*monitor
	osds    []*osdHost
	clients []*client
	admin   *admin

	events  int
	err     *Violation
	checks  []check
	history history
	snaps   []uint64 // of the pool, newest first
	book    *book    // of maps
	stats   Stats
}

// Stats tell what a run was made of.
type Stats struct {
	Events    int
	Virtual   time.Duration
	Acked     int // operations that were answered
	Maybe     int // that were not: they may have happened
	Restarts  int
	Elections int
	Epochs    int
}

// Violation is what a run is ended by.
type Violation struct {
	Check string // which invariant: the name of its file without "check_"
	At    time.Duration
	Text  string
}

func (v *Violation) Error() string { return fmt.Sprintf("%v: %s: %s", v.At, v.Check, v.Text) }

func newWorld(p *Plan, trace io.Writer) *World {
	w := &World{plan: p, trace: trace, draws: map[string]*rand.Rand{}, skew: map[string]time.Duration{}, dark: map[string]bool{}}
	w.net = newNetwork(w)
	w.checks = allChecks(w)
	return w
}

// wall is what a right clock shows at a moment.
func (w *World) wall(at moment) time.Time { return birth.Add(time.Duration(at)) }

func (w *World) elapsed() time.Duration { return time.Duration(w.now) }

func (w *World) at(at moment, f func())          { w.queue.add(max(at, w.now), f) }
func (w *World) after(d time.Duration, f func()) { w.queue.add(w.now+moment(d), f) }
func (w *World) upTo(p string, d time.Duration) time.Duration {
	r := w.draws[p]
	if r == nil {
		r = w.stream(p)
		w.draws[p] = r
	}
	return time.Duration(r.Int64N(int64(d)))
}

// fail ends the run.
func (w *World) fail(check, format string, args ...any) {
	if w.err == nil {
		w.err = &Violation{check, w.elapsed(), fmt.Sprintf(format, args...)}
		w.tracef("VIOLATION %s: %s", check, w.err.Text)
	}
}

// tracef adds a line to the trace.
func (w *World) tracef(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%12.6f ", w.elapsed().Seconds())
		fmt.Fprintf(w.trace, format, args...)
		fmt.Fprintln(w.trace)
	}
}

// processes are those that live, in a fixed order.
func (w *World) processes() []*process {
	var out []*process
	add := func(p *process) {
		if p != nil && p.alive {
			out = append(out, p)
		}
	}
	for _, m := range w.mons {
		add(m.p)
	}
	for _, o := range w.osds {
		add(o.p)
	}
	for _, c := range w.clients {
		add(c.p)
	}
	if w.admin != nil {
		add(w.admin.p)
	}
	return out
}

// hosts are the names of all that can be broken.
func (w *World) hosts() []string {
	var out []string
	for _, m := range w.mons {
		out = append(out, m.name)
	}
	for _, o := range w.osds {
		out = append(out, o.name)
	}
	for _, c := range w.clients {
		out = append(out, c.name)
	}
	return out
}

// run lets events happen until done, checked after each, or a time has passed. It
// reports whether done.
func (w *World) run(limit time.Duration, done func() bool) bool {
	end := w.now + moment(limit)
	last, busy := w.now, 0
	for w.err == nil {
		if done != nil && done() {
			return true
		}
		ev, ok := w.queue.next()
		if !ok {
			return false
		}
		if ev.at > end {
			w.queue.add(ev.at, ev.do)
			w.now = end
			return done == nil
		}
		w.now = ev.at
		ev.do()
		w.events++
		for _, c := range w.checks {
			if c.step != nil {
				c.step()
			}
		}
		if busy++; w.now-last > moment(time.Millisecond) {
			last, busy = w.now, 0
		} else if busy > 200000 {
			w.fail("livelock", "%d events within a millisecond", busy)
		}
	}
	return false
}

// sent sees every message that is sent.
func (w *World) sent(e *end, b msg.Body, tid uint64) {
	if w.trace != nil {
		w.tracef("%v > %v #%d %s", e.p, e.peer.p, tid, describe(b))
	}
	for _, c := range w.checks {
		if c.sent != nil {
			c.sent(e, b)
		}
	}
}

// describe is a message in a few words.
func describe(b msg.Body) string {
	switch b := b.(type) {
	case *msg.OSDOp:
		return fmt.Sprintf("osd_op(%v e%d %s %s retry %d)", b.PG, b.Epoch, b.OID, opNames(b.Ops), b.Retry)
	case *msg.OSDOpReply:
		return fmt.Sprintf("osd_op_reply(%v e%d %s = %d v%v)", b.PG, b.Epoch, b.OID, b.Result, b.ReplayVersion)
	case *msg.OSDMap:
		return fmt.Sprintf("osd_map(%d full, %d inc, newest %d)", len(b.Full), len(b.Incrementals), b.Newest)
	case *msg.OSDBoot:
		return fmt.Sprintf("osd_boot(osd.%d e%d %v)", b.ID, b.Epoch, b.Public)
	case *msg.OSDReport:
		return fmt.Sprintf("osd_report(osd.%d e%d, %d pgs)", b.ID, b.Epoch, len(b.PGs))
	case *msg.PGPeer:
		return fmt.Sprintf("pg_peer(%v e%d interval %d kind %d, %d bytes)", b.PG, b.Epoch, b.Interval, b.Kind, len(b.Front)+b.Payload().Len())
	case *msg.MonPeer:
		return fmt.Sprintf("mon_peer(%d bytes)", len(b.Text))
	case *msg.OSDBackoff:
		return fmt.Sprintf("osd_backoff(%v e%d what %d id %d)", b.PG, b.Epoch, b.What, b.ID)
	case *msg.MonCommand:
		return fmt.Sprintf("mon_command(%s)", strings.Join(b.Cmd, " "))
	case *msg.MonCommandAck:
		return fmt.Sprintf("mon_command_ack(%d %s)", b.Result, b.Status)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", b), "*msg.")
}

func opNames(ops []msg.Op) string {
	names := make([]string, len(ops))
	for i := range ops {
		names[i] = ops[i].Code.String()
	}
	return strings.Join(names, ",")
}

// match are the hosts that a name of a plan means: itself, or all with "*".
func (w *World) match(name string) []string {
	all := w.hosts()
	if name == "*" {
		return all
	}
	if slices.Contains(all, name) {
		return []string{name}
	}
	return nil
}
