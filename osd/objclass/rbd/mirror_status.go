package rbd

import (
	"errors"
	"math"
	"slices"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Each rbd-mirror says how its copy of an image is doing: that of this cluster
// under the image's global id, those of others under it and the uuid of their
// pool. A report counts for as long as the daemon watches the object; of one that
// does not it is known only what it said last.
//
//	status_global_GLOBALID              our copy
//	remote_status_global_GLOBALID_UUID  that of a peer
var mirrorStatusMethods = objclass.Class{
	"mirror_image_status_set":         {Flags: rd | wr, Call: mirrorStatusSet},
	"mirror_image_status_remove":      {Flags: rd | wr, Call: mirrorStatusRemove},
	"mirror_image_status_get":         {Flags: rd, Call: mirrorStatusGet},
	"mirror_image_status_list":        {Flags: rd, Call: mirrorStatusList},
	"mirror_image_status_get_summary": {Flags: rd, Call: mirrorStatusSummary},
	"mirror_image_status_remove_down": {Flags: rd | wr, Call: mirrorStatusRemoveDown},
	"mirror_image_instance_get":       {Flags: rd, Call: mirrorImageInstanceGet},
	"mirror_image_instance_list":      {Flags: rd, Call: mirrorImageInstanceList},
}

const (
	mirrorStatusPrefix       = "status_global_"
	mirrorRemoteStatusPrefix = "remote_status_global_"
)

// States of a copy (cls::rbd::MirrorImageStatusState) that the class knows.
const (
	mirrorStateUnknown = 0
	mirrorStateError   = 1
)

// mirrorStatus is a report (cls::rbd::MirrorImageSiteStatus).
type mirrorStatus struct {
	mirrorUUID  string // empty: this cluster
	state       uint8
	description string
	updated     uint64 // utime_t
	up          bool
}

// encodeBody is the part that all forms have; the first did not know of others.
func (s mirrorStatus) encodeBody(e *wire.Encoder, version uint8) {
	if version >= 2 {
		e.Str(s.mirrorUUID)
	}
	e.U8(s.state)
	e.Str(s.description)
	e.U64(s.updated)
	e.Bool(s.up)
}

func (s mirrorStatus) Encode(e *wire.Encoder) {
	version := uint8(1)
	if s.mirrorUUID != "" {
		version = 2
	}
	m := e.Begin(version, version)
	s.encodeBody(e, version)
	e.End(m)
}

func (s *mirrorStatus) Decode(d *wire.Decoder) {
	env := d.Begin("MirrorImageSiteStatus", 2)
	if env.Version >= 2 {
		s.mirrorUUID = d.Str()
	}
	s.state = d.U8()
	s.description = d.Str()
	s.updated = d.U64()
	s.up = d.Bool()
	d.End(env)
}

// client is a client of the cluster (entity_inst_t). The type of the address is
// any: it is not what tells two clients apart.
type client struct {
	name entity.Name
	addr entity.Addr
}

func newClient(name entity.Name, addr entity.Addr) client {
	addr.Type = entity.AddrAny
	return client{name, addr}
}

func (c client) Encode(e *wire.Encoder) {
	c.name.Encode(e)
	c.addr.Encode(e)
}

func (c *client) Decode(d *wire.Decoder) {
	c.name.Decode(d)
	c.addr.Decode(d)
	c.addr.Type = entity.AddrAny
}

// storedStatus is a report and who made it (MirrorImageSiteStatusOnDisk).
type storedStatus struct {
	origin client
	mirrorStatus
}

func (s storedStatus) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	s.origin.Encode(e)
	e.End(m)
	s.mirrorStatus.Encode(e)
}

func (s *storedStatus) Decode(d *wire.Decoder) {
	s.decodeOrigin(d)
	s.mirrorStatus.Decode(d)
}

func (s *storedStatus) decodeOrigin(d *wire.Decoder) {
	env := d.Begin("MirrorImageSiteStatusOnDisk", 1)
	s.origin.Decode(d)
	d.End(env)
}

// imageStatus is all reports on an image (cls::rbd::MirrorImageStatus), that of
// this cluster first.
type imageStatus []mirrorStatus

func (s imageStatus) local() (l mirrorStatus, ok bool) {
	if len(s) > 0 && s[0].mirrorUUID == "" {
		return s[0], true
	}
	return l, false
}

func (s imageStatus) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	local, ok := s.local()
	local.encodeBody(e, 1)
	e.Bool(ok)
	remote := s
	if ok {
		remote = s[1:]
	}
	wire.EncodeSlice(e, remote, func(r mirrorStatus) { r.encodeBody(e, 2) })
	e.End(m)
}

// watchers are the clients that watch the object.
func watchers(c objclass.Context) (map[client]bool, error) {
	list, err := c.Watchers()
	if err != nil && !isMissing(err) {
		return nil, err
	}
	set := make(map[client]bool, len(list))
	for _, w := range list {
		set[newClient(w.Name, w.Addr)] = true
	}
	return set, nil
}

func remotePrefix(global string) string { return mirrorRemoteStatusPrefix + global + "_" }

func mirrorStatusKey(global, mirrorUUID string) string {
	if mirrorUUID == "" {
		return mirrorStatusPrefix + global
	}
	return remotePrefix(global) + mirrorUUID
}

// mirrorStatusSet does nothing for an image whose mirroring is not enabled: a
// daemon that is late must not leave a report that nobody removes.
func mirrorStatusSet(c objclass.Context, in []byte) ([]byte, error) {
	var global string
	var s storedStatus
	err := objclass.Parse(in, func(d *wire.Decoder) { global = d.Str(); s.mirrorStatus.Decode(d) })
	if err != nil {
		return nil, err
	}
	id, err := readString(c, mirrorGlobalPrefix+global)
	if err != nil {
		return nil, nil
	}
	if i, err := readMirrorImage(c, id); err != nil || i.state != mirrorImageEnabled {
		return nil, nil
	}
	key := mirrorStatusKey(global, s.mirrorUUID)
	s.mirrorUUID, s.up, s.updated = "", false, utime(c)
	s.origin = newClient(c.Origin())
	return nil, writeKey(c, key, s.Encode)
}

func mirrorStatusRemove(c objclass.Context, in []byte) ([]byte, error) {
	global, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, removeMirrorStatus(c, global)
}

// removeMirrorStatus removes all reports on an image.
func removeMirrorStatus(c objclass.Context, global string) error {
	keys := []string{mirrorStatusKey(global, "")}
	err := each(c, remotePrefix(global), func(e objclass.Entry) error {
		keys = append(keys, e.Key)
		return nil
	})
	if err == nil {
		err = c.RemoveOmapKeys(keys)
	}
	if isMissing(err) {
		return nil
	}
	return err
}

// readMirrorStatus returns ENOENT if there is no report.
func readMirrorStatus(c objclass.Context, global string, live map[client]bool) (all imageStatus, err error) {
	add := func(key, mirrorUUID string, value []byte) error {
		var s storedStatus
		if err := decodeValue(key, value, s.Decode); err != nil {
			return err
		}
		s.up = live[s.origin]
		s.mirrorUUID = mirrorUUID
		all = append(all, s.mirrorStatus)
		return nil
	}
	key := mirrorStatusKey(global, "")
	b, err := c.OmapValue(key)
	if err == nil {
		err = add(key, "", b)
	} else if isMissing(err) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	prefix := remotePrefix(global)
	err = each(c, prefix, func(e objclass.Entry) error { return add(e.Key, e.Key[len(prefix):], e.Value) })
	if err != nil && !isMissing(err) {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errno.ENOENT
	}
	return all, nil
}

func mirrorStatusGet(c objclass.Context, in []byte) ([]byte, error) {
	global, err := parseString(in)
	if err != nil {
		return nil, err
	}
	live, err := watchers(c)
	if err != nil {
		return nil, err
	}
	s, err := readMirrorStatus(c, global, live)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(s), nil
}

// mirrorStatusList answers with a map of images and one of their reports; an
// image of which there are none is only in the first.
func mirrorStatusList(c objclass.Context, in []byte) ([]byte, error) {
	live, err := watchers(c)
	if err != nil {
		return nil, err
	}
	reports := wire.NewEncoder(nil)
	n := uint32(0)
	out, err := listMap(c, mirrorImagePrefix, in, func(e *wire.Encoder, id string, value []byte) error {
		var i mirrorImage
		if err := decodeValue(mirrorImagePrefix+id, value, i.Decode); err != nil {
			return err
		}
		i.Encode(e)
		if s, err := readMirrorStatus(c, i.global, live); err == nil {
			n++
			reports.Str(id)
			s.Encode(reports)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e := wire.NewEncoder(out)
	e.U32(n)
	e.Raw(reports.Bytes())
	return e.Bytes(), nil
}

// mirrorStatusSummary counts the images in each state.
func mirrorStatusSummary(c objclass.Context, in []byte) ([]byte, error) {
	var peers []mirrorPeer
	if len(in) > 0 {
		err := objclass.Parse(in, func(d *wire.Decoder) {
			peers = wire.DecodeSlice(d, 6, func() (p mirrorPeer) { p.Decode(d); return p })
		})
		if err != nil {
			return nil, err
		}
	}
	direction := uint8(mirrorRX)
	if len(peers) > 0 {
		direction = peers[0].direction
	}
	senders := map[string]bool{}
	for _, p := range peers {
		if p.direction == mirrorRX {
			continue
		}
		senders[p.mirrorUUID] = true
		if direction != p.direction {
			direction = mirrorRXTX
		}
	}
	live, err := watchers(c)
	if err != nil {
		return nil, err
	}
	counts := map[uint8]int32{}
	err = each(c, mirrorImagePrefix, func(e objclass.Entry) error {
		var i mirrorImage
		if err := decodeValue(e.Key, e.Value, i.Decode); err != nil {
			return err
		}
		s, err := readMirrorStatus(c, i.global, live)
		if err != nil && !isMissing(err) {
			return err
		}
		counts[summarize(s, direction, senders)]++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) {
		wire.EncodeMap(e, counts, func(state uint8, n int32) { e.U8(state); e.S32(n) })
	}), nil
}

// summarize makes one state of all reports on an image: the worst of those that
// count in the direction of the pool's mirroring. An error that a peer reported
// counts even if it is down.
func summarize(s imageStatus, direction uint8, peers map[string]bool) uint8 {
	var states []uint8
	receives, sends := direction == mirrorRX || direction == mirrorRXTX, direction == mirrorTX || direction == mirrorRXTX
	if local, ok := s.local(); ok && local.up && receives {
		states = append(states, local.state)
	}
	silent := 0
	if sends {
		silent = len(peers)
		for _, r := range s {
			if r.mirrorUUID == "" {
				continue
			}
			if silent > 0 && peers[r.mirrorUUID] {
				silent--
			}
			if !r.up && r.state != mirrorStateError {
				r.state = mirrorStateUnknown
			}
			states = append(states, r.state)
		}
	}
	switch {
	case len(states) == 0 || silent > 0:
		return mirrorStateUnknown
	case slices.Contains(states, mirrorStateError):
		return mirrorStateError
	}
	return slices.Min(states)
}

// mirrorStatusRemoveDown removes the reports of those who are gone.
func mirrorStatusRemoveDown(c objclass.Context, _ []byte) ([]byte, error) {
	live, err := watchers(c)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, prefix := range []string{mirrorStatusPrefix, mirrorRemoteStatusPrefix} {
		err := each(c, prefix, func(e objclass.Entry) error {
			var s storedStatus
			if err := decodeValue(e.Key, e.Value, s.decodeOrigin); err != nil {
				return err
			}
			if !live[s.origin] {
				gone = append(gone, e.Key)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	return nil, c.RemoveOmapKeys(gone)
}

// mirrorInstance is the daemon that works on our copy of an image; ENOENT if none
// ever did, ESTALE if it is gone.
func mirrorInstance(c objclass.Context, global string, live map[client]bool) (client, error) {
	var s storedStatus
	if err := readKey(c, mirrorStatusKey(global, ""), s.Decode); err != nil {
		return client{}, err
	}
	if !live[s.origin] {
		return client{}, errno.ESTALE
	}
	return s.origin, nil
}

func mirrorImageInstanceGet(c objclass.Context, in []byte) ([]byte, error) {
	global, err := parseString(in)
	if err != nil {
		return nil, err
	}
	live, err := watchers(c)
	if err != nil {
		return nil, err
	}
	who, err := mirrorInstance(c, global, live)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(who), nil
}

// mirrorImageInstanceList answers with images and their daemons. The limit is on
// the answer, not on the images looked at.
func mirrorImageInstanceList(c objclass.Context, in []byte) ([]byte, error) {
	var start string
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { start, limit = d.Str(), d.U64() }); err != nil {
		return nil, err
	}
	live, err := watchers(c)
	if err != nil {
		return nil, err
	}
	list := map[string]client{}
	enough := errors.New("enough")
	err = listing(c, mirrorImagePrefix, start, math.MaxUint64, func(id string, value []byte) error {
		var i mirrorImage
		if err := decodeValue(mirrorImagePrefix+id, value, i.Decode); err != nil {
			return err
		}
		if uint64(len(list)) == limit {
			return enough
		}
		if who, err := mirrorInstance(c, i.global, live); err == nil {
			list[id] = who
		}
		return nil
	})
	if err != nil && err != enough {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) {
		wire.EncodeMap(e, list, func(id string, who client) { e.Str(id); who.Encode(e) })
	}), nil
}
