package osdmon

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Exceptions to CRUSH for single placement groups.

func (s *Service) pgCommands(t *command.Table) {
	t.Write("osd pg-temp", s.withPG("pg %v does not exist", s.cmdPGTemp))
	t.Write("osd primary-temp", s.withPG("pg %v does not exist", s.cmdPrimaryTemp))
	t.Write("osd pg-upmap", s.withPG("pg %v does not exist", s.cmdUpmap))
	t.Write("osd rm-pg-upmap", s.withPG("pg %v does not exist", s.cmdRmUpmap))
	t.Write("osd pg-upmap-items", s.withPG("pg %v does not exist", s.cmdUpmapItems))
	t.Write("osd rm-pg-upmap-items", s.withPG("pg %v does not exist", s.cmdRmUpmapItems))
	t.Write("osd force-create-pg", s.withPG("pg %v should not exist", s.cmdForceCreate))
	t.Write("pg repeer", s.withPG("pg '%v' does not exist", s.cmdRepeer))
}

// withPG reads the argument pgid; missing is what Ceph says of a group that
// does not exist.
func (s *Service) withPG(missing string, h func(*command.Call, object.PG, *osdmap.Pool) command.Reply) command.Handler {
	return func(c *command.Call) command.Reply {
		pg, err := c.PG("pgid")
		if err != nil {
			return command.Fail(errno.EINVAL, "invalid pgid '%s'", c.Str("pgid"))
		}
		p := s.view().Pools[pg.Pool]
		if p == nil || pg.Seed >= p.PGNum {
			return command.Fail(errno.ENOENT, missing, pg)
		}
		return h(c, pg, p)
	}
}

// osdIDs reads the argument id, a list; unknown OSDs are refused.
func (s *Service) osdIDs(c *command.Call) ([]int32, command.Reply, bool) {
	var out []int32
	for _, id := range c.Ints("id") {
		if id != int64(osdmap.NoOSD) && (id < 0 || id > math.MaxInt32 || !s.view().Exists(int32(id))) {
			return nil, command.Fail(errno.ENOENT, "osd.%d does not exist", id), false
		}
		out = append(out, int32(id))
	}
	return out, command.Reply{}, true
}

func fitsPool(n int, p *osdmap.Pool) (command.Reply, bool) {
	switch {
	case n < int(p.MinSize):
		return command.Fail(errno.EINVAL, "num of osds (%d) < pool min size (%d)", n, p.MinSize), false
	case n > int(p.Size):
		return command.Fail(errno.EINVAL, "num of osds (%d) > pool size (%d)", n, p.Size), false
	}
	return command.Reply{}, true
}

func (s *Service) cmdPGTemp(c *command.Call, pg object.PG, p *osdmap.Pool) command.Reply {
	osds, r, ok := s.osdIDs(c)
	if !ok {
		return r
	}
	if len(osds) == 0 {
		s.stage().NewPGTemp[pg] = nil
		return command.Committed("done cleaning up pg_temp of %v", pg)
	}
	if r, ok := fitsPool(len(osds), p); !ok {
		return r
	}
	s.stage().NewPGTemp[pg] = osds
	return command.Committed("set %v pg_temp mapping to %s", pg, osdList(osds))
}

func (s *Service) cmdPrimaryTemp(c *command.Call, pg object.PG, _ *osdmap.Pool) command.Reply {
	if !c.Has("id") {
		return command.Fail(errno.EINVAL, "unable to parse 'id' value ''")
	}
	id := c.Int("id")
	if id != -1 && (id < 0 || id >= int64(s.view().MaxOSD) || !s.view().Exists(int32(id))) {
		return command.Fail(errno.ENOENT, "osd.%d does not exist", id)
	}
	s.stage().NewPrimaryTemp[pg] = int32(id)
	return command.Committed("set %v primary_temp mapping to %d", pg, id)
}

// upmapAllowed reports whether all clients understand upmap.
func (s *Service) upmapAllowed() (command.Reply, bool) {
	if r := s.view().RequireMinCompatClient; r < entity.Luminous {
		return command.Fail(errno.EPERM, "min_compat_client %v < luminous, which is required for pg-upmap. "+
			"Try 'ceph osd set-require-min-compat-client luminous' before using the new interface", r), false
	}
	return command.Reply{}, true
}

func (s *Service) cmdUpmap(c *command.Call, pg object.PG, p *osdmap.Pool) command.Reply {
	if r, ok := s.upmapAllowed(); !ok {
		return r
	}
	given := len(c.Ints("id"))
	if r, ok := fitsPool(given, p); !ok {
		return r
	}
	osds, r, ok := s.osdIDs(c)
	if !ok {
		return r
	}
	var say strings.Builder
	var to []int32
	for _, o := range osds {
		if slices.Contains(to, o) {
			fmt.Fprintf(&say, "osd.%d already exists, ", o)
			continue
		}
		to = append(to, o)
	}
	if len(to) == 0 {
		return command.Fail(errno.EINVAL, "no valid upmap items(pairs) is specified")
	}
	inc := s.stage()
	inc.NewPGUpmap[pg] = to
	inc.OldPGUpmap = slices.DeleteFunc(inc.OldPGUpmap, func(o object.PG) bool { return o == pg })
	return command.Committed("%sset %v pg_upmap mapping to %s", say.String(), pg, osdList(to))
}

func (s *Service) cmdRmUpmap(_ *command.Call, pg object.PG, _ *osdmap.Pool) command.Reply {
	if r, ok := s.upmapAllowed(); !ok {
		return r
	}
	s.dropUpmap(pg)
	return command.Committed("clear %v pg_upmap mapping", pg)
}

func (s *Service) cmdUpmapItems(c *command.Call, pg object.PG, p *osdmap.Pool) command.Reply {
	if r, ok := s.upmapAllowed(); !ok {
		return r
	}
	ids := c.Ints("id")
	if len(ids)%2 != 0 {
		return command.Fail(errno.EINVAL, "you must specify pairs of osd ids to be remapped")
	}
	if n := len(ids) / 2; n > int(p.Size) {
		return command.Fail(errno.EINVAL, "num of osd pairs (%d) > pool size (%d)", n, p.Size)
	}
	var say strings.Builder
	var items []osdmap.UpmapItem
	var shown []string
	for pair := range slices.Chunk(ids, 2) {
		from, to := pair[0], pair[1]
		if from == to {
			fmt.Fprintf(&say, "from osd.%d == to osd.%d, ", from, to)
			continue
		}
		for i, id := range pair {
			none := i == 1 && id == int64(osdmap.NoOSD)
			if !none && (id < 0 || id >= int64(s.view().MaxOSD) || !s.view().Exists(int32(id))) {
				return command.Fail(errno.ENOENT, "%sosd.%d does not exist", say.String(), id)
			}
		}
		item := osdmap.UpmapItem{From: int32(from), To: int32(to)}
		if slices.Contains(items, item) {
			fmt.Fprintf(&say, "osd.%d -> osd.%d already exists, ", from, to)
			continue
		}
		items = append(items, item)
		shown = append(shown, fmt.Sprintf("%d->%d", from, to))
	}
	if len(items) == 0 {
		return command.Fail(errno.EINVAL, "%sno valid upmap items(pairs) is specified", say.String())
	}
	inc := s.stage()
	inc.NewPGUpmapItems[pg] = items
	inc.OldPGUpmapItems = slices.DeleteFunc(inc.OldPGUpmapItems, func(o object.PG) bool { return o == pg })
	return command.Committed("%sset %v pg_upmap_items mapping to [%s]", say.String(), pg, strings.Join(shown, ","))
}

func (s *Service) cmdRmUpmapItems(_ *command.Call, pg object.PG, _ *osdmap.Pool) command.Reply {
	if r, ok := s.upmapAllowed(); !ok {
		return r
	}
	s.dropUpmapItems(pg)
	return command.Committed("clear %v pg_upmap_items mapping", pg)
}

// cmdRepeer makes a group begin a new interval by mapping it to other OSDs for
// a moment.
func (s *Service) cmdRepeer(_ *command.Call, pg object.PG, _ *osdmap.Pool) command.Reply {
	v := s.view()
	at := v.PGToUpActing(pg)
	if at.ActingPrimary < 0 {
		return command.Fail(errno.EAGAIN, "pg currently has no primary")
	}
	if len(at.Acting) > 1 {
		s.stage().NewPGTemp[pg] = []int32{at.ActingPrimary}
		return command.Reply{Commit: true}
	}
	for _, o := range existing(v) {
		if o != at.ActingPrimary && v.IsUp(o) {
			s.stage().NewPGTemp[pg] = []int32{at.ActingPrimary, o}
			return command.Reply{Commit: true}
		}
	}
	return command.Fail(errno.EAGAIN, "not enough up OSDs in the cluster to force repeer")
}

// cmdForceCreate is to make a group anew whose replicas are all lost. OSDs make
// groups of new pools only, so it is refused, after the questions that come
// first.
func (s *Service) cmdForceCreate(c *command.Call, pg object.PG, _ *osdmap.Pool) command.Reply {
	if !c.Bool("yes_i_really_mean_it") {
		return command.Fail(errno.EPERM, "This command will recreate a lost (as in data lost) PG with data in it, such that the cluster will give up "+
			"ever trying to recover the lost data.  Do this only if you are certain that all copies of the PG are in fact lost and you are "+
			"willing to accept that the data is permanently destroyed.  Pass --yes-i-really-mean-it to proceed.")
	}
	return command.Fail(errno.EOPNOTSUPP, "force-create-pg is not supported: this release cannot make pg %v anew", pg)
}
