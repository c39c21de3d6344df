package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// faultTime is how long things are broken in a generated plan.
const faultTime = 60 * time.Second

// Generate makes the plan of a seed: a small cluster, a load, and faults, most of
// which end before the next few begin, so that the cluster gets somewhere.
func Generate(seed uint64) *Plan {
	r := rand.New(rand.NewPCG(seed, 0x706c616e))
	p := &Plan{Seed: seed, Mons: pick(r, 1, 3, 3), OSDs: 1 + r.IntN(5), Clients: 2 + r.IntN(2), Groups: 1 + r.IntN(4)}
	p.Size = min(p.OSDs, pick(r, 1, 2, 3, 3))
	p.MinSize = 1 + r.IntN(min(p.Size, 2))
	p.Options = [][2]string{
		{"mon_allow_pool_size_one", "true"}, {"mon_allow_pool_delete", "true"}, {"osd_pool_default_pg_autoscale_mode", "off"},
		{"osd_crush_chooseleaf_type", "0"}, {"mon_osd_down_out_interval", pick(r, "0", "0", "15")}, {"mon_osd_reporter_subtree_level", "osd"},
	}
	if r.IntN(3) > 0 { // what takes a minute shall fit in
		p.Options = append(p.Options, [2]string{"osd_heartbeat_grace", "5"}, [2]string{"osd_heartbeat_interval", "1"})
	}
	g := &generator{r: r, p: p}
	g.load()
	g.faults()
	g.decay()
	if r.IntN(3) == 0 { // who was away is filled object by object, not by the log
		p.Options = append(p.Options, [2]string{"osd_min_pg_log_entries", "1"}, [2]string{"osd_max_pg_log_entries", fmt.Sprint(3 + r.IntN(10))},
			[2]string{"osd_pg_log_trim_min", "1"})
	}
	slices.SortStableFunc(p.Steps, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return p
}

type generator struct {
	r *rand.Rand
	p *Plan
}

func (g *generator) at(t time.Duration, verb string, args ...string) {
	g.p.Steps = append(g.p.Steps, Step{t.Round(time.Millisecond), verb, args})
}

func (g *generator) upTo(d time.Duration) time.Duration { return time.Duration(g.r.Int64N(int64(d))) }

// load is what clients do: mostly a few objects, which they share, in bursts.
func (g *generator) load() {
	objects := 2 + g.r.IntN(5)
	weights := []string{"put", "put", "append", "append", "append", "omap", "rmomap", "create", "delete", "get", "get", "get", "get"}
	snaps := g.r.IntN(2) == 0
	if snaps {
		weights = append(weights, "getsnap", "getsnap")
	}
	n := 60 + g.r.IntN(100)
	at := time.Duration(0)
	for i := range n {
		if g.r.IntN(5) == 0 {
			at = g.upTo(faultTime)
		}
		at += g.upTo(20 * time.Millisecond)
		verb := weights[g.r.IntN(len(weights))]
		args := []string{fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients)), fmt.Sprintf("o%d", g.r.IntN(objects)), verb}
		switch verb {
		case "put", "append", "omap", "create":
			args = append(args, fmt.Sprintf("t%d.%d", i, i%3))
		case "rmomap":
			args = append(args, fmt.Sprint(i%3))
		case "getsnap":
			args = append(args, fmt.Sprint(g.r.IntN(4)))
		}
		g.at(at, "op", args...)
	}
	if snaps {
		for range 1 + g.r.IntN(5) {
			g.at(g.upTo(faultTime), "snap")
		}
	}
}

// fault is one kind of trouble: it begins at a time and ends after another.
type fault func(g *generator, from, to time.Duration)

var faults = []fault{
	// A process dies, and comes again.
	func(g *generator, from, to time.Duration) {
		n := g.daemon()
		g.at(from, pick(g.r, "kill", "power"), n)
		g.at(to, "start", n)
	},
	func(g *generator, from, to time.Duration) { // all at once: a power cut
		g.at(from, "power", "*")
		g.at(to, "start", "*")
	},
	func(g *generator, from, to time.Duration) { // again before it knows itself up
		n := g.daemon()
		for range 2 + g.r.IntN(3) {
			g.at(from, "kill", n)
			g.at(from+g.upTo(time.Second), "start", n)
			from += time.Second + g.upTo(2*time.Second)
		}
	},
	func(g *generator, from, to time.Duration) {
		n := fmt.Sprintf("osd.%d", g.r.IntN(g.p.OSDs))
		g.at(from, "stop", n)
		g.at(to, "start", n)
	},
	func(g *generator, from, to time.Duration) { // a client, whose requests go on without it
		n := fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients))
		g.at(from, "kill", n)
		g.at(to, "start", n)
	},
	func(g *generator, from, _ time.Duration) {
		g.at(from, "quit", fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients)))
	},
	// The network.
	func(g *generator, from, to time.Duration) {
		a, b := g.anyone(), g.anyone()
		g.at(from, pick(g.r, "cut", "split"), a, b)
		g.at(to, "join", a, b)
	},
	func(g *generator, from, to time.Duration) { // one hears nobody, or nobody hears it
		n := g.daemon()
		switch g.r.IntN(3) {
		case 0:
			g.at(from, "cut", n, "*")
		case 1:
			g.at(from, "cut", "*", n)
		default:
			g.at(from, "split", n, "*")
		}
		g.at(to, "join", n, "*")
	},
	func(g *generator, from, to time.Duration) {
		for range 1 + g.r.IntN(5) {
			g.at(from+g.upTo(to-from), "reset", g.anyone(), pick(g.r, "*", g.anyone()))
		}
	},
	func(g *generator, from, to time.Duration) {
		a, b := g.anyone(), pick(g.r, "*", g.anyone())
		g.at(from, "slow", a, b, (10*time.Millisecond + g.upTo(time.Second)).Round(time.Millisecond).String())
		g.at(to, "slow", a, b, "0s")
	},
	// An OSD that is deposed and does not hear of it, while clients still reach it.
	func(g *generator, from, _ time.Duration) {
		n := fmt.Sprintf("osd.%d", g.r.IntN(g.p.OSDs))
		for o := range g.p.OSDs {
			g.at(from, "split", n, fmt.Sprintf("osd.%d", o))
		}
		for m := range g.p.Mons {
			g.at(from, "split", n, "mon."+string(rune('a'+m)))
		}
		for i := range 30 {
			verb, token := pick(g.r, "put", "get", "get"), fmt.Sprintf("d%d.%d", from.Milliseconds(), i%3)
			g.at(from+g.upTo(25*time.Second), "op", fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients)), fmt.Sprintf("o%d", g.r.IntN(3)), verb, token)
		}
		g.at(from+25*time.Second, "join", n, "*")
	},
	// What operators do, and undo.
	func(g *generator, from, to time.Duration) {
		o := g.r.IntN(g.p.OSDs)
		g.at(from, "admin", fmt.Sprintf(`{"prefix":"osd out","ids":["%d"]}`, o))
		g.at(to, "admin", fmt.Sprintf(`{"prefix":"osd in","ids":["%d"]}`, o))
	},
	func(g *generator, from, _ time.Duration) {
		g.at(from, "admin", fmt.Sprintf(`{"prefix":"osd down","ids":["%d"]}`, g.r.IntN(g.p.OSDs)))
	},
	func(g *generator, from, to time.Duration) {
		o := g.r.IntN(g.p.OSDs)
		g.at(from, "admin", fmt.Sprintf(`{"prefix":"osd reweight","id":%d,"weight":%.2f}`, o, g.r.Float64()))
		g.at(to, "admin", fmt.Sprintf(`{"prefix":"osd reweight","id":%d,"weight":1}`, o))
	},
	func(g *generator, from, to time.Duration) {
		g.at(from, "admin", fmt.Sprintf(`{"prefix":"osd pool set","pool":"%s","var":"size","val":"%d"}`, poolName, 1+g.r.IntN(min(3, g.p.OSDs))))
		g.at(to, "admin", fmt.Sprintf(`{"prefix":"osd pool set","pool":"%s","var":"size","val":"%d"}`, poolName, g.p.Size))
	},
	// Clocks and disks.
	func(g *generator, from, to time.Duration) {
		n := g.anyone()
		g.at(from, "skew", n, (g.upTo(20*time.Second) - 10*time.Second).Round(time.Millisecond).String())
		g.at(from, "kill", n)
		g.at(to, "start", n)
	},
	func(g *generator, from, to time.Duration) {
		n := g.daemon()
		g.at(from, "disk", n, (10*time.Millisecond + g.upTo(2*time.Second)).Round(time.Millisecond).String())
		g.at(to, "disk", n, "0s")
	},
}

// crisis is a burst of operations on one object while its disks are slow, and in
// the middle of it processes die and clients give up: what was seen must stay.
func crisis(g *generator, from, _ time.Duration) {
	slow := 50*time.Millisecond + g.upTo(time.Second)
	for o := range g.p.OSDs {
		if g.r.IntN(3) > 0 {
			g.at(from, "disk", fmt.Sprintf("osd.%d", o), slow.Round(time.Millisecond).String())
		}
	}
	object := fmt.Sprintf("o%d", g.r.IntN(3))
	burst := func(at time.Duration, n int) {
		for i := range n {
			verb := pick(g.r, "put", "append", "get", "get", "get")
			args := []string{fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients)), object, verb}
			if verb != "get" {
				args = append(args, fmt.Sprintf("c%d.%d", at.Milliseconds(), i%3))
			}
			g.at(at, "op", args...)
			at += g.upTo(10 * time.Millisecond)
		}
	}
	burst(from+10*time.Millisecond, 8)
	end := from + 20*time.Millisecond + g.upTo(2*slow)
	if g.r.IntN(2) == 0 {
		g.at(end, "quit", fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients)))
	}
	victim := pick(g.r, "*", g.daemon())
	if victim == "*" {
		for o := range g.p.OSDs {
			g.at(end, "kill", fmt.Sprintf("osd.%d", o))
		}
		g.at(end+time.Millisecond, "start", "*")
	} else {
		g.at(end, "kill", victim)
		g.at(end+g.upTo(2*time.Second), "start", victim)
	}
	burst(end+g.upTo(100*time.Millisecond), 6)
	for o := range g.p.OSDs {
		g.at(end+time.Second, "disk", fmt.Sprintf("osd.%d", o), "0s")
	}
}

func (g *generator) faults() {
	at := g.upTo(5 * time.Second)
	for n := g.r.IntN(12); n > 0 && at < faultTime; n-- {
		last := 50*time.Millisecond + g.upTo(pick(g.r, time.Second, 10*time.Second, 40*time.Second))
		kind := fault(crisis)
		if g.r.IntN(6) > 0 {
			kind = faults[g.r.IntN(len(faults))]
		}
		kind(g, at, min(at+last, faultTime))
		at += g.upTo(15 * time.Second)
	}
}

// decay has disks lose some or all of what they have.
func (g *generator) decay() {
	osd := func() string { return fmt.Sprintf("osd.%d", g.r.IntN(g.p.OSDs)) }
	switch g.r.IntN(4) {
	case 0:
		if g.p.MinSize < 2 {
			return
		}
		g.p.Steps = slices.DeleteFunc(g.p.Steps, func(s Step) bool { // it must stay two
			return s.Verb == "admin" && strings.Contains(s.Args[len(s.Args)-1], `"size"`)
		})
		for range 1 + g.r.IntN(6) {
			g.at(g.upTo(faultTime), "rot", osd(), fmt.Sprintf("o%d", g.r.IntN(4)))
		}
	case 1:
		if g.p.Size < 2 {
			return
		}
		for range 1 + g.r.IntN(2) {
			n, at := osd(), g.upTo(faultTime)
			g.at(at, "lose", n)
			g.at(at+g.upTo(20*time.Second), "start", n)
		}
	}
}

func (g *generator) daemon() string {
	n := g.r.IntN(g.p.Mons + g.p.OSDs)
	if n < g.p.Mons {
		return "mon." + string(rune('a'+n))
	}
	return fmt.Sprintf("osd.%d", n-g.p.Mons)
}

func (g *generator) anyone() string {
	if g.r.IntN(3) == 0 {
		return fmt.Sprintf("client.%d", g.r.IntN(g.p.Clients))
	}
	return g.daemon()
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }
