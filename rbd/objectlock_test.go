package rbd

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestObjectLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l objectLocks
		ctx := t.Context()
		take := func(f func(context.Context, uint64) error, n uint64) *bool {
			got := new(bool)
			go func() {
				if err := f(ctx, n); err != nil {
					t.Error(err)
				}
				*got = true
			}()
			synctest.Wait()
			return got
		}
		if a, b := take(l.share, 1), take(l.share, 1); !*a || !*b {
			t.Fatal("an object is not shared")
		}
		own := take(l.own, 1)
		if *own || !*take(l.own, 2) {
			t.Fatal("owned while shared, or another one is not free")
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if l.own(gone, 1) == nil || l.share(gone, 2) == nil {
			t.Fatal("waited for what one cannot have, with a context that has ended")
		}
		l.release(1)
		synctest.Wait()
		if *own {
			t.Fatal("owned while shared by one")
		}
		l.release(1)
		synctest.Wait()
		if !*own {
			t.Fatal("free and not owned")
		}
		share := take(l.share, 1)
		if *share {
			t.Fatal("shared while owned")
		}
		l.release(1)
		l.release(2)
		synctest.Wait()
		if !*share {
			t.Fatal("free and not shared")
		}
		l.release(1)
		if len(l.held) != 0 {
			t.Fatalf("%d locks are kept that nobody holds", len(l.held))
		}
	})
}
