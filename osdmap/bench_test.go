package osdmap

import (
	"testing"

	"github.com/pulpo-storage/pulpo/object"
)

func BenchmarkMapping(b *testing.B) {
	m, err := Decode(files()["osdmap-tool60.bin"])
	if err != nil {
		b.Fatal(err)
	}
	var pool int64
	for id := range m.Pools {
		pool = id
	}
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.PGToUpActing(object.PG{Pool: pool, Seed: 7})
		}
	})
	b.Run("computed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.mapPG(m.Pools[pool], object.PG{Pool: pool, Seed: 7})
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	full := files()["osdmap-tool60.bin"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(full); err != nil {
			b.Fatal(err)
		}
	}
}
