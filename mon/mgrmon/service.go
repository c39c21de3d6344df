package mgrmon

import (
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/osdmon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Service holds the statistics. It has no replicated state of its own.
type Service struct {
	h   service.Host
	osd cluster
	pgs pgmap

	ticked time.Time // of the last sample of the rates
}

// Lead begins anew: what this monitor knew when it led before is old.
func (s *Service) Lead() { s.pgs = newPGMap() }

// cluster is what the statistics need of the OSD map's service.
type cluster interface {
	Map() *osdmap.Map
	// Metadata is what an OSD told of itself when it booted.
	Metadata(osd int32) map[string]string
	// Heard notes that an OSD is alive.
	Heard(sess *service.Session, osd int32)
}

// New returns the statistics of a monitor, which serve osd too.
func New(h service.Host, osd *osdmon.Service) *Service {
	s := newService(h, osd)
	osd.UseStats(s)
	return s
}

func newService(h service.Host, osd cluster) *Service {
	return &Service{h: h, osd: osd, pgs: newPGMap()}
}

var (
	_ osdmon.Stats      = (*Service)(nil)
	_ service.Commander = (*Service)(nil)
	_ service.Receiver  = (*Service)(nil)
	_ service.Ticker    = (*Service)(nil)
	_ service.Checker   = (*Service)(nil)
	_ service.Reporter  = (*Service)(nil)
)

// Commands registers all commands, family by family.
func (s *Service) Commands(t *command.Table) {
	s.statCommands(t)
	s.dumpCommands(t)
	s.listCommands(t)
	s.stuckCommands(t)
	s.dfCommands(t)
	s.osdDfCommands(t)
	s.poolStatsCommands(t)
	s.perfCommands(t)
	s.safetyCommands(t)
	s.scrubCommands(t)
	s.recoveryCommands(t)
	s.reweightCommands(t)
	s.statusCommands(t)
	s.autoscaleCommands(t)
}

// Messages are the types it takes.
func (s *Service) Messages() []uint16 {
	return []uint16{msg.TypeOSDReport, msg.TypeGetPoolStats, msg.TypeStatfs}
}

// Receive takes a message.
func (s *Service) Receive(sess *service.Session, b msg.Body) service.Answer {
	switch b := b.(type) {
	case *msg.OSDReport:
		s.report(sess, b)
	case *msg.GetPoolStats:
		return s.poolStatsOf(sess, b)
	case *msg.Statfs:
		return s.statfs(sess, b)
	}
	return service.Answer{}
}

// pgmap returns the statistics, in step with the OSD map.
func (s *Service) pgmap() *pgmap {
	s.pgs.follow(s.osd.Map(), s.h.Now())
	return &s.pgs
}

// ready reports whether all OSDs that are up have reported.
func (s *Service) ready() bool {
	p := s.pgmap()
	for o := range p.m.MaxOSD {
		if p.m.IsUp(o) && p.osds[o] == nil {
			return false
		}
	}
	return true
}

// Options that cannot be read have their stock value.

func (s *Service) intOption(name string, def int64) int64 {
	if n, err := strconv.ParseInt(s.h.Option(name), 10, 64); err == nil {
		return n
	}
	return def
}

func (s *Service) floatOption(name string, def float64) float64 {
	if f, err := strconv.ParseFloat(s.h.Option(name), 64); err == nil {
		return f
	}
	return def
}

func (s *Service) boolOption(name string, def bool) bool {
	if b, err := strconv.ParseBool(s.h.Option(name)); err == nil {
		return b
	}
	return def
}
