package sim

import (
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// checkDurable: when the answer to a write leaves its OSD, the write is durable on
// each replica of the acting set.
func checkDurable(w *World) check {
	return check{sent: func(e *end, body msg.Body) {
		r, ok := body.(*msg.OSDOpReply)
		if !ok || r.Result < 0 || r.ReplayVersion.IsZero() || r.Flags&uint64(msg.FlagWrite) == 0 {
			return
		}
		m := w.book.decoded[r.Epoch]
		if m == nil || m.Pools[r.PG.Pool] == nil {
			return
		}
		id := object.SPG{PG: r.PG, Shard: object.NoShard}
		for _, o := range m.PGToUpActing(r.PG).Acting {
			if o < 0 || int(o) >= len(w.osds) || r.Epoch <= w.osds[o].lostIn {
				continue // nobody there, or the disk that it was on is lost since
			}
			logged, err := pg.Logged(w.osds[o].durable(), id, r.ReplayVersion)
			if err != nil || !logged {
				w.fail("durable", "%v answers a write to %s, version %v of e%d, which osd.%d has not on disk (%v)", e.p, r.OID, r.ReplayVersion, r.Epoch, o, err)
			}
		}
	}}
}

// durable is what a crash would leave of an OSD's store.
func (o *osdHost) durable() objstore.Store {
	if !o.p.alive {
		return o.medium
	}
	return o.disk.Durable()
}
