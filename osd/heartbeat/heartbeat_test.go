package heartbeat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

var fsid = entity.UUID{1}

// net is OSDs that ping each other, and the network between them.
type net struct {
	t    *testing.T
	now  time.Time
	m    *osdmap.Map
	osds []*Machine
	// delay is how long an answer takes; cut[{a,b}] drops what a sends to b.
	delay time.Duration
	cut   map[[2]int32]bool
	slow  []delivery
	toMon []*msg.OSDFailure
	newer map[int32]uint32

	behind []behind
	drops  [][2]int32 // who, whose lines
}

// behind is what an OSD would send to one that lacks maps.
type behind struct {
	who int32
	Behind
}

// line is a connection, by who made it.
type line struct {
	from int32
	side Side
}

type delivery struct {
	at time.Time
	to int32
	ev Received
}

func addrs(osd, kind int, nonce uint32) entity.AddrVec {
	v, err := entity.ParseAddrVec(fmt.Sprintf("v2:10.0.%d.%d:6800/%d", kind, osd, nonce))
	if err != nil {
		panic(err)
	}
	return v
}

// newNet makes OSDs, so many on each host.
func newNet(t *testing.T, osds, perHost int, set func(*Config)) *net {
	t.Helper()
	n := &net{t: t, now: time.Unix(1700000000, 0), cut: map[[2]int32]bool{}, newer: map[int32]uint32{}}
	m := osdmap.New()
	m.FSID, m.Epoch = fsid, 1
	m.Crush, _ = crush.BuildDefault("host")
	inc := osdmap.NewIncremental(fsid, 2)
	inc.NewMaxOSD = int32(osds)
	c := m.Crush.Clone()
	c.MaxDevices = int32(osds)
	for o := range int32(osds) {
		inc.NewState[o] = osdmap.StateExists
		inc.NewWeight[o] = osdmap.WeightIn
		n.addrs(inc, o, 1)
		at := map[string]string{"root": "default", "host": fmt.Sprintf("h%d", int(o)/perHost)}
		if _, err := c.CreateOrMove(o, 0x10000, fmt.Sprintf("osd.%d", o), at, true); err != nil {
			t.Fatal(err)
		}
	}
	inc.Crush = c.Encode()
	var err error
	if n.m, err = m.Apply(inc); err != nil {
		t.Fatal(err)
	}
	cfg := Configuration(config.New(entity.AuthName{Type: entity.OSD, ID: "0"}, "h"))
	if set != nil {
		set(&cfg)
	}
	for o := range int32(osds) {
		n.osds = append(n.osds, New(o, fsid, cfg))
	}
	n.publish()
	return n
}

func (n *net) addrs(inc *osdmap.Incremental, o int32, nonce uint32) {
	inc.NewUpClient[o], inc.NewUpCluster[o] = addrs(int(o), 0, nonce), addrs(int(o), 1, nonce)
	inc.NewHBFrontUp[o], inc.NewHBBackUp[o] = addrs(int(o), 2, nonce), addrs(int(o), 3, nonce)
}

// publish gives the map to all that can hear of it.
func (n *net) publish() {
	for o := range n.osds {
		n.step(int32(o), Maps{Map: n.m, Up: n.m.IsUp(int32(o)), Waiting: !n.m.IsUp(int32(o))})
	}
}

// change makes the next map.
func (n *net) change(f func(inc *osdmap.Incremental)) {
	n.t.Helper()
	inc := osdmap.NewIncremental(fsid, n.m.Epoch+1)
	f(inc)
	var err error
	if n.m, err = n.m.Apply(inc); err != nil {
		n.t.Fatal(err)
	}
}

func (n *net) step(o int32, ev Event) {
	h := n.osds[o]
	h.Step(n.now, ev)
	h.check()
	r := h.Ready()
	for _, b := range r.ToMon {
		n.toMon = append(n.toMon, b.(*msg.OSDFailure))
	}
	n.newer[o] = max(n.newer[o], r.Newer)
	for _, d := range r.Drop {
		n.drops = append(n.drops, [2]int32{o, d})
	}
	for _, b := range r.Behind {
		n.behind = append(n.behind, behind{o, b})
	}
	for _, p := range r.Pings {
		n.send(o, p.To, Received{p.Side, p.Body, line{o, p.Side}})
	}
	for _, a := range r.Answers {
		l := a.To.(line)
		n.send(o, l.from, Received{l.side, a.Body, nil})
	}
}

func (n *net) send(from, to int32, ev Received) {
	if !n.cut[[2]int32{from, to}] && int(to) < len(n.osds) && n.osds[to] != nil {
		n.slow = append(n.slow, delivery{n.now.Add(n.delay), to, ev})
	}
}

// run lets time pass.
func (n *net) run(d time.Duration) {
	for end := n.now.Add(d); n.now.Before(end); n.now = n.now.Add(10 * time.Millisecond) {
		for len(n.slow) > 0 && !n.slow[0].at.After(n.now) {
			d := n.slow[0]
			n.slow = n.slow[1:]
			n.step(d.to, d.ev)
		}
		for o, h := range n.osds {
			if w := h.Wake(); !w.IsZero() && !n.now.Before(w) {
				n.step(int32(o), Tick{})
			}
		}
	}
}

func (n *net) reports(target int32, flags msg.FailureFlags) (by []int32) {
	for _, r := range n.toMon {
		if r.Target == target && r.Flags == flags && !slices.Contains(by, r.ID) {
			by = append(by, r.ID)
		}
	}
	slices.Sort(by)
	return by
}

func one(c *Config) { c.MinPeers = 0 }

// Who is pinged: the groups' OSDs, the neighbours, one of enough other hosts, and
// some more up to the minimum.
func TestChoose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		osds, perHost int
		whoami        int32
		groups, down  []int32
		set           func(*Config)
		want          []int32
	}{
		{"alone", 1, 1, 0, nil, nil, nil, nil},
		{"neighbours", 8, 1, 3, nil, nil, one, []int32{2, 4}},
		{"around the end", 8, 1, 7, nil, nil, one, []int32{0, 6}},
		{"past those that are down", 8, 1, 3, nil, []int32{2, 4, 5}, one, []int32{1, 6}},
		{"groups", 8, 1, 3, []int32{6, 3, 5}, []int32{5}, one, []int32{2, 4, 6}},
		{"other hosts", 9, 3, 4, nil, nil, one, []int32{0, 3, 5, 6}},
		{"osds are the parts", 9, 3, 4, nil, nil, func(c *Config) { c.MinPeers, c.Level = 0, "osd" }, []int32{3, 5}},
		{"no such level", 9, 3, 4, nil, nil, func(c *Config) { c.MinPeers, c.Level = 0, "row" }, []int32{3, 5}},
		{"at least so many", 8, 1, 3, nil, nil, func(c *Config) { c.MinPeers = 4 }, []int32{2, 4, 5, 6}},
		{"all there are", 4, 1, 3, nil, nil, nil, []int32{0, 1, 2}},
		{"not in the map", 4, 1, 9, nil, nil, one, []int32{0, 1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNet(t, c.osds, c.perHost, c.set)
			n.change(func(inc *osdmap.Incremental) {
				for _, o := range c.down {
					inc.NewState[o] = osdmap.StateUp
				}
			})
			got := choose(n.m, c.whoami, c.groups, nil, &n.osds[0].cfg)
			if c.name == "not in the map" {
				if len(got) == 0 || slices.Contains(got, c.whoami) {
					t.Errorf("peers %v", got)
				}
				return
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("peers %v, want %v", got, c.want)
			}
		})
	}
}

// The pings of all, with neighbours alone, make one ring: whatever part of the
// OSDs is cut off, somebody outside it notices.
func TestRing(t *testing.T) {
	t.Parallel()
	n := newNet(t, 7, 1, one)
	reached, todo := map[int32]bool{0: true}, []int32{0}
	for len(todo) > 0 {
		o := todo[0]
		todo = todo[1:]
		for _, p := range n.osds[o].Status().Peers {
			if !reached[p] {
				reached[p], todo = true, append(todo, p)
			}
		}
	}
	if len(reached) != 7 {
		t.Errorf("from osd.0 are reached %v", reached)
	}
}

// All is well: nobody is reported, times are measured, and peers that are kept
// are those that were.
func TestHealthy(t *testing.T) {
	t.Parallel()
	n := newNet(t, 3, 1, nil)
	n.delay = 20 * time.Millisecond
	n.run(3 * time.Minute)
	if len(n.toMon) > 0 {
		t.Fatalf("reported: %+v", n.toMon[0])
	}
	st := n.osds[0].Status()
	if !st.Healthy || !slices.Equal(st.Peers, []int32{1, 2}) || len(st.Times) != 2 {
		t.Fatalf("status %+v", st)
	}
	b := st.Times[0].Back
	if b.Last < 40000 || b.Last > 60000 || b.Average[0] < 30000 || b.Min[2] < 20000 || b.Max[2] > 60000 || b.Max[2] < b.Min[2] {
		t.Errorf("times %+v", b)
	}
}

// An OSD that hangs is reported after the grace by all that ping it, again every
// few seconds, and no more once it answers.
func TestHang(t *testing.T) {
	t.Parallel()
	n := newNet(t, 3, 1, func(c *Config) { c.Level = "osd" })
	n.run(30 * time.Second)
	for o := range int32(3) {
		n.cut[[2]int32{1, o}] = true
	}
	n.run(13 * time.Second)
	if len(n.toMon) > 0 {
		t.Fatalf("reported before the grace: %+v", n.toMon[0])
	}
	n.run(8 * time.Second)
	if by := n.reports(1, msg.FailureFailed); !slices.Equal(by, []int32{0, 2}) {
		t.Fatalf("reported by %v", by)
	}
	for _, r := range n.toMon {
		if r.For < 20 || r.For > 27 || !r.Addrs.Equal(n.m.ClientAddrs[r.Target]) || r.Epoch != n.m.Epoch {
			t.Errorf("report %+v", r)
		}
	}
	// It hears the others and has nothing to complain of but that they seem not to
	// hear it.
	if by := n.reports(0, msg.FailureFailed); slices.Contains(by, 2) {
		t.Errorf("osd.0 reported by %v", by)
	}
	once := len(n.toMon)
	n.run(10 * time.Second)
	if len(n.toMon) <= once {
		t.Error("not reported again")
	}
	clear(n.cut)
	n.toMon = nil
	n.run(10 * time.Second)
	if by := n.reports(1, 0); !slices.Equal(by, []int32{0, 2}) {
		t.Errorf("withdrawn by %v", by)
	}
	n.toMon = nil
	if n.run(time.Minute); len(n.toMon) > 0 {
		t.Errorf("reported again: %+v", n.toMon[0])
	}
}

// An OSD that stood still itself blames nobody for what it has not read.
func TestStoodStill(t *testing.T) {
	t.Parallel()
	n := newNet(t, 3, 1, nil)
	n.run(10*time.Second + 5*time.Millisecond)
	n.delay = 50 * time.Millisecond
	n.run(6 * time.Second)
	n.now = n.now.Add(time.Minute)
	for o := range int32(3) { // clocks first, answers later
		n.step(o, Tick{})
	}
	if n.run(30 * time.Second); len(n.toMon) > 0 {
		t.Errorf("reported: %+v", n.toMon[0])
	}
}

// One side that fails is enough.
func TestOneSide(t *testing.T) {
	t.Parallel()
	p := &peer{addrs: [2]entity.AddrVec{addrs(1, 2, 1), addrs(1, 3, 1)}}
	t0 := time.Unix(1700000000, 0)
	p.sent(t0, 1, 20*time.Second)
	if !p.answered(t0, Back, 1) || p.answered(t0, Back, 1) {
		t.Error("an answer counts once")
	}
	if p.healthy(t0) || p.failing(t0.Add(20*time.Second)) || !p.failing(t0.Add(21*time.Second)) {
		t.Errorf("%+v", p)
	}
	p.answered(t0, Front, 1)
	// 20 s after the last sign of life, but 10 s after a ping at the earliest.
	p.sent(t0.Add(5*time.Second), 2, 20*time.Second)
	p.answered(t0.Add(6*time.Second), Front, 2)
	if p.failing(t0.Add(20*time.Second)) || !p.failing(t0.Add(21*time.Second)) || !p.failedSince().Equal(t0) {
		t.Errorf("pings %+v, since %v", p.pings, p.failedSince())
	}
	p.answered(t0.Add(7*time.Second), Back, 2)
	p.sent(t0.Add(18*time.Second), 3, 20*time.Second)
	if p.failing(t0.Add(28*time.Second)) || !p.failing(t0.Add(29*time.Second)) {
		t.Errorf("pings %+v", p.pings)
	}
	for i := range int64(100) {
		p.sent(t0.Add(7*time.Second), 10+i, 20*time.Second)
	}
	if len(p.pings) > maxPings || p.pings[0].stamp != 3 {
		t.Errorf("%d pings, the first %d", len(p.pings), p.pings[0].stamp)
	}
}

// Nobody listens where an OSD was: it is reported at once, by whoever finds out,
// if it is still that process that the map shows.
func TestRefused(t *testing.T) {
	t.Parallel()
	n := newNet(t, 4, 1, one)
	for _, c := range []struct {
		name  string
		by    int32
		addrs entity.AddrVec
		want  int
	}{
		{"its heartbeat address", 0, n.m.HBBackAddrs[1], 1},
		{"of one that is not pinged", 3, n.m.ClusterAddrs[1], 1},
		{"another process", 2, addrs(1, 3, 7), 0},
		{"no address", 2, nil, 0},
	} {
		n.toMon = nil
		n.step(c.by, Refused{OSD: 1, Addrs: c.addrs})
		got := n.reports(1, msg.FailureFailed|msg.FailureImmediate)
		if len(got) != c.want {
			t.Errorf("%s: reported by %v", c.name, got)
		}
	}
	n.change(func(inc *osdmap.Incremental) { inc.NewState[1] = osdmap.StateUp })
	n.publish()
	n.toMon = nil
	if n.step(0, Refused{OSD: 1, Addrs: n.m.HBBackAddrs[1]}); len(n.toMon) > 0 {
		t.Error("reported though it is down")
	}
	n.osds[0].cfg.FastFail = false
	if n.step(0, Refused{OSD: 2, Addrs: n.m.HBBackAddrs[2]}); len(n.toMon) > 0 {
		t.Error("reported in spite of osd_fast_fail_on_connection_refused")
	}
}

// An OSD that others see down in a newer map hears of it from them; until it is up
// again it reports nobody, and it knows whether it is heard.
func TestDied(t *testing.T) {
	t.Parallel()
	n := newNet(t, 3, 1, nil)
	n.run(10 * time.Second)
	n.change(func(inc *osdmap.Incremental) { inc.NewState[1] = osdmap.StateUp })
	for _, o := range []int32{0, 2} {
		n.step(o, Maps{Map: n.m, Up: true})
	}
	n.run(7 * time.Second)
	if n.newer[1] != n.m.Epoch {
		t.Fatalf("heard of e%d, the others have e%d", n.newer[1], n.m.Epoch)
	}
	for o := range int32(3) {
		n.cut[[2]int32{o, 1}] = true
	}
	n.step(1, Maps{Map: n.m, Waiting: true})
	n.toMon = nil
	n.run(40 * time.Second)
	if n.osds[1].Status().Healthy {
		t.Error("thinks that it is heard")
	}
	if len(n.toMon) > 0 {
		t.Errorf("reported %+v", n.toMon[0])
	}
	clear(n.cut)
	if n.run(8 * time.Second); !n.osds[1].Status().Healthy {
		t.Error("does not notice that it is heard again")
	}
}

// Who does not answer is tried over new connections, and only then.
func TestNewLines(t *testing.T) {
	t.Parallel()
	n := newNet(t, 3, 1, nil)
	n.run(time.Minute)
	n.cut[[2]int32{0, 1}] = true
	if n.run(15 * time.Second); len(n.drops) > 0 {
		t.Errorf("within the grace time lines ended: %v", n.drops)
	}
	n.run(25 * time.Second)
	drops := len(n.drops)
	for _, d := range n.drops {
		if d[0] == 2 || d[1] == 2 {
			t.Errorf("osd.%d ends the line to osd.%d", d[0], d[1])
		}
	}
	if drops < 2 {
		t.Errorf("tried anew %d times", drops)
	}
	clear(n.cut)
	n.run(8 * time.Second)
	drops = len(n.drops)
	if n.run(time.Minute); len(n.drops) > drops {
		t.Errorf("after answers lines ended: %v", n.drops[drops:])
	}
}

// Who has an older map is sent what it lacks by whom it pings or is pinged by; once,
// and again if it still lacks it.
func TestShareMaps(t *testing.T) {
	t.Parallel()
	n := newNet(t, 3, 1, nil)
	n.run(7 * time.Second)
	if len(n.behind) > 0 {
		t.Fatalf("all have the same map, and yet: %v", n.behind)
	}
	old := n.m.Epoch
	n.change(func(inc *osdmap.Incremental) { inc.NewWeight[2] = 0x8000 })
	for _, o := range []int32{0, 2} {
		n.step(o, Maps{Map: n.m, Up: true})
	}
	n.run(7 * time.Second)
	told := map[int32]int{}
	for _, b := range n.behind {
		if b.who == 1 || b.Epoch != old {
			t.Errorf("osd.%d sends what comes after e%d", b.who, b.Epoch)
		}
		told[b.who]++
	}
	if len(told) != 2 || told[0] > 2 || told[2] > 2 {
		t.Errorf("shared by %v", told)
	}
	n.step(1, Maps{Map: n.m, Up: true})
	n.run(n.delay + time.Second)
	n.behind = nil
	if n.run(20 * time.Second); len(n.behind) > 0 {
		t.Errorf("shared with who lacks nothing: %v", n.behind)
	}
}

// A new process of a peer is a new peer; one that need not be pinged any more is
// no longer reported; a new monitor hears again of what lasts.
func TestFollow(t *testing.T) {
	t.Parallel()
	n := newNet(t, 6, 1, one)
	n.step(0, Groups{OSDs: []int32{3}})
	n.run(10 * time.Second)
	n.cut[[2]int32{3, 0}], n.cut[[2]int32{1, 0}] = true, true
	n.run(30 * time.Second)
	if by := n.reports(3, msg.FailureFailed); !slices.Equal(by, []int32{0}) {
		t.Fatalf("reported by %v", by)
	}
	n.toMon = nil
	n.step(0, MonConnected{})
	if len(n.toMon) != 2 {
		t.Errorf("%d reports to a new monitor", len(n.toMon))
	}
	n.toMon = nil
	n.step(0, Groups{})
	if by := n.reports(3, 0); !slices.Equal(by, []int32{0}) {
		t.Errorf("withdrawn by %v", by)
	}
	n.change(func(inc *osdmap.Incremental) { inc.NewState[1] = osdmap.StateUp })
	n.publish()
	n.change(func(inc *osdmap.Incremental) { n.addrs(inc, 1, 2) })
	n.publish()
	n.toMon = nil
	delete(n.cut, [2]int32{1, 0})
	n.run(time.Minute)
	if by := n.reports(1, msg.FailureFailed); len(by) > 0 {
		t.Errorf("the new process is reported by %v", by)
	}
	n.step(0, Stopped{})
	if n.step(0, Tick{}); len(n.osds[0].peers) > 0 || !n.osds[0].Wake().IsZero() {
		t.Error("goes on after the end")
	}
}

// Pings of another cluster and of nobody are not answered.
func TestStrangers(t *testing.T) {
	t.Parallel()
	n := newNet(t, 2, 1, nil)
	h := n.osds[0]
	for _, b := range []*msg.OSDPing{
		{FSID: entity.UUID{9}, From: 1, Op: msg.PingAsk},
		{FSID: fsid, From: 0, Op: msg.PingAsk},
		{FSID: fsid, From: 1, Op: 77},
		{FSID: fsid, From: 5, Op: msg.PingReply},
		{FSID: fsid, From: -1, Op: msg.PingDied, Epoch: 1},
	} {
		h.Step(n.now, Received{Back, b, line{1, Back}})
		if r := h.Ready(); len(r.Answers)+len(r.Pings)+len(r.ToMon) > 0 || r.Newer > 0 {
			t.Errorf("%+v: %+v", b, r)
		}
	}
	h.Step(n.now, Received{Back, &msg.OSDPing{FSID: fsid, From: -5, Op: msg.PingAsk}, line{1, Back}})
	if r := h.Ready(); len(r.Answers) != 1 {
		t.Errorf("%+v", r)
	}
}
