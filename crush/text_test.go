package crush

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/jsonfmt"
)

// diff reports the first line that differs.
func diff(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d: %q, want %q", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("%d lines, want %d", len(g), len(w))
	}
}

// TestGoldenText compares with crushtool -d and -c.
func TestGoldenText(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, g *golden, m *Map) {
		diff(t, m.Decompile(), g.text)
		c, err := Compile(g.text)
		if err != nil {
			t.Fatal(err)
		}
		if g.Recompiles {
			// Else the sums of rounded weights differ in the last digit.
			diff(t, c.Decompile(), g.text)
		}
		if same := bytes.Equal(c.Encode(), g.bin); same != g.Recompiles {
			t.Errorf("recompiles to the same bytes: %v, with crushtool %v", same, g.Recompiles)
		}
	})
}

// TestGoldenDump compares with crushtool --dump.
func TestGoldenDump(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, g *golden, m *Map) {
		var f jsonfmt.Formatter
		f.Object("", func() { m.Dump(&f) })
		diff(t, strings.TrimSpace(f.Pretty()), strings.TrimSpace(g.dump))
	})
}

func TestCompileErrors(t *testing.T) {
	t.Parallel()
	const head = "device 0 osd.0\ntype 0 osd\ntype 1 host\ntype 2 root\n"
	for text, want := range map[string]string{
		"tunable x 1":                                        "line 1: tunable x not recognized",
		"device 0":                                           "unexpected end",
		"device 0 osd.0\ndevice 1 osd.0":                     "line 2: item osd.0 defined twice",
		head + "rack r {\n}":                                 "line 5: bucket type 'rack' is not defined",
		head + "host h {\n alg fancy\n}":                     "line 6: unknown bucket alg 'fancy'",
		head + "host h {\n id -1\n}":                         "bucket 'h' has no alg",
		head + "host h {\n alg straw2\n item osd.7\n}":       "item 'osd.7' in bucket 'h' is not defined",
		head + "host h {\n alg straw2\n item osd.0 pos 1\n}": "has pos 1 >= size 1",
		head + "host a {\n id -1\n alg straw2\n}\nhost b {\n id -1\n alg straw2\n}":                                                    "duplicate bucket id -1",
		head + "host a {\n alg straw2\n item b\n}\nroot b {\n alg straw2\n item a\n}":                                                  "is below itself",
		head + "host a {\n alg straw2\n item osd.0 weight x\n}":                                                                        "'x' is not a weight",
		head + "host a {\n alg straw2\n item osd.0 weight -1\n}":                                                                       "'-1' is not a weight",
		head + "rule r {\n id 0\n type fancy\n}":                                                                                       "rule type 'fancy'",
		head + "rule r {\n id 0\n type erasure\n min_size 1\n max_size 2\n step take nope\n}":                                          "item 'nope' not defined",
		head + "rule r {\n id 0\n type erasure\n min_size 1\n max_size 2\n}":                                                           "has no steps",
		head + "rule r {\n id 300\n":                                                                                                   "'300' is not a number from 0 to 255",
		head + "host a {\n id -1\n alg straw2\n item osd.0\n}\nchoose_args 0 {\n {\n bucket_id -1\n weight_set [\n [ 1 2 ]\n ]\n }\n}": "-1 needs exactly 1 weights but got 2",
	} {
		if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestCompileOrder: a bucket may be written before what it holds.
func TestCompileOrder(t *testing.T) {
	t.Parallel()
	m, err := Compile("device 0 osd.0\ntype 0 osd\ntype 1 host\ntype 2 root\nroot r {\n alg straw2\n item h\n}\nhost h {\n alg straw2\n item osd.0 weight 2.5\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := m.ItemID("r")
	if b := m.Bucket(id); b.Weight != 2.5*WeightOne || len(b.Items) != 1 {
		t.Errorf("%+v", b)
	}
}

func FuzzCompile(f *testing.F) {
	all, err := loadGolden()
	if err != nil {
		f.Fatal(err)
	}
	for _, g := range all {
		if len(g.text) < 3000 {
			f.Add(g.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Compile(text)
		if err != nil {
			return
		}
		if _, err := Decode(m.Encode()); err != nil {
			t.Fatal("what was compiled does not decode:", err)
		}
	})
}
