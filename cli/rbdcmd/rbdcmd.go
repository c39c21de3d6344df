// Package rbdcmd is the subcommand rbd: block device images on the command line,
// with the words, the output and the exit codes of Ceph's tool of that name, over
// the pure-Go client. It works on any cluster, stock ones too.
//
// No compatibility promise.
package rbdcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pulpo-storage/pulpo/cli/connect"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/rbd"
)

// settings are the options, which may stand anywhere on the command line.
type settings struct {
	which                         connect.Settings
	pool, namespace, image, snap  string
	destPool, destNamespace, dest string
	format                        string
	pretty, noProgress            bool

	out, errs io.Writer
	in        io.Reader
	cluster   *rados.Cluster
}

// New makes the command.
func New() *cobra.Command {
	s := &settings{which: connect.Settings{Timeout: 5 * time.Minute}}
	cmd := &cobra.Command{
		Use:               "rbd",
		Short:             "Images of any Ceph cluster, as Ceph's rbd does",
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return s.begin(cmd) },
	}
	f := cmd.PersistentFlags()
	s.which.AddFlags(f)
	f.StringVarP(&s.pool, "pool", "p", "", "pool (default rbd)")
	f.StringVar(&s.namespace, "namespace", "", "namespace")
	f.StringVar(&s.image, "image", "", "image")
	f.StringVar(&s.snap, "snap", "", "snapshot")
	f.StringVar(&s.destPool, "dest-pool", "", "pool of the copy")
	f.StringVar(&s.destNamespace, "dest-namespace", "", "namespace of the copy")
	f.StringVar(&s.dest, "dest", "", "name of the copy")
	f.StringVar(&s.format, "format", "plain", "plain or json")
	f.BoolVar(&s.pretty, "pretty-format", false, "with line breaks (json)")
	f.BoolVar(&s.noProgress, "no-progress", false, "do not tell how far it is")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		s.errs = cmd.ErrOrStderr()
		var bad *pflag.InvalidValueError
		if errors.As(err, &bad) {
			return s.say(1, "rbd: the argument for option '--%s' is invalid", bad.GetFlag().Name)
		}
		return s.say(1, "rbd: %v", err)
	})
	cmd.AddCommand(
		s.create(), s.list(), s.info(), s.remove(), s.resize(), s.snapshots(), s.clone(), s.flatten(), s.children(), s.copy(),
		s.export(), s.import_(), s.exportDiff(), s.importDiff(), s.du(), s.locks(),
	)
	return cmd
}

func (s *settings) begin(cmd *cobra.Command) error {
	s.out, s.errs, s.in = cmd.OutOrStdout(), cmd.ErrOrStderr(), cmd.InOrStdin()
	if s.format != "plain" && s.format != "json" {
		return s.say(1, "rbd: the argument for option '--format' is invalid")
	}
	return nil
}

// exit is an error that was told already: only the exit code is left.
type exit struct{ code int }

func (e *exit) Error() string { return "" }

// ExitCode is what the program ends with.
func (e *exit) ExitCode() int { return e.code }

// say tells of an error and returns the exit code.
func (s *settings) say(code int, format string, args ...any) error {
	fmt.Fprintf(s.errs, format+"\n", args...)
	return &exit{code}
}

// failed words an error as Ceph's tool does: "rbd: create error: (17) File
// exists". The exit code is the error's number.
func (s *settings) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	var e *exit
	if errors.As(err, &e) {
		return err
	}
	n := errno.Errno(-errno.Code(err))
	return s.say(int(n), "rbd: %s: (%d) %v", what, int(n), n)
}

// spec is an image, or a snapshot of one: [pool/[namespace/]]image[@snap].
type spec struct{ pool, namespace, image, snap string }

func parseSpec(text string) (sp spec) {
	text, sp.snap, _ = strings.Cut(text, "@")
	parts := strings.SplitN(text, "/", 3)
	switch sp.image = parts[len(parts)-1]; len(parts) {
	case 3:
		sp.pool, sp.namespace = parts[0], parts[1]
	case 2:
		sp.pool = parts[0]
	}
	return sp
}

// Whether a command wants a snapshot.
const (
	noSnap = iota
	maySnap
	mustSnap
)

// source is the image that options or an argument name.
func (s *settings) source(args []string, snap int) (spec, error) {
	sp := spec{s.pool, s.namespace, s.image, s.snap}
	if len(args) > 0 {
		arg := parseSpec(args[0])
		sp = spec{or(arg.pool, sp.pool), or(arg.namespace, sp.namespace), or(arg.image, sp.image), or(arg.snap, sp.snap)}
	}
	sp.pool = or(sp.pool, "rbd")
	switch {
	case sp.image == "":
		return sp, s.say(int(errno.EINVAL), "rbd: image name was not specified")
	case snap == noSnap && sp.snap != "":
		return sp, s.say(int(errno.EINVAL), "rbd: snapshot name specified for a command that doesn't use it")
	case snap == mustSnap && sp.snap == "":
		return sp, s.say(int(errno.EINVAL), "rbd: snapshot name was not specified")
	}
	return sp, nil
}

// target is the image to be made, by options or an argument.
func (s *settings) target(args []string) (spec, error) {
	sp := spec{pool: s.destPool, namespace: s.destNamespace, image: s.dest}
	if len(args) > 0 {
		arg := parseSpec(args[0])
		sp = spec{or(arg.pool, sp.pool), or(arg.namespace, sp.namespace), or(arg.image, sp.image), arg.snap}
	}
	sp.pool = or(sp.pool, "rbd")
	switch {
	case sp.image == "":
		return sp, s.say(int(errno.EINVAL), "rbd: destination image name was not specified")
	case sp.snap != "":
		return sp, s.say(int(errno.EINVAL), "rbd: destination snapname specified for a command that doesn't use it")
	}
	return sp, nil
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// connect opens the cluster, once.
func (s *settings) connect(ctx context.Context) (*rados.Cluster, error) {
	if s.cluster != nil {
		return s.cluster, nil
	}
	c, err := s.which.Connect(ctx)
	if err != nil {
		return nil, s.say(int(-errno.Code(err)), "rbd: couldn't connect to the cluster!: %v", err)
	}
	s.cluster = c
	return c, nil
}

func (s *settings) openPool(ctx context.Context, name, namespace string) (*rados.Pool, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.Pool(ctx, name)
	if err != nil {
		return nil, s.failed("error opening pool '"+name+"'", err)
	}
	return p.Namespace(namespace), nil
}

func (s *settings) poolOf(ctx context.Context, sp spec) (*rados.Pool, error) {
	return s.openPool(ctx, sp.pool, sp.namespace)
}

// open opens an image, at its snapshot if the spec has one.
func (s *settings) open(ctx context.Context, sp spec, readOnly bool) (*rbd.Image, error) {
	p, err := s.poolOf(ctx, sp)
	if err != nil {
		return nil, err
	}
	img, err := rbd.Open(ctx, p, sp.image, rbd.OpenOptions{ReadOnly: true})
	if err != nil {
		return nil, s.failed("error opening image "+sp.image, err)
	}
	if sp.snap == "" && readOnly {
		return img, nil
	}
	if sp.snap != "" {
		if img, err = rbd.Open(ctx, p, sp.image, rbd.OpenOptions{Snapshot: sp.snap}); err != nil {
			n := errno.Errno(-errno.Code(err))
			return nil, s.say(int(n), "error setting snapshot context: (%d) %v", int(n), n)
		}
		return img, nil
	}
	if img, err = rbd.Open(ctx, p, sp.image, rbd.OpenOptions{}); err != nil {
		return nil, s.failed("error opening image "+sp.image, err)
	}
	return img, nil
}

// command makes a subcommand whose function has a cluster for itself.
func (s *settings) command(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		err := run(cmd.Context(), args)
		if s.cluster != nil {
			s.cluster.Close()
		}
		return err
	}}
}

// withImage is command on one image.
func (s *settings) withImage(use, short string, snap int, readOnly bool, run func(ctx context.Context, img *rbd.Image, sp spec) error) *cobra.Command {
	return s.command(use, short, cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		sp, err := s.source(args, snap)
		if err != nil {
			return err
		}
		at := sp
		if snap == mustSnap {
			at.snap = "" // it is what the command works on
		}
		img, err := s.open(ctx, at, readOnly)
		if err != nil {
			return err
		}
		return errors.Join(run(ctx, img, sp), img.Close(context.WithoutCancel(ctx)))
	})
}

// progress tells how far something is, on one line that is written again.
type progress struct {
	s    *settings
	what string
	last uint64
	some bool
}

func (s *settings) progress(what string) *progress { return &progress{s: s, what: what} }

func (p *progress) tell(done, total uint64) {
	pc := uint64(100)
	if total > 0 {
		pc = done * 100 / total
	}
	if p.s.noProgress || pc == p.last {
		return
	}
	p.last, p.some = pc, true
	fmt.Fprintf(p.s.errs, "\r%s: %d%% complete...", p.what, pc)
}

// end ends the line.
func (p *progress) end(err error) {
	switch {
	case p.s.noProgress:
	case err != nil:
		fmt.Fprintf(p.s.errs, "\r%s: %d%% complete...failed.\n", p.what, p.last)
	default:
		fmt.Fprintf(p.s.errs, "\r%s: 100%% complete...done.\n", p.what)
	}
}

func (s *settings) json() bool { return s.format == "json" }

// print writes a JSON document.
func (s *settings) print(f *jsonfmt.Formatter) {
	if s.pretty {
		io.WriteString(s.out, f.Pretty())
		return
	}
	fmt.Fprintln(s.out, f.JSON())
}

// size is a flag value in bytes, with a unit; without, it is MiB or bytes.
type size struct {
	n    uint64
	unit uint64
	set  bool
}

func (v *size) String() string { return strconv.FormatUint(v.n, 10) }
func (v *size) Type() string   { return "size" }

func (v *size) Set(text string) error {
	unit := v.unit
	digits := strings.TrimRight(text, "BbKkMmGgTtPpi")
	if suffix := strings.ToUpper(text[len(digits):]); suffix != "" {
		i := strings.IndexByte("BKMGTP", suffix[0])
		if rest := suffix[1:]; i < 0 || rest != "" && rest != "B" && rest != "IB" {
			return errors.New("bad unit")
		}
		unit = 1 << (10 * i)
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > ^uint64(0)/unit {
		return errors.New("not a size")
	}
	v.n, v.set = n*unit, true
	return nil
}

// ctime is a time as ctime(3) prints it.
func ctime(t time.Time) string { return t.Local().Format(time.ANSIC) }

func yes(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
