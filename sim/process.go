package sim

import (
	"fmt"
	"time"
)

// process is one life of a daemon or client. What happens to it after its end is
// nothing: its loops, timers and connections ask alive first.
type process struct {
	w     *World
	name  string // "osd.1"
	life  int    // how-manieth
	alive bool
	skew  time.Duration // of its clock, which runs on evenly whatever happens to the host's
	ends  []*end        // of its connections, in the order in which they were made
	// accept takes a connection that somebody made to an address of this process.
	accept func(e *end, from hello)
	addrs  []string // at which it listens
}

func (p *process) String() string { return fmt.Sprintf("%s/%d", p.name, p.life) }

// newProcess begins a life.
func (w *World) newProcess(name string, life int, accept func(e *end, from hello)) *process {
	w.dark[name] = false
	return &process{w: w, name: name, life: life, alive: true, skew: w.skew[name], accept: accept}
}

// clock is the time as the process's machine has it.
func (p *process) clock() time.Time { return p.w.wall(p.w.now).Add(p.skew) }

// when turns a time of the process's clock into a moment.
func (p *process) when(t time.Time) moment {
	return moment(t.Add(-p.skew).Sub(birth))
}

// after runs f in a while, if the process is still there.
func (p *process) after(d time.Duration, f func()) {
	p.w.after(d, func() {
		if p.alive {
			f()
		}
	})
}

// die ends a process. With silent its peers are not told: the host is gone, and
// they notice by themselves that nobody answers.
func (p *process) die(silent bool) {
	if !p.alive {
		return
	}
	p.alive = false
	for _, a := range p.addrs {
		if p.w.net.listeners[a] == p {
			delete(p.w.net.listeners, a)
		}
	}
	ends := p.ends
	p.ends = nil
	for _, e := range ends {
		e.abandon(silent)
	}
}

// loop is a goroutine of the shell: it takes events from an inbox, in order, and
// wakes when its machine wants to. Between an event's arrival and its turn passes
// a little time, which makes loops overtake each other.
type loop struct {
	p    *process
	name string
	step func(ev any)     // nil: the time has come
	wake func() time.Time // of the machine

	inbox  []any
	queued bool   // a run is scheduled
	held   bool   // it waits for its disk
	armed  moment // the timer; 0: none
	gen    int    // of the timer
}

func (p *process) newLoop(name string, step func(ev any), wake func() time.Time) *loop {
	return &loop{p: p, name: name, step: step, wake: wake}
}

// scheduling is how long a goroutine may wait for its turn.
const scheduling = 100 * time.Microsecond

// post puts an event into the inbox.
func (l *loop) post(ev any) {
	l.inbox = append(l.inbox, ev)
	l.kick()
}

func (l *loop) kick() {
	if l.queued || l.held || !l.p.alive {
		return
	}
	l.queued = true
	l.p.after(l.p.w.upTo("loops", scheduling), l.run)
}

func (l *loop) run() {
	l.queued = false
	events := l.inbox
	l.inbox = nil
	for i, ev := range events {
		if l.held {
			l.inbox = append(events[i:len(events):len(events)], l.inbox...)
			return
		}
		l.step(ev)
		if !l.p.alive {
			return
		}
	}
	l.rearm()
}

// rearm sets the timer to when the machine wants to be woken.
func (l *loop) rearm() {
	if l.held {
		return
	}
	t := l.wake()
	if t.IsZero() {
		l.gen++
		l.armed = 0
		return
	}
	// A timer fires late, never early.
	at := max(l.p.when(t), l.p.w.now) + moment(20*time.Microsecond)
	if l.armed != 0 && l.armed <= at && l.armed > l.p.w.now {
		return
	}
	l.gen++
	gen := l.gen
	l.armed = at
	l.p.w.at(at, func() {
		if !l.p.alive || l.gen != gen {
			return
		}
		l.armed = 0
		if l.held {
			return // it is armed again when the disk is done
		}
		l.step(nil)
		if l.p.alive {
			l.rearm()
		}
	})
}

// hold stops the loop until release: it waits for its disk.
func (l *loop) hold() { l.held = true }

func (l *loop) release() {
	l.held = false
	if len(l.inbox) > 0 {
		l.kick()
	}
	l.rearm()
}
