package writeback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// memory is a store that fails when it is told to, and does not stand writes that
// overlap.
type memory struct {
	t  interface{ Errorf(string, ...any) }
	mu sync.Mutex

	bytes []byte
	busy  []span
	fail  error
	calls int
	delay time.Duration
}

type span struct{ off, end int64 }

func (m *memory) Write(ctx context.Context, p []byte, off int64) error {
	return m.change(off, int64(len(p)), func(to []byte) { copy(to, p) })
}

func (m *memory) Zero(ctx context.Context, off, n int64) error {
	return m.change(off, n, func(to []byte) { clear(to) })
}

func (m *memory) change(off, n int64, f func([]byte)) error {
	me := span{off, off + n}
	m.mu.Lock()
	for _, s := range m.busy {
		if s.off < me.end && me.off < s.end {
			m.t.Errorf("%v is written while %v is", me, s)
		}
	}
	m.calls++
	m.busy = append(m.busy, me)
	fail := m.fail
	m.mu.Unlock()
	if m.delay > 0 {
		time.Sleep(m.delay)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy = slices.DeleteFunc(m.busy, func(s span) bool { return s == me })
	if fail == nil || off%2 == 0 { // what failed may be done all the same
		f(m.bytes[off:][:n])
	}
	return fail
}

func (m *memory) enter(context.Context) (Store, func(), error) { return m, func() {}, nil }

func (m *memory) content() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.bytes)
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

func (m *memory) failing(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// check panics if an invariant does not hold.
func (c *Cache) check() {
	c.mu.Lock()
	defer c.mu.Unlock()
	bad := func(format string, args ...any) { panic("BUG: " + fmt.Sprintf(format, args...)) }
	held := int64(0)
	for i, e := range c.dirty {
		if e.n <= 0 || e.data != nil && (int64(len(e.data)) != e.n || e.holds < e.n) {
			bad("extent %d: %+v", i, e)
		}
		if i > 0 && c.dirty[i-1].end() > e.off {
			bad("%+v overlaps %+v", c.dirty[i-1], e)
		}
		if i > 0 && c.dirty[i-1].end() == e.off && e.data == nil && c.dirty[i-1].data == nil {
			bad("zeros at %d touch", e.off)
		}
		if e.data != nil && e.off/c.o.Block != (e.end()-1)/c.o.Block {
			bad("%+v is in several blocks", e)
		}
		if e.queue == nil || e.queue.Value.(*extent) != e {
			bad("%+v is not queued", e)
		}
		held += e.cost()
	}
	if c.queue.Len() != len(c.dirty) {
		bad("%d queued, %d dirty", c.queue.Len(), len(c.dirty))
	}
	for el := c.queue.Front(); el != nil && el.Next() != nil; el = el.Next() {
		if a, b := el.Value.(*extent), el.Next().Value.(*extent); a.since > b.since {
			bad("%d is queued before %d", a.since, b.since)
		}
	}
	for i, e := range c.writing {
		held += e.cost()
		for _, w := range c.writing[:i] {
			if w.meets(e.off, e.end()) {
				bad("two writes at %d", e.off)
			}
		}
	}
	if held != c.held || c.held+c.reserved > c.o.MaxDirty {
		bad("%d held, counted %d, %d reserved", held, c.held, c.reserved)
	}
}

func put(t rapid.TB, c *Cache, p []byte, off int64) {
	t.Helper()
	room, err := c.Reserve(context.Background(), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Write(c.Era(), p, off) {
		t.Fatal("not written")
	}
	c.Release(room)
}

func zero(t rapid.TB, c *Cache, off, n int64) {
	t.Helper()
	room, err := c.Reserve(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Zero(c.Era(), off, n) {
		t.Fatal("not written")
	}
	c.Release(room)
}

func read(c *Cache, m *memory, off, n int64) []byte {
	patch := c.Look(off, n)
	p := bytes.Repeat([]byte{0xee}, int(n))
	if !patch.Whole() {
		copy(p, m.content()[off:])
	}
	patch.Apply(p)
	return p
}

// A random history: reads see the newest bytes, and after a crash each byte is
// what it was at the last flush that succeeded or what was written to it since.
func TestModel(t *testing.T) {
	t.Parallel()
	const size = 40000
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		m := &memory{t: t, bytes: make([]byte, size)}
		var c *Cache
		var stop func()
		start := func() {
			c = New(Options{MaxDirty: MinDirty, TargetDirty: int64(rapid.SampledFrom([]int{0, 8000, 1 << 20}).Draw(t, "target")),
				MaxAge: time.Hour, Block: MinBlock << rapid.IntRange(0, 3).Draw(t, "block")})
			runs, cancel := context.WithCancel(ctx)
			var wg sync.WaitGroup
			wg.Go(func() { c.Run(runs, m.enter) })
			stop = func() { cancel(); wg.Wait() }
		}
		start()
		defer func() { stop() }()
		head := make([]byte, size)
		allowed := make([][]byte, size) // what each byte may be after a crash
		sync := func() {
			for i := range allowed {
				allowed[i] = append(allowed[i][:0], head[i])
			}
		}
		sync()
		wrote := func(off, n int64) {
			for i := off; i < off+n; i++ {
				allowed[i] = append(allowed[i], head[i])
			}
		}
		span := func() (off, n int64) {
			off = rapid.Int64Range(0, size-1).Draw(t, "off")
			n = rapid.Int64Range(1, min(size-off, rapid.SampledFrom([]int64{20, 2000, 15000}).Draw(t, "most"))).Draw(t, "n")
			return
		}
		bad := errors.New("bad")
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"write", "write", "write", "next", "zero", "read", "flush", "drain", "fail", "crash", "invalidate"}).Draw(t, "step") {
			case "write", "next":
				off, n := span()
				p := bytes.Repeat([]byte{byte(i + 1)}, int(n))
				copy(head[off:], p)
				wrote(off, n)
				if room, err := c.Reserve(ctx, n); err != nil {
					copy(head[off:], read(c, m, off, n)) // it was refused
				} else {
					c.Write(c.Era(), p, off)
					c.Release(room)
				}
			case "zero":
				off, n := span()
				clear(head[off : off+n])
				wrote(off, n)
				zero(t, c, off, n)
			case "read":
				off, n := span()
				if got := read(c, m, off, n); !bytes.Equal(got, head[off:off+n]) {
					t.Fatalf("read %d bytes at %d: %v, want %v", n, off, got, head[off:off+n])
				}
			case "flush":
				m.mu.Lock()
				failing := m.fail
				m.mu.Unlock()
				err := c.Flush(ctx)
				if err != nil && failing == nil {
					t.Fatal(err)
				}
				if err == nil {
					sync()
				}
				m.failing(nil)
			case "drain":
				m.failing(nil)
				stop()
				if err := c.Drain(ctx, m); err != nil {
					t.Fatal(err)
				}
				sync()
				if !bytes.Equal(m.content(), head) {
					t.Fatal("drained, and not all is in the store")
				}
				start()
			case "fail":
				m.failing(bad)
			case "crash", "invalidate":
				stop()
				m.failing(nil)
				had := len(c.dirty) > 0
				c.Invalidate(bad)
				if err := c.Flush(ctx); had && !errors.Is(err, bad) {
					t.Fatalf("what was lost was not reported: %v", err)
				}
				if err := c.Flush(ctx); err != nil {
					t.Fatalf("it was reported twice: %v", err)
				}
				c.check()
				for i, b := range m.content() {
					if !slices.Contains(allowed[i], b) {
						t.Fatalf("byte %d is %d after a crash, allowed are %v", i, b, allowed[i])
					}
					head[i] = b
				}
				sync()
				start()
			}
			c.check()
		}
		m.failing(nil)
		if err := c.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.content(), head) {
			t.Fatal("flushed, and not all is in the store")
		}
	})
}

// Many writers with ranges of their own, flushes, and a store that takes its time
// and fails now and then.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 30000
	m := &memory{t: t, bytes: make([]byte, writers*each), delay: time.Millisecond}
	c := New(Options{MaxDirty: 1 << 18, TargetDirty: 1 << 16, MaxAge: 5 * time.Millisecond, Block: 1 << 13})
	var all, run sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	run.Go(func() { c.Run(ctx, m.enter) })
	for w := range int64(writers) {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			head := make([]byte, each)
			for i := range 300 {
				off := r.Int64N(each - 1)
				n := 1 + r.Int64N(min(each-off, 9000))
				switch r.IntN(8) {
				case 0:
					clear(head[off : off+n])
					zero(t, c, w*each+off, n)
				case 1:
					if err := c.Flush(ctx); err != nil {
						t.Error(err)
					}
					if !bytes.Equal(m.content()[w*each:][:each], head) {
						t.Error("flushed, and not all is in the store")
					}
				case 2, 3:
					if !bytes.Equal(read(c, m, w*each+off, n), head[off:off+n]) {
						t.Error("read something else")
					}
				default:
					p := bytes.Repeat([]byte{byte(i)}, int(n))
					copy(head[off:], p)
					put(t, c, p, w*each+off)
				}
				c.check()
			}
		})
	}
	all.Wait()
	cancel()
	run.Wait()
}

// Small writes one after the other become one.
func TestMerges(t *testing.T) {
	t.Parallel()
	m := &memory{t: t, bytes: make([]byte, 1<<20)}
	c := New(Options{MaxDirty: 1 << 20, TargetDirty: 1 << 20, MaxAge: time.Hour, Block: 1 << 16})
	for i := range int64(64) {
		put(t, c, bytes.Repeat([]byte{1}, 1024), (i*37%64)*1024) // in any order
	}
	zero(t, c, 1<<16, 1000)
	zero(t, c, 1<<16+2000, 1000)
	zero(t, c, 1<<16+500, 2000)
	if err := c.Drain(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if m.calls != 2 {
		t.Errorf("%d writes, want 2", m.calls)
	}
	c.check()
}

// What is old is written without a flush, and what failed is tried again; both in
// their time.
func TestTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{t: t, bytes: make([]byte, 1<<16)}
		c := New(Options{MaxDirty: 1 << 17, TargetDirty: 1 << 17, MaxAge: time.Second, Block: 1 << 16})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Run(ctx, m.enter)
		wantCalls := func(after time.Duration, n int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := m.count(); got != n {
				t.Fatalf("%d writes, want %d", got, n)
			}
		}
		put(t, c, []byte{1}, 0)
		wantCalls(900*time.Millisecond, 0)
		put(t, c, []byte{2}, 0)
		wantCalls(200*time.Millisecond, 1)
		bad := errors.New("bad")
		m.failing(bad)
		put(t, c, []byte{3}, 0)
		wantCalls(1100*time.Millisecond, 2)
		wantCalls(time.Second, 3)
		if err := c.Flush(ctx); err != bad {
			t.Fatalf("flush: %v", err)
		}
		wantCalls(0, 4)
		m.failing(nil)
		wantCalls(1100*time.Millisecond, 5)
		if err := c.Flush(ctx); err != nil || m.content()[0] != 3 {
			t.Fatalf("flush: %v, %d", err, m.content()[0])
		}
		// A writer without room has the others written, and hears why they are not.
		big := make([]byte, 1<<16)
		put(t, c, big, 0)
		m.failing(bad)
		if _, err := c.Reserve(ctx, 1<<16); err != bad {
			t.Fatalf("reserve: %v", err)
		}
		m.failing(nil)
		room, err := c.Reserve(ctx, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		c.Release(room)
		if err := c.Drain(ctx, m); err != nil {
			t.Fatal(err)
		}
		short, stop := context.WithCancel(ctx)
		stop()
		put(t, c, big, 0)
		if _, err := c.Reserve(short, 1<<16); !errors.Is(err, context.Canceled) {
			t.Fatalf("reserve: %v", err)
		}
	})
}

// A change of an era that is over is not taken.
func TestEras(t *testing.T) {
	t.Parallel()
	c := New(Options{MaxDirty: MinDirty, TargetDirty: 1, MaxAge: time.Hour, Block: MinBlock})
	era := c.Era()
	c.Invalidate(errors.New("nothing was lost"))
	if c.Write(era, []byte{1}, 0) || c.Zero(era, 0, 1) {
		t.Error("taken")
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if p := c.Look(0, 10); len(p.parts) != 0 || p.Whole() {
		t.Errorf("%+v", p)
	}
}
