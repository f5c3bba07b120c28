//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// readyWithin is far longer than a component takes on a busy machine. One that ends is
// reported at once.
const readyWithin = 4 * time.Minute

// component is a part of a cluster: how it is started, and when it is ready.
type component struct {
	process
	ready func(context.Context) error
}

// running is a component with its process, which this program may have started.
type running struct {
	component
	id      pid
	started bool
}

// failure returns what went wrong with a component, with the end of its log.
func (c component) failure(err error) error {
	return fmt.Errorf("%s: %w\n  the end of %s:\n%s", c.name, err, c.log, lastLines(c.log, 20))
}

// bringUp starts the components that do not run, by the given function, and waits for
// each in turn. If one fails, those that it started are stopped.
func bringUp(ctx context.Context, parts []component, start func(process) (pid, error)) ([]running, error) {
	var all []running
	for _, part := range parts {
		id, found := readPid(part.pidFile)
		if !found {
			if part.pidFile != "" {
				say("starting %s", part.name)
			}
			var err error
			if id, err = start(part.process); err != nil {
				stopStarted(all)
				return nil, part.failure(err)
			}
		}
		all = append(all, running{component: part, id: id, started: !found})
		if err := waitReady(ctx, all); err != nil {
			stopStarted(all)
			return nil, err
		}
	}
	return all, nil
}

// waitReady waits until the last component is ready, unless any of them ends before:
// an earlier one may keep it from getting ready.
func waitReady(ctx context.Context, all []running) error {
	last := all[len(all)-1]
	if last.ready == nil {
		return nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not ready within %s", readyWithin))
	defer cancel()
	var ended error
	err := poll(limited, 100*time.Millisecond, func(ctx context.Context) error {
		if ended = anyEnded(all); ended != nil {
			return errStop
		}
		return last.ready(ctx)
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped while waiting for %s", last.name)
	case ended != nil:
		return ended
	case err != nil:
		return last.failure(err)
	}
	return nil
}

// anyEnded returns the failure of the first component that does not run any more.
func anyEnded(all []running) error {
	for _, one := range all {
		if !one.id.alive() {
			return one.failure(fmt.Errorf("it ended"))
		}
	}
	return nil
}

// stopStarted stops what this program started, in the opposite order: without etcd, which starts
// first, the API server would hang.
func stopStarted(all []running) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].started {
			all[i].id.stop(0)
		}
	}
}

// lastLines returns the end of a log, indented, to be shown in an error.
func lastLines(path string, count int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "    (no log: " + err.Error() + ")"
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	lines = lines[max(0, len(lines)-count):]
	return "    " + strings.Join(lines, "\n    ")
}
