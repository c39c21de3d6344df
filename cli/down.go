package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/node"
)

func newDown() *cobra.Command {
	var dir string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster of a directory",
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
			if pid == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: the cluster is not running\n", dir)
				return endOrphans(cmd.Context(), dir)
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return fmt.Errorf("end process %d: %w", pid, err)
			}
			for deadline := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
				now, err := node.Owner(dir)
				if err != nil {
					return err
				}
				if now != pid {
					return nil
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("process %d still runs after %v", pid, wait)
				}
			}
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "the cluster's directory")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for it to end")
	return cmd
}

// endOrphans makes sure that nothing is left of a cluster in processes whose
// supervisor is dead.
func endOrphans(ctx context.Context, dir string) error {
	d, err := node.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(node.EvictOrphans(ctx, d), d.Close())
}
