// Package msgr is the messenger: sessions of ordered messages between two
// parties over TCP, in Ceph's msgr2.1 protocol (AsyncMessenger, ProtocolV2).
//
// No compatibility promise.
package msgr
