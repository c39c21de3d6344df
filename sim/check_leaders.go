package sim

// checkLeaders: no term has two leaders. A monitor that is cut off may still take
// itself for the leader, of an older term.
func checkLeaders(w *World) check {
	leaders := map[uint64]string{}
	return check{step: func() {
		for _, m := range w.mons {
			if !m.p.alive {
				continue
			}
			term, leads := m.m.Leads()
			if !leads {
				continue
			}
			switch was := leaders[term]; was {
			case m.name:
			case "":
				leaders[term] = m.name
				w.stats.Elections++
			default:
				w.fail("leaders", "%s and %s lead in term %d", was, m.name, term)
			}
		}
	}}
}
