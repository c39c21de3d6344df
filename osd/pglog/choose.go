package pglog

import (
	"maps"
	"slices"
)

// FindBest returns the copy with the authoritative log (find_best_info). Of those
// that know of the newest start of the group it is the one that goes furthest,
// then the one that reaches back furthest, then me. There is none if all that
// know of that start are incomplete: what was acknowledged since is then nowhere
// whole.
func FindBest(infos map[int32]*Info, me int32) (best int32, ok bool) {
	started := uint32(0)
	for _, i := range infos {
		if !i.Incomplete() {
			started = max(started, i.History.LastEpochStarted, i.LastEpochStarted)
		}
	}
	for _, o := range slices.Sorted(maps.Keys(infos)) {
		i := infos[o]
		if i.Incomplete() || i.LastEpochStarted < started {
			continue
		}
		if !ok {
			best, ok = o, true
			continue
		}
		b := infos[best]
		switch c := i.LastUpdate.Compare(b.LastUpdate); {
		case c > 0:
			best = o
		case c < 0:
		default:
			switch c := i.LogTail.Compare(b.LogTail); {
			case c < 0:
				best = o
			case c == 0 && o == me:
				best = o
			}
		}
	}
	return best, ok
}

// Choice is who is to serve the group.
type Choice struct {
	Acting   []int32 // the first is the primary
	Backfill []int32 // of up, to be filled by a walk through all objects; ascending
}

// Choose says who should be acting (calc_replicated_acting). The primary is that
// of up if its log meets the authority's, else the authority. Then come the
// others of up that do, then those that act now, then strays, until there are
// size of them.
func Choose(infos map[int32]*Info, auth int32, up []int32, upPrimary int32, acting []int32, size int) (c Choice) {
	best := infos[auth]
	primary := auth
	if i := infos[upPrimary]; i != nil && !i.Incomplete() && i.LastUpdate.Compare(best.LogTail) >= 0 {
		primary = upPrimary
	}
	// Who ends before this cannot be told what it lacks.
	oldest := best.LogTail
	if t := infos[primary].LogTail; t.Compare(oldest) > 0 {
		oldest = t
	}
	usable := func(o int32) bool {
		i := infos[o]
		return i != nil && !i.Incomplete() && i.LastUpdate.Compare(oldest) >= 0
	}
	c.Acting = []int32{primary}
	for _, o := range up {
		switch {
		case o == primary || infos[o] == nil:
		case usable(o):
			c.Acting = append(c.Acting, o)
		default:
			c.Backfill = append(c.Backfill, o)
		}
	}
	slices.Sort(c.Backfill)
	take := func(list []int32) {
		list = slices.Clone(list)
		slices.SortStableFunc(list, func(a, b int32) int {
			x, y := infos[a], infos[b]
			if x == nil || y == nil {
				return 0
			}
			return y.LastUpdate.Compare(x.LastUpdate)
		})
		for _, o := range list {
			if len(c.Acting) < size && !slices.Contains(c.Acting, o) && !slices.Contains(up, o) && usable(o) {
				c.Acting = append(c.Acting, o)
			}
		}
	}
	take(acting)
	take(slices.Sorted(maps.Keys(infos)))
	return c
}
