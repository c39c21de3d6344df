package clsrbd

import "testing"

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{DataObject(DataPrefix("3759cace2e2d", -1), 0x1f), "rbd_data.3759cace2e2d.000000000000001f"},
		{DataObject(DataPrefix("3759cace2e2d", 12), 1<<63|10), "rbd_data.12.3759cace2e2d.800000000000000a"},
		{ObjectMapName("a", HeadSnap), "rbd_object_map.a"},
		{ObjectMapName("a", 4), "rbd_object_map.a.0000000000000004"},
		{Header("a"), "rbd_header.a"},
		{IDObject("img"), "rbd_id.img"},
		{FormerHeader("img"), "img.rbd"},
		{DefaultFeatures.String(), "layering,exclusive-lock,object-map,fast-diff,deep-flatten"},
		{Flag(3).Names()[0] + ", " + Flag(3).Names()[1], "object map invalid, fast diff invalid"},
		{OpFeature(AllOpFeatures).Names()[3], "snap-trash"},
		{SnapTrashed.String(), "trash"},
		{SnapType(9).String(), "unknown (9)"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if DefaultFeatures != 61 || Incompatible != 1<<0|1<<1|1<<7|1<<11 {
		t.Errorf("features %d, incompatible %#x", DefaultFeatures, Incompatible)
	}
	for _, n := range Feature(AllFeatures).Names() {
		if f, ok := ParseFeature(n); !ok || len(f.Names()) != 1 || f.Names()[0] != n {
			t.Errorf("feature %q is %v", n, f)
		}
	}
	if _, ok := ParseFeature("nonsense"); ok {
		t.Error("nonsense is a feature")
	}
}
