// Package connect is how subcommands reach a cluster: the options that Ceph's
// tools have for that.
//
// No compatibility promise.
package connect

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"github.com/pulpo-storage/pulpo/rados"
)

// Settings say which cluster, and as whom.
type Settings struct {
	conf, name, id, keyring, monHost string

	// Timeout is how long to try; 0: as long as the context lasts.
	Timeout time.Duration
}

// AddFlags adds the options to those of a command.
func (s *Settings) AddFlags(f *pflag.FlagSet) {
	f.StringVarP(&s.conf, "conf", "c", "", "`file` with the cluster's configuration (default $CEPH_CONF or /etc/ceph/ceph.conf)")
	f.StringVarP(&s.name, "name", "n", "", "account, such as client.admin")
	f.StringVar(&s.id, "id", "", "account without its client.")
	f.StringVarP(&s.keyring, "keyring", "k", "", "`file` with the account's key")
	f.StringVarP(&s.monHost, "mon-host", "m", "", "addresses of the monitors")
}

// Connect opens the cluster.
func (s *Settings) Connect(ctx context.Context) (*rados.Cluster, error) {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	return rados.ConnectFile(ctx, s.conf, s.options()...)
}

// options are those that were given; the id comes before the name.
func (s *Settings) options() (opts []rados.Option) {
	name := s.name
	if s.id != "" {
		name = "client." + s.id
	}
	if name != "" {
		opts = append(opts, rados.WithName(name))
	}
	if s.keyring != "" {
		opts = append(opts, rados.WithKeyring(s.keyring))
	}
	if s.monHost != "" {
		opts = append(opts, rados.WithMonHost(s.monHost))
	}
	return opts
}
