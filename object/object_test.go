package object

import (
	"bufio"
	"encoding/hex"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pulpo-storage/pulpo/wire"
	"pgregory.net/rapid"
)

// testdata/strings.tsv holds strings (hex) with the hashes that the functions
// of Ceph 16.2.15's own library give.
func TestHashStringAgainstCeph(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/strings.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if strings.HasPrefix(sc.Text(), "#") {
			continue
		}
		col := strings.Split(sc.Text(), "\t")
		raw, err := hex.DecodeString(strings.TrimPrefix(col[0], "-"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strconv.FormatUint(uint64(HashString(string(raw))), 10); got != col[2] {
			t.Errorf("rjenkins(%q) = %s, want %s", raw, got, col[2])
		}
		if got := strconv.FormatUint(uint64(LinuxHashString(string(raw))), 10); got != col[3] {
			t.Errorf("linux(%q) = %s, want %s", raw, got, col[3])
		}
		n++
	}
	if n < 200 {
		t.Fatalf("only %d strings", n)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	// Ascending; hash 1 reverses to the highest bit, so it comes after 2.
	ids := []ID{
		MinID,
		{Pool: 1, Hash: 2, Name: "z", Snap: NoSnap},
		{Pool: 1, Hash: 1, Name: "a", Snap: 4},
		{Pool: 1, Hash: 1, Name: "a", Snap: NoSnap},
		{Pool: 1, Hash: 1, Name: "b", Key: "a", Snap: NoSnap},
		{Pool: 1, Hash: 1, Name: "b", Snap: NoSnap},
		{Pool: 1, Hash: 1, Namespace: "n", Name: "a", Snap: NoSnap},
		{Pool: 2, Name: "a", Snap: NoSnap},
		MaxID,
	}
	for i, a := range ids {
		for j, b := range ids {
			if got, want := a.Compare(b), min(max(i-j, -1), 1); got != want {
				t.Errorf("%v compared with %v is %d, want %d", a, b, got, want)
			}
		}
	}
}

func genID(t *rapid.T) ID {
	return ID{
		Pool: rapid.Int64Range(0, 3).Draw(t, "pool"), Hash: rapid.Uint32Range(0, 3).Draw(t, "hash"),
		Namespace: rapid.SampledFrom([]string{"", "n"}).Draw(t, "ns"),
		Key:       rapid.SampledFrom([]string{"", "a", "k"}).Draw(t, "key"),
		Name:      rapid.SampledFrom([]string{"a", "b", "k"}).Draw(t, "name"),
		Snap:      rapid.SampledFrom([]SnapID{1, 2, NoSnap}).Draw(t, "snap"),
		Max:       rapid.IntRange(0, 20).Draw(t, "max") == 0,
	}
}

func TestOrderIsTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genID(t), genID(t), genID(t)
		if a.Compare(b) != -b.Compare(a) {
			t.Fatalf("%v and %v compare differently both ways", a, b)
		}
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 && a.Compare(c) > 0 {
			t.Fatalf("%v <= %v <= %v, but not the first and the last", a, b, c)
		}
	})
}

func TestGoldenID(t *testing.T) {
	t.Parallel()
	// The cursor with which a stock client begins a listing.
	for _, c := range []struct {
		hex  string
		want ID
	}{
		{"04032d000000" + "00000000" + "00000000" + "0000000000000000" + "00000000" + "00" + "00000000" + "0000000000000080", MinID},
	} {
		raw, _ := hex.DecodeString(c.hex)
		raw[2] = byte(len(raw) - 6)
		var got ID
		if err := wire.Unmarshal(raw, &got); err != nil || got != c.want {
			t.Errorf("decoded %v, %v; want %v", got, err, c.want)
		}
		if enc := wire.Marshal(c.want); !slices.Equal(enc, raw) {
			t.Errorf("encoded %x, want %x", enc, raw)
		}
	}
}

func TestParsePG(t *testing.T) {
	t.Parallel()
	if pg, err := ParsePG("12.1f"); err != nil || pg != (PG{12, 0x1f}) || pg.String() != "12.1f" {
		t.Errorf("12.1f parsed as %v, %v", pg, err)
	}
	for _, bad := range []string{"", "1", "1.", ".1", "1.g", "-1.0", "1.123456789"} {
		if pg, err := ParsePG(bad); err == nil {
			t.Errorf("%q parsed as %v", bad, pg)
		}
	}
}

func TestStableMod(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.Uint32Range(1, 5000).Draw(t, "b")
		mask := uint32(1)
		for mask < b {
			mask <<= 1
		}
		mask--
		x := rapid.Uint32().Draw(t, "x")
		got := StableMod(x, b, mask)
		if got >= b {
			t.Fatalf("bucket %d of %d", got, b)
		}
		// One bucket more moves only what goes to the new one.
		mask2 := mask
		if b+1 > mask+1 {
			mask2 = mask<<1 | 1
		}
		if next := StableMod(x, b+1, mask2); next != got && next != b {
			t.Fatalf("%#x moves from %d to %d when %d buckets become one more", x, got, next, b)
		}
	})
}

func TestSnapContextValid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    SnapContext
		want bool
	}{
		{SnapContext{}, true},
		{SnapContext{3, []SnapID{3, 1}}, true},
		{SnapContext{5, []SnapID{3, 1}}, true},
		{SnapContext{2, []SnapID{3, 1}}, false},
		{SnapContext{3, []SnapID{3, 3}}, false},
		{SnapContext{3, []SnapID{1, 3}}, false},
		{SnapContext{3, []SnapID{0}}, false},
	} {
		if got := c.s.Valid(); got != c.want {
			t.Errorf("%v valid: %v", c.s, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(wire.Marshal(MaxID))
	f.Add(wire.Marshal(New(3, "ns", "key", "name")))
	f.Add(wire.Marshal(Locator{Pool: 1, Hash: 7}))
	f.Add(wire.Marshal(SPG{PG{1, 2}, NoShard}))
	f.Add(wire.Marshal(ReqID{TID: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var id ID
		if wire.Unmarshal(b, &id) == nil {
			var again ID
			if err := wire.Unmarshal(wire.Marshal(id), &again); err != nil || again != id {
				t.Fatalf("%v became %v, %v", id, again, err)
			}
		}
		var l Locator
		wire.Unmarshal(b, &l)
		var p SPG
		wire.Unmarshal(b, &p)
		var r ReqID
		wire.Unmarshal(b, &r)
	})
}
