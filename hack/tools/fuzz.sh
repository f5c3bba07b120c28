#!/usr/bin/env bash
# Runs every fuzz target of the repository for $FUZZTIME, one after the other, because Go runs only
# one at a time. Inputs that fail are written to the package's testdata/fuzz, and `go test` runs them
# from then on.
set -euo pipefail

cd "$(dirname "$0")/../.."
# If GUIDED is empty, packages are not built again with coverage to guide the fuzzing: for a few
# thousand inputs that makes little difference.
guided=(${GUIDED:+-fuzz=.})
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
found=$(go env GOCACHE)/fuzz
failed=0

# Targets are searched for in the files: to list them, test binaries would have to be built and run,
# and some start a database or an API server first.
folders=$(git ls-files --cached --others --exclude-standard -- '*_test.go' |
	xargs grep --files-with-matches '^func Fuzz' | xargs -n 1 dirname | sort -u)
for folder in $folders; do
	targets=$(grep --no-filename --only-matching '^func Fuzz[A-Za-z0-9_]*' "$folder"/*_test.go | cut -d' ' -f2)
	package=$(go -C "$folder" list .)
	echo "fuzz: $package"
	# Built once for all of a package's targets.
	if ! go -C "$folder" test -c "${guided[@]}" -o "$scratch/test" .; then
		failed=1
		continue
	fi
	for target in $targets; do
		# Inputs are minimized by count, so that how much is tried does not depend on time.
		if (cd "$folder" && "$scratch/test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$FUZZTIME" \
			-test.fuzzminimizetime=100x -test.fuzzcachedir="$found/$package" -test.timeout=0) > "$scratch/output" 2>&1; then
			echo "  $target: $(grep '^fuzz: elapsed' "$scratch/output" | tail -n 1 | cut -d' ' -f3-)"
		else
			cat "$scratch/output"
			echo "fuzz: $target of $package failed: commit the file in $folder/testdata/fuzz with the fix" >&2
			failed=1
		fi
	done
done
exit $failed
