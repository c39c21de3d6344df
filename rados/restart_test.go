package rados_test

import (
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
)

// TestWatchOverRestart: the OSDs keep watches, so one outlives them for as long
// as its timeout.
func TestWatchOverRestart(t *testing.T) {
	t.Parallel()
	servers := pulpotest.Start(t, pulpotest.Options{OSDs: 2})
	c := servers.Connect()
	p, err := c.Pool(t.Context(), servers.Pool("data").Name())
	must(t, err)
	ctx := t.Context()
	must(t, p.WriteFull(ctx, "o", nil))
	w, err := p.Watch(ctx, "o", echo(t, "w"))
	must(t, err)
	for range 3 {
		began := time.Now()
		servers.Restart()
		r, err := servers.Pool("data").Notify(ctx, "o", []byte("again"), 20*time.Second)
		if err != nil || len(r.Replies) != 1 || string(r.Replies[0].Payload) != "w heard again" {
			t.Fatalf("%+v, %v; watch: %v", r, err, w.Err())
		}
		for age := time.Hour; age > time.Since(began); time.Sleep(time.Millisecond) {
			age, err = w.Check() // once the reconnection is answered
			must(t, err)
		}
	}
	watchers, err := p.Watchers(ctx, "o")
	if err != nil || len(watchers) != 1 || watchers[0].Cookie != w.Cookie() {
		t.Fatalf("%+v, %v", watchers, err)
	}
	must(t, w.Close(ctx))
	var none rados.NotifyResult
	if none, err = p.Notify(ctx, "o", nil, 0); err != nil || len(none.Replies) != 0 {
		t.Fatalf("%+v, %v", none, err)
	}
}
