package mgrmon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

// recoveryCommands let some groups recover or be backfilled before the others,
// or not so.
func (s *Service) recoveryCommands(t *command.Table) {
	for i := range priorities {
		p := &priorities[i]
		t.Read("pg "+p.op, func(c *command.Call) command.Reply { return s.prioritizePGs(c, p) })
		t.Read("osd pool "+p.op, func(c *command.Call) command.Reply { return s.prioritizePools(c, p) })
	}
}

// priority is one such wish.
type priority struct {
	op      string
	need    msg.PGState // a group has one of these, or the wish is pointless
	needNot string      // is said of one that does not
	forced  msg.PGState // a group that has this has been told already; 0: none
	already string
}

var priorities = []priority{
	{"force-recovery", msg.PGDegraded | msg.PGRecoveryWait | msg.PGRecovering, "doesn't require recovery", msg.PGForcedRecovery, "recovery already forced"},
	{"force-backfill", msg.PGDegraded | msg.PGBackfillWait | msg.PGBackfilling, "doesn't require backfilling", msg.PGForcedBackfill, "backfill already forced"},
	{"cancel-force-recovery", msg.PGForcedRecovery, "recovery not forced", 0, ""},
	{"cancel-force-backfill", msg.PGForcedBackfill, "backfill not forced", 0, ""},
}

func (s *Service) prioritizePGs(c *command.Call, p *priority) command.Reply {
	var pgs []object.PG
	words, no := "", errno.Errno(0)
	for _, name := range c.Strs("pgid") {
		pg, err := object.ParsePG(name)
		if err != nil {
			words += fmt.Sprintf("invlaid pgid '%s'; ", name) // sic
			no = errno.EINVAL
			continue
		}
		pgs = append(pgs, pg)
	}
	return s.prioritize(pgs, p, words, no)
}

func (s *Service) prioritizePools(c *command.Call, p *priority) command.Reply {
	pools, r := s.poolArgs(c)
	if r.Failed() {
		return r
	}
	var pgs []object.PG
	for _, id := range pools {
		for seed := range s.pgmap().m.Pools[id].PGNum {
			pgs = append(pgs, object.PG{Pool: id, Seed: seed})
		}
	}
	return s.prioritize(pgs, p, "", 0)
}

// poolArgs reads the argument who, a list of pools.
func (s *Service) poolArgs(c *command.Call) ([]int64, command.Reply) {
	names := c.Strs("who")
	if len(names) == 0 {
		return nil, command.Fail(errno.EINVAL, "must specify one or more pool names")
	}
	var ids []int64
	for _, name := range names {
		id, _, ok := s.pgmap().m.PoolByName(name)
		if !ok {
			return nil, command.Fail(errno.ENOENT, "unrecognized pool '%s'", name)
		}
		ids = append(ids, id)
	}
	return ids, command.Reply{}
}

// prioritize says of each group why there is nothing to do for it, and tells the
// primaries of the others.
func (s *Service) prioritize(pgs []object.PG, p *priority, words string, no errno.Errno) command.Reply {
	slices.SortFunc(pgs, object.PG.Compare)
	var say strings.Builder
	say.WriteString(words)
	m := s.pgmap().m
	by := map[int32][]object.PG{}
	for _, pg := range slices.Compact(pgs) {
		switch g := s.pgmap().group(pg); {
		case g == nil:
			fmt.Fprintf(&say, "pg %v does not exist; ", pg)
			no = errno.ENOENT
		case g.State&p.need == 0:
			fmt.Fprintf(&say, "pg %v %s; ", pg, p.needNot)
		case g.State&p.forced != 0:
			fmt.Fprintf(&say, "pg %v %s; ", pg, p.already)
			no = errno.EINVAL
		default:
			no = 0 // what was wrong with others has been said
			if o := m.PGToUpActing(pg).ActingPrimary; m.IsUp(o) {
				by[o] = append(by[o], pg)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(by)) {
		o := s.pgmap().osds[id]
		if o == nil || o.sess == nil {
			fmt.Fprintf(&say, "osd.%d is not currently connected", id)
			no = errno.EAGAIN
			continue
		}
		s.h.Send(o.sess, &msg.OSDForceRecovery{PGs: by[id], Backfill: strings.HasSuffix(p.op, "backfill"), Cancel: strings.HasPrefix(p.op, "cancel")})
		names := make([]string, len(by[id]))
		for i, pg := range by[id] {
			names[i] = pg.String()
		}
		fmt.Fprintf(&say, "instructing pg(s) [%s] on osd.%d to %s; ", strings.Join(names, ","), id, p.op)
	}
	return command.Reply{Errno: no, Status: say.String() + "\n"}
}
