package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/node"
)

// Commands that make daemons on several hosts. They prepare directories; the
// daemons are run by pulpo mon and osd, one each, or all of a directory's by
// pulpo up.

func newBootstrap() *cobra.Command {
	o := node.BootstrapOptions{Name: "a"}
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Make the first monitor of a new cluster",
		Long: `Make the first monitor of a new cluster in a directory, with Ceph's defaults:
pools of three copies on three hosts. The monitor is run afterwards; pulpo token
then lets other daemons and hosts join.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Listen == "" {
				return errors.New("--addr is missing: where others reach this host")
			}
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return err
			}
			if err := node.Bootstrap(o); err != nil {
				return err
			}
			return next(cmd.OutOrStdout(), o.Dir, "mon."+o.Name)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", defaultDir, "the directory")
	f.StringVar(&o.Listen, "addr", "", "ADDR or ADDR:PORT of the monitor (port 3300 if none is given)")
	f.StringVar(&o.Name, "mon-name", o.Name, "the monitor's name")
	return cmd
}

func newToken() *cobra.Command {
	var (
		dir string
		ttl time.Duration
		mon bool
	)
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print a token with which a host can join the cluster",
		Long: `Print a token with which hosts can join the cluster for a while. It is a secret:
it lets its owner make OSDs, and with --mon a monitor, which sees everything.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl < time.Second {
				return fmt.Errorf("--ttl %v: want a second or more", ttl)
			}
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			t, err := node.NewToken(ctx, dir, ttl, mon)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), t)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", defaultDir, "a directory of the cluster that has the administrator's key")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good")
	f.BoolVar(&mon, "mon", false, "let its owner make monitors too")
	return cmd
}

// commandTimeout bounds what waits for monitors.
const commandTimeout = time.Minute

func newJoin() *cobra.Command {
	var (
		o     node.JoinOptions
		mon   bool
		paths []string
		sizes []int64
		id    int32
	)
	cmd := &cobra.Command{
		Use:   "join",
		Short: "Make daemons of an existing cluster in a directory",
		Long: `Make daemons of an existing cluster in a directory, as a token allows (pulpo
token). They are run afterwards. A directory that has daemons gets more of them.

A disk is replaced so: "ceph osd destroy N" for the OSD that had the old one, then
"pulpo join --osd-id N" with the new one. It never passes for the old one, whose
data is copied to it from the other OSDs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Token == "" {
				return errors.New("--token is missing: pulpo token prints one")
			}
			if o.Token, err = tokenText(o.Token); err != nil {
				return err
			}
			if mon && o.Mon == "" {
				o.Mon = hostName()
			}
			for _, p := range paths {
				o.OSDs = append(o.OSDs, node.NewOSD{Path: p, ID: -1})
			}
			for _, n := range sizes {
				if n <= 0 {
					return fmt.Errorf("--osd-size %d: want a positive number of bytes", n)
				}
				o.OSDs = append(o.OSDs, node.NewOSD{Size: n, ID: -1})
			}
			if cmd.Flags().Changed("osd-id") {
				if id < 0 || len(o.OSDs) != 1 {
					return fmt.Errorf("--osd-id %d: want the number of a destroyed OSD, and one --osd or --osd-size", id)
				}
				o.OSDs[0].ID = id
			}
			if o.Mon == "" && len(o.OSDs) == 0 {
				return errors.New("nothing to make: give --mon, --osd PATH or --osd-size BYTES")
			}
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return err
			}
			o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
			ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
			defer cancel()
			made, err := node.Join(ctx, o)
			if len(made) > 0 {
				next(cmd.OutOrStdout(), o.Dir, made...)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", defaultDir, "the directory")
	f.StringVar(&o.Token, "token", "", "the token, or @FILE with it, or - for standard input")
	f.StringVar(&o.Listen, "addr", "", "ADDR or ADDR:PORT that the daemons listen on; the port is the monitor's (default: towards the cluster's monitors)")
	f.BoolVar(&mon, "mon", false, "make a monitor")
	f.StringVar(&o.Mon, "mon-name", "", "its name (default: the host's)")
	f.StringArrayVar(&paths, "osd", nil, "make an OSD in this empty directory, where its disk is mounted; may be repeated")
	f.Int64SliceVar(&sizes, "osd-size", nil, "make an OSD of so many bytes in the directory itself; may be repeated")
	f.Int32Var(&id, "osd-id", 0, "take the place of this destroyed OSD")
	return cmd
}

// tokenText reads a token that is not on the command line, where others see it.
func tokenText(s string) (string, error) {
	var b []byte
	var err error
	switch {
	case s == "-":
		b, err = io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
	case strings.HasPrefix(s, "@"):
		b, err = os.ReadFile(s[1:])
	default:
		return s, nil
	}
	return string(b), err
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "a"
	}
	short, _, _ := strings.Cut(name, ".")
	return short
}

// next says how the daemons that were made are run.
func next(w io.Writer, dir string, made ...string) error {
	made = slices.Clone(made)
	fmt.Fprintf(w, "Made %s. To run:\n\n", strings.Join(made, ", "))
	for _, name := range made {
		kind, id, _ := strings.Cut(name, ".")
		fmt.Fprintf(w, "    pulpo %s --dir %s --id %s\n", kind, dir, id)
	}
	_, err := fmt.Fprintf(w, "\nor all daemons of this directory: pulpo up --dir %s\n", dir)
	return err
}
