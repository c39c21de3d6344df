// Package storecmd is `pulpo store`: looking into the stores of daemons that are
// not running (what ceph-bluestore-tool and ceph-objectstore-tool are to Ceph).
//
// No compatibility promise.
package storecmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

// ErrFindings says that a check found something; it has been printed.
var ErrFindings = errors.New("the store is damaged")

// New returns the command.
func New() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Check or show the object store of a daemon that is not running",
		Args:  cobra.NoArgs,
	}
	c.AddCommand(fsck(), dump())
	return c
}

func options(c *cobra.Command) diskstore.Options {
	return diskstore.Options{Log: slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
}

func fsck() *cobra.Command {
	var deep, asJSON bool
	c := &cobra.Command{
		Use:   "fsck DIR",
		Short: "Check that everything in a store agrees; with --deep also all data",
		Long: `Check that everything in a store agrees: objects, the blocks they use, reference
counts, free space. With --deep all data is read and compared with its checksums.
The journal is replayed as it would be when the daemon starts; nothing else is
changed. The exit code is 0 if all is well and 1 if not.`,
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) error {
			r, err := diskstore.Check(args[0], options(c), deep)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(r); err != nil {
					return err
				}
			} else {
				printReport(c, r)
			}
			if len(r.Findings) > 0 {
				return ErrFindings
			}
			return nil
		},
	}
	c.Flags().BoolVar(&deep, "deep", false, "read all data and compare it with its checksums")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

func printReport(c *cobra.Command, r *diskstore.Report) {
	w := c.OutOrStdout()
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	fmt.Fprintf(w, "store %s: %d collections, %d objects, %d blocks (%d shared, %d verified), %d omap keys: %d findings\n",
		r.UUID, r.Collections, r.Objects, r.Blocks, r.Shared, r.Verified, r.OmapKeys, len(r.Findings)+r.More)
}

func dump() *cobra.Command {
	var objects bool
	c := &cobra.Command{
		Use:          "dump DIR",
		Short:        "Print what a store is made of, one JSON value a line",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true,
		RunE: func(c *cobra.Command, args []string) (err error) {
			s, err := diskstore.Open(args[0], options(c))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			return s.Dump(c.OutOrStdout(), objects)
		},
	}
	c.Flags().BoolVar(&objects, "objects", false, "also each object with its extents")
	return c
}
