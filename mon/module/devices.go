package module

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/pulpo-storage/pulpo/errno"
	"github.com/pulpo-storage/pulpo/jsonfmt"
	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/python"
	"github.com/pulpo-storage/pulpo/mon/service"
)

// The media of a cluster, by the names that they have from their makers
// (DeviceState in Ceph). No daemon here tells such a name, so the only ones
// known are those that an operator said a life expectancy of, and nothing reads
// their health.

// keyDevice begins the keys of devices in the key-value store.
const keyDevice = "device/"

// device is what is known of one. The stored form is a JSON object of strings.
type device struct {
	id              string
	from, to, stamp time.Time // when it is expected to fail; said when
}

// The members of the stored form.
const (
	lifeMin   = "life_expectancy_min"
	lifeMax   = "life_expectancy_max"
	lifeStamp = "life_expectancy_stamp"
)

func (s *Service) deviceCommands(t *command.Table) {
	t.Read("device ls", s.deviceLs)
	t.Read("device info", s.deviceInfo)
	t.Read("device ls-by-daemon", s.deviceLsByDaemon)
	t.Read("device ls-by-host", func(c *command.Call) command.Reply {
		return noDevices(c, "DEVICE", "DEV", "DAEMONS", "EXPECTED FAILURE")
	})
	t.Write("device set-life-expectancy", s.deviceSetLife)
	t.Write("device rm-life-expectancy", s.deviceRmLife)
	t.Read("device query-daemon-health-metrics", s.deviceQuery)
	t.Read("device scrape-daemon-health-metrics", func(c *command.Call) command.Reply {
		if bad, ok := healthDaemon(c); !ok {
			return bad
		}
		return command.Reply{}
	})
	t.Read("device scrape-health-metrics", func(c *command.Call) command.Reply {
		if id := c.Str("devid"); id != "" {
			return s.onDevice(id, func(device) command.Reply {
				return command.Fail(errno.EAGAIN, "device %s not claimed by any active daemons", id)
			})
		}
		return command.Reply{}
	})
	t.Read("device get-health-metrics", func(c *command.Call) command.Reply {
		return s.onDevice(c.Str("devid"), func(device) command.Reply { return python.Output("{}") })
	})
	t.Read("device check-health", func(*command.Call) command.Reply { return command.Reply{} })
	for _, on := range []bool{true, false} {
		t.Write(map[bool]string{true: "device monitoring on", false: "device monitoring off"}[on], func(c *command.Call) command.Reply {
			return s.setting(c, "devicehealth/enable_monitoring", onOff(on), "")
		})
	}
	t.Read("device predict-life-expectancy", func(*command.Call) command.Reply {
		return command.Fail(errno.EPERM, "unable to enable any disk prediction model[local/cloud]")
	})
}

// devices are all, by name. What else somebody wrote under their keys is not
// shown.
func (s *Service) devices() []device {
	var all []device
	for key, text := range s.KV.Reader().Scan(keyDevice, keyDevice+"\xff") {
		var kv map[string]string
		if json.Unmarshal(text, &kv) != nil {
			continue
		}
		d := device{id: strings.TrimPrefix(key, keyDevice)}
		for name, at := range map[string]*time.Time{lifeMin: &d.from, lifeMax: &d.to, lifeStamp: &d.stamp} {
			*at, _ = parseTime(kv[name])
		}
		all = append(all, d)
	}
	return all
}

// onDevice answers for a device that must be known.
func (s *Service) onDevice(id string, h func(device) command.Reply) command.Reply {
	all := s.devices()
	i := slices.IndexFunc(all, func(d device) bool { return d.id == id })
	if i < 0 {
		return command.Fail(errno.ENOENT, "device %s not found", id)
	}
	return h(all[i])
}

// life says how long a device is expected to last.
func (d *device) life(now time.Time) string {
	if d.from.IsZero() {
		return ""
	}
	if !now.Before(d.from) {
		return "now"
	}
	from := service.Age(d.from.Sub(now))
	if d.to.IsZero() {
		return ">" + from
	}
	if to := service.Age(d.to.Sub(now)); to != from {
		return from + " to " + to
	}
	return from
}

func (d *device) dump(f *jsonfmt.Formatter) {
	f.Object("device", func() {
		f.Str("devid", d.id)
		f.Array("location", func() {})
		f.Array("daemons", func() {})
		if !d.from.IsZero() {
			f.Str(lifeMin, jsonfmt.Time(d.from))
			f.Str(lifeMax, jsonfmt.Time(d.to))
			f.Str(lifeStamp, jsonfmt.Time(d.stamp))
		}
	})
}

func (s *Service) deviceLs(c *command.Call) command.Reply {
	all := s.devices()
	return c.Either(func() string {
		var t jsonfmt.Table
		for _, h := range []string{"DEVICE", "HOST:DEV", "DAEMONS"} {
			t.Column(h, jsonfmt.Left)
		}
		t.ColumnRight("WEAR")
		t.Column("LIFE EXPECTANCY", jsonfmt.Left)
		for _, d := range all {
			t.Row(d.id, "", "", "", d.life(c.Now))
		}
		return t.String()
	}, func(f *jsonfmt.Formatter) {
		f.Array("devices", func() {
			for _, d := range all {
				d.dump(f)
			}
		})
	})
}

func (s *Service) deviceInfo(c *command.Call) command.Reply {
	return s.onDevice(c.Str("devid"), func(d device) command.Reply {
		return c.Either(func() string {
			out := "device " + d.id + "\n\n"
			if !d.from.IsZero() {
				out += "life_expectancy " + jsonfmt.Time(d.from) + " to " + jsonfmt.Time(d.to) + " (as of " + jsonfmt.Time(d.stamp) + ")\n"
			}
			return out
		}, d.dump)
	})
}

// noDevices is an empty table with the given headings.
func noDevices(c *command.Call, headings ...string) command.Reply {
	return c.Either(func() string {
		var t jsonfmt.Table
		for _, h := range headings {
			t.Column(h, jsonfmt.Left)
		}
		return t.String()
	}, func(f *jsonfmt.Formatter) { f.Array("devices", func() {}) })
}

func (s *Service) deviceLsByDaemon(c *command.Call) command.Reply {
	who := c.Str("who")
	switch typ, id, ok := strings.Cut(who, "."); {
	case !ok || typ == "" || id == "":
		// Ceph goes on to look for another handler.
		return command.Fail(errno.EINVAL, "%s is not a valid daemon nameNo handler found for '%s'", who, c.Prefix)
	case !s.Exists(who):
		return command.Fail(errno.ENOENT, "daemon %s not found", who)
	}
	return noDevices(c, "DEVICE", "HOST:DEV", "EXPECTED FAILURE")
}

func (s *Service) deviceSetLife(c *command.Call) command.Reply {
	from, ok := parseTime(c.Str("from"))
	if !ok {
		return command.Fail(errno.EINVAL, "unable to parse datetime '%s'", c.Str("from"))
	}
	to, ok := parseTime(c.Str("to"))
	if !ok && c.Str("to") != "" {
		return command.Fail(errno.EINVAL, "unable to parse datetime '%s'", c.Str("to"))
	}
	text := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return jsonfmt.Time(t)
	}
	var f jsonfmt.Formatter
	f.Object("device", func() {
		f.Str(lifeMax, text(to))
		f.Str(lifeMin, text(from))
		f.Str(lifeStamp, text(c.Now))
	})
	s.KV.Put(keyDevice+c.Str("devid"), []byte(f.JSON()))
	return command.Committed("")
}

func (s *Service) deviceRmLife(c *command.Call) command.Reply {
	r := s.onDevice(c.Str("devid"), func(d device) command.Reply {
		s.KV.Delete(keyDevice + d.id)
		return command.Committed("")
	})
	if r.Failed() { // is so already
		return command.Reply{}
	}
	return r
}

// healthDaemon checks the argument who.
func healthDaemon(c *command.Call) (command.Reply, bool) {
	if typ, _, ok := strings.Cut(c.Str("who"), "."); !ok || typ != "osd" && typ != "mon" {
		return command.Fail(errno.EINVAL, "not a valid mon or osd daemon name"), false
	}
	return command.Reply{}, true
}

// deviceQuery is what a daemon's media say of their health: nothing.
func (s *Service) deviceQuery(c *command.Call) command.Reply {
	if bad, ok := healthDaemon(c); !ok {
		return bad
	}
	if who := c.Str("who"); !s.Exists(who) {
		typ, _, _ := strings.Cut(who, ".")
		if typ == "osd" {
			return python.Refuse(errno.ENOENT, "osd dne")
		}
		return command.Fail(errno.ENOENT, "%s dne", typ)
	}
	return python.Output("{\n}")
}

// parseTime reads a time as Ceph does (utime_t::parse): a date with or without
// a time of day and a zone, UTC without.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{
		"2006-1-2T15:04:05Z0700", "2006-1-2 15:04:05Z0700", "2006-1-2T15:04:05", "2006-1-2 15:04:05", "2006-1-2T15:04", "2006-1-2 15:04", "2006-1-2",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
