//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a component as it is started: which binary, with which arguments, where
// its log and its pid file are.
type process struct {
	name    string
	path    string
	args    []string
	env     []string
	log     string
	pidFile string // none: only the program that started the process knows it
	// diesWithUs has the kernel kill it when the thread that started it ends.
	diesWithUs bool
}

// pid is a process's number and start time: numbers are reused, the pair is not.
type pid struct {
	number  int
	started string
}

func (p pid) String() string { return fmt.Sprintf("%d %s\n", p.number, p.started) }

// start starts a process in a session of its own, so that it outlives this program and
// no terminal's signals reach it.
func start(p process) (pid, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return pid{}, err
	}
	defer closeQuietly(log)
	command := exec.Command(p.path, p.args...)
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "LANG=C.UTF-8"}, p.env...)
	command.Dir = filepath.Dir(p.log)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.diesWithUs {
		command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := command.Start(); err != nil {
		return pid{}, fmt.Errorf("start %s: %w", p.name, err)
	}
	id := pid{number: command.Process.Pid}
	id.started, _ = startTime(id.number)
	go func() { _ = command.Wait() }() // reaps it; how it ended is in its log
	if p.pidFile == "" {
		return id, nil
	}
	return id, os.WriteFile(p.pidFile, []byte(id.String()), 0o600)
}

// readPid returns the process that a pid file names, if that very process still runs.
func readPid(path string) (pid, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return pid{}, false
	}
	number, started, found := strings.Cut(strings.TrimSpace(string(text)), " ")
	id := pid{started: started}
	if id.number, err = strconv.Atoi(number); err != nil || !found {
		return pid{}, false
	}
	return id, id.alive()
}

func (p pid) alive() bool {
	started, zombie := startTime(p.number)
	return started != "" && started == p.started && !zombie
}

// startTime is field 22 of /proc/PID/stat (proc_pid_stat(5)), counted behind the
// command's name, which may hold spaces; "" if there is no such process.
func startTime(number int) (started string, zombie bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", number))
	if err != nil {
		return "", false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return "", false
	}
	return fields[19], fields[0] == "Z"
}

// stop ends a process: SIGTERM and, when grace is over, SIGKILL. Without grace it sends SIGKILL
// at once.
func (p pid) stop(grace time.Duration) {
	if grace > 0 && p.alive() {
		_ = syscall.Kill(p.number, syscall.SIGTERM)
		p.waitGone(grace)
	}
	if p.alive() {
		_ = syscall.Kill(p.number, syscall.SIGKILL)
		p.waitGone(5 * time.Second)
	}
}

func (p pid) waitGone(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = poll(ctx, 20*time.Millisecond, func(context.Context) error {
		if p.alive() {
			return errors.New("still running")
		}
		return nil
	})
}

// poll calls check until it returns nil or an error of errStop, or ctx ends: then the
// last error says what was missing.
func poll(ctx context.Context, every time.Duration, check func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil || errors.Is(err, errStop) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// errStop marks an error that waiting will not fix.
var errStop = errors.New("waiting will not help")
