package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// omitted are the folders that Debian's slim images leave out as well.
var omitted = []string{"/usr/share/doc/", "/usr/share/man/", "/usr/share/info/", "/usr/share/locale/", "/usr/share/lintian/"}

// files returns the paths of installed packages and of their dependencies, as they are on
// this machine: no path goes through a symbolic link. Folders come before their content.
func files(ctx context.Context, packages []string) ([]string, error) {
	all, err := withDependencies(ctx, packages)
	if err != nil {
		return nil, err
	}
	output, err := exec.CommandContext(ctx, "dpkg", append([]string{"-L"}, all...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("dpkg -L: %w", err)
	}
	var paths []string
	for line := range strings.Lines(string(output)) {
		path := strings.TrimSpace(line)
		// Other lines are about diversions.
		if !filepath.IsAbs(path) || path == "/." || slices.ContainsFunc(omitted, func(folder string) bool { return strings.HasPrefix(path+"/", folder) }) {
			continue
		}
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if os.IsNotExist(err) {
			continue // this machine leaves it out
		}
		if err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(folder, filepath.Base(path)))
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// withDependencies returns the packages and everything installed that they need. Of
// alternatives it takes those that are installed.
func withDependencies(ctx context.Context, packages []string) ([]string, error) {
	output, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Pre-Depends},${Depends}\n").Output()
	if err != nil {
		return nil, fmt.Errorf("dpkg-query: %w", err)
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(output)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 || fields[0] != "installed" {
			continue
		}
		needs[fields[1]] = names(fields[2])
	}
	var all []string
	for queue := packages; len(queue) > 0; queue = queue[1:] {
		name := queue[0]
		depends, installed := needs[name]
		if slices.Contains(packages, name) && !installed {
			return nil, fmt.Errorf("the package %s is not installed", name)
		}
		if installed && !slices.Contains(all, name) {
			all = append(all, name)
			queue = append(queue, depends...)
		}
	}
	return all, nil
}

// names returns the names of a package's dependencies, without versions and architectures.
func names(depends string) []string {
	var all []string
	for _, one := range strings.FieldsFunc(depends, func(r rune) bool { return r == ',' || r == '|' }) {
		name, _, _ := strings.Cut(strings.TrimSpace(one), " ")
		if name, _, _ = strings.Cut(name, ":"); name != "" {
			all = append(all, name)
		}
	}
	return all
}
