package objecter

import (
	"testing"
)

// BenchmarkPipelined keeps 64 reads in flight, begun by one goroutine: each in a
// goroutine of its own, which costs about as much as handing the reply over.
func BenchmarkPipelined(b *testing.B) {
	osd := startOSD(b)
	osd.deaf = true
	o := startObjecter(b, osd, Config{})
	b.ReportAllocs()
	slots := make(chan struct{}, 64)
	for b.Loop() {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			c, err := o.Do(b.Context(), read("name"))
			if err != nil {
				b.Error(err)
			}
			c.Data.Release()
		}()
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
}
