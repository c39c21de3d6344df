// Package osdmap is the map by which everybody finds data (Ceph's OSDMap,
// src/osd/OSDMap.{h,cc}): which OSDs exist, which are up and at what addresses,
// how much of the data each takes, the pools, and the CRUSH map. With it a
// client computes, without asking, which OSDs hold an object.
//
// The monitors change it one epoch at a time. An [Incremental] holds the
// difference of one epoch to the one before; [Map.Apply] makes the next [Map]
// of it. What every party computes from the same incrementals must be the same
// map to the last byte: an incremental carries the checksum of the full map
// that results, and OSDs refuse to go on from another one.
//
// From an object to its OSDs, by the words of Ceph:
//
//	(pool, namespace, key or name) -> raw pg        hash, all 32 bits
//	raw pg -> pg                                    one of pg_num, Pool.RawToActual
//	raw pg -> placement seed                        one of pgp_num, mixed with the pool
//	placement seed -> raw osds                      CRUSH, then pg_upmap and pg_upmap_items
//	raw osds -> up, up primary                      those that are up; primary affinity
//	up -> acting, acting primary                    pg_temp and primary_temp, while data moves
//
// A Map that was decoded or made by Apply never changes; it may be shared by
// any number of goroutines, and it shares what did not change with the map it
// came from. Lists and maps that it gives out are read only.
//
// "in" and "out" are weights: an OSD of weight zero is out. "up" and "down" are
// about the process. Sources: doc/protocol/maps.md.
//
// No compatibility promise.
package osdmap
