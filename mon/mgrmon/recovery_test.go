package mgrmon

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/object"
)

func TestPrioritize(t *testing.T) {
	t.Parallel()
	w := stockManager(t, goldens(t, "mgr"))
	p := w.s.pgmap()
	p.group(object.PG{Pool: 1, Seed: 0}).State = msg.PGActive | msg.PGClean
	for _, tc := range []struct {
		cmd    string
		no     errno.Errno
		status string
	}{
		{`{"prefix":"pg force-recovery","pgid":["1.0"]}`, 0, "pg 1.0 doesn't require recovery; \n"},
		{`{"prefix":"pg force-backfill","pgid":["1.0","1.0"]}`, 0, "pg 1.0 doesn't require backfilling; \n"},
		{`{"prefix":"pg cancel-force-recovery","pgid":["1.0"]}`, 0, "pg 1.0 recovery not forced; \n"},
		{`{"prefix":"pg cancel-force-backfill","pgid":["1.0","77.0"]}`, errno.ENOENT, "pg 1.0 backfill not forced; pg 77.0 does not exist; \n"},
		{`{"prefix":"pg force-recovery","pgid":["nosuch"]}`, errno.EINVAL, "invlaid pgid 'nosuch'; \n"},
		{`{"prefix":"osd pool force-recovery","who":["nosuch"]}`, errno.ENOENT, "unrecognized pool 'nosuch'"},
		{`{"prefix":"osd pool force-recovery"}`, errno.EINVAL, "must specify one or more pool names"},
	} {
		if r := w.run(tc.cmd); r.Errno != tc.no || r.Status != tc.status {
			t.Errorf("%s: %v %q, want %v %q", tc.cmd, r.Errno, r.Status, tc.no, tc.status)
		}
	}
	g := p.group(object.PG{Pool: 1, Seed: 0})
	g.State = msg.PGActive | msg.PGDegraded
	primary := w.m.PGToUpActing(object.PG{Pool: 1}).ActingPrimary
	sess := p.osds[primary].sess
	p.osds[primary].sess = nil
	if r := w.run(`{"prefix":"pg force-recovery","pgid":["1.0"]}`); r.Errno != errno.EAGAIN || r.Status != fmt.Sprintf("osd.%d is not currently connected\n", primary) {
		t.Errorf("a degraded group: %v %q", r.Errno, r.Status)
	}
	p.osds[primary].sess = sess
	w.sent = nil
	if r := w.run(`{"prefix":"pg force-recovery","pgid":["1.0"]}`); r.Errno != 0 || r.Status != fmt.Sprintf("instructing pg(s) [1.0] on osd.%d to force-recovery; \n", primary) {
		t.Errorf("a degraded group: %v %q", r.Errno, r.Status)
	}
	if len(w.sent) != 1 || !reflect.DeepEqual(w.sent[0].body, &msg.OSDForceRecovery{PGs: []object.PG{{Pool: 1}}}) {
		t.Errorf("told %+v", w.sent)
	}
	g.State |= msg.PGForcedRecovery
	if r := w.run(`{"prefix":"pg force-recovery","pgid":["1.0"]}`); r.Errno != errno.EINVAL || r.Status != "pg 1.0 recovery already forced; \n" {
		t.Errorf("a group that was told: %v %q", r.Errno, r.Status)
	}
}
