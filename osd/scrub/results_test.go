package scrub

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/object"
	"github.com/pulpo-storage/pulpo/wire"
)

// names reads an answer as a client does, as far as the names.
func namesOf(t *testing.T, b []byte) (interval uint32, out []object.ID) {
	t.Helper()
	d := wire.NewDecoder(b)
	env := d.Begin("scrub_ls_result_t", 1)
	interval = d.U32()
	for range d.Count(4) {
		n := wire.NewDecoder(d.Blob())
		e := n.Begin("inconsistent", 2)
		n.U64()
		k := n.Begin("object_id_t", 1)
		out = append(out, object.ID{Name: n.Str(), Namespace: n.Str(), Key: n.Str(), Snap: object.SnapID(n.U64())})
		n.End(k)
		n.End(e)
		d.Join(n)
	}
	d.End(env)
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	return interval, out
}

// A client that goes on where an answer ended sees everything once.
func TestResults(t *testing.T) {
	t.Parallel()
	r := new(Results)
	var all []BadObject
	for i := range 50 {
		id := object.New(1, []string{"", "ns"}[i%2], "", fmt.Sprint("o", i/4))
		if i%4 > 1 {
			id = id.At(3)
		}
		all = append(all, BadObject{ID: id, Shards: []BadShard{{OSD: 1, Errors: ShardMissing}, {OSD: 2}}})
	}
	r.AddObjects(all)
	r.AddSnaps([]BadSnaps{{ID: head("s"), Errors: SnapExtraClones, Extra: []object.SnapID{4}, SnapSet: []byte("x")}})
	seen := map[object.ID]bool{}
	ask := Ask{Max: 7}
	for {
		b, err := r.Answer(&ask, 12)
		if err != nil {
			t.Fatal(err)
		}
		interval, ids := namesOf(t, b)
		if interval != 12 || len(ids) > 7 {
			t.Fatalf("interval %d, %d objects", interval, len(ids))
		}
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			if seen[id] {
				t.Errorf("%v twice", id)
			}
			seen[id] = true
		}
		ask.After = ids[len(ids)-1]
		ask.Interval = interval
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d", len(seen), len(all))
	}
	b, err := r.Answer(&Ask{Snaps: true, Max: 9}, 12)
	if _, ids := namesOf(t, b); err != nil || len(ids) != 1 || ids[0].Name != "s" {
		t.Errorf("%v %v", ids, err)
	}
	if _, err := r.Answer(&Ask{Interval: 11}, 12); !errors.Is(err, errno.EAGAIN) {
		t.Errorf("of another interval: %v", err)
	}
	if _, err := (*Results)(nil).Answer(&Ask{}, 12); !errors.Is(err, errno.ENOENT) {
		t.Errorf("without a scrub: %v", err)
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	r := new(Results)
	for i := range maxResults + 10 {
		r.AddSnaps([]BadSnaps{{ID: head(fmt.Sprint(i))}})
	}
	if r.Dropped != 10 || len(r.snaps) != maxResults {
		t.Errorf("%d dropped, %d kept", r.Dropped, len(r.snaps))
	}
}
