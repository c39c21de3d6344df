package pg

import (
	"errors"
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

// Damaged copies. A store that cannot read what it keeps of a collection
// (objstore.ErrDamaged) has lost records, and cannot say which: objects may be
// missing there, or be listed not at all. One object that is known can be healed
// (scrubpeer.go); such a copy is given up as a whole and filled anew from others.
//
//	the copy is            it was found                its OSD
//	damaged                by reading, while it served  goes on until others can do without it
//	ruined                 when the OSD started, or a   has nothing of the group in memory, but
//	                       transaction failed by it     the collection, and says so when asked
//
// How it goes: a replica tells the primary (PeerDamaged). The primary, of its own
// copy or that one, asks the monitors for members without it as soon as all others
// have everything. In the next interval the copy counts as empty, so it is filled
// like one that was never there; and with the transaction that begins that, when
// the group is active without it, the collection is dropped.
//
// What must hold: nothing that may be there only is given up. A damaged copy
// counts for what it is as long as an interval in which something may have been
// acknowledged has no other witness, or there is no other copy to go by: it serves
// what can be read, and the rest is EIO. A ruined one knows nothing, so then the
// group is down, blocked by its OSD, as if that OSD were.

// worthless is what a copy that is given up says of itself: nothing is there, and
// it must be filled.
func worthless(id object.SPG) Info { return Info{PG: id, LastBackfill: object.MinID} }

// Ruined answers a question for a group that is in the store and cannot be loaded.
func (e *Env) Ruined(q *FromPeer, epoch uint32) {
	b := q.Body
	body := &notifyBody{Info: worthless(b.PG), Answer: true, Damage: damageRuined}
	e.out().Peers = append(e.out().Peers, PeerSend{b.From, &msg.PGPeer{PG: b.PG, From: e.Whoami, Epoch: epoch, Interval: b.Interval,
		Kind: uint16(PeerNotify), Front: wire.Marshal(body)}})
}

// Dispose removes a group from the store that cannot be loaded, and whose pool is
// gone.
func Dispose(env *Env, id object.SPG) *PG {
	p := newPG(env, id)
	p.role = roleGone
	txn := new(objstore.Txn)
	txn.DropColl(p.coll)
	p.submitLocal(txn)
	return p
}

// damage is how bad it is; on the wire.
type damage uint8

const (
	damageNone damage = iota
	damagePartly
	damageRuined
)

// damageOf is that of the copy here.
func (p *PG) damageOf() damage {
	switch {
	case p.ruined:
		return damageRuined
	case p.damage != nil:
		return damagePartly
	}
	return damageNone
}

// Shelved returns why the group cannot go on in memory; nil if it can.
func (p *PG) Shelved() error { return p.shelved }

// checkDamage looks whether the step has met damage.
func (p *PG) checkDamage(now time.Time) {
	if p.broken != nil && p.shelved == nil && errors.Is(p.broken, objstore.ErrDamaged) {
		p.shelve(now)
		return
	}
	if p.damage != nil || p.renewed || !p.created || p.broken != nil || p.osdmap == nil || p.role == roleGone {
		return
	}
	if err := p.env.Store.Damaged(p.coll); err != nil {
		p.renounce(now, err)
	}
}

// renounce says that the copy here is not to be relied upon.
func (p *PG) renounce(now time.Time, why error) {
	p.damage = why
	p.note(NoteCluster, fmt.Sprintf("the copy on osd.%d is damaged, it is to be filled anew from others", p.env.Whoami), why)
	switch {
	case p.isPrimary():
		p.withoutDamaged(now)
	case p.role == roleReplica:
		p.tell(p.mapping.ActingPrimary, PeerDamaged, nil)
	}
}

// shelve is the end of the group in memory: a transaction that must be done cannot
// be.
func (p *PG) shelve(now time.Time) {
	p.shelved = p.broken
	p.note(NoteCluster, fmt.Sprintf("the copy on osd.%d cannot be changed any more", p.env.Whoami), p.broken)
	switch {
	case p.isPrimary():
		var rest []int32
		for _, o := range p.mapping.Acting {
			if o != p.env.Whoami {
				rest = append(rest, o)
			}
		}
		if len(rest) > 0 {
			p.requestActing(rest)
		}
	case p.role == roleReplica:
		p.tell(p.mapping.ActingPrimary, PeerDamaged, nil)
	}
	p.dropWatches()
	p.dropWaiting(false)
	p.forgetScrubs()
	p.forgetContexts()
	p.stopTrim(now)
}

// onDamaged notes that a member's copy is damaged.
func (p *PG) onDamaged(now time.Time, from int32) {
	if q := p.peering.peers[from]; q != nil && q.damage == damageNone {
		q.damage = damagePartly
		p.withoutDamaged(now)
	}
}

// withoutDamaged asks for members without those whose copies are damaged, if the
// others have everything.
func (p *PG) withoutDamaged(_ time.Time) {
	if p.peering.state != stateActive || p.wantTemp != nil {
		return
	}
	var rest []int32
	for _, o := range p.mapping.Acting {
		whole, bad := p.missing.Len() == 0, p.damage != nil
		if q := p.peering.peers[o]; o != p.env.Whoami {
			if q == nil {
				return
			}
			whole, bad = q.known && q.missing.Len() == 0 && !q.info.Incomplete(), q.damage != damageNone
		}
		switch {
		case bad:
		case !whole:
			return // tryClean comes back here
		default:
			rest = append(rest, o)
		}
	}
	if len(rest) > 0 && len(rest) < len(p.mapping.Acting) {
		p.requestActing(rest)
	}
}

// candidates are the copies to choose from: without the damaged ones, if the
// others are enough to know what was acknowledged, else with those that are not
// ruined.
func (p *PG) candidates() map[int32]*Info {
	s := &p.peering
	all, sound := map[int32]*Info{}, map[int32]*Info{}
	none := worthless(p.id)
	add := func(o int32, i *Info, d damage) {
		all[o], sound[o] = i, i
		if d != damageNone {
			sound[o] = &none
		}
		if d == damageRuined {
			all[o] = &none
		}
	}
	add(p.env.Whoami, &p.info, p.damageOf())
	damaged := map[int32]bool{}
	if p.damage != nil {
		damaged[p.env.Whoami] = true
	}
	for o, q := range s.peers {
		// One that has refused, and whose copy is damaged, begins anew.
		if !p.refuses(o) || q.damage != damageNone {
			add(o, &q.info, q.damage)
		}
		if q.damage != damageNone {
			damaged[o] = true
		}
	}
	if len(damaged) == 0 {
		return all
	}
	if pglog.BuildPrior(p.osdmap, p.mapping.Up, p.mapping.Acting, &p.past, p.info.History.LastEpochStarted, damaged).Blocked {
		return all
	}
	best, ok := pglog.FindBest(sound, p.env.Whoami)
	if !ok || sound[best].LastEpochStarted < p.info.History.LastEpochStarted {
		return all
	}
	return sound
}

// ruins are the OSDs whose copies are ruined.
func (p *PG) ruins() map[int32]bool {
	m := map[int32]bool{}
	if p.ruined {
		m[p.env.Whoami] = true
	}
	for o, q := range p.peering.peers {
		if q.damage == damageRuined {
			m[o] = true
		}
	}
	return m
}
