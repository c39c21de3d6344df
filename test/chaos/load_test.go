package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/pulpo-storage/pulpo/rados"
)

// mem is a store in memory that does what it should. Tests tamper with it.
type mem struct {
	mu      sync.Mutex
	objects map[string]*State
	rand    *rand.Rand
}

func newMem() *mem { return &mem{objects: map[string]*State{}, rand: rand.New(rand.NewPCG(1, 2))} }

func (m *mem) get(name string) *State {
	if m.objects[name] == nil {
		m.objects[name] = &State{}
	}
	return m.objects[name]
}

// Mutate does the operation or, once the context has ended, perhaps.
func (m *mem) Mutate(ctx context.Context, name string, op *Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil && m.rand.IntN(2) == 0 {
		return err
	}
	s := m.get(name)
	if _, exclusive := op.Steps[0].(create); exclusive && s.Exists {
		return rados.ErrExists
	}
	op.Apply(s)
	return ctx.Err()
}

func (m *mem) Read(_ context.Context, name string) (*State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(name).Clone(), nil
}

func (m *mem) names() (names []string) {
	for n, s := range m.objects {
		if s.Exists {
			names = append(names, n)
		}
	}
	return names
}

// run runs the load until n operations are acknowledged and then cuts it off.
func run(t *testing.T, l *Load, s Store, n int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := l.After(n)
	var wg sync.WaitGroup
	for _, w := range l.Writers {
		wg.Go(func() {
			if err := w.Run(ctx, s, nil); err != nil {
				t.Error(err)
			}
		})
	}
	<-done
	cancel()
	wg.Wait()
}

func TestHonestStore(t *testing.T) {
	t.Parallel()
	l, s := New(7, 8, 4), newMem()
	var total Outcome
	for range 20 {
		run(t, l, s, 50)
		out, err := l.Verify(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		total.Done += out.Done
		total.NotDone += out.NotDone
		if err := l.VerifyNames(s.names()); err != nil {
			t.Fatal(err)
		}
	}
	if total.Done == 0 || total.NotDone == 0 {
		t.Errorf("of the operations in doubt %d were done and %d not: want both", total.Done, total.NotDone)
	}
}

// TestTampering checks that each kind of harm is found and told.
func TestTampering(t *testing.T) {
	t.Parallel()
	full := func(b string) step { return writeFull{[]byte(strings.Repeat(b, 64))} }
	// The object's story, the same for each case.
	story := []*Op{
		{Seq: 1, Steps: []step{full("a")}},
		{Seq: 2, Steps: []step{full("b"), setXattr{"op", "2"}, omapSet{map[string]string{"op": "2"}}}},
		{Seq: 3, Steps: []step{full("c"), setXattr{"op", "3"}, omapSet{map[string]string{"op": "3"}}}},
		{Seq: 4, Steps: []step{appendData{[]byte("tail")}}},
	}
	pending := &Op{Seq: 5, Steps: []step{full("e"), setXattr{"op", "5"}, omapSet{map[string]string{"op": "5"}}}}
	tests := []struct {
		name    string
		doubt   *Op
		tamper  func(s *State, past []*State) // past[i] is the state after operation i
		verdict Verdict
		says    []string
	}{
		{"lost write", nil, func(s *State, past []*State) { *s = *past[3] }, Lost,
			[]string{"as after op 3", "lost: op 4 {append 4}"}},
		{"two lost writes", pending, func(s *State, past []*State) { *s = *past[2] }, Lost,
			[]string{"as after op 2", "lost: op 3", "lost: op 4", "in doubt: op 5"}},
		{"object gone", nil, func(s *State, past []*State) { *s = State{} }, Lost,
			[]string{"as after nothing", "lost: op 1 {write-full 64}", "lost: op 4"}},
		{"lost, and the one in doubt done", pending, func(s *State, past []*State) {
			*s = *past[4]
			s.resize(64)
			pending.Steps[1].apply(s)
			pending.Steps[2].apply(s)
		}, Torn, []string{"data: as after op 3", "xattrs: as after op 5", "omap: as after op 5"}},
		{"half a compound: data without omap", pending, func(s *State, past []*State) {
			pending.Steps[0].apply(s)
			pending.Steps[1].apply(s)
		}, Torn, []string{"data: as after op 5", "(in doubt)", "omap: as acknowledged"}},
		{"half a compound: omap without data", pending, func(s *State, past []*State) {
			pending.Steps[2].apply(s)
		}, Torn, []string{"data: as acknowledged", "omap: as after op 5"}},
		{"old xattrs", nil, func(s *State, past []*State) { s.Xattrs = past[2].Xattrs }, Torn,
			[]string{"data: as acknowledged", "xattrs: as after op 2", "omap: as acknowledged"}},
		{"torn write", pending, func(s *State, past []*State) { copy(s.Data[:32], strings.Repeat("e", 32)) }, Damaged,
			[]string{"data: as never before", "[0, 32): as after the operation in doubt"}},
		{"zeros for data", nil, func(s *State, past []*State) { clear(s.Data[8:16]) }, Damaged,
			[]string{"[8, 16): zeros", "xattrs: as acknowledged"}},
		{"a flipped bit", nil, func(s *State, past []*State) { s.Data[40] ^= 4 }, Damaged,
			[]string{"[40, 41): bytes 67"}},
		{"append done twice", nil, func(s *State, past []*State) { s.Data = append(s.Data, "tail"...) }, Damaged,
			[]string{"size 72, want 68"}},
		{"wrong omap value", nil, func(s *State, past []*State) { s.Omap["op"] = "x" }, Damaged,
			[]string{"omap: as never before", `op: "x", want "3"`}},
		{"omap key from nowhere", nil, func(s *State, past []*State) { s.Omap["new"] = "x" }, Damaged,
			[]string{`new: "x", want missing`}},
		{"omap header", nil, func(s *State, past []*State) { s.Header = "h" }, Damaged,
			[]string{`header "h", want ""`}},
		{"xattr gone", nil, func(s *State, past []*State) { delete(s.Xattrs, "op") }, Torn,
			[]string{"xattrs: as after op 1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l, s := New(7, 1, 1), newMem()
			w := l.Writers[0]
			o := w.objects[0]
			past := []*State{{}}
			for _, op := range story {
				if err := w.do(t.Context(), s, o, op); err != nil {
					t.Fatal(err)
				}
				past = append(past, s.get(o.name).Clone())
			}
			o.doubt = test.doubt
			if _, err := l.Verify(t.Context(), s); err != nil {
				t.Fatalf("before: %v", err)
			}
			o.doubt = test.doubt
			test.tamper(s.get(o.name), past)
			_, err := l.Verify(t.Context(), s)
			var m *Mismatch
			if !errors.As(err, &m) {
				t.Fatalf("not found: %v", err)
			}
			if m.Verdict != test.verdict {
				t.Errorf("verdict %v, want %v", m.Verdict, test.verdict)
			}
			for _, want := range append(test.says, "seed 0x7", "w0-o0", m.Verdict.String()) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("report does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestInDoubtIsAcceptedWhole(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		l, s := New(7, 1, 1), newMem()
		w := l.Writers[0]
		o := w.objects[0]
		if err := w.do(t.Context(), s, o, &Op{Seq: 1, Steps: []step{writeFull{[]byte("one")}}}); err != nil {
			t.Fatal(err)
		}
		o.doubt = &Op{Seq: 2, Steps: []step{remove{}}}
		if done {
			o.doubt.Apply(s.get(o.name))
		}
		out, err := l.Verify(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Outcome{Objects: 1, Done: b2i(done), NotDone: 1 - b2i(done)}); out != want {
			t.Errorf("outcome %+v, want %+v", out, want)
		}
		// What was found is what counts from now on.
		s.objects[o.name] = &State{Exists: !o.state.Exists}
		if _, err := l.Verify(t.Context(), s); err == nil {
			t.Error("an operation once in doubt was settled twice, differently")
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestListingIsCompared(t *testing.T) {
	t.Parallel()
	l, s := New(7, 4, 3), newMem()
	run(t, l, s, 200)
	if _, err := l.Verify(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	names := s.names()
	for want, listing := range map[string][]string{
		names[0] + " exists but is not listed": names[1:],
		names[0] + " is listed twice":          append([]string{names[0]}, names...),
		"ghost is listed but does not exist":   append([]string{"ghost"}, names...),
	} {
		if err := l.VerifyNames(listing); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// forgetful acknowledges one operation without doing it.
type forgetful struct {
	*mem
	after int64
	load  *Load
}

func (f *forgetful) Mutate(ctx context.Context, name string, op *Op) error {
	if op.Refused == nil && f.load.Acked() >= f.after {
		f.after = 1 << 60
		return nil
	}
	return f.mem.Mutate(ctx, name, op)
}

func TestWriterFindsItsOwnLostWrite(t *testing.T) {
	t.Parallel()
	l := New(7, 1, 1)
	s := &forgetful{newMem(), 20, l}
	err := l.Writers[0].Run(t.Context(), s, l.After(1000))
	var m *Mismatch
	if !errors.As(err, &m) {
		t.Fatalf("a lost write went unnoticed: %v", err)
	}
}

// TestDraws checks that the operations drawn are within bounds and of all kinds.
func TestDraws(t *testing.T) {
	t.Parallel()
	r, s := rand.New(rand.NewPCG(3, 4)), &State{}
	kinds := map[string]int{}
	for seq := range 3000 {
		op := draw(r, s, seq)
		for _, st := range op.Steps {
			kinds[fmt.Sprintf("%T", st)]++
		}
		if op.Refused != nil {
			kinds["refused"]++
		}
		op.Apply(s)
		if len(s.Data) > maxObject {
			t.Fatalf("%v makes an object of %d bytes", op, len(s.Data))
		}
	}
	if len(kinds) != 14 {
		t.Errorf("kinds drawn: %v", kinds)
	}
}
