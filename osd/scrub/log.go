package scrub

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// EntrySum is a checksum of an entry of a copy's log. Ceph does not compare logs; but
// a copy whose entry is another one, and can be read, would answer a request twice, or
// lack an object and not know it, on the day it becomes the primary's.
type EntrySum struct {
	Version object.Version
	CRC     uint32
}

func (s *EntrySum) encode(e *wire.Encoder) { s.Version.Encode(e); e.U32(s.CRC) }

func (s *EntrySum) decode(d *wire.Decoder) { s.Version.Decode(d); s.CRC = d.U32() }

// BadLog is a copy whose log is not that of the others.
type BadLog struct {
	OSD     int32
	Version object.Version // of the first entry that is another one
	Certain bool           // most copies agree against it
}

// CompareLogs compares the logs of the copies, each ascending, as far as they reach
// alike: they begin and end where they have been trimmed and written to at the moment
// when each was looked at. The copy of the primary comes first; it is taken for right
// where there is no majority.
func CompareLogs(pg object.SPG, copies []Copy) (bad []BadLog, lines []string) {
	type voice struct {
		osd int32
		crc uint32
	}
	voices := map[object.Version][]voice{}
	for _, k := range copies {
		for _, s := range k.Map.Log {
			voices[s.Version] = append(voices[s.Version], voice{k.OSD, s.CRC})
		}
	}
	for _, k := range copies {
		for _, s := range k.Map.Log {
			all := voices[s.Version]
			votes, best := 0, all[0].crc
			for _, a := range all {
				n := 0
				for _, b := range all {
					if a.crc == b.crc {
						n++
					}
				}
				if n > votes {
					votes, best = n, a.crc
				}
			}
			if s.CRC != best {
				bad = append(bad, BadLog{k.OSD, s.Version, 2*votes > len(all)})
				lines = append(lines, fmt.Sprintf("%v shard %d : log entry %v is not that of other shards", pg, k.OSD, s.Version))
				break
			}
		}
	}
	return bad, lines
}
