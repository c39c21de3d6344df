package osdmon

import (
	"fmt"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/mon/service/servicetest"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

var testFSID = msg.FSID{0x12, 0x66, 0x0c, 0x24, 0x49, 0x34, 0x4c, 0xc6, 0x92, 0x79, 0x18, 0x28, 0xec, 0x60, 0xdc, 0x59}

// cluster is a new cluster with statistics that the test makes up.
type cluster struct {
	*servicetest.Host
	*Service
	stats *fakeStats
	next  uint64
}

type fakeStats struct {
	noStats
	usage   map[int64][2]int64
	reports map[int32]time.Time
	full    map[int32]osdmap.State
	floor   uint32
	purged  map[int64]osdmap.SnapSet
}

func (f *fakeStats) PoolUsage(pool int64) (objects, bytes int64, ok bool) {
	u, ok := f.usage[pool]
	return u[0], u[1], ok
}
func (f *fakeStats) PoolCreated(int64, uint32) bool   { return true }
func (f *fakeStats) LastReport(osd int32) time.Time   { return f.reports[osd] }
func (f *fakeStats) CleanFloor() (uint32, bool)       { return f.floor, f.floor > 0 }
func (f *fakeStats) Purged(pool int64) osdmap.SnapSet { return f.purged[pool] }
func (f *fakeStats) Fullness(osd int32) (osdmap.State, bool) {
	st, ok := f.full[osd]
	return st, ok
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	h := servicetest.New(t)
	s := New(h)
	c := &cluster{Host: h, Service: s, next: 100, stats: &fakeStats{
		usage: map[int64][2]int64{}, reports: map[int32]time.Time{}, full: map[int32]osdmap.State{},
	}}
	s.UseStats(c.stats)
	h.Add(s)
	h.Found(testFSID)
	for k, v := range map[string]string{
		"osd_pool_default_pg_autoscale_mode": "off", "mon_allow_pool_delete": "true", "mon_allow_pool_size_one": "true",
		"mon_osd_down_out_subtree_limit": "rack",
	} {
		h.Options[k] = v
	}
	return c
}

func uuid(n byte) entity.UUID { return entity.UUID{15: n} }

// process is an OSD that runs.
type process struct {
	sess *service.Session
	boot *msg.OSDBoot
}

// start boots an OSD as a new process.
func (c *cluster) start(osd int32) *process {
	c.T.Helper()
	c.next++
	addr := func(port int) entity.AddrVec {
		v, err := entity.ParseAddrVec(fmt.Sprintf("v2:127.0.0.1:%d/%d", port, c.next))
		if err != nil {
			c.T.Fatal(err)
		}
		return v
	}
	p := &process{
		sess: c.Session(c.next, fmt.Sprintf("osd.%d", osd), "allow profile osd"),
		boot: &msg.OSDBoot{
			ID: osd, UUID: uuid(byte(osd) + 1), Epoch: c.Map().Epoch, Public: addr(6800), Cluster: addr(6801),
			HBFront: addr(6802), HBBack: addr(6803), Class: "ssd", Weight: 0x8000,
			Location: map[string]string{"root": "default", "host": "h"}, Metadata: map[string]string{"hostname": "h"},
		},
	}
	c.send(p.sess, p.boot)
	return p
}

// send delivers a message, and lets the service do what is due.
func (c *cluster) send(sess *service.Session, b msg.Body) service.Answer {
	c.T.Helper()
	a := c.Receive(sess, b)
	c.Commit()
	c.Advance(0)
	return a
}

// A new disk makes a new OSD: with its uuid, in, in the CRUSH tree.
func TestFirstBoot(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	m := c.Map()
	if !m.IsUp(0) || !m.IsIn(0) || m.UUID[0] != uuid(1) || m.Info[0].UpFrom != m.Epoch || !m.ClientAddrs[0].Equal(p.boot.Public) {
		t.Fatalf("after the boot:\n%s", m.Text())
	}
	if m.State[0] != osdmap.StateExists|osdmap.StateUp {
		t.Errorf("state %b", m.State[0])
	}
	if loc := m.Crush.Location(0); loc["host"] != "h" || loc["root"] != "default" || m.Crush.ClassOf(0) != "ssd" {
		t.Errorf("placed at %v, class %q", loc, m.Crush.ClassOf(0))
	}
	if w, _ := m.Crush.ItemWeight(0); w != 0x8000 {
		t.Errorf("weight %x", w)
	}
	if c.Metadata(0)["hostname"] != "h" {
		t.Errorf("metadata %v", c.Metadata(0))
	}
	// A boot that says nothing new changes nothing.
	e := m.Epoch
	if c.send(p.sess, p.boot); c.Map().Epoch != e {
		t.Error("a repetition made an epoch")
	}
	// All of it is there after a restart.
	c.Reload(c.Service)
	if c.Map().Epoch != e || c.Metadata(0)["hostname"] != "h" || !c.Map().IsUp(0) {
		t.Error("lost by a restart")
	}
}

// A process that takes the place of one that is still taken for up has its
// predecessor marked down first, in an epoch of its own.
func TestRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(0)
	e := c.Map().Epoch
	p := c.start(0)
	m := c.Map()
	if m.Epoch != e+2 || !m.IsUp(0) || !m.ClientAddrs[0].Equal(p.boot.Public) {
		t.Fatalf("e%d -> e%d:\n%s", e, m.Epoch, m.Text())
	}
	between, err := c.mapAt(e + 1)
	if err != nil || between.IsUp(0) {
		t.Errorf("e%d: up %v, %v", e+1, between.IsUp(0), err)
	}
	if m.Info[0].DownAt != e+1 || m.Info[0].UpFrom != e+2 {
		t.Errorf("info %+v", m.Info[0])
	}
}

func TestBootRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	e := c.Map().Epoch
	for name, try := range map[string]func() (*service.Session, *msg.OSDBoot){
		"without capability": func() (*service.Session, *msg.OSDBoot) {
			b := *p.boot
			b.ID, b.UUID = 1, uuid(2)
			return c.Session(1, "client.x", "allow r"), &b
		},
		"for another": func() (*service.Session, *msg.OSDBoot) {
			b := *p.boot
			b.ID, b.UUID = 1, uuid(2)
			return p.sess, &b
		},
		"with another disk": func() (*service.Session, *msg.OSDBoot) {
			b := *p.boot
			b.UUID = uuid(9)
			return p.sess, &b
		},
		"with a disk in use": func() (*service.Session, *msg.OSDBoot) {
			b := *p.boot
			b.ID = 1
			return c.Session(2, "osd.1", "allow profile osd"), &b
		},
		"with an id out of range": func() (*service.Session, *msg.OSDBoot) {
			b := *p.boot
			b.ID, b.UUID = 1<<30, uuid(3)
			return c.Session(3, "osd.1073741824", "allow profile osd"), &b
		},
	} {
		if c.send(try()); c.Map().Epoch != e {
			t.Errorf("a boot %s was taken", name)
			e = c.Map().Epoch
		}
	}
}

// noup holds off boots, and lets them in when it is gone.
func TestNoUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Run("osd set", "key", "noup")
	p := c.start(0)
	if c.Map().IsUp(0) {
		t.Fatal("up in spite of noup")
	}
	c.Run("osd unset", "key", "noup")
	if c.send(p.sess, p.boot); !c.Map().IsUp(0) {
		t.Error("not up")
	}
	c.Run("osd set-group", "flags", "nodown", "who", []string{"h"})
	if c.send(p.sess, &msg.OSDMarkDown{ID: 0}); !c.Map().IsUp(0) {
		t.Error("down in spite of nodown")
	}
}

// An OSD that stops gets its answer with the epoch that says so, after the
// commit.
func TestMarkMeDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	a := c.Receive(p.sess, &msg.OSDMarkDown{ID: 0, Epoch: c.Map().Epoch, Dead: true})
	ack, ok := a.Body.(*msg.OSDDownAck)
	if !ok || !a.Commit {
		t.Fatalf("answer %+v", a)
	}
	c.Commit()
	if c.Map().IsUp(0) || ack.Epoch != c.Map().Epoch {
		t.Errorf("up %v at e%d, the answer says e%d", c.Map().IsUp(0), c.Map().Epoch, ack.Epoch)
	}
	if x := c.Map().XInfo[0]; x.DeadEpoch != c.Map().Epoch || x.DownStamp.IsZero() || !c.Logged("osd.0 marked itself down and dead") {
		t.Errorf("%+v", x)
	}
	if a := c.Receive(p.sess, &msg.OSDMarkDown{ID: 0}); a.Commit || a.Body == nil {
		t.Errorf("when it is down: %+v", a)
	}
}

func TestAlive(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	e := c.Map().Epoch
	if c.send(p.sess, &msg.OSDAlive{ID: 0, Want: e}); c.Map().Info[0].UpThru != e {
		t.Errorf("up_thru %d, want %d", c.Map().Info[0].UpThru, e)
	}
	now := c.Map().Epoch
	c.send(p.sess, &msg.OSDAlive{ID: 0, Want: e})
	c.send(p.sess, &msg.OSDAlive{ID: 0, Want: now + 10})
	if c.Map().Epoch != now {
		t.Error("what is known, or not yet true, made an epoch")
	}
}

// An OSD that falls silent is marked down after mon_osd_report_timeout, sooner
// if its session ended; then out; and in again when it comes back.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		close bool
		after time.Duration
	}{"silent": {false, 900 * time.Second}, "gone": {true, 20 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			var all []*process
			for o := range int32(4) {
				all = append(all, c.start(o))
			}
			report := func(d time.Duration) {
				for until := c.Clock.Add(d); c.Clock.Before(until); {
					for o := range int32(3) {
						c.stats.reports[o] = c.Clock
						c.Heard(all[o].sess, o)
					}
					c.Advance(5 * time.Second)
				}
			}
			c.stats.reports[3] = c.Clock
			if end.close {
				c.SessionClosed(all[3].sess)
			}
			report(end.after - 5*time.Second)
			if !c.Map().IsUp(3) {
				t.Fatal("down too soon")
			}
			report(10 * time.Second)
			if m := c.Map(); m.IsUp(3) || !m.IsUp(0) || m.IsOut(3) {
				t.Fatalf("after %v:\n%s", end.after, m.Text())
			}
			report(620 * time.Second)
			m := c.Map()
			if !m.IsOut(3) || m.State[3]&osdmap.StateAutoOut == 0 || m.XInfo[3].OldWeight != osdmap.WeightIn {
				t.Fatalf("not out:\n%s", m.Text())
			}
			if !c.Logged("Marking osd.3 out (has been down for 6") {
				t.Error("not in the log")
			}
			c.start(3)
			if m := c.Map(); !m.IsUp(3) || !m.IsIn(3) || m.State[3]&osdmap.StateAutoOut != 0 {
				t.Errorf("when it is back:\n%s", m.Text())
			}
		})
	}
}

// Nobody is marked out while it is more likely that the network failed, or
// while the administrator forbids it.
func TestNotOut(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(c *cluster){
		"noout":      func(c *cluster) { c.Run("osd set", "key", "noout") },
		"noout host": func(c *cluster) { c.Run("osd set-group", "flags", "noout", "who", []string{"h"}) },
		"class":      func(c *cluster) { c.Run("osd set-group", "flags", "noout", "who", []string{"ssd"}) },
		"one":        func(c *cluster) { c.Run("osd add-noout", "ids", []string{"0"}) },
		"interval":   func(c *cluster) { c.Options["mon_osd_down_out_interval"] = "0" },
		"ratio":      func(c *cluster) { c.Run("osd out", "ids", []string{"1", "2"}) },
		"subtree": func(c *cluster) {
			c.Options["mon_osd_down_out_subtree_limit"] = "host"
			c.Run("osd down", "ids", []string{"1", "2", "3"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			for o := range int32(4) {
				c.start(o)
			}
			prepare(c)
			c.Run("osd down", "ids", []string{"0"})
			c.Options["mon_osd_report_timeout"] = "100000"
			c.Advance(15 * time.Minute)
			if c.Map().IsOut(0) {
				t.Error("out")
			}
		})
	}
}

// OSDs say how full they are; pools that may place data there follow.
func TestFullness(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	c.Run("osd pool create", "pool", "a", "size", 1)
	for _, step := range []struct {
		state osdmap.State
		pool  osdmap.PoolFlags
		check string
	}{
		{osdmap.StateNearFull, osdmap.PoolFlagNearFull, "OSD_NEARFULL 1 nearfull osd(s)"},
		{osdmap.StateBackfillFull, osdmap.PoolFlagBackfillFull, "OSD_BACKFILLFULL 1 backfillfull osd(s)"},
		{osdmap.StateFull, osdmap.PoolFlagFull, "OSD_FULL 1 full osd(s)"},
		{0, 0, ""},
	} {
		c.stats.full[0] = step.state
		c.Heard(p.sess, 0)
		c.Advance(0)
		m := c.Map()
		if m.State[0]&osdFullBits != step.state || m.Pools[1].Flags&poolFullBits != step.pool {
			t.Errorf("state %b, pool %v", m.State[0], m.Pools[1].Flags)
		}
		if step.check != "" && !c.hasCheck(step.check) {
			t.Errorf("no %s in %v", step.check, c.Checks(c.Clock))
		}
	}
}

func (c *cluster) hasCheck(text string) bool {
	for _, k := range c.Checks(c.Clock) {
		if k.Code+" "+k.Summary == text {
			return true
		}
	}
	return false
}

// A pool is full when its quota is reached, and no longer when it is not.
func TestQuota(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	p := c.start(0)
	c.Run("osd pool create", "pool", "a")
	c.Run("osd pool set-quota", "pool", "a", "field", "max_objects", "val", "10")
	full := func(objects, bytes int64) bool {
		c.stats.usage[1] = [2]int64{objects, bytes}
		c.Heard(p.sess, 0)
		c.Advance(0)
		want := osdmap.PoolFlagFull | osdmap.PoolFlagFullQuota
		have := c.Map().Pools[1].Flags & want
		if have != 0 && have != want {
			t.Errorf("flags %v", c.Map().Pools[1].Flags)
		}
		return have != 0
	}
	if full(9, 1<<40) {
		t.Error("full below the quota")
	}
	if !full(10, 0) || !c.hasCheck("POOL_FULL 1 pool(s) full") {
		t.Error("not full at the quota")
	}
	if full(3, 0) {
		t.Error("full again below the quota")
	}
	c.Run("osd pool set-quota", "pool", "a", "field", "max_bytes", "val", "1Mi")
	if !full(3, 1<<20) {
		t.Error("not full at the quota of bytes")
	}
	c.Run("osd pool set-quota", "pool", "a", "field", "max_bytes", "val", "0")
	c.Advance(0)
	if c.Map().Pools[1].Has(osdmap.PoolFlagFull) {
		t.Error("full without a quota")
	}
}

// Blocklist entries end by themselves.
func TestBlocklistExpires(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.Run("osd blocklist", "blocklistop", "add", "addr", "10.0.0.1:0/7", "expire", 60.0)
	c.Run("osd blocklist", "range", "range", "blocklistop", "add", "addr", "10.1.0.0:0/16", "expire", 90.0)
	at := func(s string) bool {
		a, err := entity.ParseAddr(s, entity.AddrAny)
		if err != nil {
			t.Fatal(err)
		}
		return c.Map().Blocklisted(a, c.Clock)
	}
	if !at("10.0.0.1:0/7") || at("10.0.0.1:0/8") || !at("10.1.2.3:0/8") || at("10.2.2.3:0/8") {
		t.Error("the wrong ones are blocked")
	}
	c.Advance(62 * time.Second)
	if len(c.Map().Blocklist) != 0 || len(c.Map().RangeBlocklist) != 1 {
		t.Errorf("after a minute: %v %v", c.Map().Blocklist, c.Map().RangeBlocklist)
	}
	c.Advance(30 * time.Second)
	if len(c.Map().RangeBlocklist) != 0 {
		t.Errorf("after 92 s: %v", c.Map().RangeBlocklist)
	}
}
