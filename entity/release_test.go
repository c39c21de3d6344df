package entity

import "testing"

func TestReleaseOf(t *testing.T) {
	const pacific = 0x3f01cfbdfffdffff // of a stock 16.2 client
	if r := ReleaseOf(pacific); r != Luminous {
		t.Errorf("a client of pacific looks like %v", r)
	}
	for r := Release(1); r < Release(len(releases)); r++ {
		if missing := r.ClientFeatures() &^ pacific; missing != 0 {
			t.Errorf("a client of pacific lacks %#x of %v", missing, r)
		}
		// What has the features of a release is of no older one that differs from it.
		if got := ReleaseOf(r.ClientFeatures()); got > r || got.ClientFeatures() != r.ClientFeatures() {
			t.Errorf("the features of %v are those of %v", r, got)
		}
	}
	if r := ReleaseOf(pacific &^ (1 << 59)); r.String() != "jewel" {
		t.Errorf("a client without msgr2's addresses looks like %v", r)
	}
}
