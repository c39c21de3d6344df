package calls

import (
	"time"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/wire"
)

// Methods of clsrbd.Header(id).

// Create makes the header of an image. dataPool is -1 if the data is in the
// header's pool. EEXIST: there is one; ENOSYS: unknown features.
func Create(size uint64, order uint8, features clsrbd.Feature, prefix string, dataPool int64) Write {
	return write("create", func(e *wire.Encoder) {
		e.U64(size)
		e.U8(order)
		e.U64(uint64(features))
		e.Str(prefix)
		e.S64(dataPool)
	})
}

// Size is a size in bytes, and of objects as a power of two.
type Size struct {
	Order uint8
	Bytes uint64
}

// GetSize asks for the size now (clsrbd.HeadSnap) or at a snapshot.
func GetSize(snap uint64) Read[Size] {
	return read("get_size", u64(snap), func(d *wire.Decoder) Size { return Size{d.U8(), d.U64()} })
}

// SetSize changes it.
func SetSize(bytes uint64) Write { return write("set_size", u64(bytes)) }

// GetObjectPrefix asks for what the names of data objects begin with.
func GetObjectPrefix() Read[string] { return read("get_object_prefix", nil, getStr) }

// GetDataPool asks for the pool of the data objects, -1 for the image's.
func GetDataPool() Read[int64] {
	return read("get_data_pool", nil, func(d *wire.Decoder) int64 { return d.S64() })
}

// Features are those of an image, and of them those that one who opens it so
// must know.
type Features struct{ All, Incompatible clsrbd.Feature }

// GetFeatures asks for the features.
func GetFeatures(readOnly bool) Read[Features] {
	return read("get_features", func(e *wire.Encoder) {
		e.U64(clsrbd.HeadSnap)
		e.Bool(readOnly)
	}, func(d *wire.Decoder) Features { return Features{clsrbd.Feature(d.U64()), clsrbd.Feature(d.U64())} })
}

// SetFeatures changes those features that are in mask.
func SetFeatures(features, mask clsrbd.Feature) Write {
	return write("set_features", func(e *wire.Encoder) {
		e.U64(uint64(features))
		e.U64(uint64(mask))
	})
}

// GetAllFeatures asks the cluster, at any object, which features it knows.
func GetAllFeatures() Read[clsrbd.Feature] {
	return read("get_all_features", nil, func(d *wire.Decoder) clsrbd.Feature { return clsrbd.Feature(d.U64()) })
}

// GetOpFeatures asks what has been done with the image.
func GetOpFeatures() Read[clsrbd.OpFeature] {
	return read("op_features_get", nil, func(d *wire.Decoder) clsrbd.OpFeature { return clsrbd.OpFeature(d.U64()) })
}

// SetOpFeatures changes those in mask.
func SetOpFeatures(features, mask clsrbd.OpFeature) Write {
	return write("op_features_set", func(e *wire.Encoder) {
		e.U64(uint64(features))
		e.U64(uint64(mask))
	})
}

// GetFlags asks for the flags now (clsrbd.HeadSnap) or of a snapshot.
func GetFlags(snap uint64) Read[clsrbd.Flag] {
	return read("get_flags", u64(snap), func(d *wire.Decoder) clsrbd.Flag { return clsrbd.Flag(d.U64()) })
}

// SetFlags changes those in mask.
func SetFlags(snap uint64, flags, mask clsrbd.Flag) Write {
	return write("set_flags", func(e *wire.Encoder) {
		e.U64(uint64(flags))
		e.U64(uint64(mask))
		e.U64(snap)
	})
}

// Stripes is how an image is striped.
type Stripes struct{ Unit, Count uint64 }

// GetStripes asks for it. ENOEXEC: the image has not the feature.
func GetStripes() Read[Stripes] {
	return read("get_stripe_unit_count", nil, func(d *wire.Decoder) Stripes { return Stripes{d.U64(), d.U64()} })
}

// SetStripes sets it, when the image is made.
func SetStripes(s Stripes) Write {
	return write("set_stripe_unit_count", func(e *wire.Encoder) {
		e.U64(s.Unit)
		e.U64(s.Count)
	})
}

// Timestamp is one of three that headers have.
type Timestamp string

const (
	Created  Timestamp = "create_timestamp"
	Accessed Timestamp = "access_timestamp"
	Modified Timestamp = "modify_timestamp"
)

// GetTimestamp asks for a timestamp, zero if there is none.
func GetTimestamp(which Timestamp) Read[time.Time] {
	return read("get_"+string(which), nil, func(d *wire.Decoder) time.Time { return d.Time() })
}

// SetTimestamp sets Accessed or Modified to the OSD's time.
func SetTimestamp(which Timestamp) Write { return write("set_"+string(which), nil) }

// GetMetadata asks for a value. ENOENT: there is none.
func GetMetadata(key string) Read[[]byte] {
	return read("metadata_get", str(key), func(d *wire.Decoder) []byte { return d.Blob() })
}

// SetMetadata sets values.
func SetMetadata(values map[string][]byte) Write {
	return write("metadata_set", func(e *wire.Encoder) {
		wire.EncodeMap(e, values, func(k string, v []byte) { e.Str(k); e.Blob(v) })
	})
}

// RemoveMetadata removes a value.
func RemoveMetadata(key string) Write { return write("metadata_remove", str(key)) }

// ListMetadata asks for up to limit values whose keys come after one.
func ListMetadata(after string, limit uint64) Read[map[string][]byte] {
	return read("metadata_list", func(e *wire.Encoder) {
		e.Str(after)
		e.U64(limit)
	}, func(d *wire.Decoder) map[string][]byte {
		return wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() })
	})
}

// GetImageGroup asks which group of images it is in.
func GetImageGroup() Read[clsrbd.GroupSpec] {
	return read("image_group_get", nil, func(d *wire.Decoder) (g clsrbd.GroupSpec) {
		g.Decode(d)
		return g
	})
}
