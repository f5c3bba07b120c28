package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/openradius/workspace-jobs/api/rest"
	"github.com/openradius/workspace-jobs/api/v1alpha1"
	"github.com/openradius/workspace-jobs/hack/env/testenv"
)

// speaking makes a job that writes this when it starts, and runs until it is released, in
// each of its two attempts at most; and waits until it has begun.
func speaking(t *testing.T, name string, part testenv.Part) rest.Job {
	t.Helper()
	part.Hold = true
	args, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	job := makeJob(t, app, acme+"/jobs", fmt.Sprintf(`{"handler":"report","name":%q,"args":%s,"retry":{"minDelay":"1s","limit":1}}`, name, args))
	t.Cleanup(func() { env.Node.Release(name) })
	testenv.Eventually(t, name+" has begun", func(context.Context) error {
		if a := readLog(t, job.Links.Logs); a.status != http.StatusOK || string(a.body) != part.Log {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	return job
}

func readLog(t *testing.T, path string) answer {
	t.Helper()
	return request{method: http.MethodGet, path: path, as: reader}.send(t)
}

func say(t *testing.T, job, text string) {
	t.Helper()
	// What a pod has written may be there a moment before the pod is reported as running.
	testenv.Eventually(t, job+" speaks", func(ctx context.Context) error { return env.Node.Say(ctx, "workspace-acme", job, text) })
}

func TestALogIsReadAndFollowed(t *testing.T) {
	t.Parallel()
	job := speaking(t, "speaks", testenv.Part{Log: "it begins\n"})
	if got := readLog(t, job.Links.Logs).header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("it is %q", got)
	}
	followed := make(chan string, 1)
	go func() {
		a := readLog(t, job.Links.Logs+"?follow=true")
		followed <- string(a.body)
	}()
	say(t, "speaks", "it continues: \r <b>\n")
	select {
	case text := <-followed:
		t.Errorf("it is followed until %q only", text)
	default:
	}
	env.Node.Release("speaks")
	const all = "it begins\nit continues: \r <b>\n"
	if got := <-followed; got != all {
		t.Errorf("followed: %q", got)
	}
	if got := string(readLog(t, job.Links.Logs).body); got != all {
		t.Errorf("read: %q", got)
	}
}

func TestAnAttemptsLogByItsNumber(t *testing.T) {
	t.Parallel()
	job := speaking(t, "speaks-twice", testenv.Part{Log: "an attempt\n", Exit: 1})
	say(t, "speaks-twice", "the first\n")
	env.Node.Release("speaks-twice")
	testenv.Eventually(t, "a second attempt has ended", func(context.Context) error {
		var now rest.Job
		request{method: http.MethodGet, path: job.Links.Self, as: reader}.send(t).want(t, 200, &now)
		if len(now.Attempts) < 2 || now.Attempts[1].FinishedAt == nil {
			return fmt.Errorf("%+v", now.Attempts)
		}
		return nil
	})
	for query, want := range map[string]string{"?attempt=1": "an attempt\nthe first\n", "?attempt=2": "an attempt\n", "": "an attempt\n"} {
		if got := readLog(t, job.Links.Logs+query); got.status != 200 || string(got.body) != want {
			t.Errorf("%q: %d %q", query, got.status, got.body)
		}
	}
	readLog(t, job.Links.Logs+"?attempt=20").wantProblem(t, 404, "", "no attempt 20")
}

// line is a line of a log that is sent as events, with the id to continue after it.
type line struct{ text, id string }

// lineOf returns the line of the next events, since a long line comes in parts.
func lineOf(t *testing.T, events <-chan sent) line {
	t.Helper()
	var l line
	for {
		event := next(t, events, "a line", func(e sent) bool { return !e.comment })
		if event.name != "log" {
			t.Fatalf("%+v", event)
		}
		if err := described.validate([]byte(event.data), "components", "schemas", "LogEvent"); err != nil {
			t.Error(err)
		}
		var told rest.LogEvent
		if err := json.Unmarshal([]byte(event.data), &told); err != nil {
			t.Fatal(err)
		}
		if told.More != (event.id == "") || len(told.Line) > 64<<10+3 {
			t.Errorf("a part of %d bytes, more %t, has the id %q", len(told.Line), told.More, event.id)
		}
		l.text, l.id = l.text+told.Line, event.id
		if !told.More {
			return l
		}
	}
}

// TestALogIsResumed resumes a log after any of its lines, also of those with the same time: no
// line is lost, and none is sent twice.
func TestALogIsResumed(t *testing.T) {
	t.Parallel()
	job := speaking(t, "speaks-on", testenv.Part{Log: "one\ntwo\n\nthree\revent: end\n"})
	texts := []string{"one", "two", "", "three\revent: end", "four", strings.Repeat("é", 100_000), "x" + strings.Repeat("é", 100_000), "seven"}
	events, stop := listen(t, reader, job.Links.Logs+"?follow=true", "")
	var lines []line
	for len(lines) < 4 {
		lines = append(lines, lineOf(t, events))
	}
	say(t, "speaks-on", strings.Join(texts[4:], "\n")+"\n")
	for len(lines) < len(texts) {
		lines = append(lines, lineOf(t, events))
	}
	stop()
	for i, l := range lines {
		if l.text != texts[i] || !strings.Contains(l.id, "Z/") {
			t.Errorf("line %d is %.30q, id %s", i, l.text, l.id)
		}
		events, stop := listen(t, reader, job.Links.Logs+"?follow=true", l.id)
		for _, want := range lines[i+1:] {
			if got := lineOf(t, events); got != want {
				t.Errorf("after line %d: %.30q, id %s; not %.30q, id %s", i, got.text, got.id, want.text, want.id)
			}
		}
		stop()
	}
	// A client that comes back gets what was written in the meantime, and then the end.
	say(t, "speaks-on", "the last\n")
	env.Node.Release("speaks-on")
	events, _ = listen(t, reader, job.Links.Logs+"?follow=true", lines[len(lines)-1].id)
	if got := lineOf(t, events); got.text != "the last" {
		t.Errorf("%+v", got)
	}
	if end := next(t, events, "the end", func(sent) bool { return true }); end.name != "end" {
		t.Errorf("%+v", end)
	}
	for _, id := range []string{"x", "1", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z/x", "/1"} {
		request{method: http.MethodGet, path: job.Links.Logs, as: reader, header: http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {id}}}.
			send(t).wantProblem(t, 400, "header.Last-Event-ID", "not an id")
	}
}

func TestALogThatIsNotThere(t *testing.T) {
	t.Parallel()
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","name":"logged","delay":"1h"}`)
	readLog(t, job.Links.Logs).wantProblem(t, 404, "", "no attempt has begun")
	readLog(t, job.Links.Logs+"?attempt=2").wantProblem(t, 404, "", "no attempt 2")
	readLog(t, job.Links.Logs+"?attempt=0").wantProblem(t, 422, "query.attempt", "")
	readLog(t, job.Links.Logs+"?follow=maybe").wantProblem(t, 422, "query.follow", "")
	readLog(t, acme+"/jobs/never/logs").wantProblem(t, 404, "", "no job")
}

// TestANodeThatDoesNotAnswer checks that the answer does not show the node's address.
func TestANodeThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	job := makeJob(t, app, acme+"/jobs", `{"handler":"report","args":{"lost":true}}`)
	untilState(t, app, job.Links.Self, v1alpha1.StateSucceeded)
	a := readLog(t, job.Links.Logs)
	a.wantProblem(t, 503, "", "node")
	if strings.Contains(string(a.body), "127.0.0.1") || strings.Contains(string(a.body), "://") {
		t.Errorf("%s", a.body)
	}
}
