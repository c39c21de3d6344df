package mgrmon

import (
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// A cluster that has just been founded has no OSDs and no pools.
func TestEmptyCluster(t *testing.T) {
	t.Parallel()
	m := osdmap.New()
	c, err := crush.BuildDefault("host")
	if err != nil {
		t.Fatal(err)
	}
	m.Epoch, m.Crush = 1, c
	w := newWorld(t, m)
	wantReply(t, w, `{"prefix":"pg stat"}`, 0, "", "0 pgs: ; 0 B data, 0 B used, 0 B / 0 B avail\n")
	wantReply(t, w, `{"prefix":"pg stat","format":"json"}`, 0, "",
		`{"pg_ready":true,"pg_summary":{"num_pg_by_state":[],"num_pgs":0,"num_bytes":0,"total_bytes":0,"total_avail_bytes":0,"total_used_bytes":0,"total_used_raw_bytes":0}`+"\n}")
	wantReply(t, w, `{"prefix":"df"}`, 0, "", "--- RAW STORAGE ---\nCLASS  SIZE  AVAIL  USED  RAW USED  %RAW USED\nTOTAL   0 B    0 B   0 B       0 B          0\n"+
		" \n--- POOLS ---\nPOOL  ID  PGS  STORED  OBJECTS  USED  %USED  MAX AVAIL\n")
	wantReply(t, w, `{"prefix":"osd pool stats"}`, 0, "", "")
	wantReply(t, w, `{"prefix":"osd perf"}`, 0, "", "osd  commit_latency(ms)  apply_latency(ms)\n")
	wantReply(t, w, `{"prefix":"pg ls"}`, 0, "", "")
	wantReply(t, w, `{"prefix":"osd df","format":"json"}`, 0, "",
		`{"nodes":[],"stray":[],"summary":{"total_kb":0,"total_kb_used":0,"total_kb_used_data":0,"total_kb_used_omap":0,"total_kb_used_meta":0,"total_kb_avail":0,"average_utilization":0,"min_var":-1,"max_var":-1,"dev":0}}`+"\n")
	if floor, ok := w.s.CleanFloor(); floor != 1 || !ok {
		t.Errorf("floor %d, %v", floor, ok)
	}
	w.wantChecks(map[string]string{"TOO_FEW_OSDS": "OSD count 0 < osd_pool_default_size 3"})

	s := w.s.StatusSections(w.now)
	var text []string
	for _, l := range s[0].Lines {
		text = append(text, l.Label+": "+l.Text)
	}
	if got := strings.Join(text, "|"); len(s) != 1 || got != "pools: 0 pools, 0 pgs|objects: 0 objects, 0 B|usage: 0 B used, 0 B / 0 B avail|pgs: " {
		t.Error(got)
	}
	var f jsonfmt.Formatter
	f.Object("", func() { w.s.StatusDump(&f, w.now) })
	if got := f.JSON(); got != `{"pgmap":{"pgs_by_state":[],"num_pgs":0,"num_pools":0,"num_objects":0,"data_bytes":0,"bytes_used":0,"bytes_avail":0,"bytes_total":0}}` {
		t.Error(got)
	}
}
