package rbd

import (
	"slices"

	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// The rbd-mirror daemons of a pool share its images: one of them, the leader,
// keeps a list of all (keys instance_ID in the object rbd_mirror_leader) and
// which image each has (keys image_map_GLOBALID in rbd_mirroring).
var mirrorInstanceMethods = objclass.Class{
	"mirror_instances_list":   {Flags: rd, Call: mirrorInstancesList},
	"mirror_instances_add":    {Flags: rd | wr, Call: mirrorInstancesAdd},
	"mirror_instances_remove": {Flags: rd | wr, Call: mirrorInstancesRemove},

	"mirror_image_map_list":   {Flags: rd, Call: mirrorMapList},
	"mirror_image_map_update": {Flags: wr, Call: mirrorMapUpdate},
	"mirror_image_map_remove": {Flags: wr, Call: mirrorMapRemove},
}

const (
	mirrorInstancePrefix = "instance_"
	mirrorMapPrefix      = "image_map_"
)

// mirrorMap says which daemon has an image, since when, and what the leader wants
// to remember of that (cls::rbd::MirrorImageMap).
type mirrorMap struct {
	instance string
	since    uint64 // utime_t
	data     []byte
}

func (m mirrorMap) Encode(e *wire.Encoder) {
	mark := e.Begin(1, 1)
	e.Str(m.instance)
	e.U64(m.since)
	e.Blob(m.data)
	e.End(mark)
}

func (m *mirrorMap) Decode(d *wire.Decoder) {
	env := d.Begin("MirrorImageMap", 1)
	m.instance = d.Str()
	m.since = d.U64()
	m.data = slices.Clone(d.Blob())
	d.End(env)
}

func mirrorInstancesList(c objclass.Context, _ []byte) ([]byte, error) {
	var ids []string
	err := each(c, mirrorInstancePrefix, func(e objclass.Entry) error {
		ids = append(ids, e.Key[len(mirrorInstancePrefix):])
		return nil
	})
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { wire.EncodeSlice(e, ids, e.Str) }), nil
}

func mirrorInstancesAdd(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, c.SetOmap([]objclass.Entry{{Key: mirrorInstancePrefix + id}})
}

func mirrorInstancesRemove(c objclass.Context, in []byte) ([]byte, error) {
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{mirrorInstancePrefix + id})
}

// mirrorMapList answers with global ids and who has their images.
func mirrorMapList(c objclass.Context, in []byte) ([]byte, error) {
	return listMap(c, mirrorMapPrefix, in, func(e *wire.Encoder, global string, value []byte) error {
		var m mirrorMap
		err := objclass.Parse(value, m.Decode)
		m.Encode(e)
		return err
	})
}

func mirrorMapUpdate(c objclass.Context, in []byte) ([]byte, error) {
	var global string
	var m mirrorMap
	if err := objclass.Parse(in, func(d *wire.Decoder) { global = d.Str(); m.Decode(d) }); err != nil {
		return nil, err
	}
	return nil, writeKey(c, mirrorMapPrefix+global, m.Encode)
}

func mirrorMapRemove(c objclass.Context, in []byte) ([]byte, error) {
	global, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, removeKey(c, mirrorMapPrefix+global)
}
