package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/node"
)

func newRemove() *cobra.Command {
	var o node.RemoveOptions
	cmd := &cobra.Command{
		Use:   "remove osd.N|mon.NAME",
		Short: "Take a daemon out of the cluster",
		Long: `Take a daemon out of the cluster, and delete what is left of it in the directory if
it lives there. An OSD is marked out first and purged when all its data is on
others, which may take long; interrupted, the command can be given again.

The directory must have the administrator's key.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Name = args[0]
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return err
			}
			o.Tell = func(what string) { fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", o.Name, what) }
			return node.Remove(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Dir, "dir", defaultDir, "the directory")
	cmd.Flags().BoolVar(&o.Force, "force", false, "do not wait until an OSD's data is elsewhere")
	return cmd
}
