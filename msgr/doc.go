// Package msgr is the messenger: sessions of ordered messages between two
// parties over TCP, in Ceph's msgr2.1 protocol (AsyncMessenger, ProtocolV2).
//
// A [Messenger] belongs to one party. It accepts connections ([Messenger.Serve])
// and makes them ([Messenger.Dial]). A [Conn] is a session: lossy, and then over
// with its TCP connection, or lossless, and then it outlives connections, and
// every message arrives once and in order until one side closes or forgets it.
// What is read and decided is in the parts, which are pure: msgr/frame turns
// bytes into frames, msgr/session knows handshakes, replay and acknowledgements.
//
// # Goroutines
//
// Each TCP connection (a link) has a reader and a writer. The reader also does
// the handshake and calls the [Handler]: it holds the reading token of its Conn,
// of which there is one, so that calls come one at a time even while a new link
// replaces an old one. A dialled Conn keeps its goroutine and its token over all
// of its links; an accepted one has none while it waits for its peer to come
// back. One more goroutine per Messenger looks after idle sessions.
//
// Send queues; the writer takes all that is queued and sends it in one write.
//
// # Locks
//
//	reading token of a Conn  >  Messenger.mu  >  Conn.mu
//
// Neither lock is held during a call of the handler or I/O that can wait.
//
// # Buffers
//
// A received message lies in pooled buffers: front and middle in one, the data
// in another (in secure mode all in one). The handler releases it. What the
// handler of one Conn holds is bounded by Policy.MaxInflight, what those of many
// hold by a [Budget] that they share; above it the connection is not read. What
// is queued to be sent is bounded by whoever sends: see [Conn.Queued].
//
// No compatibility promise.
package msgr
