// Package session holds the decisions of msgr2.1 above frames: how two parties
// greet, authenticate and agree on a session, and what becomes of the session
// when its connection is lost (the state machine of Ceph's ProtocolV2). It does
// no I/O: bytes go in and bytes and decisions come out; time, randomness and
// keys are handed in.
//
//	both sides    banner, HELLO                               without waiting
//	connecting    AUTH_REQUEST                                [AuthState], [ClientAuth]
//	accepting     AUTH_REPLY_MORE | AUTH_DONE | AUTH_BAD_METHOD
//	both sides    AUTH_SIGNATURE                              encrypted in secure mode
//	connecting    CLIENT_IDENT  ->  SERVER_IDENT              a new session
//	              SESSION_RECONNECT  ->  SESSION_RECONNECT_OK resumes one
//
// An [Acceptor] or a [Connector] lives for one connection. A [State] and an
// [Outbox] live as long as the session. A session is lossy or lossless, as the
// accepting side says in SERVER_IDENT. A lossy one ends with its connection. A
// lossless one goes on: both sides keep each message until it is acknowledged,
// and after SESSION_RECONNECT send again what the other has not received.
// What always holds:
//
//   - messages of one direction are numbered 1, 2, ...; a replayed message keeps
//     its number, and the receiver drops numbers it has had;
//   - a session is found by the address of the connecting side and its cookie;
//     only the identity that opened it may resume it;
//   - of two connections of one session the one with the higher global_seq, the
//     count of its maker's connections, is the newer.
//
// Sessions have a direction here: the accepting side never dials to resume one.
// Two daemons that dial each other have two sessions, so the connect race of
// stock daemons (WAIT) does not arise; a WAIT from a peer means to try later.
//
// No compatibility promise.
package session
