package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/openradius/workspace-jobs/hack/env/debian"
)

// programs is the folder of PostgreSQL's programs and the user who runs them, since
// PostgreSQL refuses to run as root.
type programs struct {
	dir        string
	credential *syscall.Credential
}

// findPrograms finds the newest PostgreSQL in Debian's folders, or else the one in PATH.
func findPrograms(ctx context.Context) (programs, error) {
	found := programs{dir: programDir()}
	if found.dir == "" {
		if err := debian.Install(ctx, "postgresql"); err != nil {
			return found, err
		}
		if found.dir = programDir(); found.dir == "" {
			return found, errors.New("the package postgresql is installed, but its programs are not in /usr/lib/postgresql/*/bin")
		}
	}
	var err error
	found.credential, err = unprivileged()
	return found, err
}

func programDir() string {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(dirs) > 0 {
		return filepath.Dir(slices.MaxFunc(dirs, func(a, b string) int { return version(a) - version(b) }))
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// version returns the number in /usr/lib/postgresql/<version>/bin/initdb, or 0 if it is
// not a number.
func version(path string) int {
	number, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return number
}

// unprivileged returns the user as whom root runs PostgreSQL, or nil if this process
// does not run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody")
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// drop makes cmd run as the unprivileged user.
func (p programs) drop(cmd *exec.Cmd) {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
}

// run runs a program to its end. Its output is only part of the error.
func (p programs) run(ctx context.Context, name string, args ...string) error {
	return p.runWith(ctx, input{}, name, args...)
}

// input is a program's input besides its arguments, which any user can see.
type input struct {
	text string
	env  []string
}

// runWith is like run, with more input than arguments.
func (p programs) runWith(ctx context.Context, given input, name string, args ...string) error {
	output, err := os.CreateTemp("", "workspace-jobs-output-")
	if err != nil {
		return err
	}
	defer func() {
		_ = output.Close()
		_ = os.Remove(output.Name())
	}()
	cmd := exec.CommandContext(ctx, p.path(name), args...)
	p.drop(cmd)
	// A file, not a pipe: the server that pg_ctl starts would keep a pipe open, and this
	// process would wait for it.
	cmd.Stdout, cmd.Stderr = output, output
	if given.text != "" {
		cmd.Stdin = strings.NewReader(given.text)
	}
	cmd.Env = append(os.Environ(), given.env...)
	if err := cmd.Run(); err != nil {
		text, readErr := os.ReadFile(output.Name())
		return errors.Join(fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(text)), readErr)
	}
	return nil
}

// own creates dir and gives it to the unprivileged user.
func (p programs) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if p.credential == nil {
		return nil
	}
	return os.Chown(dir, int(p.credential.Uid), int(p.credential.Gid))
}

// write creates a file that only the unprivileged user and root can read.
func (p programs) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if p.credential == nil {
		return nil
	}
	return os.Chown(path, int(p.credential.Uid), int(p.credential.Gid))
}
