package objecter

import (
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// View shows an OSD map as the core wants it.
func View(m *osdmap.Map) Map { return mapView{m} }

// mapView shows an OSD map as the core wants it.
type mapView struct{ m *osdmap.Map }

func (v mapView) Epoch() uint32 { return v.m.Epoch }

func (v mapView) Paused() (reads, writes, full bool) {
	return v.m.HasFlag(osdmap.FlagPauseRd), v.m.HasFlag(osdmap.FlagPauseWr), v.m.HasFlag(osdmap.FlagFull)
}

func (v mapView) Pool(id int64) (Pool, bool) {
	p := v.m.Pools[id]
	if p == nil {
		return Pool{}, false
	}
	return Pool{
		PGNum: p.PGNum, PGNumPending: p.PGNumPending, Size: uint32(p.Size), MinSize: uint32(p.MinSize),
		Erasure: !p.IsReplicated(), Full: p.Has(osdmap.PoolFlagFull), ForceResend: p.LastForceOpResend,
	}, true
}

func (v mapView) Place(pg object.PG) Placement {
	m := v.m.PGToUpActing(pg)
	return Placement{Up: m.Up, Acting: m.Acting, UpPrimary: m.UpPrimary, Primary: m.ActingPrimary}
}

func (v mapView) Up(osd int32) (entity.AddrVec, bool) {
	if !v.m.IsUp(osd) {
		return nil, false
	}
	return v.m.ClientAddrs[osd], true
}
