package pg

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Info is a group's summary of itself (pg_info_t).
type Info struct {
	PG              object.SPG
	Epoch           uint32 // of the newest map that it has taken in and written down
	LastUpdate      object.Version
	LastUserVersion uint64
	LogTail         object.Version // the log has what is above it
	Stats           Stats
	Groups          uint32 // of the pool, by which the objects here were told apart
	SplitTo         uint32 // the number to which the group is being split; 0: it is not
	Forming         bool   // another group is still moving objects here
	History         History
	Purged          osdmap.SnapSet // snapshots that are being removed and of which nothing is left here
}

// History is when things happened, in epochs (pg_history_t).
type History struct {
	EpochCreated        uint32 // this group came to be
	EpochPoolCreated    uint32
	LastEpochStarted    uint32 // it was last active
	LastIntervalStarted uint32 // first epoch of the interval of that
	LastEpochClean      uint32
	LastIntervalClean   uint32
	LastEpochSplit      uint32
	LastEpochMarkedFull uint32
	SameUpSince         uint32
	SameIntervalSince   uint32
	SamePrimarySince    uint32
	LastScrub           object.Version
	LastDeepScrub       object.Version
}

const infoVersion = 2

func (i *Info) Encode(e *wire.Encoder) {
	m := e.Begin(infoVersion, 1)
	i.PG.Encode(e)
	e.U32(i.Epoch)
	i.LastUpdate.Encode(e)
	e.U64(i.LastUserVersion)
	i.LogTail.Encode(e)
	i.Stats.encode(e)
	e.U32(i.Groups)
	e.U32(i.SplitTo)
	e.Bool(i.Forming)
	h := &i.History
	for _, p := range h.epochs() {
		e.U32(*p)
	}
	h.LastScrub.Encode(e)
	h.LastDeepScrub.Encode(e)
	i.Purged.Encode(e)
	e.End(m)
}

func (i *Info) Decode(d *wire.Decoder) {
	env := d.Begin("pg.Info", infoVersion)
	i.PG.Decode(d)
	i.Epoch = d.U32()
	i.LastUpdate.Decode(d)
	i.LastUserVersion = d.U64()
	i.LogTail.Decode(d)
	i.Stats.decode(d, env.Version)
	i.Groups = d.U32()
	i.SplitTo = d.U32()
	i.Forming = d.Bool()
	h := &i.History
	for _, p := range h.epochs() {
		*p = d.U32()
	}
	h.LastScrub.Decode(d)
	h.LastDeepScrub.Decode(d)
	i.Purged = nil
	if env.Version >= 2 {
		i.Purged.Decode(d)
	}
	d.End(env)
}

func (h *History) epochs() []*uint32 {
	return []*uint32{
		&h.EpochCreated, &h.EpochPoolCreated, &h.LastEpochStarted, &h.LastIntervalStarted, &h.LastEpochClean,
		&h.LastIntervalClean, &h.LastEpochSplit, &h.LastEpochMarkedFull, &h.SameUpSince, &h.SameIntervalSince,
		&h.SamePrimarySince,
	}
}

func (i *Info) String() string {
	return fmt.Sprintf("%v( v %v (%v,%v] local-lis/les=%d/%d n=%d ec=%d/%d lis/c=%d/%d les/c=%d/%d sis=%d)", i.PG, i.LastUpdate,
		i.LogTail, i.LastUpdate, i.History.LastIntervalStarted, i.History.LastEpochStarted, i.Stats.Objects,
		i.History.EpochCreated, i.History.EpochPoolCreated, i.History.LastIntervalStarted, i.History.LastIntervalClean,
		i.History.LastEpochStarted, i.History.LastEpochClean, i.History.SameIntervalSince)
}
