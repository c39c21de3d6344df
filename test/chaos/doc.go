// Package chaos tests what a cluster promises when things go wrong around it:
// SIGKILL under load, peers that send garbage, a disk that is full.
//
// # The idea
//
// A [Load] is writers that change objects of their own and remember, for each
// object, what the cluster acknowledged ([State]) and the one operation it was
// sent but has not answered. After any accident [Load.Verify] reads every object
// and accepts two answers: the acknowledged state, or that with the operation in
// doubt done as a whole. Bytes, xattrs and omap are compared together, so half an
// operation is found as well as a lost one; what does not fit is told as a
// [Mismatch]. The load then goes on from what was found.
//
// An operation is a sequence of steps ([Op]). Each kind of step says side by side
// what it does to a state and how a cluster is asked for it, so the model is the
// operation's meaning and no second implementation of a store. Everything is drawn
// from a seed, which each failure names; PULPO_CHAOS_SEED repeats the draws, though
// not the scheduling.
//
// An [Imager] is the same for images: a process of the stock librbd that writes,
// snapshots, clones, flattens, resizes and removes them.
//
// A storm is many daemons on hosts of their own (network namespaces), one fault
// after the other, and clients on the stock librados that share objects. There a
// client cannot know what an object must be; each keeps a history of what it asked for
// and was told, and in the end [checkObject] looks for an order that explains them all.
// PULPO_SOAK_MINUTES sets how long, PULPO_CHAOS_KEEP a directory for histories and logs.
//
// PULPO_SOAK_ROUNDS sets the rounds of the tests with Soak in their name.
package chaos
