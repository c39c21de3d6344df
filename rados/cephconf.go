package rados

import (
	"strings"

	"github.com/pulpo-storage/pulpo/config"
)

// fileOption finds an option for an entity: in its own section, that of its
// type, then global.
func fileOption(f *config.File, entity, option string) (string, bool) {
	kind, _, _ := strings.Cut(entity, ".")
	for _, section := range []string{entity, kind, "global"} {
		if v, ok := f.Get(section, option); ok {
			return v, true
		}
	}
	return "", false
}

// expand fills in $name, $type, $id and $cluster.
func expand(s, entity string) string {
	kind, id, _ := strings.Cut(entity, ".")
	return strings.NewReplacer("$cluster", "ceph", "$name", entity, "$type", kind, "$id", id, "${cluster}", "ceph", "${name}", entity, "${type}", kind, "${id}", id).Replace(s)
}
