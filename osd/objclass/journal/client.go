package journal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// disconnected is the state of a client that was too slow; the journal does not
// keep anything for it any more.
const disconnected = 1

// position is an entry: its data object, and how it is numbered
// (cls::journal::ObjectPosition).
type position struct {
	object, tag, entry uint64
}

// positions is what a client is done with: the last entry in each of the active
// data objects, the newest first (cls::journal::ObjectSetPosition).
type positions []position

func (s positions) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	wire.EncodeSlice(e, s, func(p position) {
		m := e.Begin(1, 1)
		e.U64(p.object)
		e.U64(p.tag)
		e.U64(p.entry)
		e.End(m)
	})
	e.End(m)
}

func (s *positions) Decode(d *wire.Decoder) {
	env := d.Begin("ObjectSetPosition", 1)
	*s = wire.DecodeSlice(d, 30, func() (p position) {
		env := d.Begin("ObjectPosition", 1)
		p.object = d.U64()
		p.tag = d.U64()
		p.entry = d.U64()
		d.End(env)
		return p
	})
	d.End(env)
}

// minTag is the oldest tag in the positions, maxTID without any.
func (s positions) minTag() uint64 {
	least := uint64(maxTID)
	for _, p := range s {
		least = min(least, p.tag)
	}
	return least
}

// client is cls::journal::Client.
type client struct {
	id       string
	data     []byte // the client's own
	position positions
	state    uint8
}

func (c client) Encode(e *wire.Encoder) {
	m := e.Begin(1, 1)
	e.Str(c.id)
	e.Blob(c.data)
	c.position.Encode(e)
	e.U8(c.state)
	e.End(m)
}

func (c *client) Decode(d *wire.Decoder) {
	env := d.Begin("Client", 1)
	c.id = d.Str()
	c.data = slices.Clone(d.Blob())
	c.position.Decode(d)
	c.state = d.U8()
	d.End(env)
}

func readClient(c objclass.Context, id string) (cl client, err error) {
	err = read(c, clientPrefix+id, cl.Decode)
	return cl, err
}

// listClients is up to limit clients in the order of their ids.
func listClients(c objclass.Context, after string, limit uint64) (all []client, err error) {
	if after != "" {
		after = clientPrefix + after
	}
	list, _, err := c.OmapList(after, clientPrefix, limit)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		var cl client
		if err := objclass.ParseStored(e.Value, cl.Decode); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Key, err)
		}
		all = append(all, cl)
	}
	return all, nil
}

// clientBatch is how many clients are looked at at once (JOURNAL_MAX_RETURN).
const clientBatch = 256

// oldestPosition is that of the client that is furthest behind: one that begins
// there misses nothing that is still needed. It is empty if a client has not
// committed yet.
func oldestPosition(c objclass.Context) (least positions, err error) {
	for after := ""; ; {
		batch, err := listClients(c, after, clientBatch)
		if err != nil {
			return nil, err
		}
		for _, cl := range batch {
			if len(cl.position) == 0 {
				return nil, nil
			}
			p := cl.position[0]
			if len(least) == 0 || p.tag < least[0].tag || p.tag == least[0].tag && p.entry < least[0].entry {
				least = cl.position
			}
		}
		if len(batch) < clientBatch {
			return least, nil
		}
		after = batch[len(batch)-1].id
	}
}

func getClient(c objclass.Context, in []byte) ([]byte, error) {
	id, err := decodeID(in)
	if err != nil {
		return nil, err
	}
	cl, err := readClient(c, id)
	if err != nil {
		return nil, err
	}
	return wire.Marshal(cl), nil
}

func decodeID(in []byte) (id string, err error) {
	err = objclass.Parse(in, func(d *wire.Decoder) { id = d.Str() })
	return id, err
}

// free fails with EEXIST if a key is there.
func free(c objclass.Context, key string) error {
	_, err := c.OmapValue(key)
	switch {
	case err == nil:
		return errno.EEXIST
	case errors.Is(err, errno.ENOENT):
		return nil
	}
	return err
}

func stat(c objclass.Context) (size uint64, exists bool, err error) {
	size, _, err = c.Stat()
	if errors.Is(err, errno.ENOENT) {
		return 0, false, nil
	}
	return size, err == nil, err
}

// clientRegister adds a client, which begins where the slowest is.
func clientRegister(c objclass.Context, in []byte) ([]byte, error) {
	var cl client
	if err := objclass.Parse(in, func(d *wire.Decoder) { cl.id, cl.data = d.Str(), d.Blob() }); err != nil {
		return nil, err
	}
	if err := read(c, orderKey, func(d *wire.Decoder) { d.U8() }); err != nil {
		return nil, err
	}
	if err := free(c, clientPrefix+cl.id); err != nil {
		return nil, err
	}
	var err error
	if cl.position, err = oldestPosition(c); err != nil {
		return nil, err
	}
	return nil, write(c, clientPrefix+cl.id, cl.Encode)
}

// changeClient changes one client.
func changeClient(c objclass.Context, id string, change func(*client)) error {
	cl, err := readClient(c, id)
	if err != nil {
		return err
	}
	change(&cl)
	return write(c, clientPrefix+id, cl.Encode)
}

func clientUpdateData(c objclass.Context, in []byte) ([]byte, error) {
	var id string
	var data []byte
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, data = d.Str(), d.Blob() }); err != nil {
		return nil, err
	}
	return nil, changeClient(c, id, func(cl *client) { cl.data = data })
}

func clientUpdateState(c objclass.Context, in []byte) ([]byte, error) {
	var id string
	var state uint8
	if err := objclass.Parse(in, func(d *wire.Decoder) { id, state = d.Str(), d.U8() }); err != nil {
		return nil, err
	}
	return nil, changeClient(c, id, func(cl *client) { cl.state = state })
}

// clientUnregister also removes the tags that were kept for this client alone.
func clientUnregister(c objclass.Context, in []byte) ([]byte, error) {
	id, err := decodeID(in)
	if err != nil {
		return nil, err
	}
	if _, err := c.OmapValue(clientPrefix + id); err != nil {
		return nil, err
	}
	if err := c.RemoveOmapKeys([]string{clientPrefix + id}); err != nil {
		return nil, err
	}
	return nil, expireTags(c)
}

func clientCommit(c objclass.Context, in []byte) ([]byte, error) {
	var id string
	var at positions
	if err := objclass.Parse(in, func(d *wire.Decoder) { id = d.Str(); at.Decode(d) }); err != nil {
		return nil, err
	}
	var width uint8
	if err := read(c, splayWidthKey, func(d *wire.Decoder) { width = d.U8() }); err != nil {
		return nil, err
	}
	if len(at) > int(width) {
		return nil, errno.EINVAL
	}
	cl, err := readClient(c, id)
	if err != nil || slices.Equal(cl.position, at) {
		return nil, err
	}
	cl.position = at
	return nil, write(c, clientPrefix+id, cl.Encode)
}

func clientList(c objclass.Context, in []byte) ([]byte, error) {
	var after string
	var limit uint64
	if err := objclass.Parse(in, func(d *wire.Decoder) { after, limit = d.Str(), d.U64() }); err != nil {
		return nil, err
	}
	all, err := listClients(c, after, limit)
	if err != nil {
		return nil, err
	}
	return encode(func(e *wire.Encoder) { wire.EncodeSlice(e, all, func(cl client) { cl.Encode(e) }) }), nil
}
