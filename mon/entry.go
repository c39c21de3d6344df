package mon

import (
	"github.com/pulpo-storage/pulpo/wire"
)

// entry is what one entry of the raft log holds: changes of services, applied
// in this order, all or none.
type entry struct {
	Leader  uint64 // who proposed it
	Number  uint64 // its how-manieth proposal: the leader knows its own again
	Changes []change
}

type change struct {
	Service string
	Data    []byte
}

func (n entry) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(n.Leader)
	e.U64(n.Number)
	wire.EncodeSlice(e, n.Changes, func(c change) {
		e.Str(c.Service)
		e.Blob(c.Data)
	})
	e.End(m)
}

func (n *entry) Decode(d *wire.Decoder) {
	env := d.Begin("monitor log entry", 1)
	n.Leader = d.U64()
	n.Number = d.U64()
	n.Changes = wire.DecodeSlice(d, 8, func() change { return change{d.Str(), d.Blob()} })
	d.End(env)
}
