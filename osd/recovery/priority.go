package recovery

// Priorities of groups for places, Ceph's numbers (OSD_RECOVERY_PRIORITY_*,
// OSD_BACKFILL_*).
const (
	priorityMin          = 0
	priorityBackfill     = 100 // of a group that is only misplaced
	priorityDegraded     = 140 // backfill of a group with too few copies
	priorityRecovery     = 180
	priorityInactive     = 220 // fewer copies than clients may write to
	priorityMax          = 253
	priorityForcedFill   = 254 // an operator said so
	priorityForced       = 255 // likewise, of recovery
	priorityDegradedMax  = 179
	priorityBackfillMax  = 139
	priorityRecoveryMax  = 219
	maxPoolPriorityShift = 10 // OSD_POOL_PRIORITY_MAX, and its negative
)

// Urgency is what makes the repair of a group more or less urgent.
type Urgency struct {
	Acting, Size, MinSize int // copies that serve, that there should be, that must be
	Whole                 int // copies that lack nothing (avail_no_missing)
	Degraded              bool
	Forced                bool // force-recovery or force-backfill
	Pool                  int  // recovery_priority of the pool
}

// Recovery is the priority of what the log tells to recover
// (get_recovery_priority).
func (u Urgency) Recovery() int {
	switch {
	case u.Forced:
		return priorityForced
	case u.Degraded && u.Whole < u.MinSize:
		return clamp(priorityInactive+u.MinSize-u.Whole, u.Pool, priorityMax)
	}
	return clamp(priorityRecovery, u.Pool, priorityRecoveryMax)
}

// Backfill is that of a backfill (get_backfill_priority).
func (u Urgency) Backfill() int {
	switch {
	case u.Forced:
		return priorityForcedFill
	case u.Acting < u.MinSize:
		return clamp(priorityInactive+u.MinSize-u.Acting, u.Pool, priorityMax)
	case u.Acting < u.Size:
		return clamp(priorityDegraded+u.Size-u.Acting, u.Pool, priorityDegradedMax)
	case u.Degraded:
		return clamp(priorityDegraded, u.Pool, priorityDegradedMax)
	}
	return clamp(priorityBackfill, u.Pool, priorityBackfillMax)
}

// clamp adds the pool's wish without letting the kind of work become another one
// (clamp_recovery_priority).
func clamp(base, pool, most int) int {
	pool = max(-maxPoolPriorityShift, min(pool, maxPoolPriorityShift))
	return max(priorityMin, min(base+pool, most))
}
