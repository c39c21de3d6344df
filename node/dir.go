package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pulpo-storage/pulpo/disk"
	"github.com/pulpo-storage/pulpo/entity"
)

// identityFile marks a directory as a cluster's and says what is in it.
const identityFile = "cluster.json"

// dirFormat is the newest layout of a directory that this program knows; see
// doc/format/directory.md.
const dirFormat = 2

// Identity is what a directory says of itself: which cluster it is of, and which
// of the cluster's daemons live in it. It is changed by commands (up, bootstrap,
// join, remove), never by a daemon.
type Identity struct {
	Format int    `json:"format"`
	FSID   string `json:"fsid"`
	Listen string `json:"listen"` // IP address that the daemons bind
	Public string `json:"public"` // IP address that others reach them at
	// Options are what in the whole cluster differs from Ceph's defaults, as in a
	// ceph.conf of stock daemons.
	Options map[string]string `json:"options"`
	// MonHost are the cluster's monitors in other directories, as they were when
	// this one joined; they count until a daemon has kept a newer map.
	MonHost []string   `json:"mon_host,omitempty"`
	Mons    []MonEntry `json:"mons"`
	OSDs    []OSDEntry `json:"osds"`
	Ready   bool       `json:"ready"` // nothing is left of the first start to do
}

// MonEntry is a monitor of a directory. Its port stays the same for as long as
// the monitor lives, since clients find the cluster by it.
type MonEntry struct {
	Name string `json:"name"`
	Port uint16 `json:"port"`
	Mgr  string `json:"mgr"` // the manager it plays when it leads
	// Made: its store was made. If it is gone, it is lost, and not new.
	Made bool `json:"made"`
}

// OSDEntry is an OSD of a directory.
type OSDEntry struct {
	ID   int32  `json:"id"`
	UUID string `json:"uuid"` // of its disk
	// Path is where its store is; empty: in its own directory.
	Path string `json:"path,omitempty"`
	Made bool   `json:"made"` // as a monitor's
}

// Daemon is the daemon's name, mon.a.
func (e MonEntry) Daemon() string { return "mon." + e.Name }

// Daemon is the daemon's name, osd.0.
func (e OSDEntry) Daemon() string { return fmt.Sprintf("osd.%d", e.ID) }

// Errors of opening a directory.
var (
	ErrForeignDir = errors.New("directory is not empty and holds no Pulpo cluster")
	ErrInUse      = errors.New("directory is in use")
	ErrNoCluster  = errors.New("no cluster in this directory")
)

// Dir is the directory of a cluster, or of the part of it that is on one host.
// The process that runs it as a whole, or changes what is in it, holds its lock;
// each daemon holds one of its own besides.
type Dir struct {
	Path string
	lock *os.File // nil: not held
}

// OpenDir takes possession of a directory, making it if need be. It fails with
// ErrInUse if another process has it and with ErrForeignDir if there is
// something else in it.
func OpenDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(path, " \t\n$\"#;") {
		return nil, fmt.Errorf("%s: the path has characters that ceph.conf cannot hold", path)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, identityFile)); errors.Is(err, fs.ErrNotExist) {
		for _, e := range entries {
			// A first start may have been cut short.
			if n := e.Name(); n != lockFile && n != "log" && !strings.HasPrefix(n, identityFile) {
				return nil, fmt.Errorf("%s: %w", path, ErrForeignDir)
			}
		}
	} else if err != nil {
		return nil, err
	}
	d := &Dir{Path: path}
	if d.lock, err = lockPath(filepath.Join(path, lockFile)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

const lockFile = "lock"

// lockPath locks a file for this process and writes its pid there.
func lockPath(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			pid, _ := readPID(path)
			return nil, fmt.Errorf("%w by process %d", ErrInUse, pid)
		}
		return nil, err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(err, disk.Unlock(f))
	}
	return f, nil
}

func readPID(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}

// lockedBy returns the process that holds a lock file; 0 if none does.
func lockedBy(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		return 0, disk.Unlock(f)
	}
	defer f.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, err
	}
	return readPID(path)
}

// Owner returns the process that holds a cluster's directory; 0 if none does.
// It fails with ErrNoCluster for a directory without a cluster.
func Owner(path string) (int, error) {
	if _, err := os.Stat(filepath.Join(path, identityFile)); err != nil {
		return 0, fmt.Errorf("%s: %w", path, ErrNoCluster)
	}
	return lockedBy(filepath.Join(path, lockFile))
}

// Close gives the directory up.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	return disk.Unlock(d.lock)
}

// Join returns a path in the directory.
func (d *Dir) Join(elem ...string) string {
	return filepath.Join(append([]string{d.Path}, elem...)...)
}

// Identity reads what the directory holds; nil if it is a new one.
func (d *Dir) Identity() (*Identity, error) { return ReadIdentity(d.Path) }

// ReadIdentity reads what a directory holds; nil if there is no cluster in it.
func ReadIdentity(path string) (*Identity, error) {
	file := filepath.Join(path, identityFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if id.Format == 1 {
		if err := id.fromFormat1(b); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if id.Format < 1 || id.Format > dirFormat {
		return nil, fmt.Errorf("%s: format %d is newer than this program, which knows %d", file, id.Format, dirFormat)
	}
	if _, err := entity.ParseUUID(id.FSID); err != nil {
		return nil, fmt.Errorf("%s: fsid: %w", file, err)
	}
	return &id, nil
}

// fromFormat1 reads the first format, which knew one monitor.
func (id *Identity) fromFormat1(b []byte) error {
	var old struct {
		Mon MonEntry `json:"mon"`
		Mgr string   `json:"mgr"`
	}
	if err := json.Unmarshal(b, &old); err != nil {
		return err
	}
	old.Mon.Mgr, old.Mon.Made = old.Mgr, id.Ready
	id.Format, id.Mons, id.Options = dirFormat, []MonEntry{old.Mon}, localOptions
	for i := range id.OSDs {
		id.OSDs[i].Made = id.Ready
	}
	return nil
}

// SetIdentity writes what the directory holds.
func (d *Dir) SetIdentity(id *Identity) error {
	b, err := json.MarshalIndent(id, "", "\t")
	if err != nil {
		return err
	}
	return WriteFile(d.Join(identityFile), append(b, '\n'), 0o644)
}

// WriteFile replaces a file so that after a crash it has the old content or the
// new, whole.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		// The mode of a file that was there before counts too.
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// newUUID makes a random uuid (RFC 9562, version 4).
func newUUID() entity.UUID {
	var u entity.UUID
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}
