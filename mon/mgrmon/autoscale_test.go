package mgrmon

import (
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// testdata/autoscale.* are of a stock cluster of three OSDs: pools with and
// without targets, bulk pools, an erasure-coded one. Pool 2 holds 19 bytes.
func TestAutoscaleAsStock(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/autoscale.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, readMap(t, "autoscale.osdmap"))
	for o := range w.m.MaxOSD {
		w.report(&msg.OSDReport{
			ID: o, Epoch: w.m.Epoch,
			Stat:  msg.OSDStat{Seq: 1, Store: msg.StoreStats{Total: 20 << 30, Available: 19 << 30}},
			Pools: []msg.PoolUsage{{Pool: 2, Store: msg.StoreStats{Stored: 19, Allocated: 4096}}},
		})
	}
	if r := w.run(`{"prefix":"osd pool autoscale-status","format":"json"}`); string(r.Output) != string(want) {
		t.Errorf("%s", firstDifference(string(r.Output), string(want)))
	}
	const row = "two                        0                 2.0        61440M  0.5912        0.2500           0.5912   1.0      16          64  on         False  \n"
	r := w.run(`{"prefix":"osd pool autoscale-status"}`)
	for line := range strings.Lines(string(r.Output)) {
		if line == row {
			return
		}
	}
	t.Errorf("no row %q in\n%s", row, r.Output)
}

func TestPowerOfTwo(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]int64{0: 0, 0.7: 0, 1: 1, 2.9: 2, 3: 4, 5.9: 4, 6: 8, 47: 32, 48: 64, 99.5: 128} {
		if got := powerOfTwo(n); got != want {
			t.Errorf("%v: %d, want %d", n, got, want)
		}
	}
}

// What clients do is told by OSD, and all together.
func TestLoadByOSD(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "autoscale.osdmap"))
	report := func(seq, writes uint64) {
		w.report(&msg.OSDReport{
			ID: 1, Epoch: w.m.Epoch, Stat: msg.OSDStat{Seq: seq, Store: msg.StoreStats{Total: 20 << 30, Available: 19 << 30}},
			PGs: []msg.PGStat{{
				PG: object.PG{Pool: 2}, State: msg.PGActive, ReportedSeq: seq, ActingPrimary: 1,
				Objects: msg.ObjectStats{Writes: int64(writes), WriteKB: int64(writes) * 4, Reads: 1},
			}},
		})
	}
	report(1, 0)
	w.pass(5 * sampleEvery)
	report(2, 30000)
	w.pass(sampleEvery)
	const want = "ID  HOST   USED  AVAIL  WR OPS  WR DATA  RD OPS  RD DATA  STATE      \n" +
		" 0           0      0       0        0       0        0   exists,up  \n" +
		" 1  vm    1024M  19.0G   3000     11.7M      0        0   exists,up  \n" +
		" 2           0      0       0        0       0        0   exists,up  \n"
	if got := string(w.run(`{"prefix":"osd status"}`).Output); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	const line = "|      0 B/s |   11 MiB/s |   11 MiB/s |          0 |       3000 |       3000 |\n"
	if got := string(w.s.IOStat(command.New("iostat", nil)).Output); got != line {
		t.Errorf("got  %swant %s", got, line)
	}
}
