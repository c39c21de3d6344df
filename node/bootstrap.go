package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/monmap"
	"github.com/pulpo-storage/pulpo/rados"
)

// BootstrapOptions say what the first monitor of a new cluster is.
type BootstrapOptions struct {
	Dir    string
	Listen string // see ParseListen
	Name   string // of the monitor
}

// monNames are what a monitor can be called: a part of paths, accounts and
// ceph.conf.
var monNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

func checkMonName(name string) error {
	if !monNames.MatchString(name) {
		return fmt.Errorf("monitor name %q: want letters, digits, _ and -", name)
	}
	return nil
}

// Bootstrap makes the first monitor of a new cluster. It fails in a directory
// that has anything in it.
func Bootstrap(o BootstrapOptions) (err error) {
	if err := checkMonName(o.Name); err != nil {
		return err
	}
	ep, err := ParseListen(o.Listen)
	if err != nil {
		return fmt.Errorf("--addr %w", err)
	}
	if ep.Port == 0 {
		ep.Port = monPort
	}
	dir, err := OpenDir(o.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	switch id, err := dir.Identity(); {
	case err != nil:
		return err
	case id != nil && !id.founding():
		return fmt.Errorf("%s has a cluster already, %s", dir.Path, id.FSID)
	}
	fsid := newUUID()
	id := &Identity{
		Format: dirFormat, FSID: fsid.String(), Listen: ep.Bind.String(), Public: ep.Public.String(),
		Mons: []MonEntry{{Name: o.Name, Port: ep.Port, Mgr: o.Name}}, Ready: true,
	}
	lns, err := monListeners(dir, id, true)
	if err != nil {
		return err
	}
	for _, ln := range lns {
		ln.Close()
	}
	if err := found(dir, id, fsid); err != nil {
		return err
	}
	return dir.writeConf(id)
}

// NewToken makes a token for the cluster of a directory that has the
// administrator's key.
func NewToken(ctx context.Context, path string, ttl time.Duration, mons bool) (*Token, error) {
	id, err := ReadIdentity(path)
	if err != nil {
		return nil, err
	}
	if id == nil {
		return nil, fmt.Errorf("%s: %w", path, ErrNoCluster)
	}
	dir := &Dir{Path: path}
	if _, err := os.Stat(dir.Join(adminKeyring)); err != nil {
		return nil, fmt.Errorf("%s: the administrator's key is not here: %w", path, err)
	}
	client, err := rados.ConnectFile(ctx, dir.Join("ceph.conf"))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	t := &Token{FSID: client.FSID(), Expires: time.Now().Add(ttl).UTC().Truncate(time.Second), Options: id.Options}
	if t.Mons, err = monitors(ctx, client); err != nil {
		return nil, err
	}
	var b [6]byte
	rand.Read(b[:])
	// The name tells the monitors when the account ends.
	name := entity.AuthName{Type: entity.Client, ID: fmt.Sprintf("join.%d.%s", t.Expires.Unix(), hex.EncodeToString(b[:]))}
	caps := "allow profile bootstrap-osd"
	if mons {
		caps += ", allow profile bootstrap-mon"
	}
	t.Name = name.String()
	r, err := client.Command(ctx, rados.ToMons(), map[string]any{
		"prefix": "auth get-or-create-key", "entity": t.Name, "caps": []string{"mon", caps},
	}, nil)
	if err != nil {
		return nil, err
	}
	t.Key = strings.TrimSpace(string(r.Data))
	return ParseToken(t.String())
}

// monitors are the addresses of all monitors, ADDR:PORT.
func monitors(ctx context.Context, client *rados.Cluster) ([]string, error) {
	r, err := client.Command(ctx, rados.ToMons(), map[string]any{"prefix": "mon getmap"}, nil)
	if err != nil {
		return nil, err
	}
	m, err := monmap.Decode(r.Data)
	if err != nil {
		return nil, fmt.Errorf("monitor map: %w", err)
	}
	var all []string
	for _, name := range m.Ranks {
		for _, a := range m.Mons[name].Addrs {
			if a.Type == entity.AddrMsgr2 {
				all = append(all, a.AP.String())
			}
		}
	}
	return all, nil
}
