package runner

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// hardPassword is a password with everything that URLs and their parsers trip over.
const hardPassword = `s3cret/pa#ss?w@rd:%zz"x'`

func TestParseDatabaseURLHidesPasswords(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"not set":           "",
		"not encoded":       "postgres://role:" + hardPassword + "@host:5432/db",
		"bad port":          "postgres://role:secret-word@host:port/db",
		"unknown option":    "postgres://role:secret-word@host/db?sslmode=maybe",
		"bad pool option":   "postgres://role:secret-word@host/db?pool_max_conns=secret-word",
		"bad exec mode":     "postgres://role:secret-word@host/db?default_query_exec_mode=secret-word",
		"another scheme":    "mysql://role:secret-word@host/db",
		"bad TLS option":    "postgres://role:secret-word@host/db?sslmode=require&sslcert=/dev/null",
		".NET":              "Host=host;Username=role;Password=secret-word;Database=db",
		"keyword and value": "host=host user=role password=secret-word",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseDatabaseURL(text, "test")
			outcome := outcomeOf(context.Background(), err)
			if outcome.Kind != Refused {
				t.Errorf("outcome %+v", outcome)
			}
			for _, secret := range []string{"secret-word", "s3cret", "pa#ss", "w@rd"} {
				if strings.Contains(outcome.Error, secret) {
					t.Errorf("the error shows %q: %s", secret, outcome.Error)
				}
			}
			if text != "" && !strings.Contains(outcome.Error, "postgres://role:password@host:5432/database") {
				t.Errorf("the error does not say what a URL looks like: %s", outcome.Error)
			}
		})
	}
}

func TestParseDatabaseURLKeepsItsOptions(t *testing.T) {
	t.Parallel()
	config, err := parseDatabaseURL("postgres://role:p@host/db?sslmode=require&statement_timeout=5000&connect_timeout=3&application_name=mine&default_query_exec_mode=simple_protocol", "ours")
	if err != nil {
		t.Fatal(err)
	}
	conn := config.ConnConfig
	if conn.RuntimeParams["statement_timeout"] != "5000" || conn.RuntimeParams["application_name"] != "mine" ||
		conn.ConnectTimeout != 3*time.Second || conn.DefaultQueryExecMode != pgx.QueryExecModeSimpleProtocol || conn.TLSConfig == nil {
		t.Errorf("%+v", conn)
	}
	config, err = parseDatabaseURL("postgres://role:p@host/db", applicationName(strings.Repeat("x", 58)))
	if err != nil {
		t.Fatal(err)
	}
	conn = config.ConnConfig
	if len(conn.RuntimeParams["application_name"]) != 63 || conn.DefaultQueryExecMode != pgx.QueryExecModeExec || conn.ConnectTimeout != connectTimeout {
		t.Errorf("%+v", conn)
	}
	for parameter := range conn.RuntimeParams {
		// A pooler refuses start-up parameters that it does not know.
		if parameter != "application_name" {
			t.Errorf("a start-up parameter %q", parameter)
		}
	}
}

func TestRedactor(t *testing.T) {
	t.Parallel()
	url := `postgres://role:p%2Fass%22word@host/db`
	redact := newRedactor(url)
	for _, text := range []string{url, `it is p/ass"word`, `{"log":"p/ass\"word"}`, `p%2Fass%22word`} {
		got := redact.text(text)
		if strings.Contains(got, "ass") || !strings.Contains(got, "[redacted]") {
			t.Errorf("%s is left of %s", got, text)
		}
	}
	if got := newRedactor("postgres://role:secret-word@host/db?sslpassword=secret").text("secret-word"); got != "[redacted]" {
		t.Errorf("%s is left", got)
	}
	passfile := filepath.Join(t.TempDir(), "passfile")
	if err := os.WriteFile(passfile, []byte("*:*:*:*:filed-word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := newRedactor("postgres://role@host/db?passfile=" + passfile).text("filed-word"); got != "[redacted]" {
		t.Errorf("%s is left", got)
	}
	if got := newRedactor("postgres://a:b@c/d").text("abcd"); got != "abcd" {
		t.Errorf("a short password garbles innocent words: %s", got)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	failure := &stuckError{cause: errTimeout}
	timedOut, cancel := context.WithDeadlineCause(context.Background(), time.Now().Add(-time.Second), errTimeout)
	defer cancel()
	interrupted, interrupt := context.WithCancelCause(context.Background())
	interrupt(errInterrupted)
	for name, test := range map[string]struct {
		ctx  context.Context
		err  error
		code int
	}{
		"success":                  {context.Background(), nil, 0},
		"failure":                  {context.Background(), failure, 1},
		"permanent":                {context.Background(), Permanent(failure), 65},
		"later":                    {context.Background(), RetryAfter(failure, time.Minute), 75},
		"usage":                    {context.Background(), usagef("x"), 64},
		"time-out":                 {timedOut, failure, 124},
		"time-out beats permanent": {timedOut, Permanent(failure), 124},
		"interrupted":              {interrupted, failure, 143},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcome := outcomeOf(test.ctx, test.err)
			if outcome.ExitCode() != test.code {
				t.Errorf("exit code %d, want %d", outcome.ExitCode(), test.code)
			}
			delay, ok := outcome.Message().Delay()
			if ok != (test.code == 75) || ok && delay != time.Minute {
				t.Errorf("delay %s, %v", delay, ok)
			}
		})
	}
}
