package entity

import "testing"

func TestUUID(t *testing.T) {
	t.Parallel()
	const s = "85beb323-7511-4fff-be4d-017e31e9371e"
	u, err := ParseUUID(s)
	if err != nil || u.String() != s || u.IsZero() || u[0] != 0x85 || u[15] != 0x1e {
		t.Errorf("%v %v", u, err)
	}
	if v, err := ParseUUID("85BEB323-7511-4FFF-BE4D-017E31E9371E"); err != nil || v != u {
		t.Errorf("upper case: %v %v", v, err)
	}
	for _, bad := range []string{"", s[1:], s + "0", "85beb32307511-4fff-be4d-017e31e9371e", "85beb32g-7511-4fff-be4d-017e31e9371e"} {
		if v, err := ParseUUID(bad); err == nil {
			t.Errorf("%q parsed as %v", bad, v)
		}
	}
}
