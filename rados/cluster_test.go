package rados_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/internal/clusters"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
)

// cluster is the ceph.conf of a cluster that tests run on, ours or a stock one.
// They use the pool rados-test, in namespaces of their own, or pools of their
// own.
type cluster string

var clusterTests = []struct {
	name string
	run  func(*testing.T, cluster)
}{
	{"Content", testContent},
	{"LargeObject", testLargeObject},
	{"CompoundOperations", testCompoundOperations},
	{"XattrsAndOmap", testXattrsAndOmap},
	{"Listing", testListing},
	{"CopyFrom", testCopyFrom},
	{"Locks", testLocks},
	{"Commands", testCommands},
	{"PoolsAndStats", testPoolsAndStats},
	{"ContextEnds", testContextEnds},
	{"ManyAtOnce", testManyAtOnce},
	{"SecureMode", testSecureMode},
	{"WrongKey", testWrongKey},
	{"ClosedCluster", testClosedCluster},
	{"PoolSnapshots", testPoolSnapshots},
	{"SelfManagedSnapshots", testSelfManagedSnapshots},
	{"Blocklist", testBlocklist},
	{"WatchNotify", testWatchNotify},
	{"NotifyTimesOut", testNotifyTimesOut},
	{"WatchIsLost", testWatchIsLost},
	{"NotificationsInOrder", testNotificationsInOrder},
	{"WatchOverIntervals", testWatchOverIntervals},
	{"WatchWithStockClient", testWatchWithStockClient},
	{"SnapshotsWithStockClient", testSnapshotsWithStockClient},
}

func TestOnClusters(t *testing.T) {
	t.Parallel()
	clusters.Each(t, pulpotest.Options{OSDs: 2}, func(t *testing.T, conf string) {
		for _, x := range clusterTests {
			t.Run(x.name, func(t *testing.T) {
				t.Parallel()
				x.run(t, cluster(conf))
			})
		}
	})
}

func (on cluster) connect(t *testing.T, opts ...rados.Option) (*rados.Cluster, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	if os.Getenv("PULPO_TEST_LOG") != "" {
		opts = append(opts, rados.WithLog(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	}
	c, err := rados.ConnectFile(ctx, string(on), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, ctx
}

var poolOnce sync.Mutex

func testPool(t *testing.T, ctx context.Context, c *rados.Cluster) *rados.Pool {
	t.Helper()
	poolOnce.Lock()
	defer poolOnce.Unlock()
	p, err := c.Pool(ctx, "rados-test")
	if errors.Is(err, rados.ErrNotFound) {
		p, err = c.CreatePool(ctx, "rados-test", rados.PGNum(8))
	}
	if err != nil {
		t.Fatal(err)
	}
	p = p.Namespace(fmt.Sprintf("%s-%d-%d", t.Name(), os.Getpid(), rand.Uint32()))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for o, err := range p.Objects(ctx) {
			if err != nil {
				t.Errorf("clean up: %v", err)
				return
			}
			if err := p.Locator(o.Locator).Remove(ctx, o.Name); err != nil && !errors.Is(err, rados.ErrNotFound) {
				t.Errorf("clean up: %v", err)
			}
		}
	})
	return p
}

func (on cluster) open(t *testing.T) (*rados.Pool, context.Context) {
	t.Helper()
	c, ctx := on.connect(t)
	return testPool(t, ctx, c), ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func testContent(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	_, err := p.Stat(ctx, "o")
	wantErr(t, err, fs.ErrNotExist)
	var e *rados.Error
	if !errors.As(err, &e) || e.Op != "stat" || e.Object != "o" || e.Pool != "rados-test" {
		t.Fatalf("%#v", err)
	}

	check := func(want string) {
		t.Helper()
		got, err := p.ReadFull(ctx, "o")
		must(t, err)
		if string(got) != want {
			t.Fatalf("%q, want %q", got, want)
		}
		info, err := p.Stat(ctx, "o")
		must(t, err)
		if info.Size != uint64(len(want)) || time.Since(info.ModTime).Abs() > time.Minute {
			t.Fatalf("%+v", info)
		}
	}
	must(t, p.WriteFull(ctx, "o", []byte("hello world")))
	check("hello world")
	must(t, p.Write(ctx, "o", 6, []byte("W")))
	check("hello World")
	must(t, p.Append(ctx, "o", []byte("!")))
	check("hello World!")
	must(t, p.Write(ctx, "o", 14, []byte("gap")))
	check("hello World!\x00\x00gap")
	must(t, p.Truncate(ctx, "o", 5))
	check("hello")
	must(t, p.WriteSame(ctx, "o", 5, 6, []byte("xyz")))
	check("helloxyzxyz")
	must(t, p.Zero(ctx, "o", 0, 2))
	check("\x00\x00lloxyzxyz")
	wantErr(t, p.Zero(ctx, "o", 0, 0), rados.ErrInvalid)
	extents, data, err := p.SparseRead(ctx, "o", 3, 100)
	if err != nil || string(data) != "loxyzxyz" || len(extents) != 1 || extents[0] != (rados.Extent{Offset: 3, Length: 8}) {
		t.Fatalf("%v %q, %v", extents, data, err)
	}
	must(t, p.WriteFull(ctx, "o", nil))
	check("")
	must(t, p.WriteFull(ctx, "o", []byte("short")))
	check("short")

	buf := make([]byte, 10)
	n, err := p.Read(ctx, "o", 2, buf)
	if err != nil || string(buf[:n]) != "ort" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	n, err = p.Read(ctx, "o", 100, buf)
	if err != nil || n != 0 {
		t.Fatalf("%d bytes past the end, %v", n, err)
	}
	wantErr(t, p.Create(ctx, "o", true), fs.ErrExist)
	must(t, p.Create(ctx, "o", false))
	must(t, p.Remove(ctx, "o"))
	wantErr(t, p.Remove(ctx, "o"), rados.ErrNotFound)
}

func testLargeObject(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	data := make([]byte, 9<<20+17)
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(noise.Uint32())
	}
	must(t, p.WriteFull(ctx, "big", data))
	var out bytes.Buffer
	n, err := p.CopyTo(ctx, &out, "big")
	if err != nil || n != int64(len(data)) || !bytes.Equal(out.Bytes(), data) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	sum, err := p.Checksum(ctx, "big", 0, uint64(len(data)))
	must(t, err)
	if want := ^crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)); sum != want {
		t.Fatalf("checksum %#x, want %#x", sum, want)
	}
	var op rados.ReadOp
	sums := op.Checksum(rados.XXHash64, 0, 0, 1<<20, 1<<18)
	must(t, p.Query(ctx, "big", &op))
	if len(sums.Sums) != 4 || sums.Sums[0] == sums.Sums[1] {
		t.Fatalf("%x", sums.Sums)
	}
}

func testCompoundOperations(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	var w rados.WriteOp
	w.Create(true)
	w.SetAllocHint(1<<20, 4096, rados.AllocRandomWrite)
	w.WriteFull([]byte("content")).Hint(rados.HintDontNeed)
	w.SetXattr("color", []byte("blue"))
	w.OmapSet(map[string][]byte{"a": []byte("1"), "b": []byte("2")})
	stamp := time.Unix(1_600_000_000, 42)
	w.ModTime(stamp)
	must(t, p.Mutate(ctx, "o", &w))

	var r rados.ReadOp
	stat, data, color := r.Stat(), r.Read(0, 0), r.Xattr("color")
	missing := r.Xattr("taste")
	missing.MayFail()
	omap := r.OmapValues("", "", 10)
	must(t, p.Query(ctx, "o", &r))
	if !stat.ModTime.Equal(stamp) || string(data.Data) != "content" || string(color.Data) != "blue" || len(omap.Entries) != 2 || omap.More {
		t.Fatalf("%v %q %q %v", stat.ModTime, data.Data, color.Data, omap.Entries)
	}
	wantErr(t, missing.Err(), rados.ErrNoAttribute)
	version := r.ObjectVersion()

	// The second execution fails at its first step and changes nothing.
	err := p.Mutate(ctx, "o", &w)
	wantErr(t, err, rados.ErrExists)
	var e *rados.Error
	if !errors.As(err, &e) || e.Op != "create" {
		t.Fatalf("%+v", err)
	}
	// Nor does one that fails at its last.
	var half rados.WriteOp
	half.WriteFull([]byte("other"))
	half.CompareXattr("color", rados.Equal, []byte("red"))
	err = p.Mutate(ctx, "o", &half)
	wantErr(t, err, rados.ErrCanceled)
	if !errors.As(err, &e) || e.Op != "cmpxattr" {
		t.Fatalf("%+v", err)
	}
	got, err := p.ReadFull(ctx, "o")
	if err != nil || string(got) != "content" {
		t.Fatalf("%q, %v", got, err)
	}

	conditions := []struct {
		name string
		add  func(*rados.WriteOp)
		want error
	}{
		{"xattr equal", func(w *rados.WriteOp) { w.CompareXattr("color", rados.Equal, []byte("blue")) }, nil},
		{"xattr greater", func(w *rados.WriteOp) { w.CompareXattr("color", rados.Greater, []byte("zzz")) }, nil},
		{"xattr not less", func(w *rados.WriteOp) { w.CompareXattr("color", rados.Less, []byte("zzz")) }, rados.ErrCanceled},
		{"omap equal", func(w *rados.WriteOp) {
			w.CompareOmap(map[string]rados.OmapCondition{"a": {rados.Equal, []byte("1")}})
		}, nil},
		{"omap unequal", func(w *rados.WriteOp) {
			w.CompareOmap(map[string]rados.OmapCondition{"a": {rados.Equal, []byte("2")}})
		}, rados.ErrCanceled},
		{"extent equal", func(w *rados.WriteOp) { w.CompareExtent(3, []byte("tent")) }, nil},
		{"extent unequal", func(w *rados.WriteOp) { w.CompareExtent(3, []byte("test")) }, errno.EILSEQ},
		{"exists", func(w *rados.WriteOp) { w.AssertExists() }, nil},
	}
	for _, c := range conditions {
		var w rados.WriteOp
		c.add(&w)
		w.SetXattr("touched", []byte(c.name))
		if err := p.Mutate(ctx, "o", &w); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	var mismatch *rados.MismatchError
	if err := p.CompareExtent(ctx, "o", 3, []byte("test")); !errors.As(err, &mismatch) || mismatch.Offset != 2 {
		t.Fatalf("%v", err)
	}

	var old, young rados.WriteOp
	old.AssertVersion(version)
	old.Append([]byte("!"))
	wantErr(t, p.Mutate(ctx, "o", &old), rados.ErrNewer)
	young.AssertVersion(version + 1000)
	young.Append([]byte("!"))
	wantErr(t, p.Mutate(ctx, "o", &young), rados.ErrOlder)

	wantErr(t, p.Query(ctx, "o", new(rados.ReadOp)), rados.ErrInvalid)
}

func testXattrsAndOmap(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	must(t, p.SetXattr(ctx, "o", "one", []byte("1")))
	must(t, p.SetXattr(ctx, "o", "empty", nil))
	attrs, err := p.Xattrs(ctx, "o")
	must(t, err)
	if len(attrs) != 2 || string(attrs["one"]) != "1" || len(attrs["empty"]) != 0 {
		t.Fatalf("%q", attrs)
	}
	must(t, p.RemoveXattr(ctx, "o", "one"))
	_, err = p.Xattr(ctx, "o", "one")
	wantErr(t, err, rados.ErrNoAttribute)

	entries := map[string][]byte{}
	for i := range 3000 {
		entries[fmt.Sprintf("key-%05d", i)] = fmt.Appendf(nil, "value %d", i)
	}
	entries["other"] = []byte("x")
	must(t, p.OmapSet(ctx, "o", entries))
	must(t, p.OmapSetHeader(ctx, "o", []byte("head")))
	n, last := 0, ""
	for e, err := range p.Omap(ctx, "o", "key-") {
		must(t, err)
		if e.Key <= last || !bytes.Equal(e.Value, entries[e.Key]) {
			t.Fatalf("%q after %q is %q", e.Key, last, e.Value)
		}
		last = e.Key
		n++
	}
	if n != 3000 {
		t.Fatalf("%d entries", n)
	}
	n = 0
	for _, err := range p.OmapKeys(ctx, "o") {
		must(t, err)
		n++
	}
	if n != 3001 {
		t.Fatalf("%d keys", n)
	}
	head, err := p.OmapHeader(ctx, "o")
	if err != nil || string(head) != "head" {
		t.Fatalf("%q, %v", head, err)
	}
	some, err := p.OmapGet(ctx, "o", "other", "key-00001", "nothing")
	if err != nil || len(some) != 2 || string(some["other"]) != "x" {
		t.Fatalf("%q, %v", some, err)
	}
	must(t, p.OmapRemove(ctx, "o", "other", "nothing"))
	var rm rados.WriteOp
	rm.OmapRemoveRange("key-00010", "key-02999")
	must(t, p.Mutate(ctx, "o", &rm))
	n = 0
	for range p.OmapKeys(ctx, "o") {
		n++
	}
	if n != 11 {
		t.Fatalf("%d keys left", n)
	}
	must(t, p.OmapClear(ctx, "o"))
	for k, err := range p.OmapKeys(ctx, "o") {
		t.Fatal(k, err)
	}
	for _, err := range p.OmapKeys(ctx, "no such object") {
		wantErr(t, err, rados.ErrNotFound)
	}
}

func testListing(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	want := map[string]bool{}
	var work sync.WaitGroup
	for i := range 500 {
		name := fmt.Sprintf("object/%d", i)
		want[name] = true
		work.Go(func() {
			if err := p.Create(ctx, name, true); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	must(t, p.Locator("together").WriteFull(ctx, "placed", nil))
	want["placed"] = true

	got := map[string]bool{}
	for o, err := range p.Objects(ctx) {
		must(t, err)
		if got[o.Name] || !want[o.Name] || (o.Locator != "") != (o.Name == "placed") {
			t.Fatalf("%+v", o)
		}
		got[o.Name] = true
	}
	if len(got) != len(want) {
		t.Fatalf("%d objects of %d", len(got), len(want))
	}

	// In small steps, with the cursor as a text in between.
	clear(got)
	for at := (rados.Cursor{}); !at.End(); {
		entries, next, err := p.List(ctx, at, 7)
		must(t, err)
		for _, o := range entries {
			if got[o.Name] {
				t.Fatalf("%s is listed twice", o.Name)
			}
			got[o.Name] = true
		}
		text, err := next.MarshalText()
		must(t, err)
		at = rados.Cursor{}
		must(t, at.UnmarshalText(text))
	}
	if len(got) != len(want) {
		t.Fatalf("%d objects of %d", len(got), len(want))
	}
	found := false
	for o, err := range p.Namespace(rados.AllNamespaces).Objects(ctx) {
		must(t, err)
		if o.Name == "placed" && strings.HasPrefix(o.Namespace, t.Name()) {
			found = true
			break
		}
	}
	if !found {
		t.Fatal("not in all namespaces")
	}
}

func testCopyFrom(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	must(t, p.WriteFull(ctx, "source", []byte("data")))
	must(t, p.SetXattr(ctx, "source", "a", []byte("x")))
	must(t, p.OmapSet(ctx, "source", map[string][]byte{"k": []byte("v")}))
	must(t, p.CopyFrom(ctx, "copy", p, "source"))
	got, err := p.ReadFull(ctx, "copy")
	if err != nil || string(got) != "data" {
		t.Fatalf("%q, %v", got, err)
	}
	a, err := p.Xattr(ctx, "copy", "a")
	if err != nil || string(a) != "x" {
		t.Fatalf("%q, %v", a, err)
	}
	wantErr(t, p.CopyFrom(ctx, "copy", p, "nothing"), rados.ErrNotFound)
}

func testLocks(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	other, _ := on.connect(t)
	q, err := other.Pool(ctx, "rados-test")
	must(t, err)
	q = q.Namespace(p.NamespaceName())
	l := rados.Lock{Name: "l", Cookie: "c", Description: "for the test"}
	must(t, p.Lock(ctx, "o", l))
	wantErr(t, p.Lock(ctx, "o", l), rados.ErrExists)
	wantErr(t, q.Lock(ctx, "o", l), rados.ErrBusy)
	l.Renew = true
	l.Duration = time.Hour
	must(t, p.Lock(ctx, "o", l))
	info, err := q.LockInfo(ctx, "o", "l")
	must(t, err)
	if len(info.Holders) != 1 || info.Shared || info.Holders[0].Cookie != "c" || info.Holders[0].Description != "for the test" ||
		time.Until(info.Holders[0].Expires) < 50*time.Minute {
		t.Fatalf("%+v", info)
	}
	names, err := q.Locks(ctx, "o")
	if err != nil || !slices.Equal(names, []string{"l"}) {
		t.Fatalf("%q, %v", names, err)
	}
	var op rados.WriteOp
	op.AssertLocked(rados.Lock{Name: "l", Cookie: "c"})
	op.WriteFull([]byte("mine"))
	must(t, p.Mutate(ctx, "o", &op))
	wantErr(t, q.Mutate(ctx, "o", &op), rados.ErrBusy)
	must(t, q.BreakLock(ctx, "o", "l", info.Holders[0].Client, "c"))
	wantErr(t, p.Unlock(ctx, "o", "l", "c"), rados.ErrNotFound)

	shared := rados.Lock{Name: "s", Shared: true, Tag: "t"}
	must(t, p.Lock(ctx, "o", shared))
	must(t, q.Lock(ctx, "o", shared))
	info, err = p.LockInfo(ctx, "o", "s")
	if err != nil || len(info.Holders) != 2 || !info.Shared || info.Tag != "t" {
		t.Fatalf("%+v, %v", info, err)
	}
	must(t, p.Unlock(ctx, "o", "s", ""))
	wantErr(t, p.SetLockCookie(ctx, "o", shared, "new"), rados.ErrBusy)
	must(t, q.SetLockCookie(ctx, "o", shared, "new"))
	info, err = p.LockInfo(ctx, "o", "s")
	if err != nil || len(info.Holders) != 1 || info.Holders[0].Cookie != "new" || info.Holders[0].Addr != other.Addr() {
		t.Fatalf("%+v, %v", info, err)
	}
	must(t, p.EvictLock(ctx, "o", "s", info.Holders[0], time.Hour))
	must(t, p.Lock(ctx, "o", rados.Lock{Name: "s"}))
	wantErr(t, q.WriteFull(ctx, "o", []byte("late")), rados.ErrBlocklisted)
	wantErr(t, p.EvictLock(ctx, "o", "s", info.Holders[0], 0), rados.ErrNotFound)
	must(t, other.BlocklistRemove(ctx, other.Addr()))
	wantErr(t, p.BreakLock(ctx, "o", "s", "nobody", ""), rados.ErrInvalid)
}

func testCommands(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	testPool(t, ctx, c)
	r, err := c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "fsid", "format": "json"}, nil)
	must(t, err)
	var fsid struct{ FSID string }
	must(t, json.Unmarshal(r.Data, &fsid))
	if fsid.FSID != c.FSID() || c.InstanceID() == 0 {
		t.Fatalf("%s, connected to %s as %d", fsid.FSID, c.FSID(), c.InstanceID())
	}
	_, err = c.Command(ctx, rados.ToMons(), map[string]string{"prefix": "no such thing"}, nil)
	wantErr(t, err, rados.ErrInvalid)
	var ce *rados.CommandError
	if !errors.As(err, &ce) || ce.Status == "" || ce.Prefix != "no such thing" {
		t.Fatalf("%+v", err)
	}
	for _, to := range []rados.Target{rados.ToMon("a"), rados.ToOSD(0)} {
		r, err := c.Command(ctx, to, map[string]string{"prefix": "version"}, nil)
		if err != nil || len(r.Data) == 0 {
			t.Errorf("%v: %q, %v", to, r.Data, err)
		}
	}
	if r, err := c.Command(ctx, rados.ToMgr(), map[string]string{"prefix": "pg dump", "format": "json"}, nil); err != nil || !json.Valid(r.Data) {
		t.Errorf("pg dump: %d bytes, %v", len(r.Data), err)
	}
	pool, err := c.Pool(ctx, "rados-test")
	must(t, err)
	pg, osds, err := pool.Locate("x")
	if err != nil || len(osds) == 0 {
		t.Fatal(pg, osds, err)
	}
	r, err = c.Command(ctx, rados.ToPG(pg), map[string]string{"prefix": "pg", "pgid": pg, "cmd": "query"}, nil)
	if err != nil || !json.Valid(r.Data) {
		t.Errorf("pg query: %q, %v", r.Data, err)
	}
	_, err = c.Command(ctx, rados.ToOSD(4711), map[string]string{"prefix": "version"}, nil)
	wantErr(t, err, rados.ErrNotFound)
}

func testPoolsAndStats(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	name := fmt.Sprintf("rados-test-%d-%d", os.Getpid(), rand.Uint32())
	p, err := c.CreatePool(ctx, name, rados.PGNum(4), rados.Application("testing"))
	must(t, err)
	deleted := false
	defer func() {
		if !deleted {
			_ = c.DeletePool(context.WithoutCancel(ctx), name)
		}
	}()
	_, err = c.CreatePool(ctx, name)
	wantErr(t, err, rados.ErrExists)
	info, err := p.Info()
	if err != nil || info.PGNum != 4 || !slices.Equal(info.Applications, []string{"testing"}) || info.Erasure {
		t.Fatalf("%+v, %v", info, err)
	}
	pools, err := c.Pools(ctx)
	must(t, err)
	if !slices.ContainsFunc(pools, func(i rados.PoolInfo) bool { return i.Name == name && i.ID == p.ID() }) {
		t.Fatalf("%+v", pools)
	}
	must(t, p.WriteFull(ctx, "o", []byte("x")))
	stats, err := c.Stats(ctx)
	if err != nil || stats.Total == 0 || stats.Available == 0 {
		t.Fatalf("%+v, %v", stats, err)
	}
	if _, err = c.PoolStats(ctx, name); err != nil {
		t.Fatal(err)
	}

	// An operation on a pool that goes away fails, whether its client knows of
	// the pool or not.
	other, _ := on.connect(t)
	q, err := other.PoolByID(ctx, p.ID())
	must(t, err)
	must(t, c.DeletePool(ctx, name))
	deleted = true
	_, err = p.Stat(ctx, "o")
	wantErr(t, err, rados.ErrNotFound)
	for err = nil; err == nil; _, err = q.Stat(ctx, "o") { // until the OSD has heard of it
	}
	wantErr(t, err, rados.ErrNotFound)
	_, err = c.Pool(ctx, name)
	wantErr(t, err, fs.ErrNotExist)
}

func testContextEnds(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, p.WriteFull(gone, "o", []byte("x")), context.Canceled)
	// Whatever happened, the client goes on.
	for range 50 {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(2_000_000)))
		if err := p.WriteFull(short, "o", make([]byte, 1<<16)); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
	}
	must(t, p.WriteFull(ctx, "o", []byte("y")))
}

func testManyAtOnce(t *testing.T, on cluster) {
	p, ctx := on.open(t)
	var work sync.WaitGroup
	for i := range 32 {
		work.Go(func() {
			for j := range 20 {
				name := fmt.Sprintf("o%d", (i+j)%40)
				if err := p.WriteFull(ctx, name, bytes.Repeat([]byte{byte(i)}, 4096)); err != nil {
					t.Error(err)
				}
				got, err := p.ReadFull(ctx, name)
				if err != nil || len(got) != 4096 || bytes.Count(got, got[:1]) != 4096 {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}
		})
	}
	work.Wait()
}

func testSecureMode(t *testing.T, on cluster) {
	c, ctx := on.connect(t, rados.WithOption("ms_client_mode", "secure"), rados.WithOption("ms mon client mode", "secure"))
	p := testPool(t, ctx, c)
	data := bytes.Repeat([]byte("secret"), 50_000)
	must(t, p.WriteFull(ctx, "o", data))
	got, err := p.ReadFull(ctx, "o")
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func testWrongKey(t *testing.T, on cluster) {
	cfg, err := rados.ReadConfig(string(on))
	must(t, err)
	for _, change := range []func(*rados.Config){
		func(c *rados.Config) { c.Key = "AQBlDExnAAAAABAAq0tTCu3BRnPY/xu6fIZxGQ==" },
		func(c *rados.Config) { c.Name = "client.nobody" },
	} {
		bad := cfg
		change(&bad)
		_, err := rados.Connect(t.Context(), bad)
		wantErr(t, err, rados.ErrAccess)
	}
}

func testClosedCluster(t *testing.T, on cluster) {
	c, ctx := on.connect(t)
	p := testPool(t, ctx, c)
	must(t, p.WriteFull(ctx, "o", nil))
	must(t, p.Remove(ctx, "o"))
	c2, _ := on.connect(t)
	p2, err := c2.Pool(ctx, "rados-test")
	must(t, err)
	c2.Close()
	wantErr(t, p2.WriteFull(ctx, "o", nil), rados.ErrClosed)
	_, err = c2.Command(ctx, rados.ToMons(), map[string]string{"prefix": "fsid"}, nil)
	wantErr(t, err, rados.ErrClosed)
	_, err = c2.Stats(ctx)
	wantErr(t, err, rados.ErrClosed)
}
