package osdmon

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/pulpo-storage/pulpo/crush"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// life is what the leading monitor remembers of the OSDs. It is not replicated:
// a new leader begins to wait anew, so that nobody is marked down or out for
// what an old leader knew.
type life struct {
	since   time.Time           // this monitor leads
	session map[int32]uint64    // where an OSD was last heard of
	gone    map[int32]time.Time // that session ended, and no other came
	upAt    map[int32]time.Time // marked up
	downAt  map[int32]time.Time // found down while in
	retry   []retry             // boots that wait for the OSD to be down first
	nextRun time.Time           // of the checks that run now and then
	news    bool                // statistics changed

	failures map[int32]*failure // what others report, by OSD
}

type retry struct {
	s *service.Session
	b *msg.OSDBoot
}

func newLife() life {
	return life{
		session: map[int32]uint64{}, gone: map[int32]time.Time{},
		upAt: map[int32]time.Time{}, downAt: map[int32]time.Time{},
		failures: map[int32]*failure{},
	}
}

// isOSD reports whether a session may speak for an OSD.
func isOSD(sess *service.Session, osd int32) bool {
	if !sess.Capable("osd", "x") {
		return false
	}
	return sess.Auth.Type != entity.OSD || sess.Auth.ID == strconv.Itoa(int(osd))
}

// heard notes that an OSD is there.
func (s *Service) heard(sess *service.Session, osd int32) {
	s.life.session[osd] = sess.ID
	delete(s.life.gone, osd)
}

// SessionClosed notes that an OSD may be gone.
func (s *Service) SessionClosed(sess *service.Session) {
	for osd, id := range s.life.session {
		if id == sess.ID {
			delete(s.life.session, osd)
			s.life.gone[osd] = s.h.Now()
		}
	}
	s.life.retry = slices.DeleteFunc(s.life.retry, func(r retry) bool { return r.s.ID == sess.ID })
}

// Heard is told by the statistics of each report.
func (s *Service) Heard(sess *service.Session, osd int32) {
	s.heard(sess, osd)
	s.life.news = true
}

// boot marks an OSD up. The OSD sees it in the map; a boot that may not be is
// ignored, and the OSD asks again.
func (s *Service) boot(sess *service.Session, b *msg.OSDBoot) service.Answer {
	if !isOSD(sess, b.ID) || b.ID < 0 || int64(b.ID) >= s.intOption("mon_max_osd", 10000) {
		return service.Answer{}
	}
	s.heard(sess, b.ID)
	v := s.view()
	if v.Exists(b.ID) {
		known := v.UUID[b.ID]
		switch {
		case v.IsDestroyed(b.ID):
			s.h.Log(msg.LogWarn, "", "osd.%d boots, but is destroyed", b.ID)
			return service.Answer{}
		case !known.IsZero() && known != b.UUID:
			s.h.Log(msg.LogWarn, "", "osd.%d boots with uuid %v, but is %v", b.ID, b.UUID, known)
			return service.Answer{}
		case v.IsUp(b.ID) && v.ClientAddrs[b.ID].Equal(b.Public) && v.ClusterAddrs[b.ID].Equal(b.Cluster):
			return service.Answer{} // is up
		case v.Info[b.ID].UpFrom > b.Epoch && v.ClientAddrs[b.ID].Equal(b.Public):
			return service.Answer{} // sent before the process came up, and was marked down again
		}
	} else if other, ok := v.OSDByUUID(b.UUID); ok {
		s.h.Log(msg.LogWarn, "", "osd.%d boots with the uuid %v of osd.%d", b.ID, b.UUID, other)
		return service.Answer{}
	}
	if !s.mayMarkUp(v, b.ID) {
		return service.Answer{}
	}
	if s.cur.IsUp(b.ID) {
		// Another process had its place. Everybody must see that one go first,
		// in an epoch of its own.
		if v.IsUp(b.ID) {
			s.setState(b.ID, 0, osdmap.StateUp)
		}
		s.life.retry = append(s.life.retry, retry{sess, b})
		return service.Answer{}
	}
	s.markUp(b)
	return service.Answer{}
}

func (s *Service) mayMarkUp(v *osdmap.Map, osd int32) bool {
	return !v.HasFlag(osdmap.FlagNoUp) && v.NodeFlags(osd)&osdmap.StateNoUp == 0
}

func (s *Service) markUp(b *msg.OSDBoot) {
	v := s.view()
	state := osdmap.StateNew
	if v.Exists(b.ID) {
		state = v.State[b.ID]
	} else {
		s.createOSD(b.ID, b.UUID)
		v = s.view()
	}
	inc := s.stage()
	inc.NewUpClient[b.ID] = b.Public
	inc.NewUpCluster[b.ID] = b.Cluster
	inc.NewHBBackUp[b.ID] = b.HBBack
	inc.NewHBFrontUp[b.ID] = b.HBFront
	if v.UUID[b.ID] != b.UUID {
		inc.NewUUID[b.ID] = b.UUID
	}
	info := v.Info[b.ID]
	if b.Fresh && info.UpFrom > info.LostAt {
		// What the one before it had is not to be had any more.
		inc.NewLost[b.ID] = s.cur.Epoch
	}
	if b.CleanBegin > info.LastCleanBegin || b.CleanBegin == info.LastCleanBegin && b.CleanEnd > info.LastCleanEnd {
		inc.NewLastCleanInterval[b.ID] = osdmap.Interval{Begin: b.CleanBegin, End: b.CleanEnd}
	}
	in := state&osdmap.StateAutoOut != 0 && s.boolOption("mon_osd_auto_mark_auto_out_in", true) ||
		state&osdmap.StateNew != 0 && s.boolOption("mon_osd_auto_mark_new_in", true) ||
		s.boolOption("mon_osd_auto_mark_in", false)
	weight := uint32(osdmap.WeightIn)
	s.editXInfo(b.ID, func(x *osdmap.XInfo) {
		x.Features = b.Features
		s.learnLag(x, b.BootEpoch > 0, s.h.Now())
		if old := x.OldWeight; old > 0 && in {
			weight, x.OldWeight = old, 0
		}
	})
	if in && s.mayMarkIn(v, b.ID) {
		s.setWeight(b.ID, weight)
	}
	s.placeOSD(b)
	if !maps.Equal(s.meta[b.ID], b.Metadata) {
		s.setMetadata(b.ID, b.Metadata)
	}
	s.h.Log(msg.LogInfo, "", "osd.%d %v boot", b.ID, b.Public)
}

func (s *Service) mayMarkIn(v *osdmap.Map, osd int32) bool {
	return !v.HasFlag(osdmap.FlagNoIn) && v.NodeFlags(osd)&osdmap.StateNoIn == 0
}

// createOSD makes an id exist.
func (s *Service) createOSD(osd int32, uuid entity.UUID) {
	if osd >= s.view().MaxOSD {
		s.stage().NewMaxOSD = osd + 1
	}
	s.setWeight(osd, osdmap.WeightIn)
	s.setState(osd, osdmap.StateExists|osdmap.StateNew, 0)
	if !uuid.IsZero() {
		s.stage().NewUUID[osd] = uuid
	}
}

// placeOSD puts an OSD that boots into the CRUSH tree: with its class if it has
// none, and where it says it is. What an administrator set stays.
func (s *Service) placeOSD(b *msg.OSDBoot) {
	c := s.view().Crush
	name := fmt.Sprintf("osd.%d", b.ID)
	if b.Class != "" && s.boolOption("osd_class_update_on_start", true) && c.ClassOf(b.ID) == "" && crush.ValidName(b.Class) {
		n := c.Clone()
		n.MaxDevices = max(n.MaxDevices, b.ID+1)
		if n.Names[b.ID] == "" {
			n.Names[b.ID] = name
		}
		if err := n.SetDeviceClass(b.ID, b.Class); err != nil {
			s.h.Log(msg.LogWarn, "", "%s: class %q: %v", name, b.Class, err)
		} else {
			s.stageCrush(n)
			c = n
		}
	}
	if len(b.Location) == 0 || !s.boolOption("osd_crush_update_on_start", true) {
		return
	}
	n := c.Clone()
	n.MaxDevices = max(n.MaxDevices, b.ID+1)
	changed, err := n.CreateOrMove(b.ID, b.Weight, name, b.Location, s.updateSets())
	switch {
	case err != nil:
		s.h.Log(msg.LogWarn, "", "%s: location %v: %v", name, b.Location, err)
	case changed:
		s.stageCrush(n)
	}
}

// updateSets says whether weights that are set are set in weight sets too.
func (s *Service) updateSets() bool { return s.boolOption("osd_crush_update_weight_set", true) }

// markMeDown marks an OSD down that stops, and answers when the map says so.
func (s *Service) markMeDown(sess *service.Session, b *msg.OSDMarkDown) service.Answer {
	if !isOSD(sess, b.ID) {
		return service.Answer{}
	}
	v := s.view()
	if !v.IsUp(b.ID) || !s.mayMarkDown(v, b.ID) {
		return service.Answer{Body: &msg.OSDDownAck{Epoch: s.cur.Epoch}}
	}
	how := "down"
	s.setState(b.ID, 0, osdmap.StateUp)
	if b.Dead {
		how = "down and dead"
		next := s.cur.Epoch + 1
		s.editXInfo(b.ID, func(x *osdmap.XInfo) { x.DeadEpoch = next })
	}
	s.h.Log(msg.LogInfo, "", "osd.%d marked itself %s", b.ID, how)
	return service.Answer{Body: &msg.OSDDownAck{Epoch: s.cur.Epoch + 1}, Commit: true}
}

// mayMarkDown follows the flags, and keeps a minimum of OSDs up: if many seem
// dead at once it is more likely that the network is.
func (s *Service) mayMarkDown(v *osdmap.Map, osd int32) bool {
	if v.HasFlag(osdmap.FlagNoDown) || v.NodeFlags(osd)&osdmap.StateNoDown != 0 {
		return false
	}
	total, up, _ := v.NumOSDs()
	return total > 0 && float64(up)/float64(total) >= s.floatOption("mon_osd_min_up_ratio", 0.3)
}

// alive records that an OSD was up at an epoch: groups may go active only in
// intervals for which that is on record.
func (s *Service) alive(sess *service.Session, b *msg.OSDAlive) service.Answer {
	v := s.view()
	if !isOSD(sess, b.ID) || !v.IsUp(b.ID) || b.Want > s.cur.Epoch {
		return service.Answer{}
	}
	s.heard(sess, b.ID)
	s.raiseUpThru(b.ID, b.Want)
	return service.Answer{}
}

// Lead forgets what this monitor knew when it led before.
func (s *Service) Lead(now time.Time) {
	s.life = newLife()
	s.lead(now)
}

// lead begins to watch the OSDs.
func (s *Service) lead(now time.Time) {
	s.life.since = now
	for _, o := range existing(s.cur) {
		if s.cur.IsDown(o) && s.cur.IsIn(o) {
			s.life.downAt[o] = now
		}
	}
}

// follow updates what is remembered after a commit.
func (s *Service) follow(was *osdmap.Map) {
	now := s.h.Now()
	for o := range s.cur.MaxOSD {
		if s.cur.IsDown(o) {
			delete(s.life.failures, o)
			delete(s.life.gone, o)
		}
		switch {
		case s.cur.IsUp(o):
			if !was.IsUp(o) || was.Info[o].UpFrom != s.cur.Info[o].UpFrom {
				s.life.upAt[o] = now
			}
			delete(s.life.downAt, o)
		case s.cur.Exists(o) && s.cur.IsIn(o):
			if _, ok := s.life.downAt[o]; !ok {
				s.life.downAt[o] = now
			}
		default:
			delete(s.life.downAt, o)
		}
	}
}
