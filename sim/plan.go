package sim

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Plan is who takes part in a run, and what is done and broken when. As text, one
// line each:
//
//	seed 42
//	mons 3
//	osds 3
//	clients 2
//	size 2 1                  copies of the pool, and how many it needs
//	groups 4                  of the pool
//	option NAME VALUE
//	at 1.5s kill osd.1        see steps
//	# why this plan was kept
//
// Times count from when the cluster has become whole for the first time.
type Plan struct {
	Seed          uint64
	Mons, OSDs    int
	Clients       int
	Size, MinSize int
	Groups        int
	Options       [][2]string
	Steps         []Step
	Notes         []string
}

// Step is one thing that happens.
type Step struct {
	At   time.Duration
	Verb string
	Args []string
}

func (s Step) String() string {
	return strings.TrimRight(fmt.Sprintf("at %v %s %s", s.At, s.Verb, strings.Join(s.Args, " ")), " ")
}

// steps are what a plan may do: how many words follow, and what happens.
var steps = map[string]struct {
	args int
	do   func(w *World, a []string) error
}{
	"kill":  {1, each(func(n node) { n.kill(false) })},                                                      // kill -9
	"power": {1, each(func(n node) { n.kill(true) })},                                                       // the host is gone without a word
	"start": {1, each(func(n node) { n.start() })},                                                          // nothing if it runs
	"stop":  {1, stopOSD},                                                                                   // as an administrator does
	"cut":   {2, pairwise((*network).cut, false)},                                                           // from A to B nothing arrives
	"split": {2, pairwise((*network).cut, true)},                                                            // both ways
	"join":  {2, pairwise((*network).heal, true)},                                                           // the end of both
	"reset": {2, pairwise((*network).reset, true)},                                                          // connections break
	"slow":  {3, slowLink},                                                                                  // A B how much
	"skew":  {2, skewClock},                                                                                 // A by how much its clock is wrong from the next start on
	"disk":  {2, slowDisk},                                                                                  // A how much slower
	"room":  {2, diskRoom},                                                                                  // A bytes of space
	"rot":   {2, (*World).rot},                                                                              // A object: a copy's data cannot be read any more
	"lose":  {1, (*World).lose},                                                                             // A gets a new disk
	"op":    {3, (*World).submit},                                                                           // client object verb [token or snapshot]
	"snap":  {0, (*World).takeSnap},                                                                         // a snapshot for writes from now on
	"quit":  {1, giveUp},                                                                                    // a client cancels what it waits for
	"admin": {-1, func(w *World, a []string) error { w.admin.give(strings.Join(a, " "), nil); return nil }}, // a command as JSON
}

// node is what can be killed and started.
type node interface {
	start()
	kill(silent bool)
}

func (w *World) nodes(name string) (out []node) {
	for _, n := range w.match(name) {
		for _, m := range w.mons {
			if m.name == n {
				out = append(out, m)
			}
		}
		for _, o := range w.osds {
			if o.name == n {
				out = append(out, o)
			}
		}
		for _, c := range w.clients {
			if c.name == n {
				out = append(out, c)
			}
		}
	}
	return out
}

func each(f func(n node)) func(*World, []string) error {
	return func(w *World, a []string) error {
		for _, n := range w.nodes(a[0]) {
			f(n)
		}
		return nil
	}
}

func pairwise(f func(n *network, a, b string), both bool) func(*World, []string) error {
	return func(w *World, args []string) error {
		for _, a := range w.match(args[0]) {
			for _, b := range w.match(args[1]) {
				if a == b {
					continue
				}
				f(w.net, a, b)
				if both {
					f(w.net, b, a)
				}
			}
		}
		return nil
	}
}

func stopOSD(w *World, a []string) error {
	for _, n := range w.nodes(a[0]) {
		if o, ok := n.(*osdHost); ok {
			o.stop()
		}
	}
	return nil
}

func slowLink(w *World, args []string) error {
	d, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	return pairwise(func(n *network, a, b string) { n.link(a, b).extra = d }, true)(w, args)
}

func skewClock(w *World, args []string) error {
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	for _, n := range w.match(args[0]) {
		w.skew[n] = d
	}
	return nil
}

func slowDisk(w *World, args []string) error {
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	for _, n := range w.nodes(args[0]) {
		switch n := n.(type) {
		case *osdHost:
			n.disk.slow = d
		case *monitor:
			n.slow = d
		}
	}
	return nil
}

func diskRoom(w *World, args []string) error {
	bytes, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	for _, n := range w.nodes(args[0]) {
		if o, ok := n.(*osdHost); ok {
			o.disk.SetCapacity(bytes)
		}
	}
	return nil
}

func giveUp(w *World, args []string) error {
	for _, n := range w.nodes(args[0]) {
		if c, ok := n.(*client); ok && c.p.alive {
			c.giveUp()
		}
	}
	return nil
}

func (w *World) submit(args []string) error {
	for _, n := range w.nodes(args[0]) {
		c, ok := n.(*client)
		if !ok {
			continue
		}
		r := &record{client: c.index, object: args[1], in: input{verb: args[2]}}
		if len(args) > 3 {
			r.in.token = args[3]
		}
		if r.in.verb == "getsnap" {
			// The token says which of those there are now.
			i, err := strconv.Atoi(r.in.token)
			if err != nil {
				return err
			}
			if len(w.snaps) == 0 {
				continue
			}
			r.in.snap = w.snaps[i%len(w.snaps)]
		}
		c.submit(r)
	}
	return nil
}

func (w *World) takeSnap([]string) error {
	next := uint64(1)
	if len(w.snaps) > 0 {
		next = w.snaps[0] + 1
	}
	w.snaps = slices.Insert(slices.Clone(w.snaps), 0, next)
	return nil
}

// poolName is that of the pool that clients use.
const poolName = "data"

// pool is its number.
func (p *Plan) pool() int64 { return 1 }

// options are those of all daemons.
func (p *Plan) options() map[string]string {
	m := map[string]string{}
	for _, kv := range p.Options {
		m[kv[0]] = kv[1]
	}
	return m
}

func (p *Plan) String() string {
	var b strings.Builder
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "# %s\n", n)
	}
	fmt.Fprintf(&b, "seed %d\nmons %d\nosds %d\nclients %d\nsize %d %d\ngroups %d\n", p.Seed, p.Mons, p.OSDs, p.Clients, p.Size, p.MinSize, p.Groups)
	for _, kv := range p.Options {
		fmt.Fprintf(&b, "option %s %s\n", kv[0], kv[1])
	}
	for _, s := range p.Steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// ParsePlan reads a plan.
func ParsePlan(text string) (*Plan, error) {
	p := &Plan{}
	sc := bufio.NewScanner(strings.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		if err := p.parseLine(strings.TrimSpace(sc.Text())); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if p.Mons < 1 || p.OSDs < 1 || p.Clients < 1 || p.Groups < 1 || p.Size < 1 {
		return nil, fmt.Errorf("a plan needs monitors, OSDs, clients and a pool")
	}
	return p, sc.Err()
}

func (p *Plan) parseLine(line string) error {
	if note, ok := strings.CutPrefix(line, "#"); ok {
		p.Notes = append(p.Notes, strings.TrimSpace(note))
		return nil
	}
	f := strings.Fields(line)
	if len(f) == 0 {
		return nil
	}
	numbers := map[string][]*int{
		"mons": {&p.Mons}, "osds": {&p.OSDs}, "clients": {&p.Clients}, "size": {&p.Size, &p.MinSize}, "groups": {&p.Groups},
	}
	if into, ok := numbers[f[0]]; ok {
		if len(f) != len(into)+1 {
			return fmt.Errorf("%q wants %d numbers", f[0], len(into))
		}
		for i, dst := range into {
			v, err := strconv.Atoi(f[i+1])
			if err != nil {
				return err
			}
			*dst = v
		}
		return nil
	}
	switch {
	case f[0] == "seed" && len(f) == 2:
		var err error
		p.Seed, err = strconv.ParseUint(f[1], 10, 64)
		return err
	case f[0] == "option" && len(f) >= 2:
		p.Options = append(p.Options, [2]string{f[1], strings.Join(f[2:], " ")})
		return nil
	case f[0] == "at" && len(f) >= 3:
		at, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		v, ok := steps[f[2]]
		if !ok || len(f)-3 < v.args {
			return fmt.Errorf("no step %q with %d arguments", f[2], len(f)-3)
		}
		p.Steps = append(p.Steps, Step{at, f[2], f[3:]})
		return nil
	}
	return fmt.Errorf("what is %q?", line)
}
