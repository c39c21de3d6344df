package mgrmon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// dfCommands registers what clients ask any monitor for, but only the leader
// knows.
func (s *Service) dfCommands(t *command.Table) { t.Write("df", s.df) }

// df shows the space of the cluster and of its pools.
func (s *Service) df(c *command.Call) command.Reply {
	d := df{p: s.pgmap(), detail: c.Str("detail") == "detail"}
	d.sum = d.p.current()
	return c.Either(d.text, func(f *jsonfmt.Formatter) { f.Object("stats", func() { d.dump(f) }) }).LineUnlessPlain(c)
}

type df struct {
	p      *pgmap
	sum    *sums
	detail bool
}

func (d *df) classes() []string { return slices.Sorted(maps.Keys(d.sum.byClass)) }

func (d *df) dump(f *jsonfmt.Formatter) {
	space := func(a *osdSum) {
		f.Int("total_bytes", a.space.Total)
		f.Int("total_avail_bytes", a.space.Available)
		f.Int("total_used_bytes", used(&a.space))
		f.Int("total_used_raw_bytes", usedRaw(&a.space))
		f.Float("total_used_raw_ratio", float64(usedRawRatio(&a.space)))
	}
	f.Object("stats", func() {
		space(&d.sum.osds)
		f.Int("num_osds", int64(d.sum.osds.osds))
		f.Int("num_per_pool_osds", int64(d.sum.osds.osds))
		f.Int("num_per_pool_omap_osds", int64(d.sum.osds.osds))
	})
	f.Object("stats_by_class", func() {
		for _, class := range d.classes() {
			f.Object(class, func() { space(d.sum.byClass[class]) })
		}
	})
	f.Array("pools", func() {
		d.pools(func(u poolUse) {
			f.Object("pool", func() {
				f.Str("name", u.name)
				f.Int("id", u.id)
				f.Object("stats", func() { u.dump(f, d.detail) })
			})
		})
	})
}

func (d *df) text() string {
	var raw jsonfmt.Table
	raw.Column("CLASS", jsonfmt.Left)
	for _, h := range []string{"SIZE", "AVAIL", "USED", "RAW USED", "%RAW USED"} {
		raw.ColumnRight(h)
	}
	row := func(name string, a *osdSum) {
		raw.Row(name, size(a.space.Total), size(a.space.Available), size(used(&a.space)), size(usedRaw(&a.space)),
			percent(usedRawRatio(&a.space)*100))
	}
	for _, class := range d.classes() {
		row(class, d.sum.byClass[class])
	}
	row("TOTAL", &d.sum.osds)

	var pools jsonfmt.Table
	pools.Column("POOL", jsonfmt.Left)
	heads := []string{"ID", "PGS", "STORED", "OBJECTS", "USED", "%USED", "MAX AVAIL"}
	if d.detail {
		heads = []string{"ID", "PGS", "STORED", "(DATA)", "(OMAP)", "OBJECTS", "USED", "(DATA)", "(OMAP)", "%USED", "MAX AVAIL",
			"QUOTA OBJECTS", "QUOTA BYTES", "DIRTY", "USED COMPR", "UNDER COMPR"}
	}
	for _, h := range heads {
		pools.ColumnRight(h)
	}
	d.pools(func(u poolUse) { pools.Row(u.row(d.detail)...) })
	return "--- RAW STORAGE ---\n" + raw.String() + " \n--- POOLS ---\n" + pools.String()
}

// percent renders a percentage; what is too little to see is 0.
func percent(v float32) string {
	if v < 0.01 {
		return "0"
	}
	return strconv.FormatFloat(float64(v), 'f', 2, 64)
}

// poolUse is the space of a pool. Sizes as users see them are those of the OSDs
// divided by the number of copies.
type poolUse struct {
	name                 string
	id                   int64
	pool                 *osdmap.Pool
	sum                  *poolSum
	avail, availRaw      uint64
	stored, data, omap   uint64
	storedRaw            int64
	used, usedD, usedO   uint64
	usedRatio, rawUsedBy float32
}

func (d *df) pools(visit func(poolUse)) {
	for _, id := range slices.Sorted(maps.Keys(d.sum.pools)) {
		p := d.p.m.Pools[id]
		visit(usePool(d.p.m.PoolNames[id], id, p, d.sum.pools[id], uint64(d.sum.avail[p.CrushRule]), rawUsedRate(d.p.m, p)))
	}
}

func usePool(name string, id int64, p *osdmap.Pool, sum *poolSum, avail uint64, rate float32) poolUse {
	u := poolUse{name: name, id: id, pool: p, sum: sum, availRaw: avail, rawUsedBy: rate}
	st := &sum.Store
	u.usedD, u.usedO = uint64(max(st.Allocated, 0)), uint64(max(st.OmapAllocated, 0))
	u.used = u.usedD + u.usedO
	switch {
	case avail > 0:
		u.usedRatio = float32(u.used)
		u.usedRatio /= u.usedRatio + float32(avail)
	case u.used > 0:
		u.usedRatio = 1
	}
	if rate > 0 {
		u.avail = uint64(float32(avail) / rate)
		u.data = uint64(float32(max(st.Stored, 0)) / rate)
		u.omap = uint64(float32(u.usedO) / rate)
	}
	u.stored = u.data + u.omap
	u.storedRaw = int64(float32(u.stored) * rate)
	return u
}

func (u *poolUse) dump(f *jsonfmt.Formatter, detail bool) {
	f.Uint("stored", u.stored)
	if detail {
		f.Uint("stored_data", u.data)
		f.Uint("stored_omap", u.omap)
	}
	f.Int("objects", u.sum.Objects.Objects)
	f.Uint("kb_used", (u.used+1023)>>10)
	f.Uint("bytes_used", u.used)
	if detail {
		f.Uint("data_bytes_used", u.usedD)
		f.Uint("omap_bytes_used", u.usedO)
	}
	f.Float("percent_used", float64(u.usedRatio))
	f.Uint("max_avail", u.avail)
	if !detail {
		return
	}
	o, st := &u.sum.Objects, &u.sum.Store
	f.Uint("quota_objects", u.pool.QuotaMaxObjects)
	f.Uint("quota_bytes", u.pool.QuotaMaxBytes)
	dirty := int64(0)
	if u.pool.TierOf >= 0 {
		dirty = o.Dirty
	}
	f.Int("dirty", dirty)
	f.Int("rd", o.Reads)
	f.Int("rd_bytes", o.ReadKB*1024)
	f.Int("wr", o.Writes)
	f.Int("wr_bytes", o.WriteKB*1024)
	f.Int("compress_bytes_used", st.CompressedAllocated)
	f.Int("compress_under_bytes", st.CompressedOrig)
	f.Int("stored_raw", u.storedRaw)
	f.Uint("avail_raw", u.availRaw)
}

func (u *poolUse) row(detail bool) []string {
	limit := func(n uint64, render func(uint64) string) string {
		if n == 0 {
			return "N/A"
		}
		return render(n)
	}
	o, st := &u.sum.Objects, &u.sum.Store
	row := []string{u.name, fmt.Sprint(u.id), fmt.Sprint(u.pool.PGNum), jsonfmt.Bytes(u.stored)}
	if detail {
		row = append(row, jsonfmt.Bytes(u.data), jsonfmt.Bytes(u.omap))
	}
	row = append(row, jsonfmt.SI(uint64(max(o.Objects, 0))), jsonfmt.Bytes(u.used))
	if detail {
		row = append(row, jsonfmt.Bytes(u.usedD), jsonfmt.Bytes(u.usedO))
	}
	row = append(row, percent(u.usedRatio*100), jsonfmt.Bytes(u.avail))
	if detail {
		dirty := "N/A"
		if u.pool.TierOf >= 0 {
			dirty = jsonfmt.SI(uint64(max(o.Dirty, 0)))
		}
		row = append(row, limit(u.pool.QuotaMaxObjects, jsonfmt.SI), limit(u.pool.QuotaMaxBytes, jsonfmt.Bytes), dirty,
			size(st.CompressedAllocated), size(st.CompressedOrig))
	}
	return row
}
