package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/node"
	"github.com/pulpo-storage/pulpo/rados"
)

func newStatus() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the cluster of a directory is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			pid, err := node.Owner(dir)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if pid == 0 && !anyRuns(dir) {
				return fmt.Errorf("%s: the cluster is not running", dir)
			}
			if pid != 0 {
				fmt.Fprintf(out, "%s: process %d\n", dir, pid)
			} else {
				fmt.Fprintf(out, "%s: its daemons run by themselves\n", dir)
			}
			if err := printDaemons(out, dir, pid); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
			defer cancel()
			if _, err := os.Stat(filepath.Join(dir, "ceph.client.admin.keyring")); errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintln(out, "for the state of the cluster ask a host that has the administrator's key")
				return nil
			}
			c, err := rados.ConnectFile(ctx, filepath.Join(dir, "ceph.conf"))
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "status"}, nil)
			if err != nil {
				return err
			}
			_, err = out.Write(r.Data)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "the cluster's directory")
	return cmd
}

func anyRuns(dir string) bool {
	all, err := node.Daemons(dir)
	return err == nil && slices.ContainsFunc(all, func(d node.ProcessState) bool { return d.PID != 0 })
}

// printDaemons prints a line for each daemon of a directory; owner is the process
// that runs them all, if there is one.
func printDaemons(out io.Writer, dir string, owner int) error {
	all, err := node.Daemons(dir)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	url, err := node.MetricsURL(dir, "")
	if err != nil {
		return err
	}
	if url != "" && owner != 0 {
		fmt.Fprintf(w, "metrics:\t%s\n", url)
	}
	for _, d := range all {
		fmt.Fprintf(w, "%s\t%s", d.Name, d.State)
		if d.PID != 0 {
			fmt.Fprintf(w, "\tprocess %d", d.PID)
		} else {
			fmt.Fprint(w, "\t")
		}
		var notes []string
		if d.Status != "" {
			notes = append(notes, d.Status)
		}
		if d.Restarts > 0 {
			notes = append(notes, fmt.Sprintf("%d restarts", d.Restarts))
		}
		if !d.Retry.IsZero() {
			notes = append(notes, fmt.Sprintf("next in %v", max(0, time.Until(d.Retry)).Round(100*time.Millisecond)))
		}
		if url, err := node.MetricsURL(dir, d.Name); err == nil && url != "" && d.PID != 0 && d.PID != owner {
			notes = append(notes, url)
		}
		fmt.Fprintf(w, "\t%s\n", strings.Join(notes, ", "))
	}
	return w.Flush()
}
