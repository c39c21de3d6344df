package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/metric"
	"github.com/pulpo-storage/pulpo/mon"
)

// monDaemon is a monitor of a directory, with the manager that it plays.
type monDaemon struct {
	*monHost
	entry MonEntry
	lock  *os.File
}

func (d *monDaemon) name() string               { return d.entry.Daemon() }
func (d *monDaemon) registry() *metric.Registry { return d.metrics }

// serves: one that runs answers, if only to say that it has no quorum.
func (d *monDaemon) serves() bool { return true }

func (d *monDaemon) kill() error  { return errors.Join(d.abort(), d.lock.Close()) }
func (d *monDaemon) close() error { return errors.Join(d.monHost.close(), d.lock.Close()) }

// startMon runs a monitor of the site. The listener is the monitor's from here
// on.
func startMon(s *site, e MonEntry, ln net.Listener) (*monDaemon, error) {
	name := e.Daemon()
	fail := func(err error) (*monDaemon, error) { return nil, fmt.Errorf("%s: %w", name, err) }
	var seeds []entity.AddrVec
	if all, err := s.dir.monAddrs(s.id); err == nil {
		own := s.addrs(e.Port, 0)
		for _, a := range all {
			if !a.Equal(own) {
				seeds = append(seeds, a)
			}
		}
	}
	// With others there, one whose store is gone may begin anew: they give it a new
	// place in their group.
	if _, err := os.Stat(s.dir.Join(name, "store")); errors.Is(err, fs.ErrNotExist) && len(seeds) == 0 {
		ln.Close()
		return fail(fmt.Errorf("its store is gone from %s", s.home(name)))
	}
	lock, err := s.lockDaemon(name)
	if err != nil {
		ln.Close()
		return nil, err
	}
	mgrLn, mgrPort, err := listen(s.bind(), 0)
	if err == nil {
		err = os.MkdirAll(s.dir.Join("run"), 0o755)
	}
	if err != nil {
		ln.Close()
		lock.Close()
		return fail(err)
	}
	h, err := startMonHost(monConfig{
		Name: e.Name, FSID: s.fsid, Home: s.home(name), Seeds: seeds,
		Listener: ln, Addrs: s.addrs(e.Port, 0), MgrListener: mgrLn, MgrAddrs: s.addrs(mgrPort, newNonce()), Mgr: e.Mgr,
		AdminSocket: s.socketPath(name), MgrAdminSocket: s.socketPath("mgr." + e.Mgr), Options: s.id.Options, ReopenLog: s.reopenLog, Log: s.log.With("daemon", name),
		Heard: s.heard,
		Failed: func(err error) {
			if errors.Is(err, mon.ErrRemoved) {
				s.ended(name)
				return
			}
			s.failed(name, err)
		},
	})
	if err != nil {
		lock.Close()
		return fail(err)
	}
	s.runs()
	return &monDaemon{monHost: h, entry: e, lock: lock}, nil
}
