package recovery

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/rados"
)

// A client asks again and again for an object that nobody has while the OSD that
// has it is away. The OSD takes in as many of the requests as fit into the memory
// that clients may have, and leaves the rest on the client's connection; to
// others it still talks. When the object is back all are answered.
func TestFloodWaitsOutside(t *testing.T) {
	t.Parallel()
	const (
		requests = 1000
		memory   = 1 << 20
		most     = memory / (6 << 10) // node's requestCost
	)
	w := admitPool(t, 2, 1, 2)
	w.mon(map[string]any{"prefix": "osd pool set", "pool": "data", "var": "min_size", "val": "1"})
	w.mon(map[string]any{"prefix": "config set", "who": "osd", "name": "osd_client_message_size_cap", "value": "1048576"})
	write := func(text string) {
		t.Helper()
		if err := w.pool.WriteFull(w.ctx, "o", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	acting := w.groups()[0].Acting
	first, second := acting[0], acting[1]
	name := func(osd int) string { return fmt.Sprintf("osd.%d", osd) }
	w.Kill(name(second))
	w.waitFor("served by one", func(g group) bool { return strings.HasPrefix(g.State, "active") && len(g.Acting) == 1 })
	write("new")
	w.mon(map[string]any{"prefix": "osd set", "key": "norecover"})
	w.StartDaemon(name(second))
	w.waitFor("served by two", func(g group) bool { return strings.HasPrefix(g.State, "active") && len(g.Acting) == 2 })
	w.Kill(name(first))
	w.waitFor("without the object", func(g group) bool {
		return strings.Contains(g.State, "recovery_unfound") && slices.Equal(g.Acting, []int{second})
	})

	pool, err := w.Connect().Pool(w.ctx, "data") // not the connection that commands go by
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, requests)
	for range requests {
		go func() {
			_, err := pool.Stat(w.ctx, "o")
			answers <- err
		}()
	}
	taken := func() (n int) {
		t.Helper()
		r, err := w.Client.Command(w.ctx, rados.ToOSD(second), map[string]string{"prefix": "dump_ops_in_flight"}, nil)
		var dump struct {
			Num int `json:"num_ops"`
		}
		if err == nil {
			err = json.Unmarshal(r.Data, &dump)
		}
		if err != nil {
			t.Fatal(err)
		}
		if dump.Num > most+1 {
			t.Fatalf("%d requests were taken in, there is room for %d", dump.Num, most)
		}
		return dump.Num
	}
	for deadline := time.Now().Add(patience); taken() < most*3/4; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d requests were taken in, there is room for %d", taken(), most)
		}
	}
	if len(answers) > 0 {
		t.Fatalf("answered: %v", <-answers)
	}
	w.StartDaemon(name(first))
	w.mon(map[string]any{"prefix": "osd unset", "key": "norecover"})
	for i := range requests {
		if i%100 == 0 {
			taken()
		}
		select {
		case err := <-answers:
			if err != nil {
				t.Fatal(err)
			}
		case <-w.ctx.Done():
			t.Fatal(w.ctx.Err())
		}
	}
}
