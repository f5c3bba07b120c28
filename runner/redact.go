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

// shortestSecret is the length from which a password is looked for in what is
// written: shorter ones are found in innocent words.
const shortestSecret = 4

// redactor takes the database's password out of texts: the last line of defence
// against a handler or a library that quotes it.
type redactor struct{ replacer *strings.Replacer }

func newRedactor(databaseURL string) redactor {
	var written []string
	for _, secret := range secretsOf(databaseURL) {
		if len(secret) >= shortestSecret {
			written = append(written, spellings(secret)...)
		}
	}
	// Where one begins with another, the whole of it goes.
	slices.SortFunc(written, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, text := range written {
		pairs = append(pairs, text, "[redacted]")
	}
	return redactor{replacer: strings.NewReplacer(pairs...)}
}

// secretsOf is the URL itself and the passwords in it, also of one that nothing can
// connect to, and the password that it leads to, such as by passfile.
func secretsOf(databaseURL string) []string {
	secrets := []string{databaseURL, rawPassword(databaseURL)}
	if parsed, err := url.Parse(databaseURL); err == nil {
		password, _ := parsed.User.Password()
		query := parsed.Query()
		secrets = append(secrets, password, query.Get("password"), query.Get("sslpassword"))
		// The parser would read a file without an end for ever.
		if checkTLSFiles(query) != nil {
			return secrets
		}
	}
	if config, err := pgxpool.ParseConfig(databaseURL); err == nil {
		secrets = append(secrets, config.ConnConfig.Password)
	}
	return secrets
}

// spellings are the ways in which a secret gets into a text: as it is, quoted by
// Go's %q, or as URLs have it; and each of them in a log or a message of JSON.
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

// rawPassword is the password as it stands in a URL, even one that doesn't parse.
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

// writer redacts what is written to w; each Write is one line of the log.
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
