package scrub

import (
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Request asks an OSD for its map of a chunk (MOSDRepScrub). A later request of
// the same scrub takes the place of an earlier one.
type Request struct {
	Seq        uint64 // rises with each request of the primary
	Begin, End object.ID
	Deep       bool
}

// Reply answers it (MOSDRepScrubMap).
type Reply struct {
	Seq uint64
	Map Map
}

func (r *Request) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(r.Seq)
	r.Begin.Encode(e)
	r.End.Encode(e)
	e.Bool(r.Deep)
	e.End(m)
}

func (r *Request) Decode(d *wire.Decoder) {
	env := d.Begin("scrub.Request", 1)
	r.Seq = d.U64()
	r.Begin.Decode(d)
	r.End.Decode(d)
	r.Deep = d.Bool()
	d.End(env)
}

func (r *Reply) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.U64(r.Seq)
	r.Map.Encode(e)
	e.End(m)
}

func (r *Reply) Decode(d *wire.Decoder) {
	env := d.Begin("scrub.Reply", 1)
	r.Seq = d.U64()
	r.Map.Decode(d)
	d.End(env)
}
