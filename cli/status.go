package cli

import (
	"context"
	"fmt"
	"path/filepath"
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
			if pid == 0 {
				return fmt.Errorf("%s: the cluster is not running", dir)
			}
			fmt.Fprintf(out, "%s: process %d\n", dir, pid)
			url, err := node.MetricsURL(dir)
			if err != nil {
				return err
			}
			if url != "" {
				fmt.Fprintf(out, "metrics: %s\n", url)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
			defer cancel()
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
