package diskstore_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

// BenchmarkOpen opens a store of 100,000 small objects, after a clean end and
// with a journal to replay.
func BenchmarkOpen(b *testing.B) {
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	opt := diskstore.Options{Size: 8 << 30}
	begun := time.Now()
	if err := diskstore.Create(dir, opt); err != nil {
		b.Fatal(err)
	}
	created := time.Since(begun)
	s, err := diskstore.Open(dir, opt)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		var tx objstore.Txn
		tx.Write(objstore.MetaColl, name(i), 0, buffer.List{buffer.Alloc(4096)})
		tx.SetAttr(objstore.MetaColl, name(i), "_", make([]byte, 250))
		if err := s.Submit(&tx, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := diskstore.Open(dir, opt)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(created.Milliseconds()), "ms-create")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapSys>>20), "MiB-heap")
}
