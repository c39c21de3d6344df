package radoscmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/rados"
)

func (s *settings) listxattr() *cobra.Command {
	return s.simple("listxattr OBJECT", "List the names of attributes", "getting xattr set", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		attrs, err := p.Xattrs(ctx, args[0])
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			fmt.Fprintln(s.out, name)
		}
		return nil
	})
}

func (s *settings) getxattr() *cobra.Command {
	return &cobra.Command{
		Use: "getxattr OBJECT NAME", Short: "Print an attribute", Args: cobra.ExactArgs(2),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			v, err := p.Xattr(ctx, args[0], args[1])
			if err != nil {
				return failed("getting xattr "+s.object(p, args[0])+"/"+args[1], err)
			}
			_, err = s.out.Write(v)
			return err
		}),
	}
}

// value is the argument after the name, or the file of --input-file, or
// standard input.
func (s *settings) value(args []string, at int) ([]byte, error) {
	switch {
	case len(args) > at:
		return []byte(args[at]), nil
	case s.inputFile != "":
		return os.ReadFile(s.inputFile)
	}
	return io.ReadAll(s.in)
}

func (s *settings) setxattr() *cobra.Command {
	cmd := s.simple("setxattr OBJECT NAME [VALUE]", "Set an attribute, to standard input without VALUE", "setting xattr", 0, func(ctx context.Context, p *rados.Pool, args []string) error {
		v, err := s.value(args, 2)
		if err != nil {
			return err
		}
		return p.SetXattr(ctx, args[0], args[1], v)
	})
	cmd.Args = cobra.RangeArgs(2, 3)
	cmd.Flags().StringVar(&s.inputFile, "input-file", "", "`file` with the value")
	return cmd
}

func (s *settings) rmxattr() *cobra.Command {
	return s.simple("rmxattr OBJECT NAME", "Remove an attribute", "removing xattr", 2, func(ctx context.Context, p *rados.Pool, args []string) error {
		return p.RemoveXattr(ctx, args[0], args[1])
	})
}

func (s *settings) listomapkeys() *cobra.Command {
	return s.simple("listomapkeys OBJECT", "List the keys of an omap", "getting omap key set", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		for k, err := range p.OmapKeys(ctx, args[0]) {
			if err != nil {
				return err
			}
			fmt.Fprintln(s.out, k)
		}
		return nil
	})
}

func (s *settings) listomapvals() *cobra.Command {
	return s.simple("listomapvals OBJECT", "List keys and values of an omap", "getting omap keys", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		for e, err := range p.Omap(ctx, args[0], "") {
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s\nvalue (%d bytes) :\n", e.Key, len(e.Value))
			hexdump(s.out, e.Value)
			fmt.Fprintln(s.out)
		}
		return nil
	})
}

func (s *settings) getomapval() *cobra.Command {
	return &cobra.Command{
		Use: "getomapval OBJECT KEY [FILE]", Short: "Print a value of an omap", Args: cobra.RangeArgs(2, 3),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			where := s.object(p, args[0]) + "/" + args[1]
			entries, err := p.OmapGet(ctx, args[0], args[1])
			if err != nil {
				return failed("getting omap value "+where, err)
			}
			v, ok := entries[args[1]]
			if !ok {
				// Ceph's tool says so on standard output.
				fmt.Fprintf(s.out, "No such key: %s\n", where)
				return silent(rados.ErrNotFound)
			}
			if len(args) > 2 {
				fmt.Fprintf(s.out, "Writing to %s\n", args[2])
				return s.output(args[2], func(w io.Writer) error { _, err := w.Write(v); return err })
			}
			fmt.Fprintf(s.out, "value (%d bytes) :\n", len(v))
			hexdump(s.out, v)
			fmt.Fprintln(s.out)
			return nil
		}),
	}
}

func (s *settings) setomapval() *cobra.Command {
	cmd := s.simple("setomapval OBJECT KEY [VALUE]", "Set a value of an omap, to standard input without VALUE", "setting omap value", 0, func(ctx context.Context, p *rados.Pool, args []string) error {
		v, err := s.value(args, 2)
		if err != nil {
			return err
		}
		return p.OmapSet(ctx, args[0], map[string][]byte{args[1]: v})
	})
	cmd.Args = cobra.RangeArgs(2, 3)
	cmd.Flags().StringVar(&s.inputFile, "input-file", "", "`file` with the value")
	return cmd
}

func (s *settings) rmomapkey() *cobra.Command {
	return s.simple("rmomapkey OBJECT KEY", "Remove a key of an omap", "removing omap key", 2, func(ctx context.Context, p *rados.Pool, args []string) error {
		return p.OmapRemove(ctx, args[0], args[1])
	})
}

func (s *settings) clearomap() *cobra.Command {
	return &cobra.Command{
		Use: "clearomap OBJECT...", Short: "Remove all keys of omaps", Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			var errs []error
			for _, name := range args {
				if err := p.OmapClear(ctx, name); err != nil {
					errs = append(errs, failed("clearing omap keys "+s.object(p, name), err))
				}
			}
			return errors.Join(errs...)
		}),
	}
}

func (s *settings) getomapheader() *cobra.Command {
	cmd := s.simple("getomapheader OBJECT [FILE]", "Print the header of an omap", "getting omap header", 0, func(ctx context.Context, p *rados.Pool, args []string) error {
		h, err := p.OmapHeader(ctx, args[0])
		if err != nil {
			return err
		}
		if len(args) > 1 {
			fmt.Fprintf(s.out, "Writing to %s\n", args[1])
			return s.output(args[1], func(w io.Writer) error { _, err := w.Write(h); return err })
		}
		fmt.Fprintf(s.out, "header (%d bytes) :\n", len(h))
		hexdump(s.out, h)
		fmt.Fprintln(s.out)
		return nil
	})
	cmd.Args = cobra.RangeArgs(1, 2)
	return cmd
}

func (s *settings) setomapheader() *cobra.Command {
	return s.simple("setomapheader OBJECT VALUE", "Set the header of an omap", "setting omap header", 2, func(ctx context.Context, p *rados.Pool, args []string) error {
		return p.OmapSetHeader(ctx, args[0], []byte(args[1]))
	})
}
