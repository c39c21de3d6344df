package objecter

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestBudgetIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{maxOps: 3, maxByte: 100}
		take := func(n int64) int64 {
			got, err := b.acquire(t.Context(), n)
			if err != nil {
				t.Error(err)
			}
			return got
		}
		if got := take(1000); got != 100 {
			t.Fatalf("a request above the bound got %d", got)
		}
		order := make(chan int64, 3)
		for _, n := range []int64{60, 50, 10} {
			go func() {
				take(n)
				order <- n
			}()
			synctest.Wait()
		}
		gone, cancel := context.WithCancel(t.Context())
		refused := make(chan error, 1)
		go func() {
			_, err := b.acquire(gone, 1)
			refused <- err
		}()
		synctest.Wait()
		b.release(100)
		synctest.Wait()
		// 60 fits, 50 does not, and 10 does not pass it.
		if len(order) != 1 || <-order != 60 {
			t.Fatal("not in the order of arrival")
		}
		cancel()
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		b.release(60)
		synctest.Wait()
		if len(order) != 2 || <-order+<-order != 60 {
			t.Fatal("50 and 10 fit now")
		}
		b.release(50)
		b.release(10)
		if b.ops != 0 || b.bytes != 0 {
			t.Fatalf("%d operations, %d bytes left", b.ops, b.bytes)
		}
	})
}
