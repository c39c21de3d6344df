package osdmap

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
)

// files are maps of a stock 16.2.15 cluster with what its tools print of them.
var files = sync.OnceValue(func() map[string][]byte {
	f, err := os.Open("testdata/osdmap.tar.gz")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	all := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			panic(err)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			panic(err)
		}
	}
})

// forGolden runs f for each full map.
func forGolden(t *testing.T, f func(t *testing.T, name string, m *Map)) {
	t.Helper()
	n := 0
	for file, b := range files() {
		name, ok := strings.CutSuffix(file, ".bin")
		if !ok {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			f(t, name, m)
		})
	}
	if n != 16 {
		t.Errorf("%d maps", n)
	}
}

func TestGoldenFull(t *testing.T) {
	t.Parallel()
	forGolden(t, func(t *testing.T, name string, m *Map) {
		want := files()[name+".bin"]
		if got := m.Encode(); !bytes.Equal(got, want) {
			t.Errorf("encodes to %d other bytes, want %d: first difference at %d", len(got), len(want), firstDiff(got, want))
		}
		bad := bytes.Clone(want)
		bad[len(bad)/2] ^= 4
		if _, err := Decode(bad); err == nil {
			t.Error("a flipped bit was not noticed")
		}
	})
}

func firstDiff(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

type chainLink struct {
	Epoch   uint32
	IncCRC  string `json:"inc_crc"`
	FullCRC string `json:"full_crc"`
	Hex     string
}

func chain(t testing.TB) []chainLink {
	var links []chainLink
	for d := json.NewDecoder(bytes.NewReader(files()["osdmap-incrementals-2-187.jsonl"])); d.More(); {
		var l chainLink
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		links = append(links, l)
	}
	return links
}

// TestGoldenChain applies 186 incrementals one after the other; every full map
// on the way must have the checksum that was announced.
func TestGoldenChain(t *testing.T) {
	t.Parallel()
	m, err := Decode(files()["osdmap-e1.bin"])
	if err != nil {
		t.Fatal(err)
	}
	links := chain(t)
	if len(links) != 186 {
		t.Fatalf("%d links", len(links))
	}
	byEpoch := map[uint32][]byte{}
	for name, b := range files() {
		if strings.HasSuffix(name, ".bin") && !strings.Contains(name, "tool60") && !strings.Contains(name, "pgs") {
			full, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			byEpoch[full.Epoch] = b
		}
	}
	seen := 0
	for _, l := range links {
		b, err := hex.DecodeString(l.Hex)
		if err != nil {
			t.Fatal(err)
		}
		inc, err := DecodeIncremental(b)
		if err != nil {
			t.Fatalf("e%d: %v", l.Epoch, err)
		}
		if want, _ := strconv.ParseUint(l.FullCRC, 16, 32); inc.FullCRC != uint32(want) {
			t.Errorf("e%d: full crc %08x, want %s", l.Epoch, inc.FullCRC, l.FullCRC)
		}
		if got := inc.Encode(inc.FullCRC); !bytes.Equal(got, b) {
			t.Errorf("e%d: encodes to other bytes, first difference at %d of %d", l.Epoch, firstDiff(got, b), len(b))
		}
		before := m.Encode()
		next, err := m.Apply(inc)
		if err != nil {
			t.Fatalf("e%d: %v", l.Epoch, err)
		}
		if !bytes.Equal(m.Encode(), before) {
			t.Fatalf("e%d: Apply changed the map it started from", l.Epoch)
		}
		m = next
		full := m.Encode()
		if crc := FullCRC(full); crc != inc.FullCRC {
			t.Fatalf("e%d: crc %08x, want %08x", l.Epoch, crc, inc.FullCRC)
		}
		if want := byEpoch[l.Epoch]; want != nil {
			seen++
			if !bytes.Equal(full, want) {
				t.Errorf("e%d: differs from the full map at %d", l.Epoch, firstDiff(full, want))
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d full maps on the way", seen)
	}
}

// atEpoch replays the chain up to an epoch.
func atEpoch(t *testing.T, epoch uint32) *Map {
	m, err := Decode(files()["osdmap-e1.bin"])
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range chain(t) {
		if m.Epoch == epoch {
			return m
		}
		b, err := hex.DecodeString(l.Hex)
		if err != nil {
			t.Fatal(err)
		}
		inc, err := DecodeIncremental(b)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = m.Apply(inc); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestGoldenMappings compares with osdmaptool --test-map-pgs-dump-all.
func TestGoldenMappings(t *testing.T) {
	t.Parallel()
	n := 0
	forGolden(t, func(t *testing.T, name string, m *Map) {
		text, ok := files()[name+".pgs.txt"]
		if !ok {
			return
		}
		checkMappings(t, m, string(text))
	})
	for name := range files() {
		if strings.HasSuffix(name, ".pgs.txt") {
			n++
		}
	}
	if n != 6 {
		t.Errorf("%d tables", n)
	}
}

func checkMappings(t *testing.T, m *Map, dump string) {
	t.Helper()
	list := func(osds []int32, primary int32) string {
		return "(" + osdList(osds) + ", p" + strconv.Itoa(int(primary)) + ")"
	}
	n, bad := 0, 0
	for line := range strings.Lines(dump) {
		id, want, ok := strings.Cut(strings.TrimSpace(line), " raw ")
		if !ok {
			continue
		}
		pg, err := object.ParsePG(id)
		if err != nil {
			t.Fatal(err)
		}
		raw, rawPrimary := m.PGToRaw(pg)
		for range 2 { // the second comes from the cache
			v := m.PGToUpActing(pg)
			got := list(raw, rawPrimary) + " up " + list(v.Up, v.UpPrimary) + " acting " + list(v.Acting, v.ActingPrimary)
			if got != want {
				if bad++; bad < 5 {
					t.Errorf("%v: %s, want %s", pg, got, want)
				}
			}
		}
		n++
	}
	if n == 0 || bad > 0 {
		t.Errorf("%d groups, %d wrong", n, bad/2)
	}
}

// TestGoldenObjects compares with osdmaptool --test-map-object.
func TestGoldenObjects(t *testing.T) {
	t.Parallel()
	m, err := Decode(files()["osdmap-pgs.bin"])
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(files()["object-to-pg.tsv"])) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if strings.HasPrefix(line, "#") {
			if n == 0 {
				t.Log(strings.TrimSpace(line))
			}
			continue
		}
		n++
		pool, _ := strconv.ParseInt(f[0], 10, 64)
		pg, v, err := m.ObjectToOSDs(object.Locator{Pool: pool, Hash: -1}, f[3])
		if err != nil || pg.String() != f[5] || osdList(v.Acting) != "["+f[6]+"]" {
			t.Errorf("%s in pool %d: %v %v %v, want %s %s", f[3], pool, pg, v.Acting, err, f[5], f[6])
		}
	}
	if n != 248 {
		t.Errorf("%d rows", n)
	}
}

func FuzzDecode(f *testing.F) {
	for name, b := range files() {
		if strings.HasSuffix(name, ".bin") && len(b) < 5000 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// Get past the checksum, which no fuzzer guesses.
		if len(b) > 4 {
			b = setCRC(bytes.Clone(b), len(b)-4)
		}
		m, err := Decode(b)
		if err != nil {
			return
		}
		if again, err := Decode(m.Encode()); err != nil || !bytes.Equal(again.Encode(), m.Encode()) {
			t.Fatal("what was encoded does not come back:", err)
		}
		for id, p := range m.Pools {
			for _, s := range []uint32{0, 1, 0xffffffff} {
				pg := object.PG{Pool: id, Seed: s}
				if v := m.PGToUpActing(p.RawToActual(pg)); p.IsReplicated() && len(v.Up) > 0 && !m.IsUp(v.Up[0]) {
					t.Fatal("an osd that is down in the up set")
				}
			}
		}
		for a := range m.Blocklist {
			m.Blocklisted(a, m.Modified)
		}
	})
}

func FuzzDecodeIncremental(f *testing.F) {
	for _, l := range chain(f) {
		b, _ := hex.DecodeString(l.Hex)
		if len(b) < 2000 {
			f.Add(b)
		}
	}
	base, err := Decode(files()["osdmap-e99.bin"])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 8 {
			b = setCRC(bytes.Clone(b), len(b)-8)
		}
		inc, err := DecodeIncremental(b)
		if err != nil {
			return
		}
		again, err := DecodeIncremental(inc.Encode(7))
		if err != nil || again.FullCRC != 7 || !bytes.Equal(again.Encode(1), inc.Encode(1)) {
			t.Fatal("what was encoded does not come back:", err)
		}
		inc.Epoch, inc.FSID = base.Epoch+1, base.FSID
		if inc.NewMaxOSD > 1000 {
			inc.NewMaxOSD = 1000
		}
		if m, err := base.Apply(inc); err == nil {
			if _, err := Decode(m.Encode()); err != nil {
				t.Fatal("Apply made a map that does not decode:", err)
			}
		}
	})
}
