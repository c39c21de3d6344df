package radoscmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
)

// atSnap is the pool at the snapshot of -s or --snapid, if there is one.
func (s *settings) atSnap(ctx context.Context, p *rados.Pool) (*rados.Pool, error) {
	var snap rados.PoolSnap
	var err error
	switch {
	case s.snap != "":
		if snap, err = p.LookupSnap(ctx, s.snap); err != nil {
			return nil, failed("looking up snap '"+s.snap+"'", err)
		}
	case s.snapID != 0:
		if snap, err = p.SnapInfo(s.snapID); err != nil {
			return nil, &toolError{fmt.Sprintf("snapid %d doesn't exist in pool %s", s.snapID, p.Name()), err}
		}
	default:
		return p, nil
	}
	fmt.Fprintf(s.out, "selected snap %d '%s'\n", snap.ID, snap.Name)
	return p.AtSnap(snap.ID), nil
}

func (s *settings) lssnap() *cobra.Command {
	return &cobra.Command{
		Use: "lssnap", Short: "List the snapshots of a pool", Args: cobra.NoArgs,
		RunE: s.run(func(ctx context.Context, p *rados.Pool, _ []string) error {
			snaps, err := p.PoolSnaps(ctx)
			if err != nil {
				return failed("listing snapshots of pool "+p.Name(), err)
			}
			for _, x := range snaps {
				fmt.Fprintf(s.out, "%d\t%s\t%s\n", x.ID, x.Name, x.Created.Local().Format("2006.01.02 15:04:05"))
			}
			fmt.Fprintf(s.out, "%d snaps\n", len(snaps))
			return nil
		}),
	}
}

func (s *settings) mksnap() *cobra.Command {
	return s.changeSnaps("mksnap SNAP", "Make a snapshot of a pool", "creating", "created", (*rados.Pool).CreateSnap)
}

func (s *settings) rmsnap() *cobra.Command {
	return s.changeSnaps("rmsnap SNAP", "Remove a snapshot of a pool", "removing", "removed", (*rados.Pool).RemoveSnap)
}

func (s *settings) changeSnaps(use, short, doing, did string, f func(*rados.Pool, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			if err := f(p, ctx, args[0]); err != nil {
				return failed(doing+" pool "+p.Name()+" snapshot "+args[0], err)
			}
			fmt.Fprintf(s.out, "%s pool %s snap %s\n", did, p.Name(), args[0])
			return nil
		}),
	}
}

func (s *settings) rollback() *cobra.Command {
	return &cobra.Command{
		Use: "rollback OBJECT SNAP", Short: "Make an object as it was at a snapshot of the pool", Args: cobra.ExactArgs(2),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			snap, err := p.LookupSnap(ctx, args[1])
			if err == nil {
				err = p.AtSnap(rados.HeadSnap).Rollback(ctx, args[0], snap.ID)
			}
			if err != nil {
				return failed("rolling back "+s.object(p, args[0])+" to snapshot "+args[1], err)
			}
			fmt.Fprintf(s.out, "rolled back pool %s to snapshot %s\n", p.Name(), args[1])
			return nil
		}),
	}
}

func (s *settings) listsnaps() *cobra.Command {
	return s.simple("listsnaps OBJECT", "List the versions that snapshots keep", "listing snap shots", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		x, err := p.Snaps(ctx, args[0])
		if err != nil {
			return err
		}
		if s.format != "plain" {
			s.snapsJSON(p, args[0], x)
			return nil
		}
		fmt.Fprintf(s.out, "%s:\ncloneid\tsnaps\tsize\toverlap\n", args[0])
		for _, c := range x.Clones {
			if c.ID == rados.HeadClone {
				fmt.Fprintf(s.out, "head\t-\t%d", c.Size)
				continue
			}
			fmt.Fprintf(s.out, "%d\t", c.ID)
			for i, snap := range c.Snaps {
				if i > 0 {
					fmt.Fprint(s.out, ",")
				}
				fmt.Fprint(s.out, snap)
			}
			if len(c.Snaps) == 0 {
				fmt.Fprint(s.out, "-")
			}
			fmt.Fprintf(s.out, "\t%d\t[", c.Size)
			for i, x := range c.Overlap {
				if i > 0 {
					fmt.Fprint(s.out, ",")
				}
				fmt.Fprintf(s.out, "%d~%d", x.Offset, x.Length)
			}
			fmt.Fprintln(s.out, "]")
		}
		fmt.Fprintln(s.out) // Ceph's tool ends the line of the head, which may not be there
		return nil
	})
}

func (s *settings) snapsJSON(p *rados.Pool, name string, x rados.ObjectSnaps) {
	var f jsonfmt.Formatter
	f.Object("object", func() {
		f.Str("name", name)
		f.Array("clones", func() {
			for _, c := range x.Clones {
				f.Object("clone", func() {
					if c.ID == rados.HeadClone {
						f.Str("id", "head")
					} else {
						f.Uint("id", c.ID)
					}
					f.Array("snapshots", func() {
						for _, id := range c.Snaps {
							snap, err := p.SnapInfo(id)
							f.Object("snapshot", func() {
								f.Uint("id", id)
								if err == nil {
									f.Str("name", snap.Name)
								}
							})
						}
					})
					f.Uint("size", c.Size)
					if c.ID == rados.HeadClone {
						return
					}
					f.Array("overlaps", func() {
						for _, e := range c.Overlap {
							f.Object("section", func() {
								f.Uint("start", e.Offset)
								f.Uint("length", e.Length)
							})
						}
					})
				})
			}
		})
	})
	s.print(&f)
}
