package sim

// checkIdentities: no global id is given twice. A client's is part of the names of
// its requests: two with the same would be answered with each other's results.
func checkIdentities(w *World) check {
	owner := map[uint64]string{}
	return check{loggedIn: func(p *process, id uint64) {
		switch was := owner[id]; was {
		case p.String():
		case "":
			owner[id] = p.String()
		default:
			w.fail("identities", "%v and %v both have the global id %d", was, p, id)
		}
	}}
}
