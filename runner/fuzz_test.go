package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openradius/workspace-jobs/runner/contract"
)

// oneLine checks that text is one line that can be shown to people.
func oneLine(t *testing.T, text string) {
	t.Helper()
	if text == "" || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("not one line of text: %q", text)
	}
}

// FuzzDecodeArgs checks that arguments are refused in one line, or that all of them
// arrived in fields of the type.
func FuzzDecodeArgs(f *testing.F) {
	for _, raw := range []string{
		`{}`, `{"table":"t","limit":3,"names":["a"],"nested":{"deep":true},"Plain":"p","inner":"i"}`,
		`{"limit":-1}`, `{"limit":1e3}`, `{"limit":9223372036854775808}`, `{"names":null}`, `{"nested":{"DEEP":true}}`,
		`{"nested":{"deeper":true}}`, `{"TABLE":"t"}`,
		`{"table":"a","table":"b"}`, `{"embeddedArgs":{}}`, `{"-":1}`, `{"":1}`, `{"a\n":1}`, `{"table":"\ud800"}`, "{\"table\":\"\xff\"}",
		`{}{}`, ` { } `, `[]`, `null`, `"`, strings.Repeat(`{"nested":`, 20000),
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		args, err := decodeArgs[testArgs](raw)
		if err != nil {
			oneLine(t, err.Error())
			return
		}
		if len(raw) > contract.MaxArgs {
			t.Errorf("accepted %d bytes", len(raw))
		}
		if args.Limit < 1 {
			t.Error("Validate was not called")
		}
		var given map[string]any
		if err := json.Unmarshal(raw, &given); err != nil {
			t.Fatalf("accepted what is not a JSON object: %v", err)
		}
		for name := range given {
			if !slices.Contains(fieldNames(reflect.TypeFor[testArgs]()), name) {
				t.Errorf("accepted the unknown field %q", name)
			}
		}
		nested, _ := given["nested"].(map[string]any)
		for name := range nested {
			if !strings.EqualFold(name, "deep") {
				t.Errorf("accepted the unknown field nested.%q", name)
			}
		}
		again, err := json.Marshal(args)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > contract.MaxArgs {
			return // characters that are special in HTML become longer when they are escaped
		}
		same, err := decodeArgs[testArgs](again)
		if err != nil || !reflect.DeepEqual(args, same) {
			t.Errorf("%+v became %+v, %v", args, same, err)
		}
	})
}

// FuzzDescribe checks that the environment is refused, without a word of the password,
// or describes a run that the ledger can store.
func FuzzDescribe(f *testing.F) {
	const id = "0f8fad5b-d9cb-469f-a165-70867728950e"
	f.Add(id, "1", "1", "1h30m", "nightly", "{}", "postgres://role:secret-word@host/db")
	f.Add(strings.ToUpper(id), "2147483647", "+1", "1ns", "nightly", " ", "")
	f.Add(id, "2147483648", "0", "-1s", "", "[", "secret")
	f.Add(id, "1", "1", "-1s", "nightly", "{}", "")
	f.Add(id, "1", "1", "0", "nightly", "{}", "")
	f.Add("0f8fad5bd9cb469fa16570867728950e", "0x1", "1_0", "2562047h47m16.854775807s", "n", "\x00", "\n")
	started := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, id, run, attempt, timeout, name, args, databaseURL string) {
		environment := map[string]string{
			contract.EnvJobID: id, contract.EnvRun: run, contract.EnvAttempt: attempt, contract.EnvTimeout: timeout,
			contract.EnvJobName: name, contract.EnvArgs: args, contract.EnvDatabaseURL: databaseURL,
			contract.EnvWorkspace: "acme", contract.EnvQueue: "workspace_acme", contract.EnvHandler: "sql",
		}
		d, err := describe(func(name string) string { return environment[name] }, started)
		if err != nil {
			if !errors.As(err, new(*usageError)) {
				t.Errorf("not a usage error: %v", err)
			}
			oneLine(t, err.Error())
			environment[contract.EnvDatabaseURL] = "another"
			if _, other := describe(func(name string) string { return environment[name] }, started); other.Error() != err.Error() {
				t.Errorf("the error depends on the URL: %v, %v", err, other)
			}
			return
		}
		if d.Run < 1 || d.Run > math.MaxInt32 || d.Attempt < 1 || d.Attempt > math.MaxInt32 || d.JobID != strings.ToLower(id) || len(d.JobID) != len(id) {
			t.Errorf("%+v", d)
		}
		if d.Deadline.IsZero() != (timeout == "") || !d.Deadline.IsZero() && !d.Deadline.After(started) {
			t.Errorf("deadline %s", d.Deadline)
		}
		if strings.TrimSpace(d.claim().Args) == "" || d.schema() == "" {
			t.Errorf("%+v", d.claim())
		}
	})
}

// FuzzParseDatabaseURL checks that errors are one line and quote nothing of the URL but
// names of files, and that the password that pgx finds in the URL is redacted however it
// is written, also in the error of a failed connection.
func FuzzParseDatabaseURL(f *testing.F) {
	for _, text := range []string{
		"postgres://role:secret-word@host:5432/db?sslmode=disable", "postgresql://role:" + url.QueryEscape(hardPassword) + "@[::1]/db",
		"postgres://role@host/db?password=secret-word&sslmode=disable", "postgres://role:secret-word@/db?host=/tmp&port=1",
		"postgres://role:secret-word@a,b:1,c/db?sslmode=prefer", "postgres://role:secret-word@host/db?host=a%0Ab&dbname=%0A",
		"postgres://role:secret-word@host/secret-word?application_name=secret-word&sslmode=disable", "postgres://secret-word:secret-word@secret-word/",
		"postgres://role:secret%2fword@host/", "postgres://role:secret word@host/", "postgres://role:secret-word@host/?x=@",
		"POSTGRES:///x=1 password=secret-word host=h", "postgres://host/db?passfile=/dev/null&service=x", "postgres://%zz",
		"postgres://role:secret-word@host/?sslkey=/secret-word%0A", "postgres://role@host/?sslrootcert=%0A/%00",
		"host=h password=secret-word", "", "postgres://",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		config, err := parseDatabaseURL(text, applicationName("nightly"))
		if err != nil {
			oneLine(t, err.Error())
			if text != "" && err.Error() != badURL().Error() && !strings.Contains(err.Error(), "the file of ssl") {
				t.Errorf("the error depends on the URL: %v", err)
			}
			for _, secret := range secretsOf(text) {
				if len(secret) >= shortestSecret {
					hides(t, newRedactor(text), secret, err.Error())
				}
			}
			return
		}
		if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") || config.MaxConns < 1 {
			t.Errorf("accepted %q, with %d connections", text, config.MaxConns)
		}
		failed := failToConnect(t, config)
		oneLine(t, failed)
		password := config.ConnConfig.Password
		if len(password) < shortestSecret {
			return
		}
		redact := newRedactor(text)
		hides(t, redact, password, failed)
		for _, written := range waysToWrite(t, password) {
			hides(t, redact, written, "<"+written+">")
		}
	})
}

// failToConnect returns the error of a connection that fails before anything is sent.
func failToConnect(t *testing.T, config *pgxpool.Config) string {
	t.Helper()
	conn := config.ConnConfig.Copy()
	conn.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil }
	conn.DialFunc = func(_ context.Context, network, address string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("nobody is at %s", address)}
	}
	connected, err := pgx.ConnectConfig(t.Context(), conn)
	if err == nil {
		_ = connected.Close(t.Context())
		t.Fatal("connected to nobody")
	}
	return explainDatabase(err).Error()
}

// waysToWrite returns the ways in which a secret can be written: as it is, escaped in a
// URL, quoted as in Go and JSON, and each of these in a log of JSON.
func waysToWrite(t *testing.T, secret string) []string {
	t.Helper()
	var ways []string
	for _, text := range []string{secret, strconv.Quote(secret), url.UserPassword("", secret).String(), url.QueryEscape(secret)} {
		escaped, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := encodeJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		ways = append(ways, text, string(escaped), string(plain))
	}
	return ways
}

// hides checks that the redacted text does not contain the secret.
func hides(t *testing.T, redact redactor, secret, text string) {
	t.Helper()
	got := redact.text(text)
	for piece := range strings.SplitSeq(got, "[redacted]") {
		if strings.Contains(piece, secret) {
			t.Errorf("%q is left in %q", secret, got)
		}
	}
}

// FuzzRedactor checks that a secret is redacted from a text, however it is written.
func FuzzRedactor(f *testing.F) {
	f.Add("secret-word", `cannot parse "`, `"`)
	f.Add(hardPassword, "", "")
	f.Add("pass\x00word\n", "pass", "word")
	f.Add("ünïcode\u2028<&>", "a", "b")
	f.Add("aaaa", "aaa", "aa")
	f.Add(`\\\\`, `\`, `"`)
	f.Add("\xff\xfe\xfd\xfc", "", "")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if len(secret) < shortestSecret {
			return
		}
		redact := newRedactor("postgres://" + url.UserPassword("role", secret).String() + "@host/db")
		for _, written := range waysToWrite(t, secret) {
			hides(t, redact, written, before+written+after)
		}
	})
}
