package calls

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/clsrbd"
	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/wire"
)

// captured is a call that stock librbd made and a stock OSD answered.
type captured struct {
	Method, In, Out string
	Result          int
}

func load(t testing.TB) []captured {
	t.Helper()
	f, err := os.Open("testdata/calls.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []captured
	for s := bufio.NewScanner(f); s.Scan(); {
		var c captured
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// call is what this package makes of the arguments of a captured call.
type call struct {
	method string
	in     []byte
	decode func([]byte) (any, error)
}

func reads[T any](r Read[T]) call {
	return call{r.Method, r.In, func(b []byte) (any, error) { return r.Decode(b) }}
}

func writes(w Write) call { return call{w.Method, w.In, nil} }

// remake reads the arguments of a method and words the call again.
var remake = map[string]func(d *wire.Decoder) call{
	"create": func(d *wire.Decoder) call {
		return writes(Create(d.U64(), d.U8(), clsrbd.Feature(d.U64()), d.Str(), d.S64()))
	},
	"get_size":          func(d *wire.Decoder) call { return reads(GetSize(d.U64())) },
	"set_size":          func(d *wire.Decoder) call { return writes(SetSize(d.U64())) },
	"get_object_prefix": func(d *wire.Decoder) call { return reads(GetObjectPrefix()) },
	"get_data_pool":     func(d *wire.Decoder) call { return reads(GetDataPool()) },
	"get_features": func(d *wire.Decoder) call {
		d.U64()
		return reads(GetFeatures(d.Bool()))
	},
	"set_features": func(d *wire.Decoder) call {
		return writes(SetFeatures(clsrbd.Feature(d.U64()), clsrbd.Feature(d.U64())))
	},
	"get_all_features": func(d *wire.Decoder) call { return reads(GetAllFeatures()) },
	"op_features_get":  func(d *wire.Decoder) call { return reads(GetOpFeatures()) },
	"op_features_set": func(d *wire.Decoder) call {
		return writes(SetOpFeatures(clsrbd.OpFeature(d.U64()), clsrbd.OpFeature(d.U64())))
	},
	"get_flags": func(d *wire.Decoder) call { return reads(GetFlags(d.U64())) },
	"set_flags": func(d *wire.Decoder) call {
		f, m := clsrbd.Flag(d.U64()), clsrbd.Flag(d.U64())
		return writes(SetFlags(d.U64(), f, m))
	},
	"get_create_timestamp": func(d *wire.Decoder) call { return reads(GetTimestamp(Created)) },
	"get_access_timestamp": func(d *wire.Decoder) call { return reads(GetTimestamp(Accessed)) },
	"get_modify_timestamp": func(d *wire.Decoder) call { return reads(GetTimestamp(Modified)) },
	"set_access_timestamp": func(d *wire.Decoder) call { return writes(SetTimestamp(Accessed)) },
	"set_modify_timestamp": func(d *wire.Decoder) call { return writes(SetTimestamp(Modified)) },
	"metadata_get":         func(d *wire.Decoder) call { return reads(GetMetadata(d.Str())) },
	"metadata_set": func(d *wire.Decoder) call {
		return writes(SetMetadata(wire.DecodeMap(d, 8, func() (string, []byte) { return d.Str(), d.Blob() })))
	},
	"metadata_remove": func(d *wire.Decoder) call { return writes(RemoveMetadata(d.Str())) },
	"metadata_list":   func(d *wire.Decoder) call { return reads(ListMetadata(d.Str(), d.U64())) },
	"image_group_get": func(d *wire.Decoder) call { return reads(GetImageGroup()) },

	"get_snapcontext": func(d *wire.Decoder) call { return reads(GetSnapContext()) },
	"snapshot_get":    func(d *wire.Decoder) call { return reads(GetSnapshot(d.U64())) },
	"snapshot_add": func(d *wire.Decoder) call {
		name, id := d.Str(), d.U64()
		var ns clsrbd.SnapNamespace
		ns.Decode(d)
		return writes(AddSnapshot(id, name, ns))
	},
	"snapshot_remove":       func(d *wire.Decoder) call { return writes(RemoveSnapshot(d.U64())) },
	"snapshot_trash_add":    func(d *wire.Decoder) call { return writes(TrashSnapshot(d.U64())) },
	"snapshot_get_limit":    func(d *wire.Decoder) call { return reads(GetSnapshotLimit()) },
	"snapshot_set_limit":    func(d *wire.Decoder) call { return writes(SetSnapshotLimit(d.U64())) },
	"get_protection_status": func(d *wire.Decoder) call { return reads(GetProtection(d.U64())) },
	"set_protection_status": func(d *wire.Decoder) call { return writes(SetProtection(d.U64(), clsrbd.Protection(d.U8()))) },

	"parent_get":         func(d *wire.Decoder) call { return reads(GetParent()) },
	"parent_overlap_get": func(d *wire.Decoder) call { return reads(GetOverlap(d.U64())) },
	"parent_attach": func(d *wire.Decoder) call {
		var p clsrbd.ParentSpec
		p.Decode(d)
		return writes(AttachParent(p, d.U64(), d.Bool()))
	},
	"parent_detach": func(d *wire.Decoder) call { return writes(DetachParent()) },
	"add_child":     func(d *wire.Decoder) call { return writes(AddChild(oldParent(d), d.Str())) },
	"remove_child":  func(d *wire.Decoder) call { return writes(RemoveChild(oldParent(d), d.Str())) },
	"get_children":  func(d *wire.Decoder) call { return reads(GetChildren(oldParent(d))) },
	"child_attach": func(d *wire.Decoder) call {
		snap := d.U64()
		var c clsrbd.ChildSpec
		c.Decode(d)
		return writes(AttachChild(snap, c))
	},
	"children_list": func(d *wire.Decoder) call { return reads(ListChildren(d.U64())) },

	"get_id":              func(d *wire.Decoder) call { return reads(GetID()) },
	"set_id":              func(d *wire.Decoder) call { return writes(SetID(d.Str())) },
	"dir_add_image":       func(d *wire.Decoder) call { return writes(AddImage(d.Str(), d.Str())) },
	"dir_remove_image":    func(d *wire.Decoder) call { return writes(RemoveImage(d.Str(), d.Str())) },
	"dir_rename_image":    func(d *wire.Decoder) call { return writes(RenameImage(d.Str(), d.Str(), d.Str())) },
	"dir_get_id":          func(d *wire.Decoder) call { return reads(GetImageID(d.Str())) },
	"dir_get_name":        func(d *wire.Decoder) call { return reads(GetImageName(d.Str())) },
	"dir_list":            func(d *wire.Decoder) call { return reads(ListImages(d.Str(), d.U64())) },
	"dir_state_assert":    func(d *wire.Decoder) call { return reads(AssertDirectory(DirectoryState(d.U8()))) },
	"dir_state_set":       func(d *wire.Decoder) call { return writes(SetDirectory(DirectoryState(d.U8()))) },
	"namespace_add":       func(d *wire.Decoder) call { return writes(AddNamespace(d.Str())) },
	"namespace_remove":    func(d *wire.Decoder) call { return writes(RemoveNamespace(d.Str())) },
	"namespace_list":      func(d *wire.Decoder) call { return reads(ListNamespaces(d.Str(), d.U64())) },
	"mirror_image_remove": func(d *wire.Decoder) call { return writes(RemoveMirrorImage(d.Str())) },
	"trash_add": func(d *wire.Decoder) call {
		id := d.Str()
		var s clsrbd.TrashSpec
		s.Decode(d)
		return writes(AddTrash(id, s))
	},
	"trash_remove": func(d *wire.Decoder) call { return writes(RemoveTrash(d.Str())) },
	"trash_get":    func(d *wire.Decoder) call { return reads(GetTrash(d.Str())) },
	"trash_list":   func(d *wire.Decoder) call { return reads(ListTrash(d.Str(), d.U64())) },
	"trash_state_set": func(d *wire.Decoder) call {
		return writes(SetTrashState(d.Str(), clsrbd.TrashState(d.U8()), clsrbd.TrashState(d.U8())))
	},

	"object_map_load":   func(d *wire.Decoder) call { return reads(LoadObjectMap()) },
	"object_map_save":   func(d *wire.Decoder) call { return writes(SaveObjectMap(bits(d))) },
	"object_map_resize": func(d *wire.Decoder) call { return writes(ResizeObjectMap(d.U64(), d.U8())) },
	"object_map_update": func(d *wire.Decoder) call {
		begin, end, state, expected := d.U64(), d.U64(), d.U8(), AnyState
		if d.Bool() {
			expected = int(d.U8())
		}
		return writes(UpdateObjectMap(begin, end, state, expected))
	},
	"object_map_snap_add":    func(d *wire.Decoder) call { return writes(CleanObjectMap()) },
	"object_map_snap_remove": func(d *wire.Decoder) call { return writes(MergeObjectMap(bits(d))) },
}

func oldParent(d *wire.Decoder) clsrbd.ParentSpec {
	return clsrbd.ParentSpec{Pool: d.S64(), Image: d.Str(), Snap: d.U64()}
}

func bits(d *wire.Decoder) *clsrbd.BitVector {
	v := new(clsrbd.BitVector)
	v.Decode(d)
	return v
}

// TestCaptured words every captured call again, to the byte, and reads its
// output to the last byte.
func TestCaptured(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range load(t) {
		method, ok := strings.CutPrefix(c.Method, "rbd.")
		again := remake[method]
		if !ok || again == nil {
			continue
		}
		seen[method] = true
		in, _ := hex.DecodeString(c.In)
		d := wire.NewDecoder(in)
		got := again(d)
		if err := d.Finish(); err != nil {
			t.Errorf("%s %s: %v", c.Method, c.In, err)
		} else if got.method != method || hex.EncodeToString(got.in) != c.In {
			t.Errorf("%s %s: %s %x", c.Method, c.In, got.method, got.in)
		}
		if c.Result < 0 || got.decode == nil {
			continue
		}
		out, _ := hex.DecodeString(c.Out)
		if v, err := got.decode(out); err != nil {
			t.Errorf("%s returned %s: %v", c.Method, c.Out, err)
		} else if want, ok := values[c.Method+" "+c.In]; ok && fmt.Sprintf("%+v", v) != want {
			t.Errorf("%s %s: %+v, want %s", c.Method, c.In, v, want)
		}
		if len(out) == 0 {
			continue
		}
		if v, err := got.decode(out[:len(out)-1]); !errors.Is(err, errno.EBADMSG) {
			t.Errorf("%s returned %s without the last byte: %v, %v", c.Method, c.Out, v, err)
		}
	}
	for m := range remake {
		if !seen[m] {
			t.Errorf("rbd.%s was not captured", m)
		}
	}
}

// values are results of captured calls, by method and input.
var values = map[string]string{
	"rbd.get_size 0800000000000000":           "{Order:22 Bytes:16777216}",
	"rbd.children_list 0600000000000000":      "[{Pool:6 Image:1199ab76a54f Namespace:}]",
	"rbd.parent_get ":                         "{Pool:-1 Namespace: Image: Snap:18446744073709551614}",
	"rbd.parent_overlap_get 0400000000000000": "{Known:false Bytes:0}",
	"rbd.image_group_get ":                    "{Pool:-1 ID:}",
	"rbd.get_all_features ":                   "layering,striping,exclusive-lock,object-map,fast-diff,deep-flatten,journaling,data-pool,operations,migrating,non-primary,dirty-cache",
}

func FuzzDecode(f *testing.F) {
	for _, c := range load(f) {
		b, _ := hex.DecodeString(c.Out)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []func([]byte) (any, error){
			reads(GetSnapContext()).decode, reads(GetSnapshot(0)).decode, reads(ListChildren(0)).decode, reads(GetChildren(clsrbd.NoParent)).decode,
			reads(ListMetadata("", 0)).decode, reads(ListImages("", 0)).decode, reads(ListTrash("", 0)).decode, reads(LoadObjectMap()).decode,
			reads(GetOverlap(0)).decode, reads(ListNamespaces("", 0)).decode,
		} {
			if _, err := r(b); err != nil && !errors.Is(err, errno.EBADMSG) {
				t.Fatalf("%x: %v", b, err)
			}
		}
	})
}
