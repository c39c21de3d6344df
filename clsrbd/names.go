package clsrbd

import (
	"fmt"
	"strconv"
	"strings"
)

// Objects of which a pool (or a namespace of it) has one.
const (
	Directory      = "rbd_directory"
	Children       = "rbd_children"
	Trash          = "rbd_trash"
	Info           = "rbd_info"
	Namespaces     = "rbd_namespace"
	Mirroring      = "rbd_mirroring"
	GroupDirectory = "rbd_group_directory"
)

// Validated is what Info contains in a pool that was made ready for images.
const Validated = "overwrite validated"

// IDObject is the object that says which id the image of a name has.
func IDObject(name string) string { return "rbd_id." + name }

// FormerHeader is the header of an image of format 1.
func FormerHeader(name string) string { return name + ".rbd" }

// Header is the object with an image's description; it is also what clients
// lock and watch.
func Header(id string) string { return "rbd_header." + id }

// GroupHeader is Header for a group of images.
func GroupHeader(id string) string { return "rbd_group_header." + id }

// DataPrefix is the object prefix of an image, with which its data objects'
// names begin. With the data in another pool (poolID is not -1) it names the
// image's pool, for ids are unique in a pool only.
func DataPrefix(id string, poolID int64) string {
	if poolID < 0 {
		return "rbd_data." + id
	}
	return "rbd_data." + strconv.FormatInt(poolID, 10) + "." + id
}

// DataObject is the name of data object n of a prefix.
func DataObject(prefix string, n uint64) string {
	const digits = "0123456789abcdef"
	var num [17]byte
	num[0] = '.'
	for i := 16; i > 0; i-- {
		num[i] = digits[n&15]
		n >>= 4
	}
	return prefix + string(num[:])
}

// ObjectMapName is the object with an image's object map at a snapshot, or
// (HeadSnap) as it is now.
func ObjectMapName(id string, snap uint64) string {
	name := "rbd_object_map." + id
	if snap == HeadSnap {
		return name
	}
	return name + fmt.Sprintf(".%016x", snap)
}

// HeadSnap is the snapshot id of the image as it is now (CEPH_NOSNAP).
const HeadSnap = ^uint64(1)

// LockName is the lock on a header that the owner of an image holds, and on an
// object map who may change it (RBD_LOCK_NAME).
const LockName = "rbd_lock"

// Feature is what an image can do that old clients do not know
// (RBD_FEATURE_*).
type Feature uint64

const (
	Layering Feature = 1 << iota
	StripingV2
	ExclusiveLock
	ObjectMap
	FastDiff
	DeepFlatten
	Journaling
	DataPool
	Operations // there are OpFeatures
	Migrating
	NonPrimary
	DirtyCache
)

// Features that have a meaning; of them those without which a client must not
// open an image at all, or not to write.
const (
	AllFeatures    = 1<<12 - 1
	Incompatible   = Layering | StripingV2 | DataPool | DirtyCache
	RWIncompatible = Incompatible | ExclusiveLock | ObjectMap | FastDiff | DeepFlatten | Journaling | Operations | Migrating | NonPrimary

	// DefaultFeatures is what images are made with (rbd_default_features).
	DefaultFeatures = Layering | ExclusiveLock | ObjectMap | FastDiff | DeepFlatten
	// MutableFeatures can be switched on later, DisableFeatures off.
	MutableFeatures = ExclusiveLock | ObjectMap | FastDiff | Journaling | NonPrimary | DirtyCache
	DisableFeatures = MutableFeatures | DeepFlatten
	// InternalFeatures are set by the methods, not by users.
	InternalFeatures = Operations | Migrating
	// SingleClient are the features that make ExclusiveLock worthwhile: one
	// client at a time writes.
	SingleClient = ExclusiveLock | ObjectMap | FastDiff | Journaling
)

var featureNames = []string{
	"layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling", "data-pool", "operations", "migrating", "non-primary", "dirty-cache",
}

// Names are the names of the bits, as rbd(8) prints them, lowest first.
func (f Feature) Names() []string { return bitNames(uint64(f), featureNames) }

func (f Feature) String() string { return strings.Join(f.Names(), ",") }

// ParseFeature is the feature of a name.
func ParseFeature(name string) (Feature, bool) {
	for i, n := range featureNames {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// OpFeature is what has been done with an image that old clients cannot handle
// (RBD_OPERATION_FEATURE_*).
type OpFeature uint64

const (
	CloneParent OpFeature = 1 << iota // it has clones of the second format
	CloneChild                        // it is one
	GroupMember
	SnapTrash // it has snapshots in the trash

	AllOpFeatures = 1<<4 - 1
)

// Names are the names of the bits, as rbd(8) prints them, lowest first.
func (f OpFeature) Names() []string {
	return bitNames(uint64(f), []string{"clone-parent", "clone-child", "group", "snap-trash"})
}

// Flag is a warning on an image or a snapshot (RBD_FLAG_*).
type Flag uint64

const (
	ObjectMapInvalid Flag = 1 << iota // the object map may say nothing where there is something
	FastDiffInvalid
)

// Names are the names of the bits, as rbd(8) prints them, lowest first.
func (f Flag) Names() []string {
	return bitNames(uint64(f), []string{"object map invalid", "fast diff invalid"})
}

func bitNames(v uint64, names []string) []string {
	out := []string{}
	for i, n := range names {
		if v>>i&1 != 0 {
			out = append(out, n)
		}
	}
	return out
}
