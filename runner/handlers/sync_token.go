package handlers

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/openradius/workspace-jobs/runner"
)

// originKey is the key of a Secret that says where the Secret's tokens may be sent.
const originKey = "origin"

// readToken returns the bearer token for a server, or "" if from is nil. The author of a
// job chooses the server, so it is a permanent error if the Secret does not name the
// server's origin.
func readToken(secrets string, from *SecretKey, origin string) (string, error) {
	if from == nil {
		return "", nil
	}
	content, err := os.ReadFile(filepath.Join(secrets, from.Secret, from.Key))
	if err != nil {
		return "", runner.Permanent(fmt.Errorf("can't read the key %q of the Secret %q: list the Secret in the Workspace's runner.secrets, which names those that handlers may see", from.Key, from.Secret))
	}
	permitted, err := readOrigin(secrets, from.Secret)
	if err != nil {
		return "", err
	}
	if permitted != origin {
		return "", runner.Permanent(fmt.Errorf("the token of the Secret %q may be sent only to %s, and url leads to %s", from.Secret, permitted, origin))
	}
	token := strings.TrimSpace(string(content))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", runner.Permanent(fmt.Errorf("the key %q of the Secret %q does not contain a token", from.Key, from.Secret))
	}
	return token, nil
}

// readOrigin returns the origin to which a Secret's tokens may be sent.
func readOrigin(secrets, secret string) (string, error) {
	content, err := os.ReadFile(filepath.Join(secrets, secret, originKey))
	if errors.Is(err, os.ErrNotExist) {
		return "", runner.Permanent(fmt.Errorf("the Secret %q does not say where its token may be sent: add the key %q, with a value such as https://api.example.com", secret, originKey))
	}
	if err != nil {
		return "", runner.Permanent(fmt.Errorf("can't read the key %q of the Secret %q", originKey, secret))
	}
	// The error does not show the value, which may be a secret that is in the wrong place.
	u, err := url.Parse(strings.TrimSpace(string(content)))
	if err != nil || u.Host == "" || !isHTTP(u) || *u != (url.URL{Scheme: u.Scheme, Host: u.Host}) {
		return "", runner.Permanent(fmt.Errorf("the key %q of the Secret %q is not an origin: it needs a scheme, a host and, if it is not the scheme's own, a port, such as https://api.example.com", originKey, secret))
	}
	return originOf(u), nil
}

func isHTTP(u *url.URL) bool { return u.Scheme == "http" || u.Scheme == "https" }

// originOf returns the scheme, host and port of an http or https URL. Two URLs lead to the
// same server if these are equal.
func originOf(u *url.URL) string {
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r // other letters stay: Unicode's have lower cases that are other hosts
	}
	host := strings.Map(lower, u.Host)
	host = strings.TrimSuffix(host, ":")
	return u.Scheme + "://" + strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
}
