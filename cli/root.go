// Package cli has the subcommands of pulpo.
//
// No compatibility promise.
package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/cli/crushcmd"
	"github.com/pulpo-storage/pulpo/cli/nbdcmd"
	"github.com/pulpo-storage/pulpo/cli/radoscmd"
	"github.com/pulpo-storage/pulpo/cli/storecmd"
)

// Main runs the command line and returns the exit code: 0, or 1 after one
// clear line on stderr.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		// A subcommand that has said it all returns an error without words.
		if err.Error() != "" {
			fmt.Fprintln(os.Stderr, "pulpo:", err)
		}
		return 1
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "pulpo",
		Short:         "A storage cluster that stock Ceph clients use, in one binary",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newUp(), newDown(), newStatus(), crushcmd.New(), nbdcmd.New(), radoscmd.New(), storecmd.New())
	return root
}
