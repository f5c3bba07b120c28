package runner

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
)

// shortestSecret is the length from which a password is looked for in what is
// written: shorter ones are found in innocent words.
const shortestSecret = 4

// redactor takes the database's password out of texts: the last line of defence
// against a handler or a library that quotes it.
type redactor struct{ replacer *strings.Replacer }

func newRedactor(databaseURL string) redactor {
	var pairs []string
	add := func(secret string) {
		if len(secret) < shortestSecret {
			return
		}
		pairs = append(pairs, secret, "[redacted]")
		// As it looks inside a JSON text.
		if quoted, err := json.Marshal(secret); err == nil && string(quoted[1:len(quoted)-1]) != secret {
			pairs = append(pairs, string(quoted[1:len(quoted)-1]), "[redacted]")
		}
		if quoted, err := encodeJSON(secret); err == nil && string(quoted[1:len(quoted)-1]) != secret {
			pairs = append(pairs, string(quoted[1:len(quoted)-1]), "[redacted]")
		}
	}
	add(databaseURL)
	add(rawPassword(databaseURL))
	if parsed, err := url.Parse(databaseURL); err == nil {
		if password, ok := parsed.User.Password(); ok {
			add(password)
		}
		add(parsed.Query().Get("password"))
		add(parsed.Query().Get("sslpassword"))
	}
	return redactor{replacer: strings.NewReplacer(pairs...)}
}

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
