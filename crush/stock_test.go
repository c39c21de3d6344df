package crush

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// crushtool runs the stock tool; the test is skipped without it.
func crushtool(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("crushtool"); err != nil {
		t.Skip("crushtool is not installed")
	}
	out, err := exec.Command("crushtool", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("crushtool %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// randomText writes a map of three levels with random algorithms, weights,
// tunables, classes and rules.
func randomText(r *rand.Rand, osds int, classes bool) string {
	var b strings.Builder
	profile := []Tunables{TunablesArgonaut, TunablesBobtail, TunablesFirefly, TunablesHammer, TunablesJewel}[r.IntN(5)]
	fmt.Fprintf(&b, "tunable choose_local_tries %d\ntunable choose_local_fallback_tries %d\ntunable choose_total_tries %d\n",
		profile.ChooseLocalTries, profile.ChooseLocalFallbackTries, profile.ChooseTotalTries)
	fmt.Fprintf(&b, "tunable chooseleaf_descend_once %d\ntunable chooseleaf_vary_r %d\ntunable chooseleaf_stable %d\ntunable straw_calc_version %d\n",
		profile.ChooseLeafDescendOnce, r.IntN(3)*int(profile.ChooseLeafVaryR), profile.ChooseLeafStable, r.IntN(2))
	for o := range osds {
		fmt.Fprintf(&b, "device %d osd.%d", o, o)
		if classes {
			fmt.Fprintf(&b, " class %s", []string{"hdd", "ssd"}[r.IntN(2)*min(o, 1)])
		}
		b.WriteByte('\n')
	}
	b.WriteString("type 0 osd\ntype 1 host\ntype 2 rack\ntype 3 root\n")
	sameAlg := Alg(1 + r.IntN(6)) // 6: mixed
	id := 0
	bucket := func(typ, name string, items []string, weight func(i int) float64) {
		alg := sameAlg
		if alg > Straw2 {
			alg = Alg(1 + r.IntN(5))
		}
		if classes && (alg == Uniform || alg == Tree) {
			// Shadows of a uniform bucket's items differ in weight, which
			// crushtool refuses; for those of trees it uses memory it has not
			// set.
			alg = Straw2
		}
		id--
		fmt.Fprintf(&b, "%s %s {\n\tid %d\n\talg %v\n\thash 0\n", typ, name, id, alg)
		for i, item := range items {
			if alg == Uniform {
				i = 0
			}
			fmt.Fprintf(&b, "\titem %s weight %.3f\n", item, weight(i))
		}
		b.WriteString("}\n")
	}
	weights := make([]float64, osds)
	even := r.IntN(3) == 0
	for o := range weights {
		weights[o] = 1
		if !even {
			weights[o] = float64(r.IntN(8000)) / 1000
		}
	}
	perHost, perRack := 1+r.IntN(12), 1+r.IntN(8)
	var hosts, racks []string
	var hostW, rackW []float64
	for o := 0; o < osds; o += perHost {
		n := min(perHost, osds-o)
		var items []string
		sum := 0.0
		for i := range n {
			items = append(items, fmt.Sprintf("osd.%d", o+i))
			sum += weights[o+i]
		}
		hosts = append(hosts, fmt.Sprintf("h%d", len(hosts)))
		hostW = append(hostW, sum)
		bucket("host", hosts[len(hosts)-1], items, func(i int) float64 { return weights[o+i] })
	}
	for h := 0; h < len(hosts); h += perRack {
		n := min(perRack, len(hosts)-h)
		sum := 0.0
		for i := range n {
			sum += hostW[h+i]
		}
		racks = append(racks, fmt.Sprintf("r%d", len(racks)))
		rackW = append(rackW, sum)
		bucket("rack", racks[len(racks)-1], hosts[h:h+n], func(i int) float64 { return hostW[h+i] })
	}
	for len(racks) > maxTreeItems {
		racks = racks[:maxTreeItems] // what a tree bucket holds
	}
	bucket("root", "default", racks, func(i int) float64 { return rackW[i] })
	for rule := range 4 {
		erasure := rule%2 == 1
		fmt.Fprintf(&b, "rule rule%d {\n\tid %d\n\ttype %s\n\tmin_size 1\n\tmax_size 10\n", rule, rule, map[bool]string{false: "replicated", true: "erasure"}[erasure])
		mode := map[bool]string{false: "firstn", true: "indep"}[erasure]
		if r.IntN(2) == 0 {
			fmt.Fprintf(&b, "\tstep set_chooseleaf_tries %d\n\tstep set_choose_tries %d\n", 1+r.IntN(6), 1+r.IntN(100))
		}
		if r.IntN(3) == 0 {
			fmt.Fprintf(&b, "\tstep set_chooseleaf_vary_r %d\n\tstep set_chooseleaf_stable %d\n", r.IntN(4), r.IntN(2))
		}
		if r.IntN(4) == 0 {
			fmt.Fprintf(&b, "\tstep set_choose_local_tries %d\n\tstep set_choose_local_fallback_tries %d\n", r.IntN(4), r.IntN(6))
		}
		b.WriteString("\tstep take default")
		if classes && r.IntN(2) == 0 {
			b.WriteString(" class hdd")
		}
		b.WriteByte('\n')
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(&b, "\tstep choose %s 0 type osd\n", mode)
		case 1:
			fmt.Fprintf(&b, "\tstep choose %s 2 type rack\n\tstep chooseleaf %s 2 type host\n", mode, mode)
		case 2:
			fmt.Fprintf(&b, "\tstep choose %s -1 type host\n\tstep choose %s 1 type osd\n", mode, mode)
		default:
			fmt.Fprintf(&b, "\tstep chooseleaf %s 0 type host\n", mode)
		}
		b.WriteString("\tstep emit\n}\n")
	}
	return b.String()
}

// TestAgainstCrushtool compiles random maps with both and compares the bytes,
// the text they decompile to, and mappings.
func TestAgainstCrushtool(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			osds := 1 + r.IntN(60)
			if seed%8 == 7 {
				osds = 1000
			}
			text := randomText(r, osds, seed%3 == 0)
			dir := t.TempDir()
			src, bin := filepath.Join(dir, "t"), filepath.Join(dir, "m")
			if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			crushtool(t, "-c", src, "-o", bin)
			want, err := os.ReadFile(bin)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Compile(text)
			if err != nil {
				t.Fatal(err)
			}
			stock, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range stock.Buckets {
				if b != nil && len(b.Nodes) > 0 {
					b.Nodes[0] = 0 // not used; crushtool leaves there what was in memory
				}
			}
			if !bytes.Equal(m.Encode(), stock.Encode()) {
				diff(t, m.Decompile(), stock.Decompile())
				for i := range m.Buckets {
					if !reflect.DeepEqual(m.Buckets[i], stock.Buckets[i]) {
						t.Fatalf("bucket %d:\n%+v, want\n%+v", -1-i, m.Buckets[i], stock.Buckets[i])
					}
				}
				t.Errorf("compiles to %d bytes, with crushtool to %d others", len(m.Encode()), len(want))
			}
			// Not from its standard output, which it cuts when it is a pipe.
			crushtool(t, "-d", bin, "-o", src)
			if want, err = os.ReadFile(src); err != nil {
				t.Fatal(err)
			}
			diff(t, m.Decompile(), string(want))

			test := NewTest()
			test.MinX, test.MaxX = 0, 99
			test.ShowMappings, test.ShowStatistics, test.ShowBadMappings = true, true, true
			args := []string{"-i", bin, "--test", "--min-x", "0", "--max-x", "99", "--show-mappings", "--show-statistics", "--show-bad-mappings"}
			test.MinRep, test.MaxRep = 4, 4
			args = append(args, "--num-rep", "4")
			for range r.IntN(10) {
				o, w := int32(r.IntN(osds)), r.IntN(5)
				test.Weights[o] = uint32(w) * WeightOne / 4
				args = append(args, "--weight", fmt.Sprint(o), fmt.Sprint(float64(w)/4))
			}
			var got bytes.Buffer
			if err := test.Run(m, &got); err != nil {
				t.Fatal(err)
			}
			diff(t, got.String(), crushtool(t, args...))
		})
	}
}

// TestEditsAgainstCrushtool makes the same changes with both, one after the
// other, and compares the map after each.
func TestEditsAgainstCrushtool(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 2))
			dir := t.TempDir()
			src, bin := filepath.Join(dir, "t"), filepath.Join(dir, "m")
			text := randomText(r, 20, seed%2 == 0)
			// Straw2 for all: new buckets are made by what is allowed.
			for _, a := range []string{"uniform", "list", "tree", "straw"} {
				text = strings.ReplaceAll(text, "alg "+a+"\n", "alg straw2\n")
			}
			text = "tunable allowed_bucket_algs 54\n" + text
			if err := os.WriteFile(src, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			crushtool(t, "-c", src, "-o", bin)
			m, err := Compile(text)
			if err != nil {
				t.Fatal(err)
			}
			host := func() string { return fmt.Sprintf("h%d", r.IntN(4)) }
			next := int32(20)
			for step := range 12 {
				var args []string
				var ours func() error
				w := float64(1+r.IntN(64)) / 16
				fixed, _ := WeightOf(w)
				switch op := (step + int(seed)) % 8; op {
				case 0: // a device at a host that is there
					h, id := "h0", next
					next++
					name := fmt.Sprintf("osd.%d", id)
					args = []string{"--add-item", fmt.Sprint(id), fmt.Sprint(w), name, "--loc", "host", h, "--loc", "root", "default"}
					ours = func() error { return m.Insert(id, fixed, name, Loc{"host": h, "root": "default"}, true) }
				case 1: // at a new host in a new rack
					h, rk, id := fmt.Sprintf("nh%d", step), fmt.Sprintf("nr%d", step), next
					next++
					name := fmt.Sprintf("osd.%d", id)
					args = []string{"--add-item", fmt.Sprint(id), fmt.Sprint(w), name, "--loc", "host", h, "--loc", "rack", rk, "--loc", "root", "default"}
					ours = func() error {
						return m.Insert(id, fixed, name, Loc{"host": h, "rack": rk, "root": "default"}, true)
					}
				case 2:
					id := int32(r.IntN(10))
					name := m.ItemName(id)
					if !m.InTree(id) {
						continue
					}
					args = []string{"--reweight-item", name, fmt.Sprint(w)}
					ours = func() error { _, err := m.Reweight(id, fixed, false); return err }
				case 3:
					id := int32(10 + r.IntN(5))
					name := m.ItemName(id)
					if !m.InTree(id) {
						continue
					}
					args = []string{"--remove-item", name}
					ours = func() error { return m.Remove(id, false) }
				case 4: // move a host to a new rack
					h, rk := host(), fmt.Sprintf("mr%d", step)
					id, ok := m.ItemID(h)
					if !ok {
						continue
					}
					args = []string{"--move", h, "--loc", "rack", rk, "--loc", "root", "default"}
					ours = func() error { return m.MoveBucket(id, Loc{"rack": rk, "root": "default"}) }
				case 5:
					name := fmt.Sprintf("rr%d", step)
					args = []string{"--create-replicated-rule", name, "default", "host"}
					ours = func() error {
						_, err := m.AddSimpleRule(name, "default", "host", "", "firstn", RuleReplicated)
						return err
					}
				case 6: // move a device with a new weight
					id := int32(15 + r.IntN(5))
					name, h := m.ItemName(id), "h0"
					args = []string{"--update-item", fmt.Sprint(id), fmt.Sprint(w), name, "--loc", "host", h, "--loc", "root", "default"}
					ours = func() error { _, err := m.Update(id, fixed, name, Loc{"host": h, "root": "default"}); return err }
				case 7:
					args = []string{"--reweight"}
					ours = m.ReweightAll
				}
				crushtool(t, append([]string{"-i", bin, "-o", bin}, args...)...)
				if err := ours(); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
				b, err := os.ReadFile(bin)
				if err != nil {
					t.Fatal(err)
				}
				stock, err := Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(m.Encode(), b) {
					t.Logf("step %d: %v", step, args)
					diff(t, m.Decompile(), stock.Decompile())
					t.Fatalf("encodes otherwise (%d bytes, want %d)", len(m.Encode()), len(b))
				}
			}
		})
	}
}
