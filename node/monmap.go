package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/monmap"
)

// Monitors come and go while a host is of the cluster, and those that it joined
// by may be gone when it starts again. So a directory whose monitors are not all
// there are keeps the monitor map that one of its daemons heard last, as
// "monmaptool --print" reads it, and its ceph.conf goes with it.

const (
	monMapFile = "monmap"
	monMapLock = "run/monmap.lock" // of the daemons' processes among each other
)

// readMonMap is the map that was kept; nil: none was.
func (d *Dir) readMonMap(fsid string) (*monmap.Map, error) {
	b, err := os.ReadFile(d.Join(monMapFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	m, err := monmap.Decode(b)
	if err == nil && m.FSID.String() != fsid {
		err = fmt.Errorf("is of cluster %v", m.FSID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Join(monMapFile), err)
	}
	return m, nil
}

// monAddrs are the monitors that a daemon of the directory can begin with, its own
// first; the map that it gets from one of them names all there are.
func (d *Dir) monAddrs(id *Identity) ([]entity.AddrVec, error) {
	m, err := d.readMonMap(id.FSID)
	if err != nil {
		return nil, err
	}
	var out []entity.AddrVec
	for _, e := range id.Mons {
		out = append(out, id.addrs(e.Port, 0))
	}
	if m != nil {
		for _, name := range m.Ranks {
			if a := m.Mons[name].Addrs; !contains(out, a) {
				out = append(out, a)
			}
		}
		return out, nil
	}
	for _, h := range id.MonHost {
		ap, err := netip.ParseAddrPort(h)
		if err != nil {
			return nil, fmt.Errorf("monitor %q: want ADDR:PORT", h)
		}
		out = append(out, entity.AddrVec{{Type: entity.AddrMsgr2, AP: ap}})
	}
	if len(out) == 0 {
		return nil, errors.New("no monitor is known")
	}
	return out, nil
}

func contains(all []entity.AddrVec, a entity.AddrVec) bool {
	return slices.ContainsFunc(all, a.Equal)
}

// monMapKeeper keeps the maps that the daemons of this process hear.
type monMapKeeper struct {
	mu   sync.Mutex
	seen uint32 // epoch
}

// heard keeps a map if it says what the directory does not know. Other processes
// may hear of it at the same time.
func (s *site) heard(m *monmap.Map) {
	s.monMaps.mu.Lock()
	defer s.monMaps.mu.Unlock()
	if m.FSID != s.fsid || m.Epoch <= s.monMaps.seen {
		return
	}
	if err := s.keep(m); err != nil {
		s.log.Warn("monitor map is not kept", "epoch", m.Epoch, "err", err)
		return
	}
	s.monMaps.seen = m.Epoch
}

func (s *site) keep(m *monmap.Map) error {
	if err := os.MkdirAll(s.dir.Join("run"), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(s.dir.Join(monMapLock), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer disk.Unlock(lock)
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	// A command may have changed it since this process began.
	id, err := ReadIdentity(s.dir.Path)
	if err != nil || id == nil {
		return err
	}
	if was, err := s.dir.readMonMap(id.FSID); err != nil || was != nil && was.Epoch >= m.Epoch {
		return err
	}
	known, err := s.dir.monAddrs(id)
	if err != nil {
		return err
	}
	same := true
	for _, name := range m.Ranks {
		same = same && contains(known, m.Mons[name].Addrs)
	}
	if same && len(known) == len(m.Ranks) {
		return nil
	}
	if err := WriteFile(s.dir.Join(monMapFile), m.Encode(), 0o644); err != nil {
		return err
	}
	return s.dir.writeConf(id)
}
