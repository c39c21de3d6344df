package diskstore_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/diskstore"
)

// benchStore is on a real disk: that of the working directory, since /tmp is
// often memory.
func benchStore(b *testing.B, opt diskstore.Options) *diskstore.Store {
	b.Helper()
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	opt.Size = 8 << 30
	if err := diskstore.Create(dir, opt); err != nil {
		b.Fatal(err)
	}
	s, err := diskstore.Open(dir, opt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

var benchColl = objstore.PGColl(object.SPG{PG: object.PG{Pool: 1, Seed: 7}, Shard: object.NoShard})

// write is the transaction of a client's write: data, object info, and two
// entries of the PG's log.
func benchWrite(o, pg object.ID, off uint64, data buffer.Ref, info []byte, i uint64) *objstore.Txn {
	tx := &objstore.Txn{Ops: make([]objstore.Op, 0, 3)}
	tx.Write(benchColl, o, off, buffer.List{data})
	tx.SetAttr(benchColl, o, "_", info)
	var k [16]byte
	binary.BigEndian.PutUint64(k[:], i)
	tx.OmapSet(benchColl, pg, []objstore.KV{{Key: string(k[:8]), Value: info[:180]}, {Key: "_info", Value: info[:200]}})
	return tx
}

// cpuTime is what the process has used, in all threads.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func benchmarkSubmit(b *testing.B, size, depth int, fresh bool, mode diskstore.CommitMode) {
	s := benchStore(b, diskstore.Options{Mode: mode})
	var tx objstore.Txn
	tx.CreateColl(benchColl)
	pg := object.New(1, "", "", "pgmeta")
	tx.Touch(benchColl, pg)
	if err := s.Submit(&tx, nil); err != nil {
		b.Fatal(err)
	}
	info := make([]byte, 250)
	const objects = 512
	names := make([]object.ID, objects)
	for i := range names {
		names[i] = object.New(1, "", "", fmt.Sprintf("benchmark_data_host_12345_object%d", i))
	}
	slots := make(chan struct{}, depth)
	var wg sync.WaitGroup
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	for i := range b.N {
		slots <- struct{}{}
		o := names[i%objects]
		off := uint64(i/objects*7919%1024) * uint64(size) % (4 << 20)
		if fresh {
			o, off = object.New(1, "", "", fmt.Sprintf("benchmark_data_host_12345_object%d", i)), 0
		}
		data := buffer.Alloc(size)
		binary.LittleEndian.PutUint64(data.Bytes(), uint64(i))
		wg.Add(1)
		if err := s.Submit(benchWrite(o, pg, off, data, info, uint64(i)), func(err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
			<-slots
		}); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.StopTimer()
	st := s.Stats()
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "us-cpu/op")
	b.ReportMetric(float64(st.Journal.Records)/float64(max(st.Journal.Groups, 1)), "records/group")
	b.ReportMetric(float64((st.Journal.Latency / time.Duration(max(st.Journal.Records, 1))).Microseconds()), "us-commit")
	b.ReportMetric(float64(st.Checkpoints), "checkpoints")
}

func BenchmarkSubmit4K(b *testing.B) {
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("qd=%d/overwrite", depth), func(b *testing.B) { benchmarkSubmit(b, 4096, depth, false, diskstore.Parallel) })
		b.Run(fmt.Sprintf("qd=%d/create", depth), func(b *testing.B) { benchmarkSubmit(b, 4096, depth, true, diskstore.Parallel) })
	}
}

// BenchmarkModes compares the commit modes.
func BenchmarkModes(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 128 << 10, 512 << 10, 4 << 20} {
		for _, depth := range []int{1, 16} {
			for _, mode := range []diskstore.CommitMode{diskstore.WriteAhead, diskstore.Parallel, diskstore.Direct} {
				b.Run(fmt.Sprintf("size=%dK/qd=%d/%v", size>>10, depth, mode), func(b *testing.B) { benchmarkSubmit(b, size, depth, true, mode) })
			}
		}
	}
}

func BenchmarkRead4K(b *testing.B) {
	s := benchStore(b, diskstore.Options{})
	var tx objstore.Txn
	tx.CreateColl(benchColl)
	if err := s.Submit(&tx, nil); err != nil {
		b.Fatal(err)
	}
	const objects = 1000
	var names [objects]object.ID
	for i := range names {
		names[i] = object.New(1, "", "", fmt.Sprintf("benchmark_data_host_12345_object%d", i))
		var tx objstore.Txn
		tx.Write(benchColl, names[i], 0, buffer.List{buffer.Alloc(4096)})
		if err := s.Submit(&tx, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Sync(); err != nil {
		b.Fatal(err)
	}
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l, err := s.Read(benchColl, names[i%objects], 0, 4096)
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}

// BenchmarkRead4M reads objects whose blocks lie side by side, and others whose
// blocks were written one by one in no order.
func BenchmarkRead4M(b *testing.B) {
	const objects, size = 32, 4 << 20
	for _, piece := range []int{size, 64 << 10, 4 << 10} {
		b.Run(fmt.Sprintf("pieces=%dK", piece>>10), func(b *testing.B) {
			s := benchStore(b, diskstore.Options{})
			var tx objstore.Txn
			tx.CreateColl(benchColl)
			if err := s.Submit(&tx, nil); err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 1))
			for _, at := range r.Perm(objects * size / piece) {
				var tx objstore.Txn
				tx.Write(benchColl, name(at%objects), uint64(at/objects*piece), buffer.List{buffer.Alloc(piece)})
				if err := s.Submit(&tx, nil); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Sync(); err != nil {
				b.Fatal(err)
			}
			if err := s.Checkpoint(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			b.ReportAllocs()
			before := cpuTime()
			for i := 0; b.Loop(); i++ {
				l, err := s.Read(benchColl, name(i%objects), 0, size)
				if err != nil {
					b.Fatal(err)
				}
				l.Release()
			}
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "us-cpu/op")
		})
	}
}
