package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/node/monstore"
)

// How daemons come to be. A store is made once, by the command that adds its
// daemon, and the directory's identity says so from then on. A daemon never
// makes its own: one whose store is gone, or is another disk's, must not pass
// for the one it was.

// monListeners listens for all monitors of a directory and notes the ports that
// the kernel gave to new ones. Only then is it sure that the addresses can be
// had, so a new directory is marked as a cluster's here.
func monListeners(dir *Dir, id *Identity, changed bool) (map[string]net.Listener, error) {
	lns := map[string]net.Listener{}
	fail := func(err error) (map[string]net.Listener, error) {
		for _, ln := range lns {
			ln.Close()
		}
		return nil, err
	}
	s := site{id: id}
	for i := range id.Mons {
		e := &id.Mons[i]
		ln, port, err := listen(s.bind(), e.Port)
		if err != nil {
			return fail(err)
		}
		lns[e.Name] = ln
		changed = changed || e.Port != port
		e.Port = port
	}
	if changed {
		if err := dir.SetIdentity(id); err != nil {
			return fail(err)
		}
	}
	return lns, nil
}

// founding reports whether the cluster's first monitors are yet to be made.
func (id *Identity) founding() bool {
	if len(id.MonHost) > 0 || len(id.Mons) == 0 {
		return false
	}
	for _, e := range id.Mons {
		if e.Made {
			return false
		}
	}
	return true
}

// found makes the stores of a new cluster's monitors. What an earlier attempt
// has left is nobody's.
func found(dir *Dir, id *Identity, fsid entity.UUID) error {
	now := time.Now()
	var mons []mon.Member
	for _, e := range id.Mons {
		mons = append(mons, mon.Member{Name: e.Name, Addrs: id.addrs(e.Port, 0)})
	}
	ops, admin, err := genesis(fsid, now, id.Options, mons...)
	if err != nil {
		return err
	}
	ring, err := monKeyring(now)
	if err != nil {
		return err
	}
	if err := WriteFile(dir.Join(adminKeyring), []byte(admin.Text()), 0o600); err != nil {
		return err
	}
	for i := range id.Mons {
		if err := makeMon(dir.Join(id.Mons[i].Daemon()), ring, ops); err != nil {
			return err
		}
		id.Mons[i].Made = true
	}
	return dir.SetIdentity(id)
}

// addMons makes the directory's monitors that are new in a cluster that exists.
// When they run they ask the others to take them in.
func addMons(dir *Dir, id *Identity) error {
	added := false
	for i := range id.Mons {
		e := &id.Mons[i]
		if e.Made {
			continue
		}
		ring, err := readKeyring(dir.Join(id.Mons[0].Daemon(), "keyring"))
		if err != nil {
			return err
		}
		if err := makeMon(dir.Join(e.Daemon()), ring, nil); err != nil {
			return err
		}
		e.Made, added = true, true
	}
	if !added {
		return nil
	}
	return dir.SetIdentity(id)
}

// genesis is what the first monitors of a cluster begin with, and the
// administrator's account in it.
func genesis(fsid entity.UUID, now time.Time, options map[string]string, mons ...mon.Member) ([]mon.Op, cephx.Keyring, error) {
	key, err := cephx.NewKey(now, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	accounts := cephx.Keyring{{Type: entity.Client, ID: "admin"}: {Key: key, Caps: map[string]string{
		"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *",
	}}}
	ops, err := mon.Bootstrap(mon.Genesis{
		Genesis: service.Genesis{FSID: fsid, Created: now, Rand: rand.Reader}, Mons: mons, Accounts: accounts, Settings: options,
	})
	return ops, accounts, err
}

// monKeyring makes the key that the monitors of a cluster know each other by.
func monKeyring(now time.Time) (cephx.Keyring, error) {
	key, err := cephx.NewKey(now, rand.Reader)
	if err != nil {
		return nil, err
	}
	return cephx.Keyring{{Type: entity.Mon}: {Key: key, Caps: map[string]string{"mon": "allow *"}}}, nil
}

// makeMon makes a monitor's own directory. Without ops it has an empty store.
func makeMon(home string, ring cephx.Keyring, ops []mon.Op) error {
	store := home + "/store"
	if err := os.RemoveAll(store); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	if err := WriteFile(home+"/keyring", []byte(ring.Text()), 0o600); err != nil {
		return err
	}
	db, err := monstore.Open(store, discard)
	if err != nil {
		return fmt.Errorf("monitor's store: %w", err)
	}
	return errors.Join(db.Write(ops, true), db.Close())
}

// readKeyring reads a keyring file.
func readKeyring(file string) (cephx.Keyring, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	ring, err := cephx.ParseKeyring(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return ring, nil
}
