// Package crushcmd is `pulpo crush`: what crushtool does with CRUSH maps in
// files. It needs no cluster.
//
// No compatibility promise.
package crushcmd

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// New returns the command.
func New() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "crush",
		Short: "Compile, decompile, print and test CRUSH maps",
		Long: "Work on CRUSH maps in files, in the forms of crushtool. A map of a cluster comes from\n" +
			"`ceph osd getcrushmap -o FILE` and goes back with `ceph osd setcrushmap -i FILE`.\n" +
			"The name - stands for standard input or output.",
	}
	cmd.AddCommand(compile(), decompile(), dump(), tree(), test())
	return cmd
}

func compile() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "compile TEXT -o MAP",
		Short: "Make a map from its text form",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := read(cmd, args[0])
			if err != nil {
				return err
			}
			m, err := crush.Compile(string(text))
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return write(cmd, out, m.Encode())
		},
	}
	cmd.Flags().StringVarP(&out, "outfn", "o", "-", "file to write the map to")
	return cmd
}

func decompile() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "decompile MAP",
		Short: "Print a map in its text form",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := load(cmd, args[0])
			if err != nil {
				return err
			}
			return write(cmd, out, []byte(m.Decompile()))
		},
	}
	cmd.Flags().StringVarP(&out, "outfn", "o", "-", "file to write the text to")
	return cmd
}

func dump() *cobra.Command {
	format := "json-pretty"
	cmd := &cobra.Command{
		Use:   "dump MAP",
		Short: "Print a map as JSON",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := load(cmd, args[0])
			if err != nil {
				return err
			}
			var f jsonfmt.Formatter
			f.Object("crush_map", func() { m.Dump(&f) })
			text := f.Pretty()
			switch format {
			case "json-pretty":
			case "json":
				text = f.JSON()
			default:
				return fmt.Errorf("format %q is not json or json-pretty", format)
			}
			return write(cmd, "-", []byte(text+"\n"))
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", format, "json or json-pretty")
	return cmd
}

func tree() *cobra.Command {
	var shadow bool
	cmd := &cobra.Command{
		Use:   "tree MAP",
		Short: "Print a map as a tree",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := load(cmd, args[0])
			if err != nil {
				return err
			}
			return write(cmd, "-", []byte((&crush.TreeView{Map: m, Shadows: shadow}).Text()))
		},
	}
	cmd.Flags().BoolVar(&shadow, "show-shadow", false, "show the shadow trees of device classes too")
	return cmd
}

func test() *cobra.Command {
	t := crush.NewTest()
	rule, x, rep := -1, -1, -1
	cmd := &cobra.Command{
		Use:   "test MAP",
		Short: "Map a range of inputs and print what comes out",
		Long: "Map the inputs from --min-x to --max-x by the rules of a map, and print what is asked for\n" +
			"with --show-... in the form of crushtool --test. Devices are in unless --weight says\n" +
			"otherwise, which takes two words: --weight 3 0.5.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := load(cmd, args[0])
			if err != nil {
				return err
			}
			if rule >= 0 {
				t.MinRule, t.MaxRule = rule, rule
			}
			if x >= 0 {
				t.MinX, t.MaxX = x, x
			}
			if rep >= 0 {
				t.MinRep, t.MaxRep = rep, rep
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			if err := t.Run(m, w); err != nil {
				return err
			}
			return w.Flush()
		},
	}
	f := cmd.Flags()
	f.IntVar(&rule, "rule", rule, "rule to test")
	f.IntVar(&t.MinRule, "min-rule", t.MinRule, "first rule to test")
	f.IntVar(&t.MaxRule, "max-rule", t.MaxRule, "last rule to test")
	f.IntVar(&rep, "num-rep", rep, "number of replicas to ask for")
	f.IntVar(&t.MinRep, "min-rep", t.MinRep, "smallest number of replicas to ask for")
	f.IntVar(&t.MaxRep, "max-rep", t.MaxRep, "largest number of replicas to ask for")
	f.IntVar(&x, "x", x, "input to map")
	f.IntVar(&t.MinX, "min-x", t.MinX, "first input to map")
	f.IntVar(&t.MaxX, "max-x", t.MaxX, "last input to map")
	f.Int64Var(&t.Pool, "pool-id", t.Pool, "pool to mix into the inputs")
	f.VarP(weights(t.Weights), "weight", "w", "weight of a device, 0 to 1")
	f.BoolVar(&t.ShowMappings, "show-mappings", false, "print each mapping")
	f.BoolVar(&t.ShowBadMappings, "show-bad-mappings", false, "print mappings that are short or have holes")
	f.BoolVar(&t.ShowStatistics, "show-statistics", false, "print how many mappings have which size")
	f.BoolVar(&t.ShowUtilization, "show-utilization", false, "print how often each device is used")
	takeTwo(cmd)
	return cmd
}

// takeTwo lets --weight take two words, as crushtool's does: before flags are
// parsed, "--weight 3 0.5" becomes "--weight 3=0.5".
func takeTwo(cmd *cobra.Command) {
	run := cmd.RunE
	positional := cmd.Args
	cmd.DisableFlagParsing = true
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var joined []string
		for i := 0; i < len(args); i++ {
			if a := args[i]; (a == "--weight" || a == "-w") && i+2 < len(args) && !strings.Contains(args[i+1], "=") {
				joined = append(joined, a, args[i+1]+"="+args[i+2])
				i += 2
				continue
			}
			joined = append(joined, args[i])
		}
		if err := cmd.Flags().Parse(joined); err == pflag.ErrHelp {
			return cmd.Help()
		} else if err != nil {
			return err
		}
		if help, _ := cmd.Flags().GetBool("help"); help {
			return cmd.Help()
		}
		if err := positional(cmd, cmd.Flags().Args()); err != nil {
			return err
		}
		return run(cmd, cmd.Flags().Args())
	}
}

// weights is a flag of the form device=weight.
type weights map[int32]uint32

func (w weights) String() string { return "" }
func (w weights) Type() string   { return "device weight" }

func (w weights) Set(s string) error {
	dev, weight, ok := strings.Cut(s, "=")
	id, err := strconv.ParseInt(dev, 10, 32)
	f, err2 := strconv.ParseFloat(weight, 32)
	if !ok || err != nil || err2 != nil || id < 0 {
		return fmt.Errorf("%q is not a device and its weight", s)
	}
	v, err := crush.WeightOf(f)
	if err != nil {
		return err
	}
	w[int32(id)] = v
	return nil
}

func load(cmd *cobra.Command, name string) (*crush.Map, error) {
	b, err := read(cmd, name)
	if err != nil {
		return nil, err
	}
	m, err := crush.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func read(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

func write(cmd *cobra.Command, name string, b []byte) error {
	if name == "-" {
		_, err := cmd.OutOrStdout().Write(b)
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
