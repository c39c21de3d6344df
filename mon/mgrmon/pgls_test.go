package mgrmon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
)

func pgName(pool int64, seed uint32) string { return fmt.Sprintf("%d.%x", pool, seed) }

// listed are the groups in a table.
func listed(out string) (pgs []string) {
	for l := range strings.Lines(out) {
		if c := strings.Fields(l); len(c) > 3 && strings.Contains(c[0], ".") {
			pgs = append(pgs, c[0])
		}
	}
	return pgs
}

func TestListGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	w.again("3.2", msg.PGActive|msg.PGDegraded, nil)
	w.again("6.1", msg.PGPeering, nil)
	for args, want := range map[string][]string{
		`"pool":1`:                            {"1.0"},
		`"states":["degraded"]`:               {"3.2"},
		`"states":["degraded","peering"]`:     {"3.2", "6.1"},
		`"states":["peering"],"pool":3`:       nil,
		`"states":["unknown"]`:                nil,
		`"states":["peering","all"],"pool":1`: {"1.0"},
	} {
		if got := listed(string(w.run(`{"prefix":"pg ls",` + args + `}`).Output)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	var byOSD, byPrimary []string
	for g := range w.s.pgmap().groups() {
		if slices.Contains(g.Acting, 2) {
			byOSD = append(byOSD, g.PG.String())
		}
		if g.ActingPrimary == 2 {
			byPrimary = append(byPrimary, g.PG.String())
		}
	}
	if got := listed(string(w.run(`{"prefix":"pg ls-by-osd","osd":2}`).Output)); !slices.Equal(got, byOSD) || len(got) == 0 {
		t.Errorf("%q, want %q", got, byOSD)
	}
	if got := listed(string(w.run(`{"prefix":"pg ls-by-primary","osd":2}`).Output)); !slices.Equal(got, byPrimary) || len(got) == 0 {
		t.Errorf("%q, want %q", got, byPrimary)
	}
	const states = "available choices: stale+creating+active+activating+clean+recovery_wait+recovery_toofull+recovering+forced_recovery+down+" +
		"recovery_unfound+backfill_unfound+undersized+degraded+remapped+premerge+scrubbing+deep+inconsistent+peering+repair+backfill_wait+" +
		"backfilling+forced_backfill+backfill_toofull+incomplete+peered+snaptrim+snaptrim_wait+snaptrim_error"
	for cmd, want := range map[string]struct {
		no     errno.Errno
		status string
		output string
	}{
		`{"prefix":"pg ls-by-pool","poolstr":"nope"}`:                 {errno.ENOENT, "pool nope does not exist", ""},
		`{"prefix":"pg ls-by-pool","poolstr":"nope","format":"json"}`: {errno.ENOENT, "pool nope does not exist", `{"pg_ready":true}`},
		`{"prefix":"pg ls","pool":99}`:                                {errno.ENOENT, "pool 99 does not exist", ""},
		`{"prefix":"pg ls-by-osd","osd":77}`:                          {errno.EAGAIN, "osd 77 is not up", ""},
		`{"prefix":"pg ls-by-osd","osd":4294967296}`:                  {errno.EAGAIN, "osd 4294967296 is not up", ""},
		`{"prefix":"pg ls","states":["active","bogus"]}`:              {errno.EINVAL, "'bogus' is not a valid pg state, " + states, ""},
		`{"prefix":"pg ls","states":["snaptrim"],"format":"json"}`:    {0, "", `{"pg_ready":true}`},
	} {
		wantReply(t, w, cmd, want.no, want.status, want.output)
	}
}

func TestDumpStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	w.again("2.0", msg.PGPeering, nil)
	w.again("2.1", msg.PGActive|msg.PGDegraded|msg.PGUndersized, nil)
	w.again("2.2", msg.PGActive|msg.PGStale, nil)
	ask := func(args string) []string {
		t.Helper()
		r := w.run(`{"prefix":"pg dump_stuck"` + args + `}`)
		if r.Failed() || r.Status != "ok" {
			t.Errorf("%s: %d %q", args, r.Errno, r.Status)
		}
		return listed(string(r.Output))
	}
	if got := ask(""); got != nil {
		t.Errorf("%q are stuck at once", got)
	}
	w.pass(90 * time.Second)
	for args, want := range map[string][]string{
		``:                                   {"2.0", "2.1", "2.2"},
		`,"threshold":91`:                    nil,
		`,"stuckops":["inactive"]`:           {"2.0"},
		`,"stuckops":["peering"]`:            {"2.0"},
		`,"stuckops":["degraded"]`:           {"2.1"},
		`,"stuckops":["undersized","stale"]`: {"2.1", "2.2"},
	} {
		if got := ask(args); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	wantReply(t, w, `{"prefix":"pg dump_stuck","stuckops":["foo"]}`, 0, "failed", "Unknown type: foo\n")
	wantReply(t, w, `{"prefix":"pg dump_stuck","stuckops":["foo"],"format":"json"}`, 0, "failed", "Unknown type: foo\n"+`{"pg_ready":true}`)
}

func TestDumpParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	for cmd, want := range map[string]string{
		`{"prefix":"pg dump","dumpcontents":["pools","osds","delta"],"format":"json"}`: `{"pg_ready":true,"pool_stats":[{"poolid":7,`,
		`{"prefix":"pg dump_json","dumpcontents":["sum"]}`:                             `{"pg_ready":true,"pg_map":{"version":0,`,
		`{"prefix":"pg dump_pools_json"}`:                                              `{"pg_ready":true,"pool_stats":[`,
		`{"prefix":"pg dump","dumpcontents":["pgs"],"format":"json"}`:                  `{"pg_ready":true,"pg_stats":[{"pgid":"1.0","version":"0'0",`,
		`{"prefix":"pg dump","dumpcontents":["osds"]}`:                                 `OSD_STAT  USED   AVAIL   USED_RAW  TOTAL   HB_PEERS  PG_SUM  PRIMARY_PG_SUM` + "\n2    ",
	} {
		if got := string(w.run(cmd).Output); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.120q", cmd, got)
		}
	}
	for cmd, status := range map[string]string{
		`{"prefix":"pg dump","dumpcontents":["pools","osds","delta","osds"]}`: "dumped delta,osds,pools",
		`{"prefix":"pg dump_json","dumpcontents":["sum"]}`:                    "dumped all",
		`{"prefix":"pg dump_pools_json"}`:                                     "dumped pools",
	} {
		if got := w.run(cmd).Status; got != status {
			t.Errorf("%s: %q", cmd, got)
		}
	}
	if got := string(w.run(`{"prefix":"pg dump","dumpcontents":["pgs_brief"],"format":"json"}`).Output); strings.Count(got, `"pgid":`) != 105 || strings.Contains(got, "stat_sum") {
		t.Errorf("%.200q", got)
	}
	wantReply(t, w, `{"prefix":"pg dump","dumpcontents":["bogus"]}`, 0, "dumped bogus", "")
}

func TestDebugQuestions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	wantReply(t, w, `{"prefix":"pg debug"}`, 0, "", "FALSE\n")
	w.again("2.0", msg.PGActive, func(g *msg.PGStat) { g.Objects.Unfound = 1 })
	wantReply(t, w, `{"prefix":"pg debug","debugop":"unfound_objects_exist"}`, 0, "", "TRUE\n")
	wantReply(t, w, `{"prefix":"pg debug","debugop":"degraded_pgs_exist"}`, 0, "", "FALSE\n")
	w.again("2.1", msg.PGActive, func(g *msg.PGStat) { g.Objects.Degraded = 1 })
	wantReply(t, w, `{"prefix":"pg debug","debugop":"degraded_pgs_exist"}`, 0, "", "TRUE\n")
	wantReply(t, w, `{"prefix":"pg debug","debugop":"foo"}`, errno.EINVAL, "No handler found for 'pg debug'", "")
}

func TestBlockedBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.again("2.0", msg.PGPeering, func(g *msg.PGStat) { g.BlockedBy = []int32{4, 7} })
	w.again("2.1", msg.PGPeering, func(g *msg.PGStat) { g.BlockedBy = []int32{4} })
	wantReply(t, w, `{"prefix":"osd blocked-by"}`, 0, "", "osd  num_blocked\n  4            2\n  7            1\n")
}
