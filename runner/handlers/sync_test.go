package handlers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openradius/workspace-jobs/runner"
)

// upstream is a server with a list of customers, two a page.
type upstream struct {
	*httptest.Server

	mu        sync.Mutex
	customers []object
	requests  []string
	// fail has answers to give instead, one for each of the next requests.
	fail []func(http.ResponseWriter)
}

func newUpstream(t *testing.T, customers int) *upstream {
	t.Helper()
	u := &upstream{}
	for n := 1; n <= customers; n++ {
		u.customers = append(u.customers, object{"id": n, "name": fmt.Sprintf("customer %d", n), "address": object{"city": "Brno"}, "secret": "x"})
	}
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = append(u.requests, r.URL.String()+" "+r.Header.Get("If-None-Match")+" "+r.Header.Get("Authorization"))
	if len(u.fail) > 0 {
		answer := u.fail[0]
		u.fail = u.fail[1:]
		if answer != nil {
			answer(w)
			return
		}
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("after"))
	to := min(from+2, len(u.customers))
	answer := object{"data": object{"items": u.customers[from:to]}, "next": nil}
	if to < len(u.customers) {
		answer["next"] = to
		answer["nextURL"] = "?token=hush&after=" + strconv.Itoa(to)
		w.Header().Set("Link", `</other>; rel="prev", <?token=hush&after=`+strconv.Itoa(to)+`>; rel="next"`)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	etag := `"` + digest(string(body))[:8] + `"`
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(body)
}

func (u *upstream) failNext(answers ...func(http.ResponseWriter)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fail = answers
}

func status(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if len(header) > 0 {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte("the body may hold anything, even hush"))
	}
}

// syncArgs returns arguments that read from u by cursor.
func (u *upstream) syncArgs() object {
	return object{
		"url": u.URL + "/customers?token=hush", "table": "customers", "key": []string{"id"},
		"columns": object{"id": "id", "name": "name", "city": "address.city"},
		"items":   "data.items", "next": "next", "cursorParam": "after",
	}
}

func newCustomers(t *testing.T) testDB {
	t.Helper()
	db := newDB(t)
	db.exec(t, `CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text, note text DEFAULT 'own')`)
	return db
}

func TestSync(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(object){
		"by cursor": func(object) {},
		"by URL":    func(args object) { args["next"] = "nextURL"; delete(args, "cursorParam") },
		"by Link":   func(args object) { delete(args, "next"); delete(args, "cursorParam") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, u := newCustomers(t), newUpstream(t, 5)
			args := u.syncArgs()
			change(args)
			handler := syncWith("", anyAddress)
			wantDone(t, db.pooled(t).run(t, 1, 1, handler, args), `{"table":"public.customers","pages":3,"items":5,"inserted":5,"updated":0,"unchanged":false}`)
			db.want(t, "5 customer 5 Brno own", `SELECT concat_ws(' ', id, name, city, note) FROM customers WHERE id = 5`)
			wantDone(t, db.run(t, 2, 1, handler, args), `{"table":"public.customers","pages":3,"items":0,"inserted":0,"updated":0,"unchanged":true}`)

			u.customers[2]["name"] = "somebody else"
			u.customers = append(u.customers, object{"id": 6, "name": "new"})
			wantDone(t, db.run(t, 3, 1, handler, args), `{"table":"public.customers","pages":3,"items":4,"inserted":1,"updated":1,"unchanged":false}`)
			db.want(t, "somebody else,new", `SELECT string_agg(name, ',' ORDER BY id) FROM customers WHERE id IN (3, 6)`)

			db.exec(t, `DELETE FROM customers WHERE id = 1`)
			args["force"] = true
			wantDone(t, db.run(t, 4, 1, handler, args), `{"table":"public.customers","pages":3,"items":6,"inserted":1,"updated":0,"unchanged":false}`)
			db.want(t, "3", `SELECT count(*)::text FROM hangfire.sync_pages`)

			// With fewer pages, what is known about the others is deleted.
			u.customers = u.customers[:2]
			wantDone(t, db.run(t, 5, 1, handler, args), "")
			db.want(t, "1", `SELECT count(*)::text FROM hangfire.sync_pages`)
		})
	}
}

func TestSyncResumes(t *testing.T) {
	t.Parallel()
	db, u := newCustomers(t), newUpstream(t, 6)
	u.failNext(nil, status(http.StatusServiceUnavailable))
	wantFailure(t, db.run(t, 1, 1, syncWith("", anyAddress), u.syncArgs()), runner.Failed, u.URL+"/customers: the server answered 503")
	db.want(t, "2", `SELECT count(*)::text FROM customers`)
	u.requests = nil
	wantDone(t, db.run(t, 1, 2, syncWith("", anyAddress), u.syncArgs()), `{"table":"public.customers","pages":3,"items":6,"inserted":6,"updated":0,"unchanged":false}`)
	if len(u.requests) != 2 || !strings.Contains(u.requests[0], "after=2") {
		t.Errorf("requests %q", u.requests)
	}
}

func TestSyncWithToken(t *testing.T) {
	t.Parallel()
	db, u := newCustomers(t), newUpstream(t, 1)
	secrets := writeSecret(t, "crm", map[string]string{"token": "t0ken\n", "origin": u.URL + "\n"})
	args := u.syncArgs()
	args["tokenFrom"] = object{"secret": "crm", "key": "token"}
	wantDone(t, db.run(t, 1, 1, syncWith(secrets, anyAddress), args), "")
	if !strings.HasSuffix(u.requests[0], "Bearer t0ken") {
		t.Errorf("requests %q", u.requests)
	}
	args["tokenFrom"] = object{"secret": "crm", "key": "nope"}
	wantFailure(t, db.run(t, 2, 1, syncWith(secrets, anyAddress), args), runner.PermanentFailure, `can't read the key "nope" of the Secret "crm"`)
	args["tokenFrom"] = object{"secret": "..", "key": "token"}
	wantFailure(t, db.run(t, 3, 1, syncWith(secrets, anyAddress), args), runner.Refused, `tokenFrom needs secret and key`)
}

func TestSyncFailures(t *testing.T) {
	t.Parallel()
	elsewhere := newUpstream(t, 1)
	json := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = w.Write([]byte(text)) }
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		change func(object)
		kind   runner.Kind
		text   string
		delay  time.Duration
	}{
		"not found":           {answer: status(404), kind: runner.PermanentFailure, text: "the server answered 404 Not Found"},
		"forbidden":           {answer: status(403), kind: runner.PermanentFailure, text: "403"},
		"time-out":            {answer: status(408), kind: runner.Failed, text: "408"},
		"too many":            {answer: status(429, "Retry-After", "120"), kind: runner.Later, text: "429", delay: 2 * time.Minute},
		"unavailable":         {answer: status(503, "Retry-After", "1000000"), kind: runner.Later, text: "503", delay: 24 * time.Hour},
		"unavailable, vague":  {answer: status(503, "Retry-After", "soon"), kind: runner.Failed, text: "503"},
		"redirect elsewhere":  {answer: status(302, "Location", elsewhere.URL), kind: runner.PermanentFailure, text: "did not follow a redirect: it leads to another server"},
		"next page elsewhere": {answer: json(`{"data":{"items":[]},"next":"` + elsewhere.URL + `"}`), change: without("cursorParam"), kind: runner.PermanentFailure, text: "it leads to another server"},
		"not JSON":            {answer: json(`<html>hush</html>`), kind: runner.PermanentFailure, text: "the page is not JSON"},
		"no list":             {answer: json(`{"data":[]}`), kind: runner.PermanentFailure, text: `the page has no list at "data.items"`},
		"no key":              {answer: json(`{"data":{"items":[{"name":"x"}]}}`), kind: runner.PermanentFailure, text: `item 1 has no "id", which the key needs`},
		"does not fit":        {answer: json(`{"data":{"items":[{"id":"seven","name":"x"}]}}`), kind: runner.PermanentFailure, text: `the page does not fit the table: invalid input syntax for type integer: "seven"`},
		"null not allowed":    {answer: json(`{"data":{"items":[{"id":1}]}}`), kind: runner.PermanentFailure, text: `null value in column "name"`},
		"too large":           {answer: json(strings.Repeat(" ", maxBody+1)), kind: runner.PermanentFailure, text: "the page is larger than 16 MiB"},
		"the same page":       {answer: json(`{"data":{"items":[]},"next":""}`), change: with("next", "self"), kind: runner.Done},
		"nobody listens":      {change: with("url", "http://127.0.0.1:1/x?token=hush"), kind: runner.Failed, text: "GET http://127.0.0.1:1/x: dial tcp 127.0.0.1:1: connect: connection refused"},
		"no such table":       {change: with("table", "customer"), kind: runner.PermanentFailure, text: `table "customer" does not exist`},
		"no such column":      {change: with("columns", object{"id": "id", "nom": "name"}), kind: runner.PermanentFailure, text: `has no column "nom"`},
		"no unique key":       {change: with("key", []string{"id", "name"}), kind: runner.PermanentFailure, text: `no unique index on exactly (id, name)`},
		"key without column":  {change: with("key", []string{"note"}), kind: runner.Refused, text: `key has "note", which is not in columns`},
		"a user in the URL":   {change: with("url", "http://me:hush@host/"), kind: runner.Refused, text: "url contains a user or a password"},
		"another scheme":      {change: with("url", "file:///etc/passwd"), kind: runner.Refused, text: "url is not an http or https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, u := newCustomers(t), newUpstream(t, 1)
			u.failNext(test.answer)
			args := u.syncArgs()
			if test.change != nil {
				test.change(args)
			}
			outcome := db.run(t, 1, 1, syncWith("", anyAddress), args)
			wantFailure(t, outcome, test.kind, test.text)
			if strings.Contains(outcome.Error, "hush") {
				t.Errorf("the error shows a secret: %s", outcome.Error)
			}
			if outcome.RetryAfter != test.delay {
				t.Errorf("retry after %s, want %s", outcome.RetryAfter, test.delay)
			}
		})
	}
	if len(elsewhere.requests) != 0 {
		t.Errorf("the other server got requests: %q", elsewhere.requests)
	}
}

func with(name string, value any) func(object) { return func(args object) { args[name] = value } }
func without(name string) func(object)         { return func(args object) { delete(args, name) } }

func TestSyncOfTwins(t *testing.T) {
	t.Parallel()
	db, u := newCustomers(t), newUpstream(t, 0)
	u.customers = []object{{"id": 1, "name": "first"}, {"id": 1, "name": "last"}}
	wantDone(t, db.run(t, 1, 1, syncWith("", anyAddress), u.syncArgs()), "")
	db.want(t, "last", `SELECT name FROM customers`)
}

// TestCursorText checks that what is neither a cursor nor the end is not read as the end.
func TestCursorText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{``: "", `null`: "", `false`: "", `""`: "", `"p2"`: "p2", `7`: "7"} {
		if got, err := cursorText([]byte(value)); err != nil || got != want {
			t.Errorf("%s: %q, %v", value, got, err)
		}
	}
	for _, value := range []string{`{"href":"/p2"}`, `["p2"]`, `true`} {
		if got, err := cursorText([]byte(value)); err == nil {
			t.Errorf("%s was read as %q", value, got)
		}
	}
}

func TestLinkNext(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`<https://a/b?page=2>; rel="next", <https://a/b?page=9>; rel="last"`: "https://a/b?page=2",
		`<a>; rel="prev", <b>; title="x"; rel=next`:                          "b",
		`<b>; rel="nextish"`:    "",
		`<b>; rel="first next"`: "b",
		``:                      "",
	} {
		if got := linkNext([]string{header}); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "99999999999": longestWait,
		"Thu, 01 Oct 2026 12:05:00 GMT": 5 * time.Minute, "Thu, 01 Oct 2025 12:05:00 GMT": 0, "": -1, "-5": -1, "soon": -1,
	} {
		got, ok := retryAfter(value, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %s, %v", value, got, ok)
		}
	}
}

func TestShownURL(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("https://user:pass@host/path?token=x#y")
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(u); got != "https://host/path" {
		t.Error(got)
	}
}
