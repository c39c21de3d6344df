// Package cephx is Ceph's authentication: who may open a session, under which
// name, with which capabilities (src/auth/cephx in Ceph).
//
// # The idea
//
// Nobody sends a secret. A party proves that it knows one by encrypting with
// it, and hands on what others have encrypted for third parties:
//
//	entity secret     shared by one account (client.admin) and the monitors
//	rotating secrets  shared by the monitors and all daemons of one service;
//	                  three generations of them, replaced as time goes by
//	ticket            made by a monitor: name, global id and capabilities, with
//	                  a fresh session key, encrypted with the service's rotating
//	                  secret. The client cannot read it, but got the session key
//	                  separately, encrypted with a secret it knows
//	authorizer        a ticket and a nonce encrypted with its session key: shows
//	                  to a daemon that the sender is whom the ticket is about
//
// A client logs in to a monitor ([MonAcceptor], [Client.Login]): the monitor
// sends a challenge, the client proves its secret, and gets an AUTH ticket,
// which stands for the secret from now on, with tickets for the services it
// asked for. To a daemon ([ServiceAcceptor], [Client.Connect]) it shows an
// authorizer; the daemon answers with a random challenge, so that an
// authorizer that somebody recorded is worth nothing. On a running monitor
// session tickets are renewed and daemons fetch the rotating secrets of their
// service ([KeyServer.MAuth], [Client.Renew], [Client.Rotating]).
//
// Each handshake gives a session key, which signs what was said before
// (AUTH_SIGNATURE), and in secure mode a connection secret of 64 bytes.
//
// # Global ids
//
// A session's global id is its name in the cluster. A client that comes back
// claims its old one; it must show the AUTH ticket it had, and the new ticket
// comes encrypted with the old session key: so an id cannot be stolen, not
// even by another holder of the same account.
//
// # Owners
//
// The handshake types ([ServerHandshake], [ClientHandshake]) belong to one
// connection and one goroutine. [KeyServer], [SecretRing] and [Client] serve
// all connections concurrently. Nothing here reads a clock or random numbers
// but through [Env].
//
// Keys do not print: formatting a [Key] gives "(key)". A [Refusal] says who was
// refused and why, for the log; the peer is told only a number.
//
// Capabilities travel as text; package caps gives them meaning.
//
// No compatibility promise.
package cephx
