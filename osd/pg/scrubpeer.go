package pg

import (
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/wire"
)

// A scrub of several copies. The primary reserves a slot at each other OSD, asks
// all of them for their map of each chunk, and compares. Messages to a member keep
// their order, so a request for a map comes behind all transactions that the
// primary has done, and the member, which does them at once, shows the same
// objects as the primary did when it asked. If the chunk is begun again, answers
// to older requests are known by their number.
//
// Repair is recovery: a copy that is wrong is noted as missing, by the primary
// and at the OSD that has it, and what is missing is copied from those that have
// it.

// scrubServing is what a replica does for the primary's scrub.
type scrubServing struct {
	slot    bool // one is lent
	seq     uint64
	last    bool           // it is of the last chunk
	builder *scrub.Builder // of the map that was asked for; nil: none is
	walk    indexWalk
}

// damagedBody names copies that are wrong: they are missing from now on. If the log
// is, all of the member's copy is to be filled anew.
type damagedBody struct {
	list []damaged
	log  bool
}

type damaged struct {
	object  object.ID
	version object.Version // that it should have
}

const damagedVersion = 2

func (b *damagedBody) Encode(e *wire.Encoder) {
	m := e.Begin(damagedVersion, 1)
	wire.EncodeSlice(e, b.list, func(d damaged) { d.object.Encode(e); d.version.Encode(e) })
	e.Bool(b.log)
	e.End(m)
}

func (b *damagedBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_scrub_damaged", damagedVersion)
	b.list = wire.DecodeSlice(d, 39+12, func() (x damaged) { x.object.Decode(d); x.version.Decode(d); return x })
	b.log = env.Version >= 2 && d.Bool()
	d.End(env)
}

// scrubMessage takes in what another copy says of a scrub.
func (p *PG) scrubMessage(now time.Time, m *FromPeer) error {
	b, kind := m.Body, PeerKind(m.Body.Kind)
	if p.isPrimary() {
		switch kind {
		case PeerScrubGrant, PeerScrubReject:
			p.onScrubReserved(now, b.From, kind == PeerScrubGrant)
		case PeerScrubMap:
			var r scrub.Reply
			if err := decodePeer(slices.Clone(b.Front), &r); err != nil {
				return err
			}
			p.onScrubMap(now, b.From, &r)
		default:
			return errno.EINVAL
		}
		return nil
	}
	if b.From != p.mapping.ActingPrimary || p.role != roleReplica {
		return nil
	}
	s := &p.scrub.serving
	switch kind {
	case PeerScrubReserve:
		s.slot = s.slot || p.env.scrubSlots().Lend()
		s.builder = nil
		if s.slot {
			p.tell(b.From, PeerScrubGrant, nil)
		} else {
			p.tell(b.From, PeerScrubReject, nil)
		}
	case PeerScrubRelease:
		p.stopServing()
	case PeerScrubAsk:
		var r scrub.Request
		if err := decodePeer(b.Front, &r); err != nil {
			return err
		}
		s.seq, s.last, s.walk = r.Seq, r.End.Max, indexWalk{}
		s.builder = scrub.NewBuilder(p.env.Store, p.coll, r.Begin, r.End, r.Deep, p.env.Config.Scrub.Limits, notClients)
		p.scrub.next = now
	case PeerScrubDone:
		rec := p.scrub.record
		if err := decodePeer(b.Front, &rec); err != nil {
			return err
		}
		p.scrub.record = rec
		txn := new(objstore.Txn)
		p.writeScrub(txn)
		p.submitLocal(txn)
	case PeerScrubDamaged:
		var d damagedBody
		if err := decodePeer(b.Front, &d); err != nil {
			return err
		}
		p.noteDamaged(d.list)
		if d.log && p.damage == nil {
			p.renounce(now, errLog)
		}
	default:
		return errno.EINVAL
	}
	return nil
}

// stopServing gives back what is lent to the primary's scrub.
func (p *PG) stopServing() {
	s := &p.scrub.serving
	if s.slot {
		p.env.scrubSlots().Return()
	}
	*s = scrubServing{}
}

// serveScrub does a piece of the map that the primary asked for.
func (p *PG) serveScrub(now time.Time) {
	s := &p.scrub.serving
	if !s.builder.Step() || !p.mapped(&s.walk, s.builder.Map(), s.last) {
		p.scrub.next = now
		return
	}
	p.scrub.next = time.Time{}
	reply := &scrub.Reply{Seq: s.seq, Map: *s.builder.Map()}
	if s.last {
		reply.Map.Log = p.logSums()
	}
	p.tell(p.mapping.ActingPrimary, PeerScrubMap, reply)
	s.builder = nil
}

// reserveScrub asks the other members for a slot, and reports whether there are
// any to wait for.
func (p *PG) reserveScrub(r *scrubRun) bool {
	for _, o := range p.others() {
		if r.reserved == nil {
			r.reserved = map[int32]bool{}
		}
		r.reserved[o] = false
		p.tell(o, PeerScrubReserve, nil)
	}
	return len(r.reserved) > 0
}

// onScrubReserved goes on when all have granted a slot, and gives up for now when
// one has none.
func (p *PG) onScrubReserved(now time.Time, from int32, granted bool) {
	r := p.scrub.run
	if r == nil || r.begun {
		return
	}
	if got, asked := r.reserved[from]; !asked || got {
		return
	}
	if !granted {
		delete(r.reserved, from)
		p.endScrub(now)
		p.checkScrub(now)
		p.retryScrub(now, p.scrub.asked != 0)
		return
	}
	r.reserved[from] = true
	for _, got := range r.reserved {
		if !got {
			return
		}
	}
	p.beginScrub(now)
}

// releaseScrub gives the slots of other OSDs back.
func (p *PG) releaseScrub(r *scrubRun) {
	for _, o := range sortedOSDs(r.reserved) {
		p.tell(o, PeerScrubRelease, nil)
	}
}

// askScrubMaps asks the other members for their maps of the chunk.
func (p *PG) askScrubMaps(r *scrubRun) {
	r.seq++
	for _, o := range sortedOSDs(r.reserved) {
		r.maps = append(r.maps, scrub.Copy{OSD: o})
		p.tell(o, PeerScrubAsk, &scrub.Request{Seq: r.seq, Begin: r.begin, End: r.end, Deep: r.deep})
	}
}

// onScrubMap takes in the map of a member.
func (p *PG) onScrubMap(now time.Time, from int32, b *scrub.Reply) {
	r := p.scrub.run
	if r == nil || !r.reading() || b.Seq != r.seq {
		return // of a chunk that has been begun again
	}
	for i := range r.maps {
		if k := &r.maps[i]; k.OSD == from && k.Map == nil {
			k.Map = &b.Map
		}
	}
	if r.builder == nil {
		p.scrubGather(now)
	}
}

// repair notes the copies that are wrong as missing, and has them replaced. It
// reports whether there are any.
func (p *PG) repair(now time.Time, r *scrubRun) bool {
	if len(r.fixes) == 0 {
		return false
	}
	p.say(NoteCluster, "%v %s %d missing, %d inconsistent objects", p.id, r.mode(), r.missing, r.inconsistent)
	if !r.repair {
		return false
	}
	bad := map[int32][]damaged{}
	for _, f := range r.fixes {
		if r.auto && !f.Certain {
			continue
		}
		for _, o := range f.To {
			bad[o] = append(bad[o], damaged{f.Object, f.Version})
			r.fixed++
		}
	}
	if len(bad) == 0 {
		return false
	}
	p.scrub.record.Repaired += r.fixed
	p.replaceCopies(now, bad)
	return true
}

// replaceCopies has copies replaced by those that other members have.
func (p *PG) replaceCopies(now time.Time, bad map[int32][]damaged) {
	for _, o := range sortedOSDs(bad) {
		list := bad[o]
		if o == p.env.Whoami {
			p.env.Repaired += uint64(len(list))
			p.noteDamaged(list)
			continue
		}
		q := p.peering.peers[o]
		if q == nil || !q.member {
			continue
		}
		for _, d := range list {
			q.missing.Add(d.object, d.version, object.Version{})
		}
		p.tell(o, PeerScrubDamaged, &damagedBody{list: list})
	}
	for _, list := range bad {
		for _, d := range list {
			if p.recovery.whole == nil {
				p.recovery.whole = map[object.ID]bool{}
			}
			p.recovery.whole[d.object] = true
		}
	}
	p.scrub.repairing = true
	p.recoverMore(now)
	p.announce(now)
}

// noteDamaged notes objects of this copy as missing.
func (p *PG) noteDamaged(list []damaged) {
	for _, d := range list {
		if d.version.Compare(p.info.LastUpdate) > 0 || d.version.IsZero() {
			continue
		}
		p.missing.Add(d.object, d.version, object.Version{})
		if c := p.objects.byID[d.object]; c != nil && c.lru != nil && c.pending <= p.durable {
			p.objects.order.Remove(c.lru)
			delete(p.objects.byID, d.object)
		}
	}
	p.updateComplete()
	txn := new(objstore.Txn)
	p.writeMissing(txn)
	if !txn.Empty() {
		p.submitLocal(txn).must = true
	}
}

// healRead has an object replaced that the store cannot read, and lets the request
// wait for that (rep_repair_primary_object). It reports whether another member has
// the object.
func (p *PG) healRead(now time.Time, r *Request, o *objectContext) bool {
	if !p.heal(now, o) {
		return false
	}
	p.waitFor(now, o.id.Head(), r)
	return true
}

// healWrite does so for a request that has been executed, and whose data went with
// the transaction: the client is to send it again.
func (p *PG) healWrite(now time.Time, r *Request, o *objectContext) bool {
	if o == nil || !p.env.Config.BackoffOnInactive || !p.heal(now, o) {
		return false
	}
	p.scrub.unblock = true
	p.backoff(r)
	return true
}

// maxHealed bounds the objects of which it is known that they were replaced.
const maxHealed = 1024

func (p *PG) heal(now time.Time, o *objectContext) bool {
	if o.pending > p.durable || o.info.Version.IsZero() || p.scrub.healed[o.id] == o.info.Version {
		return false // or it did not help
	}
	from := p.sources(o.id, o.info.Version)
	if len(from) == 0 || p.missing.Has(o.id) {
		return false
	}
	p.say(NoteCluster, "%v missing primary copy of %v, will try copies on %s", p.id, o.id, joinOSDs(from))
	p.scrub.record.Repaired++
	if len(p.scrub.healed) >= maxHealed {
		clear(p.scrub.healed)
	}
	if p.scrub.healed == nil {
		p.scrub.healed = map[object.ID]object.Version{}
	}
	p.scrub.healed[o.id] = o.info.Version
	p.replaceCopies(now, map[int32][]damaged{p.env.Whoami: {{o.id, o.info.Version}}})
	return true
}

func joinOSDs(list []int32) string {
	s := ""
	for i, o := range list {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprint(o)
	}
	return s
}
