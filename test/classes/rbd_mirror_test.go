package classes

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/osd/objclass/classtest"
)

func init() {
	families = append(families,
		family{"mirror", "rbd", rbdMethods("mirror_uuid_get", "mirror_uuid_set", "mirror_mode_get", "mirror_mode_set",
			"mirror_peer_ping", "mirror_peer_list", "mirror_peer_add", "mirror_peer_remove", "mirror_peer_set_client",
			"mirror_peer_set_cluster", "mirror_peer_set_direction"), mirrorScenario},
		family{"mirrorimage", "rbd", rbdMethods("mirror_image_list", "mirror_image_get_image_id", "mirror_image_get",
			"mirror_image_set", "mirror_image_remove", "mirror_image_status_set", "mirror_image_status_remove",
			"mirror_image_status_get", "mirror_image_status_list", "mirror_image_status_get_summary",
			"mirror_image_status_remove_down", "mirror_image_instance_get", "mirror_image_instance_list"), mirrorImageScenario},
		family{"mirrorinstance", "rbd", rbdMethods("mirror_instances_list", "mirror_instances_add", "mirror_instances_remove",
			"mirror_image_map_list", "mirror_image_map_update", "mirror_image_map_remove"), mirrorInstanceScenario},
		family{"migration", "rbd", rbdMethods("migration_set", "migration_set_state", "migration_get", "migration_remove"), migrationScenario},
	)
}

// mirrorPeer is MirrorPeer.
func mirrorPeer(uuid, site, client string, direction uint8, mirrorUUID string) env {
	return env{2, 1, seq{uuid, site, client, int64(-1), direction, mirrorUUID, uint32(77), uint32(88)}}
}

func mirrorScenario(s *scenario) {
	const rx, tx, both = uint8(0), uint8(1), uint8(2)
	// A pool that was never mirrored.
	s.want(enoent, "none", "mirror_uuid_get")
	s.want(enoent, "none", "mirror_mode_get")
	s.want(enoent, "none", "mirror_peer_list")
	s.want(einval, "none", "mirror_mode_set", uint32(1))
	s.want(einval, "none", "mirror_mode_set", uint32(3))
	s.call("none0", "mirror_mode_set", uint32(0))
	s.want(einval, "none", "mirror_peer_add", mirrorPeer("u", "s", "c", rx, ""))
	s.want(einval, "none", "mirror_peer_ping", "site", "uuid", tx)
	s.call("none1", "mirror_peer_remove", "u")
	s.want(enoent, "none", "mirror_peer_set_client", "u", "c")
	s.want(enoent, "none", "mirror_peer_set_cluster", "u", "c")
	s.want(enoent, "none", "mirror_peer_set_direction", "u", rx)

	s.put("m", &classtest.State{})
	s.want(enoent, "m", "mirror_uuid_get")
	s.want(enoent, "m", "mirror_mode_get")
	s.want(ok, "m", "mirror_peer_list")
	s.want(ok, "m", "mirror_mode_set", uint32(0))
	s.want(einval, "m", "mirror_uuid_set", "")
	s.want(ok, "m", "mirror_uuid_set", "pool-uuid")
	s.want(ok, "m", "mirror_uuid_get")
	s.want(einval, "m", "mirror_peer_add", mirrorPeer("u", "s", "c", rx, ""))
	s.want(ok, "m", "mirror_mode_set", uint32(1))
	s.want(ok, "m", "mirror_mode_get")
	s.want(einval, "m", "mirror_uuid_set", "other")
	s.want(ok, "m", "mirror_mode_set", uint32(2))
	s.want(ok, "m", "mirror_mode_get")

	for _, bad := range []env{
		mirrorPeer("", "s", "c", rx, ""), mirrorPeer("u", "", "c", rx, ""), mirrorPeer("u", "s", "", rx, ""),
		mirrorPeer("u", "s", "", both, ""), mirrorPeer("u", "s", "c", 3, ""), mirrorPeer("u", "s", "c", tx, ""),
		mirrorPeer("u", "s", "", tx, ""), mirrorPeer("pool-uuid", "s", "c", rx, ""),
	} {
		s.want(einval, "m", "mirror_peer_add", bad)
	}
	s.want(ok, "m", "mirror_peer_add", mirrorPeer("u1", "site1", "client.a", rx, ""))
	s.want(estale, "m", "mirror_peer_add", mirrorPeer("u1", "site1", "client.a", rx, ""))
	s.want(eexist, "m", "mirror_peer_add", mirrorPeer("u2", "site1", "client.a", rx, ""))
	s.want(ok, "m", "mirror_peer_add", mirrorPeer("u2", "site2", "client.b", both, "mu2"))
	s.want(eexist, "m", "mirror_peer_add", mirrorPeer("u3", "site3", "client.c", rx, "mu2"))
	s.want(ok, "m", "mirror_peer_add", v1("u3", "site3", "client.c", int64(5)))
	s.want(ok, "m", "mirror_peer_list")
	s.want(ebusy, "m", "mirror_mode_set", uint32(0))

	s.want(ok, "m", "mirror_peer_set_client", "u1", "client.z")
	s.want(ok, "m", "mirror_peer_set_client", "u1", "")
	s.want(enoent, "m", "mirror_peer_set_client", "u9", "c")
	s.want(eexist, "m", "mirror_peer_set_cluster", "u1", "site2")
	s.want(ok, "m", "mirror_peer_set_cluster", "u1", "site9")
	s.want(enoent, "m", "mirror_peer_set_cluster", "u9", "site8")
	s.want(eexist, "m", "mirror_peer_set_cluster", "u9", "site9")
	s.want(ok, "m", "mirror_peer_set_direction", "u1", both)
	s.want(enoent, "m", "mirror_peer_set_direction", "u9", both)
	s.want(ok, "m", "mirror_peer_set_direction", "u1", uint8(9))
	s.want(ok, "m", "mirror_peer_list")

	s.want(einval, "m", "mirror_peer_ping", "site9", "mu9", rx)
	s.want(einval, "m", "mirror_peer_ping", "", "mu9", tx)
	s.want(einval, "m", "mirror_peer_ping", "site9", "", tx)
	s.want(einval, "m", "mirror_peer_ping", "site9", "mu9", tx) // the peer has no client and no direction
	s.want(ok, "m", "mirror_peer_ping", "site2", "mu2", tx)     // known
	s.want(ok, "m", "mirror_peer_ping", "site2b", "mu2", tx)    // has a new name
	s.want(ok, "m", "mirror_peer_ping", "site3", "mu3", tx)     // now we know its uuid, and it receives
	s.want(ok, "m", "mirror_peer_ping", "site3", "mu2", tx)     // the name of one, the uuid of another
	s.want(ok, "m", "mirror_peer_ping", "site3", "mu4", tx)     // a new uuid
	s.want(ok, "m", "mirror_peer_list")
	s.want(ok, "m", "mirror_peer_ping", "site7", "mu7", tx) // somebody new
	s.want(ok, "m", "mirror_peer_ping", "site7", "mu7", tx)
	for _, u := range []string{"u1", "u2", "u3", "u1"} {
		s.want(ok, "m", "mirror_peer_remove", u)
	}
	s.want(ebusy, "m", "mirror_mode_set", uint32(0))
	s.put("m", omap("mirror_mode", uint32(1), "mirror_uuid", raw("abc")))
	s.want(ok, "m", "mirror_mode_set", uint32(0))
	s.want(enoent, "m", "mirror_mode_get")

	s.put("bad", omap("mirror_mode", raw("\x01"), "mirror_peer_x", raw("\x02\x01")))
	s.want(eio, "bad", "mirror_mode_get")
	s.want(eio, "bad", "mirror_peer_list")
	s.want(eio, "bad", "mirror_mode_set", uint32(0))
	s.want(einval, "bad", "mirror_mode_set", uint32(1))
	s.want(eio, "bad", "mirror_uuid_set", "x")
	s.want(eio, "bad", "mirror_peer_set_client", "x", "c")
	s.want(eio, "bad", "mirror_peer_set_cluster", "x", "c")
	s.want(eio, "bad", "mirror_peer_add", mirrorPeer("u", "s", "c", rx, ""))
	s.want(eio, "bad", "mirror_peer_ping", "site", "uuid", tx)
	s.want(ok, "bad", "mirror_peer_remove", "x")

	many := []any{"mirror_mode", uint32(1), "mirror_uuid", raw("me")}
	for i := range 70 {
		u := fmt.Sprintf("%03d", i)
		many = append(many, "mirror_peer_"+u, mirrorPeer(u, "site"+u, "c", rx, "m"+u))
	}
	s.put("many", omap(many...))
	s.want(ok, "many", "mirror_peer_list")
	s.want(eexist, "many", "mirror_peer_add", mirrorPeer("x", "site069", "c", rx, ""))
}

// mirrorImage is MirrorImage.
func mirrorImage(global string, state, mode uint8) env { return env{2, 1, seq{global, state, mode}} }

// siteStatus is MirrorImageSiteStatus.
func siteStatus(uuid string, state uint8, text string) env {
	if uuid == "" {
		return env{1, 1, seq{state, text, uint32(5), uint32(6), true}}
	}
	return env{2, 2, seq{uuid, state, text, uint32(5), uint32(6), true}}
}

func mirrorImageScenario(s *scenario) {
	const disabling, enabled, disabled = uint8(0), uint8(1), uint8(2)
	s.want(enoent, "none", "mirror_image_list", "", all)
	s.want(enoent, "none", "mirror_image_get_image_id", "g")
	s.want(enoent, "none", "mirror_image_get", "i")
	s.want(enoent, "none", "mirror_image_remove", "i")
	s.want(enoent, "none", "mirror_image_set", "i", mirrorImage("g", disabling, 0))
	s.want(enoent, "none", "mirror_image_status_get", "g")
	s.want(enoent, "none", "mirror_image_status_list", "", all)
	s.want(enoent, "none", "mirror_image_status_get_summary")
	s.want(enoent, "none", "mirror_image_instance_get", "g")
	s.want(enoent, "none", "mirror_image_instance_list", "", all)
	s.call("none1", "mirror_image_status_remove", "g")
	s.call("none2", "mirror_image_status_remove_down")
	s.call("none3", "mirror_image_status_set", "g", siteStatus("", 4, "text"))

	s.want(ok, "m", "mirror_image_set", "i1", mirrorImage("g1", enabled, 0))
	s.want(eexist, "m", "mirror_image_set", "i2", mirrorImage("g1", enabled, 0))
	s.want(einval, "m", "mirror_image_set", "i1", mirrorImage("g2", enabled, 0))
	s.want(enoent, "m", "mirror_image_set", "i2", mirrorImage("g2", disabling, 0))
	s.want(ok, "m", "mirror_image_set", "i1", mirrorImage("g1", enabled, 1))
	s.want(ok, "m", "mirror_image_set", "i2", v1("g2", disabled))
	s.want(ok, "m", "mirror_image_set", "i3", mirrorImage("g3", 3, 1))
	s.want(ok, "m", "mirror_image_list", "", all)
	s.want(ok, "m", "mirror_image_list", "i1", uint64(1))
	s.want(ok, "m", "mirror_image_list", "", uint64(0))
	s.want(ok, "m", "mirror_image_get", "i2")
	s.want(enoent, "m", "mirror_image_get", "")
	s.want(ok, "m", "mirror_image_get_image_id", "g1")
	s.want(enoent, "m", "mirror_image_get_image_id", "g")
	s.want(ebusy, "m", "mirror_image_remove", "i1")

	s.want(enoent, "m", "mirror_image_status_get", "g1")
	s.call("m", "mirror_image_status_set", "nobody", siteStatus("", 4, "text"))
	s.want(ok, "m", "mirror_image_status_set", "g1", siteStatus("", 4, "replaying"))
	s.call("m", "mirror_image_status_set", "g2", siteStatus("", 1, "the image is disabled"))
	s.want(ok, "m", "mirror_image_status_set", "g1", siteStatus("peer1", 1, "failed"))
	s.want(ok, "m", "mirror_image_status_set", "g1", siteStatus("peer2", 5, ""))
	s.want(ok, "m", "mirror_image_status_set", "g3", siteStatus("peer2", 6, ""))
	s.want(ok, "m", "mirror_image_status_get", "g1")
	s.call("m", "mirror_image_status_get", "g2")
	s.want(enoent, "m", "mirror_image_status_get", "g3")
	s.want(ok, "m", "mirror_image_set", "i4", mirrorImage("g4", enabled, 1))
	s.want(ok, "m", "mirror_image_status_set", "g4", siteStatus("peer2", 6, ""))
	s.want(ok, "m", "mirror_image_status_get", "g4")
	s.want(ok, "m", "mirror_image_status_list", "", all)
	s.want(ok, "m", "mirror_image_status_list", "i1", uint64(1))
	s.want(ok, "m", "mirror_image_status_list", "", uint64(0))
	s.want(ok, "m", "mirror_image_status_get_summary")
	for _, peers := range [][]any{
		{},
		{mirrorPeer("u", "s", "c", 0, "peer1")},
		{mirrorPeer("u", "s", "c", 1, "peer1")},
		{mirrorPeer("u", "s", "c", 1, "peer2")},
		{mirrorPeer("u", "s", "c", 2, "peer2")},
		{mirrorPeer("u", "s", "c", 1, "peer9")},
		{mirrorPeer("u", "s", "c", 0, "peer9"), mirrorPeer("v", "t", "c", 1, "peer2")},
		{mirrorPeer("u", "s", "c", 2, "peer1"), mirrorPeer("v", "t", "c", 1, "peer2")},
	} {
		s.want(ok, "m", "mirror_image_status_get_summary", uint32(len(peers)), seq(peers))
	}
	s.want(estale, "m", "mirror_image_instance_get", "g1") // it does not watch
	s.want(enoent, "m", "mirror_image_instance_get", "g9")
	s.want(ok, "m", "mirror_image_instance_list", "", all)
	s.want(ok, "m", "mirror_image_status_remove", "g1")
	s.want(ok, "m", "mirror_image_status_remove", "g1")
	s.want(enoent, "m", "mirror_image_status_get", "g1")
	s.want(ok, "m", "mirror_image_status_remove_down")
	s.want(ok, "m", "mirror_image_status_remove_down")

	s.want(ok, "m", "mirror_image_status_set", "g1", siteStatus("", 4, ""))
	s.want(ok, "m", "mirror_image_status_set", "g1", siteStatus("peer1", 4, ""))
	s.want(ok, "m", "mirror_image_status_set", "g4", siteStatus("peer2", 1, ""))
	// The daemon watches: what it reports is so.
	end := s.watch("m")
	for _, peers := range [][]any{
		{},
		{mirrorPeer("u", "s", "c", 0, "peer1")},
		{mirrorPeer("u", "s", "c", 1, "peer1")},
		{mirrorPeer("u", "s", "c", 2, "peer2")},
		{mirrorPeer("u", "s", "c", 1, "peer2")},
		{mirrorPeer("u", "s", "c", 2, "peer9")},
		{mirrorPeer("u", "s", "c", 3, "peer1")},
	} {
		s.want(ok, "m", "mirror_image_status_get_summary", uint32(len(peers)), seq(peers))
	}
	s.want(ok, "m", "mirror_image_status_get", "g1")
	s.want(ok, "m", "mirror_image_status_list", "", all)
	s.want(ok, "m", "mirror_image_instance_get", "g1")
	s.want(enoent, "m", "mirror_image_instance_get", "g4")
	s.want(ok, "m", "mirror_image_instance_list", "", all)
	s.want(ok, "m", "mirror_image_status_remove_down")
	end()
	s.want(estale, "m", "mirror_image_instance_get", "g1")
	s.want(ok, "m", "mirror_image_set", "i1", mirrorImage("g1", disabling, 0))
	s.want(ok, "m", "mirror_image_remove", "i1")
	s.want(enoent, "m", "mirror_image_remove", "i1")
	s.want(enoent, "m", "mirror_image_remove", "")

	s.put("bad", omap("image_i", raw("\x02\x01"), "global_g", raw("\x02"), "status_global_g", raw("\x01\x01"), "remote_status_global_h_p", raw("\x01\x01"),
		"image_j", mirrorImage("h", enabled, 0), "image_k", mirrorImage("g", enabled, 0)))
	s.want(eio, "bad", "mirror_image_get", "i")
	s.want(eio, "bad", "mirror_image_list", "", all)
	s.want(eio, "bad", "mirror_image_set", "i", mirrorImage("g", enabled, 0))
	s.want(eio, "bad", "mirror_image_set", "x", mirrorImage("g", enabled, 0))
	s.want(eio, "bad", "mirror_image_remove", "i")
	s.want(eio, "bad", "mirror_image_get_image_id", "g")
	s.want(eio, "bad", "mirror_image_status_get", "g")
	s.want(eio, "bad", "mirror_image_status_get", "h")
	s.want(eio, "bad", "mirror_image_status_list", "", all)
	s.want(ok, "bad", "mirror_image_status_list", "i", all)
	s.want(eio, "bad", "mirror_image_status_get_summary")
	s.want(eio, "bad", "mirror_image_status_remove_down")
	s.want(eio, "bad", "mirror_image_instance_get", "g")
	s.want(eio, "bad", "mirror_image_instance_list", "", all)
	s.want(ok, "bad", "mirror_image_instance_list", "i", all)
	s.want(ok, "bad", "mirror_image_status_remove", "h")

	var many []any
	for i := range 70 {
		many = append(many, fmt.Sprintf("image_%03d", i), mirrorImage(fmt.Sprint("g", i), enabled, 0))
	}
	s.put("many", omap(many...))
	for _, n := range []uint64{63, 64, 65, 69, 70, 71} {
		s.want(ok, "many", "mirror_image_list", "", n)
		s.want(ok, "many", "mirror_image_status_list", "", n)
	}
	s.want(ok, "many", "mirror_image_status_get_summary")
}

func mirrorInstanceScenario(s *scenario) {
	s.want(enoent, "none", "mirror_instances_list")
	s.want(enoent, "none", "mirror_instances_remove", "1")
	s.want(enoent, "none", "mirror_image_map_list", "", all)
	s.call("none1", "mirror_image_map_remove", "g")
	s.want(ok, "i", "mirror_instances_add", "4123")
	s.want(ok, "i", "mirror_instances_add", "4123")
	s.want(ok, "i", "mirror_instances_add", "5")
	s.want(ok, "i", "mirror_instances_list")
	s.want(ok, "i", "mirror_instances_remove", "5")
	s.want(ok, "i", "mirror_instances_remove", "5")
	s.want(ok, "i", "mirror_instances_list")

	where := func(instance, data string) env { return v1(instance, uint32(100), uint32(200), []byte(data)) }
	s.want(ok, "m", "mirror_image_map_update", "g1", where("4123", "\x01\x02"))
	s.want(ok, "m", "mirror_image_map_update", "g2", where("", ""))
	s.want(ok, "m", "mirror_image_map_update", "g2", where("5", ""))
	s.want(ok, "m", "mirror_image_map_list", "", all)
	s.want(ok, "m", "mirror_image_map_list", "", uint64(0))
	s.want(ok, "m", "mirror_image_map_list", "", uint64(1))
	s.want(ok, "m", "mirror_image_map_list", "g1", all)
	s.want(ok, "m", "mirror_image_map_remove", "g1")
	s.want(ok, "m", "mirror_image_map_remove", "g1")
	s.put("bad", omap("image_map_g", raw("\x01")))
	s.want(einval, "bad", "mirror_image_map_list", "", all)
	var many []any
	for i := range 130 {
		many = append(many, fmt.Sprintf("image_map_%03d", i), where(fmt.Sprint(i), ""))
	}
	s.put("many", omap(many...))
	for _, n := range []uint64{64, 65, 129, 131} {
		s.want(ok, "many", "mirror_image_map_list", "", n)
	}
}

func migrationScenario(s *scenario) {
	const src, dst = uint8(1), uint8(2)
	spec := func(role uint8, source string) env {
		return env{3, 1, seq{role, int64(2), "ns", "name", "id", uint32(2), uint64(7), uint64(8), uint64(1), uint64(2), uint64(99), true, false, uint8(1), "text", uint8(1), source}}
	}
	s.call("none", "migration_get")
	s.call("none", "migration_set", spec(src, ""))
	s.call("none", "migration_set_state", uint8(2), "x")
	s.call("none", "migration_remove")
	s.put("empty", &classtest.State{})
	s.call("empty", "migration_get")
	s.call("empty", "migration_set", spec(src, ""))
	s.call("empty", "migration_set_state", uint8(2), "x")
	s.call("empty", "migration_remove")

	s.put("src", omap("features", uint64(61)))
	s.want(einval, "src", "migration_get")
	s.want(einval, "src", "migration_set_state", uint8(2), "x")
	s.want(ok, "src", "migration_remove")
	s.want(ok, "src", "migration_set", spec(src, ""))
	s.want(eexist, "src", "migration_set", spec(src, ""))
	s.want(ok, "src", "migration_get")
	s.want(ok, "src", "migration_set_state", uint8(4), "half")
	s.want(ok, "src", "migration_get")
	s.want(ok, "src", "migration_remove")
	s.want(einval, "src", "migration_get")

	const migrating = 1 << 9
	s.put("dst", omap("features", uint64(61|migrating)))
	s.want(enoent, "dst", "migration_get")
	s.want(enoent, "dst", "migration_set_state", uint8(2), "x")
	s.want(eexist, "dst", "migration_set", spec(src, ""))
	s.want(ok, "dst", "migration_set", spec(dst, ""))
	s.want(ok, "dst", "migration_get")
	s.want(ok, "dst", "migration_remove")
	s.want(ok, "dst", "migration_set", spec(dst, `{"type":"raw"}`))
	s.want(ok, "dst", "migration_get")
	s.want(ok, "dst", "migration_remove")
	s.want(ok, "dst", "migration_set", v1(dst, int64(2), "", "name", "id", uint32(0), uint64(99), true, true, uint8(1), ""))
	s.want(ok, "dst", "migration_get")

	s.verbatim = true
	for _, text := range []string{"<<< Rados Block Device Image >>>\n", "<<< Migrating RBD Image      >>>\n"} {
		for _, tail := range []string{"", "\x00", "\x00\x00\x00\x00rest of it", "x"} {
			header := &classtest.State{Data: []byte(text + tail)}
			s.put("v1", header)
			s.call("v1", "migration_set", spec(dst, ""))
			s.call("v1", "migration_set", spec(src, ""))
			s.call("v1", "migration_set", spec(src, ""))
			s.call("v1", "migration_get")
			s.call("v1", "migration_set_state", uint8(2), "x")
			s.call("v1", "migration_get")
			s.call("v1", "migration_remove")
			s.call("v1", "migration_remove")
		}
	}
	s.put("bad", omap("features", raw("\x01"), "migration", raw("\x01")))
	s.want(eio, "bad", "migration_get")
	s.want(eexist, "bad", "migration_set", spec(src, ""))
	s.want(eio, "bad", "migration_remove")
	s.put("worse", omap("features", uint64(migrating), "migration", raw("\x01")))
	s.want(eio, "worse", "migration_get")
	s.want(eio, "worse", "migration_set_state", uint8(1), "")
	s.want(ok, "worse", "migration_remove")
}
