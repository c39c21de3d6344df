package osd

import (
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/pg"
	"github.com/pulpo-storage/pulpo/osd/recovery"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Places to recover are the OSD's, since groups of all shards share them
// (OSDService's local_reserver and remote_reserver).
type places [2]*recovery.Reserver[object.SPG] // by pg.PlaceKind

func newPlaces() (p places) {
	for k := range p {
		p[k] = recovery.NewReserver[object.SPG](0, 0)
	}
	return p
}

// Places are wishes of a shard's groups.
type Places struct{ Asks []pg.PlaceAsk }

func (Places) osdEvent() {}

// takePlaces gives places out.
func (o *OSD) takePlaces(in Places) {
	for _, a := range in.Asks {
		r := o.places[a.Kind]
		switch {
		case a.Cancel:
			o.tellPlaces(a.Kind, r.Cancel(a.PG))
		case a.Kind == pg.PlaceRemote && o.tooFullFor(a):
			o.tellPlace(a.Kind, a.PG, pg.PlaceTooFull)
		default:
			o.tellPlaces(a.Kind, r.Request(a.PG, a.Priority, true))
		}
	}
}

// limitPlaces takes in the settings.
func (o *OSD) limitPlaces() {
	c := o.cfg.Options
	for k, r := range o.places {
		o.tellPlaces(pg.PlaceKind(k), r.SetLimits(int(c.Int("osd_max_backfills")), int(c.Int("osd_min_recovery_priority"))))
	}
}

// tooFullFor reports whether there is too little room here for what a place would
// bring: of a backfill it may be much, of a recovery it is what was here before.
func (o *OSD) tooFullFor(a pg.PlaceAsk) bool {
	u := o.store.Usage()
	switch o.fullness(float64(u.Total-min(u.Total, u.Available)), float64(u.Total)) {
	case osdmap.StateFull:
		return true
	case osdmap.StateBackfillFull:
		return a.Backfill
	}
	return false
}

func (o *OSD) tellPlaces(kind pg.PlaceKind, list []recovery.Verdict[object.SPG]) {
	for _, v := range list {
		verdict := pg.PlaceGranted
		if !v.Granted {
			verdict = pg.PlacePreempted
		}
		o.tellPlace(kind, v.Item, verdict)
	}
}

func (o *OSD) tellPlace(kind pg.PlaceKind, id object.SPG, v pg.PlaceVerdict) {
	o.toShard(ShardOf(id.PG, o.cfg.Shards), ForPG{PG: id, Event: pg.Place{Kind: kind, Verdict: v}})
}

// dumpPlaces is "dump_recovery_reservations".
func (c *call) dumpPlaces() {
	c.object(func(f *jsonfmt.Formatter) {
		for k, name := range [...]string{"local_reservations", "remote_reservations"} {
			f.Object(name, func() { dumpReserver(f, c.o.places[k]) })
		}
	})
}

func dumpReserver(f *jsonfmt.Formatter, r *recovery.Reserver[object.SPG]) {
	max, min := r.Limits()
	f.Int("max_allowed", int64(max))
	f.Int("min_priority", int64(min))
	one := func(x recovery.Reservation[object.SPG]) {
		f.Object("", func() {
			f.Str("item", x.Item.String())
			f.Int("prio", int64(x.Priority))
			f.Bool("can_preempt", x.Preemptible)
		})
	}
	f.Array("queues", func() {
		for list := r.Waiting(); len(list) > 0; {
			n := 1
			for n < len(list) && list[n].Priority == list[0].Priority {
				n++
			}
			f.Object("", func() {
				f.Int("priority", int64(list[0].Priority))
				f.Array("items", func() {
					for _, x := range list[:n] {
						one(x)
					}
				})
			})
			list = list[n:]
		}
	})
	f.Array("in_progress", func() {
		for _, x := range r.Held() {
			one(x)
		}
	})
}
