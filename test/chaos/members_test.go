package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestMembers(t *testing.T) {
	t.Parallel()
	members(t, 5, 16, 3*time.Second)
}

func TestMembersSoak(t *testing.T) {
	t.Parallel()
	members(t, 5*binary.SoakRounds(t), 32, 40*time.Second)
}

// members takes single daemons away from a cluster of three monitors and five
// OSDs with three copies of everything, under load: killed, or stopped for up to
// pause and then let go on, as a machine that hangs. At most one monitor and one
// OSD are away at a time; each comes back by itself, the next may go before its
// groups are whole.
//
// No client may notice but by waiting: the writers get no error, nothing that was
// acknowledged is lost and nothing is done twice. Afterwards all groups are
// active and clean within a minute, and a deep scrub finds all copies alike.
func members(t *testing.T, rounds, writers int, pause time.Duration) {
	const pool, clients, mons, osds = "chaos", 4, 3, 5
	l := New(seed(t), writers, 6)
	r := rand.New(rand.NewPCG(l.Seed, 1<<33))
	dir := binary.Dir(t)
	binary.Up(t, dir, "--mons", fmt.Sprint(mons), "--osds", fmt.Sprint(osds), "--processes", "--osd-size", fmt.Sprint(4<<30))
	admin := connect(t, binary.Conf(dir))
	createPool(t, admin, pool)
	for _, set := range [][2]string{{"size", "3"}, {"min_size", "2"}} { // min_size is at most size
		command(t, admin, map[string]string{"prefix": "osd pool set", "pool": pool, "var": set[0], "val": set[1]})
	}
	waitClean(t, admin)

	crew := newCrew()
	var pools [clients]Pool
	for i := range pools {
		pools[i] = openPool(t, connect(t, binary.Conf(dir)), pool)
	}
	for i, w := range l.Writers {
		crew.add(t.Context(), w, pools[i%clients])
	}
	for round := range rounds {
		victims := []string{fmt.Sprintf("osd.%d", r.IntN(osds))}
		switch r.IntN(4) {
		case 0:
			victims = append(victims, "mon."+string(rune('a'+r.IntN(mons))))
		case 1:
			victims[0] = "mon." + string(rune('a'+r.IntN(mons)))
		}
		hang := time.Duration(0)
		if r.IntN(3) == 0 {
			hang = time.Duration(r.Int64N(int64(pause)))
		}
		before := l.Acked()
		var away []*binary.Process
		for _, name := range victims {
			p := binary.Daemon(t, dir, name)
			if hang > 0 {
				p.Signal(unix.SIGSTOP)
				away = append(away, p)
			} else {
				p.Kill(t)
			}
		}
		time.Sleep(hang)
		for _, p := range away {
			p.Signal(unix.SIGCONT)
		}
		waitWithin(t, l.After(300), time.Minute, "progress after "+strings.Join(victims, " and "))
		for _, name := range victims {
			waitDaemon(t, dir, name)
		}
		t.Logf("round %d: %s, hung for %v; %d operations", round+1, strings.Join(victims, " and "), hang.Round(time.Millisecond), l.Acked()-before)
	}
	stuck := time.AfterFunc(patience*2/3, func() { describe(t, admin, osds) })
	crew.finish(t)
	stuck.Stop()
	waitClean(t, admin)
	verify(t, l, openPool(t, admin, pool))
	scrub(t, admin)
	binary.Down(t, dir)
	fsck(t, dir, osds)
}

// describe logs what is not as it should be, and what OSDs have not answered.
func describe(t *testing.T, c *rados.Cluster, osds int) {
	ctx, cancel := context.WithTimeout(t.Context(), patience/6)
	defer cancel()
	if r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "pg dump_stuck"}, nil); err == nil {
		t.Logf("%s", r.Data)
	}
	for i := range osds {
		r, err := c.Command(ctx, rados.ToOSD(i), map[string]string{"prefix": "dump_ops_in_flight"}, nil)
		t.Logf("osd.%d: %v %s", i, err, r.Data)
	}
}

// command runs a command of the monitors that must succeed.
func command(t *testing.T, c *rados.Cluster, cmd map[string]string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := c.Command(ctx, rados.ToMons(), cmd, nil)
	if err != nil {
		t.Fatalf("%s: %v", cmd["prefix"], err)
	}
	return r.Data
}

// group is what a cluster says of a placement group.
type group struct {
	ID    string `json:"pgid"`
	State string `json:"state"`
	Stamp string `json:"last_deep_scrub_stamp"`
}

func groups(t *testing.T, c *rados.Cluster) []group {
	t.Helper()
	var list struct {
		Stats []group `json:"pg_stats"`
	}
	if err := json.Unmarshal(command(t, c, map[string]string{"prefix": "pg ls", "format": "json"}), &list); err != nil {
		t.Fatal(err)
	}
	return list.Stats
}

// waitClean waits until all groups are active and clean, a minute at most.
func waitClean(t *testing.T, c *rados.Cluster) {
	t.Helper()
	waitGroups(t, c, "clean", func(g group) bool { return g.State == "active+clean" })
}

func waitGroups(t *testing.T, c *rados.Cluster, what string, done func(group) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var left []string
		all := groups(t, c)
		for _, g := range all {
			if !done(g) {
				left = append(left, g.ID+" "+g.State)
			}
		}
		if len(all) > 0 && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute not %s: %s", what, strings.Join(left, ", "))
		}
	}
}

// scrub compares all copies of everything.
func scrub(t *testing.T, c *rados.Cluster) {
	t.Helper()
	before := map[string]string{}
	for _, g := range groups(t, c) {
		before[g.ID] = g.Stamp
		command(t, c, map[string]string{"prefix": "pg deep-scrub", "pgid": g.ID})
	}
	waitGroups(t, c, "scrubbed", func(g group) bool {
		if strings.Contains(g.State, "inconsistent") {
			t.Fatalf("%s is %s", g.ID, g.State)
		}
		return g.Stamp != before[g.ID] && g.State == "active+clean"
	})
}

// waitDaemon waits until a daemon runs again.
func waitDaemon(t *testing.T, dir, name string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		for _, p := range binary.Daemons(dir) {
			p.Close()
			if p.Daemon == name {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not started again\n%s", name, binary.LogTail(dir))
		}
	}
}
