package osdmon

import (
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Service is the OSD map's service.
type Service struct {
	h     service.Host
	stats Stats
	cur   *osdmap.Map
}

// New returns the service of a monitor.
func New(h service.Host) *Service { return &Service{h: h} }

// UseStats tells where statistics come from; without, there are none.
func (s *Service) UseStats(st Stats) { s.stats = st }

// Map returns the newest committed map. It is read only.
func (s *Service) Map() *osdmap.Map { return s.cur }

// Metadata returns what an OSD told of itself when it booted, nil if it never
// did. It is read only.
func (s *Service) Metadata(osd int32) map[string]string { return nil }

// Stats is what the map's service asks of the statistics.
type Stats interface{}

var (
	_ service.Service   = (*Service)(nil)
	_ service.Founder   = (*Service)(nil)
	_ service.Commander = (*Service)(nil)
	_ service.Publisher = (*Service)(nil)
	_ service.Receiver  = (*Service)(nil)
	_ service.Ticker    = (*Service)(nil)
	_ service.Closer    = (*Service)(nil)
	_ service.Checker   = (*Service)(nil)
	_ service.Reporter  = (*Service)(nil)
)

func (s *Service) Name() string                                  { return "osdmap" }
func (s *Service) Load(r service.Reader) error                   { return nil }
func (s *Service) Propose(now time.Time) []byte                  { return nil }
func (s *Service) Apply(change []byte, w service.Writer) error   { return nil }
func (s *Service) Drop()                                         {}
func (s *Service) Found(g service.Genesis) []byte                { return nil }
func (s *Service) Commands(t *command.Table)                     {}
func (s *Service) Topics() []string                              { return []string{"osdmap"} }
func (s *Service) Versions(topic string) (oldest, newest uint64) { return 0, 0 }
func (s *Service) Publish(_ *service.Session, _ string, next uint64) ([]msg.Body, uint64) {
	return nil, next
}
func (s *Service) Messages() []uint16 {
	return []uint16{msg.TypeOSDBoot, msg.TypeOSDMarkDown, msg.TypeOSDAlive, msg.TypePoolOp}
}
func (s *Service) Receive(_ *service.Session, b msg.Body) service.Answer { return service.Answer{} }
func (s *Service) SessionClosed(_ *service.Session)                      {}
func (s *Service) Tick(now time.Time)                                    {}
func (s *Service) Wake() time.Time                                       { return time.Time{} }
func (s *Service) Checks(now time.Time) []service.Check                  { return nil }
func (s *Service) StatusServices(now time.Time) []service.Line           { return nil }
func (s *Service) StatusSections(now time.Time) []service.Section        { return nil }
func (s *Service) StatusDump(f *jsonfmt.Formatter, now time.Time)        {}
