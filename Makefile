# The gates of this project, one word each. `make` alone says what there is.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# How long each fuzz target runs, for example `make fuzz FUZZTIME=5m`.
FUZZTIME ?= 30s
# Where `make build` puts the program.
OUT ?= bin/keyless

export FUZZTIME

.PHONY: help demo test test-unit test-all test-collector interop lint fmt fuzz docs generate build collector clean tools parts
.PHONY: bench bench-start bench-cold bench-callers bench-crowd bench-cache bench-sources bench-daemon bench-proxy bench-collector bench-bill bench-fleet

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

demo: ## the whole story offline, hop by hop
	@go run ./cmd/keyless demo

test: ## everything: install missing parts, unit, race, script and interop tests
	@scripts/test.sh unit examples collector interop

test-unit: ## unit, race and script tests and the examples only; needs no other parts
	@scripts/test.sh unit examples

test-collector: ## only the Collector's components and its program
	@scripts/test.sh collector

interop: ## only the tests against programs that were not written here
	@scripts/test.sh interop

test-all: ## make test with the slow rest, every fuzz target for 10 s, every benchmark once
	@scripts/test.sh unit examples slow collector interop
	@FUZZTIME=10s scripts/fuzz.sh
	@scripts/bench.sh smoke

lint: ## golangci-lint (with the floor plan), formatting, go.mod, shellcheck
	@scripts/lint.sh

fmt: ## format every Go file
	@scripts/lint.sh fmt

fuzz: ## run every fuzz target for FUZZTIME (30s)
	@scripts/fuzz.sh

bench: ## measure everything side by side, write bench/RESULTS.md
	@scripts/bench.sh all

bench-start: ## only: warm credential-process and version against a Go hello world
	@scripts/bench.sh start

bench-cold: ## only: cold exchange against the composition of the two SDKs
	@scripts/bench.sh cold

bench-callers: ## only: what aws s3 ls and boto3 pay for the helper
	@scripts/bench.sh callers

bench-crowd: ## only: requests that 100 cold starts make
	@scripts/bench.sh crowd

bench-cache: ## only: the in-process caches against the SDKs' own
	@scripts/bench.sh cache

bench-sources: ## only: every source against azidentity: requests, waits, outages, cached calls
	@scripts/bench.sh sources

bench-daemon: ## only: the daemon's answers against nginx, its memory, and its answers in an outage
	@scripts/bench.sh daemon

bench-proxy: ## only: the proxy against nginx, ReverseProxy and what the sidecars do
	@scripts/bench.sh proxy

bench-collector: ## only: files through the Collector, its memory, and what a body costs
	@scripts/bench.sh collector

bench-bill: ## only: calls and dollars for the metrics of a fleet, beside Metricbeat's
	@scripts/bench.sh bill

bench-fleet: ## only: what a poll of 10,000 instances takes, beside the SDK's decoding
	@scripts/bench.sh fleet

docs: ## regenerate the generated docs (CHECK=1: fail if that changes a file)
	@scripts/docs.sh

generate: ## regenerate what metadata.yaml and builder.yaml of the Collector stand for (CHECK=1: fail if that changes a file)
	@scripts/collector.sh generate

collector: ## the Collector in bin/keyless-collector
	@scripts/collector.sh build

build: ## the stripped program in bin/keyless
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(OUT) ./cmd/keyless

tools: ## install the pinned linters into .tools/bin
	@scripts/parts.sh linters

parts: ## install the real programs that the tests run against into .tools
	@scripts/parts.sh interop

clean: ## remove what make built (not .tools, which is costly)
	@rm -rf bin out bench/out
