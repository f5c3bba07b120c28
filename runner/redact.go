package runner

import (
	"cmp"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// shortestSecret is the length of the shortest password that is redacted. Shorter
// ones would match parts of ordinary words.
const shortestSecret = 4

// redactor removes the database's password from texts. It is the last line of defence
// against a handler or a library that quotes it.
type redactor struct{ replacer *strings.Replacer }

func newRedactor(databaseURL string) redactor {
	var written []string
	for _, secret := range secretsOf(databaseURL) {
		if len(secret) >= shortestSecret {
			written = append(written, spellings(secret)...)
		}
	}
	// Longest first, so that all of a secret goes that begins with another.
	slices.SortFunc(written, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, text := range written {
		pairs = append(pairs, text, "[redacted]")
	}
	return redactor{replacer: strings.NewReplacer(pairs...)}
}

// secretsOf returns the URL itself, the passwords in it, even if the URL is invalid,
// and a password that it refers to, for example by passfile.
func secretsOf(databaseURL string) []string {
	secrets := []string{databaseURL, rawPassword(databaseURL)}
	if parsed, err := url.Parse(databaseURL); err == nil {
		password, _ := parsed.User.Password()
		query := parsed.Query()
		secrets = append(secrets, password, query.Get("password"), query.Get("sslpassword"))
		// The parser would read an endless file forever.
		if checkTLSFiles(query) != nil {
			return secrets
		}
	}
	if config, err := pgxpool.ParseConfig(databaseURL); err == nil {
		secrets = append(secrets, config.ConnConfig.Password)
	}
	return secrets
}

// spellings returns the ways in which a secret can be written: as it is, quoted by
// Go's %q or escaped in a URL, and each of these escaped as JSON.
func spellings(secret string) []string {
	var all []string
	for _, text := range []string{secret, unquoted(strconv.Quote(secret)), url.UserPassword("", secret).String()[1:], url.QueryEscape(secret)} {
		all = append(all, text)
		if quoted, err := json.Marshal(text); err == nil {
			all = append(all, unquoted(string(quoted)))
		}
		if quoted, err := encodeJSON(text); err == nil {
			all = append(all, unquoted(string(quoted)))
		}
	}
	return all
}

func unquoted(text string) string { return text[1 : len(text)-1] }

// rawPassword returns the password as it is written in a URL, even one that doesn't
// parse.
func rawPassword(databaseURL string) string {
	_, rest, _ := strings.Cut(databaseURL, "://")
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return ""
	}
	_, password, _ := strings.Cut(rest[:at], ":")
	return password
}

func (r redactor) text(text string) string { return r.replacer.Replace(text) }

// writer returns a writer that redacts what it writes to w. Each Write is one line of
// the log.
func (r redactor) writer(w io.Writer) io.Writer { return redactingWriter{redactor: r, to: w} }

type redactingWriter struct {
	redactor redactor
	to       io.Writer
}

func (w redactingWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, w.redactor.text(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
