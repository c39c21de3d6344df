package osd

import (
	"github.com/pulpo-storage/pulpo/osd/objclass"
	"github.com/pulpo-storage/pulpo/osd/objclass/cas"
	"github.com/pulpo-storage/pulpo/osd/objclass/hello"
	"github.com/pulpo-storage/pulpo/osd/objclass/journal"
	"github.com/pulpo-storage/pulpo/osd/objclass/lock"
	"github.com/pulpo-storage/pulpo/osd/objclass/log"
	"github.com/pulpo-storage/pulpo/osd/objclass/numops"
	"github.com/pulpo-storage/pulpo/osd/objclass/rbd"
	"github.com/pulpo-storage/pulpo/osd/objclass/refcount"
	"github.com/pulpo-storage/pulpo/osd/objclass/timeindex"
	"github.com/pulpo-storage/pulpo/osd/objclass/user"
	"github.com/pulpo-storage/pulpo/osd/objclass/version"
)

func registerClasses(r objclass.Registry) {
	r.Register("cas", cas.Class())
	r.Register("hello", hello.Class())
	r.Register("journal", journal.Class())
	r.Register("lock", lock.Class())
	r.Register("log", log.Class())
	r.Register("numops", numops.Class())
	r.Register("rbd", rbd.Class())
	r.Register("refcount", refcount.Class())
	r.Register("timeindex", timeindex.Class())
	r.Register("user", user.Class())
	r.Register("version", version.Class())
}
