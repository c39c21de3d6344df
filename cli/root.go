// Package cli has the subcommands of pulpo.
//
// No compatibility promise.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/cli/crushcmd"
	"github.com/pulpo-storage/pulpo/cli/nbdcmd"
	"github.com/pulpo-storage/pulpo/cli/radoscmd"
	"github.com/pulpo-storage/pulpo/cli/rbdcmd"
	"github.com/pulpo-storage/pulpo/cli/storecmd"
)

// Main runs the command line and returns the exit code: 0, or after one clear
// line on stderr 1 or what the subcommand says.
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
		// Tools that stand for Ceph's have their exit codes.
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			return coded.ExitCode()
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
	root.AddCommand(newUp(), newDown(), newStatus(), newDaemon("mon"), newDaemon("osd"), newMgr(), newBootstrap(), newToken(), newJoin(), newRemove(), crushcmd.New(), nbdcmd.New(), radoscmd.New(), rbdcmd.New(), storecmd.New())
	return root
}
