package sim

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
)

// Limits of the phases, in virtual time. What takes longer is stuck.
const (
	setupLimit = 2 * time.Minute
	tailTime   = time.Second // after the last step
	healLimit  = 10 * time.Minute
	lookLimit  = time.Minute
)

// Run runs a plan and returns what it violated; nil: nothing. The trace may be
// nil.
func Run(p *Plan, trace io.Writer) (stats Stats, v *Violation) {
	w := newWorld(p, trace)
	defer func() {
		// A machine that finds an invariant of its own broken panics.
		if r := recover(); r != nil {
			w.fail("machine", "%v\n%s", r, debug.Stack())
			stats, v = w.stats, w.err
		}
	}()
	w.live()
	w.stats.Events, w.stats.Virtual = w.events, w.elapsed()
	return w.stats, w.err
}

// live is a world's whole story.
func (w *World) live() {
	if !w.setUp() {
		return
	}
	begin := w.now
	for _, s := range w.plan.Steps {
		w.at(begin+moment(s.At), func() {
			w.tracef("--- %v", s)
			if err := steps[s.Verb].do(w, s.Args); err != nil {
				w.fail("plan", "%v: %v", s, err)
			}
		})
	}
	var last time.Duration
	for _, s := range w.plan.Steps {
		last = max(last, s.At)
	}
	w.run(last+tailTime, nil)
	if w.err != nil {
		return
	}
	w.repair()
	if !w.run(healLimit, w.settled) && w.err == nil {
		w.fail("heal", "%s %v after everything was repaired: %s", "not whole", healLimit, w.unsettled())
	}
	if w.err != nil {
		return
	}
	w.look()
	w.mend()
	for _, c := range w.checks {
		if c.end != nil && w.err == nil {
			c.end()
		}
	}
}

// setUp brings the cluster up, with its pool.
func (w *World) setUp() bool {
	if err := w.makeMonitors(); err != nil {
		w.fail("start", "%v", err)
		return false
	}
	w.makeAdmin()
	if err := w.makeOSDs(); err != nil {
		w.fail("start", "%v", err)
		return false
	}
	up := func() bool {
		return !slices.ContainsFunc(w.osds, func(o *osdHost) bool { return o.unready() != "" })
	}
	if !w.run(setupLimit, up) {
		w.fail("start", "no cluster within %v: %s", setupLimit, w.unsettled())
		return false
	}
	made := false
	w.admin.ask("osd pool create", map[string]any{"pool": poolName, "pg_num": w.plan.Groups, "pgp_num": w.plan.Groups, "pool_type": "replicated", "size": w.plan.Size},
		func(a *msg.MonCommandAck) {
			if a.Result != 0 {
				w.fail("start", "pool: %d %s", a.Result, a.Status)
			}
		})
	w.admin.ask("osd pool set", map[string]any{"pool": poolName, "var": "min_size", "val": fmt.Sprint(w.plan.MinSize)},
		func(a *msg.MonCommandAck) {
			if a.Result != 0 {
				w.fail("start", "pool: %d %s", a.Result, a.Status)
			}
			made = true
		})
	w.makeClients()
	if !w.run(setupLimit, func() bool { return made && w.settled() }) {
		w.fail("start", "no pool within %v: %s", setupLimit, w.unsettled())
	}
	return w.err == nil
}

// repair ends all that is broken.
func (w *World) repair() {
	w.tracef("--- repair")
	for _, a := range w.hosts() {
		w.skew[a] = 0
		for _, b := range w.hosts() {
			w.net.heal(a, b)
			w.net.link(a, b).extra = 0
		}
	}
	for _, m := range w.mons {
		m.slow = 0
		m.start()
	}
	for _, o := range w.osds {
		o.disk.slow = 0
		o.medium.SetCapacity(plenty)
		o.disk.SetCapacity(plenty)
		o.start()
	}
	for _, c := range w.clients {
		c.start()
	}
	if !slices.ContainsFunc(w.plan.Steps, func(s Step) bool { return s.Verb == "admin" }) {
		return
	}
	for _, o := range w.osds {
		w.admin.ask("osd reweight", map[string]any{"id": o.id, "weight": 1.0}, nil)
	}
	w.admin.ask("osd pool set", map[string]any{"pool": poolName, "var": "size", "val": fmt.Sprint(w.plan.Size)}, nil)
	w.admin.ask("osd pool set", map[string]any{"pool": poolName, "var": "min_size", "val": fmt.Sprint(w.plan.MinSize)}, nil)
}

// plenty is the space of a store with room.
const plenty = 1 << 30

// settled reports whether the cluster is whole and nobody waits for anything.
func (w *World) settled() bool { return w.unsettled() == "" }

// unsettled says what is not as it should be, a few words on the first thing.
func (w *World) unsettled() string {
	for _, c := range w.clients {
		if c.p.alive && len(c.pending) > 0 {
			return fmt.Sprintf("%v waits for %v", c.p, c.pending[c.inOrder()[0]])
		}
	}
	if w.admin.busy || len(w.admin.queue) > 0 {
		return "an administrator's command is not answered"
	}
	for _, o := range w.osds {
		if s := o.unready(); s != "" {
			return s
		}
	}
	return w.unclean()
}

// unready says why an OSD does not serve.
func (o *osdHost) unready() string {
	if !o.p.alive {
		return fmt.Sprintf("%v is dead", o.p)
	}
	if m := o.osd.Published(); m == nil || !m.Map.IsUp(o.id) || o.osd.State().String() != "active" {
		return fmt.Sprintf("%v is %v", o.p, o.osd.State())
	}
	return ""
}

// look has a client read everything, so that what is lost shows in the history.
func (w *World) look() {
	w.tracef("--- look")
	c := w.clients[0]
	var objects []string
	for _, r := range w.history.records {
		if !slices.Contains(objects, r.object) {
			objects = append(objects, r.object)
		}
	}
	slices.Sort(objects)
	for _, o := range objects {
		c.submit(&record{client: c.index, object: o, in: input{verb: "get"}, final: true})
		for _, s := range w.snaps {
			c.submit(&record{client: c.index, object: o, in: input{verb: "getsnap", snap: s}, final: true})
		}
	}
	if !w.run(lookLimit, w.settled) && w.err == nil {
		w.fail("heal", "no answer to the last reads: %s", w.unsettled())
	}
}
