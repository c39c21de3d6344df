package pg

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/scrub"
	"github.com/pulpo-storage/pulpo/wire"
)

// A scrub of the log. All copies get an entry with the same transaction, and none
// changes it before the interval ends; so what is in two logs must be the same. There
// is no way to put one entry right, since nobody knows what the copy did by it: a repair
// has such a copy filled anew, like one that the store has found damaged (damage.go).

var errLog = fmt.Errorf("its log is not that of the other copies: %w", errno.EIO)

// logSums are the checksums of the entries from the log's tail on.
func (p *PG) logSums() (sums []scrub.EntrySum) {
	var e wire.Encoder
	for _, t := range p.log.Entries {
		if t.Version.Compare(p.info.LogTail) <= 0 {
			continue // only its request is known
		}
		e.Reset()
		t.Encode(&e, new(Info))
		sums = append(sums, scrub.EntrySum{Version: t.Version, CRC: wire.CRC32C(0, e.Bytes())})
	}
	return sums
}

// scrubLogs compares the logs when all maps of the last chunk are there.
func (p *PG) scrubLogs(r *scrubRun) {
	r.maps[0].Map.Log = p.logSums()
	bad, lines := scrub.CompareLogs(p.id, r.maps)
	for _, line := range lines {
		p.say(NoteCluster, "%s", line)
	}
	r.shallow += int64(len(bad))
	r.logs = bad
}

// repairLogs gives up the copies with logs that are wrong.
func (p *PG) repairLogs(now time.Time, r *scrubRun) {
	for _, b := range r.logs {
		if !r.repair || r.auto && !b.Certain {
			continue
		}
		r.fixed++
		if b.OSD != p.env.Whoami {
			p.tell(b.OSD, PeerScrubDamaged, &damagedBody{log: true})
		} else if p.damage == nil {
			p.renounce(now, errLog)
		}
	}
}
