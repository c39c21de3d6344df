package crush

// TypesPacific is the list of types of a new cluster.
var TypesPacific = []string{"osd", "host", "chassis", "rack", "row", "pdu", "pod", "room", "datacenter", "zone", "region", "root"}

// BuildDefault returns the map of a new cluster: a root "default" with nothing
// in it, and the rule "replicated_rule", which keeps replicas apart by
// failureDomain ("host" as a rule, "osd" on a single machine).
func BuildDefault(failureDomain string) (*Map, error) {
	m := New()
	if err := m.SetTunablesProfile("default"); err != nil {
		return nil, err
	}
	for i, t := range TypesPacific {
		m.Types[int32(i)] = t
	}
	if _, err := m.AddBucket("default", "root"); err != nil {
		return nil, err
	}
	if _, err := m.AddSimpleRule("replicated_rule", "default", failureDomain, "", "firstn", RuleReplicated); err != nil {
		return nil, err
	}
	return m, nil
}
