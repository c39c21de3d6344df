// Package monclient is a party's line to the monitors: clients and daemons log
// in through it, hear of new maps, send commands and reports (Ceph's MonClient,
// src/mon/MonClient.cc).
//
// # The idea
//
// Any monitor will do, and one is enough: the client dials a few at once in
// random order (it hunts), stays with the first that lets it in, and hunts again
// when that session is lost or silent. Whatever was asked for is the client's
// own state, not the session's, so a new session begins by asking for it again:
//
//	subscriptions  what is to be pushed: "osdmap" from epoch 17 on, "config"
//	calls          requests with a reply, told apart by their tid: commands,
//	               versions, statistics, pool operations
//	global id      claimed with the old ticket, so that the cluster sees the same
//	               client and not another one
//
// A command may therefore reach the monitors twice, if the session is lost
// before its answer; monitors' commands can bear that.
//
// [Client.Start] returns when the client has the monitor map and the central
// configuration, as stock clients do, or when the monitors refuse it for good.
//
// # Tickets
//
// The client is also the connecting side of authentication for all connections
// of its messenger ([Client.Connect]): a login for those to monitors, the
// tickets that it holds and renews for those to other daemons. Daemons also get
// the rotating secrets of their service ([Client.Rotating]).
//
// # Owners
//
// One goroutine, started by Start and ended by Close, hunts and supervises.
// Handler methods are called by the messenger. Client.mu guards the state; no
// callback and nothing that waits runs under it. A message that no call waits
// for goes to Config.OnMessage, on the messenger's goroutine, in order.
//
// No compatibility promise.
package monclient
