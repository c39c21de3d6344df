package caps

// What an RBD client's capabilities may be that `profile bootstrap-rbd` creates.
var (
	rbdOSDCaps = regex(`^([ ,]*profile(=|[ ]+)['"]?rbd[^ ,'"]*['"]?([ ]+pool(=|[ ]+)['"]?[^,'"]+['"]?)?)+$`)
	// A client is blocklisted by address and nonce: no whole host.
	clientAddr = regex(`^[^/]+/[0-9]+$`)
	rbdPeers   = regex(`rbd/mirror/[^/]+`)
)

func onService(name string, p Perm) monGrant { return monGrant{service: name, allow: p} }
func onCommand(prefix string, args constraints) monGrant {
	return monGrant{command: prefix, args: args}
}

// monProfile is what a profile stands for (MonCapGrant::expand_profile); an
// unknown one stands for nothing.
func monProfile(profile, name string) []monGrant {
	const rw, rwx = Read | Write, Read | Write | Exec
	var (
		reader = []monGrant{onService("mon", Read), onService("osd", Read), onService("pg", Read)}
		// Bootstrapping reads the maps and makes keys of one kind.
		maps   = []monGrant{onService("mon", Read), onService("osd", Read), onCommand("mon getmap", nil)}
		create = func(entity constraint, caps map[string]string) monGrant {
			args := constraints{"entity": entity}
			for service, text := range caps {
				args["caps_"+service] = equal(text)
			}
			return onCommand("auth get-or-create", args)
		}
		blocklist = onCommand("osd blocklist", constraints{"blocklistop": equal("add"), "addr": clientAddr})
		blacklist = onCommand("osd blacklist", constraints{"blacklistop": equal("add"), "addr": clientAddr})
	)
	// Daemons have a corner of config-key of their own.
	daemon := func(g ...monGrant) []monGrant {
		key := constraints{"key": prefix("daemon-private/" + name + "/")}
		for _, verb := range []string{"get", "put", "set", "exists", "delete"} {
			g = append(g, onCommand("config-key "+verb, key))
		}
		return g
	}
	switch profile {
	case "read-only":
		return []monGrant{{allow: Read}}
	case "read-write":
		return []monGrant{{allow: rw}}
	case "mon":
		return daemon(onService("mon", rwx), onService("log", rwx))
	case "osd":
		return daemon(onService("osd", rwx), onService("mon", Read), onService("pg", rw), onService("log", Write))
	case "mds":
		return daemon(onService("mds", rwx), onService("mon", Read), onService("osd", Read),
			onCommand("osd pool rmsnap", nil), onCommand("osd blocklist", nil), onCommand("osd blacklist", nil),
			onService("log", Write))
	case "mgr":
		return daemon(onService("mgr", rwx), onService("log", rw), onService("mon", rw), onService("mds", rw),
			onService("fs", rw), onService("osd", rw), onService("auth", Read|Exec),
			onService("config-key", rw), onService("config", rw),
			onCommand("auth get-or-create", nil), onCommand("auth caps", nil), onCommand("auth rm", nil))
	case "bootstrap-osd":
		return append(maps, onCommand("osd new", nil), onCommand("osd purge-new", nil))
	case "bootstrap-mon":
		// Ours. Whoever has the monitors' key can be one of them.
		return append(maps, onCommand("auth get", constraints{"entity": equal("mon.")}))
	case "bootstrap-mds":
		return append(maps, create(prefix("mds."), map[string]string{
			"mon": "allow profile mds", "osd": "allow rwx", "mds": "allow"}))
	case "bootstrap-mgr":
		return append(maps, create(prefix("mgr."), map[string]string{"mon": "allow profile mgr"}))
	case "bootstrap-rgw":
		return append(maps, create(prefix("client.rgw."), map[string]string{
			"mon": "allow rw", "osd": "allow rwx"}))
	case "bootstrap-rbd", "bootstrap-rbd-mirror":
		g := create(prefix("client."), map[string]string{"mon": "profile" + " " + profile[len("bootstrap-"):]})
		g.args["caps_osd"] = rbdOSDCaps
		return []monGrant{onService("mon", Read), g}
	case "fs-client":
		return append(reader, onService("mds", Read))
	case "simple-rados-client", "rbd-read-only":
		return reader
	case "simple-rados-client-with-blocklist":
		return append(reader, blocklist)
	case "rbd":
		return append(reader, blocklist, blacklist)
	case "rbd-mirror":
		return append(reader, blocklist, blacklist,
			onCommand("config-key get", constraints{"key": prefix("rbd/mirror/")}))
	case "rbd-mirror-peer":
		return append(reader, blocklist, blacklist,
			onCommand("config-key get", constraints{"key": rbdPeers}),
			onCommand("config-key set", constraints{"key": prefix("rbd/mirror/peer/")}))
	case "crash":
		return []monGrant{onService("mon", Read)}
	case "cephfs-mirror":
		return append(reader, onService("mds", Read),
			onCommand("config-key get", constraints{"key": prefix("cephfs/mirror/peer/")}))
	case "role-definer":
		return []monGrant{onService("mon", Read), onService("auth", rwx)}
	}
	return nil
}
