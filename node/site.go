package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/metric"
)

// site is what a daemon is told by whoever runs it: where it lives and what it
// shares with the other daemons of the directory and of the process. A daemon
// needs nothing else, so one that has a process of its own and one that shares
// it with all the others are made by the same constructor.
type site struct {
	dir    *Dir
	id     *Identity // not changed while daemons run
	fsid   entity.UUID
	log    *slog.Logger
	memory *memory // of the process
	share  int64   // of it for each OSD
	failed func(daemon string, err error)
	// ended is told that a daemon is done, unasked, and is not to be started again:
	// the cluster has told it to stop. Whoever runs it closes it.
	ended func(daemon string)
	// status is told what a daemon is doing; may be nil.
	status     func(daemon, status string)
	running    func()       // called when a daemon runs; may be nil
	reopenLog  func() error // goes on with a new file for the log; may be nil
	supervised bool         // by a process that holds the directory
	monMaps    monMapKeeper
}

// statusActive is the status of an OSD that serves.
const statusActive = "active"

// runs tells that the daemon has what it needs of this host.
func (s *site) runs() {
	if s.running != nil {
		s.running()
	}
}

func (s *site) say(daemon, status string) {
	if s.status != nil {
		s.status(daemon, status)
	}
}

// daemon is one that runs in this process.
type daemon interface {
	name() string // "osd.0"
	registry() *metric.Registry
	// serves reports whether it does what it is for: an OSD is up in the map.
	serves() bool
	// close stops it in order; nothing that it acknowledged is lost.
	close() error
	// kill ends it as if its process had died: nobody is told.
	kill() error
}

func (s *site) bind() netip.Addr { return netip.MustParseAddr(s.id.Listen) }

func (s *site) addrs(port uint16, nonce uint32) entity.AddrVec { return s.id.addrs(port, nonce) }

func (id *Identity) addrs(port uint16, nonce uint32) entity.AddrVec {
	public := netip.MustParseAddr(id.Public)
	return entity.AddrVec{{Type: entity.AddrMsgr2, Nonce: nonce, AP: netip.AddrPortFrom(public, port)}}
}

// home is the directory of one daemon.
func (s *site) home(name string) string { return s.dir.Join(name) }

// lockDaemon makes this process the one that runs a daemon.
func (s *site) lockDaemon(name string) (*os.File, error) {
	f, err := lockPath(s.dir.Join(name, lockFile))
	if err == nil && s.supervised {
		_, err = f.WriteString(supervisedMark + "\n")
	}
	if errors.Is(err, ErrInUse) {
		pid, _ := readPID(s.dir.Join(name, lockFile))
		return nil, fmt.Errorf("%s runs already, as process %d", name, pid)
	}
	return f, err
}

// adminSocket makes a daemon's socket.
func (s *site) adminSocket(name string, do func([]byte) ([]byte, error), log *slog.Logger) (*AdminSocket, error) {
	if err := os.MkdirAll(s.dir.Join("run"), 0o755); err != nil {
		return nil, err
	}
	return ListenAdmin(s.socketPath(name), do, log)
}

func (s *site) socketPath(name string) string { return s.dir.Join("run", "ceph-"+name+".asok") }

// osdName is the account of an OSD.
func osdName(id int32) entity.AuthName {
	return entity.AuthName{Type: entity.OSD, ID: strconv.Itoa(int(id))}
}

// confAddr is an address as "mon host" lists it.
func confAddr(a entity.AddrVec) string { return "[" + strings.TrimSuffix(a[0].String(), "/0") + "]" }
