package sim

import "time"

// checkRest: the map does not change without end. What happens to a cluster makes
// some maps, and theirs some more (up_thru, pg_temp); daemons that answer each
// other's maps with wishes for another one make a hundred a second, and all groups
// that it is about peer anew each time.
func checkRest(w *World) check {
	const most, within = 100, moment(10 * time.Second)
	since, epoch := moment(0), uint32(0)
	return check{step: func() {
		if w.now-since > within {
			since, epoch = w.now, w.book.newest
			return
		}
		if n := w.book.newest - epoch; n > most {
			w.fail("rest", "%d maps, up to e%d, in %v", n, w.book.newest, time.Duration(w.now-since))
		}
	}}
}
