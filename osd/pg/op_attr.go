package pg

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// Operations on attributes. Their input is the name and the value, one after
// the other; the union has the lengths.

func nameAndValue(op *msg.Op) (name string, value []byte, err error) {
	nameLen, valueLen, _, _ := op.Xattr()
	in := op.In.Bytes()
	if nameLen < 0 || valueLen < 0 || nameLen > len(in) || valueLen > len(in)-nameLen {
		return "", nil, errno.EINVAL
	}
	return string(in[:nameLen]), in[nameLen : nameLen+valueLen], nil
}

func attrName(op *msg.Op) (string, error) {
	nameLen, _, _, _ := op.Xattr()
	in := op.In.Bytes()
	if nameLen < 0 || nameLen > len(in) {
		return "", errno.EINVAL
	}
	return string(in[:nameLen]), nil
}

func (x *execution) opGetXattr(op *msg.Op) error {
	name, err := attrName(op)
	if err != nil {
		return err
	}
	v, err := x.attr(userAttr + name)
	if err != nil {
		return broken(err)
	}
	op.PutU32(4, uint32(len(v)))
	out(op, v)
	x.didRead(len(v))
	return nil
}

func (x *execution) opGetXattrs(op *msg.Op) error {
	m, err := x.userAttrs()
	if err != nil {
		return err
	}
	var e wire.Encoder
	wire.EncodeMap(&e, m, func(k string, v []byte) { e.Str(k); e.Blob(v) })
	out(op, e.Bytes())
	x.didRead(e.Len())
	return nil
}

// userAttrs returns the attributes that clients see, by their names.
func (x *execution) userAttrs() (map[string][]byte, error) {
	all, err := x.allAttrs()
	if err != nil {
		return nil, broken(err)
	}
	m := make(map[string][]byte, len(all))
	for k, v := range all {
		if name, ok := strings.CutPrefix(k, userAttr); ok {
			m[name] = v
		}
	}
	return m, nil
}

// opCmpXattr compares the given value with the attribute, in this order; a
// missing attribute is empty. What holds has the result 1.
func (x *execution) opCmpXattr(op *msg.Op) error {
	name, val, err := nameAndValue(op)
	if err != nil {
		return err
	}
	_, _, how, mode := op.Xattr()
	have, err := x.attr(userAttr + name)
	if err != nil && errno.Code(err) != -int32(errno.ENODATA) {
		return broken(err)
	}
	var c int
	switch mode {
	case msg.CmpModeString:
		c = strings.Compare(string(val), string(have))
	case msg.CmpModeU64:
		d := wire.NewDecoder(val)
		v := d.U64()
		if d.Err() != nil {
			return errno.EINVAL
		}
		w, err := leadingUint(have)
		if err != nil {
			return err
		}
		c = cmp.Compare(v, w)
	default:
		return errno.EINVAL
	}
	holds, err := compares(c, how)
	if err != nil {
		return err
	}
	x.didRead(len(have))
	if !holds {
		return errno.ECANCELED
	}
	op.Result = 1
	return nil
}

// leadingUint is the number in decimal that b begins with; nothing is 0.
func leadingUint(b []byte) (uint64, error) {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	if len(b) == 0 {
		return 0, nil
	}
	v, err := strconv.ParseUint(string(b[:n]), 10, 64)
	if err != nil {
		return 0, errno.EINVAL
	}
	return v, nil
}

// compares reports whether a result of comparing is what the operator wants.
func compares(c int, how uint8) (bool, error) {
	switch how {
	case msg.CmpEQ:
		return c == 0, nil
	case msg.CmpNE:
		return c != 0, nil
	case msg.CmpGT:
		return c > 0, nil
	case msg.CmpGTE:
		return c >= 0, nil
	case msg.CmpLT:
		return c < 0, nil
	case msg.CmpLTE:
		return c <= 0, nil
	}
	return false, errno.EINVAL
}

func (x *execution) opSetXattr(op *msg.Op) error {
	nameLen, valueLen, _, _ := op.Xattr()
	if err := x.checkAttr(nameLen, valueLen); err != nil {
		return err
	}
	name, value, err := nameAndValue(op)
	if err != nil {
		return err
	}
	x.setXattr(name, append([]byte{}, value...))
	return nil
}

func (x *execution) checkAttr(nameLen, valueLen int) error {
	cfg := x.pg.env.Config
	switch {
	case cfg.MaxAttrSize > 0 && valueLen > cfg.MaxAttrSize:
		return errno.EFBIG
	case nameLen > cfg.MaxAttrNameLen:
		return errno.ENAMETOOLONG
	}
	return nil
}

// setXattr keeps value.
func (x *execution) setXattr(name string, value []byte) {
	x.create()
	x.setAttr(userAttr+name, value)
	x.wrote(0)
}

func (x *execution) opRmXattr(op *msg.Op) error {
	if err := x.mustExist(); err != nil {
		return err
	}
	name, err := attrName(op)
	if err != nil {
		return err
	}
	x.removeAttr(userAttr + name)
	x.wrote(0)
	return nil
}
