package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/rados"
)

// RemoveOptions say what daemon leaves a cluster.
type RemoveOptions struct {
	Dir  string // where it lives, or one that has the administrator's key
	Name string // "osd.3", "mon.b"
	// Force removes an OSD without waiting until its data is elsewhere.
	Force bool
	// Tell is told what is being waited for.
	Tell func(string)
}

// Remove takes a daemon out of the cluster and deletes what is left of it in the
// directory. An OSD is drained first:
//
//	marked out     its data moves to others
//	safe           all of it is there: "osd safe-to-destroy" says so
//	stopped        told by the cluster, wherever it runs
//	purged         from the maps, with its key
//	deleted        from the directory, if it lives there and nothing runs that
//
// Each step is left out that is done already, so that a removal can be taken up
// again.
func Remove(ctx context.Context, o RemoveOptions) error {
	kind, id, _ := strings.Cut(o.Name, ".")
	num, err := strconv.ParseInt(id, 10, 32)
	if kind != "mon" && (kind != "osd" || err != nil || num < 0) || id == "" {
		return fmt.Errorf("%q: want osd.N or mon.NAME", o.Name)
	}
	ident, err := ReadIdentity(o.Dir)
	if err != nil {
		return err
	}
	if ident == nil {
		return fmt.Errorf("%s: %w", o.Dir, ErrNoCluster)
	}
	dir := &Dir{Path: o.Dir}
	client, err := rados.ConnectFile(ctx, dir.Join("ceph.conf"))
	if err != nil {
		return err
	}
	defer client.Close()
	r := &removal{RemoveOptions: o, client: client, osd: int32(num)}
	if kind == "osd" {
		err = r.drainOSD(ctx)
	} else {
		err = r.dropMon(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.Name, err)
	}
	if !slices.Contains(ident.daemons(), o.Name) {
		return nil // it lives elsewhere
	}
	return r.deleteHere(ctx)
}

type removal struct {
	RemoveOptions
	client *rados.Cluster
	osd    int32
}

func (r *removal) command(ctx context.Context, prefix string, args map[string]any) ([]byte, string, error) {
	cmd := map[string]any{"prefix": prefix}
	for k, v := range args {
		cmd[k] = v
	}
	reply, err := r.client.Command(ctx, rados.ToMons(), cmd, nil)
	return reply.Data, reply.Status, err
}

// do runs a command that must succeed.
func (r *removal) do(ctx context.Context, prefix string, args map[string]any) error {
	_, status, err := r.command(ctx, prefix, args)
	if err != nil && status != "" {
		return errors.New(status)
	}
	return err
}

// await asks until the answer is yes, and tells once what it waits for.
func (r *removal) await(ctx context.Context, what string, ask func() (bool, error)) error {
	for told := false; ; told = true {
		if ok, err := ask(); ok || err != nil {
			return err
		}
		if !told {
			r.Tell(what)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// known is what the map shows of the OSD.
func (r *removal) known(ctx context.Context) (exists, up bool, err error) {
	var m struct {
		OSDs []struct {
			ID int32 `json:"osd"`
			Up int   `json:"up"`
		} `json:"osds"`
	}
	out, _, err := r.command(ctx, "osd dump", map[string]any{"format": "json"})
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	for _, o := range m.OSDs {
		if o.ID == r.osd {
			return true, o.Up == 1, err
		}
	}
	return false, false, err
}

func (r *removal) drainOSD(ctx context.Context) error {
	if exists, _, err := r.known(ctx); err != nil || !exists {
		return err
	}
	ids := map[string]any{"ids": []string{strconv.Itoa(int(r.osd))}}
	if err := r.do(ctx, "osd out", ids); err != nil {
		return err
	}
	if !r.Force {
		err := r.await(ctx, "its data moves to other OSDs", func() (bool, error) {
			_, _, err := r.command(ctx, "osd safe-to-destroy", ids)
			return err == nil, ctx.Err()
		})
		if err != nil {
			return err
		}
	}
	if _, up, err := r.known(ctx); err != nil {
		return err
	} else if up {
		if err := r.do(ctx, "osd stop", ids); err != nil {
			return err
		}
		err := r.await(ctx, "it stops", func() (bool, error) {
			_, up, err := r.known(ctx)
			return !up, err
		})
		if err != nil {
			return err
		}
	}
	return r.do(ctx, "osd purge-actual", map[string]any{"id": r.osd, "yes_i_really_mean_it": true})
}

func (r *removal) dropMon(ctx context.Context, name string) error {
	return r.do(ctx, "mon rm", map[string]any{"name": name})
}

// deleteHere removes the daemon from the directory.
func (r *removal) deleteHere(ctx context.Context) error {
	dir, err := OpenDir(r.Dir)
	if errors.Is(err, ErrInUse) {
		r.Tell("it is out of the cluster; " + filepath.Join(r.Dir, r.Name) + " can be deleted once the cluster was stopped")
		return nil
	} else if err != nil {
		return err
	}
	defer dir.Close()
	lock := dir.Join(r.Name, lockFile)
	err = r.await(ctx, "its process ends", func() (bool, error) {
		pid, err := lockedBy(lock)
		return pid == 0, errors.Join(err, ctx.Err())
	})
	if err != nil {
		return err
	}
	id, err := dir.Identity()
	if err != nil {
		return err
	}
	stores := []string{dir.Join(r.Name)}
	for _, e := range id.OSDs {
		if e.Daemon() == r.Name && e.Path != "" {
			stores = append(stores, filepath.Join(e.Path, "store"))
		}
	}
	id.OSDs = slices.DeleteFunc(id.OSDs, func(e OSDEntry) bool { return e.Daemon() == r.Name })
	id.Mons = slices.DeleteFunc(id.Mons, func(e MonEntry) bool { return e.Daemon() == r.Name })
	if err := dir.SetIdentity(id); err != nil {
		return err
	}
	for _, path := range stores {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return dir.writeConf(id)
}
