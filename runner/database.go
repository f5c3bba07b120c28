package runner

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/runner/contract"
)

const (
	// connectTimeout is the default of the URL's connect_timeout.
	connectTimeout = 10 * time.Second
	// handlerConnections is the default of the URL's pool_max_conns.
	handlerConnections = 4
	// ledgerConnections is one for the heartbeat and one for everything else, which
	// may have to wait for a lock.
	ledgerConnections = 2
	// closeTimeout is how long to wait for connections that a handler still holds.
	closeTimeout = time.Second
)

// database is the workspace's database. The ledger and the handlers have separate
// connections, so a handler that uses up its own does not stop the heartbeat.
type database struct {
	ledger, handlers *pgxpool.Pool
}

// openDatabase reads the URL. Connections are opened when they are needed.
func openDatabase(ctx context.Context, databaseURL, applicationName string) (*database, error) {
	config, err := parseDatabaseURL(databaseURL, applicationName)
	if err != nil {
		return nil, err
	}
	forLedger := config.Copy()
	forLedger.MaxConns, forLedger.MinConns, forLedger.MinIdleConns = ledgerConnections, 0, 0
	opened := &database{}
	if opened.ledger, err = pgxpool.NewWithConfig(ctx, forLedger); err != nil {
		return nil, err
	}
	if opened.handlers, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		opened.close()
		return nil, err
	}
	return opened, nil
}

// close closes the connections, except those that a stuck handler holds: they end
// with the process.
func (d *database) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, pool := range []*pgxpool.Pool{d.handlers, d.ledger} {
			if pool != nil {
				pool.Close()
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
}

// parseDatabaseURL reads a connection URL. The parser's errors may quote parts of
// it, the password included, so their text is never shown.
func parseDatabaseURL(databaseURL, applicationName string) (*pgxpool.Config, error) {
	if databaseURL == "" {
		return nil, usagef("%s is not set: the Workspace's database.secretRef names the Secret that holds it", contract.EnvDatabaseURL)
	}
	// pgx parses anything else, even POSTGRES://, as a list of keywords and values.
	if !strings.HasPrefix(databaseURL, "postgres://") && !strings.HasPrefix(databaseURL, "postgresql://") {
		return nil, badURL()
	}
	given, err := url.Parse(databaseURL)
	if err != nil {
		return nil, badURL()
	}
	query := given.Query()
	if err := checkTLSFiles(query); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, badURL()
	}
	if !query.Has("default_query_exec_mode") {
		// This mode takes one round trip and leaves nothing behind in the session: with
		// a pooler in transaction mode, the next statement may run in another session.
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if !query.Has("pool_max_conns") {
		config.MaxConns = handlerConnections
	}
	if !query.Has("connect_timeout") {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !query.Has("application_name") {
		config.ConnConfig.RuntimeParams["application_name"] = applicationName[:min(len(applicationName), 63)]
	}
	return config, nil
}

// checkTLSFiles reports certificate files that can't be read. The parser would, too,
// but its errors can't be shown, since they may quote the password.
func checkTLSFiles(query url.Values) error {
	for _, option := range []string{"sslrootcert", "sslcert", "sslkey"} {
		path := query.Get(option)
		if path == "" || path == "system" && option == "sslrootcert" {
			continue
		}
		text, err := readCertificate(path)
		if err != nil {
			return usagef("%s: can't read the file of %s (%s): list its Secret in the Workspace's runner.secrets, and use the path %s/<secret>/<key> in the URL",
				contract.EnvDatabaseURL, option, inOneLine(err.Error()), contract.SecretsPath)
		}
		if option == "sslrootcert" && !x509.NewCertPool().AppendCertsFromPEM(text) {
			return usagef("%s: the file of sslrootcert, %s, has no certificate in PEM format", contract.EnvDatabaseURL, inOneLine(path))
		}
	}
	return nil
}

// maxCertificate is far more than any file of certificates needs. Without a limit, a
// huge file or a device would fill the memory.
const maxCertificate = 1 << 20

func readCertificate(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCertificate+1))
	if err == nil && len(text) > maxCertificate {
		err = fmt.Errorf("%s is longer than 1 MiB", path)
	}
	return text, err
}

func badURL() error {
	return usagef("%s is not a PostgreSQL URL: the Secret's value should look like postgres://role:password@host:5432/database?sslmode=verify-full, with special characters in the password percent-encoded (/ as %%2F, @ as %%40, # as %%23)", contract.EnvDatabaseURL)
}

// applicationName returns the name of a job's sessions in pg_stat_activity. Every
// role of the server can read it there, other tenants' included, so it has the job's
// ID and not its name.
func applicationName(job string) string { return "workspace-jobs/" + job }

// explainDatabase adds to a failed connection's error where it went, in one line and
// without the password. It returns other errors unchanged.
func explainDatabase(err error) error {
	var failed *pgconn.ConnectError
	if !errors.As(err, &failed) {
		return err
	}
	config := failed.Config
	return &connectionError{
		text: inOneLine(fmt.Sprintf("cannot connect to PostgreSQL at %s as role %q, database %q: %s",
			net.JoinHostPort(config.Host, fmt.Sprint(config.Port)), config.User, config.Database, connectReason(failed))),
		err: err,
	}
}

type connectionError struct {
	text string
	err  error
}

func (e *connectionError) Error() string { return e.text }
func (e *connectionError) Unwrap() error { return e.err }

func connectReason(err error) string {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return fmt.Sprintf("%s (%s)", answer.Message, answer.Code)
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return lookup.Error()
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network.Err.Error()
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return "it failed"
}

func inOneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}
