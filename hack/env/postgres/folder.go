package postgres

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openradius/workspace-jobs/hack/env/ports"
)

// temporaryPrefix is the prefix of the temporary folders of Start.
const temporaryPrefix = "workspace-jobs-postgres-"

// state is the description of a server in its folder.
type state struct {
	Dir           string   `json:"-"`
	Listen        []string `json:"listen"`
	Port          int      `json:"port"`
	AdminPassword string   `json:"adminPassword"`
}

func (s state) dataDir() string { return filepath.Join(s.Dir, "data") }

func readState(dir string) (state, error) {
	read := state{Dir: dir}
	text, err := os.ReadFile(filepath.Join(dir, "server.json"))
	if err != nil {
		return read, err
	}
	return read, json.Unmarshal(text, &read)
}

// temporaryDir creates a folder that this process locks, and removes the folders of
// processes that were killed before they could.
func temporaryDir() (string, func(), error) {
	stale, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, dir := range stale {
		if unlock, err := lockDir(dir); err == nil {
			_ = os.RemoveAll(dir) // if it fails, the next process tries again
			unlock()
		}
	}
	// Locked before it gets the name that other processes search for.
	made, err := os.MkdirTemp("", "new-"+temporaryPrefix)
	if err != nil {
		return "", nil, err
	}
	unlock, err := lockDir(made)
	if err != nil {
		return "", nil, err
	}
	dir := filepath.Join(filepath.Dir(made), strings.TrimPrefix(filepath.Base(made), "new-"))
	if err := os.Rename(made, dir); err != nil {
		unlock()
		return "", nil, err
	}
	return dir, unlock, nil
}

// lockDir locks dir until the returned function is called or the process ends.
func lockDir(dir string) (func(), error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// initialise creates a database cluster and its configuration in options.Dir.
func initialise(ctx context.Context, programs programs, options Options) (state, error) {
	made, err := newState(options)
	if err != nil {
		return made, err
	}
	if err := programs.own(made.Dir); err != nil {
		return made, err
	}
	passwordFile := filepath.Join(made.Dir, "password")
	if err := programs.write(passwordFile, made.AdminPassword); err != nil {
		return made, err
	}
	err = programs.run(ctx, "initdb", "-D", made.dataDir(), "-U", adminRole, "--pwfile", passwordFile,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	if err := errors.Join(err, os.Remove(passwordFile)); err != nil {
		return made, err
	}
	if err := programs.write(filepath.Join(made.dataDir(), "postgresql.conf"), settings(made, options)); err != nil {
		return made, err
	}
	if err := programs.write(filepath.Join(made.dataDir(), "pg_hba.conf"), hostRules(made, options)); err != nil {
		return made, err
	}
	if options.TLS {
		if err := issueCertificates(programs, made); err != nil {
			return made, err
		}
	}
	text, err := json.Marshal(made)
	if err != nil {
		return made, err
	}
	return made, os.WriteFile(filepath.Join(made.Dir, "server.json"), text, 0o600)
}

func newState(options Options) (state, error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return state{}, err
	}
	made := state{Dir: dir, Listen: options.Listen, Port: options.Port, AdminPassword: rand.Text()}
	if len(made.Listen) == 0 {
		made.Listen = []string{"127.0.0.1"}
	}
	if made.Port == 0 {
		made.Port, err = ports.Free(made.Listen[0])
	}
	return made, err
}

func settings(made state, options Options) string {
	connections := options.MaxConnections
	if connections == 0 {
		connections = 300
	}
	lines := []string{
		fmt.Sprintf("listen_addresses = '%s'", strings.Join(made.Listen, ",")),
		fmt.Sprintf("port = %d", made.Port),
		fmt.Sprintf("max_connections = %d", connections),
		"unix_socket_directories = ''",
		"password_encryption = 'scram-sha-256'",
		"shared_buffers = '64MB'",
		"timezone = 'UTC'",
		"log_timezone = 'UTC'",
		"log_line_prefix = '%m [%p] %q%u@%d %a '",
		"fsync = off",
		"full_page_writes = off",
		"synchronous_commit = off",
	}
	if options.TLS {
		lines = append(lines, "ssl = on", "ssl_ca_file = '../ca.crt'") // with server.crt and server.key
	}
	return strings.Join(lines, "\n") + "\n"
}

// hostRules lets clients connect with a password from the loopback, from the addresses
// that the server listens on, and from the networks of options.Allow.
func hostRules(made state, options Options) string {
	networks := []string{"127.0.0.0/8", "::1/128"}
	for _, address := range made.Listen {
		ip := net.ParseIP(address)
		switch {
		case ip == nil || ip.IsLoopback():
		case ip.To4() != nil:
			networks = append(networks, address+"/32")
		default:
			networks = append(networks, address+"/128")
		}
	}
	var rules strings.Builder
	for _, network := range append(networks, options.Allow...) {
		fmt.Fprintf(&rules, "host all all %s scram-sha-256\n", network)
	}
	return rules.String()
}
