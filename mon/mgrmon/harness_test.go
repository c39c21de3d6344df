package mgrmon

import (
	"io"
	"iter"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// world is a monitor with nothing but statistics.
type world struct {
	t       *testing.T
	s       *Service
	table   *command.Table
	m       *osdmap.Map
	now     time.Time
	options map[string]string
	heard   []int32
	sent    []sending
}

// sending is a message to a session.
type sending struct {
	to   *service.Session
	body msg.Body
}

func newWorld(t *testing.T, m *osdmap.Map) *world {
	t.Helper()
	w := &world{t: t, m: m, now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), options: map[string]string{}, table: command.NewTable()}
	w.s = newService(w, w)
	w.s.Commands(w.table)
	return w
}

func readMap(t *testing.T, file string) *osdmap.Map {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := osdmap.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The OSD map's service.

func (w *world) Map() *osdmap.Map                         { return w.m }
func (w *world) Metadata(int32) map[string]string         { return map[string]string{"hostname": "vm"} }
func (w *world) Heard(_ *service.Session, osd int32)      { w.heard = append(w.heard, osd) }
func (w *world) Name() string                             { return "a" }
func (w *world) FSID() msg.FSID                           { return w.m.FSID }
func (w *world) Now() time.Time                           { return w.now }
func (w *world) Rand() io.Reader                          { return nil }
func (w *world) Leader() bool                             { return true }
func (w *world) Reader(string) service.Reader             { return nil }
func (w *world) Send(s *service.Session, b msg.Body)      { w.sent = append(w.sent, sending{s, b}) }
func (w *world) Sessions() iter.Seq[*service.Session]     { return func(func(*service.Session) bool) {} }
func (w *world) Log(msg.LogLevel, string, string, ...any) {}
func (w *world) Option(name string) string                { return w.options[name] }

// session is one of an account with the given capabilities on the monitors.
func (w *world) session(name, mon string) *service.Session {
	w.t.Helper()
	n, err := entity.ParseAuthName(name)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &service.Session{ID: 1, Auth: n, Name: entity.Name{Type: n.Type, Num: 1}}
	if mon != "" {
		if s.Caps, err = caps.ParseMon(mon, n.ID); err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

func (w *world) osdSession(id int32) *service.Session {
	return w.session("osd."+strconv.Itoa(int(id)), "allow profile osd")
}

// report delivers a report as its OSD would.
func (w *world) report(r *msg.OSDReport) {
	w.t.Helper()
	w.s.Receive(w.osdSession(r.ID), r)
}

// run gives a command to the statistics.
func (w *world) run(cmd string) command.Reply {
	w.t.Helper()
	c, err := command.Parse([]string{cmd})
	if err != nil {
		w.t.Fatal(err)
	}
	c.Now = w.now
	e := w.table.Find(c.Prefix)
	if e == nil {
		w.t.Fatalf("no command %q", c.Prefix)
	}
	if bad, ok := e.Check(c); !ok {
		return command.Fail(22, "bad or missing field '%s'", bad)
	}
	return e.Run(c)
}

// pass lets time go by, with the ticks that are asked for.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		if next := w.s.Wake(); next.After(w.now) && next.Before(end) {
			w.now = next
		} else if !next.After(w.now) {
			w.s.Tick(w.now)
		} else {
			w.now = end
		}
	}
}

// group is what the primary tells of a group that is as the map wants it.
func (w *world) group(pg string, state msg.PGState) msg.PGStat {
	w.t.Helper()
	id, err := object.ParsePG(pg)
	if err != nil {
		w.t.Fatal(err)
	}
	at := w.m.PGToUpActing(id)
	return msg.PGStat{
		PG: id, State: state, ReportedEpoch: w.m.Epoch, ReportedSeq: 1, LastEpochClean: w.m.Epoch,
		LastFresh: w.now, LastChange: w.now, LastActive: w.now, LastPeered: w.now, LastClean: w.now, LastUnstale: w.now,
		LastUndegraded: w.now, LastFullsized: w.now,
		Up: at.Up, Acting: at.Acting, UpPrimary: at.UpPrimary, ActingPrimary: at.ActingPrimary,
	}
}

// groupsReport makes a report about groups.
func (w *world) groupsReport(osd int32, groups ...msg.PGStat) *msg.OSDReport {
	r := &msg.OSDReport{ID: osd, Epoch: w.m.Epoch, PGs: groups}
	r.Stat.Store = msg.StoreStats{Total: 10 << 30, Available: 9 << 30}
	if o := w.s.pgs.osds[osd]; o != nil {
		r.Stat.Seq = o.stat.Seq + 1
	}
	return r
}

const healthy = msg.PGActive | msg.PGClean

// settle makes all OSDs that are up report that all groups are well.
func (w *world) settle() {
	w.t.Helper()
	reports := map[int32]*msg.OSDReport{}
	for o := range w.m.MaxOSD {
		if w.m.IsUp(o) {
			reports[o] = w.groupsReport(o)
		}
	}
	for id, p := range w.m.Pools {
		for i := range p.PGNum {
			g := w.group(object.PG{Pool: id, Seed: i}.String(), healthy)
			if r := reports[g.ActingPrimary]; r != nil {
				r.PGs = append(r.PGs, g)
			}
		}
	}
	for _, r := range reports {
		w.report(r)
	}
}

// change publishes the next map.
func (w *world) change(edit func(*osdmap.Incremental)) {
	w.t.Helper()
	inc := osdmap.NewIncremental(w.m.FSID, w.m.Epoch+1)
	edit(inc)
	m, err := w.m.Apply(inc)
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
}

func (w *world) down(osd int32) {
	w.change(func(inc *osdmap.Incremental) { inc.NewState[osd] = osdmap.StateUp })
}

// states are the numbers of groups in each state.
func (w *world) states() map[string]int {
	out := map[string]int{}
	for state, n := range w.s.pgmap().current().all.states {
		out[state.String()] = n
	}
	return out
}

// wantChecks compares the summaries of the health checks by code.
func (w *world) wantChecks(want map[string]string) map[string]service.Check {
	w.t.Helper()
	got := map[string]service.Check{}
	for _, c := range w.s.Checks(w.now) {
		if _, twice := got[c.Code]; twice {
			w.t.Errorf("%s twice", c.Code)
		}
		got[c.Code] = c
		if want[c.Code] != c.Summary {
			w.t.Errorf("%s: %q, want %q", c.Code, c.Summary, want[c.Code])
		}
	}
	for code := range want {
		if _, ok := got[code]; !ok {
			w.t.Errorf("no %s", code)
		}
	}
	return got
}
