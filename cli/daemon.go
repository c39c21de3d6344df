package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/node"
)

// newDaemon is the command that runs one daemon of a directory by itself.
func newDaemon(kind string) *cobra.Command {
	var (
		o        node.OneOptions
		id       string
		level    string
		lifeline int
	)
	what := map[string]string{"mon": "a monitor", "osd": "an OSD"}[kind]
	cmd := &cobra.Command{
		Use:   kind,
		Short: "Run " + what + " of a directory in the foreground",
		Long: "Run " + what + ` of a directory in the foreground, until SIGINT or SIGTERM. The daemon
was made by pulpo bootstrap, join or up. To systemd it tells how it is
(Type=notify).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if id == "" {
				return errors.New("--id is missing: which " + kind + "?")
			}
			o.Name = kind + "." + id
			if o.Dir, err = filepath.Abs(o.Dir); err != nil {
				return err
			}
			if o.Memory < 0 {
				return fmt.Errorf("--memory %d: want a positive number of bytes", o.Memory)
			}
			if o.Log, err = logAt(level); err != nil {
				return err
			}
			o.MemoryLimit, o.Notify = limitMemory, node.NewNotifier()
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			if lifeline > 0 {
				f := os.NewFile(uintptr(lifeline), "lifeline")
				o.Lifeline = f
				node.FollowLifeline(f, stop)
			}
			return serveOne(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", defaultDir, "the directory")
	f.StringVar(&id, "id", "", "the daemon's id, such as 0 of osd.0")
	f.StringVar(&o.Metrics, "metrics", "127.0.0.1:0", "loopback address of the Prometheus metrics; empty for none")
	f.Int64Var(&o.Memory, "memory", 0, "bytes of memory to stay below (default 64 MiB, and 192 MiB for an OSD)")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.IntVar(&lifeline, "lifeline-fd", 0, "")
	f.MarkHidden("lifeline-fd")
	return cmd
}

// serveOne runs a daemon until the context ends or it fails.
func serveOne(ctx context.Context, o node.OneOptions) error {
	c, err := node.StartOne(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to end before it had begun
		}
		return err
	}
	select {
	case <-ctx.Done():
	case <-c.Ended():
		o.Notify.Notify("STATUS=told to stop by the cluster")
		o.Notify.Notify(node.EndedNote)
	case <-c.Failed():
		o.Notify.Notify("STATUS=" + c.Err().Error())
		return errors.Join(c.Err(), c.Close())
	}
	o.Notify.Notify("STOPPING=1")
	return c.Close()
}

// newMgr says where the manager is.
func newMgr() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mgr",
		Short: "Say where the manager runs: in the leading monitor",
		RunE: func(*cobra.Command, []string) error {
			return errors.New("the manager is no daemon of its own: the leading monitor's process plays it; run pulpo mon")
		},
	}
	cmd.FParseErrWhitelist.UnknownFlags = true // those of the other daemons
	return cmd
}
