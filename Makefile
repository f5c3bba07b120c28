# Workspace Jobs. A machine needs Go, git and make; tools are built from Go modules
# into a cache outside the repository.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where images go and what they are called: REGISTRY/manager:TAG, REGISTRY/runner:TAG.
REGISTRY ?= localhost/workspace-jobs
TAG ?= dev
# NAMESPACE is where the operator is installed.
NAMESPACE := workspace-jobs-system
# VERSION is the version that the binaries report.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# KUBECTL is the command that deploy and undeploy use; for a cluster of `make cluster-up`:
#   make deploy KUBECTL="bin/cluster kubectl"
KUBECTL ?= kubectl
# CLUSTER_NAME is the name of the cluster that cluster-up starts and cluster-down removes.
CLUSTER_NAME ?= dev
# PUSH=1 makes `make images` push them, with the credentials of docker's or podman's login.
PUSH ?=
# VULNDB is the database that vulncheck queries: a URL, or file:// and the folder of a copy.
VULNDB ?= https://vuln.go.dev
# TESTFLAGS are passed to every `go test`, as in: make test TESTFLAGS="-run TestX -v". Most
# tests wait for a control plane, so more packages run at once than there are cores.
TESTFLAGS ?= -count=1 -timeout=30m -p=4

# FUZZTIME is how long each fuzz target runs: so many inputs, or a time such as 10m.
# Empty leaves them out of `make test`, which runs their known inputs in any case.
FUZZTIME ?= 2000x

export CGO_ENABLED ?= 0
BUILD_FLAGS := -trimpath -buildvcs=false -tags=timetzdata
# The same flags for building, testing and linting, so that each package is compiled once.
export GOFLAGS := $(filter-out $(BUILD_FLAGS),$(GOFLAGS)) $(BUILD_FLAGS)
export WORKSPACE_JOBS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/workspace-jobs

TOOLS := $(WORKSPACE_JOBS_CACHE)/tools
CONTROLLER_GEN := $(TOOLS)/controller-gen-v0.23.0/controller-gen
KUSTOMIZE := $(TOOLS)/kustomize-v5.8.2/kustomize
GOLANGCI_LINT := $(TOOLS)/golangci-lint-v2.15.0/golangci-lint
GOVULNCHECK := $(TOOLS)/govulncheck-v1.9.0/govulncheck

# Every Go module with code of this repository; the others only pin what the cluster is
# built from.
MODULES := . hack/tests/argocd hack/tests/calendar hack/env/cluster hack/env/image hack/tests/prometheus
PINS := $(addprefix hack/env/cluster/build/,containerd coredns etcd kube-router kubernetes)

GO_BUILD := GOOS=linux go build -ldflags "-s -w -X main.version=$(VERSION)"

##@ See it work

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: cluster-tool ## Two tenants' jobs on a real cluster against real databases; needs root on Debian
	@echo "building the demo"
	@go run ./hack/tools/demo up

.PHONY: demo-down
demo-down: cluster-tool ## Remove all of the demo: cluster, databases, files
	@go run ./hack/tools/demo down

##@ Work on it

.PHONY: test
# The tests' manifests use these image names.
test: override REGISTRY := localhost/workspace-jobs
test: override TAG := dev
test: cluster-build images alltests-tool ## Run all tests, on a real API server, kubelet and PostgreSQL, and count them
	@failed=0; rm -f bin/tests; \
	run() { echo "go test: $$1"; bin/alltests run bin/tests "$$1" $(TESTFLAGS) "$${@:2}" || failed=1; }; \
	export CLUSTER=$(abspath bin/cluster) IMAGES=$(abspath dist); \
	for module in $(filter-out .,$(MODULES)); do run "$$module" ./...; done; \
	run . $$(go list ./... | grep -v '/hack/tests/e2e$$'); \
	$(if $(FUZZTIME),FUZZTIME=$(FUZZTIME) hack/tools/fuzz.sh || failed=1;) \
	run . ./hack/tests/e2e; \
	bin/alltests count bin/tests || failed=1; \
	exit $$failed

.PHONY: test-quick
test-quick: ## Run the tests that need Go alone: no root, no cluster, no database, no browser
	@failed=0; for module in $(MODULES); do \
		echo "go test -short: $$module"; \
		go -C $$module test -short -timeout=5m ./... || failed=1; \
	done; exit $$failed

.PHONY: screenshots
screenshots: ## Write docs/images from the screenshots that make test leaves in dist/screenshots
	@go run ./hack/tools/screenshots

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME, as in: make fuzz FUZZTIME=10m
	@GUIDED=1 FUZZTIME=$(FUZZTIME) hack/tools/fuzz.sh

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint on every Go module
	@failed=0; for module in $(MODULES); do \
		echo "golangci-lint: $$module"; \
		(cd $$module && $(GOLANGCI_LINT) run --allow-parallel-runners --config $(abspath .golangci.yml) ./...) || failed=1; \
	done; exit $$failed

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate deepcopy, CRDs, the manager's role, docs/reference.md and docs/openapi.yaml from code, Argo CD's ConfigMap from Lua
	@$(CONTROLLER_GEN) object paths=./api/...
	@$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	@$(CONTROLLER_GEN) rbac:roleName=workspace-jobs-manager,fileName=manager-role.yaml \
		paths=./controllers/... output:rbac:dir=config/rbac
	@go -C hack/tests/argocd run . -update
	@go run ./hack/tools/reference > docs/reference.md.new && mv docs/reference.md.new docs/reference.md
	@go run ./api/rest/openapi > docs/openapi.yaml.new && mv docs/openapi.yaml.new docs/openapi.yaml

.PHONY: verify
verify: $(CONTROLLER_GEN) $(KUSTOMIZE) ## Check generated files, go.mod, formatting, vet and manifests
	@CONTROLLER_GEN=$(CONTROLLER_GEN) KUSTOMIZE=$(KUSTOMIZE) MODULES="$(MODULES)" PINS="$(PINS)" \
		hack/tools/verify.sh

.PHONY: vulncheck
vulncheck: $(GOVULNCHECK) ## Find known vulnerabilities in the code that each module uses; queries VULNDB
	@failed=0; for module in $(MODULES); do \
		echo "govulncheck: $$module"; \
		status=0; $(GOVULNCHECK) -C $$module -db $(VULNDB) -test ./... || status=$$?; \
		case $$status in \
		0) ;; \
		3) failed=1 ;; \
		*) echo "vulncheck: $$module could not be checked; can this machine reach the database $(VULNDB)? To use a copy, set VULNDB=file:///FOLDER" >&2; exit 1 ;; \
		esac; \
	done; exit $$failed

##@ Run it

.PHONY: images
images: image-tool ## Build the images and their SBOMs into dist/, without Docker; PUSH=1 sends them to REGISTRY
	@$(GO_BUILD) -o dist/bin/manager ./controllers/manager
	@$(GO_BUILD) -o dist/bin/runner ./runner/stock
	@$(GO_BUILD) -o dist/bin/server ./api/server
	@for image in manager runner server; do \
		bin/image --binary dist/bin/$$image --name $(REGISTRY)/$$image:$(TAG) \
			--version $(VERSION) --output dist/$$image.tar --sbom dist/$$image.cdx.json $(if $(PUSH),--push); \
	done

.PHONY: install-yaml
install-yaml: $(KUSTOMIZE) ## Render all manifests into dist/install.yaml, with images by REGISTRY and TAG, for NAMESPACE
	@mkdir -p dist/install
	@printf '%s\n' \
		'apiVersion: kustomize.config.k8s.io/v1beta1' \
		'kind: Kustomization' \
		'resources: [../../config/default]' \
		'images:' \
		'- name: localhost/workspace-jobs/manager' \
		'  newName: $(REGISTRY)/manager' \
		'  newTag: "$(TAG)"' \
		'- name: localhost/workspace-jobs/server' \
		'  newName: $(REGISTRY)/server' \
		'  newTag: "$(TAG)"' > dist/install/kustomization.yaml
	@$(KUSTOMIZE) build dist/install | sed 's/workspace-jobs-system/$(NAMESPACE)/g' > dist/install.yaml.new
	@mv dist/install.yaml.new dist/install.yaml
	@echo "dist/install.yaml is for: kubectl apply --server-side -f dist/install.yaml"

.PHONY: deploy
deploy: install-yaml ## Install operator and server into the cluster that KUBECTL talks to
	@$(KUBECTL) apply --server-side --force-conflicts -f dist/install.yaml
	@for part in manager server; do \
		$(KUBECTL) -n $(NAMESPACE) rollout status deployment/workspace-jobs-$$part --timeout=3m || \
			{ $(KUBECTL) -n $(NAMESPACE) describe pods; exit 1; }; \
	done

.PHONY: undeploy
undeploy: install-yaml ## Remove the operator, and with its CRDs every Workspace and job
	@for kind in workspacejobs workspacerecurringjobs workspaces; do \
		! $(KUBECTL) get crd $$kind.jobs.openradius.io > /dev/null 2>&1 || \
			$(KUBECTL) delete $$kind.jobs.openradius.io --all --all-namespaces --timeout=5m; \
	done
	@$(KUBECTL) delete --ignore-not-found --timeout=5m -f dist/install.yaml

.PHONY: cluster-up
cluster-up: cluster-tool ## Start a Kubernetes cluster on this machine; needs root on Debian
	@bin/cluster up --name $(CLUSTER_NAME)

.PHONY: cluster-build
cluster-build: cluster-tool ## Build the cluster's Kubernetes into the cache, once for each version
	@bin/cluster build

.PHONY: cluster-down
cluster-down: cluster-tool ## Stop the cluster and remove all of it
	@bin/cluster down --name $(CLUSTER_NAME)

.PHONY: clean
clean: ## Remove what was built in the repository (not the cache)
	@rm -rf bin dist

# These run every time: Go knows what is stale.
.PHONY: alltests-tool cluster-tool image-tool
alltests-tool:
	@go build -o bin/alltests ./hack/tools/alltests
cluster-tool:
	@go -C hack/env/cluster build -o $(abspath bin)/cluster .
image-tool:
	@go -C hack/env/image build -o $(abspath bin)/image .

# go-tool FOLDER PACKAGE@VERSION: build once, into a folder named after the version.
define go-tool
	@echo "building $(2) (once; into $(1))"
	@start=$$SECONDS; \
	GOBIN=$(1).new go install -trimpath $(2) & \
	while kill -0 $$! 2>/dev/null; do \
		sleep 1; \
		if (( (SECONDS - start) % 20 == 19 )); then echo "  still building, $$((SECONDS - start)) s"; fi; \
	done; \
	wait $$!
	@rm -rf $(1) && mv $(1).new $(1)
endef

$(CONTROLLER_GEN):
	$(call go-tool,$(@D),sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0)
$(KUSTOMIZE):
	$(call go-tool,$(@D),sigs.k8s.io/kustomize/kustomize/v5@v5.8.2)
$(GOLANGCI_LINT):
	$(call go-tool,$(@D),github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0)
$(GOVULNCHECK):
	$(call go-tool,$(@D),golang.org/x/vuln/cmd/govulncheck@v1.9.0)
