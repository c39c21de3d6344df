package module

import (
	"strings"

	"github.com/pulpo-storage/pulpo/mon/command"
	"github.com/pulpo-storage/pulpo/mon/kvmon"
	"github.com/pulpo-storage/pulpo/mon/mgrmapmon"
	"github.com/pulpo-storage/pulpo/mon/service"
	"github.com/pulpo-storage/pulpo/osdmap"
)

// Config is what the modules work with.
type Config struct {
	Host service.Host
	KV   *kvmon.Service
	Mgr  *mgrmapmon.Service
	OSD  interface{ Map() *osdmap.Map }
	// Stats has what the cluster's statistics say to some modules.
	Stats interface {
		IOStat(c *command.Call) command.Reply
		EvaluateBalance(c *command.Call) command.Reply
	}
	// Option is the value that an option was given for the active manager, "" if
	// it was given none.
	Option func(name string) string
	// Exists reports whether there is a daemon, such as "osd.3".
	Exists func(daemon string) bool
}

// Service is all modules. Its state is in the key-value store.
type Service struct {
	Config
	t *command.Table
}

// New makes the modules.
func New(c Config) *Service { return &Service{Config: c} }

// Commands registers the modules' commands. It comes last, since it also
// answers for all that nobody else does.
func (s *Service) Commands(t *command.Table) {
	s.t = t
	s.orchestratorCommands(t)
	s.deviceCommands(t)
	s.progressCommands(t)
	s.telemetryCommands(t)
	s.autoscalerCommands(t)
	s.balancerCommands(t)
	s.rbdCommands(t)
	s.volumeCommands(t)
	t.Read("iostat", s.whenEnabled("iostat", "iostat", s.Stats.IOStat))
	s.absentCommands(t)
}

// set changes an option as "config set" does; "" removes it.
func (s *Service) set(c *command.Call, who, name, value string) command.Reply {
	prefix, args := "config set", map[string]any{"who": who, "name": name, "value": value}
	if value == "" {
		prefix = "config rm"
		delete(args, "value")
	}
	return s.run(c, prefix, args)
}

// run gives a command in the name of who gave c.
func (s *Service) run(c *command.Call, prefix string, args map[string]any) command.Reply {
	q := command.New(prefix, args)
	q.Now, q.Caller = c.Now, c.Caller
	return s.t.Find(prefix).Run(q)
}

// setting is set for an option of a module, and then says status.
func (s *Service) setting(c *command.Call, name, value, status string) command.Reply {
	r := s.set(c, "mgr", "mgr/"+name, value)
	if !r.Failed() {
		r.Status = status
	}
	return r
}

// isOn reads a switch of a module.
func (s *Service) isOn(name string, def bool) bool {
	switch strings.ToLower(s.Option("mgr/" + name)) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
		return false
	}
	return def
}

func onOff(on bool) string {
	if on {
		return "true"
	}
	return "false"
}
