package rados_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/rados"
)

// again is the same place seen by another client.
func (on cluster) again(t *testing.T, ctx context.Context, p *rados.Pool) (*rados.Cluster, *rados.Pool) {
	t.Helper()
	c, _ := on.connect(t)
	q, err := c.Pool(ctx, p.Name())
	must(t, err)
	return c, q.Namespace(p.NamespaceName())
}

// echo answers with what it heard.
func echo(t *testing.T, name string) func(context.Context, *rados.Notification) {
	return func(ctx context.Context, n *rados.Notification) {
		if err := n.Ack(ctx, []byte(name+" heard "+string(n.Payload))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testWatchNotify(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	_, err := p.Watch(ctx, "o", echo(t, "none"))
	wantErr(t, err, rados.ErrNotFound)
	_, err = p.Notify(ctx, "o", []byte("x"), 0)
	wantErr(t, err, rados.ErrNotFound)
	must(t, p.WriteFull(ctx, "o", nil))
	r, err := p.Notify(ctx, "o", []byte("x"), time.Minute)
	if err != nil || len(r.Replies)+len(r.TimedOut) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}

	a, err := p.Watch(ctx, "o", echo(t, "a"))
	must(t, err)
	cq, q := on.again(t, ctx, p)
	b, err := q.Watch(ctx, "o", echo(t, "b"), rados.WatchTimeout(59*time.Second))
	must(t, err)
	b2, err := q.Watch(ctx, "o", echo(t, "b2"))
	must(t, err)
	watchers, err := p.Watchers(ctx, "o")
	must(t, err)
	if len(watchers) != 3 || !slices.ContainsFunc(watchers, func(w rados.Watcher) bool {
		return w.Client == fmt.Sprintf("client.%d", cq.InstanceID()) && w.Cookie == b.Cookie() && w.Timeout == 59*time.Second && w.Addr == cq.Addr()
	}) {
		t.Fatalf("%+v lacks %s", watchers, cq.Addr())
	}
	heard := func(r rados.NotifyResult) string {
		var s []string
		for _, x := range r.Replies {
			s = append(s, string(x.Payload))
		}
		slices.Sort(s)
		return strings.Join(s, ", ")
	}
	r, err = q.Notify(ctx, "o", []byte("hello"), 0)
	if err != nil || heard(r) != "a heard hello, b heard hello, b2 heard hello" || len(r.TimedOut) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, x := range r.Replies {
		if mine := x.Cookie == b.Cookie() || x.Cookie == b2.Cookie(); mine && x.Client != cq.InstanceID() && a.Cookie() != x.Cookie {
			t.Fatalf("%+v", r.Replies)
		}
	}
	must(t, b2.Close(ctx))
	must(t, b2.Close(ctx))
	for _, w := range []*rados.Watch{a, b} {
		must(t, w.Flush(ctx))
		if age, err := w.Check(); err != nil || age > 30*time.Second || w.Err() != nil {
			t.Fatalf("%v, %v", age, err)
		}
	}
	r, err = p.Notify(ctx, "o", bytes.Repeat([]byte("x"), 100_000), 0)
	if err != nil || len(heard(r)) != len("a heard , b heard ")+200_000 {
		t.Fatalf("%.200q, %v", heard(r), err)
	}
	must(t, a.Close(ctx))
	must(t, b.Close(ctx))
	if watchers, err = p.Watchers(ctx, "o"); err != nil || len(watchers) != 0 {
		t.Fatalf("%+v, %v", watchers, err)
	}
}

func testNotifyTimesOut(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	must(t, p.WriteFull(ctx, "o", nil))
	_, q := on.again(t, ctx, p)
	var late *rados.Notification
	got, release := make(chan bool), make(chan bool)
	slow, err := p.Watch(ctx, "o", func(ctx context.Context, n *rados.Notification) {
		late = n
		got <- true
		<-release
	})
	must(t, err)
	quick, err := q.Watch(ctx, "o", echo(t, "quick"))
	must(t, err)
	done := make(chan bool)
	go func() {
		defer close(done)
		r, err := q.Notify(ctx, "o", []byte("x"), time.Second)
		if !errors.Is(err, rados.ErrTimeout) || len(r.Replies) != 1 || string(r.Replies[0].Payload) != "quick heard x" ||
			len(r.TimedOut) != 1 || r.TimedOut[0].Cookie != slow.Cookie() {
			t.Errorf("%+v, %v", r, err)
		}
	}()
	<-got
	<-done
	if age, err := slow.Check(); err != nil || age < 500*time.Millisecond {
		t.Errorf("%v, %v: the oldest notification is not handled yet", age, err)
	}
	_ = late.Ack(ctx, nil) // too late is not the acknowledger's fault
	close(release)
	must(t, slow.Close(ctx))
	must(t, quick.Close(ctx))

	// One who waits for more than there will be does not stop Close for good.
	stuck, err := p.Watch(ctx, "o", func(ctx context.Context, _ *rados.Notification) {
		got <- true
		<-ctx.Done()
	})
	must(t, err)
	hung := make(chan error)
	brief, cancel := context.WithCancel(ctx)
	go func() {
		_, err := q.Notify(ctx, "o", nil, time.Second)
		hung <- err
	}()
	<-got
	wantErr(t, <-hung, rados.ErrTimeout)
	cancel()
	wantErr(t, stuck.Close(brief), context.Canceled)
}

func testWatchIsLost(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	lost := func(w *rados.Watch, want error) {
		t.Helper()
		select {
		case <-w.Lost():
		case <-ctx.Done():
			t.Fatal("not noticed")
		}
		wantErr(t, w.Err(), want)
		_, err := w.Check()
		wantErr(t, err, want)
		must(t, w.Flush(ctx))
		must(t, w.Close(ctx))
	}
	must(t, p.WriteFull(ctx, "o", nil))
	w, err := p.Watch(ctx, "o", echo(t, "w"))
	must(t, err)
	must(t, p.Remove(ctx, "o"))
	lost(w, rados.ErrNotWatching)

	must(t, p.WriteFull(ctx, "o", nil))
	c, q := on.again(t, ctx, p)
	w, err = q.Watch(ctx, "o", echo(t, "w"))
	must(t, err)
	must(t, c.Close())
	lost(w, rados.ErrClosed)
	_, err = q.Watch(ctx, "o", echo(t, "w"))
	wantErr(t, err, rados.ErrClosed)
	_, err = q.Notify(ctx, "o", nil, 0)
	wantErr(t, err, rados.ErrClosed)

	c, q = on.again(t, ctx, p)
	w, err = q.Watch(ctx, "o", echo(t, "w"))
	must(t, err)
	fence, _ := on.connect(t)
	must(t, fence.BlocklistAdd(ctx, c.Addr(), time.Hour))
	defer func() { must(t, fence.BlocklistRemove(ctx, c.Addr())) }()
	select {
	case <-w.Lost():
	case <-ctx.Done():
		t.Fatal("not noticed")
	}
	if err := w.Err(); !errors.Is(err, rados.ErrNotWatching) && !errors.Is(err, rados.ErrBlocklisted) {
		t.Fatal(err)
	}
	select {
	case <-c.Fenced(): // for a lost watch makes the client look at the map
	case <-ctx.Done():
		t.Fatal("not fenced")
	}
	_, err = q.Watch(ctx, "o", echo(t, "w"))
	wantErr(t, err, rados.ErrBlocklisted)
	_, err = q.Notify(ctx, "o", nil, 0)
	wantErr(t, err, rados.ErrBlocklisted)

	// A context that ends leaves nothing behind, after a while.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	c, q = on.again(t, ctx, p)
	_, err = q.Watch(gone, "o", echo(t, "w"))
	wantErr(t, err, context.Canceled)
	_, err = q.Notify(gone, "o", nil, 0)
	wantErr(t, err, context.Canceled)
	mine := func(w rados.Watcher) bool { return w.Client == fmt.Sprintf("client.%d", c.InstanceID()) }
	for watchers, err := q.Watchers(ctx, "o"); slices.ContainsFunc(watchers, mine); watchers, err = q.Watchers(ctx, "o") {
		must(t, err)
	}
}

func testNotificationsInOrder(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	must(t, p.WriteFull(ctx, "o", nil))
	var mu sync.Mutex
	var heard []string
	w, err := p.Watch(ctx, "o", func(ctx context.Context, n *rados.Notification) {
		mu.Lock()
		heard = append(heard, string(n.Payload))
		mu.Unlock()
		if err := n.Ack(ctx, nil); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint(i))
		_, err := p.Notify(ctx, "o", []byte(want[i]), 0)
		must(t, err)
	}
	must(t, w.Flush(ctx))
	if !slices.Equal(heard, want) {
		t.Fatalf("%q", heard)
	}
	must(t, w.Close(ctx))
}

// testWatchOverIntervals: what changes where the object is served does not end
// its watch.
func testWatchOverIntervals(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	p := ownPool(t, ctx, c)
	must(t, p.WriteFull(ctx, "o", nil))
	w, err := p.Watch(ctx, "o", echo(t, "w"))
	must(t, err)
	set := func(what, value string) {
		t.Helper()
		cmd := map[string]any{"prefix": "osd pool set", "pool": p.Name(), "var": what, "val": value}
		_, err := c.Command(ctx, rados.ToMons(), cmd, nil)
		must(t, err)
		must(t, c.WaitLatestMap(ctx))
	}
	for i, change := range [][2]string{{"size", "2"}, {"min_size", "1"}, {"size", "3"}} {
		set(change[0], change[1])
		r, err := p.Notify(ctx, "o", []byte(fmt.Sprint(i)), 0)
		if err != nil || len(r.Replies) != 1 || string(r.Replies[0].Payload) != fmt.Sprint("w heard ", i) {
			t.Fatalf("after %v: %+v, %v", change, r, err)
		}
	}
	must(t, w.Err())
	must(t, w.Close(ctx))
}
