package mgrmon

import (
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/object"
)

// Scrubbing is not there yet. The commands say so, rather than that OSDs were
// told to scrub, but first what is wrong with the request.
func (s *Service) scrubCommands(t *command.Table) {
	for _, op := range []string{"scrub", "deep-scrub", "repair"} {
		t.Read("pg "+op, func(c *command.Call) command.Reply { return s.scrubPG(c, op) })
		t.Read("osd "+op, func(c *command.Call) command.Reply { return s.scrubOSDs(c, op) })
		t.Read("osd pool "+op, func(c *command.Call) command.Reply {
			if _, r := s.poolArgs(c); r.Failed() {
				return r
			}
			return noScrub(op)
		})
	}
}

func noScrub(op string) command.Reply {
	return command.Fail(errno.EOPNOTSUPP, "%s is not supported: this release does not scrub", op)
}

func (s *Service) scrubPG(c *command.Call, op string) command.Reply {
	p := s.pgmap()
	pg, err := object.ParsePG(c.Str("pgid"))
	if err != nil {
		return command.Fail(errno.EINVAL, "invalid pgid '%s'", c.Str("pgid"))
	}
	if p.group(pg) == nil {
		return command.Fail(errno.ENOENT, "pg %v does not exist", pg)
	}
	if p.m.PGToUpActing(pg).ActingPrimary < 0 {
		return command.Fail(errno.EAGAIN, "pg %v has no primary osd", pg)
	}
	return noScrub(op)
}

func (s *Service) scrubOSDs(c *command.Call, op string) command.Reply {
	m := s.pgmap().m
	switch who := c.Str("who"); who {
	case "*", "all", "any":
	default:
		o, words := parseOSD(who)
		if words != "" {
			return command.Fail(errno.EINVAL, "%sinvalid osd '%s'", words, who)
		}
		if !m.IsUp(o) {
			return command.Fail(errno.EAGAIN, "osd.%d is not up", o)
		}
	}
	return noScrub(op)
}
