package pg

import (
	"maps"
	"slices"
	"time"
)

// onFetched goes on with the copy that a piece is for.
func (p *PG) onFetched(now time.Time, in *Fetched) {
	o := p.fetches[in.ID]
	if o == nil {
		if in.Reply != nil {
			in.Reply.Payload().Release() // asked for in an interval that is over
		}
		return
	}
	delete(p.fetches, in.ID)
	c := o.fetching
	if !c.fetched(in) {
		p.fetch(c)
		p.fetches[c.id] = o
		return
	}
	o.fetching = nil
	if c.req.fetched == nil {
		c.req.fetched = map[int]*copyData{}
	}
	c.req.fetched[c.op] = c.got
	// From the start: the object, or what its client may do, can be another by
	// now.
	p.env.Requeue(c.req)
	for _, r := range o.waiting {
		p.env.Requeue(r)
	}
	o.waiting = nil
}

// refetch asks again, by a new map, for what is being fetched: who was asked
// may not be the one to ask any more.
func (p *PG) refetch() {
	was := p.fetches
	p.fetches = nil
	for _, id := range slices.Sorted(maps.Keys(was)) {
		o := was[id]
		p.fetch(o.fetching)
		p.fetches[o.fetching.id] = o
	}
}

// endFetch gives a copy up, and the request that wanted it.
func (p *PG) endFetch(o *objectContext, drop func(*Request)) {
	c := o.fetching
	delete(p.fetches, c.id)
	o.fetching = nil
	if c.got != nil {
		c.got.data.Release()
	}
	p.dropFetched(c.req)
	drop(c.req)
}

// dropFetched gives back what was fetched for a request.
func (p *PG) dropFetched(r *Request) {
	for _, c := range r.fetched {
		c.data.Release()
		c.data = nil
	}
	r.fetched = nil
}
