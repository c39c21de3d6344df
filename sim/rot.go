package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/osd"
)

// Disks decay in two ways, each only as far as a cluster must survive it:
//
//	rot   the data of one copy of an object does not fit its checksums any more
//	lose  a disk is gone with all it had; a new one takes its OSD's number
//
// Either happens only while all groups are clean and nothing is being written, so
// that what is lost is somewhere else. Rot is not noticed until somebody reads; while it is not, nobody may take
// the copy for a good one and do without the others: plans that have it want two
// copies of each write, and no object is rotten on two disks.

// decay is what a disk has lost: the objects of which the data cannot be read. It
// outlives the processes that use the disk.
type decay map[copyOf]bool

type copyOf struct {
	coll objstore.Coll
	id   object.ID
}

// after is the decay when a transaction is done; an error if that would have to
// read what cannot be read: to change data in part, as checksums are of blocks.
func (d decay) after(tx *objstore.Txn) (decay, error) {
	if len(d) == 0 {
		return d, nil
	}
	next := maps.Clone(d)
	for i := range tx.Ops {
		op := &tx.Ops[i]
		here, dest := copyOf{op.Coll, op.OID}, copyOf{op.Coll, op.Dest}
		switch op.Code {
		case objstore.OpRemove:
			delete(next, here)
		case objstore.OpTruncate:
			if op.Off == 0 {
				delete(next, here)
			}
		case objstore.OpWrite, objstore.OpZero:
			if next[here] {
				return d, fmt.Errorf("%v: %w", op.OID, errno.EIO)
			}
		case objstore.OpClone, objstore.OpRename:
			if op.Code == objstore.OpRename {
				dest.coll = op.DestColl
			}
			delete(next, dest)
			if next[here] {
				next[dest] = true
			}
			if op.Code == objstore.OpRename {
				delete(next, here)
			}
		case objstore.OpCloneRange:
			if next[here] {
				next[dest] = true
			}
		case objstore.OpRemoveColl, objstore.OpDropColl:
			maps.DeleteFunc(next, func(c copyOf, _ bool) bool { return c.coll == op.Coll })
		}
	}
	return next, nil
}

// Read implements objstore.Store.
func (d *disk) Read(c objstore.Coll, o object.ID, off, n uint64) (buffer.List, error) {
	if d.decay[copyOf{c, o}] {
		return nil, fmt.Errorf("%v: %w", o, errno.EIO)
	}
	return d.Store.Read(c, o, off, n)
}

// rot spoils an OSD's copy of an object, with all its clones.
func (w *World) rot(args []string) error {
	h := w.osdHost(args[0])
	if h == nil || !w.whole() {
		return nil
	}
	for _, o := range w.osds {
		for c := range o.disk.decay {
			if o != h && c.id.Name == args[1] {
				return nil
			}
		}
	}
	for _, g := range w.groups() {
		ids, _, err := h.disk.List(objstore.PGColl(g), object.MinID, 10000)
		if err != nil {
			continue // it has nothing of this group
		}
		for _, id := range ids {
			st, err := h.disk.Stat(objstore.PGColl(g), id)
			if id.Name == args[1] && err == nil && st.Size > 0 { // what has no data has no checksums
				w.tracef("%v: %v rots", h.p, id)
				h.disk.decay[copyOf{objstore.PGColl(g), id}] = true
			}
		}
	}
	return nil
}

// lose takes an OSD's disk away and, once the OSD is purged, gives it a new one.
func (w *World) lose(args []string) error {
	h := w.osdHost(args[0])
	if h == nil || w.plan.Size < 2 || !w.whole() {
		return nil
	}
	h.kill(false)
	h.disks++
	h.lostIn, h.retired = w.book.newest, true
	h.medium = memstore.NewStepped()
	h.disk = &disk{Store: h.medium, w: w, name: h.name, off: true}
	w.tracef("%s has a new disk", h.name)
	var purge func()
	purge = func() {
		w.admin.ask("osd purge-actual", map[string]any{"id": h.id, "yes_i_really_mean_it": true}, func(a *msg.MonCommandAck) {
			if a.Result != 0 { // it is not known to be down yet
				w.admin.p.after(time.Second, purge)
				return
			}
			if h.retired = false; h.wanted {
				h.start()
			}
		})
	}
	purge()
	return h.format()
}

// format makes the store on the disk that an OSD has.
func (h *osdHost) format() error {
	return osd.Format(h.medium, entity.UUID(fsid), entity.UUID{0: 0xd1, 14: byte(h.disks), 15: byte(h.id)}, h.id)
}

func (w *World) osdHost(name string) *osdHost {
	for _, o := range w.osds {
		if o.name == name {
			return o
		}
	}
	return nil
}

// whole reports whether all OSDs serve, all groups are clean, and no write is on its
// way: one that is durable on a single disk must not decay there, as it is nowhere
// else if the others die.
func (w *World) whole() bool {
	m := w.book.decoded[w.book.newest]
	if m == nil || w.unclean() != "" || slices.ContainsFunc(w.osds, func(o *osdHost) bool { return o.unready() != "" || o.disk.Pending() > 0 }) {
		return false
	}
	for _, id := range w.groups() {
		ends := map[object.Version]bool{}
		for _, o := range m.PGToUpActing(id.PG).Acting {
			if p := w.osds[o].group(id); p != nil {
				ends[p.Info().LastUpdate] = true
			}
		}
		if len(ends) > 1 {
			return false
		}
	}
	return true
}

// rotten names an OSD with a copy that cannot be read; "" if all can.
func (w *World) rotten() string {
	for _, o := range w.osds {
		if len(o.disk.decay) > 0 {
			return o.name
		}
	}
	return ""
}

// mend has all groups repaired until nothing is rotten: what nobody reads is found
// by scrub only. A repair is asked for again: a map change ends it.
func (w *World) mend() {
	for range 10 {
		if w.rotten() == "" || w.err != nil {
			return
		}
		for _, g := range w.groups() {
			w.admin.ask("pg repair", map[string]any{"pgid": g.PG.String()}, nil)
		}
		w.run(lookLimit, func() bool { return w.rotten() == "" && w.settled() })
	}
	w.fail("rot", "%s has a copy that cannot be read, and no repair mends it", w.rotten())
}
