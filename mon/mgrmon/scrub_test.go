package mgrmon

import (
	"fmt"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// told is what OSDs were told, by the session's name.
func (w *world) told() (lines []string) {
	for _, s := range w.sent {
		if m, ok := s.body.(*msg.OSDScrub); ok {
			lines = append(lines, fmt.Sprintf("%v %v all %v deep %v repair %v", s.to.Auth, m.PGs, m.All, m.Deep, m.Repair))
		}
	}
	w.sent = nil
	return lines
}

// The commands check what they are given, and tell the primaries.
func TestScrubCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	primary := w.m.PGToUpActing(object.PG{Pool: 2, Seed: 1}).ActingPrimary
	for _, c := range []struct {
		cmd    string
		no     errno.Errno
		status string
	}{
		{`{"prefix":"pg scrub","pgid":"99.1"}`, errno.ENOENT, "pg 99.1 does not exist"},
		{`{"prefix":"pg scrub","pgid":"2.20"}`, errno.ENOENT, "pg 2.20 does not exist"},
		{`{"prefix":"pg repair","pgid":"xx"}`, errno.EINVAL, "invalid pgid 'xx'"},
		{`{"prefix":"pg scrub","pgid":"2.1"}`, errno.EAGAIN, fmt.Sprintf("pg 2.1 primary osd.%d is not currently connected", primary)},
		{`{"prefix":"osd scrub","who":"99"}`, errno.EAGAIN, "osd.99 is not up"},
		{`{"prefix":"osd scrub","who":"x"}`, errno.EINVAL, "Expected option value to be integer, got 'x'invalid osd 'x'"},
		{`{"prefix":"osd scrub","who":"0"}`, errno.EAGAIN, "failed to instruct osd(s) 0 to scrub (not connected)"},
	} {
		wantReply(t, w, c.cmd, c.no, c.status, "")
	}
	if lines := w.told(); len(lines) > 0 {
		t.Errorf("told %v", lines)
	}
	w.settle()
	wantReply(t, w, `{"prefix":"pg deep-scrub","pgid":"2.1"}`, 0, fmt.Sprintf("instructing pg 2.1 on osd.%d to deep-scrub", primary), "")
	wantReply(t, w, `{"prefix":"osd repair","who":"0"}`, 0, "instructed osd(s) 0 to repair", "")
	want := []string{fmt.Sprintf("osd.%d [2.1] all false deep true repair false", primary), "osd.0 [] all true deep false repair true"}
	if got := w.told(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %q, want %q", got, want)
	}
	wantReply(t, w, `{"prefix":"osd pool scrub","who":["`+w.m.PoolNames[2]+`"]}`, 0, "", "")
	groups := uint32(0)
	for _, s := range w.sent {
		groups += uint32(len(s.body.(*msg.OSDScrub).PGs))
	}
	if want := w.m.Pools[2].PGNum; groups != want {
		t.Errorf("%d groups of %d are to be scrubbed", groups, want)
	}
	wantReply(t, w, `{"prefix":"osd pool scrub","who":["nix"]}`, errno.ENOENT, "unrecognized pool 'nix'", "")
}

func TestScrubHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	day := 24 * time.Hour
	stamps := func(scrub, deep time.Duration) func(*msg.PGStat) {
		return func(g *msg.PGStat) { g.LastScrubStamp, g.LastDeepStamp = w.now.Add(-scrub), w.now.Add(-deep) }
	}
	w.again("2.0", healthy, stamps(10*day, 12*day))
	w.again("2.1", healthy, stamps(11*day, 12*day))
	w.again("2.2", healthy, stamps(11*day, 13*day))
	r := w.groupsReport(0)
	r.Stat.ShardsRepaired = 11
	w.report(r)
	got := map[string]string{}
	detail := map[string][]string{}
	for _, c := range w.s.Checks(w.now) {
		got[c.Code], detail[c.Code] = c.Summary, c.Detail
	}
	for code, want := range map[string]string{"PG_NOT_SCRUBBED": "2 pgs not scrubbed in time", "PG_NOT_DEEP_SCRUBBED": "1 pgs not deep-scrubbed in time",
		"OSD_TOO_MANY_REPAIRS": "Too many repaired reads on 1 OSDs"} {
		if got[code] != want {
			t.Errorf("%s: %q, want %q", code, got[code], want)
		}
	}
	if d := detail["PG_NOT_DEEP_SCRUBBED"]; len(d) != 1 || d[0] != "pg 2.2 not deep-scrubbed since 2026-11-08T09:00:00.000000+0000" {
		t.Errorf("%q", d)
	}
	if d := detail["OSD_TOO_MANY_REPAIRS"]; len(d) != 1 || d[0] != "osd.0 had 11 reads repaired" {
		t.Errorf("%q", d)
	}
	w.options["mon_warn_pg_not_scrubbed_ratio"] = "0"
	for _, c := range w.s.Checks(w.now) {
		if c.Code == "PG_NOT_SCRUBBED" {
			t.Errorf("still %s", c.Summary)
		}
	}
}
