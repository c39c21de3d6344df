package rbdcmd

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/rbd"
)

// toFile writes a new file, or with "-" the standard output, by f.
func (s *settings) toFile(path string, f func(io.Writer) error) error {
	if path == "-" {
		return f(struct{ io.Writer }{s.out})
	}
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = errors.Join(f(w), w.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}

// place is the path that a command writes to or reads from.
func (s *settings) place(option string, args []string, i int, instead string) (string, error) {
	switch {
	case option != "":
		return option, nil
	case len(args) > i:
		return args[i], nil
	case instead != "":
		return instead, nil
	}
	return "", s.say(int(errno.EINVAL), "rbd: path was not specified")
}

func (s *settings) export() *cobra.Command {
	var path string
	var format int
	cmd := s.command("export IMAGE[@SNAP] [FILE]", "Write an image to a file", cobra.MaximumNArgs(2), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, maySnap)
		if err != nil {
			return err
		}
		to, err := s.place(path, args, 1, sp.image)
		if err != nil {
			return err
		}
		img, err := s.open(ctx, sp, true)
		if err != nil {
			return err
		}
		if _, e := os.Stat(to); e == nil && to != "-" {
			return s.failed("export error", errno.EEXIST)
		}
		pr := s.progress("Exporting image")
		err = s.toFile(to, func(w io.Writer) error {
			if format == 2 {
				return img.ExportImage(ctx, w, pr.tell)
			}
			return img.Export(ctx, w, pr.tell)
		})
		pr.end(err)
		return s.failed("export error", err)
	})
	cmd.Flags().StringVar(&path, "path", "", "file, - for the standard output")
	cmd.Flags().IntVar(&format, "export-format", 1, "1: the bytes; 2: with snapshots and metadata")
	return cmd
}

func (s *settings) import_() *cobra.Command {
	var l layout
	var path string
	var format int
	cmd := s.command("import FILE [IMAGE]", "Make an image of a file", cobra.MaximumNArgs(2), func(ctx context.Context, args []string) error {
		from, err := s.place(path, args, 0, "")
		if err != nil {
			return err
		}
		var rest []string
		if len(args) > 1 {
			rest = args[1:]
		}
		if s.dest == "" && s.image != "" {
			s.dest = s.image
		}
		s.destPool = or(s.destPool, s.pool)
		to, err := s.target(rest)
		if err != nil {
			return err
		}
		o, err := s.options(ctx, &l)
		if err != nil {
			return err
		}
		p, err := s.poolOf(ctx, to)
		if err != nil {
			return err
		}
		r, size := s.in, uint64(0)
		if from != "-" {
			f, err := os.Open(from)
			if err != nil {
				s.say(0, "rbd: error opening %s", from)
				return s.failed("import failed", err)
			}
			defer f.Close()
			if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && format != 2 {
				size = uint64(st.Size())
			}
			r = f
		}
		pr := s.progress("Importing image")
		opts := rbd.ImportOptions{CreateOptions: o, Size: size, Progress: pr.tell}
		if format == 2 {
			err = rbd.ImportImage(ctx, p, to.image, r, opts)
		} else {
			err = rbd.Import(ctx, p, to.image, r, opts)
		}
		if errors.Is(err, errno.EEXIST) {
			s.say(0, "rbd: image creation failed")
		}
		pr.end(err)
		return s.failed("import failed", err)
	})
	l.flags(cmd.Flags())
	cmd.Flags().StringVar(&path, "path", "", "file, - for the standard input")
	cmd.Flags().IntVar(&format, "export-format", 1, "1: the bytes; 2: with snapshots and metadata")
	return cmd
}

func (s *settings) exportDiff() *cobra.Command {
	var path, from string
	var whole bool
	cmd := s.command("export-diff IMAGE[@SNAP] FILE", "Write what changed to a file", cobra.MaximumNArgs(2), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, maySnap)
		if err != nil {
			return err
		}
		to, err := s.place(path, args, 1, "")
		if err != nil {
			return err
		}
		img, err := s.open(ctx, sp, true)
		if err != nil {
			return err
		}
		pr := s.progress("Exporting image")
		err = s.toFile(to, func(w io.Writer) error {
			return img.ExportDiff(ctx, w, rbd.DiffOptions{From: from, WholeObject: whole}, 1, pr.tell)
		})
		pr.end(err)
		return s.failed("export-diff error", err)
	})
	cmd.Flags().StringVar(&path, "path", "", "file, - for the standard output")
	cmd.Flags().StringVar(&from, "from-snap", "", "snapshot to begin with")
	cmd.Flags().BoolVar(&whole, "whole-object", false, "compare whole objects")
	return cmd
}

func (s *settings) importDiff() *cobra.Command {
	var path string
	cmd := s.command("import-diff FILE IMAGE", "Do to an image what a file says", cobra.MaximumNArgs(2), func(ctx context.Context, args []string) error {
		from, err := s.place(path, args, 0, "")
		if err != nil {
			return err
		}
		var rest []string
		if len(args) > 1 {
			rest = args[1:]
		}
		sp, err := s.source(rest, noSnap)
		if err != nil {
			return err
		}
		img, err := s.open(ctx, sp, false)
		if err != nil {
			return err
		}
		defer img.Close(context.WithoutCancel(ctx))
		r := s.in
		if from != "-" {
			f, err := os.Open(from)
			if err != nil {
				return s.failed("import-diff failed", err)
			}
			defer f.Close()
			r = f
		}
		pr := s.progress("Importing image diff")
		err = img.ImportDiff(ctx, r, pr.tell)
		var there *rbd.SnapshotExistsError
		if errors.As(err, &there) {
			s.say(0, "end snapshot '%s' already exists, aborting", there.Name)
		}
		pr.end(err)
		return s.failed("import-diff failed", err)
	})
	cmd.Flags().StringVar(&path, "path", "", "file, - for the standard input")
	return cmd
}
