package osdmap

import (
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// Parts that full maps and incrementals share.

func encodePools(e *wire.Encoder, pools map[int64]*Pool) {
	wire.EncodeMap(e, pools, func(id int64, p *Pool) {
		e.S64(id)
		p.Encode(e)
	})
}

func decodePools(d *wire.Decoder) map[int64]*Pool {
	return wire.DecodeMap(d, 14, func() (int64, *Pool) {
		id, p := d.S64(), new(Pool)
		p.Decode(d)
		return id, p
	})
}

func encodePoolNames(e *wire.Encoder, names map[int64]string) {
	wire.EncodeMap(e, names, func(id int64, name string) {
		e.S64(id)
		e.Str(name)
	})
}

func decodePoolNames(d *wire.Decoder) map[int64]string {
	return wire.DecodeMap(d, 12, func() (int64, string) { return d.S64(), d.Str() })
}

func encodeAddrs(e *wire.Encoder, addrs []entity.AddrVec) {
	wire.EncodeSlice(e, addrs, func(a entity.AddrVec) { a.Encode(e) })
}

func decodeAddrs(d *wire.Decoder) []entity.AddrVec {
	return wire.DecodeSlice(d, 5, func() (a entity.AddrVec) { a.Decode(d); return a })
}

func encodePGMap[V any](e *wire.Encoder, m map[object.PG]V, f func(V)) {
	wire.EncodeMapFunc(e, m, object.PG.Compare, func(pg object.PG, v V) {
		pg.Encode(e)
		f(v)
	})
}

func decodePGMap[V any](d *wire.Decoder, size int, f func() V) map[object.PG]V {
	return wire.DecodeMap(d, 17+size, func() (pg object.PG, v V) {
		pg.Decode(d)
		return pg, f()
	})
}

func encodePGs(e *wire.Encoder, pgs []object.PG) {
	wire.EncodeSlice(e, pgs, func(pg object.PG) { pg.Encode(e) })
}

func decodePGs(d *wire.Decoder) []object.PG {
	return wire.DecodeSlice(d, 17, func() (pg object.PG) { pg.Decode(d); return pg })
}

func encodeUpmapItems(e *wire.Encoder, items []UpmapItem) {
	wire.EncodeSlice(e, items, func(i UpmapItem) {
		e.S32(i.From)
		e.S32(i.To)
	})
}

func decodeUpmapItems(d *wire.Decoder) []UpmapItem {
	return wire.DecodeSlice(d, 8, func() UpmapItem { return UpmapItem{d.S32(), d.S32()} })
}

func encodeProfiles(e *wire.Encoder, profiles map[string]map[string]string) {
	wire.EncodeMap(e, profiles, func(name string, kv map[string]string) {
		e.Str(name)
		encodeStrings(e, kv)
	})
}

func decodeProfiles(d *wire.Decoder) map[string]map[string]string {
	return wire.DecodeMap(d, 8, func() (string, map[string]string) { return d.Str(), decodeStrings(d) })
}

func encodeSnaps(e *wire.Encoder, m map[int64]SnapSet) {
	wire.EncodeMap(e, m, func(pool int64, s SnapSet) {
		e.S64(pool)
		s.Encode(e)
	})
}

func decodeSnaps(d *wire.Decoder) map[int64]SnapSet {
	return wire.DecodeMap(d, 12, func() (pool int64, s SnapSet) {
		pool = d.S64()
		s.Decode(d)
		return pool, s
	})
}

func encodeBlocklist(e *wire.Encoder, m map[entity.Addr]time.Time) {
	wire.EncodeMapFunc(e, m, entity.Addr.Compare, func(a entity.Addr, until time.Time) {
		a.Encode(e)
		e.Time(until)
	})
}

func decodeBlocklist(d *wire.Decoder) map[entity.Addr]time.Time {
	return wire.DecodeMap(d, 16, func() (a entity.Addr, until time.Time) {
		a.Decode(d)
		return a, d.Time()
	})
}

func encodeNodeFlags(e *wire.Encoder, m map[int32]State) {
	wire.EncodeMap(e, m, func(id int32, s State) {
		e.S32(id)
		e.U32(uint32(s))
	})
}

func decodeNodeFlags(d *wire.Decoder) map[int32]State {
	return wire.DecodeMap(d, 8, func() (int32, State) { return d.S32(), State(d.U32()) })
}

// encodeByOSD writes a map that is keyed by OSD.
func encodeByOSD[V any](e *wire.Encoder, m map[int32]V, f func(V)) {
	wire.EncodeMap(e, m, func(osd int32, v V) {
		e.S32(osd)
		f(v)
	})
}

func decodeByOSD[V any](d *wire.Decoder, size int, f func() V) map[int32]V {
	return wire.DecodeMap(d, 4+size, func() (int32, V) { return d.S32(), f() })
}
