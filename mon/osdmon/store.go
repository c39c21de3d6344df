package osdmon

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/osdmap"
	"github.com/pulpo-storage/pulpo/wire"
)

// Keys.
const (
	keyRange  = "range"   // first and last epoch
	keyInc    = "inc/"    // + epoch, 8 hex digits
	keyFull   = "full/"   // + epoch
	keyMeta   = "meta/"   // + osd
	keyPurged = "purged/" // + pool: snapshots whose clones are gone
)

// fullInterval is how many epochs lie between two full maps that are kept.
const fullInterval = 16

func epochKey(prefix string, epoch uint32) string { return fmt.Sprintf("%s%08x", prefix, epoch) }

// change is what goes through the raft log.
type change struct {
	Inc     []byte // encoded incremental, with the checksum of the full map
	Meta    map[int32]map[string]string
	OldMeta []int32
	Purged  map[int64]osdmap.SnapSet
	First   uint32 // epochs before this one are trimmed; 0: none
}

func (c change) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Blob(c.Inc)
	wire.EncodeMap(e, c.Meta, func(osd int32, kv map[string]string) {
		e.S32(osd)
		encodeStrings(e, kv)
	})
	wire.EncodeSlice(e, c.OldMeta, e.S32)
	wire.EncodeMap(e, c.Purged, func(pool int64, s osdmap.SnapSet) {
		e.S64(pool)
		s.Encode(e)
	})
	e.U32(c.First)
	e.End(m)
}

func (c *change) Decode(d *wire.Decoder) {
	env := d.Begin("osdmap change", 1)
	c.Inc = d.Blob()
	c.Meta = wire.DecodeMap(d, 8, func() (int32, map[string]string) { return d.S32(), decodeStrings(d) })
	c.OldMeta = wire.DecodeSlice(d, 4, d.S32)
	c.Purged = wire.DecodeMap(d, 12, func() (pool int64, s osdmap.SnapSet) {
		pool = d.S64()
		s.Decode(d)
		return pool, s
	})
	c.First = d.U32()
	d.End(env)
}

func encodeStrings(e *wire.Encoder, m map[string]string) {
	wire.EncodeMap(e, m, func(k, v string) { e.Str(k); e.Str(v) })
}

func decodeStrings(d *wire.Decoder) map[string]string {
	return wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
}

type metadata map[string]string

func (m metadata) Encode(e *wire.Encoder)  { encodeStrings(e, m) }
func (m *metadata) Decode(d *wire.Decoder) { *m = decodeStrings(d) }

type epochs struct{ first, last uint32 }

func (r epochs) Encode(e *wire.Encoder)  { e.U32(r.first); e.U32(r.last) }
func (r *epochs) Decode(d *wire.Decoder) { r.first, r.last = d.U32(), d.U32() }

// proposal is a change with the map that it leads to, so that the leader need
// not compute it twice.
type proposal struct {
	change []byte
	next   *osdmap.Map
	full   []byte
}

// Load reads the newest map and what goes with it.
func (s *Service) Load(r service.Reader) error {
	s.r = r
	s.Drop()
	s.meta = map[int32]map[string]string{}
	s.snaps = map[int64]osdmap.SnapSet{}
	raw := r.Get(keyRange)
	if raw == nil {
		s.cur, s.full, s.first = osdmap.New(), nil, 0
		return nil
	}
	var at epochs
	if err := wire.Unmarshal(raw, &at); err != nil {
		return err
	}
	full := r.Get(epochKey(keyFull, at.last))
	m, err := osdmap.Decode(bytes.Clone(full))
	if err != nil {
		return fmt.Errorf("newest map e%d: %w", at.last, err)
	}
	for key, v := range r.Scan(keyMeta, keyMeta+"~") {
		osd, err := strconv.ParseInt(strings.TrimPrefix(key, keyMeta), 10, 32)
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		var kv metadata
		if err := wire.Unmarshal(v, &kv); err != nil {
			return fmt.Errorf("metadata of osd.%d: %w", osd, err)
		}
		s.meta[int32(osd)] = kv
	}
	for key, v := range r.Scan(keyPurged, keyPurged+"~") {
		pool, err := strconv.ParseInt(strings.TrimPrefix(key, keyPurged), 10, 64)
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		var set osdmap.SnapSet
		if err := wire.Unmarshal(v, &set); err != nil {
			return fmt.Errorf("purged snapshots of pool %d: %w", pool, err)
		}
		s.snaps[pool] = set
	}
	s.cur, s.full, s.first = m, full, at.first
	return nil
}

// Propose returns the pending change as the next epoch.
func (s *Service) Propose(now time.Time) []byte {
	if s.p.empty() {
		return nil
	}
	s.settle(now)
	inc := s.p.inc
	next, err := s.cur.Apply(inc)
	if err != nil {
		panic("BUG: pending osdmap: " + err.Error()) // all that is staged was checked
	}
	full := next.Encode()
	b := wire.Marshal(change{
		Inc: inc.Encode(osdmap.FullCRC(full)), Meta: s.p.meta, OldMeta: s.p.oldMeta, Purged: s.p.purged, First: s.trimTo(),
	})
	s.proposed = &proposal{b, next, full}
	s.p = pending{}
	return b
}

// Drop forgets what is pending, and what only a leader knows.
func (s *Service) Drop() {
	s.p, s.proposed, s.life = pending{}, nil, newLife()
}

// Apply folds a committed change in.
func (s *Service) Apply(b []byte, w service.Writer) error {
	var c change
	if err := wire.Unmarshal(b, &c); err != nil {
		return err
	}
	next, full := (*osdmap.Map)(nil), []byte(nil)
	if p := s.proposed; p != nil && bytes.Equal(p.change, b) {
		next, full = p.next, p.full
	} else {
		inc, err := osdmap.DecodeIncremental(bytes.Clone(c.Inc))
		if err != nil {
			return err
		}
		if next, err = s.cur.Apply(inc); err != nil {
			return err
		}
		full = next.Encode()
		if crc := osdmap.FullCRC(full); crc != inc.FullCRC {
			return fmt.Errorf("osdmap e%d has crc %08x, the leader's %08x", inc.Epoch, crc, inc.FullCRC)
		}
	}
	s.proposed = nil
	was := s.cur
	s.store(w, &c, next, full)
	s.cur, s.full = next, full
	s.follow(was)
	return nil
}

func (s *Service) store(w service.Writer, c *change, next *osdmap.Map, full []byte) {
	if s.first == 0 {
		s.first = next.Epoch
	}
	w.Put(epochKey(keyInc, next.Epoch), bytes.Clone(c.Inc))
	w.Put(epochKey(keyFull, next.Epoch), full)
	if prev := next.Epoch - 1; prev > s.first && prev%fullInterval != 0 {
		w.Delete(epochKey(keyFull, prev))
	}
	for ; s.first < c.First; s.first++ {
		w.Delete(epochKey(keyInc, s.first))
		w.Delete(epochKey(keyFull, s.first))
	}
	w.Put(keyRange, wire.Marshal(epochs{s.first, next.Epoch}))
	for _, osd := range c.OldMeta {
		w.Delete(keyMeta + strconv.Itoa(int(osd)))
		delete(s.meta, osd)
	}
	for osd, kv := range c.Meta {
		w.Put(keyMeta+strconv.Itoa(int(osd)), wire.Marshal(metadata(kv)))
		s.meta[osd] = kv
	}
	for pool, set := range c.Purged {
		s.snaps[pool] = s.snaps[pool].Union(set)
		w.Put(keyPurged+strconv.FormatInt(pool, 10), wire.Marshal(s.snaps[pool]))
	}
	for pool := range s.snaps {
		if next.Pools[pool] == nil {
			w.Delete(keyPurged + strconv.FormatInt(pool, 10))
			delete(s.snaps, pool)
		}
	}
}

// incremental returns the encoded incremental of an epoch, nil if it was
// trimmed.
func (s *Service) incremental(epoch uint32) []byte { return s.r.Get(epochKey(keyInc, epoch)) }

// fullMap returns the encoded map of an epoch. ENOENT: never was, or not any
// more.
func (s *Service) fullMap(epoch uint32) ([]byte, error) {
	if epoch == s.cur.Epoch {
		return s.full, nil
	}
	m, err := s.mapAt(epoch)
	if err != nil {
		return nil, err
	}
	return m.Encode(), nil
}

// mapAt returns the map of an epoch, made of the last full map before it.
func (s *Service) mapAt(epoch uint32) (*osdmap.Map, error) {
	if epoch == s.cur.Epoch {
		return s.cur, nil
	}
	if epoch < s.first || epoch > s.cur.Epoch || epoch == 0 {
		return nil, fmt.Errorf("osdmap e%d: %w", epoch, errno.ENOENT)
	}
	base := max(epoch-epoch%fullInterval, s.first)
	m, err := osdmap.Decode(bytes.Clone(s.r.Get(epochKey(keyFull, base))))
	for e := base + 1; err == nil && e <= epoch; e++ {
		var inc *osdmap.Incremental
		if inc, err = osdmap.DecodeIncremental(bytes.Clone(s.incremental(e))); err == nil {
			m, err = m.Apply(inc)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stored osdmap e%d: %w: %w", epoch, err, errno.EIO)
	}
	return m, nil
}

// trimTo returns the first epoch to keep if it is time to trim, else 0. It is
// one of those with a full map.
func (s *Service) trimTo() uint32 {
	floor, ok := s.stats.CleanFloor()
	keep := uint32(s.intOption("mon_min_osdmap_epochs", 500))
	if !ok || s.cur.Epoch < keep {
		return 0
	}
	to := min(floor, s.cur.Epoch-keep)
	to -= to % fullInterval
	if to < s.first+uint32(s.intOption("paxos_service_trim_min", 250)) {
		return 0
	}
	return min(to, s.first+uint32(s.intOption("paxos_service_trim_max", 500))/fullInterval*fullInterval)
}
