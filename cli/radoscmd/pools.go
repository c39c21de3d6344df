package radoscmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
)

func (s *settings) lspools() *cobra.Command {
	return &cobra.Command{
		Use: "lspools", Short: "List the pools", Args: cobra.NoArgs,
		RunE: s.runCluster(func(ctx context.Context, c *rados.Cluster, _ []string) error {
			pools, err := c.Pools(ctx)
			if err != nil {
				return err
			}
			for _, p := range pools {
				fmt.Fprintln(s.out, p.Name)
			}
			return nil
		}),
	}
}

func (s *settings) mkpool() *cobra.Command {
	return &cobra.Command{
		Use: "mkpool POOL", Short: "Create a pool", Args: cobra.ExactArgs(1),
		RunE: s.runCluster(func(ctx context.Context, c *rados.Cluster, args []string) error {
			if _, err := c.CreatePool(ctx, args[0]); err != nil {
				return failed("creating pool "+args[0], err)
			}
			fmt.Fprintf(s.out, "successfully created pool %s\n", args[0])
			return nil
		}),
	}
}

func (s *settings) rmpool() *cobra.Command {
	var sure bool
	cmd := &cobra.Command{Use: "rmpool POOL [POOL --yes-i-really-really-mean-it]", Short: "Remove a pool with all that is in it", Args: cobra.RangeArgs(1, 2)}
	cmd.Flags().BoolVar(&sure, "yes-i-really-really-mean-it", false, "needed, with the pool's name twice")
	cmd.RunE = s.runCluster(func(ctx context.Context, c *rados.Cluster, args []string) error {
		if len(args) < 2 || args[0] != args[1] || !sure {
			return fmt.Errorf("WARNING:\n  This will PERMANENTLY DESTROY an entire pool of objects with no way back.\n  To confirm, pass the pool to remove twice, followed by\n  --yes-i-really-really-mean-it")
		}
		if err := c.DeletePool(ctx, args[0]); err != nil {
			return failed("removing pool "+args[0], err)
		}
		fmt.Fprintf(s.out, "successfully deleted pool %s\n", args[0])
		return nil
	})
	return cmd
}

func (s *settings) purge() *cobra.Command {
	var sure bool
	cmd := &cobra.Command{Use: "purge POOL --yes-i-really-really-mean-it", Short: "Remove all objects of a pool", Args: cobra.ExactArgs(1)}
	cmd.Flags().BoolVar(&sure, "yes-i-really-really-mean-it", false, "needed")
	cmd.RunE = s.runCluster(func(ctx context.Context, c *rados.Cluster, args []string) error {
		if !sure {
			return errors.New("WARNING:\n  This will PERMANENTLY DESTROY all objects from a pool with no way back.\n  To confirm, follow pool with --yes-i-really-really-mean-it")
		}
		p, err := s.openPool(ctx, args[0])
		if err != nil {
			return err
		}
		if _, err := s.removeAll(ctx, p.Namespace(rados.AllNamespaces), func(rados.ObjectEntry) bool { return true }); err != nil {
			return failed("purging pool "+args[0], err)
		}
		fmt.Fprintf(s.out, "successfully purged pool %s\n", args[0])
		return nil
	})
	return cmd
}

// removeAll removes the objects that are listed and wanted, many at a time.
func (s *settings) removeAll(ctx context.Context, p *rados.Pool, want func(rados.ObjectEntry) bool) (int, error) {
	n := 0
	err := parallel(ctx, 16, func(yield func(func() error) bool) error {
		for o, err := range p.Objects(ctx) {
			if err != nil {
				return err
			}
			if !want(o) {
				continue
			}
			n++
			if !yield(func() error {
				err := p.Namespace(o.Namespace).Locator(o.Locator).Remove(ctx, o.Name)
				if errors.Is(err, rados.ErrNotFound) {
					return nil
				}
				return err
			}) {
				return nil
			}
		}
		return nil
	})
	return n, err
}

func (s *settings) cppool() *cobra.Command {
	return &cobra.Command{
		Use: "cppool POOL TARGET", Short: "Copy the objects of a pool into another one", Args: cobra.ExactArgs(2),
		RunE: s.runCluster(func(ctx context.Context, c *rados.Cluster, args []string) error {
			if args[0] == args[1] {
				return errors.New("cannot copy pool into itself")
			}
			from, err := s.openPool(ctx, args[0])
			if err != nil {
				return err
			}
			to, err := s.openPool(ctx, args[1])
			if err != nil {
				return err
			}
			err = parallel(ctx, 4, func(yield func(func() error) bool) error {
				for o, err := range from.Namespace(rados.AllNamespaces).Objects(ctx) {
					if err != nil {
						return err
					}
					if o.Locator != "" {
						fmt.Fprintf(s.out, "%s:%s(@%s) => %s:%s(@%s)\n", args[0], o.Name, o.Locator, args[1], o.Name, o.Locator)
					} else {
						fmt.Fprintf(s.out, "%s:%s => %s:%s\n", args[0], o.Name, args[1], o.Name)
					}
					src := from.Namespace(o.Namespace).Locator(o.Locator)
					dst := to.Namespace(o.Namespace).Locator(o.Locator)
					if !yield(func() error { return dst.CopyFrom(ctx, o.Name, src, o.Name) }) {
						return nil
					}
				}
				return nil
			})
			if err != nil {
				return failed("copying pool "+args[0]+" => "+args[1], err)
			}
			return nil
		}),
	}
}

func (s *settings) df() *cobra.Command {
	return &cobra.Command{
		Use: "df", Short: "Print what pools hold and what space is left", Args: cobra.NoArgs,
		RunE: s.runCluster(func(ctx context.Context, c *rados.Cluster, _ []string) error {
			var names []string
			if s.pool != "" {
				if _, err := s.openPool(ctx, s.pool); err != nil {
					return err
				}
				names = []string{s.pool}
			}
			pools, err := c.PoolStats(ctx, names...)
			if err != nil {
				return failed("fetching pool stats", err)
			}
			total, err := c.Stats(ctx)
			if err != nil {
				return failed("getting total cluster usage", err)
			}
			if s.format == "plain" {
				s.dfTable(pools, total)
				return nil
			}
			return s.dfJSON(ctx, c, pools, total)
		}),
	}
}

func (s *settings) dfTable(pools map[string]rados.PoolStats, total rados.ClusterStats) {
	rows := [][]string{{"POOL_NAME", "USED", "OBJECTS", "CLONES", "COPIES", "MISSING_ON_PRIMARY", "UNFOUND", "DEGRADED", "RD_OPS", "RD", "WR_OPS", "WR", "USED COMPR", "UNDER COMPR"}}
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		p := pools[name]
		n := func(v int64) string { return fmt.Sprint(v) }
		b := func(v int64) string { return size(uint64(v)) }
		rows = append(rows, []string{name, b(p.Used), n(p.Objects), n(p.Clones), n(p.Copies), n(p.MissingOnPrimary), n(p.Unfound), n(p.Degraded),
			n(p.Reads), b(p.ReadBytes), n(p.Writes), b(p.WriteBytes), b(p.UsedCompressed), b(p.UnderCompression)})
	}
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], len(c))
		}
	}
	for _, row := range rows {
		fmt.Fprintf(s.out, "%-*s", width[0], row[0])
		for i, c := range row[1:] {
			fmt.Fprintf(s.out, "  %*s", width[i+1], c)
		}
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "\ntotal_objects    %d\ntotal_used       %s\ntotal_avail      %s\ntotal_space      %s\n",
		total.Objects, size(total.Used), size(total.Available), size(total.Total))
}

func (s *settings) dfJSON(ctx context.Context, c *rados.Cluster, pools map[string]rados.PoolStats, total rados.ClusterStats) error {
	var f jsonfmt.Formatter
	f.OpenObject("stats")
	f.OpenArray("pools")
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		handle, err := c.Pool(ctx, name)
		if err != nil {
			return err
		}
		p := pools[name]
		f.Object("pool", func() {
			f.Str("name", name)
			f.Int("id", handle.ID())
			for _, x := range []struct {
				name string
				v    int64
			}{
				{"size_bytes", p.Used}, {"size_kb", (p.Used + 1023) >> 10}, {"num_objects", p.Objects}, {"num_object_clones", p.Clones},
				{"num_object_copies", p.Copies}, {"num_objects_missing_on_primary", p.MissingOnPrimary},
				{"num_objects_unfound", p.Unfound}, {"num_objects_degraded", p.Degraded}, {"read_ops", p.Reads},
				{"read_bytes", p.ReadBytes}, {"write_ops", p.Writes}, {"write_bytes", p.WriteBytes},
				{"compress_bytes_used", p.UsedCompressed}, {"compress_under_bytes", p.UnderCompression},
			} {
				f.Int(x.name, x.v)
			}
		})
	}
	f.Close()
	f.Uint("total_objects", total.Objects)
	f.Uint("total_used", total.Used>>10)
	f.Uint("total_avail", total.Available>>10)
	f.Uint("total_space", total.Total>>10)
	f.Close()
	s.print(&f)
	return nil
}
