package osdmap

import (
	"strconv"
	"strings"
)

// osdList is how Ceph prints a list of OSDs: [1,2,3].
func osdList(osds []int32) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, o := range osds {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(o)))
	}
	b.WriteByte(']')
	return b.String()
}
