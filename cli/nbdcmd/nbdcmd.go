// Package nbdcmd is the subcommand nbd: a server of images over the network block
// device protocol.
//
// No compatibility promise.
package nbdcmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/cli/connect"
	"github.com/pulpo-storage/pulpo/gateway/nbd"
	"github.com/pulpo-storage/pulpo/rbd"
)

type settings struct {
	cluster         connect.Settings
	pool, namespace string
	listen          []string
	readOnly, cache bool
	connections     int
	cert, key, ca   string
}

// New makes the command.
func New() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "nbd [IMAGE[@SNAPSHOT]]...",
		Short: "Serve images of a pool as network block devices",
		Long: "Serves the named images, or all of a pool and their snapshots, to NBD clients (nbd-client, qemu, libnbd) " +
			"until SIGINT or SIGTERM. An export's name is IMAGE or IMAGE@SNAPSHOT; if only one is named, it is the default export too.",
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args) },
	}
	f := cmd.Flags()
	s.cluster.AddFlags(f)
	f.StringVarP(&s.pool, "pool", "p", "rbd", "pool")
	f.StringVarP(&s.namespace, "namespace", "N", "", "namespace")
	f.StringArrayVarP(&s.listen, "listen", "l", []string{"127.0.0.1:10809"}, "`address` to listen at, or unix:PATH; may be given more than once")
	f.BoolVar(&s.readOnly, "read-only", false, "let nobody write")
	f.BoolVar(&s.cache, "cache", false, "keep writes back until a client flushes, as a disk's cache does")
	f.IntVar(&s.connections, "max-connections", 256, "how many clients there may be at a time")
	f.StringVar(&s.cert, "tls-cert", "", "`file` with the server's certificates (PEM); clients must use TLS")
	f.StringVar(&s.key, "tls-key", "", "`file` with the certificate's key")
	f.StringVar(&s.ca, "tls-ca", "", "`file` with the authorities (PEM) that clients' certificates must come from")
	cmd.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return cmd
}

func (s *settings) run(cmd *cobra.Command, images []string) error {
	conf, err := s.tls()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	cluster, err := s.cluster.Connect(ctx)
	if err != nil {
		return err
	}
	defer cluster.Close()
	pool, err := cluster.Pool(ctx, s.pool)
	if err != nil {
		return err
	}
	exports := &nbd.Images{Pool: pool.Namespace(s.namespace), Names: images, ReadOnly: s.readOnly, Log: log}
	if s.cache {
		exports.Cache = &rbd.CacheOptions{}
	}
	srv := &nbd.Server{
		Exports: exports,
		TLS:     conf, Log: log, Connections: s.connections,
	}
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for _, addr := range s.listen {
		l, err := listen(addr)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
		fmt.Fprintf(cmd.OutOrStdout(), "listening at %s\n", uri(l.Addr(), conf != nil))
	}
	ended := make(chan error)
	for _, l := range listeners {
		go func() {
			err := srv.Serve(ctx, l)
			cancel()
			ended <- err
		}()
	}
	var all []error
	for range listeners {
		all = append(all, <-ended)
	}
	return errors.Join(all...)
}

// tls reads the certificates; nil if there are none.
func (s *settings) tls() (*tls.Config, error) {
	if s.cert == "" {
		if s.ca != "" {
			return nil, errors.New("--tls-ca needs --tls-cert and --tls-key")
		}
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, err
		}
		conf.ClientCAs, conf.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", s.ca)
		}
	}
	return conf, nil
}

// listen listens at host:port, or at unix:PATH, where a socket that nobody
// listens at any more is replaced. The socket is only for this user, and goes
// when the listener is closed.
func listen(addr string) (net.Listener, error) {
	path, unix := strings.CutPrefix(addr, "unix:")
	if !unix {
		return net.Listen("tcp", addr)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() == fs.ModeSocket {
		c, err := net.Dial("unix", path)
		switch {
		case err == nil:
			c.Close()
			return nil, fmt.Errorf("%s: somebody listens there", path)
		case !errors.Is(err, syscall.ECONNREFUSED):
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// It has its permissions from the beginning. The process does nothing else yet
	// that the mask matters for.
	defer syscall.Umask(syscall.Umask(0o177))
	return net.Listen("unix", path)
}

// uri is how clients call an address.
func uri(a net.Addr, secure bool) string {
	scheme := "nbd"
	if secure {
		scheme = "nbds"
	}
	if a.Network() == "unix" {
		return scheme + "+unix:///?socket=" + a.String()
	}
	return scheme + "://" + a.String()
}
