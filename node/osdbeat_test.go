package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// osdView is what the monitor's map says of an OSD.
type osdView struct {
	ID    int32    `json:"osd"`
	Up    int      `json:"up"`
	In    int      `json:"in"`
	State []string `json:"state"`
	Front struct {
		Addrs []struct{ Addr string } `json:"addrvec"`
	} `json:"heartbeat_front_addrs"`
	Back struct {
		Addrs []struct{ Addr string } `json:"addrvec"`
	} `json:"heartbeat_back_addrs"`
}

// family is a cluster of some OSDs in this process.
type family struct {
	*Cluster
	t   *testing.T
	ctx context.Context
}

func newFamily(t *testing.T, osds int, options map[string]string) *family {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	c, err := Start(ctx, Options{Dir: t.TempDir(), OSDs: osds, OSDSize: 1 << 28})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		cancel()
	})
	f := &family{Cluster: c, t: t, ctx: ctx}
	for name, value := range options {
		f.run("config set", map[string]any{"who": "global", "name": name, "value": value})
	}
	f.until("all pinged", func() bool {
		for _, h := range f.osds() {
			if len(h.osd.Heartbeats().Status().Peers) != osds-1 || !h.osd.Heartbeats().Status().Healthy {
				return false
			}
		}
		return true
	})
	return f
}

func (f *family) run(prefix string, args map[string]any) []byte {
	f.t.Helper()
	out, err := f.monCommand(f.ctx, prefix, args)
	if err != nil {
		f.t.Fatal(err)
	}
	return out
}

// until waits for a condition, and returns how long that took.
func (f *family) until(what string, ok func() bool) time.Duration {
	f.t.Helper()
	begun := time.Now()
	err := f.poll(f.ctx, func(context.Context) (bool, error) { return ok(), nil })
	if err != nil {
		f.t.Fatalf("%s: %v; log:\n%s", what, err, f.logged())
	}
	return time.Since(begun)
}

func (f *family) logged() string {
	return string(f.run("log last", map[string]any{"num": 60, "level": "debug", "channel": "cluster"}))
}

func (f *family) view(osd int32) osdView {
	f.t.Helper()
	var m struct{ OSDs []osdView }
	if err := f.ask(f.ctx, "osd dump", &m); err != nil {
		f.t.Fatal(err)
	}
	for _, o := range m.OSDs {
		if o.ID == osd {
			return o
		}
	}
	f.t.Fatalf("no osd.%d", osd)
	return osdView{}
}

// kill ends an OSD without a goodbye, as kill -9 does.
func (f *family) kill(osd int32) {
	f.t.Helper()
	if err := f.KillDaemon(fmt.Sprintf("osd.%d", osd)); err != nil {
		f.t.Fatal(err)
	}
}

// osds are those that run, by number.
func (f *family) osds() (all []*osdHost) {
	for _, d := range f.daemons() {
		if h, ok := d.(*osdHost); ok {
			all = append(all, h)
		}
	}
	return all
}

// An OSD that is killed is down at once: nobody listens where it was.
func TestKilledOSDIsDownAtOnce(t *testing.T) {
	t.Parallel()
	f := newFamily(t, 3, nil)
	v := f.view(1)
	if len(v.Front.Addrs) != 1 || len(v.Back.Addrs) != 1 || v.Front.Addrs[0].Addr == v.Back.Addrs[0].Addr {
		t.Errorf("heartbeat addresses %+v", v)
	}
	f.kill(1)
	if d := f.until("down", func() bool { return f.view(1).Up == 0 }); d > 5*time.Second {
		t.Errorf("down after %v", d)
	}
	log := f.logged()
	if !strings.Contains(log, "osd.1 reported immediately failed by osd.") || !strings.Contains(log, "osd.1 failed (root=default,host=") ||
		!strings.Contains(log, "(connection refused reported by osd.") {
		t.Errorf("log:\n%s", log)
	}
	if f.view(0).Up+f.view(2).Up != 2 {
		t.Error("others are down too")
	}
}

// blocker holds up the loop that is done with a request.
type blocker struct{ stuck, release chan struct{} }

func (b *blocker) Release() {
	close(b.stuck)
	<-b.release
}

// An OSD that hangs is down after the grace; when it is back it comes up by itself,
// in as before.
func TestHangingOSDIsDownAfterTheGrace(t *testing.T) {
	t.Parallel()
	f := newFamily(t, 3, map[string]string{"osd_heartbeat_grace": "3", "osd_heartbeat_interval": "1", "osd_op_thread_timeout": "1"})
	f.until("grace", func() bool { return f.osds()[0].options.Int("osd_heartbeat_grace") == 3 })
	sick := f.osds()[1]
	block := &blocker{stuck: make(chan struct{}), release: make(chan struct{})}
	sick.shards[0].in.post(&pg.Request{Session: &pg.Session{}, Op: &msg.OSDOp{}, Message: block})
	<-block.stuck
	if d := f.until("down", func() bool { return f.view(1).Up == 0 }); d < 3*time.Second {
		t.Errorf("down after %v", d)
	}
	log := f.logged()
	for _, by := range []int{0, 2} {
		if want := fmt.Sprintf("osd.1 reported failed by osd.%d", by); !strings.Contains(log, want) {
			t.Errorf("no %q in\n%s", want, log)
		}
	}
	if !strings.Contains(log, "(2 reporters from different osd after ") || !strings.Contains(log, " >= grace 3.000000)") {
		t.Errorf("log:\n%s", log)
	}
	close(block.release)
	f.until("up again", func() bool { return f.view(1).Up == 1 })
	if v := f.view(1); v.In != 1 {
		t.Errorf("%+v", v)
	}
	if log := f.logged(); !strings.Contains(log, "Monitor daemon marked osd.1 down, but it is still running") {
		t.Errorf("log:\n%s", log)
	}
}

// With nodown nobody is marked down, and with noout nobody who is down is marked
// out; without, both happen.
func TestNoDownNoOut(t *testing.T) {
	t.Parallel()
	f := newFamily(t, 4, map[string]string{"mon_osd_down_out_interval": "1"})
	f.run("osd set", map[string]any{"key": "nodown"})
	f.run("osd set", map[string]any{"key": "noout"})
	f.kill(3)
	// Reports come all the time, and each is refused; a report that does count shows
	// that time for that has passed.
	f.run("osd down", map[string]any{"ids": []string{"3"}})
	f.until("down", func() bool { return f.view(3).Up == 0 })
	f.run("osd unset", map[string]any{"key": "nodown"})
	f.kill(2)
	f.until("down", func() bool { return f.view(2).Up == 0 })
	if f.view(3).In != 1 || f.view(2).In != 1 {
		t.Error("out in spite of noout")
	}
	f.run("osd unset", map[string]any{"key": "noout"})
	f.until("out", func() bool { return f.view(3).In == 0 })
	if v := f.view(3); !slices.Contains(v.State, "autoout") {
		t.Errorf("%+v", v)
	}
}

// An OSD that is marked down again and again stays down, and one that is told to
// stop does; the others in the process go on, and both can be started again.
func TestOSDsThatEnd(t *testing.T) {
	t.Parallel()
	f := newFamily(t, 3, map[string]string{"osd_max_markdown_count": "1"})
	f.until("limit", func() bool { return f.osds()[1].options.Int("osd_max_markdown_count") == 1 })
	sick := f.osds()[1]
	down := func() {
		f.run("osd down", map[string]any{"ids": []string{"1"}})
	}
	down()
	f.until("up again", func() bool { return f.view(1).Up == 1 && sick.serves() })
	down()
	f.until("ended", func() bool { return !f.runs("osd.1") })
	f.run("osd stop", map[string]any{"ids": []string{"2"}})
	f.until("stopped", func() bool { return !f.runs("osd.2") })
	if v := f.view(2); v.Up != 0 || !slices.Contains(v.State, "stop") {
		t.Errorf("%+v", v)
	}
	for osd := range int32(3) {
		if name := fmt.Sprintf("osd.%d", osd); !f.runs(name) {
			// It may still be on its way out.
			f.until("started", func() bool { return f.StartDaemon(f.ctx, name) == nil })
		}
		f.until("up", func() bool { return f.view(osd).Up == 1 })
	}
}

func (f *family) runs(name string) bool {
	return slices.ContainsFunc(f.daemons(), func(d daemon) bool { return d.name() == name })
}
