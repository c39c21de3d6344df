package rbd

import (
	"fmt"

	"github.com/pulpo-storage/pulpo/osd/objclass"
)

const (
	rd = objclass.Read
	wr = objclass.Write
)

// families are the tables of methods, one per file.
var families = []objclass.Class{
	headerMethods, featureMethods, sizeMethods, timeMethods, flagMethods, snapGetMethods, snapSetMethods, parentMethods,
	childMethods, metadataMethods, objectMapMethods, dataMethods, v1Methods,
	mirrorMethods, mirrorStatusMethods, mirrorInstanceMethods, mirrorSnapshotMethods, migrationMethods,
	directoryMethods, trashMethods, groupMethods, namespaceMethods,
}

// Class returns the class.
func Class() objclass.Class {
	all := objclass.Class{}
	for _, f := range families {
		for name, m := range f {
			if _, ok := all[name]; ok {
				panic(fmt.Sprintf("BUG: method rbd.%s is there twice", name))
			}
			all[name] = m
		}
	}
	return all
}
