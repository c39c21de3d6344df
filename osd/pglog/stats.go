package pglog

import "github.com/pulpo-storage/pulpo/wire"

// Stats are the sums over the group's objects that it keeps (object_stat_sum_t).
// Clones and whiteouts are among the objects; the bytes that a clone shares with
// a newer version are not among the bytes.
type Stats struct {
	Bytes, Objects, OmapObjects    int64
	Reads, ReadKB, Writes, WriteKB int64
	Clones, Whiteouts              int64
}

// fields are the figures in the order in which they came to be; the first seven
// are those of version 1 of what they are written in.
func (s *Stats) fields() [9]*int64 {
	return [...]*int64{&s.Bytes, &s.Objects, &s.OmapObjects, &s.Reads, &s.ReadKB, &s.Writes, &s.WriteKB, &s.Clones, &s.Whiteouts}
}

// Add adds t.
func (s *Stats) Add(t *Stats) {
	theirs := t.fields()
	for i, p := range s.fields() {
		*p += *theirs[i]
	}
}

// Sub subtracts t.
func (s *Stats) Sub(t *Stats) {
	theirs := t.fields()
	for i, p := range s.fields() {
		*p -= *theirs[i]
	}
}

// encode writes what decode reads from within a structure of version 2.
func (s *Stats) encode(e *wire.Encoder) {
	for _, p := range s.fields() {
		e.S64(*p)
	}
}

func (s *Stats) decode(d *wire.Decoder, version uint8) {
	fields := s.fields()
	n := len(fields)
	if version < 2 {
		n = 7
	}
	for _, p := range fields[:n] {
		*p = d.S64()
	}
}
