// Package moves makes an operator's moves on a cluster of ours and on a stock one
// at the same time, both under load: OSDs out, in and down, weights, the CRUSH
// tree, upmap exceptions, who leads a group, the number of copies, a host drained,
// an OSD purged. What is to be seen after each must be the same on both, to the
// members of each placement group and their order.
//
// "make soak" runs it: a stock cluster takes minutes for all of them. One section
// alone, after make build:
//
//	PULPO=$PWD/bin/pulpo PULPO_SOAK_ROUNDS=1 go test -v ./test/moves -run SoakMoves/held
package moves
