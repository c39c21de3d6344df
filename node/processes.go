package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/rados"
)

// A cluster whose daemons have a process each: this one starts and supervises
// them, and has otherwise only the administrator's connection.

func (c *Cluster) inProcesses() bool { return c.opts.Program != "" }

func (c *Cluster) startProcess(ctx context.Context, name string) error {
	p, err := startProcess(ctx, name, func() *exec.Cmd { return daemonCommand(&c.opts, name) }, c.log, c.writeStates)
	if err == nil {
		c.add(p)
		c.writeStates()
	}
	return err
}

// connect makes the connection for commands. It waits for a quorum.
func (c *Cluster) connect(ctx context.Context) (*rados.Cluster, error) {
	name := entity.AuthName{Type: entity.Client, ID: "admin"}
	key, err := readKey(c.dir.Join(adminKeyring), name)
	if err != nil {
		return nil, err
	}
	mons, err := c.dir.monAddrs(c.id)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, m := range mons {
		hosts = append(hosts, confAddr(m))
	}
	return rados.Connect(ctx, rados.Config{Name: name.String(), Key: key.Base64(), MonHost: strings.Join(hosts, ","), Log: c.log})
}

// statesFile is where a supervisor tells how its processes are.
const statesFile = "run/daemons.json"

func (c *Cluster) writeStates() {
	c.statesMu.Lock()
	defer c.statesMu.Unlock()
	var all []ProcessState
	for _, d := range c.daemons() {
		if p, ok := d.(*process); ok {
			all = append(all, p.status())
		}
	}
	b, err := json.MarshalIndent(all, "", "\t")
	if err == nil {
		// Not synced: it is worth nothing after a crash.
		tmp := c.dir.Join(statesFile + ".new")
		if err = os.WriteFile(tmp, append(b, '\n'), 0o644); err == nil {
			err = os.Rename(tmp, c.dir.Join(statesFile))
		}
	}
	if err != nil {
		c.log.Warn("cannot tell the states of daemons", "err", err)
	}
}

func (c *Cluster) dropStates() error {
	if err := os.Remove(c.dir.Join(statesFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Daemons tells how the daemons of a directory are, whoever runs them.
func Daemons(path string) ([]ProcessState, error) {
	id, err := ReadIdentity(path)
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, fmt.Errorf("%s: %w", path, ErrNoCluster)
	}
	supervised := map[string]ProcessState{}
	d := &Dir{Path: path}
	if owner, err := Owner(path); err != nil {
		return nil, err
	} else if b, err := os.ReadFile(d.Join(statesFile)); owner != 0 && err == nil {
		var all []ProcessState
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, fmt.Errorf("%s: %w", d.Join(statesFile), err)
		}
		for _, s := range all {
			supervised[s.Name] = s
		}
	}
	var out []ProcessState
	for _, name := range id.daemons() {
		s, ok := supervised[name]
		if !ok {
			s = ProcessState{Name: name, State: stateStopped}
			if s.PID, err = lockedBy(d.Join(name, lockFile)); err != nil {
				return nil, err
			}
			if s.PID != 0 {
				s.State = stateRunning
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// daemons are the names of all that live in the directory.
func (id *Identity) daemons() []string {
	var all []string
	for _, e := range id.Mons {
		all = append(all, e.Daemon())
	}
	for _, e := range id.OSDs {
		all = append(all, e.Daemon())
	}
	return all
}

// supervisedMark is the second line of the lock of a process that is to end when
// its supervisor does.
const supervisedMark = "supervised"

// orphanPatience is how long a process without a supervisor may take to end.
const orphanPatience = 2 * lifelinePatience

// lifelinePatience is how long a process takes at most to stop in order when its
// supervisor is gone.
const lifelinePatience = 5 * time.Second

// evictOrphans waits for the processes of a supervisor that is dead, and kills
// those that do not end by themselves, since they hang.
func (c *Cluster) evictOrphans(ctx context.Context) error {
	return EvictOrphans(ctx, c.dir)
}

// EvictOrphans makes sure that no process runs a daemon of a directory whose
// supervisor is dead; the caller holds the directory. A daemon that somebody else
// runs is left alone.
func EvictOrphans(ctx context.Context, d *Dir) error {
	id, err := d.Identity()
	if err != nil || id == nil {
		return err
	}
	deadline := time.Now().Add(orphanPatience)
	for _, name := range id.daemons() {
		lock := d.Join(name, lockFile)
		for {
			pid, err := lockedBy(lock)
			if err != nil {
				return err
			}
			b, _ := os.ReadFile(lock)
			if pid == 0 || !strings.Contains(string(b), supervisedMark) {
				break
			}
			if time.Now().After(deadline) {
				if err := killHolder(lock, pid); err != nil {
					return fmt.Errorf("%s: end process %d: %w", name, pid, err)
				}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// killHolder kills the process that holds a lock. A handle is taken before the
// lock is looked at again, so that no other process of that number is hit.
func killHolder(lock string, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, err := lockedBy(lock); err != nil || now != pid {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
