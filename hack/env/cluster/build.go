//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

const progressEvery = 20 * time.Second

// binaries maps the name of a command to its path.
type binaries map[string]string

func cacheFolder() (string, error) {
	if folder := os.Getenv("WORKSPACE_JOBS_CACHE"); folder != "" {
		return filepath.Abs(folder)
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: set WORKSPACE_JOBS_CACHE to a folder for what is built", err)
	}
	return filepath.Join(folder, "workspace-jobs"), nil
}

// build returns the commands for a use, building those that the cache lacks.
func build(ctx context.Context, purpose use) (binaries, error) {
	pins, err := pinAll(ctx)
	if err != nil {
		return nil, err
	}
	all := binaries{}
	for _, p := range pins {
		if err := p.build(ctx, purpose, all); err != nil {
			return nil, fmt.Errorf("building %s %s: %w", p.title, p.version, err)
		}
	}
	return all, nil
}

// checkBuilt returns an error that names what build would have to build.
func checkBuilt(ctx context.Context, purpose use) error {
	pins, err := pinAll(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, p := range pins {
		if len(p.missing(p.wanted(purpose))) > 0 {
			missing = append(missing, fmt.Sprintf("%s %s (%s)", p.title, p.version, p.hint))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("not built on this machine yet: %s", strings.Join(missing, ", "))
	}
	return nil
}

func pinAll(ctx context.Context) ([]pinned, error) {
	modules, err := sourceFolder()
	if err != nil {
		return nil, err
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	goVersion, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOVERSION: %w: is Go installed?", err)
	}
	var all []pinned
	for _, s := range sources() {
		p, err := pin(s, modules, cache, strings.TrimSpace(string(goVersion)))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// build adds the source's commands to all. The lock is on its folder in the cache, so
// two processes that need the same build make it once.
func (p pinned) build(ctx context.Context, purpose use, all binaries) error {
	wanted := p.wanted(purpose)
	if len(wanted) == 0 {
		return nil
	}
	for _, c := range wanted {
		all[c.name] = filepath.Join(p.cache, c.name)
	}
	if len(p.missing(wanted)) == 0 {
		return nil
	}
	unlock, err := lock(ctx, p.cache, fmt.Sprintf("builds %s %s", p.title, p.version))
	if err != nil {
		return err
	}
	defer unlock()
	missing := p.missing(wanted)
	if len(missing) == 0 {
		return nil
	}
	say("building %s %s (once; %s): %s", p.title, p.version, p.hint, commandNames(missing))
	start := time.Now()
	if err := p.compile(ctx, missing); err != nil {
		return err
	}
	say("built %s %s in %s", p.title, p.version, time.Since(start).Round(time.Second))
	return nil
}

func (p pinned) wanted(purpose use) []command {
	var wanted []command
	for _, c := range p.commands {
		if c.uses&purpose != 0 {
			wanted = append(wanted, c)
		}
	}
	return wanted
}

func (p pinned) missing(wanted []command) []command {
	var missing []command
	for _, c := range wanted {
		if _, err := os.Stat(filepath.Join(p.cache, c.name)); err != nil {
			missing = append(missing, c)
		}
	}
	return missing
}

func commandNames(commands []command) string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// compile builds into a folder of its own and moves each binary when it is whole, so an
// interrupted build leaves nothing that looks like one.
func (p pinned) compile(ctx context.Context, commands []command) error {
	scratch, err := os.MkdirTemp(p.cache, ".building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	flags := []string{"-s", "-w"}
	if p.stamp != nil {
		flags = append(flags, p.stamp(p.version)...)
	}
	args := []string{"build", "-C", p.modules, "-v", "-trimpath", "-buildvcs=false",
		"-ldflags", strings.Join(flags, " "), "-o", scratch + string(filepath.Separator)}
	for _, c := range commands {
		args = append(args, p.importPath(c))
	}
	if err := runGo(ctx, p.title, args...); err != nil {
		return err
	}
	for _, c := range commands {
		if err := os.Rename(filepath.Join(scratch, outputName(p.importPath(c))), filepath.Join(p.cache, c.name)); err != nil {
			return err
		}
	}
	return nil
}

// outputName is what `go build` calls the binary of a package: the last element of its
// path, or the one before a major version.
func outputName(importPath string) string {
	base := path.Base(importPath)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		return path.Base(path.Dir(importPath))
	}
	return base
}

// goCommand is go for this machine, away from settings that would change what is
// built.
func goCommand(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=")
	return command
}

// runGo runs go and reports its progress from time to time.
func runGo(ctx context.Context, title string, args ...string) error {
	command := goCommand(ctx, args...)
	output, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	progress := &progress{}
	stop := make(chan struct{})
	defer close(stop)
	go progress.report(title, stop)
	progress.read(output)
	if err := command.Wait(); err != nil {
		return errors.Join(err, errors.New(progress.problems()))
	}
	return nil
}

// progress counts what `go build -v` names as it goes, and keeps the rest: its errors.
type progress struct {
	downloads, packages atomic.Int64
	other               []string
}

func (p *progress) read(output io.Reader) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "go: downloading "):
			p.downloads.Add(1)
		case !strings.ContainsAny(line, " \t:"):
			p.packages.Add(1)
		default:
			p.other = append(p.other, line)
		}
	}
}

func (p *progress) report(title string, stop <-chan struct{}) {
	start := time.Now()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			say("  %s: %s; %d modules downloaded, %d packages compiled", title,
				time.Since(start).Round(time.Second), p.downloads.Load(), p.packages.Load())
		}
	}
}

func (p *progress) problems() string {
	return strings.Join(p.other[max(0, len(p.other)-20):], "\n")
}
