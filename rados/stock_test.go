package rados_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/rados"
)

// librados is a stock client in Python that does what it is told by lines of
// Python and prints what comes of it.
type librados struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

const libradosScript = `
import rados, sys
cluster = rados.Rados(conffile='')
cluster.connect()
io = cluster.open_ioctx(sys.argv[1])
io.set_namespace(sys.argv[2])
def say(*what):
    print(*what, flush=True)
say('connected')
for line in sys.stdin:
    exec(line)
    say('.')
cluster.shutdown()
`

// librados starts a stock client that uses the place of p.
func (on cluster) librados(t *testing.T, p *rados.Pool) *librados {
	t.Helper()
	peer.Require(t, "ceph") // its client brings the Python package
	cmd := exec.Command("/usr/bin/python3", "-c", libradosScript, p.Name(), p.NamespaceName())
	cmd.Env = peer.Env(string(on))
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	l := &librados{t, in, bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("stock client: %v\n%s", err, errs.String())
		}
	})
	l.hears("connected")
	return l
}

func (l *librados) hears(want string) {
	l.t.Helper()
	if !l.out.Scan() || l.out.Text() != want {
		l.t.Fatalf("stock client: %q, %v; want %q", l.out.Text(), l.out.Err(), want)
	}
}

// do lets it execute a line and compares what it prints.
func (l *librados) do(line string, want ...string) {
	l.t.Helper()
	if _, err := fmt.Fprintln(l.in, line); err != nil {
		l.t.Fatal(err)
	}
	for _, w := range append(want, ".") {
		l.hears(w)
	}
}

func testWatchWithStockClient(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	must(t, p.WriteFull(ctx, "o", nil))
	theirs := on.librados(t, p)
	// A watch that has to connect again is told again.
	theirs.do("heard = set()")
	theirs.do("def hear(notify, notifier, watch, data): data in heard or say('hears', data.decode()); heard.add(data); return 'stock heard ' + data.decode()")
	theirs.do("watch = io.watch('o', hear)")
	r, err := p.Notify(ctx, "o", []byte("ours"), 0)
	if err != nil || len(r.Replies) != 1 || string(r.Replies[0].Payload) != "stock heard ours" {
		t.Fatalf("%+v, %v", r, err)
	}
	theirs.hears("hears ours")
	theirs.do("watch.close()")

	notifier := make(chan uint64, 1)
	w, err := p.Watch(ctx, "o", func(ctx context.Context, n *rados.Notification) {
		notifier <- n.Notifier
		if err := n.Ack(ctx, []byte("we heard "+string(n.Payload))); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	theirs.do("say(io.notify('o', 'theirs'))", "True")
	theirs.do("say(cluster.get_instance_id())", fmt.Sprint(<-notifier))
	must(t, w.Close(ctx))
}

func testSnapshotsWithStockClient(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	p := ownPool(t, ctx, c).Namespace("space")
	theirs := on.librados(t, p)
	must(t, p.WriteFull(ctx, "o", []byte("one")))
	theirs.do("io.create_snap('theirs')")
	snap, err := p.LookupSnap(ctx, "theirs")
	must(t, err)
	must(t, p.WriteFull(ctx, "o", []byte("two")))
	must(t, p.CreateSnap(ctx, "ours"))
	theirs.do("cluster.wait_for_latest_osdmap()") // and so will the OSD
	theirs.do("io.write_full('o', b'three')")
	wantContent(t, ctx, p.AtSnap(snap.ID), "o", "one")
	theirs.do("io.set_read(io.lookup_snap('ours').snap_id); say(io.read('o').decode())", "two")
	theirs.do("say([s.name for s in io.list_snaps()])", "['theirs', 'ours']")
	must(t, p.Rollback(ctx, "o", snap.ID))
	theirs.do("io.set_read(rados.LIBRADOS_SNAP_HEAD); say(io.read('o').decode())", "one")

	q := ownPool(t, ctx, c).Namespace("space")
	theirs = on.librados(t, q)
	first, err := q.CreateSelfManagedSnap(ctx)
	must(t, err)
	id := first + 1
	theirs.do("second = io.create_self_managed_snap(); say(second)", fmt.Sprint(id))
	must(t, q.WriteFull(ctx, "o", []byte("one")))
	theirs.do(fmt.Sprintf("first = %d; io.set_self_managed_snap_write([second, first])", first))
	theirs.do("io.write_full('o', b'two')")
	wantContent(t, ctx, q.AtSnap(first), "o", "one")
	wantContent(t, ctx, q.AtSnap(id), "o", "one")
	must(t, q.SnapContext(id, []uint64{id, first}).WriteFull(ctx, "o", []byte("three")))
	theirs.do("io.rollback_self_managed_snap('o', first); say(io.read('o').decode())", "one")
	theirs.do("io.remove_self_managed_snap(first)")
	must(t, q.RemoveSelfManagedSnap(ctx, id))
}
