// Package nbd serves block devices over the network block device protocol, for
// everything that speaks it: the Linux kernel, QEMU, libnbd, fio. It knows
// nothing of what is behind a [Device]; [Images] are those of a pool.
//
// A connection has two phases. In the first, fixed newstyle negotiation, the
// client sends options and the server answers each: what exports there are, TLS,
// structured replies, which export to use. In the second it sends requests, many
// at a time, and the server answers in the order in which they are done.
//
//	listen ──► negotiation ──────► transmission
//	           option ⇄ reply      request ─► one goroutine each ─► reply
//
// All connections to an export share its device. So a flush on one of them
// covers what was written on each, which is what NBD_FLAG_CAN_MULTI_CONN
// promises.
//
// A client gets memory only for what it may ask: the length of every option and
// request is checked before there is a buffer for it, and a connection has a
// limited number of bytes in flight.
//
// The protocol: doc/proto.md of github.com/NetworkBlockDevice/nbd.
//
// No compatibility promise.
package nbd
