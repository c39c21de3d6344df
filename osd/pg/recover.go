package pg

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
	"github.com/pulpo-storage/pulpo/wire"
)

// Recovery of what the logs say is missing. What is missing here is pulled from a
// copy that has it, what is missing there is pushed; a few objects at a time. A
// request that needs an object waits for that one only: a read if it is missing
// here, a write if it is anywhere, since a transaction must find the same object
// on all members.
//
// An object and its clones are waited for together, but each is copied alone.

// recovering is what is under way.
type recovering struct {
	waiting map[object.ID][]*Request       // by head
	pulls   map[object.ID]int32            // from whom
	pushes  map[object.ID]map[int32]uint64 // to whom; the value is the transaction that it waits for, here
}

// recovered reports whether all members have all objects.
func (p *PG) recovered() bool {
	if p.missing.Len() > 0 || len(p.peering.choice.Backfill) > 0 {
		return false
	}
	for _, q := range p.peering.peers {
		if q.member && (q.missing.Len() > 0 || q.info.Incomplete()) {
			return false
		}
	}
	return true
}

// anyMissing returns the head of some object that is not here.
func (p *PG) anyMissing() (object.ID, bool) {
	if p.missing.Len() == 0 {
		return object.ID{}, false
	}
	return p.missing.Sorted()[0].Head(), true
}

// absent reports whether the object, or what is to be known of its clones, is
// not here.
func (p *PG) absent(head object.ID) bool { return p.missing.Any(head) }

// degraded reports whether some member lacks the object or a clone of it.
func (p *PG) degraded(head object.ID) bool {
	if p.missing.Any(head) {
		return true
	}
	for _, q := range p.peering.peers {
		if q.member && q.missing.Any(head) {
			return true
		}
	}
	return false
}

// waitFor lets a request wait until the object is where it must be.
func (p *PG) waitFor(now time.Time, head object.ID, r *Request) {
	if p.recovery.waiting == nil {
		p.recovery.waiting = map[object.ID][]*Request{}
	}
	r.Stage = StageWaitRecovery
	p.recovery.waiting[head] = append(p.recovery.waiting[head], r)
	p.recoverObject(now, head)
}

// sources are the OSDs that have a version of an object, in order.
func (p *PG) sources(o object.ID, need object.Version) (list []int32) {
	for _, osd := range sortedOSDs(p.peering.peers) {
		q := p.peering.peers[osd]
		if q.known && !q.missing.Has(o) && q.from.Compare(need) >= 0 && o.Compare(q.info.LastBackfill) <= 0 && p.osdmap.IsUp(osd) {
			list = append(list, osd)
		}
	}
	return list
}

// unfound reports whether something is missing that nobody is known to have.
func (p *PG) unfound() bool {
	for o, i := range p.missing.All() {
		if len(p.sources(o, i.Need)) == 0 {
			return true
		}
	}
	return false
}

// discover asks those that may have what nobody is known to have
// (discover_all_missing).
func (p *PG) discover() {
	if p.missing.Len() == 0 || !p.unfound() {
		return
	}
	for _, o := range sortedOSDs(p.peering.peers) {
		if q := p.peering.peers[o]; !q.member && !q.known && !q.asked && q.info.Exists() && !q.info.Empty() {
			q.asked = true
			p.tell(o, PeerQuery, &queryBody{What: queryMissing, Since: object.Version{Epoch: q.info.LastEpochStarted}})
		}
	}
}

// recoverMore begins as much as may be under way.
func (p *PG) recoverMore(now time.Time) {
	if p.peering.state != stateActive {
		return
	}
	// Those that somebody waits for come first.
	for _, head := range slices.SortedFunc(maps.Keys(p.recovery.waiting), object.ID.Compare) {
		p.recoverObject(now, head)
	}
	p.discover()
	limit := max(1, p.env.Config.RecoveryMaxActive)
	begin := func(m *pglog.Missing) {
		if m.Len() == 0 {
			return
		}
		for _, o := range m.Sorted() {
			if len(p.recovery.pulls)+len(p.recovery.pushes) >= limit {
				return
			}
			p.recover(now, o)
		}
	}
	begin(&p.missing)
	for _, osd := range sortedOSDs(p.peering.peers) {
		if q := p.peering.peers[osd]; q.member {
			begin(&q.missing)
		}
	}
}

// recoverObject begins to copy an object and its clones, whatever the limit.
func (p *PG) recoverObject(now time.Time, head object.ID) {
	each := func(m *pglog.Missing) {
		if !m.Any(head) {
			return
		}
		for o := range m.All() {
			if o.Head() == head {
				p.recover(now, o)
			}
		}
	}
	each(&p.missing)
	for _, q := range p.peering.peers {
		if q.member {
			each(&q.missing)
		}
	}
}

// recover pulls or pushes one object.
func (p *PG) recover(_ time.Time, o object.ID) {
	if p.peering.state != stateActive {
		return
	}
	if item, ok := p.missing.Get(o); ok {
		if _, busy := p.recovery.pulls[o]; busy {
			return
		}
		from := p.sources(o, item.Need)
		if len(from) == 0 {
			return
		}
		if p.recovery.pulls == nil {
			p.recovery.pulls = map[object.ID]int32{}
		}
		p.recovery.pulls[o] = from[0]
		p.tell(from[0], PeerPull, &pullBody{o, item.Need})
		return
	}
	for _, osd := range sortedOSDs(p.peering.peers) {
		q := p.peering.peers[osd]
		item, lacks := q.missing.Get(o)
		if _, busy := p.recovery.pushes[o][osd]; !q.member || !lacks || busy {
			continue
		}
		m, err := p.readPush(o, item.Need)
		if err != nil {
			p.note(NoteCluster, fmt.Sprintf("reading %v to copy it", o), err)
			return
		}
		if p.recovery.pushes == nil {
			p.recovery.pushes = map[object.ID]map[int32]uint64{}
		}
		if p.recovery.pushes[o] == nil {
			p.recovery.pushes[o] = map[int32]uint64{}
		}
		p.recovery.pushes[o][osd] = 0
		p.out().Peers = append(p.out().Peers, PeerSend{osd, m})
	}
}

// pullBody asks for an object.
type pullBody struct {
	Object  object.ID
	Version object.Version
}

func (b *pullBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	b.Object.Encode(e)
	b.Version.Encode(e)
	e.End(m)
}

func (b *pullBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_pull", 1)
	b.Object.Decode(d)
	b.Version.Decode(d)
	d.End(env)
}

// pushBody is an object, or says that there is none. The payload has the bytes of
// its extents.
type pushBody struct {
	pullBody
	Result  int32
	Size    uint64
	Extents []objstore.Extent
	Attrs   []objstore.KV
	Header  []byte
	Omap    []objstore.KV
	Snaps   []object.SnapID // of a clone: those that it serves
}

func (b *pushBody) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	b.pullBody.Encode(e)
	e.S32(b.Result)
	e.U64(b.Size)
	wire.EncodeSlice(e, b.Extents, func(x objstore.Extent) { e.U64(x.Off); e.U64(x.Len) })
	kv := func(kv objstore.KV) { e.Str(kv.Key); e.Blob(kv.Value) }
	wire.EncodeSlice(e, b.Attrs, kv)
	e.Blob(b.Header)
	wire.EncodeSlice(e, b.Omap, kv)
	wire.EncodeSlice(e, b.Snaps, func(s object.SnapID) { e.U64(uint64(s)) })
	e.End(m)
}

func (b *pushBody) Decode(d *wire.Decoder) {
	env := d.Begin("pg_push", 1)
	b.pullBody.Decode(d)
	b.Result = d.S32()
	b.Size = d.U64()
	b.Extents = wire.DecodeSlice(d, 16, func() objstore.Extent { return objstore.Extent{Off: d.U64(), Len: d.U64()} })
	kv := func() objstore.KV { return objstore.KV{Key: d.Str(), Value: slices.Clone(d.Blob())} }
	b.Attrs = wire.DecodeSlice(d, 8, kv)
	b.Header = slices.Clone(d.Blob())
	b.Omap = wire.DecodeSlice(d, 8, kv)
	b.Snaps = wire.DecodeSlice(d, 8, func() object.SnapID { return object.SnapID(d.U64()) })
	d.End(env)
}

// readPush reads an object to be sent.
func (p *PG) readPush(o object.ID, need object.Version) (*msg.PGPeer, error) {
	b := pushBody{pullBody: pullBody{o, need}}
	info, err := p.storedInfo(o)
	if err != nil {
		return nil, err
	}
	if info.Version != need {
		return nil, fmt.Errorf("%v is here at %v, wanted at %v: %w", o, info.Version, need, errno.EIO)
	}
	attrs, err := p.env.Store.Attrs(p.coll, o)
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		b.Attrs = append(b.Attrs, objstore.KV{Key: k, Value: attrs[k]})
	}
	if b.Header, err = p.env.Store.OmapHeader(p.coll, o); err != nil {
		return nil, err
	}
	err = p.env.Store.OmapScan(p.coll, o, "", func(key string, value []byte) bool {
		b.Omap = append(b.Omap, objstore.KV{Key: key, Value: slices.Clone(value)})
		return true
	})
	if err != nil {
		return nil, err
	}
	b.Size = info.Size
	if b.Extents, err = p.env.Store.Extents(p.coll, o, 0, info.Size); err != nil {
		return nil, err
	}
	if c, err := p.cloneOf(o); err != nil {
		return nil, err
	} else if c != nil {
		b.Snaps = c.Snaps
	}
	var data buffer.List
	for _, x := range b.Extents {
		l, err := p.env.Store.Read(p.coll, o, x.Off, x.Len)
		if err != nil {
			data.Release()
			return nil, err
		}
		data = append(data, l...)
	}
	m := p.compose(PeerPush, &b)
	m.Data = data
	return m, nil
}

// recoveryMessage takes in what another copy says of an object.
func (p *PG) recoveryMessage(now time.Time, m *FromPeer) error {
	b := m.Body
	switch PeerKind(b.Kind) {
	case PeerPull:
		var q pullBody
		if err := decodePeer(b.Front, &q); err != nil {
			return err
		}
		return p.onPull(b.From, &q)
	case PeerPush:
		var q pushBody
		if err := decodePeer(b.Front, &q); err != nil {
			return err
		}
		return p.onPush(now, b.From, &q, b.Data)
	default:
		var q pullBody
		if err := decodePeer(b.Front, &q); err != nil {
			return err
		}
		p.onPushReply(now, b.From, &q)
	}
	return nil
}

// onPull sends an object to the primary.
func (p *PG) onPull(from int32, q *pullBody) error {
	m, err := p.readPush(q.Object, q.Version)
	if err != nil {
		p.tell(from, PeerPush, &pushBody{pullBody: *q, Result: errno.Code(err)})
		return err
	}
	p.out().Peers = append(p.out().Peers, PeerSend{from, m})
	return nil
}

// onPush puts an object that was missing in its place.
func (p *PG) onPush(now time.Time, from int32, b *pushBody, data buffer.List) error {
	item, ok := p.missing.Get(b.Object)
	if p.isPrimary() {
		if at, asked := p.recovery.pulls[b.Object]; !asked || at != from {
			return nil
		}
		delete(p.recovery.pulls, b.Object)
		if b.Result != 0 {
			// It is not there after all. Others may have it.
			q := p.peering.peers[from]
			q.missing.Add(b.Object, b.Version, object.Version{})
			p.recover(now, b.Object)
			return errno.Error(b.Result)
		}
	} else if from != p.mapping.ActingPrimary || p.role != roleReplica {
		return nil
	}
	if !ok || item.Need != b.Version {
		return fmt.Errorf("%v at %v is not missing: %w", b.Object, b.Version, errno.EINVAL)
	}
	txn, err := p.placePush(b, data)
	if err != nil {
		return err
	}
	p.missing.Remove(b.Object)
	p.writeMissing(txn)
	f := p.submitLocal(txn)
	f.must = true
	if !p.isPrimary() {
		p.tellDurable(from, PeerPushReply, &b.pullBody)
		return nil
	}
	f.placed = b.Object
	return nil
}

// placePush makes the transaction that puts an object in its place.
func (p *PG) placePush(b *pushBody, data buffer.List) (*objstore.Txn, error) {
	var info ObjectInfo
	o := b.Object
	txn := new(objstore.Txn)
	p.dropObjects(txn, []object.ID{o})
	txn.Touch(p.coll, o)
	at, n := 0, data.Len()
	for _, x := range b.Extents {
		if x.Len > uint64(n-at) {
			txn.Release()
			return nil, fmt.Errorf("%v: %d bytes for %v: %w", o, n, b.Extents, errno.EBADMSG)
		}
		txn.Write(p.coll, o, x.Off, data.Slice(at, at+int(x.Len)).Retain())
		at += int(x.Len)
	}
	txn.Truncate(p.coll, o, b.Size)
	for _, kv := range b.Attrs {
		if kv.Key == attrInfo {
			if err := wire.Unmarshal(kv.Value, &info); err != nil {
				txn.Release()
				return nil, err
			}
		}
	}
	txn.SetAttrs(p.coll, o, b.Attrs)
	if len(b.Header) > 0 {
		txn.OmapSetHeader(p.coll, o, b.Header)
	}
	if len(b.Omap) > 0 {
		txn.OmapSet(p.coll, o, b.Omap)
	}
	p.indexSnaps(txn, o, b.Snaps)
	p.indexWatched(txn, o, false, len(info.Watchers) > 0)
	return txn, nil
}

// objectRecovered goes on when an object that was missing is here.
func (p *PG) objectRecovered(now time.Time, o object.ID) {
	if c := p.objects.byID[o]; c != nil && c.lru != nil {
		p.objects.order.Remove(c.lru)
		delete(p.objects.byID, o)
	}
	if p.role == roleActive && o.IsHead() && !p.absent(o) {
		p.loadWatch(now, o)
	}
	p.objectMoved(now, o)
}

// onPushReply notes that a member has an object.
func (p *PG) onPushReply(now time.Time, from int32, b *pullBody) {
	q := p.peering.peers[from]
	if q == nil || !q.member {
		return
	}
	if item, ok := q.missing.Get(b.Object); ok && item.Need == b.Version {
		q.missing.Remove(b.Object)
	}
	if to := p.recovery.pushes[b.Object]; to != nil {
		delete(to, from)
		if len(to) == 0 {
			delete(p.recovery.pushes, b.Object)
		}
	}
	p.objectMoved(now, b.Object)
}

// objectMoved lets requests go on that waited for an object.
func (p *PG) objectMoved(now time.Time, o object.ID) {
	head := o.Head()
	if list := p.recovery.waiting[head]; len(list) > 0 && !p.absent(head) {
		var still []*Request
		for _, r := range list {
			if p.degraded(head) && p.mayWrite(r) {
				still = append(still, r)
			} else {
				p.env.Requeue(r)
			}
		}
		if len(still) == 0 {
			delete(p.recovery.waiting, head)
		} else {
			p.recovery.waiting[head] = still
		}
	}
	p.changed = true
	p.recoverMore(now)
	p.tryClean(now)
	p.checkTrim(now)
	p.checkScrub(now)
	p.announce(now)
}

func (p *PG) mayWrite(r *Request) bool {
	n, err := p.nature(r.Op.Ops)
	return err == nil && (n.mayWrite() || r.Op.Flags&msg.FlagRWOrdered != 0)
}

// dropRecovery gives up what is under way; requests that wait are sent again.
func (p *PG) dropRecovery() {
	for _, list := range p.recovery.waiting {
		for _, r := range list {
			p.drop(r)
		}
	}
	p.recovery = recovering{}
}

// recoveryState is what it adds to the state of a group that is not clean.
func (p *PG) recoveryState() (s msg.PGState) {
	missing, few := p.missing.Len() > 0, len(p.mapping.Acting) < int(p.pool.Size)
	for _, q := range p.peering.peers {
		missing = missing || q.member && q.missing.Len() > 0
	}
	if missing {
		s |= msg.PGDegraded
		if p.missing.Len() > 0 && p.unfound() {
			s |= msg.PGRecoveryUnfound
		} else {
			s |= msg.PGRecovering
		}
	}
	if few {
		s |= msg.PGDegraded
	}
	if len(p.peering.choice.Backfill) > 0 {
		s |= msg.PGBackfillWait
		if few {
			s |= msg.PGUndersized
		}
	}
	return s
}
