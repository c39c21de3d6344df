package memstore_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/objstore/memstore"
	"github.com/pulpo-storage/pulpo/objstore/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{Open: func(testing.TB) objstore.Store { return memstore.New() }})
}

// A crash leaves exactly what was made durable, however the transactions mix.
func TestCrashLeavesAPrefix(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	s := memstore.NewStepped()
	g := &storetest.Gen{R: r, MaxWrite: 20000, Crossing: true}
	acked := 0
	var states []string // after each transaction
	submit := func(tx *objstore.Txn) {
		if err := s.Submit(tx, func(error) { acked++ }); err != nil {
			return
		}
		d, err := storetest.Describe(s)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, d.String())
	}
	submit(g.Setup())
	for range 300 {
		submit(g.Txn())
		if r.IntN(3) == 0 {
			s.Step(r.IntN(4))
		}
		if r.IntN(30) == 0 && acked > 0 {
			s = s.Crash()
			d, err := storetest.Describe(s)
			if err != nil {
				t.Fatal(err)
			}
			if d.String() != states[acked-1] {
				t.Fatalf("after %d of %d:\n%v\nwant:\n%s", acked, len(states), d, states[acked-1])
			}
			states = states[:acked]
		}
	}
	if acked < 100 {
		t.Fatalf("only %d transactions were acknowledged", acked)
	}
}

func TestNoSpaceChangesNothingAndDeletesPass(t *testing.T) {
	t.Parallel()
	s := memstore.NewStepped()
	s.SetCapacity(1 << 20)
	var tx objstore.Txn
	names := []object.ID{object.New(1, "", "", "a"), object.New(1, "", "", "b")}
	tx.Write(objstore.MetaColl, names[0], 0, buffer.ListOf(make([]byte, 1<<20)))
	if err := s.Submit(&tx, nil); err != nil {
		t.Fatal(err)
	}
	tx = objstore.Txn{}
	tx.Write(objstore.MetaColl, names[1], 0, buffer.ListOf([]byte("x")))
	if err := s.Submit(&tx, nil); !errors.Is(err, objstore.ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	ids, _, err := s.List(objstore.MetaColl, object.MinID, 10)
	if err != nil || !slices.Equal(ids, names[:1]) {
		t.Fatal(ids, err)
	}
	tx = objstore.Txn{}
	tx.Remove(objstore.MetaColl, names[0])
	tx.Write(objstore.MetaColl, names[1], 0, buffer.ListOf([]byte("x")))
	if err := s.Submit(&tx, nil); err != nil {
		t.Fatal(err)
	}
}
