package scrub

import "github.com/pulpo-storage/pulpo/object"

// Format reads what a group writes down of its objects.
type Format interface {
	// Info reads the attribute [AttrInfo] of an object.
	Info(raw []byte) (Info, error)
	// SnapSet reads the attribute [AttrSnaps] of a head.
	SnapSet(raw []byte) (SnapSet, error)
	// ForClients is the attributes of an object in the form and under the names
	// in which Ceph keeps them; librados' users take them apart. A head has a set
	// of clones there in any case, unless it has no attributes at all.
	ForClients(id object.ID, attrs map[string][]byte) map[string][]byte
}

// Info is what a scrub must know of an object's info.
type Info struct {
	Version     object.Version
	UserVersion uint64
	Size        uint64
	Whiteout    bool // it is there for its clones only
	Omap        bool // it has or had an omap
	Text        string
}

// SnapSet is what a head knows of its clones.
type SnapSet struct {
	Seq    object.SnapID
	Clones []Clone // ascending
}

// Clone is a clone as its head knows it.
type Clone struct {
	ID    object.SnapID
	Size  uint64 // bytes
	Alone int64  // of those, what no newer version shares
}

// Names under which Ceph keeps the attributes [AttrInfo] and [AttrSnaps].
const (
	ClientInfo  = "_"
	ClientSnaps = "snapset"
)
