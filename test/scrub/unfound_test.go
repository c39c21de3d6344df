package scrub

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/rados"
)

// Two OSDs are killed, what is written then is on the third alone, and that is
// killed when the others know of it and have not got it. The stock tool shows what is
// unfound, is refused while the OSD may come back, and gives up what is lost when it
// is declared so: in one pool for what was there before, in the other for nothing. Who
// comes back in the end with what was given up takes over what was decided.
func TestUnfound(t *testing.T) {
	t.Parallel()
	peer.Require(t, "ceph")
	l := start(t, true)
	revert := l.pg
	pools := map[string]*rados.Pool{"revert": l.pool}
	l.make("bin")
	pools["delete"] = l.pool
	groups := map[string]object.SPG{"revert": revert, "delete": l.pg}
	each := func(do func(how string)) {
		for _, how := range []string{"revert", "delete"} {
			l.pg, l.pool = groups[how], pools[how]
			do(how)
		}
	}
	for _, pool := range []string{"data", "bin"} {
		l.command(rados.ToMons(), map[string]any{"prefix": "osd pool set", "pool": pool, "var": "min_size", "val": "1"})
	}
	write := func(name, text string) { l.must(l.pool.WriteFull(l.ctx, name, []byte(text))) }
	each(func(string) {
		l.waitState("active+clean")
		write("old", "before")
		write("kept", "before")
	})
	kill := func(osd int) {
		l.Kill(fmt.Sprint("osd.", osd))
		each(func(string) { l.without(osd) })
	}
	last, others := 0, []int{1, 2}
	for _, osd := range others {
		kill(osd)
	}
	each(func(string) {
		write("old", "after")
		write("new", "after")
	})
	l.command(rados.ToMons(), map[string]any{"prefix": "osd set", "key": "norecover"})
	for _, osd := range others {
		l.StartDaemon(fmt.Sprint("osd.", osd))
	}
	each(func(string) {
		l.wait("all know of the writes", func() (string, bool) {
			state, acting, _ := l.group()
			return state, len(acting) == 3 && strings.HasPrefix(state, "active+")
		})
	})
	kill(last)
	l.command(rados.ToMons(), map[string]any{"prefix": "osd unset", "key": "norecover"})
	each(func(string) {
		l.wait("objects are unfound", func() (string, bool) {
			state, _, _ := l.group()
			return state, strings.HasPrefix(state, "active+recovery_unfound")
		})
	})

	l.wait("health tells of it", func() (string, bool) {
		b := string(l.plain(map[string]any{"prefix": "health", "detail": "detail"}))
		for _, line := range []string{
			"OBJECT_UNFOUND: 4/6 objects unfound (66.667%)\n",
			fmt.Sprintf("    pg %v has 2 unfound objects\n", groups["revert"].PG),
			fmt.Sprintf("    pg %v has 2 unfound objects\n", groups["delete"].PG),
			"PG_DAMAGED: Possible data damage: 2 pgs recovery_unfound\n",
			fmt.Sprintf("    pg %v is active+recovery_unfound+undersized+degraded, acting [", l.pg.PG),
			"], 2 unfound\n",
		} {
			if !strings.Contains(b, line) {
				return fmt.Sprintf("no %q in\n%s", line, b), false
			}
		}
		return "", true
	})
	each(func(how string) {
		var list struct {
			Missing int `json:"num_missing"`
			Unfound int `json:"num_unfound"`
			Objects []struct{ OID struct{ OID string } }
			Might   []struct{ OSD, Status string } `json:"might_have_unfound"`
		}
		out := l.ceph("pg", l.pg.PG.String(), "list_unfound")
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		var names []string
		for _, o := range list.Objects {
			names = append(names, o.OID.OID)
		}
		slices.Sort(names)
		if list.Missing != 2 || list.Unfound != 2 || !slices.Equal(names, []string{"new", "old"}) || !strings.Contains(out, `"osd is down"`) {
			t.Errorf("%s", out)
		}
	})
	const refusal = "Error EINVAL: pg has 2 unfound objects but we haven't probed all sources, not marking lost\n"
	if out := l.ceph("pg", l.pg.PG.String(), "mark_unfound_lost", "revert"); out != refusal {
		t.Errorf("given up while osd.%d may come back: %q", last, out)
	}
	l.command(rados.ToMons(), map[string]any{"prefix": "osd lost", "id": last, "yes_i_really_mean_it": true})
	each(func(how string) {
		var out string
		l.wait("it is given up", func() (string, bool) {
			out = l.ceph("pg", l.pg.PG.String(), "mark_unfound_lost", how)
			return out, out != refusal // the OSD has not heard yet
		})
		if out != "pg has 2 objects unfound and apparently lost marking\n" {
			t.Errorf("mark_unfound_lost %s: %q", how, out)
		}
	})
	settled := func() {
		t.Helper()
		each(func(how string) {
			for name, want := range map[string]string{"old": map[string]string{"revert": "before"}[how], "new": "", "kept": "before"} {
				got, err := l.pool.ReadFull(l.ctx, name)
				if want == "" && !errors.Is(err, rados.ErrNotFound) || want != "" && (err != nil || string(got) != want) {
					t.Errorf("after %s, %s is %q, %v; want %q", how, name, got, err, want)
				}
			}
		})
	}
	settled()
	l.StartDaemon(fmt.Sprint("osd.", last))
	each(func(string) {
		l.waitState("active+clean")
		l.scrub()
		l.waitState("active+clean")
	})
	l.waitComplaints()
	settled()
}

// ceph is what the stock tool says.
func (l *lab) ceph(args ...string) string {
	l.t.Helper()
	cmd := exec.CommandContext(l.ctx, "ceph", args...)
	cmd.Env = peer.Env(filepath.Join(l.Dir, "ceph.conf"))
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		l.t.Fatalf("ceph %v: %v", args, err)
	}
	return string(out)
}
