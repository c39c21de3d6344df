package rbd

import "testing"

func TestTables(t *testing.T) {
	t.Parallel()
	for name, m := range Class() {
		if m.Call == nil || m.Flags&(rd|wr) == 0 {
			t.Errorf("method %s: no function or no flags", name)
		}
	}
}
