package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon"
)

// writeClientFiles writes ceph.conf and the admin's keyring.
func (c *Cluster) writeClientFiles(ctx context.Context) error {
	if err := c.fetchKeyring(ctx, "client.admin", nil, c.dir.Join("ceph.client.admin.keyring")); err != nil {
		return err
	}
	return WriteFile(c.dir.Join("ceph.conf"), []byte(c.conf()), 0o644)
}

// conf is the ceph.conf for clients of the cluster and for "ceph daemon".
func (c *Cluster) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by pulpo up; changes are lost at the next start. Use \"ceph config set\".\n[global]\n")
	fmt.Fprintf(&b, "fsid = %s\n", c.id.FSID)
	fmt.Fprintf(&b, "mon host = [%v]\n", strings.TrimSuffix(c.addrs(c.id.Mon.Port, 0)[0].String(), "/0"))
	fmt.Fprintf(&b, "mon initial members = %s\n", c.id.Mon.Name)
	for _, k := range []string{"cluster", "service", "client"} {
		fmt.Fprintf(&b, "auth %s required = cephx\n", k)
	}
	fmt.Fprintf(&b, "keyring = %s\n", c.dir.Join("$cluster.$name.keyring"))
	for _, k := range slices.Sorted(maps.Keys(localOptions)) {
		fmt.Fprintf(&b, "%s = %s\n", strings.ReplaceAll(k, "_", " "), localOptions[k])
	}
	for _, s := range []string{"mon", "mgr", "osd"} {
		fmt.Fprintf(&b, "\n[%s]\nadmin socket = %s\n", s, c.dir.Join("run", "$cluster-$name.asok"))
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
	b, err := os.ReadFile(file)
	if err != nil {
		return cephx.Key{}, err
	}
	ring, err := cephx.ParseKeyring(b)
	if err != nil {
		return cephx.Key{}, fmt.Errorf("%s: %w", file, err)
	}
	e, ok := ring[name]
	if !ok {
		return cephx.Key{}, fmt.Errorf("%s: no key of %v", file, name)
	}
	return e.Key, nil
}

// monKeyring reads the key that monitors know each other by, making it first
// in a new directory.
func monKeyring(home string) (cephx.Keyring, error) {
	file := filepath.Join(home, "keyring")
	name := entity.AuthName{Type: entity.Mon}
	b, err := os.ReadFile(file)
	if err == nil {
		return cephx.ParseKeyring(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := cephx.NewKey(time.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ring := cephx.Keyring{name: {Key: key, Caps: map[string]string{"mon": "allow *"}}}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	return ring, WriteFile(file, []byte(ring.Text()), 0o600)
}

// hostMetadata is what daemons tell of the machine they run on.
func hostMetadata() map[string]string {
	m := map[string]string{
		"arch":                      "x86_64",
		"ceph_release":              "pacific",
		"ceph_version":              mon.DefaultVersion,
		"ceph_version_short":        mon.ShortVersion(mon.DefaultVersion),
		"ceph_version_when_created": "",
		"created_at":                "",
		"hostname":                  hostname(),
		"kernel_description":        firstLine("/proc/sys/kernel/version"),
		"kernel_version":            firstLine("/proc/sys/kernel/osrelease"),
		"os":                        "Linux",
		"cpu":                       field("/proc/cpuinfo", "model name"),
		"mem_total_kb":              strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"),
		"mem_swap_kb":               strings.TrimSuffix(field("/proc/meminfo", "SwapTotal"), " kB"),
		"distro":                    osRelease("ID"),
		"distro_description":        osRelease("PRETTY_NAME"),
		"distro_version":            osRelease("VERSION"),
	}
	if runtime.GOARCH != "amd64" {
		m["arch"] = runtime.GOARCH
	}
	return m
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	short, _, _ := strings.Cut(name, ".")
	return short
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// field reads "NAME : VALUE" of a file of the kernel's.
func field(path, name string) string {
	b, _ := os.ReadFile(path)
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func osRelease(name string) string {
	b, _ := os.ReadFile("/etc/os-release")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, name+"="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}
