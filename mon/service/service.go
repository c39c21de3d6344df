// Package service is the contract between the monitor's core and its services
// (PaxosService in Ceph): the OSD map, accounts, configuration, log, and so on.
//
// A service is a deterministic machine over one part of the replicated state.
//
//   - On the leader commands and messages are checked against the committed
//     state and what is pending already, and what they ask for is added to the
//     pending change. The core calls [Service.Propose] once nothing else is on
//     its way; all services' changes together are one entry of the raft log, so
//     many commands cost one synced write.
//   - On every monitor [Service.Apply] folds a committed change in. It depends
//     on nothing but the state and the change: no clock, no random numbers, no
//     configuration. Times and keys are decided by the leader and are part of
//     the change.
//
// While an entry is on its way the core holds back everything that may stage a
// change; so a pending change always builds on the committed state, and if the
// leader is deposed it is dropped and clients ask again.
//
// What a service can do beyond that it says by implementing the other
// interfaces here: [Commander], [Publisher], [Receiver], [Ticker],
// [Checker], [Reporter], [Founder], [Closer]. All calls come from the machine's one loop.
//
// All state lives under keys of the service (its name and a slash); a service
// may keep in memory what it likes. Reads see the writes of earlier Applies.
//
// No compatibility promise.
package service

import (
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/cephx/caps"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
)

// Service is one machine.
type Service interface {
	// Name tags its changes and prefixes its keys: "osdmap".
	Name() string
	// Load replaces the state by the one stored. It is called before anything
	// else, and again after a snapshot of another monitor was taken over.
	Load(r Reader) error
	// Propose returns the pending change, nil if there is none, and begins an
	// empty one. The change is not kept or altered afterwards by the service.
	Propose(now time.Time) []byte
	// Apply folds a committed change in and writes it down. An error means that
	// the state is broken: the monitor stops.
	Apply(change []byte, w Writer) error
	// Drop forgets the pending change: this monitor leads no more.
	Drop()
}

// Genesis is what a new cluster begins with.
type Genesis struct {
	FSID    msg.FSID
	Created time.Time
	Rand    io.Reader
}

// Founder begins its state in a new cluster. What it returns is applied as its
// first change.
type Founder interface{ Found(g Genesis) []byte }

// Reader reads a service's part of the store; keys are without its prefix. An
// error of the disk stops the monitor, so there is none here to handle.
type Reader interface {
	// Get returns a value, nil if there is none. It must not be changed.
	Get(key string) []byte
	// Scan yields the keys in [from, to) in order; to "" is the end.
	Scan(from, to string) iter.Seq2[string, []byte]
}

// Writer is a Reader that also writes; reads see the writes.
type Writer interface {
	Reader
	Put(key string, value []byte)
	Delete(key string)
}

// Session is a connection with a client or a daemon. Services read it.
type Session struct {
	ID       uint64
	Name     entity.Name     // client.4123, osd.3
	Auth     entity.AuthName // client.admin
	Addrs    entity.AddrVec
	GlobalID uint64
	Features uint64
	Host     string // as told with the last subscription
	Mgr      bool   // it was opened with the manager's address
	Opened   time.Time
	Caps     *caps.Mon // on the monitors; nil: none
	MgrCaps  *caps.Mgr // on the manager; nil: none
}

// Addr is where the peer connects from.
func (s *Session) Addr() netip.Addr {
	if len(s.Addrs) == 0 {
		return netip.Addr{}
	}
	return s.Addrs[0].AP.Addr()
}

// Capable reports whether the peer may use a service of the monitors ("osd",
// "mon", ...) with the permission it needs, letters of r, w, x.
func (s *Session) Capable(service, perm string) bool {
	return s.CapableOf(service, "", nil, perm)
}

// CapableOf is Capable for a command with its arguments, which an account may
// be allowed one by one.
func (s *Session) CapableOf(service, cmd string, args map[string]string, perm string) bool {
	return s.Caps != nil && s.Caps.Allows(service, cmd, args, caps.ParsePerm(perm), s.Addr())
}

// Host is the machine as services see it.
type Host interface {
	Name() string // of this monitor: "a"
	FSID() msg.FSID
	Now() time.Time // time of this step
	Rand() io.Reader
	Leader() bool
	Reader(service string) Reader
	// Send sends a message that no message asked for.
	Send(s *Session, b msg.Body)
	Sessions() iter.Seq[*Session]
	// Log adds a line to the cluster log; channel "" is "cluster". Other
	// monitors than the leader send it there.
	Log(level msg.LogLevel, channel, format string, args ...any)
	// Option returns the value of a configuration option for this monitor, ""
	// for one that is unknown.
	Option(name string) string
}

// Commander answers commands.
type Commander interface{ Commands(t *command.Table) }

// Publisher serves subscriptions and questions for versions.
type Publisher interface {
	// Topics are the names it serves; one that ends in "*" stands for all names
	// with that beginning.
	Topics() []string
	// Versions returns the oldest and newest version at hand.
	Versions(topic string) (oldest, newest uint64)
	// Publish returns what is to be sent to a subscriber that wants versions
	// from next on (0: the latest), and the version it wants after that. With
	// nothing to send the subscription stays parked.
	Publish(s *Session, topic string, next uint64) ([]msg.Body, uint64)
}

// Answer is what becomes of a message.
type Answer struct {
	Body   msg.Body // nil: no reply
	Commit bool     // send it once what is pending is committed
}

// Receiver takes messages. Receive is called on the leader only, when changes
// may be staged.
type Receiver interface {
	Messages() []uint16 // types
	Receive(s *Session, b msg.Body) Answer
}

// Closer is told of sessions that ended.
type Closer interface{ SessionClosed(s *Session) }

// Ticker acts on the passing of time, on the leader, when changes may be staged.
type Ticker interface {
	// Tick stages what is due.
	Tick(now time.Time)
	// Wake returns when the next Tick is wanted; zero for never.
	Wake() time.Time
}

// Severity of a health check.
type Severity uint8

const (
	Warn Severity = 1
	Err  Severity = 2
)

func (s Severity) String() string {
	switch s {
	case Warn:
		return "HEALTH_WARN"
	case Err:
		return "HEALTH_ERR"
	}
	return "HEALTH_OK"
}

// Check is one thing that is wrong (health_check_t).
type Check struct {
	Code     string // OSD_DOWN
	Severity Severity
	Summary  string // "1 osds down"
	Count    int64
	Detail   []string
}

// Checker contributes to the cluster's health.
type Checker interface{ Checks(now time.Time) []Check }

// Line is one labelled line of a section of "ceph -s".
type Line struct{ Label, Text string }

// Section is one part of "ceph -s" after "services": data, io, progress.
type Section struct {
	Name  string
	Lines []Line // a line without label continues the one above
}

// Reporter contributes to "ceph -s": the lines under "services:", the sections
// after it, and the members of the JSON form (osdmap, pgmap, mgrmap, ...).
type Reporter interface {
	StatusServices(now time.Time) []Line
	StatusSections(now time.Time) []Section
	StatusDump(f *jsonfmt.Formatter, now time.Time)
}

// Daemon is a daemon that a service knows of, with what it told of itself.
type Daemon struct {
	Type     entity.Type
	ID       string
	Metadata map[string]string
}

// Inventory tells which daemons there are: for versions, node ls, and the
// metadata commands of a type.
type Inventory interface{ Daemons() []Daemon }

// Age renders a span as "ceph -s" does (timespan_str): 0.5s, 90s, 3m, 2h, 4d.
func Age(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	s := int64(d / time.Second)
	switch day := s / 86400; {
	case s < 2:
		return strconv.FormatFloat(d.Seconds(), 'g', 6, 64) + "s"
	case s < 120:
		return fmt.Sprintf("%ds", s)
	case s < 120*60:
		return fmt.Sprintf("%dm", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%dh", s/3600)
	case day < 14:
		return fmt.Sprintf("%dd", day)
	case day < 12*7:
		return fmt.Sprintf("%dw", day/7)
	case day < 24*30:
		return fmt.Sprintf("%dM", day/30)
	default:
		return fmt.Sprintf("%dy", day/365)
	}
}
