// Package radoscmd is the subcommand rados: objects on the command line, with
// the words and the output of Ceph's tool of that name, over the pure-Go client.
// It speaks to any cluster, stock ones too.
//
// No compatibility promise.
package radoscmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/cli/connect"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/rados"
)

// settings are the options, which may stand anywhere on the command line.
type settings struct {
	which                    connect.Settings
	pool, namespace, locator string
	snap                     string
	snapID                   uint64
	format                   string
	all, defaultNS           bool

	targetPool, targetLocator, targetNS string

	opSize, objectSize uint64
	opSizeSet          bool

	offset    uint64
	inputFile string
	forceFull bool

	out io.Writer
	in  io.Reader

	cluster *rados.Cluster
}

// New makes the command.
func New() *cobra.Command {
	s := &settings{out: os.Stdout, in: os.Stdin}
	cmd := &cobra.Command{
		Use:               "rados",
		Short:             "Put, get and list objects of any Ceph cluster, as Ceph's rados does",
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return s.begin(cmd) },
	}
	f := cmd.PersistentFlags()
	s.which.AddFlags(f)
	f.StringVarP(&s.pool, "pool", "p", "", "pool")
	f.StringVarP(&s.namespace, "namespace", "N", "", "namespace")
	f.StringVar(&s.locator, "object-locator", "", "key that places the object")
	f.StringVarP(&s.snap, "snap", "s", "", "`snapshot` of the pool to read")
	f.Uint64Var(&s.snapID, "snapid", 0, "`number` of the snapshot of the pool to read")
	f.StringVarP(&s.format, "format", "f", "plain", "plain, json or json-pretty")
	f.Uint64VarP(&s.opSize, "block-size", "b", 4<<20, "bytes per operation of put, get and bench")
	f.Uint64VarP(&s.objectSize, "object-size", "O", 0, "bytes per object of bench (default: block size)")
	f.DurationVar(&s.which.Timeout, "connect-timeout", 5*time.Minute, "how long to try to reach the cluster")
	cmd.AddCommand(
		s.lspools(), s.df(), s.mkpool(), s.rmpool(), s.cppool(), s.purge(), s.ls(),
		s.put(), s.get(), s.append(), s.truncate(), s.create(), s.rm(), s.cp(), s.stat(), s.stat2(), s.touch(), s.mapext(),
		s.listxattr(), s.getxattr(), s.setxattr(), s.rmxattr(),
		s.listomapkeys(), s.listomapvals(), s.getomapval(), s.setomapval(), s.rmomapkey(), s.clearomap(), s.getomapheader(), s.setomapheader(),
		s.setAllocHint(),
		s.lssnap(), s.mksnap(), s.rmsnap(), s.rollback(), s.listsnaps(),
		s.listwatchers(), s.watch(), s.notify(), s.call(),
		s.lock(), s.bench(), s.cleanup(), s.export(), s.import_(),
	)
	return cmd
}

// begin looks over the options.
func (s *settings) begin(cmd *cobra.Command) error {
	s.out, s.in = cmd.OutOrStdout(), cmd.InOrStdin()
	s.opSizeSet = cmd.Flags().Changed("block-size")
	switch s.format {
	case "plain", "json", "json-pretty":
	default:
		return fmt.Errorf("unrecognized format: %s", s.format)
	}
	if s.opSize == 0 {
		return errors.New("block size 0")
	}
	return nil
}

// connect opens the cluster, once.
func (s *settings) connect(ctx context.Context) (*rados.Cluster, error) {
	if s.cluster != nil {
		return s.cluster, nil
	}
	c, err := s.which.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("couldn't connect to cluster: %w", err)
	}
	s.cluster = c
	return c, nil
}

// openPool opens a pool by its name.
func (s *settings) openPool(ctx context.Context, name string) (*rados.Pool, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	p, err := c.Pool(ctx, name)
	if err != nil {
		return nil, failed("opening pool "+name, err)
	}
	return p, nil
}

// run makes the function of a subcommand on the pool of -p.
func (s *settings) run(f func(ctx context.Context, p *rados.Pool, args []string) error) func(*cobra.Command, []string) error {
	return s.runCluster(func(ctx context.Context, _ *rados.Cluster, args []string) error {
		if s.pool == "" {
			return errors.New("pool name was not specified: use -p")
		}
		p, err := s.openPool(ctx, s.pool)
		if err != nil {
			return err
		}
		if p, err = s.atSnap(ctx, p); err != nil {
			return err
		}
		return f(ctx, p.Namespace(s.namespace).Locator(s.locator), args)
	})
}

func (s *settings) runCluster(f func(ctx context.Context, c *rados.Cluster, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := s.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer c.Close()
		return f(cmd.Context(), c, args)
	}
}

// failed words an error as Ceph's tool does: "error getting pool/object: (2) No
// such file or directory".
func failed(what string, err error) error {
	var e errno.Errno
	if !errors.As(err, &e) {
		return fmt.Errorf("error %s: %w", what, err)
	}
	return &toolError{fmt.Sprintf("error %s: (%d) %v", what, int(e), e), err}
}

// silent is an error that was told already: only the exit code is left.
func silent(err error) error { return &toolError{"", err} }

type toolError struct {
	text string
	err  error
}

func (e *toolError) Error() string { return e.text }
func (e *toolError) Unwrap() error { return e.err }

func (s *settings) object(p *rados.Pool, name string) string { return p.Name() + "/" + name }

// print writes a JSON document in the wanted form.
func (s *settings) print(f *jsonfmt.Formatter) {
	if s.format == "json-pretty" {
		io.WriteString(s.out, f.Pretty())
	} else {
		io.WriteString(s.out, f.JSON())
	}
}

// hexdump prints bytes as Ceph's bufferlist does: 16 to a line, runs of lines
// that are all of one byte only once.
func hexdump(w io.Writer, b []byte) {
	const per = 16
	last, same, starred := -1, false, false
	for o := 0; o < len(b); o += per {
		row := b[o:min(o+per, len(b))]
		if len(row) == per && o+per < len(b) && strings.Count(string(row), string(row[:1])) == per {
			if same && int(row[0]) == last {
				if !starred {
					fmt.Fprintln(w, "*")
					starred = true
				}
				continue
			}
			same, last = true, int(row[0])
		} else {
			same, last = false, -1
		}
		starred = false
		fmt.Fprintf(w, "%08x ", o)
		for i := range per {
			if i == 8 {
				fmt.Fprint(w, " ")
			}
			if i < len(row) {
				fmt.Fprintf(w, " %02x", row[i])
			} else {
				fmt.Fprint(w, "   ")
			}
		}
		fmt.Fprint(w, "  |")
		for _, c := range row {
			if c < 32 || c >= 127 {
				c = '.'
			}
			fmt.Fprintf(w, "%c", c)
		}
		fmt.Fprintln(w, "|")
	}
	if len(b) > 0 {
		fmt.Fprintf(w, "%08x\n", len(b))
	}
}

// size is a number of bytes as Ceph prints it in at most seven places: 4 KiB,
// 1.2 MiB.
func size(n uint64) string {
	units := []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"}
	v, mult, i := n, uint64(1), 0
	for v >= 1024 && i < len(units)-1 {
		v >>= 10
		mult <<= 10
		i++
	}
	if i == 0 || n%mult == 0 {
		return fmt.Sprint(v, units[i])
	}
	text := ""
	for prec := 2; prec >= 0; prec-- {
		if text = fmt.Sprintf("%.*f%s", prec, float64(n)/float64(mult), units[i]); len(text) <= 7 {
			break
		}
	}
	return text
}
