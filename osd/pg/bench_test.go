package pg

import (
	"fmt"
	"github.com/pulpo-storage/pulpo/osdmap"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/buffer"
	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/objstore"
	"github.com/pulpo-storage/pulpo/osd/objclass"
)

// nullStore keeps no data: what remains is the cost of the group itself.
type nullStore struct {
	objstore.Store
	attrs map[object.ID][]byte
	block buffer.Ref
}

func (*nullStore) OmapScan(objstore.Coll, object.ID, string, func(string, []byte) bool) error {
	return nil
}
func (s *nullStore) Attr(_ objstore.Coll, o object.ID, name string) ([]byte, error) {
	if v, ok := s.attrs[o]; ok {
		if name != attrInfo {
			return nil, objstore.ErrNoAttr
		}
		return v, nil
	}
	return nil, objstore.ErrNotFound
}

func (s *nullStore) Read(_ objstore.Coll, _ object.ID, off, n uint64) (buffer.List, error) {
	return buffer.List{s.block.Slice(0, int(n))}, nil
}

func (s *nullStore) Stat(objstore.Coll, object.ID) (objstore.Info, error) {
	return objstore.Info{}, nil
}

func benchPG(b *testing.B, s objstore.Store) (*PG, *Env, *Session) {
	m := testMap(b, nil)
	env := &Env{Store: s, Config: DefaultConfig(), Classes: objclass.Registry{}}
	p := Create(env, object.SPG{PG: object.PG{Pool: testPool}, Shard: object.NoShard}, []*osdmap.Map{m}, time.Now())
	env.Ready()
	p.Step(time.Now(), Committed{Token: 1})
	env.Ready()
	return p, env, &Session{Name: entity.Name{Type: entity.Client, Num: 4100}}
}

func benchRequest(s *Session, tid uint64, name string, ops []msg.Op) *Request {
	id := object.New(testPool, "", "", name)
	return &Request{Session: s, TID: tid, Received: time.Unix(1, 0), Op: &msg.OSDOp{
		PG: object.SPG{PG: object.PG{Pool: testPool}, Shard: object.NoShard}, Hash: id.Hash, Epoch: 10, Flags: msg.FlagAck | msg.FlagOnDisk,
		MTime: time.Unix(1, 0), OID: name, Ops: ops, Locator: object.Locator{Pool: testPool, Hash: -1}, SnapID: object.NoSnap,
	}}
}

func benchmarkWrite(b *testing.B, objects int) {
	s := &nullStore{}
	p, env, sess := benchPG(b, s)
	now := time.Unix(1, 0)
	names := make([]string, objects)
	for i := range names {
		names[i] = fmt.Sprintf("benchmark_data_vm_14955_object%d", i)
	}
	data := buffer.Alloc(4096)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		op := msg.Op{Code: msg.OpWrite, In: data.Retain()}
		op.SetExtent(0, 4096)
		p.Step(now, benchRequest(sess, uint64(i+1), names[i%objects], []msg.Op{op}))
		r := env.Ready()
		if len(r.Writes) != 1 || len(r.Writes[0].Replies) != 1 {
			b.Fatal(r)
		}
		token := r.Writes[0].Token
		r.Writes[0].Txn.Release()
		p.Step(now, Committed{Token: token})
		env.Ready()
	}
}

func BenchmarkWrite4K(b *testing.B)    { benchmarkWrite(b, 64) }
func BenchmarkWrite4KNew(b *testing.B) { benchmarkWrite(b, 1<<16) }

func BenchmarkRead4K(b *testing.B) {
	s := &nullStore{attrs: map[object.ID][]byte{}, block: buffer.Alloc(4096)}
	p, env, sess := benchPG(b, s)
	now := time.Unix(1, 0)
	const objects = 64
	names := make([]string, objects)
	for i := range names {
		names[i] = fmt.Sprintf("benchmark_data_vm_14955_object%d", i)
		op := msg.Op{Code: msg.OpWrite, In: buffer.Wrap(make([]byte, 4096))}
		op.SetExtent(0, 4096)
		p.Step(now, benchRequest(sess, uint64(i+1), names[i], []msg.Op{op}))
		for _, w := range env.Ready().Writes {
			p.Step(now, Committed{Token: w.Token})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		op := msg.Op{Code: msg.OpRead}
		op.SetExtent(0, 4096)
		p.Step(now, benchRequest(sess, uint64(i+1), names[i%objects], []msg.Op{op}))
		if r := env.Ready(); len(r.Sends) != 1 {
			b.Fatal(r)
		}
	}
}
