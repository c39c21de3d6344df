// Package objclass is the contract of object classes (Ceph's cls): functions
// that a client calls on an object and that run on the OSD which holds it, as
// part of the request's transaction.
//
// A class is a set of methods under stock names with stock encodings, so that
// stock clients find what they expect. A method is a function of a [Context],
// which is the object as the request has left it so far; what it changes takes
// effect with the rest of the request or not at all, and later calls in the same
// request see it. A method has neither a clock nor a source of randomness of its
// own: given the same object and request it does the same, on every replica and
// when it is run again.
//
// No compatibility promise.
package objclass

import (
	"fmt"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
)

// Flags say what a method does, for capabilities and ordering (CLS_METHOD_*).
type Flags uint8

const (
	Read  Flags = 1
	Write Flags = 2
)

// Method is a function of a class. in is borrowed. An error's number is the
// result of the call, and ends the request.
type Method struct {
	Flags Flags
	Call  func(c Context, in []byte) (out []byte, err error)
}

// Class is a set of methods by name.
type Class map[string]Method

// Registry is the classes that an OSD knows, by name. It is filled before the
// OSD starts and not changed afterwards.
type Registry map[string]Class

// Register adds a class.
func (r Registry) Register(name string, c Class) {
	if r[name] != nil {
		panic(fmt.Sprintf("BUG: class %s registered twice", name))
	}
	r[name] = c
}

// Context is the object that a method is called on. Changes by a method without
// [Write] in its flags are refused with EIO, and so are reads without [Read].
type Context interface {
	Caller
	Data
	Xattrs
	Omap
}

// Caller is what a method may know of the request.
type Caller interface {
	// Origin is the client (cls_get_request_origin).
	Origin() (entity.Name, entity.Addr)
	// Now is when the request came.
	Now() time.Time
	// Unique returns n characters of base64 that no other request has
	// (cls_gen_rand_base64).
	Unique(n int) string
	// Position returns a new string each time, different from all that other
	// requests to the placement group get (cls_cxx_subop_version).
	Position() string
	// Log notes something for those who look after the cluster.
	Log(format string, args ...any)
}

// Data is the object itself and its bytes. All but Create and Write return
// ENOENT if it does not exist.
type Data interface {
	Stat() (size uint64, mtime time.Time, err error)
	// Watchers are those who watch the object (cls_cxx_list_watchers).
	Watchers() ([]Watcher, error)
	// Version is the user version, 0 for an object that does not exist.
	Version() uint64
	// SnapSeq is the newest snapshot that the object has heard of. One that was
	// deleted but for its clones has it, too (cls_get_snapset_seq).
	SnapSeq() (uint64, error)
	// Read returns fewer bytes at the end; n 0 means all. The bytes are the
	// caller's.
	Read(off, n uint64) ([]byte, error)
	Create(exclusive bool) error
	Remove() error
	// Write and WriteFull keep data.
	Write(off uint64, data []byte) error
	WriteFull(data []byte) error
	Truncate(size uint64) error
	Zero(off, n uint64) error
}

// Watcher is a client that watches an object. One that does so several times is
// there as often.
type Watcher struct {
	Name entity.Name
	Addr entity.Addr
}

// Xattrs are the attributes that clients see. Names have no prefix.
type Xattrs interface {
	// Xattr returns ENODATA for a missing attribute, ENOENT for an object.
	Xattr(name string) ([]byte, error)
	AllXattrs() (map[string][]byte, error)
	SetXattr(name string, value []byte) error
	RemoveXattr(name string) error
}

// Omap is the object's ordered map.
type Omap interface {
	OmapHeader() ([]byte, error)
	SetOmapHeader(h []byte) error
	// OmapValue returns ENOENT for a missing key (cls_cxx_map_get_val).
	OmapValue(key string) ([]byte, error)
	OmapValues(keys []string) (map[string][]byte, error)
	// OmapList returns up to max entries after a key, which match a prefix, and
	// whether there are more.
	OmapList(after, prefix string, max uint64) (list []Entry, more bool, err error)
	SetOmap(entries []Entry) error
	RemoveOmapKeys(keys []string) error
	RemoveOmapRange(from, to string) error
	ClearOmap() error
}

// Entry is an entry of an omap.
type Entry struct {
	Key   string
	Value []byte
}
