package node

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/rados"
)

// JoinOptions say what a host adds to a cluster.
type JoinOptions struct {
	Dir    string
	Token  string
	Listen string // see ParseListen; empty: as the directory has it, or towards the monitors
	Mon    string // name of a new monitor; empty: none
	OSDs   []NewOSD
	Log    *slog.Logger
}

// NewOSD is an OSD to make.
type NewOSD struct {
	// Path is an empty directory for the store, where its disk is mounted; empty:
	// in the OSD's own directory.
	Path string
	Size int64 // of the store in bytes; 0: what the file system has free
	ID   int32 // of a destroyed OSD whose place it takes; -1: a new one
}

// Join makes daemons of an existing cluster in a directory, and returns their
// names. They are run afterwards.
func Join(ctx context.Context, o JoinOptions) (made []string, err error) {
	if o.Log == nil {
		o.Log = discard
	}
	t, err := ParseToken(o.Token)
	if err != nil {
		return nil, err
	}
	if err := t.Check(time.Now()); err != nil {
		return nil, err
	}
	for _, n := range o.OSDs {
		if err := n.check(); err != nil {
			return nil, err
		}
	}
	dir, err := OpenDir(o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	id, err := joinIdentity(dir, t, o.Listen)
	if err != nil {
		return nil, err
	}
	client, err := rados.Connect(ctx, rados.Config{Name: t.Name, Key: t.Key, MonHost: t.monHost(), Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	defer client.Close()
	if client.FSID() != t.FSID {
		return nil, fmt.Errorf("the monitors are those of cluster %s, the token is of %s", client.FSID(), t.FSID)
	}
	if err := dir.SetIdentity(id); err != nil {
		return nil, err
	}
	j := &joining{dir: dir, id: id, client: client, log: o.Log}
	if j.fsid, err = entity.ParseUUID(id.FSID); err != nil {
		return nil, err
	}
	if o.Mon != "" {
		name, err := j.addMon(ctx, o.Mon)
		if err != nil {
			return made, err
		}
		made = append(made, name)
	}
	for _, n := range o.OSDs {
		name, err := j.addOSD(ctx, n)
		if err != nil {
			return made, err
		}
		made = append(made, name)
	}
	return made, dir.writeConf(id)
}

// joinIdentity is the identity of a directory that joins, with daemons that it
// has from before.
func joinIdentity(dir *Dir, t *Token, listen string) (*Identity, error) {
	id, err := dir.Identity()
	if err != nil {
		return nil, err
	}
	if id == nil {
		id = &Identity{Format: dirFormat, FSID: t.FSID, Options: t.Options, Ready: true}
		if listen == "" {
			here, err := towards(t.Mons)
			if err != nil {
				return nil, err
			}
			id.Listen, id.Public = here, here
		}
	}
	if id.FSID != t.FSID {
		return nil, fmt.Errorf("%s is of cluster %s, the token of %s", dir.Path, id.FSID, t.FSID)
	}
	if listen != "" {
		ep, err := ParseListen(listen)
		if err != nil {
			return nil, fmt.Errorf("--addr %w", err)
		}
		if len(id.Mons)+len(id.OSDs) > 0 && (ep.Bind.String() != id.Listen || ep.Public.String() != id.Public) {
			return nil, fmt.Errorf("%s: its daemons listen on %s already", dir.Path, id.Listen)
		}
		id.Listen, id.Public = ep.Bind.String(), ep.Public.String()
	}
	if len(id.Mons) == 0 {
		id.MonHost = t.Mons
		// They are who counts now.
		if err := os.Remove(dir.Join(monMapFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return id, nil
}

// towards is the address that this host has on the way to a monitor. Nothing is
// sent.
func towards(mons []string) (string, error) {
	var errs []error
	for _, m := range mons {
		c, err := net.Dial("udp", m)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().String(), nil
	}
	return "", fmt.Errorf("no way to the monitors: %w", errors.Join(errs...))
}

func (t *Token) monHost() string {
	var hosts []string
	for _, m := range t.Mons {
		hosts = append(hosts, "[v2:"+m+"]")
	}
	return strings.Join(hosts, ",")
}

// check refuses a place that is somebody else's.
func (n *NewOSD) check() error {
	if n.Path == "" {
		return nil
	}
	var err error
	if n.Path, err = filepath.Abs(n.Path); err != nil {
		return err
	}
	entries, err := os.ReadDir(n.Path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return fmt.Errorf("%s: is not empty", n.Path)
		}
	}
	return nil
}

// joining is a directory that gets daemons.
type joining struct {
	dir    *Dir
	id     *Identity
	fsid   entity.UUID
	client *rados.Cluster
	log    *slog.Logger
}

func (j *joining) command(ctx context.Context, cmd map[string]any, in []byte) ([]byte, error) {
	r, err := j.client.Command(ctx, rados.ToMons(), cmd, in)
	if err != nil {
		if r.Status != "" {
			return nil, fmt.Errorf("%v: %s", cmd["prefix"], r.Status)
		}
		return nil, fmt.Errorf("%v: %w", cmd["prefix"], err)
	}
	return r.Data, nil
}

// addOSD has the monitors make an OSD, and makes its store here.
func (j *joining) addOSD(ctx context.Context, n NewOSD) (string, error) {
	uuid := newUUID()
	key, err := cephx.NewKey(time.Now(), rand.Reader)
	if err != nil {
		return "", err
	}
	secret, err := json.Marshal(map[string]string{"cephx_secret": key.Base64()})
	if err != nil {
		return "", err
	}
	cmd := map[string]any{"prefix": "osd new", "uuid": uuid.String()}
	if n.ID >= 0 {
		cmd["id"] = n.ID
	}
	out, err := j.command(ctx, cmd, secret)
	if err != nil {
		return "", err
	}
	num, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 32)
	if err != nil {
		return "", fmt.Errorf("osd new: %w", err)
	}
	e := OSDEntry{ID: int32(num), UUID: uuid.String(), Path: n.Path}
	name := e.Daemon()
	err = j.makeOSD(e, n.Size, cephx.Keyring{osdName(e.ID): {Key: key}})
	if err != nil {
		// Nothing is left of it there either.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, undo := j.command(ctx, map[string]any{"prefix": "osd purge-new", "id": num, "yes_i_really_mean_it": true}, nil)
		return "", fmt.Errorf("%s: %w", name, errors.Join(err, undo))
	}
	return name, nil
}

func (j *joining) makeOSD(e OSDEntry, size int64, ring cephx.Keyring) error {
	home := j.dir.Join(e.Daemon())
	// The directory of one of this number that was destroyed before.
	for i, old := range j.id.OSDs {
		if old.ID != e.ID {
			continue
		}
		if pid, err := lockedBy(filepath.Join(home, lockFile)); err != nil || pid != 0 {
			return errors.Join(err, fmt.Errorf("the destroyed one still runs, as process %d", pid))
		}
		if err := os.RemoveAll(home); err != nil {
			return err
		}
		j.id.OSDs = append(j.id.OSDs[:i], j.id.OSDs[i+1:]...)
		break
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	if err := WriteFile(home+"/keyring", []byte(ring.Text()), 0o600); err != nil {
		return err
	}
	s := &site{dir: j.dir, id: j.id, fsid: j.fsid, log: j.log}
	if size == 0 {
		place := e.Path
		if place == "" {
			place = home
		}
		var err error
		if size, err = freeSpace(place); err != nil {
			return err
		}
	}
	if err := s.makeOSD(e, uint64(size)); err != nil {
		return err
	}
	e.Made = true
	j.id.OSDs = append(j.id.OSDs, e)
	return j.dir.SetIdentity(j.id)
}

// freeSpace is what a store alone on a file system may take of it.
func freeSpace(path string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return min(int64(fs.Bavail)*fs.Bsize/20*19, 1<<40), nil
}

// monPort is the port of monitors that nobody gave another.
const monPort = 3300

// addMon prepares a monitor. When it runs it asks the others to take it in.
func (j *joining) addMon(ctx context.Context, name string) (string, error) {
	e := MonEntry{Name: name, Port: monPort, Mgr: name}
	ring, err := j.command(ctx, map[string]any{"prefix": "auth get", "entity": "mon."}, nil)
	if err != nil {
		return "", err
	}
	home := j.dir.Join(e.Daemon())
	if err := os.MkdirAll(home+"/store", 0o755); err != nil {
		return "", err
	}
	if err := WriteFile(home+"/keyring", ring, 0o600); err != nil {
		return "", err
	}
	e.Made = true
	j.id.Mons = append(j.id.Mons, e)
	return e.Daemon(), j.dir.SetIdentity(j.id)
}
