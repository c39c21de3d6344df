package rados

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/cephx"
	"github.com/pulpo-storage/pulpo/config"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msgr"
)

// Config says which cluster to connect to, and as whom. MonHost and, unless the
// cluster authenticates nobody, Key are required.
type Config struct {
	// Name is the account; empty: client.admin.
	Name string
	// Key is its secret in base64. Empty: no authentication.
	Key string
	// MonHost lists the monitors as mon_host does in ceph.conf:
	// "[v2:10.0.0.1:3300,v1:10.0.0.1:6789],10.0.0.2". Only msgr2 is spoken.
	MonHost string
	// SecureMon and Secure tell whether connections to monitors and to the other
	// daemons must be encrypted. Those to monitors are whenever they agree.
	SecureMon, Secure bool
	// MaxOps and MaxBytes bound the operations in flight, further ones wait.
	// 0: 1024 operations, 100 MiB.
	MaxOps   int
	MaxBytes int64
	Log      *slog.Logger // nil: nothing is logged
}

// Option changes what ConnectFile has read.
type Option func(*fileConfig)

type fileConfig struct {
	Config
	keyring string
	options map[string]string
}

// WithName sets the account, such as client.foo.
func WithName(name string) Option { return func(c *fileConfig) { c.Name = name } }

// WithKeyring sets the file with the key.
func WithKeyring(path string) Option { return func(c *fileConfig) { c.keyring = path } }

// WithMonHost sets the monitors.
func WithMonHost(hosts string) Option { return func(c *fileConfig) { c.MonHost = hosts } }

// WithLog sets where to log.
func WithLog(l *slog.Logger) Option { return func(c *fileConfig) { c.Log = l } }

// WithOption sets an option as if it stood in the configuration file.
func WithOption(name, value string) Option {
	return func(c *fileConfig) { c.options[config.Name(name)] = value }
}

// ConnectFile connects as a ceph.conf says. With an empty path the file that
// the environment variable CEPH_CONF names is taken, else
// /etc/ceph/ceph.conf; its key is looked for where stock clients do.
func ConnectFile(ctx context.Context, path string, opts ...Option) (*Cluster, error) {
	c, err := ReadConfig(path, opts...)
	if err != nil {
		return nil, err
	}
	return Connect(ctx, c)
}

// ReadConfig is what ConnectFile connects with.
func ReadConfig(path string, opts ...Option) (Config, error) {
	f := fileConfig{options: map[string]string{}}
	for _, o := range opts {
		o(&f)
	}
	given := path != ""
	if !given {
		path, given = os.LookupEnv("CEPH_CONF")
	}
	if !given {
		path = "/etc/ceph/ceph.conf"
	}
	file := &config.File{}
	switch text, err := os.ReadFile(path); {
	case err == nil:
		if file, err = config.ParseFile(text); err != nil {
			return Config{}, fmt.Errorf("rados: %s: %w", path, err)
		}
	case given || !errors.Is(err, fs.ErrNotExist) || f.MonHost == "":
		return Config{}, fmt.Errorf("rados: %w", err)
	}
	if f.Name == "" {
		f.Name = "client.admin"
	}
	get := func(name string) string {
		if v, ok := f.options[name]; ok {
			return v
		}
		v, _ := fileOption(file, f.Name, name)
		return expand(v, f.Name)
	}
	if f.MonHost == "" {
		f.MonHost = get("mon_host")
	}
	if f.MonHost == "" {
		return Config{}, fmt.Errorf("rados: %s has no mon_host: %w", path, errno.EINVAL)
	}
	f.SecureMon = get("ms_mon_client_mode") == "secure"
	f.Secure = get("ms_client_mode") == "secure"
	if n, err := strconv.Atoi(get("objecter_inflight_ops")); err == nil && n > 0 {
		f.MaxOps = n
	}
	if n, err := strconv.ParseInt(get("objecter_inflight_op_bytes"), 10, 64); err == nil && n > 0 {
		f.MaxBytes = n
	}
	if auth := get("auth_client_required"); auth == "none" {
		return f.Config, nil
	}
	if f.Key == "" {
		f.Key = get("key")
	}
	if f.Key == "" && f.keyring == "" {
		if keyfile := get("keyfile"); keyfile != "" {
			b, err := os.ReadFile(keyfile)
			if err != nil {
				return Config{}, fmt.Errorf("rados: %w", err)
			}
			f.Key = strings.TrimSpace(string(b))
		}
	}
	if f.Key == "" {
		key, err := findKey(f.Name, f.keyring, get("keyring"))
		if err != nil {
			return Config{}, err
		}
		f.Key = key
	}
	return f.Config, nil
}

// defaultKeyrings are looked at in this order ("keyring" in Ceph).
const defaultKeyrings = "/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,/etc/ceph/keyring,/etc/ceph/keyring.bin"

// findKey reads the account's key from the first keyring there is.
func findKey(name, given, configured string) (string, error) {
	paths := given
	if paths == "" {
		paths = configured
	}
	if paths == "" {
		paths = expand(defaultKeyrings, name)
	}
	account, err := entity.ParseAuthName(name)
	if err != nil {
		return "", fmt.Errorf("rados: %w", err)
	}
	for path := range strings.FieldsFuncSeq(paths, func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && given == "" {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("rados: %w", err)
		}
		ring, err := cephx.ParseKeyring(text)
		if err != nil {
			return "", fmt.Errorf("rados: %s: %w", path, err)
		}
		if e, ok := ring[account]; ok {
			return e.Key.Base64(), nil
		}
		return "", fmt.Errorf("rados: %s has no key of %s: %w", path, name, errno.ENOENT)
	}
	return "", fmt.Errorf("rados: no keyring for %s in %s: %w", name, paths, errno.ENOENT)
}

const monPort = 3300 // of msgr2

// parseMonHost splits a mon_host value into one address list for each monitor.
// Monitors without a msgr2 address are left out.
func parseMonHost(ctx context.Context, s string) ([]entity.AddrVec, error) {
	var out []entity.AddrVec
	var legacy bool
	for _, item := range splitHosts(s) {
		v := entity.AddrVec{}
		for part := range strings.SplitSeq(strings.Trim(item, "[]"), ",") {
			if strings.HasPrefix(item, "[") && !strings.Contains(part, ".") && strings.Count(part, ":") > 1 && !strings.HasPrefix(part, "v") {
				part = item // a bare IPv6 address in brackets
			}
			addrs, err := resolveMon(ctx, strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			v = append(v, addrs...)
		}
		if _, ok := v.Msgr2(); ok {
			out = append(out, v)
		} else {
			legacy = true
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case legacy:
		return nil, fmt.Errorf("rados: mon_host %q has no msgr2 address: %w", s, errno.EINVAL)
	}
	return nil, fmt.Errorf("rados: mon_host is empty: %w", errno.EINVAL)
}

// splitHosts splits at commas, semicolons and blanks outside of brackets.
func splitHosts(s string) []string {
	depth := 0
	return strings.FieldsFunc(s, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		case ',', ';', ' ', '\t':
			return depth == 0
		}
		return false
	})
}

func resolveMon(ctx context.Context, s string) (entity.AddrVec, error) {
	kind, rest := entity.AddrMsgr2, s
	typed := true
	switch {
	case strings.HasPrefix(s, "v2:"):
		rest = s[3:]
	case strings.HasPrefix(s, "v1:"):
		kind, rest = entity.AddrLegacy, s[3:]
	default:
		typed = false
	}
	rest, _, _ = strings.Cut(rest, "/")
	host, port := strings.Trim(rest, "[]"), uint16(monPort)
	if h, p, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("rados: bad port in mon_host %q: %w", s, errno.EINVAL)
		}
		host, port = h, uint16(n)
		if !typed && port == 6789 {
			kind = entity.AddrLegacy
		}
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, fmt.Errorf("rados: mon_host %q: %w", s, err)
		}
		ips = found
	}
	var v entity.AddrVec
	for _, ip := range ips {
		v = append(v, entity.Addr{Type: kind, AP: netip.AddrPortFrom(ip.Unmap(), port)})
	}
	return v, nil
}

// modes are what a connection may be protected by, best first.
func (c *Config) modes(peer entity.Type) []msgr.Mode {
	switch {
	case peer == entity.Mon && c.SecureMon, peer != entity.Mon && c.Secure:
		return []msgr.Mode{msgr.ModeSecure}
	case c.Key == "":
		return []msgr.Mode{msgr.ModeCRC}
	case peer == entity.Mon:
		return []msgr.Mode{msgr.ModeSecure, msgr.ModeCRC}
	}
	return []msgr.Mode{msgr.ModeCRC, msgr.ModeSecure}
}
