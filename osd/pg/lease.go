package pg

import (
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/osdmap"
)

// Read leases. A primary that the map has deposed may not have heard of it, and
// would go on answering reads while another one takes writes. So each replica
// promises the primary, for a time, to take part in no other interval; while it
// has the promises of all acting members the primary may serve. A new primary
// hears from the members that it asks for how long they are bound, and waits for
// so long, unless it is sure that the old one knows better: it is itself, it is
// up and so has seen a map in which it was not, or it is known to be dead.
//
// Each side counts by its own clock. The primary's time begins when it asked, the
// replica's when it heard, which is later; so the promise outlasts what is made
// of it as long as clocks run at about the same speed.
//
// A replica that restarts has forgotten what it promised, and takes it that it
// was the longest possible.

// promise is that of one copy to a primary.
type promise struct {
	to     int32  // OSD
	upFrom uint32 // which of its processes
	until  time.Time
}

// leaseFor is how long promises are (readable_interval).
func (p *PG) leaseFor() time.Duration {
	if v := p.pool.Opts.Float(osdmap.OptReadLeaseInterval, 0); v > 0 {
		return min(time.Duration(v*float64(time.Second)), maxLease)
	}
	return p.env.Config.ReadLease
}

// maxLease bounds what a peer can make us wait.
const maxLease = 5 * time.Minute

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// promise binds this copy to a primary.
func (p *PG) promise(to int32, upFrom uint32, until time.Time) {
	for i := range p.promises {
		if q := &p.promises[i]; q.to == to && q.upFrom == upFrom {
			q.until = later(q.until, until)
			return
		}
	}
	p.promises = append(p.promises, promise{to, upFrom, until})
}

// promisesLeft are those that have not ended.
func (p *PG) promisesLeft(now time.Time) (list []promiseBody) {
	p.promises = slices.DeleteFunc(p.promises, func(q promise) bool { return !now.Before(q.until) })
	for _, q := range p.promises {
		list = append(list, promiseBody{q.to, q.upFrom, q.until.Sub(now)})
	}
	return list
}

// takePromises makes those of another copy count here.
func (p *PG) takePromises(now time.Time, list []promiseBody) {
	for _, q := range list {
		p.promise(q.To, q.UpFrom, now.Add(min(q.Left, maxLease)))
	}
}

// assumePromises is what a copy does that has been read from the store: it does
// not know what it promised to whom was primary then.
func (p *PG) assumePromises(now time.Time) {
	until := now.Add(p.leaseFor())
	ask := func(o int32) {
		if o >= 0 && o != p.env.Whoami && o < p.osdmap.MaxOSD {
			p.promise(o, p.osdmap.Info[o].UpFrom, until)
		}
	}
	ask(p.mapping.ActingPrimary)
	for _, i := range p.past.List {
		if i.Last >= p.info.History.LastEpochStarted {
			ask(i.Primary)
		}
	}
}

// serveAt is when nobody can believe to be the primary any more.
func (p *PG) serveAt() (at time.Time) {
	for _, q := range p.promises {
		if q.to == p.env.Whoami || q.to >= p.osdmap.MaxOSD || !p.osdmap.Exists(q.to) {
			continue
		}
		i, x := &p.osdmap.Info[q.to], &p.osdmap.XInfo[q.to]
		switch {
		case i.UpFrom > q.upFrom: // it has come up again since, and knows
		case p.osdmap.IsUp(q.to) && p.peering.peers[q.to] != nil: // it has told us of itself in this interval
		case p.osdmap.IsDown(q.to) && x.DeadEpoch > i.UpFrom:
		default:
			at = later(at, q.until)
		}
	}
	return at
}

// leaseAsk is when the replicas were asked for promises. It stays here: a time
// that has been to another host has lost what tells it from a clock that was set.
type leaseAsk struct {
	number uint64
	at     time.Time
}

// askLeases asks the replicas for promises, again and again.
func (p *PG) askLeases(now time.Time) {
	if len(p.mapping.Acting) < 2 || p.peering.state != stateActive {
		return
	}
	p.leaseAsks = slices.DeleteFunc(p.leaseAsks, func(a leaseAsk) bool { return now.Sub(a.at) >= p.leaseFor() })
	p.leaseAsked++
	p.leaseAsks = append(p.leaseAsks, leaseAsk{p.leaseAsked, now})
	for _, o := range p.mapping.Acting {
		if q := p.peering.peers[o]; q != nil && q.member {
			p.tell(o, PeerLease, &leaseBody{Ask: p.leaseAsked, Lease: p.leaseFor()})
		}
	}
	p.nextLease = now.Add(p.leaseFor() / 2)
	p.wakeBy(p.nextLease)
}

// onLease gives a promise.
func (p *PG) onLease(now time.Time, from int32, l *leaseBody) {
	p.promise(from, p.upFrom(from), now.Add(min(l.Lease, maxLease)))
	p.tell(from, PeerLeaseAck, l)
}

// onLeaseAck notes a promise.
func (p *PG) onLeaseAck(now time.Time, from int32, l *leaseBody) {
	q := p.peering.peers[from]
	i := slices.IndexFunc(p.leaseAsks, func(a leaseAsk) bool { return a.number == l.Ask })
	if q == nil || !q.member || i < 0 {
		return
	}
	wasLaggy := p.laggy(now)
	q.lease = later(q.lease, p.leaseAsks[i].at.Add(min(l.Lease, p.leaseFor())))
	if wasLaggy && !p.laggy(now) {
		p.unlag(now)
	}
}

// readableUntil is how long all acting members have promised.
func (p *PG) readableUntil() (until time.Time, limited bool) {
	for _, o := range p.mapping.Acting {
		if q := p.peering.peers[o]; q != nil && o != p.env.Whoami {
			if !limited || q.lease.Before(until) {
				until, limited = q.lease, true
			}
		}
	}
	return until, limited
}

// laggy reports whether nobody may be answered now.
func (p *PG) laggy(now time.Time) bool {
	until, limited := p.readableUntil()
	return limited && !now.Before(until)
}

// unlag lets the requests go on that waited for a lease.
func (p *PG) unlag(now time.Time) {
	for _, r := range p.lagging {
		p.env.Requeue(r)
	}
	p.lagging = nil
	p.announce(now)
}

// leaseTick renews the promises when it is time, and begins to serve when those
// of before have ended.
func (p *PG) leaseTick(now time.Time) {
	if !p.isPrimary() || p.peering.state != stateActive {
		return
	}
	if !p.nextLease.IsZero() {
		if !now.Before(p.nextLease) {
			p.askLeases(now)
		} else {
			p.wakeBy(p.nextLease)
		}
	}
	if p.role != roleActive {
		p.serve(now)
		p.announce(now)
	}
}
