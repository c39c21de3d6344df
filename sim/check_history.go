package sim

import "slices"

// checkHistory: for each object there is an order of all that was done to it that
// explains what every client was told (linearizability). That has all of it: an
// acknowledged write that is lost, a read of old content, a write done twice or by
// half.
func checkHistory(w *World) check {
	return check{end: func() {
		var objects []string
		for _, r := range w.history.records {
			if !slices.Contains(objects, r.object) {
				objects = append(objects, r.object)
			}
			if r.ret == 0 {
				w.stats.Maybe++
			}
		}
		slices.Sort(objects)
		for _, o := range objects {
			if ok, text := w.history.linearizable(o); !ok {
				w.fail("history", "no order explains what happened to %s:\n%s", o, text)
				return
			}
		}
	}}
}
