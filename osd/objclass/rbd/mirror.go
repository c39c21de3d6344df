package rbd

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Mirroring copies images to other clusters; daemons called rbd-mirror do it.
// What they agree on is in the object rbd_mirroring of a pool:
//
//	mirror_uuid       who the pool is to its peers (raw text)
//	mirror_mode       absent or disabled, image, pool
//	mirror_peer_UUID  another cluster
//	image_ID          an image that is mirrored, and its global id
//	global_GLOBALID   the image with that id
//	status_global_..., remote_status_global_...  see mirror_status.go
//	instance_..., image_map_...                  see mirror_instance.go
var mirrorMethods = objclass.Class{
	"mirror_uuid_get": {Flags: rd, Call: mirrorUUIDGet},
	"mirror_uuid_set": {Flags: rd | wr, Call: mirrorUUIDSet},
	"mirror_mode_get": {Flags: rd, Call: mirrorModeGet},
	"mirror_mode_set": {Flags: rd | wr, Call: mirrorModeSet},

	"mirror_peer_ping":          {Flags: rd | wr, Call: mirrorPeerPing},
	"mirror_peer_list":          {Flags: rd, Call: mirrorPeerList},
	"mirror_peer_add":           {Flags: rd | wr, Call: mirrorPeerAdd},
	"mirror_peer_remove":        {Flags: rd | wr, Call: mirrorPeerRemove},
	"mirror_peer_set_client":    {Flags: rd | wr, Call: mirrorPeerSetClient},
	"mirror_peer_set_cluster":   {Flags: rd | wr, Call: mirrorPeerSetCluster},
	"mirror_peer_set_direction": {Flags: rd | wr, Call: mirrorPeerSetDirection},

	"mirror_image_list":         {Flags: rd, Call: mirrorImageList},
	"mirror_image_get_image_id": {Flags: rd, Call: mirrorImageGetID},
	"mirror_image_get":          {Flags: rd, Call: mirrorImageGet},
	"mirror_image_set":          {Flags: rd | wr, Call: mirrorImageSet},
	"mirror_image_remove":       {Flags: rd | wr, Call: mirrorImageRemove},
}

const (
	mirrorUUIDKey      = "mirror_uuid"
	mirrorModeKey      = "mirror_mode"
	mirrorPeerPrefix   = "mirror_peer_"
	mirrorImagePrefix  = "image_"
	mirrorGlobalPrefix = "global_"
)

// Modes of a pool (cls::rbd::MirrorMode).
const (
	mirrorDisabled = 0
	mirrorByImage  = 1
	mirrorPool     = 2
)

// Directions of a peer (cls::rbd::MirrorPeerDirection): what we receive from it,
// send to it, or both.
const (
	mirrorRX   = 0
	mirrorTX   = 1
	mirrorRXTX = 2
)

// States of an image (cls::rbd::MirrorImageState).
const (
	mirrorImageDisabling = 0
	mirrorImageEnabled   = 1
)

// mirrorPeer is another cluster (cls::rbd::MirrorPeer).
type mirrorPeer struct {
	uuid, site, client string
	direction          uint8
	mirrorUUID         string // the uuid of its pool
	seen               uint64 // utime_t
}

func (p mirrorPeer) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	e.Str(p.uuid)
	e.Str(p.site)
	e.Str(p.client)
	e.S64(noPool)
	e.U8(p.direction)
	e.Str(p.mirrorUUID)
	e.U64(p.seen)
	e.End(m)
}

func (p *mirrorPeer) Decode(d *wire.Decoder) {
	env := d.Begin("MirrorPeer", 2)
	p.uuid = d.Str()
	p.site = d.Str()
	p.client = d.Str()
	d.S64()
	p.direction = mirrorRXTX
	if env.Version >= 2 {
		p.direction = d.U8()
		p.mirrorUUID = d.Str()
		p.seen = d.U64()
	}
	d.End(env)
}

// check fails for a peer that cannot be: we log in to those that we receive from.
func (p mirrorPeer) check() error {
	if p.uuid == "" || p.site == "" || p.direction > mirrorRXTX || p.direction != mirrorTX && p.client == "" {
		return fmt.Errorf("peer %q is incomplete: %w", p.site, errno.EINVAL)
	}
	return nil
}

// mirrorImage is an image that is mirrored (cls::rbd::MirrorImage).
type mirrorImage struct {
	global string
	state  uint8
	mode   uint8 // by journal or by snapshots
}

func (i mirrorImage) Encode(e *wire.Encoder) {
	m := e.Begin(2, 1)
	e.Str(i.global)
	e.U8(i.state)
	e.U8(i.mode)
	e.End(m)
}

func (i *mirrorImage) Decode(d *wire.Decoder) {
	env := d.Begin("MirrorImage", 2)
	i.global = d.Str()
	i.state = d.U8()
	if env.Version >= 2 {
		i.mode = d.U8()
	}
	d.End(env)
}

func readMirrorUUID(c objclass.Context) (string, error) {
	b, err := c.OmapValue(mirrorUUIDKey)
	return string(b), err
}

func mirrorUUIDGet(c objclass.Context, _ []byte) ([]byte, error) {
	id, err := readMirrorUUID(c)
	if err != nil {
		return nil, err
	}
	return encodeString(id), nil
}

func mirrorUUIDSet(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, errno.EINVAL
	}
	mode, err := readMirrorMode(c)
	if err != nil && !isMissing(err) {
		return nil, err
	}
	if mode != mirrorDisabled {
		return nil, fmt.Errorf("mirroring is enabled: %w", errno.EINVAL)
	}
	return nil, c.SetOmap([]objclass.Entry{{Key: mirrorUUIDKey, Value: []byte(id)}})
}

func readMirrorMode(c objclass.Context) (mode uint32, err error) {
	err = readKey(c, mirrorModeKey, func(d *wire.Decoder) { mode = d.U32() })
	return mode, err
}

func mirrorModeGet(c objclass.Context, _ []byte) ([]byte, error) {
	mode, err := readMirrorMode(c)
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.U32(mode) }), nil
}

// mirrorModeSet enables mirroring of a pool with a uuid, and disables it when no
// peers are left; then the uuid goes, too.
func mirrorModeSet(c objclass.Context, in []byte) ([]byte, error) {
	var mode uint32
	if err := objclass.Parse(in, func(d *wire.Decoder) { mode = d.U32() }); err != nil {
		return nil, err
	}
	switch mode {
	case mirrorDisabled:
		peers, err := readMirrorPeers(c)
		if err != nil {
			return nil, err
		}
		if len(peers) > 0 {
			return nil, fmt.Errorf("the pool has mirroring peers: %w", errno.EBUSY)
		}
		if err := removeKey(c, mirrorModeKey); err != nil {
			return nil, err
		}
		return nil, removeKey(c, mirrorUUIDKey)
	case mirrorByImage, mirrorPool:
		if _, err := readMirrorUUID(c); isMissing(err) {
			return nil, errno.EINVAL
		} else if err != nil {
			return nil, err
		}
		return nil, writeKey(c, mirrorModeKey, func(e *wire.Encoder) { e.U32(mode) })
	}
	return nil, fmt.Errorf("bad mirror mode %d: %w", mode, errno.EINVAL)
}

func mirrorEnabled(c objclass.Context) error {
	mode, err := readMirrorMode(c)
	if err != nil && !isMissing(err) {
		return err
	}
	if mode == mirrorDisabled {
		return fmt.Errorf("the pool is not mirrored: %w", errno.EINVAL)
	}
	return nil
}

func readMirrorPeers(c objclass.Context) (all []mirrorPeer, err error) {
	err = each(c, mirrorPeerPrefix, func(e objclass.Entry) error {
		var p mirrorPeer
		err := decodeValue(e.Key, e.Value, p.Decode)
		all = append(all, p)
		return err
	})
	if isMissing(err) {
		err = nil
	}
	return all, err
}

func writeMirrorPeer(c objclass.Context, p mirrorPeer) error {
	return writeKey(c, mirrorPeerPrefix+p.uuid, p.Encode)
}

// mirrorPeerPing is the sign of life of a cluster that receives from us. One that
// we do not know becomes a peer.
func mirrorPeerPing(c objclass.Context, in []byte) ([]byte, error) {
	var site, id string
	var direction uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { site, id, direction = d.Str(), d.Str(), d.U8() }); err != nil {
		return nil, err
	}
	if direction != mirrorTX {
		return nil, errno.EINVAL
	}
	if err := mirrorEnabled(c); err != nil {
		return nil, err
	}
	if site == "" || id == "" {
		return nil, errno.EINVAL
	}
	peers, err := readMirrorPeers(c)
	if err != nil {
		return nil, err
	}
	p := pinged(peers, site, id)
	if p.uuid == "" {
		p.uuid = newUUID(c)
	} else if p.direction == mirrorRX {
		p.direction = mirrorRXTX
	}
	p.seen = utime(c)
	if err := p.check(); err != nil {
		return nil, err
	}
	return nil, writeMirrorPeer(c, p)
}

// pinged finds the peer that calls itself site and whose pool has the given uuid,
// and notes of the two what is new. One who has the name of one peer and the
// uuid of another is the other.
func pinged(peers []mirrorPeer, site, mirrorUUID string) mirrorPeer {
	find := func(is func(mirrorPeer) bool) *mirrorPeer {
		for i := range peers {
			if is(peers[i]) {
				return &peers[i]
			}
		}
		return nil
	}
	named := find(func(p mirrorPeer) bool { return p.site == site })
	if named != nil && (named.mirrorUUID == "" || named.mirrorUUID == mirrorUUID) {
		named.mirrorUUID = mirrorUUID
		return *named
	}
	same := find(func(p mirrorPeer) bool { return p.mirrorUUID == mirrorUUID })
	switch {
	case same != nil && named == nil:
		same.site = site
		return *same
	case same != nil:
		return *same
	case named != nil:
		named.mirrorUUID = mirrorUUID
		return *named
	}
	return mirrorPeer{site: site, mirrorUUID: mirrorUUID, direction: mirrorTX}
}

// newUUID is a random uuid (version 4).
func newUUID(c objclass.Context) string {
	b, err := base64.StdEncoding.DecodeString(c.Unique(24))
	if err != nil {
		panic("BUG: Unique is not base64")
	}
	b = b[:16]
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// utime is the time of the request as it is stored.
func utime(c objclass.Context) uint64 {
	now := c.Now()
	return uint64(uint32(now.Unix())) | uint64(now.Nanosecond())<<32
}

func mirrorPeerList(c objclass.Context, _ []byte) ([]byte, error) {
	peers, err := readMirrorPeers(c)
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) {
		wire.EncodeSlice(e, peers, func(p mirrorPeer) { p.Encode(e) })
	}), nil
}

func mirrorPeerAdd(c objclass.Context, in []byte) ([]byte, error) {
	var p mirrorPeer
	if err := objclass.Parse(in, p.Decode); err != nil {
		return nil, err
	}
	if err := mirrorEnabled(c); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	own, err := readMirrorUUID(c)
	if err != nil {
		return nil, err
	}
	if p.uuid == own || p.direction == mirrorTX {
		return nil, fmt.Errorf("peer %s is this pool or only receives: %w", p.uuid, errno.EINVAL)
	}
	peers, err := readMirrorPeers(c)
	if err != nil {
		return nil, err
	}
	for _, o := range peers {
		switch {
		case o.uuid == p.uuid:
			return nil, errno.ESTALE
		case o.site == p.site, p.mirrorUUID != "" && o.mirrorUUID == p.mirrorUUID:
			return nil, errno.EEXIST
		}
	}
	return nil, writeMirrorPeer(c, p)
}

func mirrorPeerRemove(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, removeKey(c, mirrorPeerPrefix+id)
}

// changeMirrorPeer changes one peer.
func changeMirrorPeer(c objclass.Context, id string, change func(*mirrorPeer)) error {
	var p mirrorPeer
	if err := readKey(c, mirrorPeerPrefix+id, p.Decode); err != nil {
		return err
	}
	change(&p)
	return writeMirrorPeer(c, p)
}

func mirrorPeerSetClient(c objclass.Context, in []byte) ([]byte, error) {
	var id, client string
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, client = d.Str(), d.Str() }); err != nil {
		return nil, err
	}
	return nil, changeMirrorPeer(c, id, func(p *mirrorPeer) { p.client = client })
}

func mirrorPeerSetCluster(c objclass.Context, in []byte) ([]byte, error) {
	var id, site string
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, site = d.Str(), d.Str() }); err != nil {
		return nil, err
	}
	peers, err := readMirrorPeers(c)
	if err != nil {
		return nil, err
	}
	var p *mirrorPeer
	for i := range peers {
		if peers[i].uuid == id {
			p = &peers[i]
		} else if peers[i].site == site {
			return nil, errno.EEXIST
		}
	}
	if p == nil {
		return nil, errno.ENOENT
	}
	p.site = site
	return nil, writeMirrorPeer(c, *p)
}

func mirrorPeerSetDirection(c objclass.Context, in []byte) ([]byte, error) {
	var id string
	var direction uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, direction = d.Str(), d.U8() }); err != nil {
		return nil, err
	}
	return nil, changeMirrorPeer(c, id, func(p *mirrorPeer) { p.direction = direction })
}

// mirrorImageList answers with image ids and their global ids.
func mirrorImageList(c objclass.Context, in []byte) ([]byte, error) {
	return listMap(c, mirrorImagePrefix, in, func(e *wire.Encoder, id string, value []byte) error {
		var i mirrorImage
		err := decodeValue(mirrorImagePrefix+id, value, i.Decode)
		e.Str(i.global)
		return err
	})
}

func mirrorImageGetID(c objclass.Context, in []byte) ([]byte, error) {
	return translate(c, mirrorGlobalPrefix, in)
}

func readMirrorImage(c objclass.Context, id string) (i mirrorImage, err error) {
	err = readKey(c, mirrorImagePrefix+id, i.Decode)
	return i, err
}

func mirrorImageGet(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	i, err := readMirrorImage(c, id)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(i), nil
}

// mirrorImageSet begins or changes the mirroring of an image. Its global id stays.
func mirrorImageSet(c objclass.Context, in []byte) ([]byte, error) {
	var id string
	var i mirrorImage
	if err := objclass.Parse(in, func(d *wire.Decoder) { id = d.Str(); i.Decode(d) }); err != nil {
		return nil, err
	}
	old, err := readMirrorImage(c, id)
	switch {
	case err == nil && old.global != i.global:
		return nil, errno.EINVAL
	case isMissing(err):
		if _, err := readString(c, mirrorGlobalPrefix+i.global); err == nil {
			return nil, errno.EEXIST
		} else if !errors.Is(err, errno.ENOENT) {
			return nil, err
		}
		if i.state == mirrorImageDisabling {
			return nil, errno.ENOENT // somebody else was faster
		}
	case err != nil:
		return nil, err
	}
	return nil, c.SetOmap([]objclass.Entry{
		{Key: mirrorImagePrefix + id, Value: wire.Marshal(i)},
		{Key: mirrorGlobalPrefix + i.global, Value: encodeString(id)},
	})
}

// mirrorImageRemove ends the mirroring of an image; it has to be set to disabling
// before.
func mirrorImageRemove(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	i, err := readMirrorImage(c, id)
	if err != nil {
		return nil, err
	}
	if i.state != mirrorImageDisabling {
		return nil, errno.EBUSY
	}
	if err := removeMirrorStatus(c, i.global); err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{mirrorImagePrefix + id, mirrorGlobalPrefix + i.global})
}
