package osdmon

import (
	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Found makes the first map of a cluster: no OSDs, no pools, the CRUSH map of a
// new cluster and the flags, ratios and releases of a fresh pacific one.
func (s *Service) Found(g service.Genesis) []byte {
	m := osdmap.New()
	m.FSID = g.FSID
	m.Epoch = 1
	m.Created, m.Modified = g.Created, g.Created
	m.Flags = osdmap.FlagSortBitwise | osdmap.FlagRecoveryDeletes | osdmap.FlagPurgedSnapDirs | osdmap.FlagPGLogHardLimit
	m.FullRatio = float32(s.floatOption("mon_osd_full_ratio", 0.95))
	m.BackfillfullRatio = float32(s.floatOption("mon_osd_backfillfull_ratio", 0.9))
	m.NearfullRatio = float32(s.floatOption("mon_osd_nearfull_ratio", 0.85))
	m.RequireMinCompatClient = entity.Luminous
	m.RequireOSDRelease = entity.Pacific
	m.ErasureCodeProfiles = map[string]map[string]string{
		"default": {"k": "2", "m": "2", "plugin": "jerasure", "technique": "reed_sol_van"},
	}
	domain := "host"
	if n := s.intOption("osd_crush_chooseleaf_type", 1); n >= 0 && n < int64(len(crush.TypesPacific)) {
		domain = crush.TypesPacific[n]
	}
	c, err := crush.BuildDefault(domain)
	if err != nil {
		panic("BUG: default CRUSH map: " + err.Error())
	}
	m.Crush = c

	full := m.Encode()
	inc := osdmap.NewIncremental(g.FSID, 1)
	inc.Modified = g.Created
	inc.FullMap = full
	return wire.Marshal(change{Inc: inc.Encode(osdmap.FullCRC(full))})
}
