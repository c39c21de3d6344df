package rados_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/rados"
)

// ownPool makes a pool for a test: which kind of snapshots a pool has is decided
// once.
func ownPool(t *testing.T, ctx context.Context, c *rados.Cluster) *rados.Pool {
	t.Helper()
	name := fmt.Sprintf("rados-test-%d-%d", os.Getpid(), rand.Uint32())
	p, err := c.CreatePool(ctx, name, rados.PGNum(4))
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.DeletePool(ctx, name); err != nil && !errors.Is(err, rados.ErrNotFound) {
			t.Errorf("clean up: %v", err)
		}
	})
	return p
}

func wantContent(t *testing.T, ctx context.Context, p *rados.Pool, name, want string) {
	t.Helper()
	got, err := p.ReadFull(ctx, name)
	if err != nil || string(got) != want {
		t.Fatalf("%s: %q, %v; want %q", name, got, err, want)
	}
}

func testPoolSnapshots(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	p := ownPool(t, ctx, c)
	must(t, p.WriteFull(ctx, "o", []byte("old content")))
	_, err := p.LookupSnap(ctx, "first")
	wantErr(t, err, rados.ErrNotFound)
	wantErr(t, p.RemoveSnap(ctx, "first"), rados.ErrNotFound)
	must(t, p.CreateSnap(ctx, "first"))
	wantErr(t, p.CreateSnap(ctx, "first"), rados.ErrExists)
	_, err = p.CreateSelfManagedSnap(ctx)
	wantErr(t, err, rados.ErrInvalid)
	snaps, err := p.PoolSnaps(ctx)
	if err != nil || len(snaps) != 1 || snaps[0].Name != "first" || time.Since(snaps[0].Created).Abs() > time.Minute {
		t.Fatalf("%+v, %v", snaps, err)
	}
	first, err := p.LookupSnap(ctx, "first")
	if err != nil || first != snaps[0] {
		t.Fatalf("%+v, %v", first, err)
	}
	if info, err := p.SnapInfo(first.ID); err != nil || info != first {
		t.Fatalf("%+v, %v", info, err)
	}
	_, err = p.SnapInfo(4711)
	wantErr(t, err, rados.ErrNotFound)

	must(t, p.Write(ctx, "o", 0, []byte("new")))
	must(t, p.WriteFull(ctx, "later", []byte("x")))
	at := p.AtSnap(first.ID)
	wantContent(t, ctx, p, "o", "new content")
	wantContent(t, ctx, at, "o", "old content")
	_, err = at.Stat(ctx, "later")
	wantErr(t, err, rados.ErrNotFound)
	wantErr(t, at.WriteFull(ctx, "o", nil), rados.ErrReadOnly)
	all, err := p.Snaps(ctx, "o")
	want := rados.Clone{ID: first.ID, Snaps: []uint64{first.ID}, Overlap: []rados.Extent{{3, 8}}, Size: 11}
	if err != nil || len(all.Clones) != 2 || fmt.Sprint(all.Clones[0]) != fmt.Sprint(want) || all.Clones[1].ID != rados.HeadClone || all.Seq != first.ID {
		t.Fatalf("%+v, %v; want %+v", all, err, want)
	}
	must(t, p.Rollback(ctx, "o", first.ID))
	wantContent(t, ctx, p, "o", "old content")
	must(t, p.Remove(ctx, "o"))
	wantContent(t, ctx, at, "o", "old content")
	_, err = p.Stat(ctx, "o")
	wantErr(t, err, rados.ErrNotFound)
	must(t, p.RemoveSnap(ctx, "first"))
	if snaps, err = p.PoolSnaps(ctx); err != nil || len(snaps) != 0 {
		t.Fatalf("%+v, %v", snaps, err)
	}
	for _, err = at.Stat(ctx, "o"); !errors.Is(err, rados.ErrNotFound); _, err = at.Stat(ctx, "o") {
		must(t, err) // until it is trimmed
	}
}

func testSelfManagedSnapshots(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	p := ownPool(t, ctx, c)
	var ids []uint64 // newest first
	write := func(content string) {
		t.Helper()
		seq := uint64(0)
		if len(ids) > 0 {
			seq = ids[0]
		}
		must(t, p.SnapContext(seq, ids).WriteFull(ctx, "o", []byte(content)))
	}
	snap := func() uint64 {
		t.Helper()
		id, err := p.CreateSelfManagedSnap(ctx)
		must(t, err)
		if len(ids) > 0 && id <= ids[0] {
			t.Fatalf("%d after %d", id, ids[0])
		}
		ids = slices.Insert(ids, 0, id)
		return id
	}
	write("zero")
	one := snap()
	wantErr(t, p.CreateSnap(ctx, "named"), rados.ErrInvalid)
	write("one")
	two := snap()
	three := snap()
	write("three")
	for id, want := range map[uint64]string{one: "zero", two: "one", three: "one"} {
		wantContent(t, ctx, p.AtSnap(id), "o", want)
	}
	all, err := p.Snaps(ctx, "o")
	if err != nil || len(all.Clones) != 3 || !slices.Equal(all.Clones[1].Snaps, []uint64{three, two}) && !slices.Equal(all.Clones[1].Snaps, []uint64{two, three}) || all.Seq != three {
		t.Fatalf("%+v, %v", all, err)
	}
	must(t, p.SnapContext(three, ids).Rollback(ctx, "o", one))
	wantContent(t, ctx, p, "o", "zero")

	// The context is that of each write: an older one is taken, unless the
	// writer wants to hear of it.
	wantErr(t, p.SnapContext(one, []uint64{one}).OrderedSnaps().WriteFull(ctx, "o", []byte("late")), rados.ErrStaleSnaps)
	must(t, p.SnapContext(one, []uint64{one}).WriteFull(ctx, "o", []byte("late")))
	wantErr(t, p.SnapContext(two, []uint64{one, two}).WriteFull(ctx, "o", nil), rados.ErrInvalid)

	must(t, p.RemoveSelfManagedSnap(ctx, one))
	must(t, p.RemoveSelfManagedSnap(ctx, one))
	wantContent(t, ctx, p.AtSnap(two), "o", "one")
	for err = nil; !errors.Is(err, rados.ErrNotFound); _, err = p.AtSnap(one).Stat(ctx, "o") {
		must(t, err) // until it is trimmed
	}
}

func testBlocklist(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	p := testPool(t, ctx, c)
	bad, _ := on.connect(t)
	q, err := bad.Pool(ctx, p.Name())
	must(t, err)
	q = q.Namespace(p.NamespaceName())
	must(t, q.WriteFull(ctx, "o", []byte("before")))
	if bad.Blocklisted() {
		t.Fatal("blocklisted from the start")
	}
	select {
	case <-bad.Fenced():
		t.Fatal("fenced from the start")
	default:
	}
	must(t, c.BlocklistAdd(ctx, bad.Addr(), time.Hour))
	list, err := c.Blocklist(ctx)
	must(t, err)
	if !slices.ContainsFunc(list, func(e rados.BlocklistEntry) bool {
		return e.Addr == bad.Addr() && time.Until(e.Until) > 55*time.Minute
	}) {
		t.Fatalf("%+v lacks %s", list, bad.Addr())
	}
	must(t, p.WriteFull(ctx, "o", []byte("after"))) // the OSD learns of the map
	wantErr(t, q.WriteFull(ctx, "o", []byte("late")), rados.ErrBlocklisted)
	<-bad.Fenced()
	wantContent(t, ctx, p, "o", "after")
	must(t, bad.WaitLatestMap(ctx))
	if !bad.Blocklisted() || c.Blocklisted() {
		t.Fatal("the map does not say it")
	}
	must(t, c.BlocklistRemove(ctx, bad.Addr()))
	must(t, p.WriteFull(ctx, "o", []byte("again")))
	must(t, q.WriteFull(ctx, "o", []byte("back")))
	wantErr(t, c.BlocklistAdd(ctx, "nonsense", 0), rados.ErrInvalid)
}
