package moves

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/rados"
)

func TestMain(m *testing.M) { os.Exit(binary.Main(m)) }

// poolID is that of the pool on both clusters: the groups of another would be
// elsewhere.
const (
	poolID   = 8
	poolName = "moves"
	pgNum    = 32
)

// move is what an operator does, as lines for the ceph tool.
type move struct {
	lines string
	// held: recovery does not go on; what is compared is what there is to do.
	held bool
}

// sections are moves that belong together. Each ends where it began, so that one
// can be run alone; the last does not.
var sections = []struct {
	name  string
	moves []move
}{
	{"osds", []move{
		{lines: "osd out 1"},
		{lines: "osd in 1"},
		{lines: "osd down 2"},
		{lines: "osd down 0 3"},
		{lines: "osd reweight 3 0.5"},
		{lines: "osd reweight 3 1"},
	}},
	{"crush", []move{
		{lines: "osd crush reweight osd.0 0.5"},
		{lines: "osd crush reweight osd.0 1"},
		{lines: "osd crush move osd.1 host=h3"},
		{lines: "osd crush add-bucket h4 host\nosd crush move h4 root=default\nosd crush move osd.3 host=h4"},
		{lines: "osd crush move osd.3 host=h2\nosd crush rm h4\nosd crush move osd.1 host=h1"},
		{lines: "osd crush swap-bucket h1 h3 --yes-i-really-mean-it"},
		{lines: "osd crush swap-bucket h1 h3 --yes-i-really-mean-it"},
	}},
	{"weights", []move{
		{lines: "osd crush set osd.1 0.7 host=h2"},
		{lines: "osd crush create-or-move osd.1 1 host=h1\nosd crush set osd.1 1 host=h1"},
		{lines: "osd crush weight-set create-compat\nosd crush weight-set reweight-compat osd.0 0.5"},
		{lines: "osd crush weight-set rm-compat"},
		{lines: `osd reweightn {"0":32768,"2":49152}`},
		{lines: `osd reweightn {"0":65536,"2":65536}`},
		{lines: "osd crush rule create-replicated apart default osd\nosd pool set moves crush_rule apart"},
		{lines: "osd pool set moves crush_rule replicated_rule\nosd crush rule rm apart"},
		{lines: "osd set-group noout,noin h1 osd.4"},
		{lines: "osd unset-group noout,noin h1 osd.4"},
	}},
	{"upmap", []move{
		{lines: "osd pg-upmap-items 8.0 0 1 1 0 2 3 3 2\nosd pg-upmap-items 8.3 0 1 1 0 2 3 3 2\nosd pg-upmap-items 8.1f 0 4"},
		{lines: "osd pg-upmap 8.5 1 3\nosd pg-upmap 8.6 4 0"},
		{lines: "osd out 3"}, // upmap exceptions to it go
		{lines: "osd in 3\nosd rm-pg-upmap-items 8.0\nosd rm-pg-upmap-items 8.3\nosd rm-pg-upmap-items 8.1f\nosd rm-pg-upmap 8.5\nosd rm-pg-upmap 8.6"},
	}},
	{"primary", []move{
		{lines: "osd primary-affinity 0 0\nosd primary-affinity 2 0.5"},
		{lines: "osd primary-affinity 0 1\nosd primary-affinity 2 1"},
		{lines: "osd primary-temp 8.9 4"},
		{lines: "osd primary-temp 8.9 -1"}, // no client takes that
		{lines: "osd primary-temp 8.9 0"},  // as without it, so it goes
		{lines: "osd pg-temp 8.9 2 1"},     // they have nothing of it
		{lines: "osd pg-temp 8.9 2 1\nosd pg-temp 8.9"},
		{lines: "pg repeer 8.9"},
	}},
	{"size", []move{
		{lines: "osd pool set moves size 3\nosd pool set moves min_size 2"},
		{lines: "osd pool set moves min_size 3"},
		{lines: "osd pool set moves size 2\nosd pool set moves min_size 1"},
	}},
	// What is seen while it goes on.
	{"held", []move{
		{lines: "osd set norecover\nosd set nobackfill", held: true},
		{lines: "osd out 2", held: true},
		{lines: "osd unset norecover\nosd unset nobackfill"},
		{lines: "osd in 2"},
		{lines: "osd set noout\nosd set noup\nosd down 1", held: true},
		{lines: "osd down 0", held: true}, // with it a whole host
		{lines: "osd unset noup\nosd unset noout"},
		{lines: "osd set norebalance\nosd pool set moves size 3\nosd pool set moves min_size 1", held: true},
		{lines: "osd unset norebalance\nosd pool set moves size 2\nosd pool set moves min_size 1"},
	}},
	// A host drained, then an OSD gone for good.
	{"drain", []move{
		{lines: "osd crush reweight-subtree h2 0"},
		{lines: "osd crush reweight-subtree h2 1"},
		{lines: "osd out 4"},
		{lines: "osd safe-to-destroy 4\nosd ok-to-stop 4\nosd set noup\nosd down 4", held: true},
		{lines: "osd destroy 4 --yes-i-really-mean-it", held: true},
		// With noup still set: the process of a purged OSD runs on, and a stock monitor
		// takes it back as a new one while it has not forgotten its session.
		{lines: "osd purge 4 --yes-i-really-mean-it\nosd crush rm h3"},
		{lines: "osd pool set moves size 3\nosd pool set moves min_size 1", held: true}, // there are two hosts
		{lines: "osd pool set moves size 2\nosd pool set moves min_size 1\nosd out 0"},
	}},
}

// setUp makes the clusters alike, as far as they can be. What they decide by how
// much has been written is taken out: whether members that lack much act while they
// recover, and lead, as they do here; and how far logs reach back, for who lacks more
// than that is filled (here logs are shorter).
const setUp = `balancer off
device monitoring off
osd set-require-min-compat-client luminous
config set mon mon_allow_pool_delete true
config set global mon_warn_on_pool_no_redundancy false
config set global osd_pool_default_pg_autoscale_mode off
config set global osd_recovery_sleep_hdd 0
config set osd osd_async_recovery_min_cost 1000000
config set osd osd_force_auth_primary_missing_objects 1000000
config set osd osd_min_pg_log_entries 4000
osd setcrushmap -i testdata/crush.bin
`

// patience bounds the wait for a state; a stock cluster takes 10 s for some.
const patience = 4 * time.Minute

func TestSoakMoves(t *testing.T) {
	binary.SoakRounds(t)
	peer.Require(t, "crushtool")
	crush := filepath.Join(t.TempDir(), "crush.bin")
	if out, err := exec.Command("/usr/bin/crushtool", "-c", "testdata/crush.txt", "-o", crush).CombinedOutput(); err != nil {
		t.Fatalf("crushtool: %v\n%s", err, out)
	}
	sides := []*side{{name: "stock"}, {name: "here"}}
	both := func(t *testing.T, f func(s *side)) {
		t.Helper()
		var wg sync.WaitGroup
		for _, s := range sides {
			wg.Go(func() {
				// What fails says so in err: FailNow is for the test's own goroutine.
				if s.err == nil {
					f(s)
				}
			})
		}
		wg.Wait()
		for _, s := range sides {
			if s.err != nil {
				t.Fatalf("%s: %v", s.name, s.err)
			}
		}
	}
	sides[0].conf = peer.Conf(t, "--osds", "5", "--memstore")
	dir := binary.Dir(t)
	binary.Up(t, dir, "--osds", "5")
	sides[1].conf = binary.Conf(dir)
	t.Cleanup(func() {
		for _, s := range sides {
			s.end()
		}
	})
	both(t, func(s *side) { s.prepare(t, crush) })

	moved, mapped := 0, 0
	for _, sec := range sections {
		t.Run(sec.name, func(t *testing.T) {
			for _, m := range sec.moves {
				both(t, func(s *side) { s.do(t, m) })
				took := [2]time.Duration{sides[0].took, sides[1].took}
				t.Logf("%-60q %v there, %v here", m.lines, took[0].Round(100*time.Millisecond), took[1].Round(100*time.Millisecond))
				for deadline := time.Now().Add(agreement); differ(sides) && time.Now().Before(deadline); {
					both(t, func(s *side) { s.wait(t, m) })
				}
				compare(t, m.lines, sides[0].seen, sides[1].seen)
				moved += strings.Count(m.lines, "\n") + 1
				mapped += pgNum
			}
		})
	}
	t.Logf("%d commands, after which %d mappings of groups were compared", moved, mapped)
	for _, s := range sides {
		out, err := s.endLoad()
		if err != nil {
			t.Errorf("load on %s: %v\n%s", s.name, err, out)
			continue
		}
		t.Logf("load on %s: %s", s.name, out)
	}
}

// agreement is how long what is seen on the clusters may differ: figures and checks
// come with reports, which are seconds apart.
const agreement = 30 * time.Second

// differ reports whether it does.
func differ(sides []*side) bool { return !reflect.DeepEqual(sides[0].seen, sides[1].seen) }

// compare reports in what two clusters differ.
func compare(t *testing.T, what string, stock, here map[string]any) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(stock)) {
		if !reflect.DeepEqual(stock[k], here[k]) {
			t.Errorf("after %q: %s:\nstock %v\nhere  %v", what, k, stock[k], here[k])
		}
	}
}

// side is one of the clusters.
type side struct {
	name, conf string
	cluster    *rados.Cluster
	load       *exec.Cmd
	loadOut    bytes.Buffer
	stop       func() error
	err        error
	took       time.Duration
	seen       map[string]any // after the last move
}

func (s *side) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// ceph runs the stock tool.
func (s *side) ceph(t *testing.T, line string) (out string, code int) {
	cmd := exec.CommandContext(t.Context(), "/usr/bin/ceph", strings.Fields(line)...)
	cmd.Env = peer.Env(s.conf)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		s.fail("ceph %s: %v", line, err)
		return "", -1
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// ask asks the cluster for a document.
func (s *side) ask(t *testing.T, to rados.Target, into any, cmd map[string]any) bool {
	cmd["format"] = "json"
	r, err := s.cluster.Command(t.Context(), to, cmd, nil)
	if err == nil {
		err = json.Unmarshal(r.Data, into)
	}
	if err != nil {
		s.fail("%v: %v", cmd, err)
	}
	return err == nil
}

// prepare makes the cluster what the other one is, and begins the load.
func (s *side) prepare(t *testing.T, crush string) {
	cluster, err := rados.ConnectFile(t.Context(), s.conf)
	if err != nil {
		s.fail("%v", err)
		return
	}
	s.cluster = cluster
	for line := range strings.Lines(strings.ReplaceAll(setUp, "testdata/crush.bin", crush)) {
		if out, code := s.ceph(t, line); code != 0 {
			s.fail("ceph %s: exit %d: %s", line, code, out)
			return
		}
	}
	var pools []struct {
		ID   int64  `json:"pool_id"`
		Name string `json:"pool_name"`
	}
	if !s.ask(t, rados.ToMons(), &pools, map[string]any{"prefix": "osd pool ls", "detail": "detail"}) {
		return
	}
	last := int64(0)
	for _, p := range pools {
		s.mon(t, map[string]any{"prefix": "osd pool delete", "pool": p.Name, "pool2": p.Name, "yes_i_really_really_mean_it": true})
		last = max(last, p.ID)
	}
	for ; last < poolID-1; last++ {
		s.mon(t, map[string]any{"prefix": "osd pool create", "pool": "filler", "pg_num": 1, "size": 2})
		s.mon(t, map[string]any{"prefix": "osd pool delete", "pool": "filler", "pool2": "filler", "yes_i_really_really_mean_it": true})
	}
	s.mon(t, map[string]any{"prefix": "osd pool create", "pool": poolName, "pg_num": pgNum, "size": 2, "autoscale_mode": "off"})
	s.mon(t, map[string]any{"prefix": "osd pool set", "pool": poolName, "var": "min_size", "val": "1"})
	s.mon(t, map[string]any{"prefix": "osd pool application enable", "pool": poolName, "app": "moves"})
	if s.err != nil {
		return
	}
	s.load = exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/load.py", poolName)
	s.load.Env = peer.Env(s.conf)
	s.load.Stdout, s.load.Stderr = &s.loadOut, &s.loadOut
	in, err := s.load.StdinPipe()
	if err == nil {
		err = s.load.Start()
	}
	if err != nil {
		s.load = nil
		s.fail("load: %v", err)
		return
	}
	s.stop = in.Close
	s.do(t, move{})
}

func (s *side) mon(t *testing.T, cmd map[string]any) {
	if s.err != nil {
		return
	}
	if _, err := s.cluster.Command(t.Context(), rados.ToMons(), cmd, nil); err != nil {
		s.fail("%v: %v", cmd, err)
	}
}

// endLoad ends the load, which checks all that it wrote.
func (s *side) endLoad() (string, error) {
	if s.load == nil {
		return "", nil
	}
	l := s.load
	s.load = nil
	s.stop()
	err := l.Wait()
	return s.loadOut.String(), err
}

func (s *side) end() {
	if s.load != nil {
		s.load.Process.Kill()
		s.load.Wait()
	}
	if s.cluster != nil {
		s.cluster.Close()
	}
}

// do makes a move and waits for its end.
func (s *side) do(t *testing.T, m move) {
	begin := time.Now()
	s.seen = map[string]any{}
	for line := range strings.Lines(m.lines) {
		line = strings.TrimSpace(line)
		out, code := s.ceph(t, line)
		s.seen["answer of "+line] = fmt.Sprintf("exit %d: %s", code, out)
	}
	s.wait(t, m)
	s.took = time.Since(begin)
}

// wait waits for the end of a move and takes down what is to be seen.
func (s *side) wait(t *testing.T, m move) {
	for deadline := time.Now().Add(patience); s.err == nil; time.Sleep(100 * time.Millisecond) {
		why := s.look(t, m.held)
		if why == "" {
			break
		}
		if time.Now().After(deadline) {
			s.fail("after %q: %s", m.lines, why)
		}
	}
}

// group is what "pg dump" says of a placement group.
type group struct {
	PGID          string  `json:"pgid"`
	State         string  `json:"state"`
	Up            []int32 `json:"up"`
	Acting        []int32 `json:"acting"`
	UpPrimary     int32   `json:"up_primary"`
	ActingPrimary int32   `json:"acting_primary"`
}

// busy are states that do not last.
var busy = regexp.MustCompile(`\b(peering|activating|unknown|creating|stale|laggy|wait)\b`)

// lasting are states that do not depend on what the load has written to since
// recovery was held.
var lasting = regexp.MustCompile(`\b(active|peered|down|incomplete|undersized|remapped)\b`)

// scrubs come and go as they like.
var scrubs = strings.NewReplacer("+scrubbing", "", "+deep", "")

// look takes down what is to be compared. It returns what is still to be waited
// for, if anything.
func (s *side) look(t *testing.T, held bool) string {
	m := s.osdmap(t)
	if m == nil {
		return "no map"
	}
	for o := range m.MaxOSD {
		if m.Exists(o) && !m.IsUp(o) && !m.HasFlag(osdmap.FlagNoUp) {
			return fmt.Sprintf("osd.%d is not up", o)
		}
	}
	var list []group
	var dump struct {
		Stats []group `json:"pg_stats"`
	}
	if !s.ask(t, rados.ToMgr(), &dump, map[string]any{"prefix": "pg dump", "dumpcontents": []string{"pgs_brief"}}) {
		return "no answer"
	}
	for _, g := range dump.Stats {
		if strings.HasPrefix(g.PGID, fmt.Sprint(poolID, ".")) {
			list = append(list, g)
		}
	}
	if len(list) != pgNum {
		return fmt.Sprintf("%d groups", len(list))
	}
	slices.SortFunc(list, func(a, b group) int { return strings.Compare(a.PGID, b.PGID) })
	copies := map[int32]int{}
	for i := range list {
		g := &list[i]
		g.State = scrubs.Replace(g.State)
		id, err := object.ParsePG(g.PGID)
		if err != nil {
			s.fail("%v", err)
		}
		to := m.PGToUpActing(id)
		switch {
		case !slices.Equal(to.Up, g.Up), !slices.Equal(to.Acting, g.Acting), to.ActingPrimary != g.ActingPrimary:
			return fmt.Sprintf("%v has not taken in %+v", *g, to)
		case !held && g.State != "active+clean":
			return fmt.Sprint(*g)
		case held && busy.MatchString(g.State):
			return fmt.Sprint(*g)
		}
		for _, o := range g.Acting {
			copies[o]++
		}
	}
	if !held {
		if why := s.strays(t, m, copies); why != "" {
			return why
		}
		if len(m.PGTemp) > 0 {
			return fmt.Sprintf("pg_temp %v", m.PGTemp)
		}
	}
	health, ok := s.health(t)
	if !ok {
		return "no health"
	}
	if !held {
		for code := range health {
			if strings.HasPrefix(code, "PG_") || strings.HasPrefix(code, "OBJECT_") {
				return fmt.Sprintf("health %v", health)
			}
		}
	}
	s.seen["health"] = health
	states := map[string]int{}
	for i := range list {
		states[list[i].State]++
		if held {
			list[i].State = strings.Join(lasting.FindAllString(list[i].State, -1), "+")
		}
	}
	s.seen["groups"] = list
	s.seen["tree"] = s.tree(t)
	for k, v := range s.mapParts(t) {
		s.seen["osd dump: "+k] = v
	}
	status, counted := s.status(t)
	if !maps.Equal(states, counted) {
		return fmt.Sprintf("status counts %v of %v", counted, states)
	}
	s.seen["status"] = status
	return ""
}

// osdmap is the newest map.
func (s *side) osdmap(t *testing.T) *osdmap.Map {
	r, err := s.cluster.Command(t.Context(), rados.ToMons(), map[string]any{"prefix": "osd getmap"}, nil)
	if err != nil {
		s.fail("osd getmap: %v", err)
		return nil
	}
	m, err := osdmap.Decode(r.Data)
	if err != nil {
		s.fail("osd getmap: %v", err)
		return nil
	}
	return m
}

// strays tells of copies of groups that are where none should be any more.
func (s *side) strays(t *testing.T, m *osdmap.Map, copies map[int32]int) string {
	for o := range m.MaxOSD {
		if !m.IsUp(o) {
			continue
		}
		var st struct {
			Groups int `json:"num_pgs"`
		}
		r, err := s.cluster.Command(t.Context(), rados.ToOSD(int(o)), map[string]any{"prefix": "status", "format": "json"}, nil)
		if err == nil {
			err = json.Unmarshal(r.Data, &st)
		}
		if err != nil {
			return fmt.Sprintf("osd.%d: %v", o, err) // it may be coming up
		}
		if st.Groups != copies[o] {
			return fmt.Sprintf("osd.%d has %d groups, by the map %d", o, st.Groups, copies[o])
		}
	}
	return ""
}

// counts are what the load changes: groups in which it has written to something that
// some member lacks are degraded.
var counts = regexp.MustCompile(`\d+/\d+ (objects?) (degraded|misplaced) \(\d+\.\d+%\)|\d+ pgs? (degraded)`)

// transient are checks that depend on how fast the machine is.
var transient = map[string]bool{"SLOW_OPS": true, "MON_CLOCK_SKEW": true, "OSD_SLOW_PING_TIME_BACK": true, "OSD_SLOW_PING_TIME_FRONT": true,
	"RECENT_CRASH": true, "MON_DISK_LOW": true, "POOL_APP_NOT_ENABLED": true, "TOO_FEW_PGS": true, "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED": true}

// health are the checks: severity and summary.
func (s *side) health(t *testing.T) (map[string]string, bool) {
	var h struct {
		Checks map[string]struct {
			Severity string `json:"severity"`
			Summary  struct {
				Message string `json:"message"`
				Count   int    `json:"count"`
			} `json:"summary"`
		} `json:"checks"`
	}
	if !s.ask(t, rados.ToMons(), &h, map[string]any{"prefix": "health"}) {
		return nil, false
	}
	checks := map[string]string{}
	for code, c := range h.Checks {
		if !transient[code] {
			checks[code] = c.Severity + " " + counts.ReplaceAllString(c.Summary.Message, "N $1 $2 $3")
		}
	}
	return checks, true
}

// tree is "osd tree" but for the classes of devices, which the clusters find out
// for themselves.
func (s *side) tree(t *testing.T) any {
	var doc map[string][]map[string]any
	s.ask(t, rados.ToMons(), &doc, map[string]any{"prefix": "osd tree"})
	for _, list := range doc {
		for _, n := range list {
			delete(n, "device_class")
		}
	}
	return doc
}

// mapParts are the parts of "osd dump" that moves change.
func (s *side) mapParts(t *testing.T) map[string]any {
	var doc map[string]any
	s.ask(t, rados.ToMons(), &doc, map[string]any{"prefix": "osd dump"})
	parts := map[string]any{}
	for _, k := range []string{"pg_temp", "primary_temp", "pg_upmap", "pg_upmap_items", "flags", "flags_set", "max_osd", "require_osd_release",
		"require_min_compat_client", "min_compat_client"} {
		parts[k] = doc[k]
	}
	osds, _ := doc["osds"].([]any)
	for _, o := range osds {
		o, _ := o.(map[string]any)
		for _, k := range []string{"up", "in", "weight", "primary_affinity", "state"} {
			parts[fmt.Sprintf("osd.%v %s", o["osd"], k)] = o[k]
		}
	}
	pools, _ := doc["pools"].([]any)
	for _, p := range pools {
		p, _ := p.(map[string]any)
		for _, k := range []string{"pool", "size", "min_size", "pg_num", "pg_placement_num", "crush_rule", "flags_names"} {
			parts[fmt.Sprintf("pool %v %s", p["pool_name"], k)] = p[k]
		}
	}
	return parts
}

// rates come and go with the load.
var rates = regexp.MustCompile(`_sec$|^recovering_|_recovered$`)

// status is what "ceph -s" has of OSDs and groups: which figures there are, and how
// many groups are in each state.
func (s *side) status(t *testing.T) (any, map[string]int) {
	var counts struct {
		PGs struct {
			States []struct {
				Name  string `json:"state_name"`
				Count int    `json:"count"`
			} `json:"pgs_by_state"`
		} `json:"pgmap"`
	}
	var doc struct {
		PGs map[string]any `json:"pgmap"`
		OSD map[string]any `json:"osdmap"`
	}
	var both json.RawMessage
	s.ask(t, rados.ToMons(), &both, map[string]any{"prefix": "status"})
	if err := errors.Join(json.Unmarshal(both, &doc), json.Unmarshal(both, &counts)); err != nil {
		s.fail("status: %v", err)
	}
	states := map[string]int{}
	for _, c := range counts.PGs.States {
		states[scrubs.Replace(c.Name)] += c.Count
	}
	var names []string
	for k := range doc.PGs {
		if !rates.MatchString(k) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range []string{"epoch", "osd_up_since", "osd_in_since"} {
		delete(doc.OSD, k)
	}
	return map[string]any{"pgmap has": names, "osdmap": doc.OSD}, states
}
