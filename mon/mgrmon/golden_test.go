package mgrmon

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// golden is one call of testdata/commands.jsonl.gz: what the monitor and the
// manager of a stock cluster answered. The reports that its OSDs must have sent
// are made of the answers, so what is tested is how they are added up and shown.
type golden struct {
	Target string
	Cmd    string
	Ret    int32
	Outs   string
	Out    string

	call *command.Call
}

func goldens(t *testing.T, target string) []golden {
	t.Helper()
	f, err := os.Open("testdata/commands.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	for dec := json.NewDecoder(z); dec.More(); {
		var g golden
		if err := dec.Decode(&g); err != nil {
			t.Fatal(err)
		}
		if g.call, err = command.Parse([]string{g.Cmd}); err != nil {
			t.Fatal(err)
		}
		if g.Target == target {
			all = append(all, g)
		}
	}
	return all
}

func output(t *testing.T, all []golden, cmd string) string {
	t.Helper()
	i := slices.IndexFunc(all, func(g golden) bool { return g.Cmd == cmd })
	if i < 0 {
		t.Fatalf("no golden answer to %s", cmd)
	}
	return all[i].Out
}

// stockGroup is a group as "pg ls" shows it.
type stockGroup struct {
	PGID           string `json:"pgid"`
	Version        string
	ReportedSeq    uint64 `json:"reported_seq"`
	ReportedEpoch  uint32 `json:"reported_epoch"`
	State          string
	LastFresh      string `json:"last_fresh"`
	LastChange     string `json:"last_change"`
	LastActive     string `json:"last_active"`
	LastPeered     string `json:"last_peered"`
	LastClean      string `json:"last_clean"`
	LastUnstale    string `json:"last_unstale"`
	LastUndegraded string `json:"last_undegraded"`
	LastFullsized  string `json:"last_fullsized"`
	MappingEpoch   uint32 `json:"mapping_epoch"`
	LogStart       string `json:"log_start"`
	OndiskLogStart string `json:"ondisk_log_start"`
	Created        uint32
	LastEpochClean uint32           `json:"last_epoch_clean"`
	LastScrub      string           `json:"last_scrub"`
	ScrubStamp     string           `json:"last_scrub_stamp"`
	LastDeepScrub  string           `json:"last_deep_scrub"`
	DeepStamp      string           `json:"last_deep_scrub_stamp"`
	CleanScrub     string           `json:"last_clean_scrub_stamp"`
	LogSize        int64            `json:"log_size"`
	SnapTrimQueue  uint32           `json:"snaptrimq_len"`
	Objects        map[string]int64 `json:"stat_sum"`
	Up, Acting     []int32
	BlockedBy      []int32 `json:"blocked_by"`
	UpPrimary      int32   `json:"up_primary"`
	ActingPrimary  int32   `json:"acting_primary"`
}

func stamp(t *testing.T, s string) time.Time {
	t.Helper()
	if s == "" || s == "0.000000" {
		return time.Time{}
	}
	at, err := time.Parse("2006-01-02T15:04:05.000000-0700", s)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

func version(t *testing.T, s string) (v object.Version) {
	t.Helper()
	if _, err := fmt.Sscanf(s, "%d'%d", &v.Epoch, &v.Version); err != nil {
		t.Fatalf("version %q: %v", s, err)
	}
	return v
}

func state(t *testing.T, s string) (out msg.PGState) {
	t.Helper()
	for _, name := range strings.Split(s, "+") {
		bit, ok := parseState(name)
		if !ok {
			t.Fatalf("state %q", s)
		}
		out |= bit
	}
	return out
}

// objects is the inverse of dumpObjects.
func objects(t *testing.T, fields map[string]int64) (o msg.ObjectStats) {
	t.Helper()
	for name, p := range map[string]*int64{
		"num_bytes": &o.Bytes, "num_objects": &o.Objects, "num_object_copies": &o.Copies, "num_objects_misplaced": &o.Misplaced,
		"num_objects_dirty": &o.Dirty, "num_read": &o.Reads, "num_read_kb": &o.ReadKB, "num_write": &o.Writes, "num_write_kb": &o.WriteKB,
		"num_objects_omap": &o.Omap, "num_omap_bytes": &o.OmapBytes, "num_omap_keys": &o.OmapKeys, "num_object_clones": &o.Clones,
	} {
		*p = fields[name]
		delete(fields, name)
	}
	for name, n := range fields {
		if n != 0 {
			t.Fatalf("%s is %d: take it over", name, n)
		}
	}
	return o
}

func (g *stockGroup) stat(t *testing.T) msg.PGStat {
	t.Helper()
	pg, err := object.ParsePG(g.PGID)
	if err != nil {
		t.Fatal(err)
	}
	return msg.PGStat{
		PG: pg, Version: version(t, g.Version), ReportedSeq: g.ReportedSeq, ReportedEpoch: g.ReportedEpoch, State: state(t, g.State),
		LogStart: version(t, g.LogStart), OndiskLogStart: version(t, g.OndiskLogStart), Created: g.Created, LastEpochClean: g.LastEpochClean,
		LastFresh: stamp(t, g.LastFresh), LastChange: stamp(t, g.LastChange), LastActive: stamp(t, g.LastActive), LastPeered: stamp(t, g.LastPeered),
		LastClean: stamp(t, g.LastClean), LastUnstale: stamp(t, g.LastUnstale), LastUndegraded: stamp(t, g.LastUndegraded), LastFullsized: stamp(t, g.LastFullsized),
		LastScrub: version(t, g.LastScrub), LastDeepScrub: version(t, g.LastDeepScrub),
		LastScrubStamp: stamp(t, g.ScrubStamp), LastDeepStamp: stamp(t, g.DeepStamp), LastCleanScrub: stamp(t, g.CleanScrub),
		LogSize: g.LogSize, Objects: objects(t, g.Objects), Up: g.Up, Acting: g.Acting, UpPrimary: g.UpPrimary, ActingPrimary: g.ActingPrimary,
		MappingEpoch: g.MappingEpoch, SnapTrimQueue: g.SnapTrimQueue, BlockedBy: g.BlockedBy,
	}
}

// cutGroups reads the groups of a document that was cut somewhere.
func cutGroups(t *testing.T, text string) []stockGroup {
	t.Helper()
	_, list, ok := strings.Cut(text, `"pg_stats":`)
	if !ok {
		t.Fatal("no pg_stats")
	}
	dec := json.NewDecoder(strings.NewReader(list))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var all []stockGroup
	for dec.More() {
		var g stockGroup
		if dec.Decode(&g) != nil {
			break
		}
		all = append(all, g)
	}
	return all
}

func osdList32(t *testing.T, s string) (out []int32) {
	t.Helper()
	s = strings.ReplaceAll(s, "NONE", fmt.Sprint(osdmap.NoOSD))
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return out
}

// stockGroups are the groups when the manager was asked. All of them are in the
// table of "pg dump", with fewer fields; what the pools count beyond what is
// known of groups is taken for that of a group about which little is known.
func stockGroups(t *testing.T, all []golden) map[object.PG]msg.PGStat {
	t.Helper()
	groups := map[object.PG]msg.PGStat{}
	table, _, _ := strings.Cut(output(t, all, `{"prefix": "pg dump"}`), "OSD_STAT")
	for l := range strings.Lines(table) {
		c := strings.Fields(l)
		if len(c) != 24 || c[0] == "PG_STAT" {
			continue
		}
		pg, err := object.ParsePG(c[0])
		if err != nil {
			t.Fatal(err)
		}
		g := msg.PGStat{
			PG: pg, LogSize: number(t, c[9]), State: state(t, c[11]), LastChange: stamp(t, c[12]), Version: version(t, c[13]),
			Up: osdList32(t, c[15]), UpPrimary: int32(number(t, c[16])), Acting: osdList32(t, c[17]), ActingPrimary: int32(number(t, c[18])),
			LastScrub: version(t, c[19]), LastScrubStamp: stamp(t, c[20]), LastDeepScrub: version(t, c[21]), LastDeepStamp: stamp(t, c[22]),
		}
		g.LastActive, g.LastClean = g.LastChange, g.LastChange // or later
		g.Objects.Objects, g.Objects.Misplaced, g.Objects.Bytes = number(t, c[1]), number(t, c[4]), number(t, c[6])
		if _, err := fmt.Sscanf(c[14], "%d:%d", &g.ReportedEpoch, &g.ReportedSeq); err != nil {
			t.Fatal(err)
		}
		groups[pg] = g
	}
	whole := map[object.PG]bool{}
	for _, cmd := range []string{`{"prefix": "pg dump", "format": "json"}`, `{"prefix": "pg ls", "format": "json"}`, `{"prefix": "pg ls-by-pool", "poolstr": "rbd", "format": "json"}`} {
		for _, g := range cutGroups(t, output(t, all, cmd)) {
			st := g.stat(t)
			whole[st.PG], groups[st.PG] = true, st
		}
	}
	var pools struct {
		Pools []struct {
			ID      int64            `json:"poolid"`
			Objects map[string]int64 `json:"stat_sum"`
		} `json:"pool_stats"`
	}
	decode(t, output(t, all, `{"prefix": "pg dump", "dumpcontents": ["pools"], "format": "json"}`), &pools)
	for _, p := range pools.Pools {
		rest := objects(t, p.Objects)
		var poor *object.PG
		for pg, g := range groups {
			if pg.Pool == p.ID {
				rest.Sub(&g.Objects)
				if !whole[pg] && (poor == nil || pg.Seed < poor.Seed) {
					poor = &pg
				}
			}
		}
		if rest.Objects != 0 || rest.Bytes != 0 {
			t.Fatalf("pool %d: %d objects, %d bytes are not those of its groups", p.ID, rest.Objects, rest.Bytes)
		}
		if poor != nil {
			g := groups[*poor]
			g.Objects.Add(&rest)
			groups[*poor] = g
		} else if rest != (msg.ObjectStats{}) {
			t.Fatalf("pool %d is not the sum of its groups: %+v", p.ID, rest)
		}
	}
	return groups
}

func number(t *testing.T, s string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return n
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatal(err)
	}
}

// stockSpace is store_statfs_t.
type stockSpace struct {
	Total, Available, Allocated int64
	Reserved                    int64 `json:"internally_reserved"`
	Stored                      int64 `json:"data_stored"`
	Compressed                  int64 `json:"data_compressed"`
	CompressedAllocated         int64 `json:"data_compressed_allocated"`
	CompressedOrig              int64 `json:"data_compressed_original"`
	Omap                        int64 `json:"omap_allocated"`
	Metadata                    int64 `json:"internal_metadata"`
}

func (s stockSpace) stats() msg.StoreStats {
	return msg.StoreStats{
		Total: s.Total, Available: s.Available, InternallyReserved: s.Reserved, Allocated: s.Allocated, Stored: s.Stored, Compressed: s.Compressed,
		CompressedAllocated: s.CompressedAllocated, CompressedOrig: s.CompressedOrig, OmapAllocated: s.Omap, InternalMetadata: s.Metadata,
	}
}

// stockManager is the cluster as its manager saw it.
func stockManager(t *testing.T, all []golden) *world {
	t.Helper()
	w := newWorld(t, readMap(t, "osdmap-182.bin"))
	w.now = stamp(t, "2026-11-20T12:23:18.017742+0000")
	var osds struct {
		OSDs []struct {
			OSD    int32
			UpFrom uint32 `json:"up_from"`
			Seq    uint64
			PGs    uint32     `json:"num_pgs"`
			Peers  []int32    `json:"hb_peers"`
			Space  stockSpace `json:"statfs"`
			Perf   struct {
				Commit uint32 `json:"commit_latency_ms"`
				Apply  uint32 `json:"apply_latency_ms"`
			} `json:"perf_stat"`
		} `json:"osd_stats"`
		Pools []struct {
			Pool int64 `json:"poolid"`
			OSD  int32
			stockSpace
		} `json:"pool_statfs"`
	}
	decode(t, output(t, all, `{"prefix": "pg dump", "dumpcontents": ["osds"], "format": "json"}`), &osds)
	groups := stockGroups(t, all)
	for _, o := range osds.OSDs {
		r := &msg.OSDReport{ID: o.OSD, Epoch: w.m.Epoch, Stat: msg.OSDStat{
			Seq: o.Seq, UpFrom: o.UpFrom, Store: o.Space.stats(), PGs: o.PGs, CommitLatencyMS: o.Perf.Commit, ApplyLatencyMS: o.Perf.Apply,
			Peers: o.Peers,
		}}
		for _, p := range osds.Pools {
			if p.OSD == o.OSD {
				r.Pools = append(r.Pools, msg.PoolUsage{Pool: p.Pool, Store: p.stats()})
			}
		}
		for _, g := range groups {
			if g.ActingPrimary == o.OSD {
				r.PGs = append(r.PGs, g)
			}
		}
		w.report(r)
	}
	// As many samples as the stock manager had taken.
	w.s.pgs.version, w.s.pgs.stamp = 3, w.now
	return w
}

// notReported are members that Pulpo's OSDs do not tell.
var notReported = []string{
	"last_became_active", "last_became_peered", "avail_no_missing", "object_location_counts", "network_ping_times",
}

// canonical renders a document without blanks and without what is not reported,
// its lists sorted: Ceph lists by the order of hash tables.
func canonical(t *testing.T, text string) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var value func() string
	value = func() string {
		tok, err := dec.Token()
		if err != nil {
			t.Fatalf("%v in %.200s", err, text)
		}
		switch tok := tok.(type) {
		case json.Delim:
			var parts []string
			for dec.More() {
				if tok == '[' {
					parts = append(parts, value())
					continue
				}
				key, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				if v := value(); !slices.Contains(notReported, key.(string)) {
					parts = append(parts, fmt.Sprintf("%q:%s", key, v))
				}
			}
			if _, err := dec.Token(); err != nil {
				t.Fatal(err)
			}
			if tok == '[' {
				// Lists of numbers are in an order that matters.
				if len(parts) > 0 && strings.HasPrefix(parts[0], "{") {
					slices.Sort(parts)
				}
				return "[" + strings.Join(parts, ",\n") + "]"
			}
			return "{" + strings.Join(parts, ",\n") + "}"
		case string:
			return fmt.Sprintf("%q", tok)
		}
		return fmt.Sprint(tok)
	}
	return value()
}

// sortedLines is for tables, whose rows are in the order of hash tables, and for
// pretty documents.
func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, ",")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			return fmt.Sprintf("line %d:\n got %q\nwant %q", i+1, a, b)
		}
	}
	return "no difference"
}

// unordered are the commands that list by the order of hash tables.
var unordered = []string{"pg dump", "osd perf"}

// Every answer of the stock manager is repeated byte by byte, lists by hash
// order aside, and what was cut up to the cut.
func TestManagerAnswersAsStock(t *testing.T) {
	t.Parallel()
	all := goldens(t, "mgr")
	full := stockManager(t, all)
	young := newWorld(t, readMap(t, "osdmap-182.bin"))
	tested := 0
	for _, g := range all {
		c, w := g.call, full
		switch {
		case c.Prefix == "osd df" && c.Format == command.Plain && !c.Has("output_method"):
			w = young // this was the first call: the manager had no numbers yet
		case len(g.Out) == 65536 && (c.Prefix == "pg dump" || c.Format == command.JSONPretty):
			continue // cut, and in another order, or without the members that are not reported
		}
		t.Run(g.Cmd, func(t *testing.T) {
			r := w.run(g.Cmd)
			if int32(r.Errno) != -g.Ret || r.Status != g.Outs {
				t.Errorf("%d %q, want %d %q", -r.Errno, r.Status, g.Ret, g.Outs)
			}
			got, want := string(r.Output), g.Out
			switch {
			case len(want) == 65536:
				got, want = canonicalGroups(t, got), canonicalGroups(t, want)
				got = got[:min(len(got), len(want))]
			case slices.Contains(unordered, c.Prefix) && c.Format == command.JSON:
				if len(got) > 0 && bytes.HasSuffix(r.Output, []byte("\n}")) != strings.HasSuffix(want, "\n}") {
					t.Error("the end is another one")
				}
				got, want = canonical(t, got), canonical(t, want)
			case slices.Contains(unordered, c.Prefix) && c.Format == command.JSONPretty && strings.Contains(want, "network_ping_times"):
				got, want = canonical(t, got), canonical(t, want)
			case slices.Contains(unordered, c.Prefix):
				got, want = sortedLines(got), sortedLines(want)
			}
			if got != want {
				t.Error(firstDifference(got, want))
			}
		})
		tested++
	}
	if tested < 74 {
		t.Errorf("only %d answers tested", tested)
	}
}

// canonicalGroups is canonical for the list of groups in a document that was cut.
func canonicalGroups(t *testing.T, text string) string {
	t.Helper()
	_, list, _ := strings.Cut(text, `"pg_stats":[`)
	var out strings.Builder
	dec := json.NewDecoder(strings.NewReader("[" + list))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		var g json.RawMessage
		if dec.Decode(&g) != nil {
			break
		}
		out.WriteString(canonical(t, string(g)) + "\n")
	}
	return out.String()
}

// stockMonitor is the cluster some minutes earlier, as its monitor saw it. What
// the groups of a pool have in sum is given to the first of them.
func stockMonitor(t *testing.T, all []golden) *world {
	t.Helper()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	var df struct {
		Classes map[string]struct {
			Total     int64 `json:"total_bytes"`
			Available int64 `json:"total_avail_bytes"`
		} `json:"stats_by_class"`
		Pools []struct {
			ID    int64
			Stats struct {
				Objects, Rd, Wr int64
				Used            int64 `json:"bytes_used"`
				RdBytes         int64 `json:"rd_bytes"`
				WrBytes         int64 `json:"wr_bytes"`
				StoredRaw       int64 `json:"stored_raw"`
			}
		}
	}
	decode(t, output(t, all, `{"prefix": "df", "detail": "detail", "format": "json"}`), &df)
	var pools []struct {
		ID       int64 `json:"pool_id"`
		Recovery struct {
			Misplaced int64 `json:"misplaced_objects"`
		}
	}
	decode(t, output(t, all, `{"prefix": "osd pool stats", "format": "json"}`), &pools)
	misplaced := map[int64]int64{}
	for _, p := range pools {
		misplaced[p.ID] = p.Recovery.Misplaced
	}
	var status struct {
		PGMap struct {
			Bytes  int64 `json:"data_bytes"`
			States []struct {
				Name  string `json:"state_name"`
				Count int
			} `json:"pgs_by_state"`
		}
	}
	decode(t, output(t, all, `{"prefix": "status", "format": "json"}`), &status)
	var states []msg.PGState
	for _, s := range status.PGMap.States {
		states = append(states, slices.Repeat([]msg.PGState{state(t, s.Name)}, s.Count)...)
	}

	inClass := map[string]int64{}
	for o := range w.m.MaxOSD {
		inClass[w.m.Crush.ClassOf(o)]++
	}
	for o := range w.m.MaxOSD {
		class := df.Classes[w.m.Crush.ClassOf(o)]
		n := inClass[w.m.Crush.ClassOf(o)]
		r := &msg.OSDReport{ID: o, Epoch: w.m.Epoch, Stat: msg.OSDStat{Seq: 1, Store: msg.StoreStats{Total: class.Total / n, Available: class.Available / n}}}
		if o > 0 {
			w.report(r)
			continue
		}
		for _, p := range df.Pools {
			mp := w.m.Pools[p.ID]
			r.Pools = append(r.Pools, msg.PoolUsage{Pool: p.ID, Store: msg.StoreStats{Allocated: p.Stats.Used, Stored: p.Stats.StoredRaw}})
			for i := range mp.PGNum {
				g := msg.PGStat{PG: object.PG{Pool: p.ID, Seed: i}, State: states[0], ReportedEpoch: w.m.Epoch, Up: []int32{0}, Acting: []int32{0}}
				states = states[1:]
				if i == 0 {
					g.Objects = msg.ObjectStats{
						Objects: p.Stats.Objects, Copies: p.Stats.Objects * int64(mp.Size), Misplaced: misplaced[p.ID],
						Reads: p.Stats.Rd, ReadKB: p.Stats.RdBytes >> 10, Writes: p.Stats.Wr, WriteKB: p.Stats.WrBytes >> 10,
					}
					if p.ID == 1 {
						g.Objects.Bytes = status.PGMap.Bytes // of all pools: it is not shown of single ones
					}
				}
				r.PGs = append(r.PGs, g)
			}
		}
		w.report(r)
	}
	if len(states) > 0 {
		t.Fatalf("%d groups too few", len(states))
	}
	return w
}

// The monitor's own answers about space and groups.
func TestMonitorAnswersAsStock(t *testing.T) {
	t.Parallel()
	all := goldens(t, "mon")
	w := stockMonitor(t, all)
	tested := 0
	for _, g := range all {
		switch g.call.Prefix {
		case "df", "pg stat", "osd pool stats":
		default:
			continue
		}
		t.Run(g.Cmd, func(t *testing.T) {
			r := w.run(g.Cmd)
			if int32(r.Errno) != -g.Ret || r.Status != g.Outs {
				t.Errorf("%d %q, want %d %q", -r.Errno, r.Status, g.Ret, g.Outs)
			}
			if got := string(r.Output); got != g.Out {
				t.Error(firstDifference(got, g.Out))
			}
		})
		tested++
	}
	if tested != 12 {
		t.Errorf("%d answers tested", tested)
	}
}

// The part of "ceph -s" that is made of the statistics.
func TestStatusAsStock(t *testing.T) {
	t.Parallel()
	all := goldens(t, "mon")
	w := stockMonitor(t, all)
	var lines []string
	for _, s := range w.s.StatusSections(w.now) {
		for _, l := range s.Lines {
			lines = append(lines, fmt.Sprintf("%s: %-9s%s", s.Name, l.Label, l.Text))
		}
	}
	text := output(t, all, `{"prefix": "status"}`)
	_, data, _ := strings.Cut(text, "volumes: 1/1 healthy\n")
	var want []string
	for l := range strings.Lines(data) {
		if l = strings.TrimSpace(l); l != "" {
			label, rest, ok := strings.Cut(l, ":")
			if !ok {
				label, rest = "", l
			}
			want = append(want, fmt.Sprintf("data: %-9s%s", label, strings.TrimSpace(rest)))
		}
	}
	if got, want := strings.Join(lines, "\n"), strings.Join(want, "\n"); got != want {
		t.Error(firstDifference(got, want))
	}

	var f jsonfmt.Formatter
	f.Object("", func() { w.s.StatusDump(&f, w.now) })
	got := strings.TrimPrefix(f.JSON(), "{")
	_, want1, _ := strings.Cut(output(t, all, `{"prefix": "status", "format": "json"}`), `"pgmap":`)
	want1, _, _ = strings.Cut(want1, `,"fsmap"`)
	if want := `"pgmap":` + want1 + "}"; got != want {
		t.Error(firstDifference(got, want))
	}
}
