package rbd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// Metadata are pairs that users set on an image or, in rbd_info, on a pool; those
// that begin with conf_ are options for clients.

var metadataMethods = objclass.Class{
	"metadata_list":   {Flags: rd, Call: listMetadata},
	"metadata_set":    {Flags: rd | wr, Call: setMetadata},
	"metadata_remove": {Flags: rd | wr, Call: removeMetadata},
	"metadata_get":    {Flags: rd, Call: getMetadata},
}

const (
	metadataPrefix = "metadata_"
	metadataPage   = 64 // entries, for one who names no limit (RBD_MAX_KEYS_READ)
)

// listMetadata takes string start after, u64 limit (0 for a page) and returns a
// map of string to bufferlist.
func listMetadata(c objclass.Context, in []byte) ([]byte, error) {
	var after string
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { after, limit = d.Str(), d.U64() }); err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = metadataPage
	}
	var list []objclass.Entry
	if err := listing(c, metadataPrefix, after, limit, func(name string, value []byte) error {
		list = append(list, objclass.Entry{Key: name, Value: value})
		return nil
	}); err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) {
		wire.EncodeSlice(e, list, func(t objclass.Entry) { e.Str(t.Key); e.Blob(t.Value) })
	}), nil
}

// setMetadata takes a map of string to bufferlist.
func setMetadata(c objclass.Context, in []byte) ([]byte, error) {
	var entries []objclass.Entry
	if err := objclass.Parse(in, func(d *wire.Decoder) {
		for _, p := range decodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() }) {
			entries = append(entries, objclass.Entry{Key: metadataPrefix + p.key, Value: keep(p.value)})
		}
	}); err != nil {
		return nil, err
	}
	return nil, c.SetOmap(entries)
}

// removeMetadata takes string key. One that is not there is no error.
func removeMetadata(c objclass.Context, in []byte) ([]byte, error) {
	key, err := parseString(in)
	if err != nil {
		return nil, err
	}
	return nil, c.RemoveOmapKeys([]string{metadataPrefix + key})
}

// getMetadata takes string key and returns bufferlist.
func getMetadata(c objclass.Context, in []byte) ([]byte, error) {
	key, err := parseString(in)
	if err != nil {
		return nil, err
	}
	v, err := c.OmapValue(metadataPrefix + key)
	if err != nil {
		return nil, err
	}
	return encoded(func(e *wire.Encoder) { e.Blob(v) }), nil
}
