package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
)

// adminKeyring is where the administrator's key is, for clients of this host.
const adminKeyring = "ceph.client.admin.keyring"

// writeClientFiles writes ceph.conf and the admin's keyring.
func (c *Cluster) writeClientFiles(ctx context.Context) error {
	if err := c.fetchKeyring(ctx, "client.admin", nil, c.dir.Join(adminKeyring)); err != nil {
		return err
	}
	return c.dir.writeConf(c.id)
}

// writeConf writes ceph.conf.
func (d *Dir) writeConf(id *Identity) error {
	return WriteFile(d.Join("ceph.conf"), []byte(d.conf(id)), 0o644)
}

// conf is the ceph.conf for clients of the cluster and for "ceph daemon".
func (d *Dir) conf(id *Identity) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by pulpo; changes are lost. Use \"ceph config set\".\n[global]\n")
	fmt.Fprintf(&b, "fsid = %s\n", id.FSID)
	var hosts, names []string
	mons, _ := d.monAddrs(id)
	for _, a := range mons {
		hosts = append(hosts, confAddr(a))
	}
	for _, e := range id.Mons {
		names = append(names, e.Name)
	}
	fmt.Fprintf(&b, "mon host = %s\n", strings.Join(hosts, ","))
	if len(names) > 0 {
		fmt.Fprintf(&b, "mon initial members = %s\n", strings.Join(names, ","))
	}
	for _, k := range []string{"cluster", "service", "client"} {
		fmt.Fprintf(&b, "auth %s required = cephx\n", k)
	}
	fmt.Fprintf(&b, "keyring = %s\n", d.Join("$cluster.$name.keyring"))
	for _, k := range slices.Sorted(maps.Keys(id.Options)) {
		fmt.Fprintf(&b, "%s = %s\n", strings.ReplaceAll(k, "_", " "), id.Options[k])
	}
	for _, s := range []string{"mon", "mgr", "osd"} {
		fmt.Fprintf(&b, "\n[%s]\nadmin socket = %s\n", s, d.Join("run", "$cluster-$name.asok"))
	}
	return b.String()
}

// fetchKeyring gets an account's key from the monitor, with caps if it is to be
// made, and writes it to a file.
func (c *Cluster) fetchKeyring(ctx context.Context, name string, caps []string, file string) error {
	prefix, args := "auth get", map[string]any{"entity": name}
	if caps != nil {
		prefix, args["caps"] = "auth get-or-create", caps
	}
	text, err := c.monCommand(ctx, prefix, args)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return WriteFile(file, text, 0o600)
}

// readKey reads the key of an account from a keyring file.
func readKey(file string, name entity.AuthName) (cephx.Key, error) {
	ring, err := readKeyring(file)
	if err != nil {
		return cephx.Key{}, err
	}
	e, ok := ring[name]
	if !ok {
		return cephx.Key{}, fmt.Errorf("%s: no key of %v", file, name)
	}
	return e.Key, nil
}
