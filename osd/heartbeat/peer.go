package heartbeat

import (
	"time"

	"github.com/pulpo-storage/pulpo/entity"
)

// Side is one of the two networks.
type Side uint8

const (
	Back  Side = iota // of the OSDs
	Front             // of the clients
)

func (s Side) String() string {
	if s == Front {
		return "front"
	}
	return "back"
}

// peer is an OSD that is pinged: one process of it.
type peer struct {
	osd    int32
	upFrom uint32
	addrs  [2]entity.AddrVec // by side
	public entity.AddrVec    // by which the monitors know the process

	begun   time.Time
	lastRx  [2]time.Time
	times   [2]times
	updated time.Time
	// pings that not all sides have answered, and none after them either.
	pings []ping

	// reported is when the monitors were last told that it fails; zero: they were
	// not, or it was withdrawn.
	reported time.Time
	refused  time.Time // when they were last told that nobody listens
}

type ping struct {
	stamp    int64 // also its name
	at       time.Time
	deadline time.Time
	missing  uint8 // bit of each side
}

// sent notes a ping. It is overdue when the last sign of life is older than the
// grace; but half of that each ping has for itself.
func (p *peer) sent(now time.Time, stamp int64, grace time.Duration) {
	if p.begun.IsZero() {
		p.begun = now
	}
	missing := uint8(0)
	for side := range p.addrs {
		if len(p.addrs[side]) > 0 {
			missing |= 1 << side
		}
	}
	// The oldest shows since when there is no answer; of those after it some will do.
	if len(p.pings) >= maxPings {
		p.pings = append(p.pings[:1], p.pings[2:]...)
	}
	deadline := p.failedSince().Add(grace)
	if least := now.Add(grace / 2); deadline.Before(least) {
		deadline = least
	}
	p.pings = append(p.pings, ping{stamp, now, deadline, missing})
}

// allow gives the pings under way more time.
func (p *peer) allow(d time.Duration) {
	for i := range p.pings {
		p.pings[i].deadline = p.pings[i].deadline.Add(d)
	}
}

// maxPings bounds the pings that are remembered of a peer that does not answer.
const maxPings = 32

// answered notes an answer. Those from before which have not come need not come
// any more on that side; it reports whether there was such a ping.
func (p *peer) answered(now time.Time, side Side, stamp int64) bool {
	for i := range p.pings {
		q := &p.pings[i]
		if q.stamp != stamp {
			continue
		}
		if q.missing&(1<<side) == 0 {
			return false
		}
		p.lastRx[side] = q.at
		p.times[side].add(now, now.Sub(q.at))
		p.updated = now
		for j := range i + 1 {
			p.pings[j].missing &^= 1 << side
		}
		for len(p.pings) > 0 && p.pings[0].missing == 0 {
			p.pings = p.pings[1:]
		}
		return true
	}
	return false
}

// failing reports whether an answer is overdue.
func (p *peer) failing(now time.Time) bool { return len(p.pings) > 0 && now.After(p.pings[0].deadline) }

// healthy reports whether it has answered on all sides and nothing is overdue.
func (p *peer) healthy(now time.Time) bool {
	for side := range p.addrs {
		if len(p.addrs[side]) > 0 && p.lastRx[side].IsZero() {
			return false
		}
	}
	return !p.failing(now)
}

// failedSince is its last sign of life: the sending of the last ping that was
// answered, on the side that is worse off.
func (p *peer) failedSince() time.Time {
	since := time.Time{}
	for side := range p.addrs {
		if len(p.addrs[side]) == 0 {
			continue
		}
		at := p.lastRx[side]
		if at.IsZero() {
			return p.begun
		}
		if since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return since
}
