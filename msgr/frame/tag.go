package frame

import "strconv"

// Tag is the kind of a frame.
type Tag uint8

const (
	TagHello              Tag = 1
	TagAuthRequest        Tag = 2
	TagAuthBadMethod      Tag = 3
	TagAuthReplyMore      Tag = 4
	TagAuthRequestMore    Tag = 5
	TagAuthDone           Tag = 6
	TagAuthSignature      Tag = 7
	TagClientIdent        Tag = 8
	TagServerIdent        Tag = 9
	TagMissingFeatures    Tag = 10
	TagSessionReconnect   Tag = 11
	TagSessionReset       Tag = 12
	TagSessionRetry       Tag = 13
	TagSessionRetryGlobal Tag = 14
	TagSessionReconnectOK Tag = 15
	TagWait               Tag = 16
	TagMessage            Tag = 17
	TagKeepalive          Tag = 18
	TagKeepaliveAck       Tag = 19
	TagAck                Tag = 20
	lastTag                   = TagAck
)

var tagNames = [...]string{
	TagHello: "HELLO", TagAuthRequest: "AUTH_REQUEST", TagAuthBadMethod: "AUTH_BAD_METHOD",
	TagAuthReplyMore: "AUTH_REPLY_MORE", TagAuthRequestMore: "AUTH_REQUEST_MORE", TagAuthDone: "AUTH_DONE",
	TagAuthSignature: "AUTH_SIGNATURE", TagClientIdent: "CLIENT_IDENT", TagServerIdent: "SERVER_IDENT",
	TagMissingFeatures: "IDENT_MISSING_FEATURES", TagSessionReconnect: "SESSION_RECONNECT",
	TagSessionReset: "SESSION_RESET", TagSessionRetry: "SESSION_RETRY",
	TagSessionRetryGlobal: "SESSION_RETRY_GLOBAL", TagSessionReconnectOK: "SESSION_RECONNECT_OK",
	TagWait: "WAIT", TagMessage: "MESSAGE", TagKeepalive: "KEEPALIVE2", TagKeepaliveAck: "KEEPALIVE2_ACK",
	TagAck: "ACK",
}

func (t Tag) String() string {
	if t >= 1 && t <= lastTag {
		return tagNames[t]
	}
	return "tag " + strconv.Itoa(int(t))
}
