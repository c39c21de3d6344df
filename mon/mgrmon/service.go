package mgrmon

import (
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/osdmon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
)

// Service holds the statistics. It has no replicated state of its own.
type Service struct {
	h   service.Host
	osd *osdmon.Service
}

// New returns the statistics of a monitor, which serve osd too.
func New(h service.Host, osd *osdmon.Service) *Service {
	s := &Service{h: h, osd: osd}
	osd.UseStats(s)
	return s
}

var (
	_ service.Commander = (*Service)(nil)
	_ service.Receiver  = (*Service)(nil)
	_ service.Ticker    = (*Service)(nil)
	_ service.Checker   = (*Service)(nil)
	_ service.Reporter  = (*Service)(nil)
)

func (s *Service) Commands(t *command.Table) {}
func (s *Service) Messages() []uint16 {
	return []uint16{msg.TypeOSDReport, msg.TypeGetPoolStats, msg.TypeStatfs}
}
func (s *Service) Receive(_ *service.Session, b msg.Body) service.Answer { return service.Answer{} }
func (s *Service) Tick(now time.Time)                                    {}
func (s *Service) Wake() time.Time                                       { return time.Time{} }
func (s *Service) Checks(now time.Time) []service.Check                  { return nil }
func (s *Service) StatusServices(now time.Time) []service.Line           { return nil }
func (s *Service) StatusSections(now time.Time) []service.Section        { return nil }
func (s *Service) StatusDump(f *jsonfmt.Formatter, now time.Time)        {}
