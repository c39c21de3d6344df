package osd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/objclass/hello"
	"github.com/pulpo-storage/pulpo/osd/objclass/lock"
	"github.com/pulpo-storage/pulpo/osd/objclass/rbd"
	"github.com/pulpo-storage/pulpo/osd/objclass/refcount"
	"github.com/pulpo-storage/pulpo/osd/objclass/version"
)

func registerClasses(r objclass.Registry) {
	r.Register("hello", hello.Class())
	r.Register("lock", lock.Class())
	r.Register("rbd", rbd.Class())
	r.Register("refcount", refcount.Class())
	r.Register("version", version.Class())
}
