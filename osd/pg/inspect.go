package pg

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/pglog"
)

// Check panics if an invariant of the package comment does not hold; tests and
// the simulator call it after each step.
func (p *PG) Check() { p.check() }

// Logged reports whether a store has the log entry of a version of a group.
func Logged(s objstore.Store, id object.SPG, v object.Version) (bool, error) {
	meta := object.ID{Pool: id.Pool, Hash: id.Seed, Snap: object.NoSnap}
	key := pglog.Key(v)
	m, err := s.OmapGet(objstore.PGColl(id), meta, []string{key})
	if err != nil {
		return false, fmt.Errorf("pg %v: log: %w", id, err)
	}
	return m[key] != nil, nil
}

// Serves reports whether the group would answer a request that its shard gives it
// at a time: it is active and all acting members have promised to take part in no
// other interval until later.
func (p *PG) Serves(now time.Time) bool { return p.role == roleActive && !p.laggy(now) }
