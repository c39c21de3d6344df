package sim

import (
	"crypto/rand"
	"hash/fnv"
	"io"
	mrand "math/rand/v2"
	"sync"
)

// stream returns the random numbers for one purpose. Each purpose has its own, so
// that a fault which is left out of a plan changes as little as possible of the
// rest.
func (w *World) stream(purpose string) *mrand.Rand {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return mrand.New(mrand.NewPCG(w.plan.Seed, h.Sum64()))
}

// bytes is the same as a source of bytes, for keys.
func (w *World) bytes(purpose string) io.Reader {
	r := w.stream(purpose)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(r.Uint32())
	}
	return mrand.NewChaCha8(seed)
}

// lots is what raft draws its election timeouts from: it knows no other source
// than crypto/rand's Reader, which all of the process shares. So while a monitor
// runs, that Reader gives what its world wants, and worlds take turns.
var lots = struct {
	sync.Mutex
	once sync.Once
	from io.Reader // of the world whose turn it is
}{}

// lot reads for whom it is the turn, else what Reader was before.
type lot struct{ real io.Reader }

func (l lot) Read(p []byte) (int, error) {
	if lots.from != nil {
		return lots.from.Read(p)
	}
	return l.real.Read(p)
}

// drawing runs f with raft's random numbers coming from r.
func drawing(r io.Reader, f func()) {
	lots.Lock()
	defer lots.Unlock()
	lots.once.Do(func() { rand.Reader = lot{rand.Reader} })
	lots.from = r
	defer func() { lots.from = nil }()
	f()
}
