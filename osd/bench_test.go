package osd

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
)

// A bench says what it wrote, and leaves nothing behind.
func TestBench(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for cmd, written := range map[string][2]float64{
		`{"prefix":"bench","count":12288,"size":4096,"format":"json"}`:                                           {12288, 4096},
		`{"prefix":"bench","count":10000,"size":4096,"format":"json"}`:                                           {10000, 4096},
		`{"prefix":"bench","count":0,"size":4096,"format":"json"}`:                                               {0, 4096},
		`{"prefix":"bench","count":40960,"size":4096,"object_size":65536,"object_num":3,"format":"json"}`:        {40960, 4096},
		`{"prefix":"bench","count":40960,"size":65536,"object_size":4096,"object_num":30,"format":"json"}`:       {40960, 65536},
		`{"prefix":"bench","count":40960,"size":65536,"object_size":4096,"object_num":0,"format":"json"}`:        {40960, 65536},
		`{"prefix":"bench","count":4194304,"size":1048576,"object_size":4194304,"object_num":2,"format":"json"}`: {4194304, 1048576},
	} {
		var got struct {
			Written float64 `json:"bytes_written"`
			Size    float64 `json:"blocksize"`
		}
		r := h.command(cmd)
		if err := json.Unmarshal(r.Out, &got); err != nil || r.Result != 0 || got.Written != written[0] || got.Size != written[1] {
			t.Errorf("%s: %v %+v %s", cmd, err, r, r.Out)
		}
	}
	h.step(Tick{})
	objects, _, err := h.store.List(objstore.MetaColl, object.ID{}, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if strings.Contains(o.String(), "disk_bw_test") {
			t.Errorf("left: %v", o)
		}
	}
	const small = "'count' values greater than 12288000 for a block size of 4 KiB, assuming 100 IOPS, for 30 seconds, can cause ill effects on osd. " +
		" Please adjust 'osd_bench_small_size_max_iops' with a higher value if you wish to use a higher 'count'."
	if r := h.command(`{"prefix":"bench","count":1000000000,"size":4096}`); r.Status != small {
		t.Errorf("too much: %q", r.Status)
	}
	if r := h.command(`{"prefix":"bench","count":1000000000,"size":100000000}`); !strings.HasPrefix(r.Status, "block 'size' values are capped at 64 MiB. ") {
		t.Errorf("too large: %q", r.Status)
	}
}
