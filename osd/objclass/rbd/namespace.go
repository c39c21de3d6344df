package rbd

import (
	"errors"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// The object rbd_namespace of a pool has a key for each of its namespaces, with
// nothing in it.
var namespaceMethods = objclass.Class{
	"namespace_add":    {Flags: rd | wr, Call: namespaceAdd},
	"namespace_remove": {Flags: rd | wr, Call: namespaceRemove},
	"namespace_list":   {Flags: rd, Call: namespaceList},
}

const namespacePrefix = "name_"

func namespaceAdd(c objclass.Context, in []byte) ([]byte, error) {
	name, err := parseString(in)
	if err != nil {
		return nil, err
	}
	if _, err := c.OmapValue(namespacePrefix + name); err == nil {
		return nil, errno.EEXIST
	} else if !errors.Is(err, errno.ENOENT) {
		return nil, err
	}
	return nil, c.SetOmap([]objclass.Entry{{Key: namespacePrefix + name}})
}

func namespaceRemove(c objclass.Context, in []byte) ([]byte, error) {
	name, err := parseString(in)
	if err != nil {
		return nil, err
	}
	if _, err := c.OmapValue(namespacePrefix + name); err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{namespacePrefix + name})
}

// namespaceList answers with a list of names.
func namespaceList(c objclass.Context, in []byte) ([]byte, error) {
	return listMap(c, namespacePrefix, in, func(*wire.Encoder, string, []byte) error { return nil })
}
