package runner_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/hack/env/ports"
	"github.com/openradius/workspace-jobs/hack/env/postgres"
	"github.com/openradius/workspace-jobs/runner/contract"
)

// with returns the database's URL with another host, unless it is empty, and with
// options instead of its own.
func (db testDB) with(t *testing.T, host, options string) string {
	t.Helper()
	u, err := url.Parse(db.url)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		u.Host = host + ":" + u.Port()
	}
	u.RawQuery = options
	return u.String()
}

func (p *proc) facts() sessionFacts {
	p.t.Helper()
	var facts sessionFacts
	if err := json.Unmarshal(p.answer().Result, &facts); err != nil {
		p.t.Fatal(err)
	}
	return facts
}

func TestTLSOfTheURL(t *testing.T) {
	t.Parallel()
	db, pooled := newDB(t, false), newDB(t, true)
	ca := "&sslrootcert=" + url.QueryEscape(running.Server(t).CAFile())
	certificate, key := running.Server(t).ClientCertificate()
	stranger := otherCA(t)
	notPEM := filepath.Join(t.TempDir(), "not.pem")
	if err := os.WriteFile(notPEM, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	const done, failed, refused = contract.ExitDone, contract.ExitFailed, contract.ExitUsage
	for i, test := range []struct {
		name          string
		db            testDB
		host, options string
		code          int
		tls           bool
		says          string
	}{
		{"disable", db, "", "sslmode=disable", done, false, ""},
		{"none", db, "", "", done, true, ""},
		{"none, the server has no TLS", pooled, "", "", done, false, ""},
		{"require", db, "", "sslmode=require", done, true, ""},
		{"require, the server has no TLS", pooled, "", "sslmode=require", failed, false, "refused TLS"},
		{"verify-ca", db, ports.OtherHost(), "sslmode=verify-ca" + ca, done, true, ""},
		{"verify-full", db, "", "sslmode=verify-full" + ca, done, true, ""},
		{"verify-full of another name", db, ports.OtherHost(), "sslmode=verify-full" + ca, failed, false, ports.OtherHost()},
		{"verify-full of another server", db, "", "sslmode=verify-full&sslrootcert=" + stranger, failed, false, "certificate signed by unknown authority"},
		{"verify-full by public CAs", db, "", "sslmode=verify-full", failed, false, "certificate signed by unknown authority"},
		{"require with a CA is verified", db, "", "sslmode=require&sslrootcert=" + stranger, failed, false, "certificate signed by unknown authority"},
		{"client certificate", db, "", "sslmode=verify-full" + ca + "&sslcert=" + certificate + "&sslkey=" + key, done, true, ""},
		{"channel binding", db, "", "sslmode=require&channel_binding=require", done, true, ""},
		{"channel binding without TLS", db, "", "sslmode=disable&channel_binding=require", failed, false, "channel binding"},
		{"missing CA file", db, "", "sslmode=verify-full&sslrootcert=/there/is/none", refused, false, "can't read the file of sslrootcert (open /there/is/none: no such file or directory): list its Secret in the Workspace's runner.secrets"},
		{"missing key file", db, "", "sslmode=require&sslcert=" + certificate + "&sslkey=/there/is/none", refused, false, "can't read the file of sslkey"},
		{"endless CA file", db, "", "sslmode=verify-full&sslrootcert=/dev/zero", refused, false, "/dev/zero is longer than 1 MiB"},
		{"CA file without a certificate", db, "", "sslmode=verify-full&sslrootcert=" + notPEM, refused, false, "has no certificate in PEM format"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			to := map[string]string{contract.EnvDatabaseURL: test.db.with(t, test.host, test.options)}
			migration := test.db.start(t, attempt{command: contract.CommandMigrate, env: to})
			p := test.db.start(t, attempt{job: i, handler: "session", env: to})
			migration.wantExit(test.code)
			p.wantExit(test.code)
			if test.code != done {
				for _, p := range []*proc{p, migration} {
					if got := p.answer().Error; !strings.Contains(got, test.says) {
						t.Errorf("error  %s\nwanted %s", got, test.says)
					}
				}
				return
			}
			facts := p.facts()
			if facts.TLS != test.tls || (facts.Client != "") != strings.Contains(test.options, "sslcert") {
				t.Errorf("%+v", facts)
			}
		})
	}
}

// otherCA returns the CA file of another server.
func otherCA(t *testing.T) string {
	t.Helper()
	other, err := postgres.Start(t.Context(), postgres.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Stop() })
	return other.CAFile()
}

func TestSettingsOfTheURL(t *testing.T) {
	t.Parallel()
	db, pooled := newDB(t, false), newDB(t, true)
	const mine = "sslmode=disable&statement_timeout=12s&application_name=mine"
	for i, test := range []struct {
		name    string
		db      testDB
		options string
		want    sessionFacts
	}{
		{"own settings", db, mine, sessionFacts{ApplicationName: "mine", StatementTimeout: "12s"}},
		{"in options", db, "sslmode=disable&options=-c%20statement_timeout%3D13s", sessionFacts{ApplicationName: "workspace-jobs/" + jobID(1), StatementTimeout: "13s"}},
		{"none", db, "sslmode=disable", sessionFacts{ApplicationName: "workspace-jobs/" + jobID(2), StatementTimeout: "0"}},
		{"none, through PgBouncer", pooled, "sslmode=disable", sessionFacts{ApplicationName: "workspace-jobs/" + jobID(3), StatementTimeout: "0"}},
		{"own name, through PgBouncer", pooled, "sslmode=disable&application_name=mine", sessionFacts{ApplicationName: "mine", StatementTimeout: "0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := test.db.start(t, attempt{job: i, handler: "session", env: map[string]string{contract.EnvDatabaseURL: test.db.with(t, "", test.options)}})
			p.wantExit(contract.ExitDone)
			if got := p.facts(); got != test.want {
				t.Errorf("got %+v; want %+v", got, test.want)
			}
		})
	}
}

func TestStatementTimeoutEndsAStatement(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, db testDB) {
		to := map[string]string{}
		if strings.Contains(t.Name(), "PgBouncer") {
			// A pooler refuses the URL's setting; the role's applies to its sessions too.
			refused := db.start(t, attempt{handler: "sleeps", env: map[string]string{contract.EnvDatabaseURL: db.with(t, "", "sslmode=disable&statement_timeout=200")}})
			refused.wantExit(contract.ExitFailed)
			if got := refused.answer().Error; !strings.Contains(got, "unsupported startup parameter: statement_timeout") {
				t.Errorf("error %s", got)
			}
			db.grant(t, `ALTER ROLE $role SET statement_timeout = 200`)
			// Sessions that the pooler keeps don't have it yet, so they are ended. They are waited
			// for, since a client that is given a session which is just ending fails.
			db.grant(t, `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = trim('"' from '$role') AND pid <> pg_backend_pid()`)
		} else {
			to[contract.EnvDatabaseURL] = db.with(t, "", "sslmode=disable&statement_timeout=200")
		}
		p := db.start(t, attempt{handler: "sleeps", env: to})
		p.wantExit(contract.ExitFailed)
		if got := p.answer().Error; !strings.Contains(got, "canceling statement due to statement timeout (SQLSTATE 57014)") {
			t.Errorf("error %s", got)
		}
	})
}
