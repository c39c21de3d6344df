package radoscmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
)

func (s *settings) put() *cobra.Command {
	cmd := &cobra.Command{Use: "put OBJECT FILE", Short: "Write a file into an object", Args: cobra.ExactArgs(2)}
	cmd.Flags().Uint64Var(&s.offset, "offset", 0, "where in the object to begin")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
		err := s.input(args[1], func(r io.Reader) error { return s.write(ctx, p, args[0], r, s.offset) })
		if err != nil {
			return failed("putting "+s.object(p, args[0]), err)
		}
		return nil
	})
	return cmd
}

// write writes what r has in pieces of the block size. Without an offset the
// first one replaces the object.
func (s *settings) write(ctx context.Context, p *rados.Pool, name string, r io.Reader, off uint64) error {
	buf := make([]byte, s.opSize)
	full := off == 0
	for first := true; ; first = false {
		n, err := io.ReadFull(r, buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		last := err != nil
		switch {
		case first && full:
			err = p.WriteFull(ctx, name, buf[:n])
		case first && n == 0:
			err = p.Create(ctx, name, false)
		case n > 0:
			err = p.Write(ctx, name, off, buf[:n])
		default:
			err = nil
		}
		if err != nil || last {
			return err
		}
		off += uint64(n)
	}
}

// input opens a file, or standard input for "-".
func (s *settings) input(path string, f func(io.Reader) error) error {
	if path == "-" {
		return f(s.in)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(file)
}

// output creates a file, or is standard output for "-".
func (s *settings) output(path string, f func(io.Writer) error) error {
	if path == "-" {
		return f(s.out)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if err := f(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func (s *settings) get() *cobra.Command {
	return &cobra.Command{
		Use: "get OBJECT FILE", Short: "Read an object into a file", Args: cobra.ExactArgs(2),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			buf := make([]byte, s.opSize)
			read := func(off uint64) (int, error) { return p.Read(ctx, args[0], off, buf) }
			// The file is not touched if there is no object.
			n, err := read(0)
			if err == nil {
				err = s.output(args[1], func(w io.Writer) error {
					for off := uint64(0); ; {
						if _, err := w.Write(buf[:n]); err != nil {
							return err
						}
						if n < len(buf) {
							return nil
						}
						off += uint64(n)
						if n, err = read(off); err != nil {
							return err
						}
					}
				})
			}
			if err != nil {
				return failed("getting "+s.object(p, args[0]), err)
			}
			return nil
		}),
	}
}

func (s *settings) append() *cobra.Command {
	return &cobra.Command{
		Use: "append OBJECT FILE", Short: "Write a file at the end of an object", Args: cobra.ExactArgs(2),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			err := s.input(args[1], func(r io.Reader) error {
				buf := make([]byte, s.opSize)
				for {
					n, err := io.ReadFull(r, buf)
					if n > 0 {
						if err := p.Append(ctx, args[0], buf[:n]); err != nil {
							return err
						}
					}
					switch {
					case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
						return nil
					case err != nil:
						return err
					}
				}
			})
			if err != nil {
				return failed("appending "+s.object(p, args[0]), err)
			}
			return nil
		}),
	}
}

// simple makes a subcommand on one object that prints nothing.
func (s *settings) simple(use, short, doing string, args int, f func(ctx context.Context, p *rados.Pool, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
			if err := f(ctx, p, args); err != nil {
				return failed(doing+" "+s.object(p, args[0]), err)
			}
			return nil
		}),
	}
}

func number(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}

func (s *settings) truncate() *cobra.Command {
	return s.simple("truncate OBJECT LENGTH", "Set the size of an object", "truncating", 2, func(ctx context.Context, p *rados.Pool, args []string) error {
		n, err := number(args[1])
		if err != nil {
			return err
		}
		return p.Truncate(ctx, args[0], n)
	})
}

func (s *settings) create() *cobra.Command {
	return s.simple("create OBJECT", "Create an object that does not exist", "creating", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		return p.Create(ctx, args[0], true)
	})
}

func (s *settings) touch() *cobra.Command {
	cmd := s.simple("touch OBJECT [TIMESTAMP]", "Set the time of modification", "touching", 0, func(ctx context.Context, p *rados.Pool, args []string) error {
		var op rados.WriteOp
		op.Create(false)
		if len(args) > 1 {
			sec, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not a number of seconds", args[1])
			}
			op.ModTime(time.Unix(sec, 0))
		}
		return p.Mutate(ctx, args[0], &op)
	})
	cmd.Args = cobra.RangeArgs(1, 2)
	return cmd
}

func (s *settings) rm() *cobra.Command {
	cmd := &cobra.Command{Use: "rm OBJECT...", Short: "Remove objects", Args: cobra.MinimumNArgs(1)}
	cmd.Flags().BoolVar(&s.forceFull, "force-full", false, "even if the cluster is full")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
		if s.forceFull {
			p = p.DespiteFull()
		}
		for _, name := range args {
			if err := p.Remove(ctx, name); err != nil {
				where := p.Name() + ">"
				if s.namespace != "" {
					where += s.namespace + "/"
				}
				return failed("removing "+where+name, err)
			}
		}
		return nil
	})
	return cmd
}

func (s *settings) cp() *cobra.Command {
	cmd := &cobra.Command{Use: "cp OBJECT [TARGET]", Short: "Copy an object within the cluster", Args: cobra.RangeArgs(1, 2)}
	cmd.Flags().StringVar(&s.targetPool, "target-pool", "", "pool of the copy")
	cmd.Flags().StringVar(&s.targetLocator, "target-locator", "", "key that places the copy")
	cmd.Flags().StringVar(&s.targetNS, "target-nspace", "", "namespace of the copy")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
		to, name := p.AtSnap(rados.HeadSnap), args[0]
		if len(args) > 1 {
			name = args[1]
		}
		if s.targetPool != "" {
			q, err := s.openPool(ctx, s.targetPool)
			if err != nil {
				return err
			}
			to = q
		}
		// As in Ceph's tool, the copy is in the default namespace unless told
		// otherwise, wherever the object is.
		to = to.Namespace(s.targetNS).Locator(s.targetLocator)
		if to.ID() == p.ID() && s.targetNS == s.namespace && name == args[0] {
			return errors.New("cannot copy object to itself")
		}
		if err := to.CopyFrom(ctx, name, p, args[0]); err != nil {
			return failed(fmt.Sprintf("copying %s => %s", s.object(p, args[0]), s.object(to, name)), err)
		}
		return nil
	})
	return cmd
}

func (s *settings) stat() *cobra.Command  { return s.statWith("stat OBJECT", time.Second) }
func (s *settings) stat2() *cobra.Command { return s.statWith("stat2 OBJECT", time.Microsecond) }

func (s *settings) statWith(use string, precision time.Duration) *cobra.Command {
	return s.simple(use, "Print size and time of modification", "stat-ing", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		info, err := p.Stat(ctx, args[0])
		if err != nil {
			return err
		}
		stamp := info.ModTime.Local().Truncate(precision).Format("2006-01-02T15:04:05.000000-0700")
		fmt.Fprintf(s.out, "%s mtime %s, size %d\n", s.object(p, args[0]), stamp, info.Size)
		return nil
	})
}

func (s *settings) mapext() *cobra.Command {
	return s.simple("mapext OBJECT", "Print what is allocated", "mapext", 1, func(ctx context.Context, p *rados.Pool, args []string) error {
		info, err := p.Stat(ctx, args[0])
		if err != nil {
			return err
		}
		var op rados.ReadOp
		x := op.MapExtents(0, info.Size)
		if err := p.Query(ctx, args[0], &op); err != nil {
			return err
		}
		for _, e := range x.Extents {
			fmt.Fprintf(s.out, "%x\t%x\n", e.Offset, e.Length)
		}
		return nil
	})
}

func (s *settings) setAllocHint() *cobra.Command {
	return s.simple("set-alloc-hint OBJECT OBJECT-SIZE WRITE-SIZE", "Tell what sizes to expect", "setting allocation hint on", 3, func(ctx context.Context, p *rados.Pool, args []string) error {
		n, err := number(args[1])
		if err != nil {
			return err
		}
		w, err := number(args[2])
		if err != nil {
			return err
		}
		var op rados.WriteOp
		op.SetAllocHint(n, w, 0)
		return p.Mutate(ctx, args[0], &op)
	})
}

func (s *settings) ls() *cobra.Command {
	cmd := &cobra.Command{Use: "ls [-|FILE]", Short: "List the objects of a pool", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().BoolVar(&s.all, "all", false, "of all namespaces")
	cmd.Flags().BoolVar(&s.defaultNS, "default", false, "of the default namespace")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
		if s.all && !s.defaultNS {
			p = p.Namespace(rados.AllNamespaces)
		}
		to := "-"
		if len(args) > 0 {
			to = args[0]
		}
		return s.output(to, func(w io.Writer) error {
			if s.format != "plain" {
				return s.lsJSON(ctx, w, p)
			}
			for o, err := range p.Objects(ctx) {
				if err != nil {
					return failed("listing objects", err)
				}
				if s.all && !s.defaultNS {
					fmt.Fprintf(w, "%s\t", o.Namespace)
				}
				fmt.Fprint(w, o.Name)
				if o.Locator != "" {
					fmt.Fprintf(w, "\t%s", o.Locator)
				}
				fmt.Fprintln(w)
			}
			return nil
		})
	})
	return cmd
}

func (s *settings) lsJSON(ctx context.Context, w io.Writer, p *rados.Pool) error {
	var f jsonfmt.Formatter
	f.OpenArray("objects")
	for o, err := range p.Objects(ctx) {
		if err != nil {
			return failed("listing objects", err)
		}
		f.Object("object", func() {
			f.Str("namespace", o.Namespace)
			f.Str("name", o.Name)
			if o.Locator != "" {
				f.Str("locator", o.Locator)
			}
		})
	}
	f.Close()
	out := f.JSON()
	if s.format == "json-pretty" {
		out = f.Pretty()
	}
	_, err := io.WriteString(w, out)
	return err
}
