# make help: what there is.
GO    ?= go
BIN   := bin/pulpo
COUNT ?= 1

.PHONY: help build demo test lint fuzz bench bench-recovery bench-snapshots soak
help:
	@sed -n 's/^## //p' Makefile

## build   bin/pulpo, one static binary
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BIN) ./cmd/pulpo

## demo    bring a cluster up, put real data through it, say what happened
demo: build
	test/demo

## test    install what the tests need, run them all
test: build
	test/install
	$(GO) vet ./...
	PULPO=$(CURDIR)/$(BIN) $(GO) test -count=$(COUNT) -timeout 20m -vet=off -p 3 -parallel 8 ./test/stock ./test/... ./rbd ./...

## lint    gofmt, go vet, staticcheck
lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

## fuzz    each decoder for FUZZTIME (60s)
fuzz:
	test/fuzz $(or $(FUZZTIME),60s)

## bench   against a stock cluster on the same disk; results in bench/results
bench: build
	test/install
	$(GO) run ./bench

## bench-recovery  the loss of an OSD that held GIB (10), which needs 4 times that on disk
bench-recovery: build
	test/install
	$(GO) run ./bench -only '^recovery' -gib $(or $(GIB),10)

## bench-snapshots  what a snapshot costs of an image that has SNAPSHOTS (1000)
bench-snapshots: build
	test/install
	$(GO) run ./bench -only '^snapshots' -snapshots $(or $(SNAPSHOTS),1000)

## soak    SEEDS (2000) of the simulator, from FIRST (1) on, KEEP=1: also when one fails; then kill -9 under load, again and again: ROUNDS (10);
##         then all kinds of faults, partitions too, for MINUTES (30); that as root
soak: build
	$(GO) test -count=1 -timeout 0 -v ./sim -run Seeds -first $(or $(FIRST),1) -seeds $(or $(SEEDS),2000) -save testdata $(if $(KEEP),-keep-going)
	PULPO=$(CURDIR)/$(BIN) PULPO_SOAK_ROUNDS=$(or $(ROUNDS),10) $(GO) test -count=1 -timeout 2h -run 'Soak' -v ./test/...
	PULPO=$(CURDIR)/$(BIN) PULPO_SOAK_MINUTES=$(or $(MINUTES),30) $(GO) test -count=1 -timeout 4h -run StormSoak -v ./test/chaos
