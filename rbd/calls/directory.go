package calls

import (
	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/wire"
)

// Names: methods of clsrbd.IDObject(name), clsrbd.Directory, clsrbd.Namespaces
// and clsrbd.Trash.

// GetID asks the object of a name for the image's id.
func GetID() Read[string] { return read("get_id", nil, getStr) }

// SetID sets it, once. EEXIST: it is set.
func SetID(id string) Write { return write("set_id", str(id)) }

// AddImage adds an image to the directory. EEXIST: the name is taken; EBADF:
// the id is.
func AddImage(name, id string) Write { return write("dir_add_image", str(name, id)) }

// RemoveImage removes it. ENOENT: it is not there; ESTALE: it has another id.
func RemoveImage(name, id string) Write { return write("dir_remove_image", str(name, id)) }

// RenameImage changes the name. ESTALE: it has another id; EBADF: the new name
// is taken.
func RenameImage(from, to, id string) Write {
	return write("dir_rename_image", str(from, to, id))
}

// GetImageID asks the directory for the id of a name.
func GetImageID(name string) Read[string] { return read("dir_get_id", str(name), getStr) }

// GetImageName asks the directory for the name of an id; the directory of
// groups answers, too.
func GetImageName(id string) Read[string] { return read("dir_get_name", str(id), getStr) }

func list(after string, limit uint64) func(*wire.Encoder) {
	return func(e *wire.Encoder) { e.Str(after); e.U64(limit) }
}

// ListImages asks the directory for up to limit names after one, with ids.
func ListImages(after string, limit uint64) Read[map[string]string] {
	return read("dir_list", list(after, limit), func(d *wire.Decoder) map[string]string {
		return wire.DecodeMap(d, 8, func() (string, string) { return d.Str(), d.Str() })
	})
}

// DirectoryState tells whether a namespace may get new images
// (cls::rbd::DirectoryState).
type DirectoryState uint8

const (
	DirectoryReady DirectoryState = iota
	DirectoryAddDisabled
)

// AssertDirectory fails with EBUSY if the directory has another state.
func AssertDirectory(s DirectoryState) Read[struct{}] {
	return read("dir_state_assert", func(e *wire.Encoder) { e.U8(uint8(s)) }, func(*wire.Decoder) struct{} { return struct{}{} })
}

// SetDirectory sets it. EBUSY: there are images.
func SetDirectory(s DirectoryState) Write {
	return write("dir_state_set", func(e *wire.Encoder) { e.U8(uint8(s)) })
}

// AddNamespace adds a namespace to the pool's. EEXIST: it is there.
func AddNamespace(name string) Write { return write("namespace_add", str(name)) }

// RemoveNamespace removes it. ENOENT: it is not there.
func RemoveNamespace(name string) Write { return write("namespace_remove", str(name)) }

// ListNamespaces asks for up to limit names after one.
func ListNamespaces(after string, limit uint64) Read[[]string] {
	return read("namespace_list", list(after, limit), func(d *wire.Decoder) []string { return wire.DecodeSlice(d, 4, d.Str) })
}

// AddTrash notes an image in the trash. EEXIST: it is there.
func AddTrash(id string, t clsrbd.TrashSpec) Write {
	return write("trash_add", func(e *wire.Encoder) { e.Str(id); t.Encode(e) })
}

// RemoveTrash removes it. ENOENT: it is not there.
func RemoveTrash(id string) Write { return write("trash_remove", str(id)) }

// GetTrash asks for one.
func GetTrash(id string) Read[clsrbd.TrashSpec] {
	return read("trash_get", str(id), func(d *wire.Decoder) (t clsrbd.TrashSpec) {
		t.Decode(d)
		return t
	})
}

// ListTrash asks for up to limit images whose ids come after one.
func ListTrash(after string, limit uint64) Read[map[string]clsrbd.TrashSpec] {
	return read("trash_list", list(after, limit), func(d *wire.Decoder) map[string]clsrbd.TrashSpec {
		return wire.DecodeMap(d, 4+6+22, func() (id string, t clsrbd.TrashSpec) {
			id = d.Str()
			t.Decode(d)
			return id, t
		})
	})
}

// SetTrashState changes the state of one. ESTALE: it is not what was expected.
func SetTrashState(id string, state, expected clsrbd.TrashState) Write {
	return write("trash_state_set", func(e *wire.Encoder) {
		e.Str(id)
		e.U8(uint8(state))
		e.U8(uint8(expected))
	})
}

// RemoveMirrorImage forgets, in clsrbd.Mirroring, that an image is mirrored.
// ENOENT: it is not.
func RemoveMirrorImage(id string) Write { return write("mirror_image_remove", str(id)) }
