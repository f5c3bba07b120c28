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

// programs is where PostgreSQL's programs are and who runs them: PostgreSQL
// refuses to run as root.
type programs struct {
	dir        string
	credential *syscall.Credential
}

// findPrograms looks for the newest PostgreSQL of Debian's layout, then in PATH.
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

// version is the number in /usr/lib/postgresql/<version>/bin/initdb, 0 if it is
// not one.
func version(path string) int {
	number, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return number
}

// unprivileged is whom root runs PostgreSQL as; nil: as whoever we are.
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

// run runs a program to its end; its output is part of the error only.
func (p programs) run(ctx context.Context, name string, args ...string) error {
	return p.runWith(ctx, input{}, name, args...)
}

// input is what a program gets beside its arguments, which any user can see.
type input struct {
	text string
	env  []string
}

// runWith is run with more than arguments.
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
	// A file, not a pipe: the server that pg_ctl leaves behind would keep a pipe
	// open, and us waiting.
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

// own makes dir and gives it to the unprivileged user.
func (p programs) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if p.credential == nil {
		return nil
	}
	return os.Chown(dir, int(p.credential.Uid), int(p.credential.Gid))
}

// write makes a file that only the unprivileged user, and root, can read.
func (p programs) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if p.credential == nil {
		return nil
	}
	return os.Chown(path, int(p.credential.Uid), int(p.credential.Gid))
}
