package node

import (
	"sync"
	"testing"
	"testing/synctest"
)

func TestInboxKeepsOrderAndHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newInbox[int](2)
		var done sync.WaitGroup
		done.Go(func() {
			for i := range 5 {
				q.put(i)
			}
		})
		synctest.Wait() // put waits with two items inside
		if got := q.take(); len(got) != 2 || got[0] != 0 || got[1] != 1 {
			t.Errorf("took %v, want the first two", got)
		}
		synctest.Wait()
		q.post(9) // goes in above the limit
		if got := q.take(); len(got) != 3 || got[2] != 9 {
			t.Errorf("took %v, want three", got)
		}
		synctest.Wait()
		if got := q.take(); len(got) != 1 || got[0] != 4 {
			t.Errorf("took %v, want the last", got)
		}
		done.Wait()
		q.close()
		if q.put(1) || q.post(1) {
			t.Error("something went in after close")
		}
	})
}

func TestInboxWakes(t *testing.T) {
	t.Parallel()
	q := newInbox[int](10)
	const n = 1000
	go func() {
		for i := range n {
			q.put(i)
		}
	}()
	next := 0
	for next < n {
		<-q.wake
		for _, v := range q.take() {
			if v != next {
				t.Fatalf("got %d, want %d", v, next)
			}
			next++
		}
	}
}
