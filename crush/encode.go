package crush

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/wire"
)

const mapMagic = 0x00010000

// Encode returns the map as it travels in an OSDMap and as crushtool writes it
// (CrushWrapper::encode, all features; doc/protocol/maps.md#crush).
func (m *Map) Encode() []byte {
	var e wire.Encoder
	e.U32(mapMagic)
	e.S32(int32(len(m.Buckets)))
	e.U32(uint32(len(m.Rules)))
	e.S32(m.MaxDevices)
	for _, b := range m.Buckets {
		if b == nil {
			e.U32(0)
			continue
		}
		b.encode(&e)
	}
	for _, r := range m.Rules {
		if r == nil {
			e.U32(0)
			continue
		}
		e.U32(1)
		e.U32(uint32(len(r.Steps)))
		e.U8(r.Ruleset)
		e.U8(r.Type)
		e.U8(r.MinSize)
		e.U8(r.MaxSize)
		for _, s := range r.Steps {
			e.U32(uint32(s.Op))
			e.S32(s.Arg1)
			e.S32(s.Arg2)
		}
	}
	encodeNames(&e, m.Types)
	encodeNames(&e, m.Names)
	encodeNames(&e, m.RuleNames)

	e.U32(m.ChooseLocalTries)
	e.U32(m.ChooseLocalFallbackTries)
	e.U32(m.ChooseTotalTries)
	e.U32(m.ChooseLeafDescendOnce)
	e.U8(m.ChooseLeafVaryR)
	e.U8(m.StrawCalcVersion)
	e.U32(m.AllowedBucketAlgs)
	e.U8(m.ChooseLeafStable)

	encodeIDs(&e, m.Classes)
	encodeNames(&e, m.ClassNames)
	wire.EncodeMap(&e, m.ClassBucket, func(id int32, shadows map[int32]int32) {
		e.S32(id)
		encodeIDs(&e, shadows)
	})

	// Keys are signed here and unsigned in Ceph, but Ceph too sorts them signed.
	wire.EncodeMap(&e, m.ChooseArgs, func(key int64, args []ChooseArg) {
		e.S64(key)
		n := uint32(0)
		for i := range args {
			if !args[i].IsZero() {
				n++
			}
		}
		e.U32(n)
		for i := range args {
			a := &args[i]
			if a.IsZero() {
				continue
			}
			e.U32(uint32(i))
			wire.EncodeSlice(&e, a.WeightSet, func(w []uint32) { wire.EncodeSlice(&e, w, e.U32) })
			wire.EncodeSlice(&e, a.IDs, e.S32)
		}
	})
	return e.Bytes()
}

func encodeNames(e *wire.Encoder, names map[int32]string) {
	wire.EncodeMap(e, names, func(id int32, name string) {
		e.S32(id)
		e.Str(name)
	})
}

func encodeIDs(e *wire.Encoder, ids map[int32]int32) {
	wire.EncodeMap(e, ids, func(k, v int32) {
		e.S32(k)
		e.S32(v)
	})
}

// Decode reads a map. Whatever it accepts is safe to compute with: items exist
// or are devices, no bucket contains itself, derived arrays have the right size.
func Decode(b []byte) (*Map, error) {
	d := wire.NewDecoder(b)
	m := New()
	if magic := d.U32(); magic != mapMagic {
		d.Failf("crush map magic %#x", magic)
	}
	// A free slot takes four bytes, so the numbers of slots are bounded.
	buckets, rules := d.S32(), d.U32()
	d.S32() // the bound of device ids, which is computed below
	if left := int64(d.Left()); buckets < 0 || int64(buckets)*4 > left || int64(rules)*4 > left {
		d.Failf("%d buckets, %d rules in %d bytes", buckets, rules, left)
		return nil, d.Err()
	}
	m.Buckets = make([]*Bucket, buckets)
	for i := range m.Buckets {
		if alg := d.U32(); alg != 0 {
			m.Buckets[i] = decodeBucket(d, Alg(alg), -1-int32(i))
		}
		if d.Err() != nil {
			return nil, d.Err()
		}
	}
	m.Rules = make([]*Rule, rules)
	for i := range m.Rules {
		if d.U32() == 0 {
			continue
		}
		n := d.Count(12)
		r := &Rule{Ruleset: d.U8(), Type: d.U8(), MinSize: d.U8(), MaxSize: d.U8()}
		r.Steps = make([]Step, 0, n)
		for range n {
			r.Steps = append(r.Steps, Step{Op(d.U32()), d.S32(), d.S32()})
		}
		m.Rules[i] = r
	}
	m.Types = decodeNames(d)
	m.Names = decodeNames(d)
	m.RuleNames = decodeNames(d)

	// What follows was appended release by release; an old map ends between.
	if d.Left() > 0 {
		m.ChooseLocalTries, m.ChooseLocalFallbackTries, m.ChooseTotalTries = d.U32(), d.U32(), d.U32()
	}
	if d.Left() > 0 {
		m.ChooseLeafDescendOnce = d.U32()
	}
	if d.Left() > 0 {
		m.ChooseLeafVaryR = d.U8()
	}
	if d.Left() > 0 {
		m.StrawCalcVersion = d.U8()
	}
	if d.Left() > 0 {
		m.AllowedBucketAlgs = d.U32()
	}
	if d.Left() > 0 {
		m.ChooseLeafStable = d.U8()
	}
	if d.Left() > 0 {
		m.Classes = decodeIDs(d)
		m.ClassNames = wire.DecodeMap(d, 8, func() (int32, string) { return d.S32(), d.Str() })
		m.ClassBucket = wire.DecodeMap(d, 8, func() (int32, map[int32]int32) { return d.S32(), decodeIDs(d) })
	}
	if d.Left() > 0 {
		for range d.Count(12) {
			key := d.S64()
			m.ChooseArgs[key] = m.decodeChooseArgs(d)
		}
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("crush map: %w", err)
	}
	m.countDevices()
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// countDevices sets MaxDevices to what the map needs, as Ceph does whenever it
// reads one; the encoding of an OSD map depends on it.
func (m *Map) countDevices() {
	m.MaxDevices = 0
	for id := range m.Names {
		m.MaxDevices = max(m.MaxDevices, id+1)
	}
	for _, b := range m.Buckets {
		if b != nil {
			for _, item := range b.Items {
				// Not beyond the bound, which check finds exceeded.
				m.MaxDevices = max(m.MaxDevices, min(item, maxDevices-1)+1)
			}
		}
	}
}

func (m *Map) decodeChooseArgs(d *wire.Decoder) []ChooseArg {
	n := d.Count(12)
	if d.Err() != nil {
		return nil
	}
	args := make([]ChooseArg, len(m.Buckets))
	for range n {
		i := d.U32()
		a := ChooseArg{
			WeightSet: wire.DecodeSlice(d, 4, func() []uint32 { return wire.DecodeSlice(d, 4, d.U32) }),
			IDs:       wire.DecodeSlice(d, 4, d.S32),
		}
		if d.Err() != nil {
			return nil
		}
		if int(i) >= len(args) {
			d.Failf("choose args of bucket %d of %d", i, len(args))
			return nil
		}
		args[i] = a
	}
	return args
}

// decodeNames reads a map of names. Some old writers made the keys 64 bits
// wide; since no name is empty, a length of zero is the upper half of such a
// key.
func decodeNames(d *wire.Decoder) map[int32]string {
	return wire.DecodeMap(d, 8, func() (int32, string) {
		id := d.S32()
		n := d.Count(1)
		if n == 0 && d.Err() == nil {
			n = d.Count(1)
		}
		return id, string(d.Raw(n))
	})
}

func decodeIDs(d *wire.Decoder) map[int32]int32 {
	return wire.DecodeMap(d, 8, func() (int32, int32) { return d.S32(), d.S32() })
}

func (b *Bucket) encode(e *wire.Encoder) {
	e.U32(uint32(b.Alg))
	e.S32(b.ID)
	e.U16(b.Type)
	e.U8(uint8(b.Alg))
	e.U8(b.Hash)
	e.U32(b.Weight)
	wire.EncodeSlice(e, b.Items, e.S32)
	switch b.Alg {
	case Uniform:
		e.U32(b.ItemWeight)
	case List:
		for i, w := range b.Weights {
			e.U32(w)
			e.U32(b.Sums[i])
		}
	case Tree:
		e.U8(uint8(len(b.Nodes)))
		for _, w := range b.Nodes {
			e.U32(w)
		}
	case Straw:
		for i, w := range b.Weights {
			e.U32(w)
			e.U32(b.Straws[i])
		}
	case Straw2:
		for _, w := range b.Weights {
			e.U32(w)
		}
	}
}

func decodeBucket(d *wire.Decoder, alg Alg, id int32) *Bucket {
	b := &Bucket{ID: d.S32(), Type: d.U16(), Alg: Alg(d.U8()), Hash: d.U8(), Weight: d.U32()}
	b.Items = wire.DecodeSlice(d, 4, d.S32)
	n := len(b.Items)
	switch {
	case d.Err() != nil:
		return nil
	case b.ID != id || b.Alg != alg:
		d.Failf("bucket %d of algorithm %d in the place of bucket %d of algorithm %d", b.ID, b.Alg, id, alg)
		return nil
	case b.Type == 0:
		d.Failf("bucket %d has the type of devices", id)
		return nil
	case b.Hash != 0:
		d.Failf("bucket %d has the unknown hash %d", id, b.Hash)
		return nil
	}
	switch b.Alg {
	case Uniform:
		b.ItemWeight = d.U32()
	case List, Straw:
		b.Weights = make([]uint32, n)
		derived := make([]uint32, n)
		for i := range n {
			b.Weights[i], derived[i] = d.U32(), d.U32()
		}
		if b.Alg == List {
			b.Sums = derived
		} else {
			b.Straws = derived
		}
	case Tree:
		b.Nodes = make([]uint32, d.U8())
		for i := range b.Nodes {
			b.Nodes[i] = d.U32()
		}
		if nodes := len(b.Nodes); n > 0 && (nodes < treeSize(n) || nodes&(nodes-1) != 0) {
			d.Failf("tree bucket %d has %d nodes for %d items", id, nodes, n)
		}
	case Straw2:
		b.Weights = make([]uint32, n)
		for i := range b.Weights {
			b.Weights[i] = d.U32()
		}
	default:
		d.Failf("bucket %d has the unknown algorithm %d", id, b.Alg)
	}
	return b
}

// check verifies what the search relies on.
func (m *Map) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("crush map: %w: "+format, append([]any{wire.ErrValue}, args...)...)
	}
	if m.MaxDevices < 0 || m.MaxDevices > maxDevices {
		return bad("a device with an id above %d", maxDevices)
	}
	for _, b := range m.Buckets {
		if b == nil {
			continue
		}
		for _, item := range b.Items {
			if item >= 0 && item >= m.MaxDevices {
				return bad("bucket %d holds device %d, at most %d are possible", b.ID, item, maxDevices)
			}
			if item < 0 && m.Bucket(item) == nil {
				return bad("bucket %d holds bucket %d, which does not exist", b.ID, item)
			}
		}
		for key, args := range m.ChooseArgs {
			a := &args[-1-b.ID]
			for _, w := range a.WeightSet {
				if len(w) != len(b.Items) {
					return bad("weight set %d has %d weights for the %d items of bucket %d", key, len(w), len(b.Items), b.ID)
				}
			}
			if n := len(a.IDs); n != 0 && n != len(b.Items) {
				return bad("choose args %d have %d ids for the %d items of bucket %d", key, n, len(b.Items), b.ID)
			}
		}
	}
	return m.checkLoops()
}

// checkLoops verifies that no bucket is below itself.
func (m *Map) checkLoops() error {
	const (
		unseen = iota
		open
		done
	)
	state := make([]uint8, len(m.Buckets))
	type frame struct{ bucket, next int }
	var path []frame
	for i := range m.Buckets {
		if m.Buckets[i] == nil || state[i] != unseen {
			continue
		}
		state[i] = open
		path = append(path[:0], frame{bucket: i})
		for len(path) > 0 {
			f := &path[len(path)-1]
			items := m.Buckets[f.bucket].Items
			if f.next == len(items) {
				state[f.bucket] = done
				path = path[:len(path)-1]
				continue
			}
			item := items[f.next]
			f.next++
			if item >= 0 {
				continue
			}
			switch c := int(-1 - item); state[c] {
			case open:
				return fmt.Errorf("crush map: %w: bucket %d is below itself", wire.ErrValue, item)
			case unseen:
				state[c] = open
				path = append(path, frame{bucket: c})
			}
		}
	}
	return nil
}
