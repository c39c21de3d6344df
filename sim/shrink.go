package sim

import "slices"

// Shrink leaves out of a plan what its violation does not need: steps by halves,
// quarters, and so on, as long as the same invariant breaks (delta debugging). It
// runs the plan up to most times.
func Shrink(p *Plan, check string, most int) *Plan {
	fails := func(q *Plan) bool {
		if most <= 0 {
			return false
		}
		most--
		_, v := Run(q, nil)
		return v != nil && v.Check == check
	}
	best := *p
	for size := len(best.Steps) / 2; size > 0 && most > 0; {
		smaller := false
		for from := 0; from < len(best.Steps); {
			q := best
			q.Steps = slices.Delete(slices.Clone(best.Steps), from, min(from+size, len(best.Steps)))
			if fails(&q) {
				best, smaller = q, true
				continue
			}
			from += size
		}
		if !smaller || size > len(best.Steps)/2 {
			size /= 2
		}
	}
	return &best
}
