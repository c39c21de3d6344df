package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Store is what a load runs on. It is used concurrently, with at most one call
// on an object at a time. A call whose context ends may have been done or not.
type Store interface {
	Mutate(ctx context.Context, object string, op *Op) error
	Read(ctx context.Context, object string) (*State, error)
}

// Load is a set of writers with what they know of their objects. Writers run
// concurrently; Verify only when none does.
type Load struct {
	Seed    uint64
	Writers []*Writer

	mu     sync.Mutex
	acked  int64
	alarms []alarm
}

type alarm struct {
	at int64
	ch chan struct{}
}

// New makes a load of writers with objects of their own, which do not exist yet.
func New(seed uint64, writers, objects int) *Load {
	l := &Load{Seed: seed}
	for w := range writers {
		wr := &Writer{load: l, rand: rand.New(rand.NewPCG(seed, uint64(w)))}
		for o := range objects {
			wr.objects = append(wr.objects, &object{name: fmt.Sprintf("w%d-o%d", w, o)})
		}
		l.Writers = append(l.Writers, wr)
	}
	return l
}

// Acked counts the operations that were acknowledged.
func (l *Load) Acked() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// After is closed when n more operations have been acknowledged.
func (l *Load) After(n int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := alarm{l.acked + n, make(chan struct{})}
	l.alarms = append(l.alarms, a)
	return a.ch
}

func (l *Load) ack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked++
	l.alarms = slices.DeleteFunc(l.alarms, func(a alarm) bool {
		if a.at <= l.acked {
			close(a.ch)
		}
		return a.at <= l.acked
	})
}

// Writer changes its objects, one operation at a time.
type Writer struct {
	load    *Load
	rand    *rand.Rand
	objects []*object
}

// object is what a writer knows of an object.
type object struct {
	name  string
	state *State // acknowledged; nil: never written
	seq   int
	doubt *Op // sent after state, and not answered
	past  history
}

func (o *object) known() *State {
	if o.state == nil {
		o.state = &State{}
		o.past.add("nothing", o.state)
	}
	return o.state
}

// Run writes until stop is closed; the operation under way is then waited for.
// If the context ends it returns at once, with an operation in doubt. Sometimes
// it reads instead, and must find its own last write.
func (w *Writer) Run(ctx context.Context, s Store, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil
		default:
		}
		o := w.objects[w.rand.IntN(len(w.objects))]
		if o.doubt != nil {
			return fmt.Errorf("%s: %v is in doubt: Verify comes before the next Run", o.name, o.doubt)
		}
		var err error
		if w.rand.IntN(8) == 0 {
			err = w.look(ctx, s, o)
		} else {
			err = w.change(ctx, s, o)
		}
		if err != nil {
			return fmt.Errorf("seed %#x: %w", w.load.Seed, err)
		}
	}
}

func (w *Writer) look(ctx context.Context, s Store, o *object) error {
	got, err := s.Read(ctx, o.name)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read %s: %w", o.name, err)
	}
	return o.settle(got)
}

func (w *Writer) change(ctx context.Context, s Store, o *object) error {
	return w.do(ctx, s, o, draw(w.rand, o.known(), o.seq+1))
}

func (w *Writer) do(ctx context.Context, s Store, o *object, op *Op) error {
	before := o.known()
	o.seq = op.Seq
	err := s.Mutate(ctx, o.name, op)
	switch {
	case err == nil && op.Refused == nil:
		op.Apply(before)
		o.past.add(op.String(), before)
		w.load.ack()
		return nil
	case err == nil:
		return fmt.Errorf("%s: %v: done, want %v", o.name, op, op.Refused)
	case op.Refused != nil && errors.Is(err, op.Refused):
		return nil
	case ctx.Err() != nil:
		o.doubt = op
		return nil
	default:
		return fmt.Errorf("%s: %v: %w", o.name, op, err)
	}
}

// settle compares an object with what it may be, and knows afterwards which of
// these it is.
func (o *object) settle(got *State) error {
	before := o.known()
	if got.Equal(before) {
		o.doubt = nil
		return nil
	}
	var after *State
	if o.doubt != nil {
		after = before.Clone()
		o.doubt.Apply(after)
		if got.Equal(after) {
			o.state, o.past = after, o.past.with(o.doubt.String(), after)
			o.doubt = nil
			return nil
		}
	}
	return newMismatch(o, after, got)
}

// Outcome says what became of the operations in doubt.
type Outcome struct{ Objects, Done, NotDone int }

// Verify reads all objects and compares them with what they may be.
func (l *Load) Verify(ctx context.Context, s Store) (Outcome, error) {
	var (
		mu   sync.Mutex
		out  Outcome
		errs []error
		wg   sync.WaitGroup
		left = make(chan *object)
	)
	for range 8 {
		wg.Go(func() {
			for o := range left {
				doubted, was := o.doubt != nil, o.state
				got, err := s.Read(ctx, o.name)
				if err == nil {
					err = o.settle(got)
				}
				mu.Lock()
				out.Objects++
				switch {
				case err != nil:
					errs = append(errs, fmt.Errorf("%s: %w", o.name, err))
				case doubted && o.state != was:
					out.Done++
				case doubted:
					out.NotDone++
				}
				mu.Unlock()
			}
		})
	}
	for _, w := range l.Writers {
		for _, o := range w.objects {
			left <- o
		}
	}
	close(left)
	wg.Wait()
	if len(errs) > 0 {
		const most = 5
		if n := len(errs); n > most {
			errs = append(errs[:most], fmt.Errorf("and %d more", n-most))
		}
		return out, fmt.Errorf("seed %#x: %w", l.Seed, errors.Join(errs...))
	}
	return out, nil
}

// VerifyNames compares a listing of the store with the objects that must exist.
// Nothing may be in doubt.
func (l *Load) VerifyNames(names []string) error {
	var want []string
	for _, w := range l.Writers {
		for _, o := range w.objects {
			if o.doubt != nil {
				return fmt.Errorf("%s: %v is in doubt: Verify comes first", o.name, o.doubt)
			}
			if o.known().Exists {
				want = append(want, o.name)
			}
		}
	}
	slices.Sort(want)
	got := slices.Sorted(slices.Values(names))
	if slices.Equal(got, want) {
		return nil
	}
	var errs []error
	for _, n := range want {
		if _, found := slices.BinarySearch(got, n); !found {
			errs = append(errs, fmt.Errorf("%s exists but is not listed", n))
		}
	}
	for i, n := range got {
		if _, found := slices.BinarySearch(want, n); !found {
			errs = append(errs, fmt.Errorf("%s is listed but does not exist", n))
		} else if i > 0 && got[i-1] == n {
			errs = append(errs, fmt.Errorf("%s is listed twice", n))
		}
	}
	return fmt.Errorf("seed %#x: listing: %w", l.Seed, errors.Join(errs...))
}
