#!/usr/bin/env bash
# Runs the checks of `make verify`. It changes no file of the repository. It prints every fault, and
# how to fix it, before it fails.
set -euo pipefail

cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# fault reports what is wrong; the checks continue.
fault() {
	echo "verify: $*" >&2
	failed=1
}

step() { echo "verify: $*"; }

step "generated files"
mkdir -p "$scratch/object" "$scratch/crd" "$scratch/rbac"
"$CONTROLLER_GEN" object paths=./api/... output:object:dir="$scratch/object"
"$CONTROLLER_GEN" crd paths=./api/... output:crd:dir="$scratch/crd"
"$CONTROLLER_GEN" rbac:roleName=workspace-jobs-manager,fileName=manager-role.yaml \
	paths=./controllers/... output:rbac:dir="$scratch/rbac"
# current FRESH CHECKED-IN compares the generated files in two folders.
current() {
	local file
	for file in "$1"/*; do
		cmp --silent "$file" "$2/$(basename "$file")" ||
			fault "$2/$(basename "$file") is stale: run \`make generate\`"
	done
}
current "$scratch/object" api/v1alpha1
current "$scratch/crd" config/crd/bases
current "$scratch/rbac" config/rbac
mkdir -p "$scratch/docs"
go run ./api/rest/openapi > "$scratch/docs/openapi.yaml"
go run ./hack/tools/reference > "$scratch/docs/reference.md"
current "$scratch/docs" docs
go -C hack/tests/argocd run . || fault "config/argocd is not generated from its Lua files: run \`make generate\`"
for file in config/crd/bases/*; do
	[[ -e $scratch/crd/$(basename "$file") ]] ||
		fault "$file belongs to no type: remove it"
done

step "go.mod and go.sum"
for module in $MODULES $PINS; do
	go -C "$module" mod tidy -diff > "$scratch/tidy" 2>&1 || {
		fault "$module/go.mod or go.sum is not tidy: run \`go -C $module mod tidy\`"
		cat "$scratch/tidy" >&2
	}
done

step "large files"
large=$(git ls-tree -r -l HEAD | awk '$4 > 1048576 { print $5 }')
[[ -z $large ]] || fault "larger than 1 MiB, so most likely built by accident; remove from the commit: $large"

step "format"
unformatted=$(git ls-files --cached --others --exclude-standard -- '*.go' |
	while read -r file; do [[ ! -e $file ]] || echo "$file"; done | xargs gofmt -l)
[[ -z $unformatted ]] || fault "not formatted, run \`gofmt -w\` on: $unformatted"

step "go vet"
for module in $MODULES; do
	go -C "$module" vet ./... || fault "go vet finds faults in $module"
done

step "kustomizations"
while read -r kustomization; do
	folder=$(dirname "$kustomization")
	"$KUSTOMIZE" build "$folder" > /dev/null || fault "$folder does not build"
done < <(find config -name kustomization.yaml | sort)

step "manifests and PROJECT"
go test ./hack/tests/manifests || fault "a manifest or PROJECT does not fit the API"

if ((failed)); then
	echo "verify: failed" >&2
	exit 1
fi
echo "verify: ok"
