package sim

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/storetest"
	"github.com/pulpo-storage/pulpo/osd"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

// group is what an OSD has of a group; nil if nothing.
func (o *osdHost) group(id object.SPG) *pg.PG {
	shards := o.osd.Shards()
	return shards[osd.ShardOf(id.PG, len(shards))].Group(id)
}

// groups are those of the pool.
func (w *World) groups() []object.SPG {
	var out []object.SPG
	for seed := range w.plan.Groups {
		out = append(out, object.SPG{PG: object.PG{Pool: w.plan.pool(), Seed: uint32(seed)}, Shard: object.NoShard})
	}
	return out
}

// unclean names a group that is not active+clean by its primary; "": all are.
func (w *World) unclean() string {
	m := w.book.decoded[w.book.newest]
	if m == nil || m.Pools[w.plan.pool()] == nil {
		return "" // there is no pool yet
	}
	for _, id := range w.groups() {
		primary := m.PGToUpActing(id.PG).ActingPrimary
		if primary < 0 {
			return fmt.Sprintf("pg %v has no primary in e%d", id, m.Epoch)
		}
		o := w.osds[primary]
		p := o.group(id)
		if p == nil {
			return fmt.Sprintf("%v does not have pg %v", o.p, id)
		}
		if p.Epoch() < m.Epoch {
			return fmt.Sprintf("pg %v is in e%d at %v, the newest is e%d", id, p.Epoch(), o.p, m.Epoch)
		}
		if s := p.State(); s&(msg.PGActive|msg.PGClean) != msg.PGActive|msg.PGClean {
			return fmt.Sprintf("pg %v is %v at %v", id, s, o.p)
		}
	}
	return ""
}

// checkReplicas: at the end all replicas of a group hold the same objects, and
// the group's figures are those of its objects.
func checkReplicas(w *World) check {
	return check{end: func() {
		m := w.book.decoded[w.book.newest]
		for _, id := range w.groups() {
			first := ""
			mapping := m.PGToUpActing(id.PG)
			for i, o := range mapping.Acting {
				have, err := describeGroup(w.osds[o].disk.Store, id)
				if err != nil {
					w.fail("replicas", "%v at osd.%d: %v", id, o, err)
					return
				}
				if i == 0 {
					first = have
				} else if have != first {
					w.fail("replicas", "%v is at osd.%d\n%sand at osd.%d\n%s", id, mapping.Acting[0], first, o, have)
					return
				}
			}
			w.checkFigures(w.osds[mapping.ActingPrimary], id)
		}
	}}
}

// describeGroup is all that a collection holds but the group's own object.
func describeGroup(s objstore.Store, id object.SPG) (string, error) {
	d, err := storetest.Describe(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	own := " " + object.ID{Pool: id.Pool, Hash: id.Seed, Snap: object.NoSnap}.String() + " "
	skip := false
	for line := range strings.Lines(d[objstore.PGColl(id)]) {
		if !strings.HasPrefix(line, "  ") {
			skip = strings.HasPrefix(line, own)
		}
		if !skip {
			b.WriteString(line)
		}
	}
	return b.String(), nil
}

// checkFigures compares a group's statistics with what is there.
func (w *World) checkFigures(o *osdHost, id object.SPG) {
	p := o.group(id)
	if p == nil {
		w.fail("replicas", "%v does not have pg %v", o.p, id)
		return
	}
	ids, next, err := o.disk.List(objstore.PGColl(id), object.MinID, 10000)
	if err != nil || !next.Max {
		w.fail("replicas", "%v: list %v: %v", o.p, id, err)
		return
	}
	objects, clones := int64(0), int64(0)
	for _, x := range ids {
		if x.Name == "" {
			continue // the group's own
		}
		objects++
		if !x.IsHead() {
			clones++
		}
	}
	if s := &p.Info().Stats; s.Objects != objects || s.Clones != clones {
		w.fail("replicas", "%v counts %d objects, %d clones in pg %v; there are %d, %d", o.p, s.Objects, s.Clones, id, objects, clones)
	}
}
