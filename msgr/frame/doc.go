// Package frame is the codec of msgr2.1: it turns the bytes of a connection
// into frames and back (Ceph's frames_v2 and crypto_onwire). It does no I/O.
//
// After a [Banner] in each direction a connection is a sequence of frames. A
// frame has a tag and one to four segments. Control frames have one; a message
// has its [Header], front, middle and data, empty ones at the end left out.
//
//	preamble, 32 bytes:  tag u8 | segments u8 | 4 x { length u32, align u16 } |
//	                     flags u8 | 0 u8 | crc32c (seed 0) of the 28 bytes before u32
//
//	crc mode             preamble | segment 0 | its crc32c
//	  several segments   ... | segments 1 to 3 | epilogue: status u8, 3 x crc32c
//
// Segments have a crc with seed -1; an empty segment 0 has none on the wire. In
// secure mode the same is cut into chunks, each sealed with AES-128-GCM (16
// bytes of tag, no additional data), padded with zeros to 16 bytes:
//
//	secure mode          preamble and the first 48 bytes of segment 0
//	  longer segment 0   the rest of it
//	  several segments   segments 1 to 3, each padded | status u8, 15 zeros
//
// The nonce is a fixed u32 and a counter u64, which grows with each chunk; each
// direction has its own. A low status nibble of 0xe completes a frame; 1 says
// that the sender gave it up half way (the kernel client revokes messages so),
// and the frame is dropped.
//
// A [Reader] says where the next bytes belong ([Reader.Need]) and is told when
// they are there ([Reader.Filled]): bytes go from the socket straight to their
// place. No length is trusted: it is checked against [Limits] when announced,
// and buffers above a few MiB grow as bytes come. A [Writer] appends frames to a
// [Batch], which leaves in one write; large payloads are in it by reference.
//
// See doc/protocol/msgr2.md. No compatibility promise.
package frame
