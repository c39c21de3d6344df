package osdmon

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Service is the OSD map's service.
type Service struct {
	h     service.Host
	r     service.Reader
	stats Stats

	// Committed.
	cur   *osdmap.Map
	full  []byte                      // cur, encoded
	first uint32                      // oldest epoch at hand
	meta  map[int32]map[string]string // of each OSD that ever booted
	snaps map[int64]osdmap.SnapSet    // purged, by pool

	p        pending
	proposed *proposal // what Propose computed, for Apply

	life life // what the leader remembers of OSDs; not replicated

	accounts Accounts
}

// Stats is what the map's service asks of the statistics. All of it may be
// unknown after a change of leaders.
type Stats interface {
	// PoolUsage returns the objects and bytes that clients stored in a pool.
	PoolUsage(pool int64) (objects, bytes int64, ok bool)
	// PoolCreated reports whether all groups of a pool have been made.
	PoolCreated(pool int64, pgNum uint32) bool
	// LastReport returns when an OSD was last heard of, zero for never.
	LastReport(osd int32) time.Time
	// Fullness returns the state bits nearfull, backfillfull and full as the
	// OSD sees them.
	Fullness(osd int32) (osdmap.State, bool)
	// CleanFloor returns the oldest epoch that a group or an OSD may still
	// need.
	CleanFloor() (uint32, bool)
	// Purged returns the snapshots of which no group of a pool has anything
	// left, among those that are being removed.
	Purged(pool int64) osdmap.SnapSet
	// Seq returns the sequence number of an OSD's last report.
	Seq(osd int32) uint64
}

// Accounts is what the map's service needs of the accounts.
type Accounts interface {
	// CreateOSD makes the account of a new OSD with a key in base64, in the same
	// proposal; it reports whether there was none. It fails with EINVAL if that is
	// no key, and with EEXIST if the OSD has another one.
	CreateOSD(osd int32, key string) (made bool, err error)
	// RemoveOSD removes the accounts of an OSD that is destroyed, in the same
	// proposal.
	RemoveOSD(osd int32, uuid entity.UUID)
	// MayWritePool reports whether the OSD capabilities of an account let it
	// write to a pool, "" being one that does not exist.
	MayWritePool(account entity.AuthName, pool string) bool
}

// UseAccounts tells where accounts are; without, there are none.
func (s *Service) UseAccounts(a Accounts) { s.accounts = a }

// noAccounts knows none.
type noAccounts struct{}

func (noAccounts) CreateOSD(int32, string) (bool, error)     { return false, errno.EOPNOTSUPP }
func (noAccounts) RemoveOSD(int32, entity.UUID)              {}
func (noAccounts) MayWritePool(entity.AuthName, string) bool { return false }

// New returns the service of a monitor.
func New(h service.Host) *Service {
	return &Service{h: h, cur: osdmap.New(), meta: map[int32]map[string]string{}, snaps: map[int64]osdmap.SnapSet{}, stats: noStats{}, accounts: noAccounts{}, life: newLife()}
}

// UseStats tells where statistics come from; without, there are none.
func (s *Service) UseStats(st Stats) { s.stats = st }

// Map returns the newest committed map. It is read only.
func (s *Service) Map() *osdmap.Map { return s.cur }

// Metadata returns what an OSD told of itself when it booted, nil if it never
// did. It is read only.
func (s *Service) Metadata(osd int32) map[string]string { return s.meta[osd] }

// Daemons are the OSDs that told of themselves.
func (s *Service) Daemons() []service.Daemon {
	var all []service.Daemon
	for _, osd := range slices.Sorted(maps.Keys(s.meta)) {
		if s.cur.Exists(osd) {
			all = append(all, service.Daemon{Type: entity.OSD, ID: strconv.Itoa(int(osd)), Metadata: s.meta[osd]})
		}
	}
	return all
}

// Place returns the device class of an OSD and the buckets above it by type.
func (s *Service) Place(osd int32) (class string, loc map[string]string) {
	return s.cur.Crush.ClassOf(osd), s.cur.Crush.Location(osd)
}

// noStats knows nothing.
type noStats struct{}

func (noStats) PoolUsage(int64) (objects, bytes int64, ok bool) { return 0, 0, false }
func (noStats) PoolCreated(int64, uint32) bool                  { return false }
func (noStats) LastReport(int32) time.Time                      { return time.Time{} }
func (noStats) Fullness(int32) (osdmap.State, bool)             { return 0, false }
func (noStats) CleanFloor() (uint32, bool)                      { return 0, false }
func (noStats) Purged(int64) osdmap.SnapSet                     { return nil }
func (noStats) Seq(int32) uint64                                { return 0 }

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
	_ service.Inventory = (*Service)(nil)
)

// Name tags the service's changes.
func (s *Service) Name() string { return "osdmap" }

// Commands registers all commands, family by family.
func (s *Service) Commands(t *command.Table) {
	s.mapCommands(t)
	s.metadataCommands(t)
	s.osdCommands(t)
	s.flagCommands(t)
	s.limitCommands(t)
	s.blocklistCommands(t)
	s.pgCommands(t)
	s.crushCommands(t)
	s.crushTreeCommands(t)
	s.crushRuleCommands(t)
	s.crushClassCommands(t)
	s.weightSetCommands(t)
	s.poolCommands(t)
	s.poolVarCommands(t)
	s.quotaCommands(t)
	s.applicationCommands(t)
	s.poolSnapCommands(t)
	s.profileCommands(t)
	s.tierCommands(t)
}

// Messages are the types it takes.
func (s *Service) Messages() []uint16 {
	return []uint16{msg.TypeOSDBoot, msg.TypeOSDMarkDown, msg.TypeOSDAlive, msg.TypeOSDFailure, msg.TypeOSDDead, msg.TypeOSDPGTemp, msg.TypePoolOp}
}

// Receive takes a message.
func (s *Service) Receive(sess *service.Session, b msg.Body) service.Answer {
	switch b := b.(type) {
	case *msg.OSDBoot:
		return s.boot(sess, b)
	case *msg.OSDMarkDown:
		return s.markMeDown(sess, b)
	case *msg.OSDAlive:
		return s.alive(sess, b)
	case *msg.OSDFailure:
		return s.failed(sess, b)
	case *msg.OSDDead:
		return s.dead(sess, b)
	case *msg.OSDPGTemp:
		return s.pgTemp(sess, b)
	case *msg.PoolOp:
		return s.poolOp(sess, b)
	}
	return service.Answer{}
}
