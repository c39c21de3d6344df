package diskstore_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/objstore"
)

// What waits for a checkpoint stays below its share whatever is written, and
// nothing waits for ever.
func TestMemoryOfRecordsIsBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fill func(tx *objstore.Txn, i int)
	}{
		{"data", func(tx *objstore.Txn, i int) {
			tx.Write(objstore.MetaColl, name(i%100), uint64(i)*777%200000, buffer.ListOf(content(i, 1+i*61%9000)))
		}},
		{"large data", func(tx *objstore.Txn, i int) {
			if i < 500 {
				tx.Write(objstore.MetaColl, name(i%40), 0, buffer.ListOf(content(i, 64<<10+i*61%100000)))
			} else {
				tx.Touch(objstore.MetaColl, name(i%40))
			}
		}},
		{"metadata", func(tx *objstore.Txn, i int) {
			var kvs []objstore.KV
			for k := range 50 {
				kvs = append(kvs, objstore.KV{Key: fmt.Sprint(i%200, k), Value: content(k, i%100)})
			}
			tx.OmapSet(objstore.MetaColl, name(i%7), kvs)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opt := testOptions(t)
			opt.JournalSize = 32 << 20 // is not what is short
			s := create(t, opt)
			var wg sync.WaitGroup
			for i := range 8000 {
				var tx objstore.Txn
				c.fill(&tx, i)
				wg.Add(1)
				must(t, s.Submit(&tx, func(err error) {
					if err != nil {
						t.Error(err)
					}
					wg.Done()
				}))
				if st := s.Stats(); st.HeldBytes > opt.Memory/2 || st.DirectBytes > opt.Memory/4 {
					t.Fatalf("%d and %d bytes are held after %d transactions, the target is %d", st.HeldBytes, st.DirectBytes, i, opt.Memory)
				}
			}
			wg.Wait()
			if st := s.Stats(); st.Checkpoints < 3 && c.name != "large data" {
				t.Errorf("only %d checkpoints, %d bytes held", st.Checkpoints, st.HeldBytes)
			}
			must(t, s.Checkpoint())
			if st := s.Stats(); st.HeldBytes != 0 || st.DirectBytes != 0 {
				t.Errorf("%d and %d bytes are held after a checkpoint", st.HeldBytes, st.DirectBytes)
			}
			// The target may change: onodes that are too many go.
			s.SetMemory(0)
			if n := s.Stats().CacheBytes; n > 1<<19 {
				t.Errorf("%d bytes of onodes", n)
			}
			s = reopen(t, s, opt)
			must(t, s.Close())
		})
	}
}
