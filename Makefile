# The targets are a contract: quickstart, test*, check, soak, cluster-up, cluster-down, images, push, deploy, bench.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Node 24 comes from the registry package `node`, so that every machine runs the same one.
export PATH := $(CURDIR)/node_modules/node/bin:$(CURDIR)/node_modules/.bin:$(PATH)
NODE := node --disable-warning=ExperimentalWarning
TEST := $(NODE) --test --test-reporter=spec --test-reporter-destination=stdout

UNIT_TESTS = $(shell git ls-files -co --exclude-standard '*.test.ts' | grep -v -e '\.boundary\.test\.ts$$' -e '\.cluster\.test\.ts$$' -e '^test/')
BOUNDARY_TESTS = $(shell git ls-files -co --exclude-standard '*.boundary.test.ts')
CLUSTER_TESTS = $(shell git ls-files -co --exclude-standard '*.cluster.test.ts' | grep -v '^test/')

.PHONY: help
help: ## what can be made here
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

node_modules/.package-lock.json: package.json package-lock.json
	@./cluster/prerequisites
	@npm ci --no-fund --no-audit --loglevel=error
	@touch $@

.PHONY: quickstart
quickstart: node_modules/.package-lock.json ## a cluster, virtpod in it, and a guest that answers: one command
	@$(NODE) test/quickstart.ts

.PHONY: check
check: node_modules/.package-lock.json ## types, lint, format, generated files
	@tsc -p tsconfig.json
	@tsc -p cli/viewer/tsconfig.json
	@biome check --error-on-warnings .
	@$(NODE) api/crd/generate.ts --check

.PHONY: test-unit
test-unit: node_modules/.package-lock.json ## fast and pure
	@$(TEST) $(UNIT_TESTS)

.PHONY: test-boundary
test-boundary: node_modules/.package-lock.json ## across real sockets, namespaces, libvirtd and qemu
	@./test/prerequisites
	@$(TEST) --test-concurrency=1 $(BOUNDARY_TESTS)

.PHONY: test-spine
test-spine: deploy ## one VM on the real cluster: apply, lease, console, delete
	@$(TEST) test/e2e/spine.cluster.test.ts

.PHONY: test-cluster
test-cluster: deploy ## Kubernetes machinery against the real API server
	@$(TEST) --test-concurrency=1 $(CLUSTER_TESTS)

.PHONY: test-e2e
test-e2e: deploy ## real guests on the real cluster
	@$(TEST) --test-concurrency=1 test/e2e/*.cluster.test.ts

.PHONY: test-faults
test-faults: deploy ## the operator behind a proxy that fails in every way
	@$(TEST) --test-concurrency=1 test/faults/*.test.ts

.PHONY: test
test: node_modules/.package-lock.json ## everything; the last line counts
	@./test/prerequisites
	@$(NODE) test/run.ts

.PHONY: cluster-up
cluster-up: node_modules/.package-lock.json ## a real Kubernetes on this machine, .cluster/kubeconfig
	@./cluster/up

.PHONY: cluster-down
cluster-down: ## takes it away without a trace
	@./cluster/down

.PHONY: bundle
bundle: node_modules/.package-lock.json
	@$(NODE) images/bundle.ts

.PHONY: images
images: node_modules/.package-lock.json ## OCI archives in build/images
	@$(NODE) images/build.ts

.PHONY: guest-debian
guest-debian: node_modules/.package-lock.json ## a Debian guest to try things in, made when it is wanted
	@$(NODE) images/build.ts virtpod-guest-debian

.PHONY: push
push: images ## push the images: make push REGISTRY=registry.example/virtpod
	@$(NODE) images/push.ts "$(REGISTRY)"

.PHONY: deploy
deploy: node_modules/.package-lock.json ## images and chart into the cluster (KUBECONFIG, or the one made here)
	@$(NODE) test/deploy.ts

.PHONY: bench
bench: node_modules/.package-lock.json ## make bench BENCH=startup|footprint|api-writes|disk|console|cpu-burst|agent|status|dhcp|network-setup|network-throughput|kube|all; the last line is JSON
	@$(NODE) bench/run.ts "$(or $(BENCH),all)"

.PHONY: soak
soak: deploy ## ten minutes of DHCP that nobody thought of, then an hour of VMs that come and go, crashes and faults
	@$(NODE) test/fuzz.ts
	@$(NODE) test/soak.ts
