package rados

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/wire"
)

// Steps is what reads and writes have in common: a sequence of steps on one
// object, executed as one. Each step is an operation of Ceph's protocol. The
// first one that fails makes the whole sequence fail: nothing is changed then
// and later steps did not run. So steps that compare or assert, put first, are
// the conditions of what follows.
//
// A method that adds a step returns a value that has the result once the
// sequence was executed. The same sequence may be executed again; results are
// then replaced. It must not be executed twice at a time.
type Steps struct {
	ops     []msg.Op
	steps   []*Step
	version uint64
	bad     error // what was asked for cannot be encoded
}

// Len is the number of steps.
func (v *Steps) Len() int { return len(v.ops) }

// ObjectVersion is the object's version after the last execution
// (user_version): what AssertVersion compares with. 0 if there is no object.
func (v *Steps) ObjectVersion() uint64 { return v.version }

// Step is one step of a sequence and what became of it.
type Step struct {
	v      *Steps
	i      int
	result int32
	err    error
	decode func(out buffer.List) error
}

// Err is the step's own error in the last execution. It differs from that of
// the execution if the step was allowed to fail.
func (s *Step) Err() error { return s.err }

// Result is the step's return value, 0 for most steps that succeed. Class
// methods choose theirs.
func (s *Step) Result() int { return int(s.result) }

// MayFail lets the sequence go on if this step fails.
func (s *Step) MayFail() *Step { return s.flag(msg.OpFlagFailOK) }

// Hint tells how the data of a read or write is going to be used.
func (s *Step) Hint(h Hint) *Step { return s.flag(uint32(h)) }

func (s *Step) flag(f uint32) *Step {
	s.v.ops[s.i].Flags |= f
	return s
}

// Hint is advice for caches (CEPH_OSD_OP_FLAG_FADVISE).
type Hint uint32

const (
	HintRandom     Hint = 0x4
	HintSequential Hint = 0x8
	HintWillNeed   Hint = 0x10
	HintDontNeed   Hint = 0x20
	HintNoCache    Hint = 0x40
)

// add appends an operation with its input. args, if any, fills in the union.
func (v *Steps) add(code msg.OpCode, in []byte, args func(*msg.Op)) *Step {
	op := msg.Op{Code: code, In: buffer.Wrap(in)}
	if args != nil {
		args(&op)
	}
	s := &Step{v: v, i: len(v.ops)}
	v.ops = append(v.ops, op)
	v.steps = append(v.steps, s)
	return s
}

// encoded is add with an input that is encoded. Stock clients tell its length
// in the union as well.
func (v *Steps) encoded(code msg.OpCode, encode func(*wire.Encoder)) *Step {
	var e wire.Encoder
	encode(&e)
	return v.add(code, e.Bytes(), func(op *msg.Op) { op.SetExtent(0, uint64(e.Len())) })
}

// decoding sets how the output is read.
func (s *Step) decoding(f func(*wire.Decoder)) {
	s.decode = func(out buffer.List) error {
		// The buffers go back to the messenger, so what is kept is copied.
		d := wire.NewDecoder(slices.Clone(out.Bytes()))
		f(d)
		if err := d.Finish(); err != nil {
			return fmt.Errorf("%w: %w", errno.EBADMSG, err)
		}
		return nil
	}
}

func (v *Steps) reject(format string, args ...any) {
	if v.bad == nil {
		v.bad = fmt.Errorf("%w: "+format, append([]any{errno.EINVAL}, args...)...)
	}
}

// request is the vector to be sent; its elements are copies.
func (v *Steps) request() ([]msg.Op, error) {
	if v.bad != nil {
		return nil, v.bad
	}
	if len(v.ops) == 0 {
		return nil, fmt.Errorf("%w: no steps", errno.EINVAL)
	}
	return slices.Clone(v.ops), nil
}

// take reads the reply into the steps. It returns the operation that failed.
func (v *Steps) take(rep *msg.OSDOpReply) (failed string, err error) {
	v.version = rep.UserVersion
	failed = v.ops[0].Code.String()
	if rep.Result < 0 {
		err = resultError(rep.Result)
	}
	for i, s := range v.steps {
		s.result, s.err = 0, nil
		if i >= len(rep.Ops) {
			if rep.Result >= 0 {
				s.err = fmt.Errorf("%w: reply has %d steps of %d", errno.EBADMSG, len(rep.Ops), len(v.steps))
			}
		} else {
			s.result = rep.Ops[i].Result
			s.err = resultError(s.result)
		}
		if s.err == nil && rep.Result >= 0 && s.decode != nil {
			s.err = s.decode(rep.Ops[i].Out)
		}
		mayFail := v.ops[i].Flags&msg.OpFlagFailOK != 0 && !errors.Is(s.err, errno.EBADMSG)
		if s.err != nil && !mayFail && (err == nil || s.result == rep.Result) {
			failed, err = v.name(i), s.err
			break
		}
	}
	return failed, err
}

// name is what a step is called in errors.
func (v *Steps) name(i int) string {
	op := &v.ops[i]
	if op.Code == msg.OpCall {
		class, method, _ := op.Call()
		if in := op.In.Bytes(); class+method <= len(in) {
			return "call " + string(in[:class]) + "." + string(in[class:class+method])
		}
	}
	return op.Code.String()
}

// Comparison says how an object's value relates to the one given: CompareXattr
// with Greater succeeds if the given value is greater than the object's.
type Comparison uint8

const (
	Equal          Comparison = msg.CmpEQ
	NotEqual       Comparison = msg.CmpNE
	Greater        Comparison = msg.CmpGT
	GreaterOrEqual Comparison = msg.CmpGTE
	Less           Comparison = msg.CmpLT
	LessOrEqual    Comparison = msg.CmpLTE
)

// AssertExists fails with ErrNotFound if there is no object.
func (v *Steps) AssertExists() *Step { return v.add(msg.OpStat, nil, nil) }

// AssertVersion fails with ErrNewer or ErrOlder if the object has another
// version.
func (v *Steps) AssertVersion(version uint64) *Step {
	return v.add(msg.OpAssertVer, nil, func(op *msg.Op) { op.PutU64(8, version) })
}

// CompareXattr fails with ErrCanceled unless the attribute compares as asked,
// byte by byte. An attribute that does not exist compares as empty.
func (v *Steps) CompareXattr(name string, c Comparison, value []byte) *Step {
	return v.compareXattr(name, c, msg.CmpModeString, value)
}

// CompareXattrUint compares with an attribute that is a number in decimal.
func (v *Steps) CompareXattrUint(name string, c Comparison, value uint64) *Step {
	var e wire.Encoder
	e.U64(value)
	return v.compareXattr(name, c, msg.CmpModeU64, e.Bytes())
}

func (v *Steps) compareXattr(name string, c Comparison, mode uint8, value []byte) *Step {
	return v.add(msg.OpCmpXattr, append([]byte(name), value...), func(op *msg.Op) {
		op.PutU32(0, uint32(len(name)))
		op.PutU32(4, uint32(len(value)))
		op.Args[8], op.Args[9] = byte(c), mode
	})
}

// OmapCondition is what CompareOmap wants of one key.
type OmapCondition struct {
	Comparison Comparison
	Value      []byte
}

// CompareOmap fails with ErrCanceled unless all keys compare as asked. A key
// that does not exist compares as empty.
func (v *Steps) CompareOmap(conditions map[string]OmapCondition) *Step {
	return v.encoded(msg.OpOmapCmp, func(e *wire.Encoder) {
		wire.EncodeMap(e, conditions, func(k string, c OmapCondition) {
			e.Str(k)
			e.Blob(c.Value)
			e.S32(int32(c.Comparison))
		})
	})
}

// CompareExtent fails with a *MismatchError unless the object has these bytes
// at off. Bytes after its end count as zeros.
func (v *Steps) CompareExtent(off uint64, data []byte) *Step {
	return v.add(msg.OpCmpExt, data, func(op *msg.Op) { op.SetExtent(off, uint64(len(data))) })
}

// DataStep is a step whose result is bytes.
type DataStep struct {
	*Step
	Data []byte
}

func dataStep(s *Step) *DataStep {
	d := &DataStep{Step: s}
	s.decode = func(out buffer.List) error {
		d.Data = copyOut(out)
		return nil
	}
	return d
}

// copyOut copies what a reply brought, for its buffers are given back.
func copyOut(l buffer.List) []byte {
	b := make([]byte, 0, l.Len())
	for _, r := range l {
		b = append(b, r.Bytes()...)
	}
	return b
}

// Call runs a method of an object class. Unknown ones fail with
// ErrUnsupported. In a write the output is dropped unless the sequence asks for
// it (WriteOp.ReturnOutput).
func (v *Steps) Call(class, method string, input []byte) *DataStep {
	if len(class) > 255 || len(method) > 255 {
		v.reject("class %q, method %q: names of more than 255 bytes", class, method)
		class, method = "", ""
	}
	in := make([]byte, 0, len(class)+len(method)+len(input))
	in = append(append(append(in, class...), method...), input...)
	return dataStep(v.add(msg.OpCall, in, func(op *msg.Op) {
		op.Args[0], op.Args[1] = byte(len(class)), byte(len(method))
		op.PutU32(3, uint32(len(input)))
	}))
}
