package osdmap

import (
	"time"

	"github.com/pulpo-storage/pulpo/wire"
)

// State is what the map knows of an OSD's condition (CEPH_OSD_*).
type State uint32

const (
	StateExists       State = 1 << iota
	StateUp                 // running, by the map's knowledge
	StateAutoOut            // marked out by the monitors, not by hand
	StateNew                // never was in
	StateFull               // takes no writes
	StateNearFull           //
	StateBackfillFull       // takes no backfill
	StateDestroyed          // gone for good, the id kept for its replacement
	StateNoUp               // noup, nodown, noin, noout for this one
	StateNoDown             //
	StateNoIn               //
	StateNoOut              //
	StateStop               // told to stop
)

var stateNames = []string{"exists", "up", "autoout", "new", "full", "nearfull", "backfillfull", "destroyed",
	"noup", "nodown", "noin", "noout", "stop"}

// Names returns the names of the bits that are set, sorted.
func (s State) Names() []string { return bitNames(uint64(s), stateNames) }

// Weights are 16.16 fixed point.
const (
	WeightIn  = 0x10000
	WeightOut = 0
	// AffinityDefault makes an OSD primary wherever it comes first.
	AffinityDefault = 0x10000
)

// Info is the history that peering needs (osd_info_t): epochs.
type Info struct {
	LastCleanBegin uint32 // last interval that ended in a clean shutdown
	LastCleanEnd   uint32
	UpFrom         uint32 // when it was last marked up
	UpThru         uint32 // it is known to have been up at least up to here
	DownAt         uint32 // when it was last marked down
	LostAt         uint32 // when its data was given up
}

func (i Info) Encode(e *wire.Encoder) {
	e.U8(1)
	e.U32(i.LastCleanBegin)
	e.U32(i.LastCleanEnd)
	e.U32(i.UpFrom)
	e.U32(i.UpThru)
	e.U32(i.DownAt)
	e.U32(i.LostAt)
}

func (i *Info) Decode(d *wire.Decoder) {
	if v := d.U8(); v != 1 && d.Err() == nil {
		d.Failf("osd_info_t version %d", v)
	}
	i.LastCleanBegin = d.U32()
	i.LastCleanEnd = d.U32()
	i.UpFrom = d.U32()
	i.UpThru = d.U32()
	i.DownAt = d.U32()
	i.LostAt = d.U32()
}

// XInfo is what only monitors and OSDs care for (osd_xinfo_t).
type XInfo struct {
	DownStamp            time.Time
	LaggyProbability     uint32 // of 0xffffffff
	LaggyInterval        uint32 // seconds
	Features             uint64
	OldWeight            uint32 // before it was marked out automatically
	LastPurgedSnapsScrub time.Time
	DeadEpoch            uint32 // it was dead, not only down, by this epoch
}

func (x XInfo) Encode(e *wire.Encoder) {
	m := e.Begin(4, 1)
	e.Time(x.DownStamp)
	e.U32(x.LaggyProbability)
	e.U32(x.LaggyInterval)
	e.U64(x.Features)
	e.U32(x.OldWeight)
	e.Time(x.LastPurgedSnapsScrub)
	e.U32(x.DeadEpoch)
	e.End(m)
}

func (x *XInfo) Decode(d *wire.Decoder) {
	env := d.Begin("osd_xinfo_t", 4)
	x.DownStamp = d.Time()
	x.LaggyProbability = d.U32()
	x.LaggyInterval = d.U32()
	if env.Version >= 2 {
		x.Features = d.U64()
		x.OldWeight = d.U32()
	}
	if env.Version >= 3 {
		x.LastPurgedSnapsScrub = d.Time()
	}
	if env.Version >= 4 {
		x.DeadEpoch = d.U32()
	}
	d.End(env)
}
