//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseMounts(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /run/workspace-jobs/dev rw - ext4 /dev/vda rw
31 30 0:4 net:[4026532] /run/workspace-jobs/dev/netns rw shared:9 master:1 - nsfs nsfs rw
32 22 0:27 / /run/workspace-jobs/dev2 rw - tmpfs tmpfs rw
33 22 0:28 / /run/workspace-jobs/dev/a\040b\011c rw - overlay overlay rw
broken
`
	got := parseMounts(mountinfo, "/run/workspace-jobs/dev")
	want := []mountPoint{
		{"/run/workspace-jobs/dev", "ext4"},
		{"/run/workspace-jobs/dev/netns", "nsfs"},
		{"/run/workspace-jobs/dev/a b\tc", "overlay"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if all := parseMounts(mountinfo, "/"); len(all) != 5 {
		t.Errorf("%d mounts under /, want 5", len(all))
	}
}

func TestProcessIsKnownByItsStart(t *testing.T) {
	folder := t.TempDir()
	p := process{name: "sleep", path: "/bin/sleep", args: []string{"60"}, log: filepath.Join(folder, "log"), pidFile: filepath.Join(folder, "pid")}
	id, err := start(p)
	if err != nil {
		t.Fatal(err)
	}
	defer id.stop(0)
	if read, running := readPid(p.pidFile); !running || read != id {
		t.Errorf("read %v, %v from the pid file; it is %v", read, running, id)
	}
	another := pid{number: id.number, started: "1"}
	if another.alive() {
		t.Error("a process of the same number and another start counts as the same")
	}
	id.stop(time.Second)
	if _, running := readPid(p.pidFile); running {
		t.Error("it runs after stop")
	}
}

func TestLockIsExclusive(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "locked")
	unlock, err := lock(t.Context(), folder, "tests")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, folder, "tests"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := lock(t.Context(), folder, "tests")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestLockIsOnTheFolderThatIsThere checks that a lock on a folder that its last holder removed
// locks out nobody.
func TestLockIsOnTheFolderThatIsThere(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "locked")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(file)
	if !sameFolder(file, folder) {
		t.Error("the folder is not itself")
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if sameFolder(file, folder) {
		t.Error("a removed folder counts as an existing one")
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if sameFolder(file, folder) {
		t.Error("a removed folder counts as the new one of its name")
	}
}

func TestReservedPortsAreFreeForTheirComponents(t *testing.T) {
	plane, release, err := reservePlane(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if plane.port == plane.etcdPort || plane.etcdPort == plane.etcdPeerPort || plane.port == 0 {
		t.Errorf("ports %d, %d, %d", plane.port, plane.etcdPort, plane.etcdPeerPort)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", plane.port))
	if err == nil {
		_ = listener.Close()
		t.Error("somebody else can listen on a reserved port")
	}
}

func TestUntilEOF(t *testing.T) {
	<-untilEOF(t.Context(), strings.NewReader("anything\n")).Done()
}

func TestRunFolder(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runFolder(full); err == nil {
		t.Error("a folder with files in it is accepted, and would be removed")
	}
	if _, err := runFolder(filepath.Join(full, "new")); err != nil {
		t.Error(err)
	}
}

func TestFailureShowsTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	if err := os.WriteFile(log, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	part := component{process: process{name: "etcd", log: log}}
	got := part.failure(errors.New("it ended")).Error()
	if !strings.HasPrefix(got, "etcd: it ended") || strings.Contains(got, "line 9\n") || !strings.Contains(got, "line 10\n") || !strings.HasSuffix(got, "line 29") {
		t.Errorf("got %s", got)
	}
}

func TestBringUpStopsWhatItStarted(t *testing.T) {
	folder := t.TempDir()
	part := func(name, program string, args ...string) component {
		return component{process: process{name: name, path: program, args: args, log: filepath.Join(folder, name)}}
	}
	first, second := part("first", "/bin/sleep", "60"), part("second", "/bin/sh", "-c", "echo broken; exit 1")
	second.ready = func(context.Context) error { return errors.New("not yet") }
	var started []pid
	_, err := bringUp(t.Context(), []component{first, second}, func(p process) (pid, error) {
		id, err := start(p)
		started = append(started, id)
		return id, err
	})
	if err == nil || !strings.Contains(err.Error(), "second: it ended") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	if len(started) != 2 || started[0].alive() {
		t.Errorf("%v: the first was not stopped", started)
	}
}

func TestContainerdConfigIsWhole(t *testing.T) {
	c := cluster{name: "dev", slot: 0}
	if got := c.containerdConfig("/usr/lib/cni"); strings.Contains(got, "%!") {
		t.Errorf("a value is missing in\n%s", got)
	}
}

func TestLeadingName(t *testing.T) {
	tests := []struct {
		args []string
		name string
		rest string
	}{
		{[]string{"get", "pods"}, "dev", "get pods"},
		{[]string{"--name", "e2e", "get", "pods"}, "e2e", "get pods"},
		{[]string{"--name=e2e", "get"}, "e2e", "get"},
		{[]string{"expose", "--name=web"}, "dev", "expose --name=web"},
		{nil, "dev", ""},
	}
	for _, test := range tests {
		name, rest := leadingName(test.args)
		if name != test.name || strings.Join(rest, " ") != test.rest {
			t.Errorf("%v: got %q, %v", test.args, name, rest)
		}
	}
}
