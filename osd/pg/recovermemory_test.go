package pg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// inFlight is how many bytes of objects are on their way to be made durable
// somewhere, of pieces of the interval that is.
func (g *gang) inFlight() (n int) {
	p := g.primary()
	for _, letters := range g.mail {
		for _, l := range letters {
			if PeerKind(l.body.Kind) == PeerPush && l.body.Interval == p.interval() {
				n += l.body.Data.Len()
			}
		}
	}
	return n
}

// lose ends an OSD, and waits until the others serve without it.
func (g *gang) lose(o int32) {
	g.crash(g.osds[o])
	g.markDown(o)
	g.takeOver()
}

// takeOver waits until who is primary now may serve.
func (g *gang) takeOver() {
	g.calm()
	g.now = g.now.Add(g.conf.ReadLease)
	for _, n := range g.osds {
		if n.pg != nil {
			g.step(n, Tick{})
		}
	}
	g.calm()
}

// However much is to be copied, what is held of it is bounded: what a primary
// takes for moves, and with it what is on its way. That is used, too: objects
// travel side by side, large ones in pieces.
func TestRecoveryHoldsLittle(t *testing.T) {
	t.Parallel()
	const objects, size, chunk, limit = 24, 5000, 1000, 4000
	for _, c := range []struct {
		what  string
		away  int32 // who misses the writes
		short bool  // the log does not reach back
		large bool
	}{
		{"push", 2, false, true},
		{"push of small objects", 2, false, false},
		{"pull", 0, false, true},
		{"backfill", 2, true, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			g := newGang(t, 1, 3, 3)
			g.conf.RecoveryChunk, g.conf.RecoveryBytes = chunk, limit
			if c.short {
				g.conf.LogEntries, g.conf.LogTrim = 3, 1
			}
			g.calm()
			g.lose(c.away)
			for i := range objects {
				g.tid++
				a := &ask{tid: g.tid, object: fmt.Sprint("o", i), token: fmt.Sprintf("<%d>", g.tid)}
				if c.large {
					a.token += strings.Repeat(".", size)
				}
				g.open[a.tid] = a
				g.request(a)
				g.calm()
			}
			var most, mostMoving int64
			var moves int
			g.watch = func() {
				for _, n := range g.osds {
					if n.env.moving > limit {
						g.fail("osd.%d holds %d bytes for moves", n.id, n.env.moving)
					}
					mostMoving = max(mostMoving, n.env.moving)
					if n.pg != nil {
						moves = max(moves, len(n.pg.recovery.moves))
					}
				}
				if n := int64(g.inFlight()); n > limit {
					g.fail("%d bytes on their way", n)
				} else {
					most = max(most, n)
				}
			}
			g.start(g.osds[c.away])
			g.heal()
			g.watch = nil
			g.compare()
			if done := g.primary().recovery.done.ObjectsRecovered; done < objects {
				t.Errorf("%d objects recovered of %d", done, objects)
			}
			if c.large && (most < limit/2 || mostMoving < limit*3/4) {
				t.Errorf("at most %d bytes on their way and %d held", most, mostMoving)
			}
			if want := limit / chunk; moves < want {
				t.Errorf("at most %d objects at a time, there is room for %d", moves, want)
			}
		})
	}
}

// counted is the buffers of a request.
type counted struct{ held *int }

func (c *counted) Release() {
	if c.held != nil {
		*c.held--
		c.held = nil
	}
}

// Requests that wait for an object to be recovered keep what they hold of the
// connection's credit, so that no more of them are read than it is worth; when the
// object is there all of it is given back.
func TestWaitingForRecoveryHoldsCredit(t *testing.T) {
	t.Parallel()
	const requests = 50
	for _, away := range []int32{0, 1} { // missing here; missing at a member
		g := newGang(t, 1, 2, 2)
		g.calm()
		g.lose(away)
		g.ask("o", true)
		g.calm()
		g.occupy(255)
		g.start(g.osds[away])
		// All but the pieces of objects gets through.
		held := 0
		g.hold, g.charge = func(k PeerKind) bool { return k == PeerPush }, func() interface{ Release() } {
			held++
			return &counted{&held}
		}
		g.calm()
		for range requests {
			g.ask("o", true)
			g.calm()
		}
		waiting := 0
		for _, list := range g.primary().recovery.waiting {
			waiting += len(list)
		}
		if waiting != requests || held != requests || len(g.open) != requests {
			t.Errorf("osd.%d is behind: of %d requests %d wait, %d hold credit, %d are unanswered", away, requests, waiting, held, len(g.open))
		}
		g.hold = nil
		g.vacate()
		g.heal()
		g.compare()
		if held != 0 || len(g.open) != 0 {
			t.Errorf("osd.%d was behind: %d requests hold credit, %v are unanswered", away, held, slices.Sorted(keys(g.open)))
		}
	}
}
