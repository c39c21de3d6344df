// Package classes calls the methods of object classes on a stock cluster and on
// ours, with the same inputs, and compares results, answers and what is in the
// objects then. Each family of methods has a file with a scenario.
//
// With -update what the stock cluster did is written to the testdata of the
// class's package, which replays it without a cluster.
package classes

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/internal/binary"
	"github.com/pulpo-storage/pulpo/internal/peer"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
	"github.com/pulpo-storage/pulpo/pulpotest"
	"github.com/pulpo-storage/pulpo/rados"
	"github.com/pulpo-storage/pulpo/wire"
)

var update = flag.Bool("update", false, "write transcripts of the stock cluster")

// family is a part of the methods of a class.
type family struct {
	name     string
	class    string
	methods  objclass.Class
	scenario func(s *scenario)
}

var families []family

const poolName = "pulpo-classes"

func TestClasses(t *testing.T) {
	conf := peer.Conf(t)
	ctx := t.Context()
	stock, err := rados.ConnectFile(ctx, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stock.Close() })
	pool, err := stock.Pool(ctx, poolName)
	if errors.Is(err, rados.ErrNotFound) {
		pool, err = stock.CreatePool(ctx, poolName)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := pulpotest.Start(t, pulpotest.Options{})
	ours := c.Pool(poolName)
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			// Others may use the same stock cluster.
			ns := fmt.Sprintf("%s-%d", f.name, time.Now().UnixNano())
			s := &scenario{
				t: t, ctx: ctx, f: f,
				stock:  side{"stock", pool.Namespace(ns), stock.InstanceID()},
				ours:   side{"ours", ours.Namespace(ns), c.Client.InstanceID()},
				start:  time.Now(),
				called: map[string]bool{},
				used:   map[string]bool{}, diverged: map[string]bool{},
			}
			t.Cleanup(s.cleanUp)
			f.scenario(s)
			for name := range f.methods {
				if !s.called[name] {
					t.Errorf("the scenario does not call %s", name)
				}
			}
			if *update && !t.Failed() {
				s.write()
			}
		})
	}
}

// side is one of the two clusters.
type side struct {
	name string
	pool *rados.Pool
	who  uint64
}

// scenario is calls that are made on both sides.
type scenario struct {
	t           *testing.T
	ctx         context.Context
	f           family
	stock, ours side
	start       time.Time
	steps       []classtest.Step
	called      map[string]bool
	used        map[string]bool // objects
	diverged    map[string]bool // objects, which are not the same
	verbatim    bool            // do not cut inputs short
}

// put makes an object on both sides.
func (s *scenario) put(object string, state *classtest.State) {
	s.t.Helper()
	s.used[object], s.diverged[object] = true, false
	for _, side := range []side{s.stock, s.ours} {
		if err := side.put(s.ctx, object, state); err != nil {
			s.t.Fatalf("%s: put %s: %v", side.name, object, err)
		}
	}
	s.steps = append(s.steps, classtest.Step{Object: object, After: state})
}

func (d side) put(ctx context.Context, object string, state *classtest.State) error {
	if err := d.pool.Remove(ctx, object); err != nil && !errors.Is(err, errno.ENOENT) {
		return err
	}
	if state == nil {
		return nil
	}
	var op rados.WriteOp
	op.Create(true)
	if len(state.Data) > 0 {
		op.WriteFull(state.Data)
	}
	if len(state.Header) > 0 {
		op.OmapSetHeader(state.Header)
	}
	if len(state.Omap) > 0 {
		m := map[string][]byte{}
		for k, v := range state.Omap {
			m[k] = v
		}
		op.OmapSet(m)
	}
	for k, v := range state.Attrs {
		op.SetXattr(k, v)
	}
	return d.pool.Mutate(ctx, object, &op)
}

// state reads all of an object.
func (d side) state(ctx context.Context, object string) (*classtest.State, error) {
	data, err := d.pool.ReadFull(ctx, object)
	if errors.Is(err, errno.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &classtest.State{Data: data, Omap: map[string]classtest.Hex{}, Attrs: map[string]classtest.Hex{}}
	if s.Header, err = d.pool.OmapHeader(ctx, object); err != nil {
		return nil, err
	}
	for e, err := range d.pool.Omap(ctx, object, "") {
		if err != nil {
			return nil, err
		}
		s.Omap[e.Key] = e.Value
	}
	attrs, err := d.pool.Xattrs(ctx, object)
	for k, v := range attrs {
		s.Attrs[k] = v
	}
	return s, err
}

// patience is how long a call may take. What an OSD does not survive its client
// repeats for ever.
const patience = 30 * time.Second

func (d side) call(ctx context.Context, object, class, method string, write bool, in []byte) ([]byte, int32) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call := d.pool.Call
	if write {
		call = d.pool.CallWrite
	}
	out, err := call(ctx, object, class, method, in)
	return out, errno.Code(err)
}

// watch makes both callers watch the object until end is called.
func (s *scenario) watch(object string) (end func()) {
	s.t.Helper()
	var ends []func()
	for _, side := range []side{s.stock, s.ours} {
		w, err := side.pool.Watch(s.ctx, object, func(context.Context, *rados.Notification) {})
		if err != nil {
			s.t.Fatalf("%s: watch %s: %v", side.name, object, err)
		}
		ends = append(ends, func() {
			if err := w.Close(s.ctx); err != nil {
				s.t.Errorf("%s: end the watch of %s: %v", side.name, object, err)
			}
		})
	}
	s.steps = append(s.steps, classtest.Step{Object: object, Watch: true})
	return func() {
		for _, end := range ends {
			end()
		}
		s.steps = append(s.steps, classtest.Step{Object: object, Unwatch: true})
	}
}

// cuts is how many beginnings of an input are tried, unless it is a soak.
const cuts = 6

// call calls a method with the encoding of args on both sides, and before that
// with beginnings of it. It returns the answer and the result.
func (s *scenario) call(object, method string, args ...any) ([]byte, int32) {
	s.t.Helper()
	in := encode(args...)
	if !s.verbatim {
		step := max(1, len(in)/cuts)
		if *update || binary.Soaking() {
			step = 1
		}
		// From the end, so that the last byte is among those that are missed.
		for n := len(in) - 1; n >= 0; n -= step {
			s.one(object, method, in[:n], true)
		}
	}
	return s.one(object, method, in, false)
}

// want is call with a result that is expected.
func (s *scenario) want(result int32, object, method string, args ...any) []byte {
	s.t.Helper()
	out, got := s.call(object, method, args...)
	if got != result {
		s.t.Errorf("%s %s %v: result %d, the scenario wants %d", object, method, args, got, result)
	}
	return out
}

// loose is a call of which only the result is compared, since it leaves objects that
// are not the same.
func (s *scenario) loose(object, method string, args ...any) {
	s.t.Helper()
	s.diverged[object] = true
	s.one(object, method, encode(args...), false)
}

func (s *scenario) one(object, method string, in []byte, cut bool) ([]byte, int32) {
	s.t.Helper()
	m, ok := s.f.methods[method]
	if !ok {
		s.t.Fatalf("no method %s", method)
	}
	write := m.Flags&objclass.Write != 0
	s.called[method], s.used[object] = true, true
	wantOut, want := s.stock.call(s.ctx, object, s.f.class, method, write, in)
	if want == -int32(errno.ETIMEDOUT) {
		s.t.Fatalf("%s %s %x: the stock cluster does not answer", object, method, in)
	}
	out, got := s.ours.call(s.ctx, object, s.f.class, method, write, in)
	mask := func(d side, b []byte) []byte { return classtest.Mask(b, s.start, d.who) }
	if got != want || !s.diverged[object] && !bytes.Equal(mask(s.ours, out), mask(s.stock, wantOut)) {
		s.t.Errorf("%s %s %x:\n ours %d %x\nstock %d %x", object, method, in, got, out, want, wantOut)
	}
	step := classtest.Step{Object: object, Method: method, In: in, Result: want, Out: wantOut}
	if s.diverged[object] {
		return wantOut, want // what follows from that tells nothing new
	}
	if write && (want >= 0 || got >= 0) {
		var err error
		if step.After, err = s.stock.state(s.ctx, object); err != nil {
			s.t.Fatalf("stock: read %s: %v", object, err)
		}
		after, err := s.ours.state(s.ctx, object)
		if err != nil {
			s.t.Fatalf("ours: read %s: %v", object, err)
		}
		o, w := after.Masked(s.start, s.ours.who), step.After.Masked(s.start, s.stock.who)
		if o != w {
			s.diverged[object] = true
			s.t.Errorf("%s %s %x: the object is then\n ours %s\nstock %s", object, method, in, o, w)
		}
	}
	if !cut || want >= 0 {
		s.steps = append(s.steps, step)
	}
	return wantOut, want
}

func (s *scenario) cleanUp() {
	for object := range s.used {
		if err := s.stock.pool.Remove(context.Background(), object); err != nil && !errors.Is(err, errno.ENOENT) {
			s.t.Errorf("clean up: %v", err)
		}
	}
}

// write writes what the stock cluster did.
func (s *scenario) write() {
	tr := classtest.Transcript{At: s.start.UTC().Truncate(time.Second), Who: s.stock.who, Steps: s.steps}
	var b bytes.Buffer
	if err := tr.Write(&b); err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(peer.Root(), "osd/objclass", s.f.class, "testdata")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, s.f.name+".jsonl.gz"), b.Bytes(), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// raw is bytes that are encoded as they are.
type raw []byte

// seq is an encoding after another: parts of an envelope, elements of a list.
type seq []any

// env is a struct envelope.
type env struct {
	version, compat uint8
	body            seq
}

// v1 is an envelope of version 1.
func v1(body ...any) env { return env{1, 1, body} }

// encode encodes values in Ceph's way by their types.
func encode(args ...any) []byte {
	var e wire.Encoder
	put(&e, args)
	return e.Bytes()
}

func put(e *wire.Encoder, args []any) {
	for _, a := range args {
		switch a := a.(type) {
		case string:
			e.Str(a)
		case []byte:
			e.Blob(a)
		case raw:
			e.Raw(a)
		case bool:
			e.Bool(a)
		case uint8:
			e.U8(a)
		case uint32:
			e.U32(a)
		case uint64:
			e.U64(a)
		case int64:
			e.S64(a)
		case time.Time:
			e.Time(a)
		case env:
			m := e.Begin(a.version, a.compat)
			put(e, a.body)
			e.End(m)
		case seq:
			put(e, a)
		case []string:
			wire.EncodeSlice(e, a, e.Str)
		case wire.Marshaler:
			a.Encode(e)
		default:
			panic(fmt.Sprintf("cannot encode a %T", a))
		}
	}
}
