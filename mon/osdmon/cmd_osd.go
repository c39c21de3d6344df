package osdmon

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Commands about single OSDs: in, out, down, removal, weights.

func (s *Service) osdCommands(t *command.Table) {
	t.Write("osd in", s.each(s.cmdIn))
	t.Write("osd out", s.each(s.cmdOut))
	t.Write("osd down", s.each(s.cmdDown))
	t.Write("osd stop", s.each(s.cmdStop))
	t.Write("osd rm", s.each(s.cmdRm))
	t.Write("osd lost", s.cmdLost)
	t.Write("osd destroy-actual", s.cmdDestroy)
	t.Write("osd purge-actual", s.cmdPurge)
	t.Write("osd purge-new", s.cmdPurge)
	t.Write("osd destroy", func(c *command.Call) command.Reply { return ifSafe(t, c, s.cmdDestroy) })
	t.Write("osd purge", func(c *command.Call) command.Reply { return ifSafe(t, c, s.cmdPurge) })
	t.Write("osd new", s.cmdNew)
	t.Write("osd create", s.cmdCreate)
	t.Write("osd reweight", s.cmdReweight)
	t.Write("osd reweightn", s.cmdReweightN)
	t.Write("osd primary-affinity", s.cmdPrimaryAffinity)
	t.Read("osd last-stat-seq", s.cmdLastStatSeq)
}

// parseOSD reads "osd.3" or "3"; why says what is wrong with anything else, in
// the words of parse_osd_id, after which Ceph prints the number of the error.
func parseOSD(text string) (osd int32, why string) {
	id := strings.TrimPrefix(text, "osd.")
	if strings.HasPrefix(id, "-") || strings.HasPrefix(id, "+") {
		return -int32(errno.EINVAL), "expected numerical value, got: " + id
	}
	n, err := strconv.ParseInt(id, 10, 64)
	switch {
	case err != nil:
		return -1, fmt.Sprintf("Expected option value to be integer, got '%s'", id)
	case n > math.MaxUint16:
		return -int32(errno.ERANGE), fmt.Sprintf("osd id %d is too large", n)
	}
	return int32(n), ""
}

// anyOSD reports whether a list of ids stands for all.
func anyOSD(ids []string) bool {
	return len(ids) > 0 && (ids[0] == "any" || ids[0] == "all" || ids[0] == "*")
}

// each makes a command of what is to be done with each of the OSDs that the
// argument ids names. do adds to the words, unless the caller named all, and
// reports whether it staged something.
func (s *Service) each(do func(c *command.Call, say *strings.Builder, osd int32, quiet, changed bool) (bool, errno.Errno)) command.Handler {
	return func(c *command.Call) command.Reply {
		var say strings.Builder
		var failed errno.Errno
		changed := false
		run := func(osd int32, quiet bool) {
			did, no := do(c, &say, osd, quiet, changed)
			changed = changed || did
			if no != 0 {
				failed = no
			}
		}
		ids := c.Strs("ids")
		if anyOSD(ids) {
			for _, o := range existing(s.view()) {
				if c.Prefix != "osd in" || s.view().IsOut(o) {
					run(o, true)
				}
			}
			ids = nil
		}
		for _, text := range ids {
			osd, why := parseOSD(text)
			switch {
			case why != "":
				fmt.Fprintf(&say, "%sinvalid osd id%d", why, osd)
				failed = errno.EINVAL
			case !s.view().Exists(osd):
				fmt.Fprintf(&say, "osd.%d does not exist. ", osd)
			default:
				run(osd, false)
			}
		}
		if failed != 0 && say.Len() == 0 {
			return command.Err(failed)
		}
		return command.Reply{Errno: failed, Status: say.String(), Commit: changed}
	}
}

func (s *Service) cmdDown(c *command.Call, say *strings.Builder, osd int32, quiet, _ bool) (bool, errno.Errno) {
	v := s.view()
	changed := false
	if v.IsUp(osd) {
		s.setState(osd, 0, osdmap.StateUp)
		fmt.Fprintf(say, "marked down osd.%d. ", osd)
		changed = true
	} else if !quiet {
		fmt.Fprintf(say, "osd.%d is already down. ", osd)
	}
	if next := s.cur.Epoch + 1; c.Bool("definitely_dead") && v.XInfo[osd].DeadEpoch < next {
		s.editXInfo(osd, func(x *osdmap.XInfo) { x.DeadEpoch = next })
		changed = true
	}
	return changed, 0
}

func (s *Service) cmdOut(c *command.Call, say *strings.Builder, osd int32, quiet, _ bool) (bool, errno.Errno) {
	v := s.view()
	if v.IsOut(osd) {
		if !quiet {
			fmt.Fprintf(say, "osd.%d is already out. ", osd)
		}
		return false, 0
	}
	s.editXInfo(osd, func(x *osdmap.XInfo) { x.OldWeight = v.Weight[osd] })
	s.setWeight(osd, osdmap.WeightOut)
	fmt.Fprintf(say, "marked out osd.%d. ", osd)
	when := ", while it was still marked up"
	if !v.IsUp(osd) {
		when = fmt.Sprintf(", after it was down for %d seconds", int(c.Now.Sub(v.XInfo[osd].DownStamp).Seconds()))
	}
	s.h.Log(msg.LogInfo, "", "Client %v marked osd.%d out%s", c.Caller.Auth, osd, when)
	return true, 0
}

func (s *Service) cmdIn(_ *command.Call, say *strings.Builder, osd int32, quiet, _ bool) (bool, errno.Errno) {
	v := s.view()
	if v.IsIn(osd) {
		if !quiet {
			fmt.Fprintf(say, "osd.%d is already in. ", osd)
		}
		return false, 0
	}
	weight := uint32(osdmap.WeightIn)
	if old := v.XInfo[osd].OldWeight; old > 0 {
		weight = old
		s.editXInfo(osd, func(x *osdmap.XInfo) { x.OldWeight = 0 })
	}
	s.setWeight(osd, weight)
	fmt.Fprintf(say, "marked in osd.%d. ", osd)
	return true, 0
}

func (s *Service) cmdStop(_ *command.Call, say *strings.Builder, osd int32, quiet, _ bool) (bool, errno.Errno) {
	v := s.view()
	switch {
	case v.State[osd]&osdmap.StateStop != 0:
		if !quiet {
			fmt.Fprintf(say, "osd.%d is already stopped. ", osd)
		}
		return false, 0
	case v.IsDown(osd):
		fmt.Fprintf(say, "stop down osd.%d. ", osd)
	default:
		fmt.Fprintf(say, "stop osd.%d. ", osd)
	}
	s.setState(osd, osdmap.StateStop, osdmap.StateUp)
	return true, 0
}

func (s *Service) cmdRm(_ *command.Call, say *strings.Builder, osd int32, _, changed bool) (bool, errno.Errno) {
	if s.view().IsUp(osd) {
		if changed {
			say.WriteString(", ")
		}
		fmt.Fprintf(say, "osd.%d is still up; must be down before removal. ", osd)
		return false, errno.EBUSY
	}
	s.removeOSD(osd)
	if changed {
		fmt.Fprintf(say, ", osd.%d", osd)
	} else {
		fmt.Fprintf(say, "removed osd.%d", osd)
	}
	return true, 0
}

// osdArg reads the argument id.
func (s *Service) osdArg(c *command.Call) (int32, command.Reply, bool) {
	if !c.Has("id") {
		return 0, command.Fail(errno.EINVAL, "unable to parse osd id value '%s'", c.Str("id")), false
	}
	id := c.Int("id")
	if id < 0 || id > math.MaxInt32 || !s.view().Exists(int32(id)) {
		return 0, command.Fail(errno.ENOENT, "osd.%d does not exist", id), false
	}
	return int32(id), command.Reply{}, true
}

func (s *Service) cmdLost(c *command.Call) command.Reply {
	if !c.Has("id") {
		return command.Fail(errno.EINVAL, "unable to parse osd id value ''")
	}
	if !c.Bool("yes_i_really_mean_it") {
		return command.Fail(errno.EPERM, "are you SURE?  this might mean real, permanent data loss.  pass --yes-i-really-mean-it if you really do.")
	}
	osd, r, ok := s.osdArg(c)
	if !ok {
		return r
	}
	v := s.view()
	if v.IsUp(osd) {
		return command.Fail(errno.EBUSY, "osd.%d is not down", osd)
	}
	e := v.Info[osd].DownAt
	s.stage().NewLost[osd] = e
	return command.Committed("marked osd lost in epoch %d", e)
}

// sureToDestroy does the checks that destroy and purge share; done: r is the
// answer.
func (s *Service) sureToDestroy(c *command.Call) (osd int32, r command.Reply, done bool) {
	if !c.Has("id") {
		return 0, command.Fail(errno.EINVAL, "no osd id specified"), true
	}
	if !c.Bool("yes_i_really_mean_it") {
		return 0, command.Fail(errno.EPERM, "Are you SURE?  Did you verify with 'ceph osd safe-to-destroy'?  "+
			"This will mean real, permanent data loss, as well as deletion of cephx and lockbox keys. Pass --yes-i-really-mean-it if you really do."), true
	}
	osd, r, ok := s.osdArg(c)
	if !ok {
		return 0, command.Say("%s", r.Status), true // is so already
	}
	if s.view().IsUp(osd) {
		return 0, command.Fail(errno.EBUSY, "osd.%d is not `down`.", osd), true
	}
	return osd, r, false
}

// ifSafe does what the manager does before it lets the monitors destroy an OSD:
// it asks whether the OSD's data may still be needed, unless the caller insists.
func ifSafe(t *command.Table, c *command.Call, do command.Handler) command.Reply {
	if !c.Has("id") {
		return command.Fail(errno.EINVAL, "must specify OSD id")
	}
	if !c.Bool("force") && !c.Bool("yes_i_really_mean_it") {
		if r := safeToDestroy(t, c); r.Failed() {
			r.Status += "\nYou can proceed by passing --force, but be warned that this will likely mean real, permanent data loss."
			return r
		}
	}
	return do(c.With(c.Prefix, "yes_i_really_mean_it", true))
}

func safeToDestroy(t *command.Table, c *command.Call) command.Reply {
	e := t.Find("osd safe-to-destroy")
	if e == nil {
		return command.Fail(errno.EAGAIN, "no statistics; cannot draw any conclusions")
	}
	q := command.New(e.Prefix, map[string]any{"ids": []string{strconv.FormatInt(c.Int("id"), 10)}})
	q.Now = c.Now
	return e.Run(q)
}

func (s *Service) cmdDestroy(c *command.Call) command.Reply {
	osd, r, done := s.sureToDestroy(c)
	if done {
		return r
	}
	if !s.view().IsDestroyed(osd) {
		s.accounts.RemoveOSD(osd, s.view().UUID[osd])
		s.setState(osd, osdmap.StateDestroyed, 0)
		s.stage().NewUUID[osd] = entity.UUID{}
		return command.Committed("destroyed osd.%d", osd)
	}
	return command.Say("destroyed osd.%d", osd)
}

func (s *Service) cmdPurge(c *command.Call) command.Reply {
	osd, r, done := s.sureToDestroy(c)
	if done {
		return r
	}
	if c.Prefix == "osd purge-new" && s.view().State[osd]&osdmap.StateNew == 0 {
		return command.Fail(errno.EPERM, "osd.%d is not new", osd)
	}
	n := s.view().Crush.Clone()
	if err := n.Remove(osd, false); err == nil {
		s.stageCrush(n)
	} else if errno.Code(err) != -int32(errno.ENOENT) {
		return command.Fail(errno.Errno(-errno.Code(err)), "error removing osd.%d from crush", osd)
	}
	s.accounts.RemoveOSD(osd, s.view().UUID[osd])
	s.removeOSD(osd)
	return command.Committed("purged osd.%d", osd)
}

func (s *Service) cmdNew(c *command.Call) command.Reply {
	v := s.view()
	if !c.Has("uuid") {
		return command.Fail(errno.EINVAL, "requires the OSD's UUID to be specified.")
	}
	uuid, err := entity.ParseUUID(c.Str("uuid"))
	if err != nil {
		return command.Fail(errno.EINVAL, "invalid UUID value '%s'.", c.Str("uuid"))
	}
	id := int32(-1)
	if c.Has("id") {
		n := c.Int("id")
		if n < 0 {
			return command.Fail(errno.EINVAL, "invalid OSD id; must be greater or equal than zero.")
		}
		if n >= s.intOption("mon_max_osd", 10000) {
			return command.Fail(errno.ERANGE, "OSD id %d is above mon_max_osd", n)
		}
		id = int32(n)
	}
	class, secret := "", ""
	if len(c.Input) > 0 {
		var params map[string]string
		if err := json.Unmarshal(c.Input, &params); err != nil {
			return command.Fail(errno.EINVAL, "failed to parse JSON: %v", err)
		}
		class, secret = params["crush_device_class"], params["cephx_secret"]
		for _, p := range slices.Sorted(maps.Keys(params)) {
			if p != "crush_device_class" && p != "cephx_secret" {
				return command.Fail(errno.EOPNOTSUPP, "'%s' is not supported: disks are not encrypted", p)
			}
		}
	}
	if class != "" && !crush.ValidName(class) {
		return command.Fail(errno.EINVAL, "invalid device class '%s'", class)
	}
	if have, ok := v.OSDByUUID(uuid); ok {
		if id >= 0 && have != id {
			return command.Fail(errno.EEXIST, "uuid %v already in use for different id %d", uuid, have)
		}
		made, bad := s.osdAccount(have, secret)
		if bad.Failed() {
			return bad
		}
		if made {
			s.stageNone()
		}
		return createdOSD(c, have, made)
	}
	if id < 0 {
		id = s.freeOSD()
	}
	if s.beingRemoved(id) {
		return command.Fail(errno.EAGAIN, "osd.%d is being removed", id)
	}
	if !v.Exists(id) || v.IsDestroyed(id) {
		if _, bad := s.osdAccount(id, secret); bad.Failed() {
			return bad
		}
	}
	switch {
	case v.IsDestroyed(id):
		s.setState(id, osdmap.StateNew, osdmap.StateDestroyed|osdmap.StateUp)
		s.stage().NewUUID[id] = uuid
		return createdOSD(c, id, true)
	case v.Exists(id):
		return command.Fail(errno.EINVAL, "id %d already in use and does not match uuid %v", id, uuid)
	}
	s.createOSD(id, uuid)
	if class != "" {
		n := s.view().Crush.Clone()
		n.MaxDevices = max(n.MaxDevices, id+1)
		if n.Names[id] == "" {
			n.Names[id] = fmt.Sprintf("osd.%d", id)
		}
		if n.SetDeviceClass(id, class) == nil {
			s.stageCrush(n)
		}
	}
	return createdOSD(c, id, true)
}

// osdAccount makes the account of an OSD that comes with its key.
func (s *Service) osdAccount(osd int32, secret string) (made bool, bad command.Reply) {
	if secret == "" {
		return false, command.Reply{}
	}
	made, err := s.accounts.CreateOSD(osd, secret)
	if err != nil {
		return false, command.Fail(errno.Errno(-errno.Code(err)), "osd.%d: cephx_secret: %v", osd, err)
	}
	return made, command.Reply{}
}

// beingRemoved reports whether the change that is pending removes an OSD: one map
// cannot both remove it and have another of its number.
func (s *Service) beingRemoved(osd int32) bool { return s.cur.Exists(osd) && !s.view().Exists(osd) }

// freeOSD returns the lowest id that is not in use.
func (s *Service) freeOSD() int32 {
	v := s.view()
	for o := range v.MaxOSD {
		if !v.Exists(o) && !s.beingRemoved(o) {
			return o
		}
	}
	return v.MaxOSD
}

func createdOSD(c *command.Call, id int32, commit bool) command.Reply {
	r := stream(c, func() string { return fmt.Sprint(id) }, func(f *jsonfmt.Formatter) {
		f.Object("created_osd", func() { f.Int("osdid", int64(id)) })
	})
	r.Commit = commit
	return r
}

// cmdCreate is what "osd new" replaced.
func (s *Service) cmdCreate(c *command.Call) command.Reply {
	v := s.view()
	if c.Has("id") && c.Int("id") < 0 {
		return command.Fail(errno.EINVAL, "invalid osd id value '%d'", c.Int("id"))
	}
	if c.Int("id") >= s.intOption("mon_max_osd", 10000) {
		return command.Fail(errno.ERANGE, "OSD id %d is above mon_max_osd", c.Int("id"))
	}
	var uuid entity.UUID
	id := int32(-1)
	if c.Has("uuid") {
		var err error
		if uuid, err = entity.ParseUUID(c.Str("uuid")); err != nil {
			return command.Fail(errno.EINVAL, "invalid uuid value '%s'", c.Str("uuid"))
		}
		id = int32(c.IntOr("id", -1)) // without a uuid it would not be idempotent
		if id >= 0 && v.IsDestroyed(id) {
			return command.Fail(errno.EINVAL, "ceph osd create has been deprecated. Please use ceph osd new instead.")
		}
		if have, ok := v.OSDByUUID(uuid); ok {
			if id >= 0 && have != id {
				return command.Fail(errno.EEXIST, "uuid %v already in use for different id %d", uuid, have)
			}
			return createdOSD(c, have, false)
		}
		if id >= 0 && v.Exists(id) {
			return command.Fail(errno.EINVAL, "id %d already in use and does not match uuid %v", id, uuid)
		}
	}
	if id < 0 {
		id = s.freeOSD()
	}
	if s.beingRemoved(id) {
		return command.Fail(errno.EAGAIN, "osd.%d is being removed", id)
	}
	s.createOSD(id, uuid)
	return createdOSD(c, id, true)
}

func (s *Service) cmdReweight(c *command.Call) command.Reply {
	osd, r, ok := s.osdArg(c)
	if !ok {
		return r
	}
	w := c.Float("weight")
	fixed := int64(w * osdmap.WeightIn)
	if !c.Has("weight") || fixed > math.MaxUint32 {
		return command.Fail(errno.EINVAL, "unable to parse weight value '%s'", c.Str("weight"))
	}
	if fixed < 0 {
		return command.Fail(errno.EINVAL, "weight must be >= 0")
	}
	s.setWeight(osd, uint32(fixed))
	return command.Committed("reweighted osd.%d to %s (%x)", osd, jsonfmt.Short(w), fixed)
}

// cmdReweightN sets several weights: {"0":"65536",...} with quotes of either
// kind.
func (s *Service) cmdReweightN(c *command.Call) command.Reply {
	bad := func(no errno.Errno) command.Reply {
		return command.Fail(no, "unable to parse 'weights' value '%s'", c.Str("weights"))
	}
	var given map[string]string
	if json.Unmarshal([]byte(strings.ReplaceAll(c.Str("weights"), "'", `"`)), &given) != nil {
		return bad(errno.EINVAL)
	}
	weights := map[int32]uint32{}
	for id, text := range given {
		osd, err := strconv.ParseInt(id, 10, 32)
		w, err2 := strconv.ParseUint(text, 10, 32)
		if err != nil || err2 != nil {
			return bad(errno.EINVAL)
		}
		if !s.view().Exists(int32(osd)) {
			return bad(errno.ENOENT)
		}
		weights[int32(osd)] = uint32(w)
	}
	for _, osd := range slices.Sorted(maps.Keys(weights)) {
		s.setWeight(osd, weights[osd])
	}
	s.stageNone()
	return command.Reply{Commit: true}
}

func (s *Service) cmdPrimaryAffinity(c *command.Call) command.Reply {
	if !c.Has("id") {
		return command.Fail(errno.EINVAL, "invalid osd id value ''")
	}
	w := c.Float("weight")
	if !c.Has("weight") || w > 1 {
		return command.Fail(errno.EINVAL, "unable to parse 'weight' value '%s'", c.Str("weight"))
	}
	fixed := int64(w * osdmap.AffinityDefault)
	if fixed < 0 {
		return command.Fail(errno.EINVAL, "weight must be >= 0")
	}
	osd, r, ok := s.osdArg(c)
	if !ok {
		return r
	}
	s.stage().NewPrimaryAffinity[osd] = uint32(fixed)
	// Ceph means to print hex, and prints the stream's flags for hex and dec.
	return command.Committed("set osd.%d primary-affinity to %s (8%d2)", osd, jsonfmt.Short(w), fixed)
}

func (s *Service) cmdLastStatSeq(c *command.Call) command.Reply {
	seq := uint64(0)
	if id := c.Int("id"); id >= 0 && id < int64(s.cur.MaxOSD) {
		seq = s.stats.Seq(int32(id))
	}
	return stream(c, func() string { return strconv.FormatUint(seq, 10) }, func(f *jsonfmt.Formatter) { f.Uint("seq", seq) })
}
