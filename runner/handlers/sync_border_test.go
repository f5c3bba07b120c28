package handlers

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/runner"
)

// anyAddress lets a test's handler reach servers on this machine.
func anyAddress(netip.Addr) error { return nil }

// writeSecret writes a Secret as the kubelet mounts it and returns the folder of Secrets.
func writeSecret(t *testing.T, name string, values map[string]string) string {
	t.Helper()
	secrets := t.TempDir()
	if err := os.MkdirAll(filepath.Join(secrets, name), 0o755); err != nil {
		t.Fatal(err)
	}
	for key, value := range values {
		if err := os.WriteFile(filepath.Join(secrets, name, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return secrets
}

// TestSyncSendsATokenOnlyToItsOrigin checks that no arguments lead a Secret's token to a
// server that the Secret does not name.
func TestSyncSendsATokenOnlyToItsOrigin(t *testing.T) {
	t.Parallel()
	db := newCustomers(t)
	for i, test := range []struct{ name, origin, text string }{
		{"no origin", "", `the Secret "crm" does not say where its token may be sent: add the key "origin"`},
		{"another host", "https://crm.example.com", `the token of the Secret "crm" may be sent only to https://crm.example.com, and url leads to http://127.0.0.1:`},
		{"another port", "http://127.0.0.1:1", `may be sent only to http://127.0.0.1:1, and url leads to http://127.0.0.1:`},
		{"another scheme", "https://HOST", `may be sent only to https://127.0.0.1:`},
		{"a path", "http://HOST/customers", `the key "origin" of the Secret "crm" is not an origin`},
		{"a user", "http://hush@HOST", `is not an origin`},
		{"two", "http://HOST http://127.0.0.1:1", `is not an origin`},
		{"a bare host", "HOST", `is not an origin`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, 1)
			values := map[string]string{"token": "t0ken", "origin": strings.ReplaceAll(test.origin, "HOST", u.Listener.Addr().String())}
			if test.origin == "" {
				delete(values, "origin")
			}
			args := u.syncArgs()
			args["tokenFrom"] = object{"secret": "crm", "key": "token"}
			outcome := db.run(t, i+1, 1, syncWith(writeSecret(t, "crm", values), anyAddress), args)
			wantFailure(t, outcome, runner.PermanentFailure, test.text)
			if strings.Contains(outcome.Error, "hush") {
				t.Errorf("the error shows a secret: %s", outcome.Error)
			}
			if len(u.requests) != 0 {
				t.Errorf("the server got requests: %q", u.requests)
			}
		})
	}
}

func TestSyncDoesNotTakeATokenElsewhere(t *testing.T) {
	t.Parallel()
	elsewhere := newUpstream(t, 1)
	for name, answer := range map[string]func(http.ResponseWriter){
		"by a redirect": status(http.StatusTemporaryRedirect, "Location", elsewhere.URL+"/customers"),
		"by a next page": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"data":{"items":[]},"next":"` + elsewhere.URL + `"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, u := newCustomers(t), newUpstream(t, 1)
			u.failNext(answer)
			args := u.syncArgs()
			delete(args, "cursorParam")
			args["tokenFrom"] = object{"secret": "crm", "key": "token"}
			handler := syncWith(writeSecret(t, "crm", map[string]string{"token": "t0ken", "origin": u.URL}), anyAddress)
			wantFailure(t, db.run(t, 1, 1, handler, args), runner.PermanentFailure, "it leads to another server")
			if !strings.HasSuffix(u.requests[0], "Bearer t0ken") || len(u.requests) != 1 {
				t.Errorf("requests %q", u.requests)
			}
		})
	}
	t.Cleanup(func() {
		if len(elsewhere.requests) != 0 {
			t.Errorf("the other server got requests: %q", elsewhere.requests)
		}
	})
}

// TestSyncRefusesLocalAddresses checks the handler as it is in the stock image.
func TestSyncRefusesLocalAddresses(t *testing.T) {
	t.Parallel()
	db, u := newCustomers(t), newUpstream(t, 1)
	port := u.URL[strings.LastIndex(u.URL, ":"):]
	for i, host := range []string{
		"127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]",
	} {
		args := u.syncArgs()
		args["url"] = "http://" + host + port + "/customers"
		outcome := db.run(t, i+1, 1, Sync(""), args)
		wantFailure(t, outcome, runner.PermanentFailure, "external-sync connects to no loopback, link-local or metadata address")
	}
	if len(u.requests) != 0 {
		t.Errorf("the server got requests: %q", u.requests)
	}
}

// TestSyncChecksWhereARedirectLeads checks that each connection is checked, not the
// first one alone: a name may lead elsewhere by the second.
func TestSyncChecksWhereARedirectLeads(t *testing.T) {
	t.Parallel()
	db := newCustomers(t)
	var dialed int
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "/next", http.StatusFound)
	}))
	t.Cleanup(u.Close)
	// As with a name that a server answers with another address the second time.
	handler := syncWith("", func(netip.Addr) error {
		if dialed++; dialed == 1 {
			return nil
		}
		return refuseLocal(netip.MustParseAddr("169.254.169.254"))
	})
	wantFailure(t, db.run(t, 1, 1, handler, u.syncArgs()), runner.PermanentFailure, "169.254.169.254")
	if dialed != 2 {
		t.Errorf("%d connections were checked, want 2", dialed)
	}
}

func TestRefuseLocal(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{
		"127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "0.0.0.0", "0.1.2.3", "::",
		"169.254.169.254", "169.254.170.2", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "fe80::1", "fe80::1%eth0", "febf::1",
		"64:ff9b::169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "2002:7f00:1::",
		"fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192",
		"224.0.0.1", "ff02::1", "239.1.1.1", "255.255.255.255",
	} {
		if err := refuseLocal(netip.MustParseAddr(refused)); err == nil {
			t.Errorf("%s is not refused", refused)
		}
	}
	for _, allowed := range []string{
		"10.96.0.10", "172.16.4.4", "192.168.1.1", "100.64.0.1", "::ffff:10.0.0.1", "192.0.2.20", "93.184.216.34",
		"fd00::1", "2001:db8::1", "64:ff9b::10.0.0.1", "2002:5db8:d822::1", "128.0.0.1", "169.253.0.1",
	} {
		if err := refuseLocal(netip.MustParseAddr(allowed)); err != nil {
			t.Errorf("%s: %v", allowed, err)
		}
	}
}

func TestOriginOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://crm.example.com/api?x=1": "https://crm.example.com",
		"HTTPS://CRM.Example.COM:443":     "https://crm.example.com",
		"https://crm.example.com:80":      "https://crm.example.com:80",
		"http://crm.example.com:8080":     "http://crm.example.com:8080",
		"http://crm.example.com:":         "http://crm.example.com",
		"http://[2001:DB8::80]/":          "http://[2001:db8::80]",
		"http://[2001:db8::80]:80":        "http://[2001:db8::80]",
		"https://crm.example.com.":        "https://crm.example.com.",
		"https://\u212arm.example.com":    "https://\u212arm.example.com", // the Kelvin sign is no k
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := originOf(u); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
