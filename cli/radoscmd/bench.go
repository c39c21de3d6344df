package radoscmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/wire"
)

// lastRun is the object that says what the last write benchmark left behind.
const lastRun = "benchmark_last_metadata"

// runInfo is its content (ObjBencher).
type runInfo struct {
	objectSize uint64
	ops        uint32 // done
	pid        uint32
	opSize     uint64
}

func (r runInfo) Encode(e *wire.Encoder) {
	e.U64(r.objectSize)
	e.U32(r.ops)
	e.U32(r.pid)
	e.U64(r.opSize)
}

func (r *runInfo) Decode(d *wire.Decoder) {
	r.objectSize = d.U64()
	r.ops = d.U32()
	r.pid = d.U32()
	r.opSize = r.objectSize
	if d.Left() > 0 { // not written by old tools
		r.opSize = d.U64()
	}
	if d.Err() == nil && (r.opSize == 0 || r.objectSize < r.opSize) {
		d.Failf("operations of %d bytes on objects of %d", r.opSize, r.objectSize)
	}
}

func benchPrefix(host string, pid uint32) string {
	return fmt.Sprintf("benchmark_data_%s_%d", host, pid)
}

func (r *runInfo) perObject() uint64 { return r.objectSize / r.opSize }

// place is where an operation goes.
func (r *runInfo) place(prefix string, op uint64) (name string, off uint64) {
	return prefix + "_object" + strconv.FormatUint(op/r.perObject(), 10), op % r.perObject() * r.opSize
}

// stamp is what the data of an operation begins with; the rest are z.
func benchStamp(buf []byte, op uint64) {
	copy(buf, fmt.Sprintf("I'm the %16dth op!\x00", op))
}

type bench struct {
	s        *settings
	p        *rados.Pool
	run      runInfo
	prefix   string
	threads  int
	seconds  int
	noVerify bool
	noHints  bool
	maxObjs  uint64

	begin    time.Time
	started  atomic.Int64
	finished atomic.Int64

	mu      sync.Mutex
	lat     stat
	lastLat float64
	rates   stat // operations finished in each second
	perSec  stat // MB/s
	wrong   int  // objects with other content
}

// stat is a sum with what describes it.
type stat struct {
	n                  int
	sum, min, max      float64
	mean, sumOfSquares float64 // Welford's
}

func (s *stat) add(x float64) {
	if s.n == 0 || x < s.min {
		s.min = x
	}
	s.max = max(s.max, x)
	s.n++
	s.sum += x
	d := x - s.mean
	s.mean += d / float64(s.n)
	s.sumOfSquares += d * (x - s.mean)
}

func (s *stat) deviation() float64 {
	if s.n < 2 {
		return 0
	}
	return math.Sqrt(s.sumOfSquares / float64(s.n-1))
}

func (s *settings) bench() *cobra.Command {
	b := &bench{s: s}
	var noCleanup bool
	var runName string
	cmd := &cobra.Command{
		Use: "bench SECONDS write|seq|rand", Short: "Measure writes, or reads of what a write benchmark left", Args: cobra.ExactArgs(2),
	}
	f := cmd.Flags()
	f.IntVarP(&b.threads, "concurrent-ios", "t", 16, "operations in flight")
	f.BoolVar(&noCleanup, "no-cleanup", false, "leave what write has written, for seq and rand")
	f.StringVar(&runName, "run-name", lastRun, "object that remembers the run")
	f.BoolVar(&b.noVerify, "no-verify", false, "do not compare what was read")
	f.BoolVar(&b.noHints, "no-hints", false, "give no allocation hints")
	f.Uint64Var(&b.maxObjs, "max-objects", 0, "objects to write at most; 0: any number")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, args []string) error {
		seconds, err := strconv.Atoi(args[0])
		if err != nil || seconds < 0 || b.threads < 1 {
			return fmt.Errorf("bench %s with %d operations in flight: %w", args[0], b.threads, rados.ErrInvalid)
		}
		b.p, b.seconds = p, seconds
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		switch args[1] {
		case "write":
			return b.write(ctx, host, runName, noCleanup)
		case "seq", "rand":
			return b.read(ctx, host, runName, args[1] == "rand")
		}
		return fmt.Errorf("bench %s: want write, seq or rand: %w", args[1], rados.ErrInvalid)
	})
	return cmd
}

func (b *bench) write(ctx context.Context, host, runName string, noCleanup bool) error {
	b.run = runInfo{objectSize: b.s.objectSize, pid: uint32(os.Getpid()), opSize: b.s.opSize}
	if b.run.objectSize == 0 {
		b.run.objectSize = b.run.opSize
	}
	if b.run.objectSize%b.run.opSize != 0 {
		return fmt.Errorf("object size %d is no multiple of block size %d: %w", b.run.objectSize, b.run.opSize, rados.ErrInvalid)
	}
	b.prefix = benchPrefix(host, b.run.pid)
	fmt.Fprintf(b.s.out, "hints = %d\n", btoi(!b.noHints))
	fmt.Fprintf(b.s.out, "Maintaining %d concurrent writes of %d bytes to objects of size %d for up to %d seconds or %d objects\n",
		b.threads, b.run.opSize, b.run.objectSize, b.seconds, b.maxObjs)
	fmt.Fprintf(b.s.out, "Object prefix: %s\n", b.prefix)
	limit := uint64(math.MaxUint64)
	if b.maxObjs > 0 {
		limit = b.maxObjs * b.run.perObject()
	}
	elapsed, err := b.loop(ctx, limit, func(ctx context.Context, n uint64, buf []byte) error {
		benchStamp(buf, n)
		name, off := b.run.place(b.prefix, n)
		var op rados.WriteOp
		if !b.noHints {
			op.SetAllocHint(b.run.objectSize, b.run.opSize, rados.AllocSequentialWrite|rados.AllocSequentialRead|rados.AllocAppendOnly|rados.AllocIncompressible)
		}
		op.Write(off, buf)
		return b.p.Mutate(ctx, name, &op)
	})
	b.run.ops = uint32(b.finished.Load())
	if err != nil && !errors.Is(err, context.Canceled) {
		return failed("during bench", err)
	}
	b.report(elapsed, "Write", "writes", true)

	// An interrupted run is remembered and cleaned up as well.
	after := context.WithoutCancel(ctx)
	if err := b.p.WriteFull(after, runName, wire.Marshal(b.run)); err != nil {
		return failed("writing "+runName, err)
	}
	if !noCleanup {
		fmt.Fprintln(b.s.out, "Cleaning up (deleting benchmark objects)")
		began := time.Now()
		if err := b.s.cleanRun(after, b.p, b.prefix, runName, b.run); err != nil {
			return failed("cleaning up", err)
		}
		fmt.Fprintf(b.s.out, "Clean up completed and total clean up time :%s\n", g(time.Since(began).Seconds()))
	}
	return ctx.Err()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *bench) read(ctx context.Context, host, runName string, random bool) error {
	text, err := b.p.ReadFull(ctx, runName)
	if err == nil {
		err = wire.Unmarshal(text, &b.run)
	}
	if errors.Is(err, rados.ErrNotFound) {
		return failed("during bench", fmt.Errorf("must write data before running a read benchmark: %w", err))
	}
	if err != nil {
		return failed("reading "+runName, err)
	}
	b.prefix = benchPrefix(host, b.run.pid)
	fmt.Fprintf(b.s.out, "hints = %d\n", btoi(!b.noHints))
	limit := uint64(b.run.ops)
	if random {
		limit = math.MaxUint64
	}
	if b.run.ops == 0 {
		limit = 0
	}
	elapsed, err := b.loop(ctx, limit, func(ctx context.Context, n uint64, buf []byte) error {
		if random {
			n = rand.Uint64N(uint64(b.run.ops))
		}
		name, off := b.run.place(b.prefix, n)
		got, err := b.p.Read(ctx, name, off, buf)
		if err != nil || b.noVerify {
			return err
		}
		var want [64]byte
		k := min(len(want), len(buf))
		for i := range want {
			want[i] = 'z'
		}
		benchStamp(want[:k], n)
		if got != len(buf) || !bytes.Equal(buf[:k], want[:k]) || bytes.Count(buf[k:], []byte{'z'}) != len(buf)-k {
			b.mu.Lock()
			b.wrong++
			b.mu.Unlock()
			fmt.Fprintf(os.Stderr, "%s is not correct!\n", name)
		}
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return failed("during bench", err)
	}
	b.report(elapsed, "Read", "reads", false)
	if b.wrong > 0 {
		return failed("during bench", fmt.Errorf("%d objects are not correct: %w", b.wrong, errWrong))
	}
	return ctx.Err()
}

var errWrong = errors.New("other content than was written")

// loop runs operations until time or limit is over and prints a line each
// second.
func (b *bench) loop(ctx context.Context, limit uint64, do func(ctx context.Context, n uint64, buf []byte) error) (time.Duration, error) {
	b.begin = time.Now()
	end := b.begin.Add(time.Duration(b.seconds) * time.Second)
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for range b.threads {
		work.Go(func() {
			buf := bytes.Repeat([]byte{'z'}, int(b.run.opSize))
			for time.Now().Before(end) && running.Err() == nil {
				n := uint64(b.started.Add(1) - 1)
				if n >= limit {
					b.started.Add(-1)
					return
				}
				at := time.Now()
				if err := do(running, n, buf); err != nil {
					b.started.Add(-1)
					cancel(err)
					return
				}
				lat := time.Since(at).Seconds()
				b.finished.Add(1)
				b.mu.Lock()
				b.lat.add(lat)
				b.lastLat = lat
				b.mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var printer sync.WaitGroup
	printer.Go(func() { b.print(stop) })
	work.Wait()
	elapsed := time.Since(b.begin)
	close(stop)
	printer.Wait()
	return elapsed, context.Cause(running)
}

// print prints the line of each second until stop is closed.
func (b *bench) print(stop <-chan struct{}) {
	w := b.s.out
	fmt.Fprintf(w, "  sec Cur ops   started  finished  avg MB/s  cur MB/s last lat(s)  avg lat(s)\n")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := int64(0)
	fmt.Fprintf(w, "%5d%8d%10d%10d%10s%10s%12s%12s\n", 0, b.threads, b.threads, 0, "0", "0", "-", "0")
	mb := float64(b.run.opSize) / (1 << 20)
	for sec := 1; ; sec++ {
		select {
		case <-tick.C:
		case <-stop:
			if sec == 1 { // all that there is to tell of a run this short
				n := float64(b.finished.Load())
				b.mu.Lock()
				b.rates.add(n)
				b.perSec.add(n * mb)
				b.mu.Unlock()
			}
			return
		}
		started, finished := b.started.Load(), b.finished.Load()
		elapsed := time.Since(b.begin).Seconds()
		b.mu.Lock()
		cur := float64(finished-before) * mb
		b.rates.add(float64(finished - before))
		b.perSec.add(cur)
		last := "-"
		if finished > before {
			last = g(b.lastLat)
		}
		avg := b.lat.mean
		b.mu.Unlock()
		before = finished
		fmt.Fprintf(w, "%5d%8d%10d%10d%10s%10s%12s%12s\n", sec, started-finished, started, finished,
			g(float64(finished)*mb/elapsed), g(cur), last, g(avg))
	}
}

// g is a number with six digits, as C++ prints it.
func g(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

func (b *bench) report(elapsed time.Duration, verb, things string, spread bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.s.out
	seconds := elapsed.Seconds()
	n := b.finished.Load()
	rate := float64(n) / seconds
	pad := 24
	if !spread {
		pad = 22
	}
	line := func(name string, v any) { fmt.Fprintf(w, "%-*s%v\n", pad, name+":", v) }
	line("Total time run", g(seconds))
	line("Total "+things+" made", n)
	line(verb+" size", b.run.opSize)
	line("Object size", b.run.objectSize)
	line("Bandwidth (MB/sec)", g(rate*float64(b.run.opSize)/(1<<20)))
	if spread {
		line("Stddev Bandwidth", g(b.perSec.deviation()))
		line("Max bandwidth (MB/sec)", g(b.perSec.max))
		line("Min bandwidth (MB/sec)", g(b.perSec.min))
	}
	line("Average IOPS", int(rate))
	line("Stddev IOPS", g(b.rates.deviation()))
	line("Max IOPS", int(b.rates.max))
	line("Min IOPS", int(b.rates.min))
	line("Average Latency(s)", g(b.lat.mean))
	if spread {
		line("Stddev Latency(s)", g(b.lat.deviation()))
	}
	line("Max latency(s)", g(b.lat.max))
	line("Min latency(s)", g(b.lat.min))
}

func (s *settings) cleanup() *cobra.Command {
	var runName, prefix string
	cmd := &cobra.Command{Use: "cleanup", Short: "Remove what a write benchmark has left", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&runName, "run-name", lastRun, "object that remembers the run")
	cmd.Flags().StringVar(&prefix, "prefix", "", "of the objects, if nothing remembers them")
	cmd.RunE = s.run(func(ctx context.Context, p *rados.Pool, _ []string) error {
		if prefix != "" {
			n, err := s.removeAll(ctx, p, func(o rados.ObjectEntry) bool { return strings.HasPrefix(o.Name, prefix) })
			if err != nil {
				return failed("cleaning up", err)
			}
			fmt.Fprintf(s.out, "Removed %d objects\n", n)
			return nil
		}
		var run runInfo
		text, err := p.ReadFull(ctx, runName)
		if err == nil {
			err = wire.Unmarshal(text, &run)
		}
		if errors.Is(err, rados.ErrNotFound) {
			return nil // nothing to clean up
		}
		host, herr := os.Hostname()
		if err = errors.Join(err, herr); err == nil {
			err = s.cleanRun(ctx, p, benchPrefix(host, run.pid), runName, run)
		}
		if err != nil {
			return failed("cleaning up", err)
		}
		return nil
	})
	return cmd
}

// cleanRun removes the objects of a run.
func (s *settings) cleanRun(ctx context.Context, p *rados.Pool, prefix, runName string, run runInfo) error {
	objects := (uint64(run.ops) + run.perObject() - 1) / run.perObject()
	var removed atomic.Int64
	err := parallel(ctx, 16, func(yield func(func() error) bool) error {
		for i := range objects {
			name, _ := run.place(prefix, i*run.perObject())
			if !yield(func() error {
				err := p.Remove(ctx, name)
				if errors.Is(err, rados.ErrNotFound) {
					return nil
				}
				removed.Add(1)
				return err
			}) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Removed %d objects\n", removed.Load())
	if err := p.Remove(ctx, runName); err != nil && !errors.Is(err, rados.ErrNotFound) {
		return err
	}
	return nil
}
