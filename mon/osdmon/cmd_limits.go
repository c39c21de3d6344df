package osdmon

import (
	"fmt"
	"strings"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
)

// What the cluster asks of clients and OSDs, and when it counts as full.

func (s *Service) limitCommands(t *command.Table) {
	for _, prefix := range []string{"osd set-full-ratio", "osd set-backfillfull-ratio", "osd set-nearfull-ratio"} {
		t.Write(prefix, s.cmdSetRatio)
	}
	t.Read("osd get-require-min-compat-client", func(*command.Call) command.Reply {
		return command.Text(s.cur.RequireMinCompatClient.String() + "\n")
	})
	t.Write("osd set-require-min-compat-client", s.cmdSetMinCompatClient)
	t.Write("osd require-osd-release", s.cmdRequireOSDRelease)
}

func (s *Service) cmdSetRatio(c *command.Call) command.Reply {
	n := c.FloatOr("ratio", -1)
	if n < 0 || n > 1 {
		return command.Fail(errno.EINVAL, "unable to parse 'ratio' value '%s'", jsonfmt.Short(c.Float("ratio")))
	}
	inc := s.stage()
	switch c.Prefix {
	case "osd set-full-ratio":
		inc.NewFullRatio = float32(n)
	case "osd set-backfillfull-ratio":
		inc.NewBackfillfullRatio = float32(n)
	case "osd set-nearfull-ratio":
		inc.NewNearfullRatio = float32(n)
	}
	return command.Committed("%s %s", c.Prefix, jsonfmt.Short(n))
}

func (s *Service) cmdSetMinCompatClient(c *command.Call) command.Reply {
	want, err := entity.ParseRelease(c.Str("version"))
	if err != nil {
		return command.Fail(errno.EINVAL, "version %s is not recognized", c.Str("version"))
	}
	if need := s.view().MinCompatClient(); want < need {
		return command.Fail(errno.EPERM, "osdmap current utilizes features that require %v; cannot set require_min_compat_client below that to %v", need, want)
	}
	if !c.Bool("yes_i_really_mean_it") {
		if old := s.olderClients(want); old != "" {
			return command.Fail(errno.EPERM, "cannot set require_min_compat_client to %v: %s; add --yes-i-really-mean-it to do it anyway", want, old)
		}
	}
	s.stage().NewRequireMinCompatClient = want
	return command.Committed("set require_min_compat_client to %v", want)
}

// olderClients describes the clients that are connected and too old.
func (s *Service) olderClients(want entity.Release) string {
	need := want.ClientFeatures()
	type kind struct {
		release entity.Release
		missing uint64
	}
	count := map[kind]int{}
	var order []kind
	for sess := range s.h.Sessions() {
		missing := need &^ sess.Features
		if sess.Name.Type != entity.Client || missing == 0 {
			continue
		}
		k := kind{entity.ReleaseOf(sess.Features), missing}
		if count[k]++; count[k] == 1 {
			order = append(order, k)
		}
	}
	var out []string
	for _, k := range order {
		out = append(out, fmt.Sprintf("%d connected client(s) look like %v (missing 0x%x)", count[k], k.release, k.missing))
	}
	return strings.Join(out, "; ")
}

func (s *Service) cmdRequireOSDRelease(c *command.Call) command.Reply {
	v := s.view()
	want, err := entity.ParseRelease(c.Str("release"))
	if err != nil {
		return command.Fail(errno.EINVAL, "unrecognized release %s", c.Str("release"))
	}
	if want == v.RequireOSDRelease {
		return command.Reply{}
	}
	if _, up, _ := v.NumOSDs(); up == 0 && !c.Bool("yes_i_really_mean_it") {
		return command.Fail(errno.EPERM, "Not advisable to continue since no OSDs are up. Pass --yes-i-really-mean-it if you really wish to continue.")
	}
	if want < v.RequireOSDRelease {
		return command.Fail(errno.EPERM, "require_osd_release cannot be lowered once it has been set")
	}
	if want > entity.Pacific {
		return command.Fail(errno.EPERM, "not supported for this release")
	}
	s.stage().NewRequireOSDRelease = want
	return command.Reply{Commit: true}
}
