package osdmon

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/service/servicetest"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// lines reads a gzipped file of one JSON document a line.
func lines[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	r := bufio.NewReader(z)
	for dec := json.NewDecoder(r); dec.More(); {
		var v T
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

type goldenInc struct {
	Epoch uint32
	Hex   string
}

// goldenCall is a command to a stock cluster with its answer.
type goldenCall struct {
	N      int
	Target string
	Cmd    string
	Ret    int32
	Outs   string
	Out    string
	OutHex string `json:"out_hex"`
	InHex  string `json:"in_hex"`
}

func (g goldenCall) prefix() string {
	var c struct{ Prefix string }
	_ = json.Unmarshal([]byte(g.Cmd), &c)
	return c.Prefix
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stockCluster is the cluster of the golden calls at an epoch: every map of it
// was applied as a committed change, with the checksums of the stock monitor.
func stockCluster(t testing.TB, epoch uint32) (*servicetest.Host, *Service) {
	t.Helper()
	h := servicetest.New(t)
	s := New(h)
	h.Add(s)
	e1, err := os.ReadFile("testdata/osdmap-e1.bin")
	if err != nil {
		t.Fatal(err)
	}
	first := osdmap.NewIncremental([16]byte{}, 1)
	first.FullMap = e1
	h.Apply(s, wire.Marshal(change{Inc: first.Encode(osdmap.FullCRC(e1))}))
	h.Cluster = s.Map().FSID
	for _, g := range lines[goldenInc](t, "incrementals.jsonl.gz") {
		if g.Epoch <= epoch {
			h.Apply(s, wire.Marshal(change{Inc: unhex(t, g.Hex)}))
		}
	}
	if s.Map().Epoch != epoch {
		t.Fatalf("e%d, want e%d", s.Map().Epoch, epoch)
	}
	s.UseStats(goldenStats{})
	return h, s
}

// goldenStats are what the stock cluster knew.
type goldenStats struct{ noStats }

func (goldenStats) PoolUsage(pool int64) (objects, bytes int64, ok bool) {
	if pool == 7 { // snap2
		return 1, 3, true
	}
	return 0, 0, true
}

// Every map of a stock cluster's life, with the checksum that its monitor
// announced, can be read back.
func TestStockHistory(t *testing.T) {
	t.Parallel()
	h, s := stockCluster(t, 187)
	want := map[uint32]uint32{}
	for _, g := range lines[goldenInc](t, "incrementals.jsonl.gz") {
		inc, err := osdmap.DecodeIncremental(unhex(t, g.Hex))
		if err != nil {
			t.Fatal(err)
		}
		want[g.Epoch] = inc.FullCRC
	}
	check := func() {
		t.Helper()
		for e := uint32(2); e <= 187; e++ {
			full, err := s.fullMap(e)
			if err != nil {
				t.Fatal(err)
			}
			if crc := osdmap.FullCRC(full); crc != want[e] {
				t.Fatalf("e%d: crc %08x, want %08x", e, crc, want[e])
			}
		}
	}
	check()
	h.Reload(s)
	check()
	if _, err := s.fullMap(188); err == nil {
		t.Error("a map of the future")
	}
}

// unknown are the commands whose answers depend on what the vectors lack: the
// metadata of the stock OSDs.
var unknown = []string{"osd metadata", "osd find", "osd count-metadata", "osd versions", "osd numa-status"}

// differ says in which answers ours is another one than the stock cluster's.
var differ = map[int]string{
	507: "erasure-coded pools are refused",
	537: "and so was the pool that this removes",
	563: "and its rule is not there",
	593: "stock monitors leave this to the manager; here they are one",
	594: "likewise",
	595: "likewise",
	578: "stock lists a hash table in its order, we sort",
}

func TestStockReads(t *testing.T) {
	t.Parallel()
	h, s := stockCluster(t, 131)
	h.Clock = s.Map().LastUpChange.Add(3*time.Minute + 30*time.Second)
	n := 0
	for _, g := range lines[goldenCall](t, "commands.jsonl.gz") {
		c, err := command.Parse([]string{g.Cmd})
		if err != nil || g.Target != "mon" {
			continue
		}
		e := h.Find(c.Prefix)
		if e == nil || g.N >= 500 || g.Ret == 0 && slices.Contains(unknown, c.Prefix) {
			continue
		}
		n++
		compare(t, g, h.JSON(g.Cmd, nil))
	}
	if n < 150 {
		t.Errorf("only %d calls compared", n)
	}
}

func compare(t *testing.T, g goldenCall, r command.Reply) {
	t.Helper()
	if -int32(r.Errno) != g.Ret || r.Status != g.Outs {
		t.Errorf("#%d %s\n got %d %q\nwant %d %q", g.N, g.Cmd, -int32(r.Errno), r.Status, g.Ret, g.Outs)
	}
	want := []byte(g.Out)
	if g.OutHex != "" {
		want = unhex(t, g.OutHex)
	}
	got := r.Output
	if len(want) == 1<<16 {
		got = got[:min(len(got), 1<<16)]
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("#%d %s: output differs at %d\n got %q\nwant %q", g.N, g.Cmd, at, clip(got, at), clip(want, at))
	}
}

// TestStockWrites gives the commands that changed the stock cluster, in their
// order, to a map like the one it had then.
func TestStockWrites(t *testing.T) {
	t.Parallel()
	h, s := stockCluster(t, 131)
	h.Options["mon_allow_pool_delete"] = "true"
	h.Options["mon_allow_pool_size_one"] = "true"
	h.Options["osd_pool_default_pg_autoscale_mode"] = "off"
	for o := range s.Map().MaxOSD {
		s.meta[o] = map[string]string{SplitKey: "true"}
	}
	n := 0
	for _, g := range lines[goldenCall](t, "commands.jsonl.gz") {
		if h.Find(g.prefix()) == nil || g.N < 500 || g.N > 627 || g.Target != "mon" {
			continue
		}
		n++
		if at, ok := stampOf(g.Outs); ok {
			h.Clock = at
		}
		r := h.JSON(g.Cmd, nil)
		if differ[g.N] == "" {
			compare(t, g, r)
		}
		if g.N == 504 {
			samePool(t, s.Map().Pools[9])
		}
	}
	if n < 90 {
		t.Errorf("only %d calls compared", n)
	}
}

// samePool compares the pool that the first call makes with that of the stock
// cluster, byte for byte but for its birthday.
func samePool(t *testing.T, got *osdmap.Pool) {
	t.Helper()
	_, stock := stockCluster(t, 132)
	want := stock.Map().Pools[9].Clone()
	if want.CreateTime.IsZero() || got.CreateTime.IsZero() {
		t.Error("no create_time")
	}
	want.CreateTime = got.CreateTime
	if !bytes.Equal(wire.Marshal(got), wire.Marshal(want)) {
		t.Errorf("new pool:\n got %s\nwant %s", got.Text(), want.Text())
	}
}

// stampOf returns when a blocklist entry of the golden calls was made.
func stampOf(words string) (time.Time, bool) {
	_, rest, ok := strings.Cut(words, " until ")
	stamp, span, ok2 := strings.Cut(rest, " (")
	if !ok || !ok2 {
		return time.Time{}, false
	}
	at, err := time.Parse("2006-01-02T15:04:05.000000-0700", stamp)
	sec, err2 := time.ParseDuration(strings.Fields(span)[0] + "s")
	return at.Add(-sec), err == nil && err2 == nil
}

func clip(b []byte, at int) string { return string(b[max(0, at-60):min(len(b), at+200)]) }
