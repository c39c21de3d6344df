package osd

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Maps are the newest map and what it takes to bring others up to date. They do
// not change; each epoch makes new ones.
type Maps struct {
	Map    *osdmap.Map
	Oldest uint32 // that the cluster still has
	full   []byte // Map as it travels
	// recent are the newest incrementals, ending with that of Map.
	recent [][]byte
}

// maxRecent is how many incrementals are kept in memory for those who are
// behind. Who is further behind gets a full map.
const maxRecent = 200

// maxShared is how many go into one message.
const maxShared = 40

// Since returns what somebody with an older map needs to know (MOSDMap).
func (s *Maps) Since(epoch uint32) *msg.OSDMap {
	m := &msg.OSDMap{FSID: s.Map.FSID, Oldest: s.Oldest, Newest: s.Map.Epoch,
		Incrementals: map[uint32][]byte{}, Full: map[uint32][]byte{}}
	behind := s.Map.Epoch - epoch
	if epoch == 0 || int(behind) > min(len(s.recent), maxShared) {
		m.Full[s.Map.Epoch] = s.full
		return m
	}
	for i := range behind {
		m.Incrementals[epoch+1+i] = s.recent[len(s.recent)-int(behind-i)]
	}
	return m
}

// The daemon's own objects, in the meta collection.

func metaObject(name string) object.ID { return object.New(-1, "", "", name) }

func fullName(e uint32) object.ID { return metaObject(fmt.Sprintf("osdmap.%d", e)) }
func incName(e uint32) object.ID  { return metaObject(fmt.Sprintf("inc_osdmap.%d", e)) }

var superName = metaObject("osd_superblock")

// superblock is who this OSD is and what it has (OSDSuperblock).
type superblock struct {
	FSID      entity.UUID // of the cluster
	UUID      entity.UUID // of this OSD's disk
	ID        int32
	OldestMap uint32
	NewestMap uint32
	// Mounted and CleanThru are the epochs between which it last was up, if it
	// then stopped cleanly.
	Mounted, CleanThru uint32
}

const superVersion = 1

func (s *superblock) Encode(e *wire.Encoder) {
	m := e.Begin(superVersion, 1)
	s.FSID.Encode(e)
	s.UUID.Encode(e)
	e.S32(s.ID)
	e.U32(s.OldestMap)
	e.U32(s.NewestMap)
	e.U32(s.Mounted)
	e.U32(s.CleanThru)
	e.End(m)
}

func (s *superblock) Decode(d *wire.Decoder) {
	env := d.Begin("osd.superblock", superVersion)
	s.FSID.Decode(d)
	s.UUID.Decode(d)
	s.ID = d.S32()
	s.OldestMap = d.U32()
	s.NewestMap = d.U32()
	s.Mounted = d.U32()
	s.CleanThru = d.U32()
	d.End(env)
}

func (s *superblock) write(txn *objstore.Txn) {
	b := wire.Marshal(s)
	txn.Truncate(objstore.MetaColl, superName, uint64(len(b)))
	txn.Write(objstore.MetaColl, superName, 0, buffer.ListOf(b))
}

// Format makes an empty store that of an OSD (ceph-osd --mkfs). It waits until
// that is durable.
func Format(store objstore.Store, cluster, disk entity.UUID, id int32) error {
	if _, err := store.Stat(objstore.MetaColl, superName); !errors.Is(err, objstore.ErrNotFound) {
		if err == nil {
			err = errno.EEXIST
		}
		return fmt.Errorf("osd.%d: format: %w", id, err)
	}
	var txn objstore.Txn
	(&superblock{FSID: cluster, UUID: disk, ID: id}).write(&txn)
	if err := store.Submit(&txn, nil); err != nil {
		return fmt.Errorf("osd.%d: format: %w", id, err)
	}
	return store.Sync()
}

// Identity reads whose store it is; errno.ENOENT if nobody's.
func Identity(store objstore.Store) (cluster, disk entity.UUID, id int32, err error) {
	s, err := readSuper(store)
	return s.FSID, s.UUID, s.ID, err
}

func readSuper(store objstore.Store) (s superblock, err error) {
	b, err := readMeta(store, superName)
	if err == nil {
		err = wire.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("osd superblock: %w", err)
	}
	return s, nil
}

func readMeta(store objstore.Store, o object.ID) ([]byte, error) {
	l, err := store.Read(objstore.MetaColl, o, 0, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	return append([]byte(nil), l.Bytes()...), nil
}

// storedMap reads a map.
func storedMap(store objstore.Store, e uint32) (*osdmap.Map, []byte, error) {
	b, err := readMeta(store, fullName(e))
	if err != nil {
		return nil, nil, fmt.Errorf("osdmap e%d: %w", e, err)
	}
	m, err := osdmap.Decode(b)
	if err == nil && m.Epoch != e {
		err = fmt.Errorf("is e%d: %w", m.Epoch, errno.EIO)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("osdmap e%d: %w", e, err)
	}
	return m, b, nil
}

// takeMaps goes on with the maps of a message. It reports those it did not have,
// oldest first, and whether it has to ask for a full one since what it has is
// not what the others have.
func (o *OSD) takeMaps(in *msg.OSDMap) (fresh []*osdmap.Map, wantFull bool, err error) {
	if in.FSID != o.super.FSID {
		return nil, false, fmt.Errorf("osdmap of cluster %v, this is %v: %w", in.FSID, o.super.FSID, errno.EINVAL)
	}
	var txn objstore.Txn
	for {
		m, full, inc, err := o.nextMap(in)
		if err != nil {
			if errors.Is(err, errDiverged) {
				wantFull = true
				break
			}
			return nil, false, err
		}
		if m == nil {
			break
		}
		if inc != nil {
			o.put(&txn, incName(m.Epoch), inc)
		}
		o.put(&txn, fullName(m.Epoch), full)
		if o.super.OldestMap == 0 {
			o.super.OldestMap = m.Epoch
		}
		o.super.NewestMap = m.Epoch
		o.maps = o.maps.with(m, full, inc, in.Oldest)
		fresh = append(fresh, m)
	}
	o.trimMaps(&txn, in.Oldest)
	if !txn.Empty() {
		o.super.write(&txn)
		o.submit(&txn)
	}
	return fresh, wantFull, nil
}

var errDiverged = errors.New("the map is not that of the others")

// nextMap returns the map after the newest, if the message has what it takes.
func (o *OSD) nextMap(in *msg.OSDMap) (m *osdmap.Map, full, inc []byte, err error) {
	have := o.super.NewestMap
	// The message's bytes are those of a frame, which others will use again.
	if b, ok := in.Full[have+1]; ok {
		b = slices.Clone(b)
		m, err := osdmap.Decode(b)
		return m, b, nil, err
	}
	if b, ok := in.Incrementals[have+1]; ok && (o.maps.Map != nil || have == 0) {
		b = slices.Clone(b)
		i, err := osdmap.DecodeIncremental(b)
		if err != nil {
			return nil, nil, nil, err
		}
		base := o.maps.Map
		if base == nil {
			base = osdmap.New()
		}
		if m, err = base.Apply(i); err != nil {
			return nil, nil, nil, err
		}
		full := m.Encode()
		if osdmap.FullCRC(full) != i.FullCRC {
			o.note(NoteCluster, fmt.Sprintf("osdmap e%d is not what the monitors have; asking for all of it", m.Epoch), nil)
			return nil, nil, nil, errDiverged
		}
		return m, full, b, nil
	}
	// Maps between were trimmed: the oldest full one that is newer.
	next := uint32(0)
	for e := range in.Full {
		if e > have && (next == 0 || e < next) {
			next = e
		}
	}
	if next == 0 {
		return nil, nil, nil, nil
	}
	b := slices.Clone(in.Full[next])
	m, err = osdmap.Decode(b)
	return m, b, nil, err
}

// with returns the maps with one more.
func (s *Maps) with(m *osdmap.Map, full, inc []byte, oldest uint32) *Maps {
	n := &Maps{Map: m, full: full, Oldest: max(oldest, s.Oldest)}
	if inc != nil {
		keep := s.recent
		if len(keep) >= maxRecent {
			keep = keep[len(keep)-maxRecent+1:]
		}
		n.recent = append(keep[:len(keep):len(keep)], inc)
	}
	return n
}

func (o *OSD) put(txn *objstore.Txn, name object.ID, b []byte) {
	txn.Truncate(objstore.MetaColl, name, uint64(len(b)))
	txn.Write(objstore.MetaColl, name, 0, buffer.ListOf(b))
}

// maxTrim is how many maps are removed at once.
const maxTrim = 100

// trimMaps removes maps that nobody in the cluster needs.
func (o *OSD) trimMaps(txn *objstore.Txn, oldest uint32) {
	for n := 0; o.super.OldestMap < oldest && o.super.OldestMap < o.super.NewestMap && n < maxTrim; n++ {
		txn.Remove(objstore.MetaColl, fullName(o.super.OldestMap))
		txn.Remove(objstore.MetaColl, incName(o.super.OldestMap))
		o.super.OldestMap++
	}
}
