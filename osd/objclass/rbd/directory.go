package rbd

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// A directory maps names to ids and back: rbd_directory those of images,
// rbd_group_directory those of groups. For each there are two keys, which change
// together:
//
//	name_NAME  the id
//	id_ID      the name
//
// The object rbd_id.NAME has the id of an image a second time, as data: it is
// found without asking the directory, which all images of a pool share.
var directoryMethods = objclass.Class{
	"get_id":           {Flags: rd, Call: getID},
	"set_id":           {Flags: rd | wr, Call: setID},
	"dir_get_id":       {Flags: rd, Call: dirGetID},
	"dir_get_name":     {Flags: rd, Call: dirGetName},
	"dir_list":         {Flags: rd, Call: dirList},
	"dir_add_image":    {Flags: rd | wr, Call: dirAdd},
	"dir_remove_image": {Flags: rd | wr, Call: dirRemove},
	"dir_rename_image": {Flags: rd | wr, Call: dirRename},
	"dir_state_assert": {Flags: rd, Call: dirStateAssert},
	"dir_state_set":    {Flags: rd | wr, Call: dirStateSet},
}

const (
	dirNamePrefix = "name_"
	dirIDPrefix   = "id_"
	dirStateKey   = "state"
)

// States of a directory (cls::rbd::DirectoryState). A namespace that is being
// removed takes no more images.
const (
	dirReady       = 0
	dirAddDisabled = 1
)

// getID answers with the id in an rbd_id object. An empty one was made by a
// client that got no further.
func getID(c objclass.Context, _ []byte) ([]byte, error) {
	size, _, err := c.Stat()
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, errno.ENOENT
	}
	b, err := c.Read(0, size)
	if err != nil {
		return nil, err
	}
	var id string
	if err := decodeValue("image id", b, func(d *wire.Decoder) { id = d.Str() }); err != nil {
		return nil, err
	}
	return encodeString(id), nil
}

func setID(c objclass.Context, in []byte) ([]byte, error) {
	size, _, err := c.Stat()
	if err != nil {
		return nil, err
	}
	id, err := parseString(in)
	if err != nil {
		return nil, err
	}
	if !validID(id) {
		return nil, fmt.Errorf("bad image id %q: %w", id, errno.EINVAL)
	}
	if size != 0 {
		return nil, errno.EEXIST
	}
	return nil, c.Write(0, encodeString(id))
}

func dirGetID(c objclass.Context, in []byte) ([]byte, error) {
	return translate(c, dirNamePrefix, in)
}

func dirGetName(c objclass.Context, in []byte) ([]byte, error) {
	return translate(c, dirIDPrefix, in)
}

// translate answers a string with the string that is stored for it.
func translate(c objclass.Context, prefix string, in []byte) ([]byte, error) {
	s, err := parseString(in)
	if err != nil {
		return nil, err
	}
	s, err = readString(c, prefix+s)
	if err != nil {
		return nil, err
	}
	return encodeString(s), nil
}

// dirList answers with names and their ids, by name.
func dirList(c objclass.Context, in []byte) ([]byte, error) {
	return listMap(c, dirNamePrefix, in, func(e *wire.Encoder, key string, value []byte) error {
		var id string
		err := decodeValue(key, value, func(d *wire.Decoder) { id = d.Str() })
		e.Str(id)
		return err
	})
}

// dirAdd makes the directory, too, if it is not there.
func dirAdd(c objclass.Context, in []byte) ([]byte, error) {
	if err := c.Create(false); err != nil {
		return nil, err
	}
	var name, id string
	if err := objclass.Parse(in, func(d *wire.Decoder) { name, id = d.Str(), d.Str() }); err != nil {
		return nil, err
	}
	if err := checkDirName(c, name, id); err != nil {
		return nil, err
	}
	if _, err := readString(c, dirIDPrefix+id); !isMissing(err) {
		return nil, fmt.Errorf("id %s has a name: %w", id, errno.EBADF)
	}
	return nil, link(c, name, id)
}

// checkDirName fails unless the name is free and name and id are what they may be.
func checkDirName(c objclass.Context, name, id string) error {
	if name == "" || !validID(id) {
		return fmt.Errorf("bad name %q or id %q: %w", name, id, errno.EINVAL)
	}
	if _, err := readString(c, dirNamePrefix+name); !isMissing(err) {
		return errno.EEXIST
	}
	return nil
}

// link writes both ways.
func link(c objclass.Context, name, id string) error {
	return c.SetOmap([]objclass.Entry{
		{Key: dirNamePrefix + name, Value: encodeString(id)},
		{Key: dirIDPrefix + id, Value: encodeString(name)},
	})
}

// checkLinked fails unless name and id belong together: a rename may have been
// faster.
func checkLinked(c objclass.Context, name, id string) error {
	storedID, err := readString(c, dirNamePrefix+name)
	if err != nil {
		return err
	}
	storedName, err := readString(c, dirIDPrefix+id)
	if err != nil {
		return err
	}
	if storedName != name || storedID != id {
		return fmt.Errorf("name %q has id %s and id %s has name %q: %w", name, storedID, id, storedName, errno.ESTALE)
	}
	return nil
}

func dirRemove(c objclass.Context, in []byte) ([]byte, error) {
	var name, id string
	if err := objclass.Parse(in, func(d *wire.Decoder) { name, id = d.Str(), d.Str() }); err != nil {
		return nil, err
	}
	if err := checkLinked(c, name, id); err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{dirNamePrefix + name, dirIDPrefix + id})
}

// dirRename fails with EEXIST for a name that stays the same.
func dirRename(c objclass.Context, in []byte) ([]byte, error) {
	var from, to, id string
	if err := objclass.Parse(in, func(d *wire.Decoder) { from, to, id = d.Str(), d.Str(), d.Str() }); err != nil {
		return nil, err
	}
	if err := checkLinked(c, from, id); err != nil {
		return nil, err
	}
	if err := checkDirName(c, to, id); err != nil {
		return nil, err
	}
	if err := c.RemoveOmapKeys([]string{dirNamePrefix + from}); err != nil {
		return nil, err
	}
	return nil, link(c, to, id)
}

func dirStateAssert(c objclass.Context, in []byte) ([]byte, error) {
	var want, is uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { want = d.U8() }); err != nil {
		return nil, err
	}
	if err := readKey(c, dirStateKey, func(d *wire.Decoder) { is = d.U8() }); err != nil {
		return nil, err
	}
	if want != is {
		return nil, errno.ENOENT
	}
	return nil, nil
}

// dirStateSet closes a directory only if it is empty.
func dirStateSet(c objclass.Context, in []byte) ([]byte, error) {
	var state uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { state = d.U8() }); err != nil {
		return nil, err
	}
	switch state {
	case dirReady:
	case dirAddDisabled:
		if err := exists(c); err != nil {
			return nil, err
		}
		list, _, err := c.OmapList(dirNamePrefix, dirNamePrefix, 1)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			return nil, errno.EBUSY
		}
	default:
		return nil, errno.EINVAL
	}
	return nil, writeKey(c, dirStateKey, func(e *wire.Encoder) { e.U8(state) })
}

// parseString decodes an input that is a string.
func parseString(in []byte) (s string, err error) {
	err = objclass.Parse(in, func(d *wire.Decoder) { s = d.Str() })
	return s, err
}

func encodeString(s string) []byte { return encoded(func(e *wire.Encoder) { e.Str(s) }) }

// listing calls f for up to limit entries whose keys begin with a prefix, in
// order, from behind the one called start. f gets the rest of the key.
func listing(c objclass.Context, prefix, start string, limit uint64, f func(name string, value []byte) error) error {
	for after, more := prefix+start, true; more && limit > 0; {
		page, m, err := c.OmapList(after, prefix, min(limit, pageSize))
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := f(e.Key[len(prefix):], e.Value); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			break
		}
		after, more, limit = page[len(page)-1].Key, m, limit-uint64(len(page))
	}
	return nil
}

// listMap answers to a name to begin after and a limit with a map from names to
// what put writes for their values.
func listMap(c objclass.Context, prefix string, in []byte, put func(e *wire.Encoder, name string, value []byte) error) ([]byte, error) {
	var start string
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { start, limit = d.Str(), d.U64() }); err != nil {
		return nil, err
	}
	var list, e wire.Encoder
	n := uint32(0)
	err := listing(c, prefix, start, limit, func(name string, value []byte) error {
		n++
		list.Str(name)
		return put(&list, name, value)
	})
	if err != nil {
		return nil, err
	}
	e.U32(n)
	e.Raw(list.Bytes())
	return e.Bytes(), nil
}
