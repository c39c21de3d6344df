package mgrmon

import (
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/msg"
)

func (w *world) ioLines() []string {
	var out []string
	for _, s := range w.s.StatusSections(w.now) {
		for _, l := range s.Lines {
			if s.Name == "io" {
				out = append(out, l.Label+": "+l.Text)
			}
		}
	}
	return out
}

func TestRates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, readMap(t, "osdmap-130.bin"))
	w.settle()
	g := w.group("2.1", healthy)
	g.ReportedSeq = 10
	g.Objects = msg.ObjectStats{Reads: 1e6, ReadKB: 1e6, Writes: 1e6, WriteKB: 1e6}
	// What was done before the first report was not done now.
	w2 := newWorld(t, w.m)
	w2.report(w2.groupsReport(1, g))
	w2.pass(5 * time.Second)
	if io := w2.ioLines(); io != nil {
		t.Errorf("a first report counts: %v", io)
	}

	g.Objects = msg.ObjectStats{}
	w.report(w.groupsReport(1, g))
	w.pass(20 * time.Second)
	// 1200 reads of 6 MiB in all and 240 writes of 1.2 MiB, in the 12 s of the window.
	for range 6 {
		g.ReportedSeq++
		g.Objects.Reads += 200
		g.Objects.ReadKB += 1024
		g.Objects.Writes += 40
		g.Objects.WriteKB += 205
		w.report(w.groupsReport(1, g))
		w.pass(2 * time.Second)
	}
	if got := strings.Join(w.ioLines(), "|"); got != "client: 512 KiB/s rd, 102 KiB/s wr, 100 op/s rd, 20 op/s wr" {
		t.Error(got)
	}
	if got := string(w.run(`{"prefix":"pg stat"}`).Output); !strings.HasSuffix(got, " avail; 512 KiB/s rd, 102 KiB/s wr, 120 op/s\n") {
		t.Error(got)
	}
	if got := string(w.run(`{"prefix":"pg stat","format":"json"}`).Output); !strings.HasSuffix(got,
		`,"read_bytes_sec":524288,"write_bytes_sec":104960,"io_sec":120}`+"\n}") {
		t.Error(got)
	}
	if got := string(w.run(`{"prefix":"osd pool stats","pool_name":"rbd"}`).Output); got !=
		"pool rbd id 2\n  client io 512 KiB/s rd, 102 KiB/s wr, 100 op/s rd, 20 op/s wr\n\n" {
		t.Error(got)
	}
	if got := string(w.run(`{"prefix":"osd pool stats","pool_name":"rbd","format":"json"}`).Output); got !=
		`[{"pool_name":"rbd","pool_id":2,"recovery":{},"recovery_rate":{},"client_io_rate":{"read_bytes_sec":524288,"write_bytes_sec":104960,"read_op_per_sec":100,"write_op_per_sec":20}}]` {
		t.Error(got)
	}
	var f jsonfmt.Formatter
	f.Object("", func() { w.s.StatusDump(&f, w.now) })
	if !strings.HasSuffix(f.JSON(), `,"read_bytes_sec":524288,"write_bytes_sec":104960,"read_op_per_sec":100,"write_op_per_sec":20}}`) {
		t.Error(f.JSON())
	}
	if got := string(w.run(`{"prefix":"pg dump","dumpcontents":["delta"],"format":"json"}`).Output); !strings.HasSuffix(got, `"num_store_stats":0,"stamp_delta":"12.000000"}}}`) {
		t.Error(got)
	}

	// Recovery has a line of its own.
	g.ReportedSeq++
	g.Objects.ObjectsRecovered, g.Objects.BytesRecovered, g.Objects.KeysRecovered = 24, 24<<20, 12000
	w.report(w.groupsReport(1, g))
	w.pass(2 * time.Second)
	if got := strings.Join(w.ioLines(), "|"); !strings.HasSuffix(got, "|recovery: 2 MiB/s, 1k keys/s, 2 objects/s") {
		t.Error(got)
	}
	if got := string(w.run(`{"prefix":"osd pool stats","pool_name":"rbd","format":"json"}`).Output); !strings.Contains(got,
		`"recovery_rate":{"recovering_objects_per_sec":2,"recovering_bytes_per_sec":2097152,"recovering_keys_per_sec":1000,"num_objects_recovered":24,"num_bytes_recovered":25165824,"num_keys_recovered":12000}`) {
		t.Error(got)
	}
	if got := string(w.run(`{"prefix":"pg stat"}`).Output); !strings.HasSuffix(got, " op/s; 2 MiB/s, 1k keys/s, 2 objects/s recovering\n") {
		t.Error(got)
	}
	// It fades when nothing happens, and counts that went down are no work.
	g.ReportedSeq++
	g.Objects = msg.ObjectStats{}
	w.report(w.groupsReport(1, g))
	w.pass(2 * time.Second)
	if io := w.ioLines(); io != nil {
		t.Errorf("less than nothing was done: %v", io)
	}
	w.pass(14 * time.Second)
	if io := w.ioLines(); io != nil {
		t.Errorf("nothing happens: %v", io)
	}
	if n := len(w.s.pgs.window.samples); n != smoothSamples {
		t.Errorf("%d samples are kept", n)
	}
}
