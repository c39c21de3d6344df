package msgr

// MethodNone is the authentication method that proves nothing.
const MethodNone = 1
