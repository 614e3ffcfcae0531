# Everything a person or CI runs. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
TOOL  := go tool -modfile=tools/go.mod
OURS  := $(shell git ls-files '*.go' 2>/dev/null)

.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary, in bin/
	go build -o bin/esh3ar ./cmd/esh3ar

run: ## a node on the embedded default
	go run ./cmd/esh3ar serve

deps: ## what the tests need besides Go: PostgreSQL, Redis, Node, Chromium, npm packages
	scripts/deps

test: deps ## all tests, with the race detector and the outside parts; they prove docs/signalr-conformance.md
	go vet ./...
	go test -race -timeout 30m -json ./... | go run ./signalr/conformance/table -packages ./...

conformance: deps ## writes docs/signalr-conformance.md anew
	go test -json ./signalr/... | go run ./signalr/conformance/table -packages ./signalr/... -write

short: ## the quick loop: no outside parts
	go test -short ./...

lint: ## format, vet, staticcheck, errors, exhaustive switches, clarity, tidy modules
	@test -z "$$($(TOOL) gofumpt -l $(OURS) | tee /dev/stderr)" || { echo "run: make fmt"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	scripts/errorlint
	$(TOOL) exhaustive -d ./...
	scripts/claritylint
	go mod tidy -diff

fmt: ## format
	$(TOOL) gofumpt -w $(OURS)

fuzz: ## every fuzz test for a while
	scripts/fuzz 30s

bench: build ## every budget beside its peers; writes docs/benchmarks.md; half an hour, needs centrifugo, nginx and haproxy
	scripts/bench

bench-gateway: build ## the gateway beside nginx and HAProxy; minutes
	bin/esh3ar bench --versus nginx,haproxy

bench-compare: ## this tree and revision BASE in alternating rounds, through benchstat; two minutes
	scripts/bench-compare "$(BASE)"

soak: build ## flat memory, goroutines, store and latency: 30 minutes at 70 % of the maximum and 10 at 200 %
	bin/esh3ar bench --scenario soak --duration 30m --json bin/soak.json

overload: build ## who is served at twice a declared capacity, and flat memory; ten minutes
	bin/esh3ar bench --overload --duration 10m --capacity 8000 --callers 1500 --plot bin/overload.svg --json bin/overload.json

autoscale: build ## a cluster that scales itself under a ramp; four minutes
	bin/esh3ar bench --autoscale --duration 40s --plot bin/autoscale.svg

torture: build ## kill -9 until convinced; minutes
	bin/esh3ar torture --minutes 20

hostile: deps ## hostile clients beside well-behaved ones, one attack after the other; a quarter of an hour
	go test ./e2e/hostile -run TestHostile -count 1 -v -timeout 2h -long

restart: deps ## 10,000 SignalR clients, a shutdown, all come back; a minute
	go test ./signalr/conformance -run TestRestart -count 1 -v -small 9900 -microsoft 100

simulate: ## 100,000 seeded histories of delivery
	go test ./internal/delivery -run TestSimulation -histories 100000 -timeout 30m

plots: ## draw docs/scaling-*.svg anew
	go test ./internal/autoscale -run Plots -plots ../../docs

.PHONY: help build run deps test conformance short lint fmt fuzz bench bench-compare bench-gateway soak overload autoscale torture hostile restart simulate plots
