package mgrmon

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
)

// rows are the first column of a table and its last, without the summary.
func rows(out string) (all []string) {
	for l := range strings.Lines(out) {
		if c := strings.Fields(l); len(c) > 1 && c[0] != "ID" && c[0] != "TOTAL" && c[0] != "MIN/MAX" {
			all = append(all, c[0]+" "+c[len(c)-1])
		}
	}
	return all
}

func TestOSDDfFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-182.bin"))
	w.settle()
	for filter, want := range map[string][]string{
		"vm":      {"-3 vm", "0 osd.0", "1 osd.1"},
		"osd.1":   {"1 osd.1"},
		"ssd":     {"-1 default", "-5 rk1", "-7 hh2", "2 osd.2", "-3 vm"}, // of buckets all are shown
		"default": {"-1 default", "-5 rk1", "-7 hh2", "2 osd.2", "-3 vm", "0 osd.0", "1 osd.1"},
		"rbd":     {"-1 default", "-5 rk1", "-7 hh2", "2 osd.2", "-3 vm", "0 osd.0", "1 osd.1"},
	} {
		r := w.run(`{"prefix":"osd df","output_method":"tree","filter_by":"name","filter":"` + filter + `"}`)
		if got := rows(string(r.Output)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	const one = `ID  CLASS  WEIGHT   REWEIGHT  SIZE    RAW USE  DATA  OMAP  META  AVAIL  %USE   VAR   PGS  STATUS
 1    hdd  0.01949   1.00000  10 GiB    1 GiB   0 B   0 B   0 B  9 GiB  10.00  1.00  137      up
                       TOTAL  10 GiB    1 GiB   0 B   0 B   0 B  9 GiB  10.00                   
MIN/MAX VAR: 1.00/1.00  STDDEV: 0
`
	wantReply(t, w, `{"prefix":"osd df","filter_by":"name","filter":"osd.1"}`, 0, "", one)
	wantReply(t, w, `{"prefix":"osd df","filter_by":"name","filter":"nope"}`, errno.EINVAL, "'nope' not a pool, crush node or device class name", "")
}
