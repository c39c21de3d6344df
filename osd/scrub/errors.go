package scrub

import "strings"

// ShardErrors is what is wrong with one copy of an object (librados err_t), with
// librados' numbers.
type ShardErrors uint64

const (
	ShardMissing          ShardErrors = 1 << 1
	ShardStatError        ShardErrors = 1 << 2
	ShardReadError        ShardErrors = 1 << 3
	ShardDataDigestInfo   ShardErrors = 1 << 9
	ShardOmapDigestInfo   ShardErrors = 1 << 10
	ShardSizeInfo         ShardErrors = 1 << 11 // its size is not that in the info of the right copy
	ShardInfoMissing      ShardErrors = 1 << 14
	ShardInfoCorrupted    ShardErrors = 1 << 15
	ShardSnapSetMissing   ShardErrors = 1 << 16
	ShardSnapSetCorrupted ShardErrors = 1 << 17
	ShardObjSizeInfo      ShardErrors = 1 << 18 // its size is not that in its own info

	deepShard = ShardReadError | ShardDataDigestInfo | ShardOmapDigestInfo
)

// ObjectErrors is how copies of an object differ, where it is not said which is
// wrong (librados obj_err_t).
type ObjectErrors uint64

const (
	ObjectInfoInconsistency    ObjectErrors = 1 << 1
	ObjectDataDigest           ObjectErrors = 1 << 4
	ObjectOmapDigest           ObjectErrors = 1 << 5
	ObjectSize                 ObjectErrors = 1 << 6
	ObjectAttrValue            ObjectErrors = 1 << 7
	ObjectAttrName             ObjectErrors = 1 << 8
	ObjectSnapSetInconsistency ObjectErrors = 1 << 9

	deepObject = ObjectDataDigest | ObjectOmapDigest
)

// SnapErrors is what is wrong between a head and its clones (librados
// inconsistent_snapset_t).
type SnapErrors uint64

const (
	SnapSetMissing      SnapErrors = 1 << 0
	SnapSetCorrupted    SnapErrors = 1 << 1
	SnapCloneMissing    SnapErrors = 1 << 2
	SnapSetInconsistent SnapErrors = 1 << 3
	SnapHeadless        SnapErrors = 1 << 5
	SnapSizeMismatch    SnapErrors = 1 << 6
	SnapInfoMissing     SnapErrors = 1 << 7
	SnapInfoCorrupted   SnapErrors = 1 << 8
	SnapExtraClones     SnapErrors = 1 << 9
)

type name[T ~uint64] struct {
	bit  T
	name string
}

func names[T ~uint64](set T, all []name[T]) string {
	var words []string
	for _, n := range all {
		if set&n.bit != 0 {
			words = append(words, n.name)
		}
	}
	return strings.Join(words, ",")
}

// String names the errors as "rados list-inconsistent-obj" does.
func (s ShardErrors) String() string {
	return names(s, []name[ShardErrors]{
		{ShardMissing, "missing"}, {ShardStatError, "stat_error"}, {ShardReadError, "read_error"},
		{ShardDataDigestInfo, "data_digest_mismatch_info"}, {ShardOmapDigestInfo, "omap_digest_mismatch_info"},
		{ShardSizeInfo, "size_mismatch_info"}, {ShardInfoMissing, "info_missing"}, {ShardInfoCorrupted, "info_corrupted"},
		{ShardObjSizeInfo, "obj_size_info_mismatch"}, {ShardSnapSetMissing, "snapset_missing"}, {ShardSnapSetCorrupted, "snapset_corrupted"},
	})
}

func (s ObjectErrors) String() string {
	return names(s, []name[ObjectErrors]{
		{ObjectInfoInconsistency, "object_info_inconsistency"}, {ObjectDataDigest, "data_digest_mismatch"},
		{ObjectOmapDigest, "omap_digest_mismatch"}, {ObjectSize, "size_mismatch"}, {ObjectAttrValue, "attr_value_mismatch"},
		{ObjectAttrName, "attr_name_mismatch"}, {ObjectSnapSetInconsistency, "snapset_inconsistency"},
	})
}

func (s SnapErrors) String() string {
	return names(s, []name[SnapErrors]{
		{SnapSetMissing, "snapset_missing"}, {SnapSetCorrupted, "snapset_corrupted"}, {SnapInfoMissing, "info_missing"},
		{SnapInfoCorrupted, "info_corrupted"}, {SnapSetInconsistent, "snapset_error"}, {SnapHeadless, "headless"},
		{SnapSizeMismatch, "size_mismatch"}, {SnapExtraClones, "extra_clones"}, {SnapCloneMissing, "clone_missing"},
	})
}
