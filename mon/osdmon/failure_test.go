package osdmon

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// hosts boots so many OSDs, two on each host.
func (c *cluster) hosts(n int) []*process {
	c.T.Helper()
	var all []*process
	for o := range int32(n) {
		p := c.start(o)
		c.Run("osd crush set", "id", o, "weight", 1.0, "args", []string{"root=default", fmt.Sprintf("host=h%d", o/2)})
		all = append(all, p)
	}
	return all
}

// report has an OSD say of another that it has been silent for so many seconds.
func (c *cluster) reports(p *process, target int32, seconds uint32, flags msg.FailureFlags) {
	c.send(p.sess, &msg.OSDFailure{
		ID: p.boot.ID, Target: target, Addrs: c.Map().ClientAddrs[target], Flags: flags, For: seconds, Epoch: c.Map().Epoch,
	})
}

// Who must say how long that an OSD is silent before it is down.
func TestFailureReports(t *testing.T) {
	t.Parallel()
	const failed, now = msg.FailureFailed, msg.FailureFailed | msg.FailureImmediate
	type said struct {
		by, secs uint32
		flags    msg.FailureFlags
	}
	for _, k := range []struct {
		name    string
		prepare func(c *cluster)
		reports []said
		down    bool
		log     string
	}{
		{"one", nil, []said{{2, 30, failed}}, false, "osd.0 reported failed by osd.2"},
		{"two of a host", nil, []said{{2, 30, failed}, {3, 30, failed}}, false, ""},
		{"two hosts", nil, []said{{2, 30, failed}, {4, 25, failed}}, true,
			"osd.0 failed (root=default,host=h0) (2 reporters from different host after 25.000000 >= grace 20.000000)"},
		{"its own host counts", nil, []said{{1, 30, failed}, {4, 25, failed}}, true, ""},
		{"two hosts, too soon", nil, []said{{2, 30, failed}, {4, 19, failed}}, false, ""},
		{"withdrawn", nil, []said{{2, 30, failed}, {2, 0, 0}, {4, 30, failed}}, false, "osd.0 failure report canceled by osd.2"},
		{"each OSD counts", func(c *cluster) { c.Options["mon_osd_reporter_subtree_level"] = "osd" },
			[]said{{2, 30, failed}, {3, 30, failed}}, true, "(2 reporters from different osd after"},
		{"three needed", func(c *cluster) { c.Options["mon_osd_min_down_reporters"] = "3" },
			[]said{{2, 30, failed}, {4, 30, failed}}, false, ""},
		{"nobody listens", nil, []said{{1, 21, now}}, true, "osd.0 failed (root=default,host=h0) (connection refused reported by osd.1)"},
		{"nodown", func(c *cluster) { c.Run("osd set", "key", "nodown") }, []said{{1, 21, now}, {2, 30, failed}, {4, 30, failed}}, false, ""},
		{"nodown of its host", func(c *cluster) { c.Run("osd set-group", "flags", "nodown", "who", []string{"h0"}) },
			[]said{{1, 21, now}}, false, ""},
		{"too few up", func(c *cluster) { c.Options["mon_osd_min_up_ratio"] = "1.1" }, []said{{1, 21, now}}, false, ""},
		{"by one who is down", func(c *cluster) { c.Run("osd down", "ids", []string{"2"}) },
			[]said{{2, 30, failed}, {2, 30, now}, {4, 30, failed}}, false, ""},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			all := c.hosts(6)
			if k.prepare != nil {
				k.prepare(c)
			}
			for _, r := range k.reports {
				c.reports(all[r.by], 0, r.secs, r.flags)
			}
			m := c.Map()
			if m.IsDown(0) != k.down {
				t.Errorf("down %v; log:\n%s", m.IsDown(0), strings.Join(c.Lines, "\n"))
			}
			if k.log != "" && !c.Logged(k.log) {
				t.Errorf("no %q in\n%s", k.log, strings.Join(c.Lines, "\n"))
			}
			if dead := k.reports[0].flags == now && k.down; dead != (m.XInfo[0].DeadEpoch == m.Epoch) {
				t.Errorf("dead as of e%d at e%d", m.XInfo[0].DeadEpoch, m.Epoch)
			}
			if k.down && !m.XInfo[0].DownStamp.Equal(c.Clock) {
				t.Errorf("down since %v, is %v", m.XInfo[0].DownStamp, c.Clock)
			}
		})
	}
}

// Reports whose grace has not passed count once it has; those of who has gone down
// since do not.
func TestReportsRipen(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	all := c.hosts(6)
	c.reports(all[2], 0, 10, msg.FailureFailed)
	c.reports(all[4], 0, 5, msg.FailureFailed)
	c.reports(all[4], 1, 5, msg.FailureFailed)
	c.reports(all[5], 1, 5, msg.FailureFailed)
	c.reports(all[2], 1, 5, msg.FailureFailed)
	c.Advance(14 * time.Second)
	if !c.Map().IsUp(0) {
		t.Fatal("down too soon")
	}
	c.reports(all[2], 4, 30, msg.FailureFailed|msg.FailureImmediate)
	c.Advance(3 * time.Second)
	if m := c.Map(); !m.IsUp(0) || m.IsUp(1) {
		t.Errorf("with a witness gone:\n%s", m.Text())
	}
	// When it is back nothing is left of what was said.
	c.start(1)
	c.Advance(time.Minute)
	if !c.Map().IsUp(1) {
		t.Error("old reports count for a new process")
	}
}

// What is not a report of an OSD about one that is up as it knows it is ignored.
func TestFailureRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	all := c.hosts(4)
	good := msg.OSDFailure{ID: 2, Target: 0, Addrs: c.Map().ClientAddrs[0], Flags: msg.FailureFailed | msg.FailureImmediate, For: 21, Epoch: c.Map().Epoch}
	for name, change := range map[string]func(b *msg.OSDFailure) *process{
		"for another":     func(b *msg.OSDFailure) *process { return all[3] },
		"itself":          func(b *msg.OSDFailure) *process { b.Target, b.Addrs = 2, c.Map().ClientAddrs[2]; return all[2] },
		"another process": func(b *msg.OSDFailure) *process { b.Addrs = all[1].boot.Public; return all[2] },
		"an older epoch":  func(b *msg.OSDFailure) *process { b.Epoch = 1; return all[2] },
		"nobody":          func(b *msg.OSDFailure) *process { b.Target = 77; return all[2] },
		"below zero":      func(b *msg.OSDFailure) *process { b.Target = -3; return all[2] },
		"a client": func(b *msg.OSDFailure) *process {
			return &process{sess: c.Session(9, "client.x", "allow r")}
		},
	} {
		b, e := good, c.Map().Epoch
		if p := change(&b); p == nil || c.send(p.sess, &b).Body != nil || c.Map().Epoch != e {
			t.Errorf("%s: was taken", name)
		}
	}
	if c.send(all[2].sess, &good); c.Map().IsUp(0) {
		t.Error("a good one was not taken")
	}
}

// An OSD that was found alive after it had been marked down is given more time the
// next time, and so is everybody whom such ones report; it is forgotten in time.
func TestGraceGrows(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	all := c.hosts(6)
	c.Options["mon_osd_report_timeout"] = "10000000"
	flap := func(p *process, down time.Duration) {
		c.Run("osd down", "ids", []string{fmt.Sprint(p.boot.ID)})
		c.Advance(down)
		p.boot.Epoch, p.boot.BootEpoch = c.Map().Epoch, 5
		c.send(p.sess, p.boot)
	}
	flap(all[0], 100*time.Second)
	x := c.Map().XInfo[0]
	if got := float64(x.LaggyProbability) / math.MaxUint32; math.Abs(got-0.3) > 0.001 || x.LaggyInterval != 30 {
		t.Fatalf("after one: %v, %d s", got, x.LaggyInterval)
	}
	flap(all[0], 1000*time.Second) // counts as 300
	x = c.Map().XInfo[0]
	if got := float64(x.LaggyProbability) / math.MaxUint32; math.Abs(got-0.51) > 0.001 || x.LaggyInterval != 111 {
		t.Fatalf("after two: %v, %d s", got, x.LaggyInterval)
	}
	// 0.51*111 = 56 s more.
	c.reports(all[2], 0, 70, msg.FailureFailed)
	if c.reports(all[4], 0, 70, msg.FailureFailed); !c.Map().IsUp(0) {
		t.Error("down after 70 s")
	}
	c.Options["mon_osd_adjust_heartbeat_grace"] = "false"
	if c.reports(all[4], 0, 70, msg.FailureFailed); c.Map().IsUp(0) {
		t.Error("up after 70 s without allowance")
	}
	c.Options["mon_osd_adjust_heartbeat_grace"] = "true"
	all[0].boot.Epoch = c.Map().Epoch
	c.send(all[0].sess, all[0].boot)
	// Reported by it, another gets half of what it would get itself.
	c.reports(all[0], 3, 40, msg.FailureFailed)
	if c.reports(all[5], 3, 40, msg.FailureFailed); !c.Map().IsUp(3) {
		t.Error("down after 40 s")
	}
	if c.reports(all[5], 3, 60, msg.FailureFailed); c.Map().IsDown(3) {
		t.Error("the last sign of life is what the last one who saw it says")
	}
	c.reports(all[0], 3, 60, msg.FailureFailed)
	if c.Map().IsUp(3) {
		t.Error("up after 60 s")
	}
	// A boot of a new process speaks for it, and after long all is forgotten.
	x = c.Map().XInfo[0]
	p := c.start(0)
	if got := c.Map().XInfo[0].LaggyProbability; got >= x.LaggyProbability/10*9 || got == 0 {
		t.Errorf("after a proper restart: %d", got)
	}
	c.Clock = c.Clock.Add(49 * time.Hour)
	c.Run("osd down", "ids", []string{fmt.Sprint(p.boot.ID)})
	if x := c.Map().XInfo[0]; x.LaggyProbability != 0 || x.LaggyInterval != 0 || !x.DownStamp.Equal(c.Clock) {
		t.Errorf("after 49 hours: %+v", x)
	}
}

// One that lags is also given more time before it is out.
func TestOutLater(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.hosts(6)
	c.Options["mon_osd_report_timeout"] = "100000"
	c.Run("osd down", "ids", []string{"0"})
	c.Advance(0)
	inc := c.stage()
	x := c.view().XInfo[0]
	x.LaggyProbability, x.LaggyInterval = math.MaxUint32, 1000
	inc.NewXInfo[0] = x
	c.Commit()
	c.Advance(620 * time.Second)
	if c.Map().IsOut(0) {
		t.Fatal("out after the interval alone")
	}
	c.Advance(1000 * time.Second)
	if !c.Map().IsOut(0) {
		t.Error("never out")
	}
}

// An OSD that knows that it is down says so, and is believed that it serves nobody.
func TestDead(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	say := func(e uint32) bool {
		before := c.Map().Epoch
		c.send(p.sess, &msg.OSDDead{ID: 0, Epoch: e})
		return c.Map().Epoch > before
	}
	if say(c.Map().Epoch) {
		t.Error("dead while it is up")
	}
	c.Run("osd down", "ids", []string{"0"})
	e := c.Map().Epoch
	if say(e + 1) {
		t.Error("by a map that there is not")
	}
	if !say(e) || c.Map().XInfo[0].DeadEpoch != e || !c.Logged(fmt.Sprintf("osd.0 marked itself dead as of e%d", e)) {
		t.Errorf("%+v", c.Map().XInfo[0])
	}
	if say(e) {
		t.Error("a repetition made an epoch")
	}
	if x := c.Map().XInfo[0]; x.DownStamp.IsZero() {
		t.Error("it is not known any more since when it is down")
	}
}

// A primary has its groups served elsewhere for a while; nobody else has, and what
// means nothing goes by itself.
func TestPGTempMessage(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	all := c.hosts(6)
	c.Run("osd pool create", "pool", "a", "size", 2)
	pg := object.PG{Pool: 1, Seed: 0}
	at := c.Map().PGToUpActing(pg)
	primary := all[at.ActingPrimary]
	var spare int32
	for slices.Contains(at.Up, spare) {
		spare++
	}
	ask := func(p *process, osds ...int32) []int32 {
		c.send(p.sess, &msg.OSDPGTemp{ID: p.boot.ID, Epoch: c.Map().Epoch, PGs: map[object.PG][]int32{pg: osds}})
		return c.Map().PGTemp[pg]
	}
	for name, got := range map[string][]int32{
		"of another":    ask(all[spare], spare),
		"just the same": ask(primary, at.Up...),
		"nobody known":  ask(primary, 55),
		"too many":      ask(primary, 0, 1, 2),
	} {
		if got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	e := c.Map().Epoch
	if got := ask(primary, spare, at.Up[0]); !slices.Equal(got, []int32{spare, at.Up[0]}) || c.Map().Info[at.Up[0]].UpThru != e {
		t.Errorf("set: %v, up_thru %d at e%d", got, c.Map().Info[at.Up[0]].UpThru, e)
	}
	if c.Map().PGToUpActing(pg).ActingPrimary != spare {
		t.Fatalf("acting %v", c.Map().PGToUpActing(pg))
	}
	if got := ask(primary); got == nil {
		t.Error("cleared by one who is no longer the primary")
	}
	e = c.Map().Epoch
	if ask(all[spare], spare, at.Up[0]); c.Map().Epoch != e {
		t.Error("what is so made an epoch")
	}
	if got := ask(all[spare]); got != nil {
		t.Errorf("not cleared: %v", got)
	}
	if ask(primary, spare); c.Map().PGTemp[pg] == nil {
		t.Fatal("not set")
	}
	if c.Run("osd down", "ids", []string{fmt.Sprint(spare)}); c.Map().PGTemp[pg] != nil {
		t.Error("to nobody")
	}
}

// Another member than CRUSH has it leads a group as long as that says anything: a
// stock client can end it only so, since it takes -1 for no number of an OSD.
func TestPrimaryTempGoes(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *cluster, up []int32){
		"the first of up again": func(c *cluster, up []int32) { c.Run("osd primary-temp", "pgid", "1.0", "id", int64(up[0])) },
		"by affinity":           func(c *cluster, up []int32) { c.Run("osd primary-affinity", "id", int64(up[0]), "weight", 0.0) },
		"down":                  func(c *cluster, up []int32) { c.Run("osd down", "ids", []string{fmt.Sprint(up[1])}) },
		"no pool": func(c *cluster, _ []int32) {
			c.Run("osd pool rm", "pool", "a", "pool2", "a", "yes_i_really_really_mean_it", true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.Options["mon_allow_pool_delete"] = "true"
			c.hosts(6)
			c.Run("osd pool create", "pool", "a", "size", 2)
			pg := object.PG{Pool: 1}
			up := c.Map().PGToUpActing(pg).Up
			c.Run("osd primary-temp", "pgid", "1.0", "id", int64(up[1]))
			if at := c.Map().PGToUpActing(pg); at.ActingPrimary != up[1] || at.UpPrimary != up[0] {
				t.Fatalf("up primary %d, acting %d", at.UpPrimary, at.ActingPrimary)
			}
			if end(c, up); len(c.Map().PrimaryTemp) > 0 {
				t.Errorf("primary_temp %v, group %+v", c.Map().PrimaryTemp, c.Map().PGToUpActing(pg))
			}
		})
	}
}

// One OSD with nobody to report it is down when its session has been gone for the
// grace; one with witnesses enough is left to them.
func TestNoSession(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	all := c.hosts(6)
	c.Options["mon_osd_report_timeout"] = "100000"
	c.SessionClosed(all[0].sess)
	if c.Advance(2 * time.Minute); !c.Map().IsUp(0) {
		t.Error("down though there are witnesses")
	}
	c.Run("osd down", "ids", []string{"2", "3", "4", "5"})
	c.Options["mon_osd_min_up_ratio"] = "0.1"
	if c.Advance(25 * time.Second); c.Map().IsUp(0) || !c.Map().IsUp(1) {
		t.Errorf("without witnesses:\n%s", c.Map().Text())
	}
	if c.Map().State[0]&osdmap.StateUp != 0 || !c.Logged("osd.0 failed (no session for ") {
		t.Error("not in the log")
	}
}
