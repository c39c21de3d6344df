package crush

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// golden is one map of testdata/crushtool.tar.gz with what crushtool 16.2.15
// says about it.
type golden struct {
	Name       string
	Weights    map[string]float64
	Recompiles bool `json:"recompiles_to_same_bytes"`

	bin      []byte // compiled
	text     string // crushtool -d
	dump     string // crushtool --dump
	mappings string // crushtool --test: rule, numrep, x, osds
}

// osdWeights is the vector that crushtool's --weight options make.
func (g *golden) osdWeights(m *Map) []uint32 {
	w := make([]uint32, m.MaxDevices)
	for i := range w {
		w[i] = WeightOne
	}
	for id, f := range g.Weights {
		i, _ := strconv.Atoi(id)
		w[i] = uint32(f * WeightOne)
	}
	return w
}

// untar reads the files of an archive.
func untar(name string) (map[string][]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

var loadGolden = sync.OnceValues(func() ([]*golden, error) {
	files, err := untar("testdata/crushtool.tar.gz")
	if err != nil {
		return nil, err
	}
	var all []*golden
	if err := json.Unmarshal(files["index.json"], &all); err != nil {
		return nil, err
	}
	for _, g := range all {
		g.bin = files[g.Name+".bin"]
		g.text = string(files[g.Name+".txt"])
		g.dump = string(files[g.Name+".dump.json"])
		g.mappings = string(files[g.Name+".map.tsv"])
	}
	return all, nil
})

func forGolden(t *testing.T, f func(t *testing.T, g *golden, m *Map)) {
	t.Helper()
	all, err := loadGolden()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 26 {
		t.Fatalf("%d golden maps", len(all))
	}
	for _, g := range all {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			m, err := Decode(g.bin)
			if err != nil {
				t.Fatal(err)
			}
			f(t, g, m)
		})
	}
}

func TestGoldenEncoding(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, g *golden, m *Map) {
		if got := m.Encode(); !bytes.Equal(got, g.bin) {
			t.Errorf("encodes to %d other bytes, want %d", len(got), len(g.bin))
		}
		if got := m.Clone().Encode(); !bytes.Equal(got, g.bin) {
			t.Error("the clone encodes otherwise")
		}
	})
}

func TestGoldenMappings(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, g *golden, m *Map) {
		weights := g.osdWeights(m)
		n, bad := 0, 0
		for line := range strings.Lines(g.mappings) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			f := strings.Split(strings.TrimRight(line, "\n"), "\t")
			rule, _ := strconv.Atoi(f[0])
			numRep, _ := strconv.Atoi(f[1])
			x, _ := strconv.Atoi(f[2])
			var got strings.Builder
			for i, osd := range m.DoRule(rule, uint32(x), numRep, weights, 0) {
				if i > 0 {
					got.WriteByte(',')
				}
				got.WriteString(strconv.Itoa(int(osd)))
			}
			n++
			if got.String() != f[3] {
				if bad++; bad < 5 {
					t.Errorf("rule %d numrep %d x %d: %s, want %s", rule, numRep, x, &got, f[3])
				}
			}
		}
		if n < 256 || bad > 0 {
			t.Errorf("%d mappings, %d wrong", n, bad)
		}
	})
}

func TestGoldenHash(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/crush-hash32.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var v []uint32
		for _, s := range strings.Split(strings.TrimSpace(line), "\t") {
			for _, s := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
				u, err := strconv.ParseUint(s, 10, 32)
				if err != nil {
					t.Fatal(err)
				}
				v = append(v, uint32(u))
			}
		}
		var got uint32
		switch a := v[:len(v)-1]; len(a) {
		case 1:
			got = Hash32(a[0])
		case 2:
			got = Hash32_2(a[0], a[1])
		case 3:
			got = Hash32_3(a[0], a[1], a[2])
		case 4:
			got = Hash32_4(a[0], a[1], a[2], a[3])
		case 5:
			got = Hash32_5(a[0], a[1], a[2], a[3], a[4])
		}
		if got != v[len(v)-1] {
			t.Errorf("%v: %d", v, got)
		}
		n++
	}
	if n != 284 {
		t.Errorf("%d rows", n)
	}
}

func FuzzDecode(f *testing.F) {
	all, err := loadGolden()
	if err != nil {
		f.Fatal(err)
	}
	for _, g := range all {
		if len(g.bin) < 4096 {
			f.Add(g.bin)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(m.Encode())
		if err != nil {
			t.Fatal("what was encoded does not decode:", err)
		}
		if !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatal("encodings differ")
		}
		w := []uint32{WeightOne, WeightOne, 0x8000, WeightOne}
		for r := range m.Rules {
			// The number of tries is the map's to choose; keep the test short.
			if ru := m.Rules[r]; ru != nil {
				for i := range ru.Steps {
					if ru.Steps[i].Op >= OpSetChooseTries {
						ru.Steps[i].Arg1 = min(ru.Steps[i].Arg1, 20)
					}
					ru.Steps[i].Arg1 = min(ru.Steps[i].Arg1, 1000)
				}
			}
			m.ChooseTotalTries = min(m.ChooseTotalTries, 50)
			m.ChooseLocalTries = min(m.ChooseLocalTries, 10)
			m.ChooseLocalFallbackTries = min(m.ChooseLocalFallbackTries, 10)
			if got := m.DoRule(r, 7, 3, w, 0); len(got) > 3 {
				t.Fatalf("%d results for 3", len(got))
			}
		}
	})
}
