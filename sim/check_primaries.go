package sim

import (
	"time"

	"github.com/pulpo-storage/pulpo/object"
)

// checkPrimaries: no group has two OSDs that serve it at the same time. One that
// is deposed and has not heard of it may still think that it is active, but not
// have the promises of the others (read leases). One that stops has both until its
// process ends, but its shards take no requests any more; only when all of them
// have said so does it tell the monitors that it is dead, on which the next primary
// may serve without waiting for its leases to end.
func checkPrimaries(w *World) check {
	next := moment(0)
	return check{step: func() {
		if w.now < next {
			return
		}
		next = w.now + moment(5*time.Millisecond)
		serving := map[object.SPG]*osdHost{}
		for _, o := range w.osds {
			if !o.p.alive {
				continue
			}
			for _, s := range o.osd.Shards() {
				for p := range s.Serving(o.p.clock()) {
					if was := serving[p.ID()]; was != nil {
						w.fail("primaries", "%v is served by %v, as of e%d, and by %v, as of e%d", p.ID(), was.p, was.group(p.ID()).Epoch(), o.p, p.Epoch())
						return
					}
					serving[p.ID()] = o
				}
			}
		}
	}}
}
