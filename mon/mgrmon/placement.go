package mgrmon

import (
	"slices"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// placement says which groups an OSD has, of those that were reported.
type placement map[int32]*part

// part is an OSD's part in the groups.
type part struct {
	acting      int
	upNotActing int
	primary     int // by where the group should be
	trimming    uint64
	trimQueue   uint64
}

func (s *part) groups() int { return s.acting + s.upNotActing }

var nothing = &part{}

// of returns an OSD's part; it is read only.
func (p placement) of(o int32) *part {
	if s := p[o]; s != nil {
		return s
	}
	return nothing
}

func (p placement) at(o int32) *part {
	if p[o] == nil {
		p[o] = &part{}
	}
	return p[o]
}

func (p *pgmap) placement() placement {
	at := placement{}
	for g := range p.groups() {
		at.add(g)
	}
	return at
}

func (p placement) add(g *msg.PGStat) {
	for _, o := range g.Acting {
		if o != osdmap.NoOSD {
			p.at(o).acting++
		}
	}
	for _, o := range g.Up {
		if o != osdmap.NoOSD && !slices.Contains(g.Acting, o) {
			p.at(o).upNotActing++
		}
	}
	if g.UpPrimary >= 0 {
		p.at(g.UpPrimary).primary++
	}
	if g.ActingPrimary >= 0 {
		s := p.at(g.ActingPrimary)
		s.trimQueue += uint64(g.SnapTrimQueue)
		if g.State&msg.PGSnapTrim != 0 {
			s.trimming++
		}
	}
}

// osdNumbers are the numbers of one OSD.
func (p *pgmap) osdNumbers(o int32, at placement) *osdSum {
	st, _ := p.stat(o)
	a := &osdSum{upFrom: st.UpFrom, seq: st.Seq, snapTrimQueue: at.of(o).trimQueue, snapTrimming: at.of(o).trimming}
	a.add(&st)
	a.peers, a.pings = st.Peers, st.Pings
	return a
}
