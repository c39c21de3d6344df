package classes

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/osd/objclass/cas"
	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

const (
	enomsg  = -42
	enolink = -67
)

func init() {
	families = append(families, family{"cas", "cas", cas.Class(), casScenario})
}

func casScenario(s *scenario) {
	ref := func(pool int64, name string) object.ID { return object.New(pool, "", "", name) }
	create := func(o object.ID, flags uint64, data string) env { return v1(o, flags, []byte(data)) }
	a, b, c := ref(1, "a"), ref(1, "b"), ref(2, "a")

	s.want(enoent, "none", "chunk_get_ref", v1(a))
	s.want(enoent, "none", "chunk_put_ref", v1(a))
	s.want(enoent, "none", "references_chunk", "x")
	s.want(ok, "k", "chunk_create_or_get_ref", create(a, 0, "data"))
	s.want(ok, "k", "chunk_create_or_get_ref", create(b, 0, "other"))
	s.want(enomsg, "k", "chunk_create_or_get_ref", create(c, 1, "other"))
	s.want(ok, "k", "chunk_create_or_get_ref", create(c, 1, "data"))
	s.want(ok, "k", "chunk_create_or_get_ref", create(a, 1, "data"))
	s.want(ok, "k", "chunk_get_ref", v1(a))
	s.want(enolink, "k", "references_chunk", "x")
	s.want(enolink, "k", "chunk_put_ref", v1(ref(3, "a")))
	for _, o := range []object.ID{a, b, a, c} {
		s.want(ok, "k", "chunk_put_ref", v1(o))
	}
	s.want(enolink, "k", "chunk_put_ref", v1(b))
	s.want(ok, "k", "chunk_put_ref", v1(a))
	s.want(enoent, "k", "chunk_put_ref", v1(a))

	s.put("plain", &classtest.State{Data: []byte("x")})
	s.want(enolink, "plain", "chunk_put_ref", v1(a))
	s.want(ok, "plain", "chunk_get_ref", v1(a))
	for _, attr := range [][]byte{{}, {1}, encode(v1(uint8(3))), encode(v1(uint8(9))), encode(env{2, 2, seq{uint8(1), v1(uint32(0))}})} {
		s.put("bad", &classtest.State{Attrs: map[string]classtest.Hex{"chunk_refs": attr}})
		s.want(eio, "bad", "chunk_get_ref", v1(a))
		s.want(eio, "bad", "chunk_put_ref", v1(a))
		s.want(eio, "bad", "chunk_create_or_get_ref", create(a, 0, ""))
	}
	s.verbatim = true
	for i := range 40 {
		s.want(ok, "many", "chunk_create_or_get_ref", create(ref(int64(i%3), fmt.Sprint(i)), 0, "d"))
	}
}
