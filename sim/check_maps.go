package sim

import (
	"bytes"
	"maps"
	"slices"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// book is every OSD map that was ever sent.
type book struct {
	incs, fulls map[uint32][]byte
	decoded     map[uint32]*osdmap.Map
	newest      uint32
}

// checkMaps: an epoch's map is the same wherever it comes from, as increment and
// as a whole.
func checkMaps(w *World) check {
	b := &book{incs: map[uint32][]byte{}, fulls: map[uint32][]byte{}, decoded: map[uint32]*osdmap.Map{0: osdmap.New()}}
	w.book = b
	same := func(e *end, what string, seen map[uint32][]byte, epoch uint32, text []byte) bool {
		was, ok := seen[epoch]
		switch {
		case !ok:
			seen[epoch] = bytes.Clone(text)
		case !bytes.Equal(was, text):
			w.fail("maps", "%v sends another %s of e%d than was sent before", e.p, what, epoch)
			return false
		}
		return !ok
	}
	return check{sent: func(e *end, body msg.Body) {
		m, ok := body.(*msg.OSDMap)
		if !ok {
			return
		}
		for _, epoch := range slices.Sorted(maps.Keys(m.Full)) {
			if text := m.Full[epoch]; same(e, "map", b.fulls, epoch, text) {
				w.learn(epoch, text)
			}
		}
		for epoch := m.Oldest; epoch <= m.Newest; epoch++ {
			text, ok := m.Incrementals[epoch]
			if !ok || !same(e, "increment", b.incs, epoch, text) {
				continue
			}
			inc, err := osdmap.DecodeIncremental(bytes.Clone(text))
			if err != nil {
				w.fail("maps", "increment of e%d: %v", epoch, err)
				return
			}
			if was := b.decoded[epoch-1]; was != nil {
				next, err := was.Apply(inc)
				if err != nil {
					w.fail("maps", "increment of e%d: %v", epoch, err)
					return
				}
				full := next.Encode()
				if same(e, "map", b.fulls, epoch, full) {
					w.learn(epoch, full)
				}
			}
		}
	}}
}

// learn takes a map into the book.
func (w *World) learn(epoch uint32, text []byte) {
	m, err := osdmap.Decode(bytes.Clone(text))
	if err != nil {
		w.fail("maps", "e%d: %v", epoch, err)
		return
	}
	w.book.decoded[epoch] = m
	if epoch > w.book.newest {
		w.book.newest = epoch
		w.stats.Epochs = int(epoch)
	}
}
