package osd

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pulpo-storage/pulpo/entity"
	"github.com/pulpo-storage/pulpo/msg"
	"github.com/pulpo-storage/pulpo/osd/pg"
)

func opWatch(cookie uint64, timeout uint32) msg.Op {
	o := msg.Op{Code: msg.OpWatch}
	o.PutU64(0, cookie)
	o.Args[16] = msg.WatchWatch
	o.PutU32(21, timeout)
	return o
}

// watcher is a connection of a client that watches.
func watcher() *pg.Session {
	return &pg.Session{Name: entity.Name{Type: entity.Client, Num: 4161},
		Addr: entity.Addr{Type: entity.AddrAny, AP: netip.MustParseAddrPort("127.0.0.1:0"), Nonce: 1754043218}}
}

func (h *house) watch(s *pg.Session, object string, tid uint64, op msg.Op) {
	h.t.Helper()
	r := h.op(1, object, tid, op)
	r.Session = s
	h.request(r)
	if a := h.answer(tid); a == nil || a.Result != 0 {
		h.t.Fatalf("watch: %+v", a)
	}
}

// As a stock OSD tells it.
const dumpedWatchers = `[
    {
        "namespace": "",
        "object": "o",
        "entity_name": {
            "type": "client",
            "num": 4161
        },
        "cookie": 289463360,
        "timeout": 17,
        "entity_addr_t": {
            "type": "any",
            "addr": "127.0.0.1:0",
            "nonce": 1754043218
        }
    },
    {
        "namespace": "",
        "object": "o",
        "entity_name": {
            "type": "client",
            "num": 4161
        },
        "cookie": 289530320,
        "timeout": 30,
        "entity_addr_t": {
            "type": "any",
            "addr": "127.0.0.1:0",
            "nonce": 1754043218
        }
    }
]
`

func TestDumpWatchers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	dump := func() string { return string(h.command(`{"prefix":"dump_watchers"}`).Out) }
	if got := dump(); got != "[]\n" {
		t.Errorf("nobody watches: %q", got)
	}
	h.do(1, "o", 1, writeFull("x"))
	s := watcher()
	h.watch(s, "o", 2, opWatch(289530320, 0))
	h.watch(s, "o", 3, opWatch(289463360, 17))
	if got := dump(); got != dumpedWatchers {
		t.Errorf("got\n%s\nwant\n%s", got, dumpedWatchers)
	}
	// What was there is there after a restart, before anybody asks for the object.
	h.store.Sync()
	h.start(2)
	if got := dump(); got != dumpedWatchers {
		t.Errorf("after a restart\n%s", got)
	}
}

// A shard wants to be woken when the first of its watches ends, not only in its
// own rhythm.
func TestShardWakesForWatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	h.do(1, "o", 1, writeFull("x"))
	h.watch(watcher(), "o", 2, opWatch(7, 2))
	begin := h.now
	tick := func() {
		for i, s := range h.osd.shards {
			if at := s.Wake(); !at.After(h.now) {
				h.toShard(i, pg.Tick{})
			}
		}
	}
	first := time.Time{}
	for _, s := range h.osd.shards {
		if at := s.Wake(); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if want := begin.Add(2 * time.Second); first.After(want) {
		t.Fatalf("wakes %v after the watch began, it ends after 2s", first.Sub(begin))
	}
	for h.now.Before(begin.Add(1900 * time.Millisecond)) {
		h.now = h.now.Add(100 * time.Millisecond)
		tick()
	}
	if got := string(h.command(`{"prefix":"dump_watchers"}`).Out); !strings.Contains(got, `"cookie": 7`) {
		t.Fatalf("the watch has ended too early: %s", got)
	}
	h.now = begin.Add(2 * time.Second)
	tick()
	tick()
	if got := string(h.command(`{"prefix":"dump_watchers"}`).Out); got != "[]\n" {
		t.Errorf("the watch has not ended: %s", got)
	}
}

// The options that say how long are those of Ceph.
func TestWatchTimeoutOption(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 8)
	h.command(`{"prefix":"config set","var":"osd_client_watch_timeout","val":["77"]}`)
	h.command(`{"prefix":"config set","var":"osd_default_notify_timeout","val":["5"]}`)
	if c := h.osd.shards[0].env.Config; c.WatchTimeout != 77*time.Second || c.NotifyTimeout != 5*time.Second {
		t.Errorf("timeouts %v and %v", c.WatchTimeout, c.NotifyTimeout)
	}
	h.do(1, "o", 1, writeFull("x"))
	h.watch(watcher(), "o", 2, opWatch(7, 0))
	if got := string(h.command(`{"prefix":"dump_watchers"}`).Out); !strings.Contains(got, `"timeout": 77`) {
		t.Error(got)
	}
}

// What a connection has sent and nobody has looked at goes with it: a watch of
// one that has ended would never hear of its end.
func TestRequestsGoWithTheirConnection(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.makePool(1, 1)
	h.do(1, "o", 1, writeFull("x"))
	s := watcher()
	r := h.op(1, "o", 2, opWatch(7, 0))
	r.Session = s
	shard := h.osd.shards[ShardOf(r.Op.PG.PG, 2)]
	shard.env.Requeue(r)
	shard.Step(h.now, pg.SessionClosed{Session: s})
	if n := shard.env.Pending(); n != 0 || r.Stage != pg.StageDone {
		t.Errorf("%d requests are left, this one is %v", n, r.Stage)
	}
}
