package pg

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/wire"
)

// splitCall cuts the input of a call: class, method, input.
func splitCall(op *msg.Op) (class, method string, in []byte, err error) {
	c, m, n := op.Call()
	b := op.In.Bytes()
	if c+m > len(b) || n < 0 || n > len(b)-c-m {
		return "", "", nil, errno.EINVAL
	}
	return string(b[:c]), string(b[c : c+m]), b[c+m : c+m+n], nil
}

// findMethod looks a call's method up. A class that nobody knows may not be
// loaded (EPERM), one of Ceph's that is missing here is not there (EOPNOTSUPP).
func (p *PG) findMethod(class, method string) (objclass.Method, error) {
	c := p.env.Classes[class]
	if c == nil && !p.env.Config.DefaultClasses[class] {
		return objclass.Method{}, errno.EPERM
	}
	m, ok := c[method]
	if !ok {
		return m, errno.EOPNOTSUPP
	}
	return m, nil
}

func (x *execution) opCall(op *msg.Op) error {
	class, method, in, err := splitCall(op)
	if err != nil {
		return err
	}
	m, err := x.pg.findMethod(class, method)
	if err != nil {
		return err
	}
	if m.Flags&objclass.Write != 0 {
		x.userModify = true
	}
	c := classContext{x: x, name: class + "." + method, flags: m.Flags}
	b, err := m.Call(&c, in)
	if c.wrong {
		return errno.EIO
	}
	if err != nil {
		return err
	}
	op.PutU64(8, uint64(len(b)))
	out(op, b)
	return nil
}

// classContext is the object as a class method gets it. It holds the method to
// its flags.
type classContext struct {
	x     *execution
	name  string
	flags objclass.Flags
	wrong bool // the method did what its flags do not say
}

var _ objclass.Context = (*classContext)(nil)

func (c *classContext) may(f objclass.Flags) error {
	if c.flags&f == 0 {
		c.wrong = true
		return errno.EIO
	}
	return nil
}

func (c *classContext) Origin() (entity.Name, entity.Addr) {
	return c.x.req.Session.Name, c.x.req.Session.Addr
}

func (c *classContext) Now() time.Time { return c.x.now }

// Unique is a hash of what tells this request from all others.
func (c *classContext) Unique(n int) string {
	var e wire.Encoder
	c.x.req.id.Encode(&e)
	c.x.pg.info.LastUpdate.Encode(&e)
	c.x.pg.id.Encode(&e)
	e.U32(uint32(c.x.current))
	e.Time(c.x.now)
	s := ""
	for len(s) < n {
		e.U8(0)
		h := sha256.Sum256(e.Bytes())
		s += base64.StdEncoding.EncodeToString(h[:30])
	}
	return s[:n]
}

// Position is the group's newest version and a number within the request.
func (c *classContext) Position() string {
	c.x.positions++
	return fmt.Sprintf("%d.%d", c.x.pg.info.LastUserVersion, c.x.positions)
}

func (c *classContext) Log(format string, args ...any) {
	c.x.pg.note(NoteInfo, fmt.Sprintf("class %s on %v: ", c.name, c.x.obj.id)+fmt.Sprintf(format, args...), nil)
}

// Stat needs no flag.
func (c *classContext) Stat() (uint64, time.Time, error) {
	return c.x.info.Size, c.x.info.MTime, c.x.mustExist()
}

func (c *classContext) Watchers() ([]objclass.Watcher, error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, err
	}
	var all []objclass.Watcher
	for _, w := range c.x.info.Watchers {
		all = append(all, objclass.Watcher{Name: w.Who, Addr: w.Addr})
	}
	return all, c.x.mustExist()
}

func (c *classContext) Version() uint64 { return c.x.info.UserVersion }

// SnapSeq needs no flag.
func (c *classContext) SnapSeq() (uint64, error) {
	if !c.x.stored() {
		return 0, errno.ENOENT
	}
	return uint64(c.x.obj.snaps.Seq), nil
}

func (c *classContext) Read(off, n uint64) ([]byte, error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, err
	}
	if err := c.x.mustExist(); err != nil {
		return nil, err
	}
	l, err := c.x.readRange(off, n, 0, 0)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	c.x.didRead(l.Len())
	return slices.Clone(l.Bytes()), nil
}

func (c *classContext) Create(exclusive bool) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if exclusive && c.x.exists {
		return errno.EEXIST
	}
	c.x.create()
	return nil
}

func (c *classContext) Remove() error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	return c.x.removeObject()
}

func (c *classContext) Write(off uint64, data []byte) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	return c.x.writeAt(off, buffer.Wrap(data), 0, c.x.info.TruncateSeq)
}

func (c *classContext) WriteFull(data []byte) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	return c.x.writeFull(buffer.Wrap(data))
}

func (c *classContext) Truncate(size uint64) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if size > c.x.pg.env.Config.MaxObjectSize {
		return errno.EFBIG
	}
	c.x.truncate(size)
	return nil
}

func (c *classContext) Zero(off, n uint64) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if err := c.x.mustExist(); err != nil {
		return err
	}
	op := msg.Op{Code: msg.OpZero}
	op.SetExtent(off, n)
	return c.x.do(&op)
}

func (c *classContext) Xattr(name string) ([]byte, error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, err
	}
	if err := c.x.mustExist(); err != nil {
		return nil, err
	}
	v, err := c.x.attr(userAttr + name)
	c.x.didRead(len(v))
	return v, broken(err)
}

func (c *classContext) AllXattrs() (map[string][]byte, error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, err
	}
	if err := c.x.mustExist(); err != nil {
		return nil, err
	}
	c.x.didRead(0)
	return c.x.userAttrs()
}

func (c *classContext) SetXattr(name string, value []byte) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if err := c.x.checkAttr(len(name), len(value)); err != nil {
		return err
	}
	c.x.setXattr(name, value)
	return nil
}

func (c *classContext) RemoveXattr(name string) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if err := c.x.mustExist(); err != nil {
		return err
	}
	c.x.removeAttr(userAttr + name)
	c.x.wrote(0)
	return nil
}

func (c *classContext) OmapHeader() ([]byte, error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, err
	}
	c.x.didRead(0)
	h, err := c.x.omapHeader()
	return h, broken(err)
}

func (c *classContext) SetOmapHeader(h []byte) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	c.x.putOmapHeader(h)
	return nil
}

func (c *classContext) OmapValue(key string) ([]byte, error) {
	m, err := c.OmapValues([]string{key})
	if err != nil {
		return nil, err
	}
	v, ok := m[key]
	if !ok {
		return nil, errno.ENOENT
	}
	return v, nil
}

func (c *classContext) OmapValues(keys []string) (map[string][]byte, error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, err
	}
	c.x.didRead(0)
	m, err := c.x.omapGet(keys)
	return m, broken(err)
}

func (c *classContext) OmapList(after, prefix string, limit uint64) (list []objclass.Entry, more bool, err error) {
	if err := c.may(objclass.Read); err != nil {
		return nil, false, err
	}
	c.x.didRead(0)
	_, more, err = c.x.omapPage(after, prefix, limit, func(k string, v []byte) int {
		list = append(list, objclass.Entry{Key: k, Value: slices.Clone(v)})
		return len(k) + len(v)
	})
	return list, more, err
}

func (c *classContext) SetOmap(entries []objclass.Entry) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	kvs := make([]objstore.KV, len(entries))
	for i, t := range entries {
		kvs[i] = objstore.KV{Key: t.Key, Value: t.Value}
	}
	return c.x.putOmap(kvs)
}

func (c *classContext) RemoveOmapKeys(keys []string) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if err := c.x.mustExist(); err != nil {
		return err
	}
	if len(keys) > 0 {
		c.x.removeOmap(keys)
	}
	c.x.wrote(0)
	return nil
}

func (c *classContext) RemoveOmapRange(from, to string) error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	if err := c.x.mustExist(); err != nil {
		return err
	}
	c.x.removeRange(from, to)
	return nil
}

func (c *classContext) ClearOmap() error {
	if err := c.may(objclass.Write); err != nil {
		return err
	}
	return c.x.dropOmap()
}
